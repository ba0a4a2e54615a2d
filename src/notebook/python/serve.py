import json
import time
import urllib.error
import urllib.request

URL = "http://127.0.0.1:8787/v1"
server = subprocess.Popen(facet("serve", "model", "--port", "8787"))


def wait_for(url, seconds=300):
    """Returns once the server answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            raise Stop("Facet has ended; what it printed above says why.")
        try:
            urllib.request.urlopen(f"{url}/models").close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(1)
    raise Stop(f"Facet did not answer within {seconds} seconds; run this cell again.")


def ask_facet(question):
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 200}
    request = urllib.request.Request(
        f"{URL}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)["choices"][0]["message"]["content"]


wait_for(URL)
print(ask_facet("Why is the sky blue? Answer in two sentences."))

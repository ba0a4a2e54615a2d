import os


def read_token():
    """The token for Hugging Face that lies among the secrets of this notebook, or none."""
    try:
        from google.colab import userdata
    except ImportError:
        return os.environ.get("HF_TOKEN")
    try:
        return userdata.get("HF_TOKEN")
    except Exception:  # no such secret, or this notebook may not see it
        return None


if not read_token():
    raise Stop(
        f"No token: accept the terms at https://huggingface.co/{MODEL}, make a token of type Read at "
        "https://huggingface.co/settings/tokens, open the key symbol at the left of this page, add it there "
        "as HF_TOKEN with notebook access switched on, and run this cell again."
    )
os.environ["HF_TOKEN"] = read_token()
print("Signed in to Hugging Face.")

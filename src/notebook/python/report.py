from html import escape

from IPython.display import HTML, display

with open("run/report.html", encoding="utf-8") as page:
    display(HTML(f'<iframe srcdoc="{escape(page.read())}" width="100%" height="900"></iframe>'))

import os
import subprocess


def facet(*arguments):
    """The facet command with the Node.js it needs, both from npm; the one that Colab brings may be too old."""
    packages = [part for name in NPM_PACKAGES for part in ("-p", name)]
    return ["npx", "--yes", *packages, "facet", *arguments]


if not ACCEPT_TERMS:
    raise Stop(f"Read {TERMS}, set ACCEPT_TERMS = True in the cell of settings, run that cell and then this one.")
if not os.path.exists("model"):
    subprocess.run(facet("pull", MODEL, "model", "--quant", "int4", "--accept-terms"), check=True)

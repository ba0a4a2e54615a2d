import os


def read_token():
    """The token for Hugging Face that lies among the secrets of this notebook, or none."""
    try:
        from kaggle_secrets import UserSecretsClient
    except ImportError:
        return os.environ.get("HF_TOKEN")
    try:
        return UserSecretsClient().get_secret("HF_TOKEN")
    except Exception:  # no such secret, or it is not attached to this notebook
        return None


if not read_token():
    raise Stop(
        f"No token: accept the terms at https://huggingface.co/{MODEL}, make a token of type Read at "
        "https://huggingface.co/settings/tokens, open Add-ons > Secrets above this page, add it there "
        "as HF_TOKEN with its box ticked, and run this cell again."
    )
os.environ["HF_TOKEN"] = read_token()
print("Signed in to Hugging Face.")

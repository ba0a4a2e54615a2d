import subprocess
import sys

# What Colab and Kaggle bring along, torch above all, stays as it is: this takes seconds.
subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)

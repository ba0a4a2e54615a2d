import json
import os

from datasets import Dataset

# Your own rows, one JSON object a line: {"messages": [{"role": "user", ...}, {"role": "assistant", ...}]}
DATA = "train.jsonl"

# A few rows to try it with: questions about the command line, answered by the command alone.
EXAMPLES = [
    ("List all files, hidden ones too.", "ls -a"),
    ("Show the size of each folder here.", "du -sh */"),
    ("Find all Markdown files below this folder.", "find . -name '*.md'"),
    ("Count the lines of a file.", "wc -l file"),
    ("Show the last 20 lines of a log and follow it.", "tail -n 20 -f log"),
    ("Make a folder and all above it.", "mkdir -p a/b/c"),
    ("Unpack a gzipped archive.", "tar -xzf archive.tar.gz"),
    ("Show which process listens on port 8080.", "lsof -i :8080"),
    ("Search for a word in all files below.", "grep -rn word ."),
    ("Copy a folder with all that is in it.", "cp -r from to"),
    ("Show free disk space.", "df -h"),
    ("Download a file and keep its name.", "curl -O https://example.com/file"),
]


def read_rows():
    """Rows of prompt and completion: the loss is then taken of the completion alone."""
    if not os.path.exists(DATA):
        turns = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in EXAMPLES]
    else:
        with open(DATA, encoding="utf-8") as lines:
            turns = [json.loads(line)["messages"] for line in lines if line.strip()]
    for number, messages in enumerate(turns, 1):
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise Stop(f"{DATA}: row {number} must end with a message of the role assistant.")
    return [{"prompt": messages[:-1], "completion": messages[-1:]} for messages in turns]


split = Dataset.from_list(read_rows()).train_test_split(test_size=0.2, seed=1)
print(f"{len(split['train'])} rows to train on, {len(split['test'])} held out")

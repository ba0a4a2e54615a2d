# A few questions of each: enough to see that all is well, too few for a figure to publish.
TASKS = "arc_easy,boolq"
LIMIT = "25"

subprocess.run(facet("eval", "run", TASKS, "--model", "model", "--limit", LIMIT, "--out", "run"), check=True)

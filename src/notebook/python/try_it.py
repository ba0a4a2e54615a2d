model.eval()
for row in split["test"]:
    question = row["prompt"][-1]["content"]
    print(f"{question}\n  {ask(question, 60)}")

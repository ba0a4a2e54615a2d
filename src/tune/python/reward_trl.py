"""A reward model by TRL's RewardTrainer: Gemma with one number as its output, by Bradley and Terry's likelihood.

Scores of the held-out pairs are part of the result: scores.jsonl, from which accuracy and calibration are reported.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification
from trl import RewardConfig, RewardTrainer

from facet_job import Job, JobError, Run, run_job
from facet_pairs import PairRow, read_pairs
from facet_trl import (
    Watch,
    is_adapter,
    load_tokenizer,
    loading_options,
    lora_config,
    tokenizing,
    train_and_save,
    training_arguments,
)

SCORES_FILE = "scores.jsonl"
# Rewards are known up to a constant; this holds their mean near 0 (Eisenstein et al. 2023, arXiv:2312.09244).
CENTERING = 0.01


def load_scorer(job: Job) -> Any:
    """The model with a new head of one output; of `start_from`, weights but no adapter."""
    start = job.paths.start_from
    if is_adapter(start):
        raise JobError("paths.start_from holds an adapter; a reward model starts from whole weights: merge it first.")
    source = str(start) if start else job.model
    return AutoModelForSequenceClassification.from_pretrained(source, num_labels=1, **loading_options(job))


def pairs_in(path: Path, tokenizer: Any, job: Job, run: Run) -> list[PairRow]:
    context = job.hyperparameters.context_tokens
    rows, left_out = read_pairs(path, tokenizing(tokenizer), tokenizer.bos_token_id, context)
    if left_out:
        run.record("left_out", file=path.name, rows=left_out, context_tokens=context)
    return rows


def to_dataset(rows: Sequence[PairRow]) -> Dataset:
    """A margin stands in all rows or in none: where only some have one, the others' is 0."""
    columns = [{"chosen_ids": row.chosen, "rejected_ids": row.rejected} for row in rows]
    if any(row.margin is not None for row in rows):
        columns = [column | {"margin": row.margin or 0.0} for column, row in zip(columns, rows, strict=True)]
    return Dataset.from_list(columns)


def score(model: Any, conversations: Sequence[Sequence[int]], pad: int, batch_size: int) -> list[float]:
    """The reward of each, in the order given."""
    device = next(model.parameters()).device
    rewards: list[float] = []
    model.eval()
    for first in range(0, len(conversations), batch_size):
        batch = conversations[first : first + batch_size]
        longest = max(len(ids) for ids in batch)
        ids = torch.tensor([[*one, *[pad] * (longest - len(one))] for one in batch], device=device)
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in batch], device=device)
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            rewards += model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()
    return rewards


def write_scores(path: Path, rows: Sequence[PairRow], rewards: Sequence[float]) -> None:
    """`rewards`: of all chosen answers, then of all rejected ones."""
    with path.open("w", encoding="utf-8") as file:
        for row, chosen, rejected in zip(rows, rewards[: len(rows)], rewards[len(rows) :], strict=True):
            line = {
                "line": row.line,
                "prompt": row.prompt,
                "chosen": chosen,
                "rejected": rejected,
                "chosen_tokens": len(row.chosen),
                "rejected_tokens": len(row.rejected),
            }
            file.write(json.dumps(line | ({} if row.margin is None else {"margin": row.margin})) + "\n")


def train(job: Job, run: Run) -> None:
    if not job.paths.eval:
        raise JobError("paths.eval is null; a reward model is measured on held-out pairs: give eval.jsonl.")
    tokenizer = load_tokenizer(job)
    rows = pairs_in(job.paths.train, tokenizer, job, run)
    held_out = pairs_in(job.paths.eval, tokenizer, job, run)
    trainer = RewardTrainer(
        model=load_scorer(job),
        args=RewardConfig(
            **training_arguments(job, run, evaluated=True),
            max_length=job.hyperparameters.context_tokens,
            center_rewards_coefficient=CENTERING,
        ),
        train_dataset=to_dataset(rows),
        eval_dataset=to_dataset(held_out),
        processing_class=tokenizer,
        peft_config=lora_config(job, "SEQ_CLS"),
        callbacks=[Watch(run)],
    )

    def write(result: Path) -> None:
        # Every process takes part: the weights may be spread over all of them.
        conversations = [row.chosen for row in held_out] + [row.rejected for row in held_out]
        rewards = score(trainer.model, conversations, tokenizer.pad_token_id, job.hyperparameters.batch_size)
        if run.main:
            write_scores(result / SCORES_FILE, held_out, rewards)

    train_and_save(trainer, tokenizer, run, write)


if __name__ == "__main__":
    run_job(train)

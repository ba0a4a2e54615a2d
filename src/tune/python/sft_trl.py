"""Supervised tuning by TRL's SFTTrainer: LoRA, QLoRA or all weights; the loss counts the model's turns alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from facet_chat import encode_file
from facet_job import Job, Run, run_job
from facet_trl import Watch, load_model, load_tokenizer, lora_config, tokenizing, train_and_save, training_arguments

# What PyTorch's cross entropy leaves out.
IGNORED = -100


def to_dataset(path: Path, tokenizer: Any, job: Job, run: Run) -> Dataset:
    context = job.hyperparameters.context_tokens
    rows, left_out = encode_file(path, tokenizing(tokenizer), tokenizer.bos_token_id, context)
    if left_out:
        run.record("left_out", file=path.name, rows=left_out, context_tokens=context)
    return Dataset.from_list(
        [
            {
                "input_ids": row.ids,
                "labels": [id if trained else IGNORED for id, trained in zip(row.ids, row.trained)],
            }
            for row in rows
        ]
    )


def train(job: Job, run: Run) -> None:
    tokenizer = load_tokenizer(job)
    rows = to_dataset(job.paths.train, tokenizer, job, run)
    held_out = to_dataset(job.paths.eval, tokenizer, job, run) if job.paths.eval else None
    arguments = SFTConfig(
        **training_arguments(job, run, evaluated=held_out is not None),
        max_length=job.hyperparameters.context_tokens,
        packing=False,
        # The rows are token ids already, with the labels of the model's turns.
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = SFTTrainer(
        model=load_model(job),
        args=arguments,
        train_dataset=rows,
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=lora_config(job),
        callbacks=[Watch(run)],
    )
    train_and_save(trainer, tokenizer, run)


if __name__ == "__main__":
    run_job(train)

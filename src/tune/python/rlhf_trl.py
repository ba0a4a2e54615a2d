"""Policy optimisation by TRL's RLOOTrainer: REINFORCE with the other samples' mean as its baseline (Ahmadian et al.
2024, arXiv:2402.14740), and a KL term that holds the policy to the model it started from.

Of an adapter every checkpoint is kept in policies/, small as it is, and the adapter that it started from as step 0:
the auto-rater compares them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import AutoModelForSequenceClassification
from trl import RLOOConfig, RLOOTrainer

from facet_chat import END_OF_TURN
from facet_job import DONE_FILE, Job, JobError, Run, run_job, write_json
from facet_pairs import PromptRow, read_prompts
from facet_trl import (
    PACKAGES,
    Watch,
    is_adapter,
    load_model,
    load_tokenizer,
    lora_config,
    tokenizing,
    train_and_save,
    training_arguments,
)
from reward_trl import score

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def load_reward_model(folder: Path | None) -> Any:
    """The result of a reward job: an adapter on the model it names, or whole weights. Frozen, in bfloat16."""
    if folder is None:
        raise JobError("paths.reward_model is null; a policy needs one: train it with kind reward.")
    adapter = is_adapter(folder)
    source = str(folder)
    if adapter:
        source = json.loads((folder / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"]
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1, dtype=torch.bfloat16)
    if adapter:
        model = PeftModel.from_pretrained(model, str(folder))
    return model.eval().requires_grad_(False)


class Reward:
    """Scores the very tokens that were sampled, after those of the prompt: as the reward model was trained."""

    __name__ = "reward"

    def __init__(self, model: Any, ids: Mapping[str, list[int]], pad: int, batch_size: int) -> None:
        """`ids`: the tokens of each prompt, by its text."""
        self.model = model
        self.ids = ids
        self.pad = pad
        self.batch_size = batch_size

    def __call__(self, prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        conversations = [[*self.ids[prompt], *ids] for prompt, ids in zip(prompts, completion_ids, strict=True)]
        return score(self.model.to(device), conversations, self.pad, self.batch_size)


class WatchPolicy(Watch):
    """Keeps the adapter of each checkpoint, and tells KL by answer: TRL's own is by token."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **more: Any) -> None:
        logs = dict(logs or {})
        if "completions/mean_length" in logs:
            logs["length"] = logs["completions/mean_length"]
            if "kl" in logs:
                logs["kl"] *= logs["length"]
        super().on_log(args, state, control, logs, **more)

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        # Before the checkpoint counts as complete: what goes on from it lacks no policy.
        if self.run.main:
            keep_policy(self.run, state.global_step, self.run.folder_of(state.global_step))
        super().on_save(args, state, control, **more)


def keep_policy(run: Run, step: int, source: Path) -> None:
    """Copies an adapter to policies/step-N as a result of its own, with done.json last: buckets rename no folders."""
    kept = run.out / "policies" / f"step-{step}"
    if not is_adapter(source) or (kept / DONE_FILE).exists():
        return
    shutil.rmtree(kept, ignore_errors=True)
    result = kept / "result"
    result.mkdir(parents=True)
    for name in ADAPTER_FILES:
        shutil.copyfile(source / name, result / name)
    write_json(kept / DONE_FILE, run.describe(result, step, PACKAGES))


def spelled(row: PromptRow, tokenizer: Any) -> str:
    """The prompt as a text that gives its tokens: whether <bos> is added to a text differs between versions."""
    for text in (row.text, tokenizer.bos_token + row.text):
        if tokenizer(text)["input_ids"] == row.ids:
            return text
    raise JobError(f"The tokenizer takes the prompt of line {row.line} apart in another way; take a Gemma's own.")


def check_batch(job: Job) -> None:
    chosen = job.hyperparameters
    answers = chosen.batch_size * chosen.gradient_accumulation * job.sharding.data * job.sharding.fsdp
    if answers % chosen.samples_per_prompt != 0:
        raise JobError(
            f"job.json: batch_size times gradient_accumulation times devices is {answers} answers in each update, "
            f"which is no multiple of samples_per_prompt ({chosen.samples_per_prompt}); change one of them."
        )


def train(job: Job, run: Run) -> None:
    check_batch(job)
    if run.main and is_adapter(job.paths.start_from):
        keep_policy(run, 0, job.paths.start_from)
    chosen = job.hyperparameters
    tokenizer = load_tokenizer(job)
    most_tokens = chosen.context_tokens - chosen.answer_tokens
    rows, left_out = read_prompts(job.paths.train, tokenizing(tokenizer), tokenizer.bos_token_id, most_tokens)
    if left_out:
        run.record("left_out", file=job.paths.train.name, rows=left_out, context_tokens=most_tokens)
    # An answer ends with the turn, not with the text. The tokenizer that is saved is another.
    policy_tokenizer = load_tokenizer(job)
    policy_tokenizer.eos_token = END_OF_TURN
    policy_tokenizer.padding_side = "left"
    prompts = {spelled(row, policy_tokenizer): row.ids for row in rows}
    reward = Reward(load_reward_model(job.paths.reward_model), prompts, tokenizer.pad_token_id, chosen.batch_size)
    trainer = RLOOTrainer(
        model=load_model(job),
        reward_funcs=reward,
        args=RLOOConfig(
            # No evaluation while training: whether answers get better, the auto-rater says, not the reward model.
            **training_arguments(job, run, evaluated=False),
            num_generations=chosen.samples_per_prompt,
            max_completion_length=chosen.answer_tokens,
            beta=chosen.kl_coefficient,
            temperature=1.0,
            # Else the policy differs from the start before its first step, and KL is noise.
            disable_dropout=True,
        ),
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=policy_tokenizer,
        peft_config=lora_config(job),
        callbacks=[WatchPolicy(run)],
    )

    def leave_out_start(result: Path) -> None:
        # TRL holds a copy of the adapter that it started from, and saves it too.
        if run.main:
            shutil.rmtree(result / "ref", ignore_errors=True)

    train_and_save(trainer, tokenizer, run, leave_out_start)


if __name__ == "__main__":
    run_job(train)

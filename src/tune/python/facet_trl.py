"""What scripts on Hugging Face's trainers share: model, adapter, settings, and what they tell while they train.

Written for trl 1.13, transformers 5.18, peft 0.21 and accelerate 1.15.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import LoraConfig, PeftModel, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback

from facet_chat import END_OF_TURN, START_OF_TURN
from facet_job import Job, JobError, Preempted, Run

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes")


def load_tokenizer(job: Job) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(job.model)
    for token in (START_OF_TURN, END_OF_TURN):
        if tokenizer.convert_tokens_to_ids(token) in (None, tokenizer.unk_token_id):
            raise JobError(f"The tokenizer of {job.model} has no {token}; take a Gemma.")
    return tokenizer


def tokenizing(tokenizer: Any) -> Callable[[str], list[int]]:
    return lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]


def loading_options(job: Job) -> dict[str, Any]:
    """Of from_pretrained: what is trained is held in float32, what is frozen in bfloat16 or 4 bits."""
    dtype = torch.float32 if job.method == "full" else torch.bfloat16
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "eager"}
    if job.method == "qlora":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        # Weights in 4 bits cannot be moved later: each process loads its own onto its own device.
        options["device_map"] = {"": PartialState().process_index}
    return options


def is_adapter(folder: Path | None) -> bool:
    return folder is not None and (folder / "adapter_config.json").exists()


def load_model(job: Job) -> Any:
    """The model to train; with the adapter of `start_from`, where that holds one."""
    start = job.paths.start_from
    source = str(start) if start and not is_adapter(start) else job.model
    model = AutoModelForCausalLM.from_pretrained(source, **loading_options(job))
    if not is_adapter(start):
        return model
    if job.method == "full":
        raise JobError("paths.start_from holds an adapter, which method full cannot go on with; merge it first.")
    if job.method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=True)
    return PeftModel.from_pretrained(model, str(start), is_trainable=True)


def lora_config(job: Job, task: str = "CAUSAL_LM") -> LoraConfig | None:
    """None where nothing is to be added: all weights are trained, or an adapter is there already."""
    if job.lora is None or is_adapter(job.paths.start_from):
        return None
    return LoraConfig(
        r=job.lora.rank,
        lora_alpha=job.lora.alpha,
        lora_dropout=job.lora.dropout,
        target_modules=job.lora.modules,
        bias="none",
        task_type=task,
    )


def training_arguments(job: Job, run: Run, evaluated: bool) -> dict[str, Any]:
    """Of transformers.TrainingArguments, which every trainer's configuration extends."""
    chosen = job.hyperparameters
    arguments: dict[str, Any] = {
        "output_dir": str(run.checkpoints),
        "num_train_epochs": chosen.epochs,
        "max_steps": chosen.max_steps or -1,
        "learning_rate": chosen.learning_rate,
        "lr_scheduler_type": "cosine",
        "per_device_train_batch_size": chosen.batch_size,
        "per_device_eval_batch_size": chosen.batch_size,
        "gradient_accumulation_steps": chosen.gradient_accumulation,
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "bf16": torch.cuda.is_available(),
        "use_cpu": not torch.cuda.is_available(),
        "seed": chosen.seed,
        "logging_steps": chosen.log_every_steps,
        "logging_first_step": True,
        "save_strategy": "steps",
        "save_steps": chosen.save_every_steps,
        "eval_strategy": "steps" if evaluated else "no",
        "eval_steps": chosen.save_every_steps if evaluated else None,
        "report_to": "none",
    }
    if job.sharding.fsdp > 1:
        # FSDP keeps fewer activations by itself.
        arguments |= {
            "gradient_checkpointing": False,
            "fsdp": True,
            "fsdp_config": {"activation_checkpointing": True},
        }
    return arguments


class Watch(TrainerCallback):
    """Passes on what a trainer does: metrics, finished checkpoints; and stops it where the machine is taken away."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        logs = logs or {}
        if "loss" in logs:
            more = {name: logs[name] for name in ("reward", "kl", "length", "accuracy") if name in logs}
            tokens = int(logs.get("num_tokens", state.num_input_tokens_seen))
            self.run.step(state.global_step, state.max_steps, logs["loss"], logs["learning_rate"], tokens, **more)
        if "eval_loss" in logs:
            more = {"accuracy": logs["eval_accuracy"]} if "eval_accuracy" in logs else {}
            self.run.record("eval", step=state.global_step, loss=logs["eval_loss"], **more)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.run.stopping:
            control.should_save = True
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Every process has a file of its own in the checkpoint.
        PartialState().wait_for_everyone()
        self.run.complete(state.global_step)


def train_and_save(
    trainer: Any, tokenizer: Any, run: Run, add: Callable[[Path], None] = lambda result: None
) -> None:
    """Trains from the newest complete checkpoint, and writes the result. `add` may write more files into it."""
    checkpoint = run.resume()
    PartialState().wait_for_everyone()
    trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
    if run.stopping:
        raise Preempted
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    result = run.begin_result()
    PartialState().wait_for_everyone()
    trainer.save_model(str(result))
    if run.main:
        tokenizer.save_pretrained(str(result))
        # A pickle, which nobody should have to open, and job.json says the same.
        (result / "training_args.bin").unlink(missing_ok=True)
    add(result)
    run.finish(trainer.state.global_step, PACKAGES)

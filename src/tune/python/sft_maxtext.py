"""Supervised tuning by MaxText on TPUs or GPUs: its configuration is written, its programs are run and watched.

Written for maxtext 0.2.3. The base is converted from Hugging Face first, and the result back: with LoRA it is merged.
MaxText's checkpoints are Orbax's, which appear whole; it goes on from the newest by itself.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from facet_chat import read_rows
from facet_job import Job, JobError, Preempted, Run, run_job, write_json

PACKAGES = ("maxtext", "jax", "tunix")
TRAIN = "maxtext.trainers.post_train.sft.train_sft"
TO_MAXTEXT = "maxtext.checkpoint_conversion.to_maxtext"
TO_HUGGING_FACE = "maxtext.checkpoint_conversion.to_huggingface"
# Of maxtext.utils.globals.HF_IDS: the models with converters in both directions.
MODELS: Mapping[str, str] = {
    "gemma-2-2b": "gemma2-2b",
    "gemma-2-9b": "gemma2-9b",
    "gemma-2-27b": "gemma2-27b",
    "gemma-3-4b": "gemma3-4b",
    "gemma-3-12b": "gemma3-12b",
    "gemma-3-27b": "gemma3-27b",
}
# As Gemma's own, without a system turn, which the rows have no more.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
POLL_SECONDS = 5.0


def model_name(job: Job) -> str:
    name = job.model.rsplit("/", 1)[-1].removesuffix("-it").removesuffix("-pt")
    if name not in MODELS:
        raise JobError(
            f"MaxText has no converter back to the Hugging Face layout for {job.model}; "
            f"take framework trl or keras, or one of {', '.join(MODELS)}."
        )
    if job.method == "qlora":
        raise JobError("MaxText does lora and full here, not qlora; take framework trl.")
    if job.paths.start_from:
        raise JobError("MaxText cannot go on from a PEFT adapter; merge it first, or take framework trl.")
    return MODELS[name]


def write_rows(source: Path, target: Path) -> int:
    """The rows, checked, with the system message in the user's turn; how many."""
    count = 0
    with target.open("w", encoding="utf-8") as file:
        for turns in read_rows(source):
            messages = [{"role": turn.role, "content": turn.content} for turn in turns]
            file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
            count += 1
    if count == 0:
        raise JobError(f"{source.name} has no rows; give other data.")
    return count


def to_arguments(settings: Mapping[str, object]) -> list[str]:
    """As OmegaConf reads them from a command line."""
    return [f"{name}={'' if value is None else value}" for name, value in settings.items()]


def lora_settings(job: Job) -> dict[str, object]:
    if not job.lora:
        return {}
    return {
        "enable_nnx": True,
        "pure_nnx_decoder": True,
        "lora.enable_lora": True,
        "lora.lora_rank": job.lora.rank,
        "lora.lora_alpha": job.lora.alpha,
    }


def training_settings(job: Job, run: Run, base: Path, scratch: Path, rows: int, held_out: int) -> dict[str, object]:
    chosen = job.hyperparameters
    at_once = chosen.batch_size * chosen.gradient_accumulation * job.sharding.devices
    steps = max(1, math.ceil(rows * chosen.epochs / at_once))
    settings: dict[str, object] = {
        "run_name": "maxtext",
        "base_output_directory": run.checkpoints,
        "model_name": model_name(job),
        "load_parameters_path": base / "0" / "items",
        "tokenizer_path": job.model,
        "tokenizer_type": "huggingface",
        "chat_template_path": scratch / "chat-template.json",
        "hf_path": "json",
        "hf_train_files": scratch / "train.jsonl",
        "train_split": "train",
        "train_data_columns": '["messages"]',
        "sft_train_on_completion_only": True,
        "packing": False,
        "num_epoch": math.ceil(chosen.epochs),
        "steps": min(steps, chosen.max_steps or steps),
        "per_device_batch_size": chosen.batch_size,
        "gradient_accumulation_steps": chosen.gradient_accumulation,
        "max_target_length": chosen.context_tokens,
        "learning_rate": chosen.learning_rate,
        "data_shuffle_seed": chosen.seed,
        "init_weights_seed": chosen.seed,
        "checkpoint_period": chosen.save_every_steps,
        "async_checkpointing": False,
        "enable_tensorboard": False,
        "metrics_file": scratch / "metrics.jsonl",
        "use_multimodal": False,
        **lora_settings(job),
    }
    if held_out:
        settings |= {
            "eval_interval": chosen.save_every_steps,
            "eval_steps": max(1, held_out // (chosen.batch_size * job.sharding.devices)),
            "hf_eval_files": scratch / "eval.jsonl",
            "hf_eval_split": "train",
            "eval_data_columns": '["messages"]',
        }
    else:
        settings["eval_interval"] = -1
    return settings


def program(module: str, settings: Mapping[str, object], *flags: str) -> list[str]:
    return [sys.executable, "-m", module, *to_arguments(settings), *flags]


def checked_run(command: list[str], what: str) -> None:
    """Its output is the job's: what MaxText says of an error is the best there is."""
    ended = subprocess.run(command, check=False)
    if ended.returncode != 0:
        raise JobError(f"{what} ended with status {ended.returncode}; its last lines are above.")


def convert_base(job: Job, run: Run) -> Path:
    """The base as MaxText reads it, made once by the main process; the others wait for it."""
    base = run.out / "base"
    mark = base / "complete.json"
    if run.main and not mark.exists():
        base.mkdir(parents=True, exist_ok=True)
        cpu = {"hardware": "cpu", "skip_jax_distributed_system": True, "use_multimodal": False, "scan_layers": True}
        settings = {"model_name": model_name(job), "base_output_directory": base, **cpu}
        flags = (f"--hf_model_path={job.model}", "--save_dtype=bfloat16")
        checked_run(program(TO_MAXTEXT, settings, *flags), "The conversion to MaxText")
        write_json(mark, {"model": job.model})
    while not mark.exists():
        if run.stopping:
            raise Preempted
        time.sleep(POLL_SECONDS)
    return base


class Metrics:
    """What MaxText has written into its metrics file since the last look, as ours."""

    def __init__(self, path: Path, job: Job, run: Run, steps: int) -> None:
        self.path, self.job, self.run, self.steps = path, job, run, steps
        self.position = 0
        self.tokens = 0

    def new_lines(self) -> Iterator[dict[str, float]]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.position)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.position += len(line)
                yield json.loads(line)

    def pass_on(self) -> None:
        for line in self.new_lines():
            step = int(line["step"])
            if "eval/avg_loss" in line:
                self.run.record("eval", step=step, loss=line["eval/avg_loss"])
            if "learning/loss" in line:
                self.tokens += int(line.get("learning/total_weights", 0))
                if step == 1 or step == self.steps or step % self.job.hyperparameters.log_every_steps == 0:
                    rate = line.get("learning/current_learning_rate", self.job.hyperparameters.learning_rate)
                    self.run.step(step, self.steps, line["learning/loss"], rate, self.tokens)


def watch(command: list[str], metrics: Metrics, run: Run) -> None:
    """Runs MaxText to its end, or to the moment when the machine is taken away."""
    process = subprocess.Popen(command)
    while process.poll() is None:
        if run.stopping:
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise Preempted
        metrics.pass_on()
        time.sleep(POLL_SECONDS)
    metrics.pass_on()
    if process.returncode != 0:
        raise JobError(f"MaxText ended with status {process.returncode}; its last lines are above.")


def saved_steps(folder: Path) -> list[int]:
    """Orbax writes a checkpoint beside and renames it: what has a number for a name is whole."""
    return sorted(int(path.name) for path in folder.glob("*") if path.is_dir() and path.name.isdecimal())


def train(job: Job, run: Run) -> None:
    name = model_name(job)
    scratch = Path(os.environ.get("TMPDIR", "/tmp")) / job.run
    scratch.mkdir(parents=True, exist_ok=True)
    rows = write_rows(job.paths.train, scratch / "train.jsonl")
    held_out = write_rows(job.paths.eval, scratch / "eval.jsonl") if job.paths.eval else 0
    write_json(scratch / "chat-template.json", {"chat_template": CHAT_TEMPLATE})
    base = convert_base(job, run)
    settings = training_settings(job, run, base, scratch, rows, held_out)
    steps = int(str(settings["steps"]))
    checkpoints = run.checkpoints / "maxtext" / "checkpoints"
    before = saved_steps(checkpoints)
    if before:
        run.record("resume", step=before[-1])
    metrics = Metrics(scratch / "metrics.jsonl", job, run, steps)
    watch(program(TRAIN, settings), metrics, run)
    saved = saved_steps(checkpoints)
    if not saved:
        raise JobError("MaxText has written no checkpoint; its log says why.")
    result = run.begin_result()
    if run.main:
        parameters = checkpoints / str(saved[-1]) / "model_params"
        source: dict[str, object] = {"load_parameters_path": parameters}
        if job.lora:
            source = {
                "load_parameters_path": base / "0" / "items",
                "lora.lora_restore_path": parameters,
                **{key: value for key, value in lora_settings(job).items() if "lora_" in key},
            }
        export: dict[str, object] = {
            "model_name": name,
            **source,
            "base_output_directory": result,
            "hardware": "cpu",
            "skip_jax_distributed_system": True,
            "use_multimodal": False,
            "scan_layers": True,
            "weight_dtype": "bfloat16",
        }
        flags = (f"--hf_model_path={job.model}",)
        checked_run(program(TO_HUGGING_FACE, export, *flags), "The conversion from MaxText")
    run.finish(saved[-1], PACKAGES)


if __name__ == "__main__":
    run_job(train)

"""What every tuning job shares: settings, metrics, checkpoints that survive preemption, and the result's digests.

Needs nothing but Python 3.10 or later. A script is started in the folder that holds it and job.json, whose `paths`
say where the data is and where everything that is written goes: a mounted bucket, or a folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.jsonl"
COMPLETE_FILE = "complete.json"
DONE_FILE = "done.json"
KEPT_CHECKPOINTS = 2
# What a process ended by SIGTERM exits with: whoever restarts jobs tells it from a mistake.
PREEMPTED_STATUS = 143
GEMMA_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class JobError(Exception):
    """A mistake that one sentence explains: what is wrong, where, and what to do."""


class Preempted(Exception):
    """The machine is being taken away; the next attempt goes on from the newest complete checkpoint."""


# Settings. A check returns the value, or raises JobError with the field's name.

Check = Callable[[Any, str], Any]


def shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"


def must(holds: Callable[[Any], bool], what: str) -> Check:
    def check(value: Any, name: str) -> Any:
        if holds(value):
            return value
        raise JobError(f"job.json: {name} must be {what}, but is {shown(value)}.")

    return check


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def whole(least: int, most: int = 2**53) -> Check:
    what = f"a whole number of at least {least}" if most == 2**53 else f"a whole number from {least} to {most}"
    return must(lambda value: type(value) is int and least <= value <= most, what)


def one_of(*choices: str) -> Check:
    return must(lambda value: value in choices, f"one of {', '.join(choices)}")


def or_null(check: Check) -> Check:
    return lambda value, name: None if value is None else check(value, name)


text = must(lambda value: isinstance(value, str) and value.strip() != "", "a text that is not empty")
positive = must(lambda value: is_number(value) and value > 0, "a number above 0")
not_negative = must(lambda value: is_number(value) and value >= 0, "a number of at least 0")
share = must(lambda value: is_number(value) and 0 <= value < 1, "a number from 0 to below 1")
path: Check = lambda value, name: Path(text(value, name))  # noqa: E731
modules = must(
    lambda value: isinstance(value, list) and value != [] and all(one in GEMMA_MODULES for one in value),
    f"a list of some of {', '.join(GEMMA_MODULES)}",
)

SETTINGS: Mapping[str, Check] = {
    "format": must(lambda value: value == 1, "1, the only format that is known"),
    "run": text,
    "kind": one_of("sft", "reward", "rlhf"),
    "framework": one_of("trl", "keras", "maxtext", "nemo"),
    "backend": or_null(one_of("jax", "torch", "tensorflow")),
    "model": text,
    "method": one_of("lora", "qlora", "full"),
    "lora": or_null(lambda value, name: Lora(**checked(value, LORA, name))),
    "hyperparameters": lambda value, name: Hyperparameters(**checked(value, HYPERPARAMETERS, name, RLHF)),
    "sharding": lambda value, name: Sharding(**checked(value, SHARDING, name)),
    "hosts": whole(1),
    "paths": lambda value, name: Paths(**checked(value, PATHS, name)),
}
LORA: Mapping[str, Check] = {"rank": whole(1, 256), "alpha": positive, "dropout": share, "modules": modules}
HYPERPARAMETERS: Mapping[str, Check] = {
    "epochs": positive,
    "max_steps": or_null(whole(1)),
    "learning_rate": positive,
    "batch_size": whole(1),
    "gradient_accumulation": whole(1),
    "context_tokens": whole(8),
    "seed": whole(0, 2**32 - 1),
    "save_every_steps": whole(1),
}
RLHF: Mapping[str, Check] = {"kl_coefficient": not_negative, "samples_per_prompt": whole(2), "answer_tokens": whole(1)}
SHARDING: Mapping[str, Check] = {"data": whole(1), "fsdp": whole(1), "tensor": whole(1)}
PATHS: Mapping[str, Check] = {
    "train": path,
    "eval": or_null(path),
    "out": path,
    "start_from": or_null(path),
    "reward_model": or_null(path),
}


@dataclass(frozen=True)
class Lora:
    rank: int
    alpha: float
    dropout: float
    modules: list[str]


@dataclass(frozen=True)
class Hyperparameters:
    epochs: float
    max_steps: int | None
    learning_rate: float
    batch_size: int
    gradient_accumulation: int
    context_tokens: int
    seed: int
    save_every_steps: int
    # Of rlhf.
    kl_coefficient: float = 0.0
    samples_per_prompt: int = 2
    answer_tokens: int = 1

    @property
    def log_every_steps(self) -> int:
        """Often enough for a curve, seldom enough for a bucket, which takes one write a second to a file."""
        return max(1, min(10, self.save_every_steps // 5))


@dataclass(frozen=True)
class Sharding:
    """How the devices share the work; the product is their number."""

    data: int
    fsdp: int
    tensor: int

    @property
    def devices(self) -> int:
        return self.data * self.fsdp * self.tensor


@dataclass(frozen=True)
class Paths:
    train: Path
    eval: Path | None
    out: Path
    start_from: Path | None
    reward_model: Path | None


@dataclass(frozen=True)
class Job:
    """job.json, checked."""

    format: int
    run: str
    kind: str
    framework: str
    backend: str | None
    model: str
    method: str
    lora: Lora | None
    hyperparameters: Hyperparameters
    sharding: Sharding
    hosts: int
    paths: Paths


def checked(
    value: Any, required: Mapping[str, Check], name: str, optional: Mapping[str, Check] | None = None
) -> dict[str, Any]:
    checks = {**required, **(optional or {})}
    if not isinstance(value, dict):
        raise JobError(f"job.json: {name or 'it'} must be an object, but is {shown(value)}.")
    prefix = f"{name}." if name else ""
    for key in value:
        if key not in checks:
            raise JobError(f"job.json: {prefix}{key} is not known; there are {', '.join(checks)}.")
    for key in required:
        if key not in value:
            raise JobError(f"job.json: {prefix}{key} is missing; add it.")
    return {key: checks[key](one, prefix + key) for key, one in value.items()}


def parse_job(value: Any) -> Job:
    job = Job(**checked(value, SETTINGS, ""))
    if job.method == "full" and job.lora:
        raise JobError("job.json: lora must be null where method is full; leave one of them out.")
    if job.method != "full" and not job.lora:
        raise JobError(f"job.json: lora is null, but method {job.method} needs it; give rank and alpha.")
    return job


def read_job(folder: Path) -> Job:
    path = folder / "job.json"
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        where = folder.absolute()
        raise JobError(f"There is no {path.name} in {where}; start the script where Facet put it.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise JobError(f"{path.name} is not JSON ({error}); have Facet write it again.") from None
    return parse_job(value)


# Files.


def write_json(path: Path, value: object) -> None:
    """Appears whole or not at all."""
    beside = path.with_name(f"{path.name}.tmp")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    step: int
    folder: Path


class Run:
    """Everything that one attempt at a job writes. Of several processes one, the main one, writes."""

    def __init__(self, job: Job, main: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self.job = job
        self.main = main
        self.out = out = job.paths.out
        self.checkpoints = out / "checkpoints"
        self.result = out / "result"
        self.stopping = False
        self._clock = clock
        self._begun = clock()
        if main:
            self.checkpoints.mkdir(parents=True, exist_ok=True)

    # Metrics.

    def record(self, what: str, **values: object) -> None:
        """One line in metrics.jsonl and on standard output. The file is closed again: a mounted bucket has it then."""
        if not self.main:
            return
        line = json.dumps({"facet": what, **values}, ensure_ascii=False)
        path = self.out / METRICS_FILE
        with path.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                # The attempt before was cut off in the middle of a line.
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(f"{line}\n".encode())
        print(line, flush=True)

    def step(self, step: int, steps: int, loss: float, learning_rate: float, tokens: int, **more: float) -> None:
        if not math.isfinite(loss):
            raise JobError(f"The loss at step {step} is {loss}: the training diverges; lower learning_rate.")
        seconds = round(self._clock() - self._begun, 3)
        shared = {"step": step, "steps": steps, "loss": loss, "learning_rate": learning_rate}
        self.record("step", **shared, tokens=tokens, seconds=seconds, **more)

    # Checkpoints.

    def folder_of(self, step: int) -> Path:
        return self.checkpoints / f"checkpoint-{step}"

    def newest(self) -> Checkpoint | None:
        return next(reversed(self._complete()), None)

    def resume(self) -> Checkpoint | None:
        """The newest complete checkpoint, after half-written ones are deleted; None: this is the beginning."""
        if self.main:
            whole_ones = {checkpoint.folder for checkpoint in self._complete()}
            for path in self._folders():
                if path not in whole_ones:
                    shutil.rmtree(path)
        newest = self.newest()
        if newest:
            self.record("resume", step=newest.step)
        return newest

    def complete(self, step: int, folder: Path | None = None) -> None:
        """Marks a checkpoint as whole, and deletes the oldest ones. `folder`: default folder_of(step)."""
        if not self.main:
            return
        folder = folder or self.folder_of(step)
        files = [path for path in files_in(folder) if path.name != COMPLETE_FILE]
        if not files:
            raise JobError(f"{folder} holds no files; the framework saved no checkpoint there.")
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
        write_json(folder / COMPLETE_FILE, {"step": step, "files": sizes})
        self.record("save", step=step)
        for old in self._complete()[:-KEPT_CHECKPOINTS]:
            # Without its mark first: what is left after a kill in between is half-written, not complete.
            (old.folder / COMPLETE_FILE).unlink()
            shutil.rmtree(old.folder)

    def _folders(self) -> list[Path]:
        """Also under the names that NeMo AutoModel gives them; not its links to them."""
        names = [*self.checkpoints.glob("checkpoint-*"), *self.checkpoints.glob("epoch_*_step_*")]
        return [path for path in names if path.is_dir() and not path.is_symlink()]

    def _complete(self) -> list[Checkpoint]:
        """In the order of steps."""
        found = [Checkpoint(step, path) for path in self._folders() if (step := completed_step(path)) is not None]
        return sorted(found, key=lambda one: one.step)

    # The end.

    @property
    def done(self) -> bool:
        return (self.out / DONE_FILE).exists()

    def begin_result(self) -> Path:
        """An empty folder for the result."""
        if self.main:
            shutil.rmtree(self.result, ignore_errors=True)
            self.result.mkdir(parents=True)
        return self.result

    def finish(self, steps: int, packages: Sequence[str]) -> None:
        """Writes done.json last."""
        if not self.main:
            return
        done = self.describe(self.result, steps, packages)
        write_json(self.out / DONE_FILE, done)
        self.record("done", files=done["files"])

    def describe(self, result: Path, steps: int, packages: Sequence[str]) -> dict[str, Any]:
        """What done.json says: sizes and digests of a result's files, and the versions that made them."""
        kind = "adapter" if (result / "adapter_config.json").exists() else "checkpoint"
        wanted = "adapter_model.safetensors" if kind == "adapter" else "config.json"
        if not (result / wanted).exists():
            raise JobError(f"{result} holds no {wanted}; the framework wrote no result.")
        return {
            "kind": kind,
            "base": self.job.model,
            "method": self.job.method,
            "steps": steps,
            "versions": {name: version_of(name) for name in packages},
            "files": [
                {"path": path.relative_to(result).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_of(path)}
                for path in files_in(result)
            ],
        }

    # Preemption.

    def stop_on_sigterm(self) -> None:
        """Spot machines are taken away with SIGTERM and some seconds; scripts look at `stopping` after each step."""

        def stop(*_: object) -> None:
            self.stopping = True

        signal.signal(signal.SIGTERM, stop)


def completed_step(folder: Path) -> int | None:
    """Of a checkpoint whose complete.json is there, and whose files have the sizes that it names; else None."""
    try:
        mark = json.loads((folder / COMPLETE_FILE).read_text("utf-8"))
        whole_files = all((folder / name).stat().st_size == size for name, size in mark["files"].items())
        return int(mark["step"]) if whole_files else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def is_main_process() -> bool:
    """As torchrun, accelerate and JobSet number them; alone, a process is the main one."""
    return os.environ.get("RANK", os.environ.get("JOB_COMPLETION_INDEX", "0")) == "0"


def explained(error: BaseException) -> str | None:
    """The sentence for errors that people cause or can do something about; None: a bug, whose traceback is wanted."""
    if isinstance(error, JobError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"There is no space left for {error.filename or 'the output'}; free some and start the job again: "
            "it goes on from its newest complete checkpoint."
        )
    if type(error).__name__ == "GatedRepoError" or "gated repo" in str(error):
        return (
            "The model's licence is not accepted by the account of HF_TOKEN; accept it on the model's page on "
            "huggingface.co, and give a token of that account."
        )
    if type(error).__name__ == "OutOfMemoryError" or "RESOURCE_EXHAUSTED" in str(error):
        return (
            "The accelerator's memory does not suffice; lower batch_size or context_tokens, take method qlora, "
            "or a larger accelerator."
        )
    return None


def run_job(train: Callable[[Job, Run], None], folder: Path = Path(".")) -> None:
    """A script's whole life: reads the settings, trains, turns what went wrong into one sentence and a status."""
    try:
        job = read_job(folder)
        run = Run(job, main=is_main_process())
        if run.done:
            print("The job is done already.", flush=True)
            return
        run.stop_on_sigterm()
        train(job, run)
    except Preempted:
        sys.exit(PREEMPTED_STATUS)
    except Exception as error:
        sentence = explained(error)
        if sentence is None:
            raise
        print(json.dumps({"facet": "error", "message": sentence}, ensure_ascii=False), flush=True)
        sys.exit(1)

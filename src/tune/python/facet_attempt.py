"""Starts a job's script as one of many attempts: counts those whose machine was taken away, up to a limit.

Needs nothing but Python 3.10 or later. Kubernetes makes a new pod for each that is preempted, without counting;
what is counted here lies where the job writes, so that it survives every machine.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from facet_job import JobError, is_main_process, read_job, write_json

# The job ends for good with this status: see podFailurePolicy.
LIMIT_STATUS = 77
CRASH_SUFFIX = ".crash.json"


def begin(folder: Path) -> tuple[int, int, Path]:
    """This attempt's number, how many before it were preempted, and its own file."""
    folder.mkdir(parents=True, exist_ok=True)
    before = [path for path in folder.glob("*.json") if not path.name.endswith(CRASH_SUFFIX)]
    crashed = list(folder.glob(f"*{CRASH_SUFFIX}"))
    number = len(before) + 1
    # An attempt that ended well has no successor: the others were taken away.
    preemptions = len(before) - len(crashed)
    path = folder / f"{number:04}.json"
    write_json(path, {"attempt": number, "preemptions": preemptions})
    return number, preemptions, path


def install(packages: list[str], target: Path) -> None:
    """Beside the image, whose own folders nobody can write."""
    if packages:
        pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--quiet"]
        command = [*pip, "--target", str(target), *packages]
        if subprocess.run(command, check=False).returncode != 0:
            raise JobError(f"The packages {', '.join(packages)} cannot be installed; the lines before say why.")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(target), os.environ.get("PYTHONPATH")]))


def run(command: list[str]) -> tuple[int, bool]:
    """The status of the command, and whether it was told to end."""
    told = False
    child = subprocess.Popen(command)

    def stop(*_: object) -> None:
        nonlocal told
        told = True
        child.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    status = child.wait()
    return (128 - status if status < 0 else status), told


def say(what: str, **values: object) -> None:
    print(json.dumps({"facet": what, **values}, ensure_ascii=False), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int, required=True)
    # Attempts of one launch belong together: whoever starts the job anew starts with none.
    parser.add_argument("--launch", default="1")
    parser.add_argument("--package", action="append", default=[])
    parser.add_argument("--packages-folder", type=Path, default=Path("/cache/packages"))
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    try:
        job = read_job(Path("."))
        path = None
        if is_main_process():
            number, preemptions, path = begin(job.paths.out / "attempts" / (options.launch or "1"))
            say("attempt", attempt=number, preemptions=preemptions)
            if preemptions > options.limit:
                times = f"{options.limit} times" if options.limit > 1 else "once"
                say("error", message=f"The machines were taken away more than {times}, which is the limit.")
                return LIMIT_STATUS
        install(options.package, options.packages_folder)
        status, told = run([one for one in options.command if one != "--"])
        if path is not None and status != 0 and not told:
            write_json(path.with_name(path.stem + CRASH_SUFFIX), {"status": status})
        return status
    except JobError as error:
        say("error", message=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""Run commands that are killed, or whose disk is full, at a given step; a process of its own, whose children they are.

Each line of the input is a job in JSON, and each line of the output what came of it. `kill_at` and `full_at` count the
operations on files of the folder of the job; `file_size` limits what a file may grow to, as a quota does.
"""

import errno
import hashlib
import json
import os
import resource
import signal
import sys
import traceback
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from soundspot.cli.main import COMMANDS, main
from soundspot.models.fetch import FETCHABLE

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.copyfile", "sqlite3.connect"}


def watch_files(folder: str, kill_at: int | None, full_at: int | None) -> list[int]:
    """Count operations that change files of a folder; at a number the process is killed, or no more room is left."""
    counts = [0]

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not (is_write or event in CHANGES):
            return
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else folder
        if not os.path.abspath(path).startswith(folder):
            return
        counts[0] += 1
        if counts[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if full_at is not None and counts[0] >= full_at and (is_write or event == "os.mkdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    sys.addaudithook(on_event)
    return counts


def run_job(job: dict[str, Any], output: int, log: int) -> None:
    """Run a command in this process, a child, which ends here."""
    os.chdir(job["folder"])
    os.environ["SOUNDSPOT_CACHE"] = f"{job['folder']}/cache"
    if job["command"][0] == "models":  # random weights in place of released ones
        digest = hashlib.sha256(Path("aisfx.pth").read_bytes()).hexdigest()
        FETCHABLE["aisfx"] = replace(FETCHABLE["aisfx"], sha256=digest)
    os.dup2(log, 1), os.dup2(log, 2)  # a pipe: what is printed has no limit of size
    os.close(log)
    if job.get("file_size") is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_size"], job["file_size"]))
    counts = watch_files(job["folder"], job.get("kill_at"), job.get("full_at"))
    code = 99
    try:
        code = main(job["command"])
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush(), sys.stderr.flush()
    os.write(output, json.dumps(counts).encode())
    os._exit(code)


if __name__ == "__main__":
    import onnxscript  # noqa: F401  # what commands import at work, once for all of them
    import torch
    from transformers import ViTForImageClassification  # noqa: F401

    torch.set_num_threads(1)
    for target in COMMANDS.values():
        import_module(f"soundspot.cli.{target.partition('.')[0]}")
    for name in (
        "training.fit",
        "training.adapt",
        "export",
        "search",
        "study.run",
        "benchmark.release",
        "benchmark.compose",
        "benchmark.audio",
        "evaluation.report.html",
        "inference.localizer",
    ):
        import_module(f"soundspot.{name}")
    for line in sys.stdin:
        job = json.loads(line)
        (reading, writing), (text_in, text_out) = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            run_job(job, writing, text_out)
        os.close(writing), os.close(text_out)
        with os.fdopen(text_in, errors="replace") as printed, os.fdopen(reading, "rb") as file:
            text, counts = printed.read(), json.loads(file.read() or b"[0]")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(json.dumps({"code": code, "steps": counts[0], "text": text}) + "\n")
        sys.stdout.flush()

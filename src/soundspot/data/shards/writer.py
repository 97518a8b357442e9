"""Inputs become samples of shards, in their order, whoever makes them; a run goes on where it was stopped.

Samples are written in the order of the inputs, so the bytes of the shards depend neither on how many processes worked
nor on how often they were stopped.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from sys import intern
from typing import Any, Protocol, TypeAlias, runtime_checkable

from soundspot._version import __version__
from soundspot.data.shards.format import ShardWriter, complete_samples, get_draft_path
from soundspot.errors import DataError, OutputError
from soundspot.utils.atomic_io import (
    DiskFullError,
    atomic_write_bytes,
    convert_os_errors,
    format_bytes,
    lock_folder,
    write_all,
)

MANIFEST, JOURNAL = "prepared.json", "journal.jsonl"


@dataclass(frozen=True)
class SampleRecord:
    """What became of one input: the parts of its sample, or why there are none.

    Attributes:
        cause: of the failure, in a word or two; empty where there is none.
        told: the message of the failure, or what was odd.
    """

    files: dict[str, bytes]
    cause: str = ""
    message: str = ""


@runtime_checkable
class SampleReader(Protocol):
    """Makes a sample of an input, by its name. Travels to other processes, and whatever is wrong is an answer."""

    def key(self, name: str) -> str: ...
    def __call__(self, name: str) -> SampleRecord: ...


Executor: TypeAlias = Callable[[SampleReader, Sequence[str]], Iterator[SampleRecord]]
"""Who does the work: samples of the inputs, in their order (`soundspot.data.shards.executors`)."""


def write_shards(
    reader: SampleReader,
    names: Sequence[str],
    output: Path,
    options: dict[str, Any],
    executor: Executor,
    shard_size: int = 500,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    retry: bool = False,
) -> Counter[str]:
    """Shards of some inputs.

    Each input is read once: what became of it stands in `journal.jsonl`, a line each, in the order of the inputs; those
    that have come since go to the end. A failure is a line too, and its input is tried again only where that is asked
    for; then it goes to the end too, and its last line holds.

    Args:
        names: of the inputs.
        output: folder of the shards.
        how: what is written down beside them, and must be the same when the run goes on.
        shard_size: inputs in a shard.
        seen: is called with (inputs done, inputs in all).
        retry: try inputs again that failed.

    Returns:
        How many inputs failed, by cause; "" are those that did not.

    Raises:
        DataError: two inputs would have the same key. OutputError: the folder holds something else, or shards that were
            made otherwise; FullError: the disk is full, and what was written until then is kept.
    """
    if shard_size < 1:
        raise OutputError(f"shard_size: found {shard_size}, expected 1 or more inputs in a shard")
    with lock_folder(output) if output.is_dir() else nullcontext():  # the plan is not changed under a run either
        names = update_manifest(reader, names, output, {"how": options, "shard_size": shard_size}, retry)
    with lock_folder(output), Journal(output / JOURNAL) as journal:
        try:
            _write(reader, names, output, executor, shard_size, on_progress, journal)
        except DiskFullError as error:
            raise DiskFullError(f"{error}{_wanted(output, len(journal.causes), len(names))}") from error
    return Counter(dict(zip(names, journal.causes, strict=True)).values())


def _write(
    make: SampleReader,
    names: Sequence[str],
    output: Path,
    engine: Executor,
    shard_size: int,
    seen: Callable[[int, int], None],
    journal: "Journal",
) -> None:
    """The shards from where the journal ends."""
    causes = journal.causes
    _cut_back(make, names, output, shard_size, journal)
    samples = iter(engine(make, names[len(causes) :]))
    seen(len(causes), len(names))
    for first in range(0, len(names), shard_size):
        some = names[first : first + shard_size]
        done = causes[first : first + len(some)]
        path = output / f"shard-{first // shard_size:06d}.tar"
        if path.exists():
            if len(done) == len(some):
                continue
            path.rename(get_draft_path(path))  # the last one, and videos have come since
        kept = [name for name, cause in zip(some, done, strict=False) if not cause]
        with ShardWriter(path, {make.key(name) for name in kept}) as writer:
            if len(writer.index) < len(kept):
                _make_again(make, kept, engine, writer)
            for name in some[len(done) :]:
                if (sample := next(samples, None)) is None:
                    raise OutputError(
                        f"{output}: the engine ended after {len(causes)} of {len(names)} inputs. What was made is "
                        "kept: give the same command again, and it goes on from there"
                    )
                if sample.files:
                    writer.add(make.key(name), sample.files)
                journal.append(name, make.key(name), sample)
                seen(len(causes), len(names))
            writer.close()


def _cut_back(make: SampleReader, names: Sequence[str], output: Path, shard_size: int, journal: "Journal") -> None:
    """Takes back what the journal says of the shard that is being written and its draft does not hold, as after a power
    failure, when one file may have come further than the other."""
    done = len(journal.causes)
    first = max(0, done - 1) // shard_size * shard_size
    path = output / f"shard-{first // shard_size:06d}.tar"
    if path.exists():
        return
    there = complete_samples(get_draft_path(path)) if get_draft_path(path).exists() else {}
    for place in range(first, done):
        if not journal.causes[place] and make.key(names[place]) not in there:
            journal.truncate(place)
            return


def _make_again(make: SampleReader, kept: Sequence[str], engine: Executor, writer: ShardWriter) -> None:
    """A shard that was whole and is gone, of the inputs that it held."""
    writer.clear()
    for name, sample in zip(kept, engine(make, kept), strict=True):
        if not sample.files:
            raise OutputError(
                f"{writer.path}: found no such shard, and {name}, which it held, can no longer be read "
                f"({sample.cause}: {sample.message}). Put the shard back, or the input"
            )
        writer.add(make.key(name), sample.files)


def _wanted(output: Path, done: int, of: int) -> str:
    """How much room the rest will take, as a sentence, as far as what is done can tell."""
    if not done:
        return ""
    written = sum(path.stat().st_size for path in output.iterdir() if path.is_file())
    return f". The {of - done} inputs that are left will take some {format_bytes(written / done * (of - done))}"


def update_manifest(
    reader: SampleReader, names: Sequence[str], output: Path, settings: dict[str, Any], retry: bool = False
) -> list[str]:
    """The inputs in order, as the output folder knows them already or from now on; failures once more at the end, where
    they are to be tried again."""
    file = output / MANIFEST
    known: list[str] = check_manifest(output, settings).get("inputs", [])
    new = set(names) - set(known)
    again: list[str] = []
    if known:
        with Journal(output / JOURNAL) as journal:
            done = len(journal.causes)
        if done > len(known):  # inputs that are added now would pass for done
            raise OutputError(
                f"{journal.path}: found {done} lines for the {len(known)} inputs of {MANIFEST}, expected no more than "
                "those. They are of different runs: put back the one that was there, or write elsewhere"
            )
    if retry and known:
        last = dict(zip(known[:done], journal.causes, strict=True))
        able = set(names) - set(known[done:])
        again = [name for name, cause in last.items() if cause and name in able]
    names = [*known, *again, *(name for name in names if name in new)]
    keys: dict[str, str] = {}
    for name in names:
        other = keys.setdefault(reader.key(name), name)
        if other != name:
            raise DataError(
                f"{other} and {name} would both be the sample {reader.key(name)!r}, expected one of a name. Rename one"
            )
    if names != known:
        with convert_os_errors(file):
            output.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"soundspot": __version__, **settings, "inputs": names}, indent=1, ensure_ascii=False)
        atomic_write_bytes(file, f"{text}\n".encode())
    return names


def check_manifest(output: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The plan that an output folder has already, nothing where it is new; OutputError where that is another one than
    `told`, or the folder holds something else."""
    file = output / MANIFEST
    if file.exists():
        try:
            before: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise OutputError(
                f"{file}: found no JSON ({error}), expected the plan of these shards. Put it back, or write elsewhere"
            ) from error
        if {key: before.get(key) for key in settings} != settings:
            raise OutputError(
                f"{output}: holds what was prepared otherwise (see {file}); give the same options, or write elsewhere"
            )
        return before
    if output.exists() and any(path.name != f"{MANIFEST}.part" for path in output.iterdir()):  # of a run killed at once
        raise OutputError(f"{output}: holds something else (there is no {MANIFEST} in it). Write elsewhere")
    return {}


def remaining_inputs(output: Path) -> list[str]:
    """The inputs that a stopped run has not come to."""
    if not (output / MANIFEST).exists():
        return []
    inputs: list[str] = json.loads((output / MANIFEST).read_text(encoding="utf-8"))["inputs"]
    journal = output / JOURNAL
    return inputs[journal.read_bytes().count(b"\n") if journal.exists() else 0 :]


class Journal:
    """What became of each input, a line of JSON each; a line that a killed process did not end is cut off.

    Attributes:
        causes: of the failures, in the order of the inputs; empty where there was none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_bytes() if path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        self.causes: list[str] = []
        self._ends = [0]  # of the lines, in bytes
        for number, line in enumerate(whole.splitlines(keepends=True), 1):
            try:
                self.causes.append(intern(json.loads(line)["cause"]))
            except (ValueError, KeyError, TypeError) as error:
                raise OutputError(
                    f"{path}: found a damaged line ({number}: {error}), expected JSON with a cause. Cut the file off "
                    "before it, and what it told of is read again"
                ) from error
            self._ends.append(self._ends[-1] + len(line))
        with convert_os_errors(path):
            self._file = FileIO(path, "rb+" if path.exists() else "wb")
        self.truncate(len(self.causes))

    def truncate(self, lines: int) -> None:
        """Keeps that many lines."""
        del self.causes[lines:], self._ends[lines + 1 :]
        with convert_os_errors(self.path):
            self._file.truncate(self._ends[-1])
            self._file.seek(self._ends[-1])

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, name: str, key: str, sample: SampleRecord) -> None:
        line = {"input": name, "key": key, "cause": sample.cause, "told": sample.message}
        text = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        with convert_os_errors(self.path):
            write_all(self._file, text)
        self.causes.append(intern(sample.cause))
        self._ends.append(self._ends[-1] + len(text))

"""Writing of shards: inputs become samples in their order, whoever reads them; a stopped run is continued.

Samples are written in the order of the inputs, so the bytes of the shards depend neither on how many processes worked
nor on how often they were stopped.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from soundspot.utils.safe_read import parse_json, read_json_object

MANIFEST, JOURNAL = "prepared.json", "journal.jsonl"


@dataclass(frozen=True)
class SampleRecord:
    """Result of reading one input: the files of its sample, or a failure.

    Attributes:
        files: bytes of each file by its suffix; empty after a failure.
        cause: cause of the failure, in a word or two; empty where there is none.
        message: message of the failure, or a warning about the sample.
    """

    files: dict[str, bytes]
    cause: str = ""
    message: str = ""


@runtime_checkable
class SampleReader(Protocol):
    """Reader that makes a sample of an input; it is called with the input's name and returns a `SampleRecord`.

    It is copied to other processes. A failure is a record with a cause; what it raises becomes one (`read_input`).
    """

    def key(self, name: str) -> str:
        """Return the key of the input's sample in shards.

        Args:
            name: name of the input.

        Returns:
            Key without dots, unique among the inputs.
        """
        ...

    def __call__(self, name: str) -> SampleRecord: ...


@runtime_checkable
class ShardSource(SampleReader, Protocol):
    """Sample reader whose samples are written as shards."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings that the samples depend on, as JSON values; a run is only continued with equal settings."""
        ...

    @property
    def shard_size(self) -> int:
        """Number of inputs in a shard, failed inputs included."""
        ...


Executor: TypeAlias = Callable[[SampleReader, Sequence[str]], Iterator[SampleRecord]]
"""Function that reads inputs somewhere and yields their samples in order (`soundspot.data.shards.executors`)."""


def write_shards(
    source: ShardSource,
    inputs: Sequence[str],
    output: Path,
    executor: Executor,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    retry: bool = False,
) -> Counter[str]:
    """Write inputs as shards; a stopped run is continued.

    Each input is read once and has a line in `journal.jsonl`, in the order of the inputs; new inputs are added at the
    end. A failure is a line too. With `retry` its input is added once more at the end, and its last line counts.

    Args:
        source: reader of the inputs, with the settings of the run.
        inputs: names of the inputs.
        output: folder of the shards, created if need be.
        executor: executor that reads the inputs.
        on_progress: called with (inputs done, inputs in all).
        retry: whether inputs that failed in an earlier run are read again.

    Returns:
        Number of inputs by cause of failure, those of earlier runs included; "" counts those that were written.

    Raises:
        DataError: two inputs would have the same key.
        OutputError: the folder holds something else, or shards with other settings.
        DiskFullError: the disk is full; what was written until then is kept.
    """
    _check_keys(source, [*read_manifest(output, source.settings).get("inputs", []), *inputs])
    with convert_os_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    with lock_folder(output):
        known = read_manifest(output, source.settings).get("inputs", [])
        if not known:
            known = list(inputs)
            write_manifest(output, {**source.settings, "inputs": known})
        with Journal(output / JOURNAL) as journal:
            done = len(journal.causes)
            if done > len(known):  # inputs that are added now would pass for done
                raise OutputError(
                    f"{journal.path}: found {done} lines for the {len(known)} inputs of {MANIFEST}, expected no more "
                    "than those. They are of different runs: put back the one that was there, or write elsewhere"
                )
            outcomes = dict(zip(known[:done], journal.causes, strict=True)) if retry else {}
            readable = set(inputs) - set(known[done:])
            failed = [name for name, cause in outcomes.items() if cause and name in readable]
            new = set(inputs) - set(known)
            extended = [*known, *failed, *(name for name in inputs if name in new)]
            if extended != known:
                write_manifest(output, {**source.settings, "inputs": extended})
            try:
                _write(source, extended, output, executor, on_progress, journal)
            except DiskFullError as error:
                raise DiskFullError(f"{error}{_estimate_rest(output, len(journal.causes), len(extended))}") from error
    return Counter(dict(zip(extended, journal.causes, strict=True)).values())


def _write(
    source: ShardSource,
    inputs: Sequence[str],
    output: Path,
    executor: Executor,
    on_progress: Callable[[int, int], None],
    journal: "Journal",
) -> None:
    """Write the shards from where the journal ends."""
    causes, shard_size = journal.causes, source.shard_size
    _reconcile(source, inputs, output, journal)
    records = iter(executor(source, inputs[len(causes) :]))
    on_progress(len(causes), len(inputs))
    for first in range(0, len(inputs), shard_size):
        names = inputs[first : first + shard_size]
        done = causes[first : first + len(names)]
        path = _shard_path(output, first // shard_size)
        if path.exists():
            if len(done) == len(names):
                continue
            path.rename(get_draft_path(path))  # the last one, and inputs have come since
        written = [name for name, cause in zip(names, done, strict=False) if not cause]
        with ShardWriter(path, {source.key(name) for name in written}) as writer:
            if len(writer.index) < len(written):
                _write_again(source, written, executor, writer)
            for name in names[len(done) :]:
                if (record := next(records, None)) is None:
                    raise OutputError(
                        f"{output}: the executor ended after {len(causes)} of {len(inputs)} inputs. What was made is "
                        "kept: give the same command again, and it goes on from there"
                    )
                if record.files:
                    writer.add(source.key(name), record.files)
                journal.append(name, source.key(name), record)
                on_progress(len(causes), len(inputs))
            writer.close()


def _shard_path(output: Path, number: int) -> Path:
    return output / f"shard-{number:06d}.tar"


def _reconcile(source: ShardSource, inputs: Sequence[str], output: Path, journal: "Journal") -> None:
    """Cut the journal back to the samples that the draft of the current shard holds.

    After a power failure one of the two files may have come further than the other.
    """
    done = len(journal.causes)
    first = max(0, done - 1) // source.shard_size * source.shard_size
    path = _shard_path(output, first // source.shard_size)
    if path.exists():
        return
    complete = complete_samples(get_draft_path(path)) if get_draft_path(path).exists() else {}
    for index in range(first, done):
        if not journal.causes[index] and source.key(inputs[index]) not in complete:
            journal.truncate(index)
            return


def _write_again(source: ShardSource, names: Sequence[str], executor: Executor, writer: ShardWriter) -> None:
    """Write the samples of a shard that was complete and is gone."""
    writer.clear()
    for name, record in zip(names, executor(source, names), strict=True):
        if not record.files:
            raise OutputError(
                f"{writer.path}: found no such shard, and {name}, which it held, can no longer be read "
                f"({record.cause}: {record.message}). Put the shard back, or the input"
            )
        writer.add(source.key(name), record.files)


def _estimate_rest(output: Path, done: int, total: int) -> str:
    """Return a sentence on the disk space that the remaining inputs will take; empty where nothing is done yet."""
    if not done:
        return ""
    written = sum(path.stat().st_size for path in output.iterdir() if path.is_file())
    rest = total - done
    return f". The {rest} inputs that are left will take some {format_bytes(written / done * rest)}"


def _check_keys(source: ShardSource, inputs: Sequence[str]) -> None:
    """Raise DataError where two inputs have the same key."""
    keys: dict[str, str] = {}
    for name in inputs:
        other = keys.setdefault(source.key(name), name)
        if other != name:
            raise DataError(
                f"{other} and {name} would both be the sample {source.key(name)!r}, expected one of a name. Rename one"
            )


def write_manifest(output: Path, values: Mapping[str, Any]) -> None:
    """Write the settings of a run to `prepared.json` of its output folder.

    Args:
        output: folder, which exists.
        values: JSON values by name; the version of soundspot is added.
    """
    text = json.dumps({"soundspot": __version__, **values}, indent=1, ensure_ascii=False)
    atomic_write_bytes(output / MANIFEST, f"{text}\n".encode())


def read_manifest(output: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read `prepared.json` of an output folder.

    Args:
        output: folder, which need not exist.
        settings: settings of the run that is to be continued.

    Returns:
        All values of the manifest by name; empty where the folder is new.

    Raises:
        OutputError: the manifest has other settings or cannot be read, or the folder holds something else.
    """
    file = output / MANIFEST
    if file.exists():
        manifest = read_json_object(
            file, "expected the manifest of this folder. Put it back, or write elsewhere", OutputError
        )
        if "soundspot" not in manifest:
            raise OutputError(
                f"{file}: was written by whence, an earlier name of this library. Give the command again with a new "
                "folder"
            )
        if {key: manifest.get(key) for key in settings} != settings:
            raise OutputError(
                f"{output}: holds what was made with other options (see {file}); give the same, or write elsewhere"
            )
        return manifest
    if output.exists() and any(path.name != f"{MANIFEST}.part" for path in output.iterdir()):  # of a run killed at once
        raise OutputError(f"{output}: holds something else (there is no {MANIFEST} in it). Write elsewhere")
    return {}


class Journal:
    """Outcome of each input, a line of JSON each, in a `with` block.

    A line that a killed process did not end is cut off.

    Args:
        path: path of the file; it is created, or continued.

    Attributes:
        causes: cause of each input's failure, in the order of the inputs; empty where there was none.

    Raises:
        OutputError: a line is damaged, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = path.read_bytes() if path.exists() else b""
        self.causes: list[str] = []
        self._ends = [0]  # of the lines, in bytes
        for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(keepends=True), 1):
            try:
                self.causes.append(intern(parse_json(line)["cause"]))
            except (ValueError, KeyError, TypeError) as error:
                raise OutputError(
                    f"{path}: found a damaged line ({number}: {error}), expected JSON with a cause. Cut the file off "
                    "before it, and the inputs from there on are read again"
                ) from error
            self._ends.append(self._ends[-1] + len(line))
        with convert_os_errors(path):
            self._file = FileIO(path, "rb+" if path.exists() else "wb")
        self.truncate(len(self.causes))

    def truncate(self, num_lines: int) -> None:
        """Drop all lines but the first.

        Args:
            num_lines: number of lines to keep.
        """
        del self.causes[num_lines:], self._ends[num_lines + 1 :]
        with convert_os_errors(self.path):
            self._file.truncate(self._ends[-1])
            self._file.seek(self._ends[-1])

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, name: str, key: str, record: SampleRecord) -> None:
        """Write the line of the next input.

        Args:
            name: name of the input.
            key: key of its sample.
            record: result of reading it, of which cause and message are written.

        Raises:
            OutputError: the disk is full, or may not be written.
        """
        line = {"input": name, "key": key, "cause": record.cause, "message": record.message}
        content = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        with convert_os_errors(self.path):
            write_all(self._file, content)
        self.causes.append(intern(record.cause))
        self._ends.append(self._ends[-1] + len(content))

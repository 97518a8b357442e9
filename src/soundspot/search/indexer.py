"""Files into an index: read by other processes, embedded here in batches, committed some at a time.

Vectors are on the disk before the transaction that says whose they are. Whatever is killed leaves rows that belong to
nothing, which the next writer cuts off, and a file is in with all its vectors or is read again.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from soundspot.data.shards.writer import Executor, SampleRecord
from soundspot.inference.localizer import Localizer
from soundspot.inference.mining.embed import encode_batch
from soundspot.search.exact_search import quantize_unit
from soundspot.search.file_reader import WINDOWS_PER_READ, FileReader, FileWindows, detect_file_type
from soundspot.search.metadata_db import FileRecord, MetadataDatabase, WindowEntry
from soundspot.search.query import MODALITIES, Modality
from soundspot.search.result import Failure, IndexingSummary, escape_unprintable
from soundspot.search.scan import ScannedFile
from soundspot.search.vector_store import VectorWriter, compute_checksums, open_vectors

BATCH_SIZE = 16  # embedded at once, filled up where there are fewer: a vector is the same whoever is embedded with it
TOGETHER = 128  # vectors to a transaction, about


@dataclass(frozen=True, eq=False)
class Pending:
    """What was read of a file and is not written yet.

    Attributes:
        first: window of the file that it begins with.
        copied: entries of another file with the same content, of which nothing was read.
        windows: of the file.
    """

    file: FileRecord
    read: FileWindows | None = None
    first: int = 0
    copied: tuple[WindowEntry, ...] = ()
    windows: int = 1

    @property
    def last(self) -> bool:
        """Whether this is all of the file, or its end."""
        return self.first + WINDOWS_PER_READ >= self.windows

    @property
    def tensors(self) -> dict[Modality, Tensor]:
        return (self.read.tensors or {}) if self.read else {}

    @property
    def vectors(self) -> int:
        return len(self.copied) + sum(map(len, self.tensors.values()))


@dataclass(eq=False)
class Indexer:
    """Writes files into an index whose folder is locked.

    Attributes:
        root: of the files. every: seconds from window to window.
        outcome: is added to.
    """

    catalogue: MetadataDatabase
    writer: VectorWriter
    localizer: Localizer
    root: Path
    every: float
    outcome: IndexingSummary
    _ids: dict[bytes, int] = field(default_factory=dict)  # of files of which some windows are written
    _windows: dict[bytes, int] = field(default_factory=dict)  # of files, as counted when they were begun
    _torn: set[bytes] = field(default_factory=set)  # files of which some windows cannot be read
    _later: list[str] = field(default_factory=list)  # what is read in the next turn

    def index_files(
        self,
        files: Sequence[ScannedFile],
        known: Mapping[bytes, FileRecord],
        engine: Executor,
        seen: Callable[[int, int], None] = lambda done, of: None,
    ) -> None:
        """Reads, embeds and writes some files.

        Args:
            known: what the catalogue has, by path.
            seen: is called with (files done, files in all).
        """
        whole = {one.digest: one for one in known.values() if not one.cause and one.mtime_ns >= 0}
        reader = FileReader(self.root, self.localizer.method.front_end, self.every, frozenset(whole))
        by_path = {one.path: one for one in files}
        self._later = [_name(0, one.path) for one in files]
        pending: list[Pending] = []
        done = 0
        seen(0, len(files))
        for name, sample in self._samples(reader, engine):
            one = self._pending(by_path, name, sample, known, whole)
            if one is None:
                continue
            pending.append(one)
            if sum(p.vectors for p in pending) >= TOGETHER or len(pending) >= TOGETHER:
                self._write(pending)
                pending = []
            done += one.last
            seen(done, len(files))
        self._write(pending)

    def _samples(self, reader: FileReader, engine: Executor) -> Iterator[tuple[str, SampleRecord]]:
        """Of all files their first windows, and in further turns what long ones have besides."""
        while self._later:
            names, self._later = self._later, []
            yield from zip(names, engine(reader, names), strict=True)
            reader = replace(reader, known=frozenset())

    def _pending(
        self,
        files: Mapping[bytes, ScannedFile],
        name: str,
        sample: SampleRecord,
        known: Mapping[bytes, FileRecord],
        whole: Mapping[bytes, FileRecord],
    ) -> Pending | None:
        """What is to be written of a sample; None where it is to be read again."""
        first, path = _parts(name)
        found, kind = files[path], detect_file_type(path)
        assert kind, f"{name}: none of our files"
        file = FileRecord(path, kind, found.size, found.mtime_ns, b"", sample.cause, escape_unprintable(sample.message))
        if sample.cause:
            if not first:
                self.outcome.failures.append(Failure(self.root / os.fsdecode(path), sample.cause, sample.message))
                return Pending(file)
            self.outcome.warnings[f"{kind} with an end that cannot be read"] += path not in self._torn
            self._torn.add(path)
            return Pending(replace(file, cause=""), None, first, windows=self._windows[path])
        read = FileWindows.unpack(sample)
        original = whole[read.digest] if read.known else None
        file = replace(file, file_type=original.file_type if original else read.file_type, digest=read.digest)
        copied = tuple(self.catalogue.get_file_entries(original.id)) if original else ()
        if read.known and not copied:  # its other name has got another content meanwhile
            self._later.append(name)
            return None
        if not first:
            self._count(read, sample.message, path in known)
            self._windows[path] = read.num_windows
            self._later += [_name(at, path) for at in range(WINDOWS_PER_READ, read.num_windows, WINDOWS_PER_READ)]
        return Pending(file, read, first, copied, self._windows[path])

    def _count(self, read: FileWindows, told: str, again: bool) -> None:
        self.outcome.moved += read.known
        self.outcome.changed += again and not read.known
        self.outcome.added += not again and not read.known
        if told:
            self.outcome.warnings[f"{read.file_type} {told}"] += 1

    def _write(self, pending: Sequence[Pending]) -> None:
        """Embeds and commits: vectors first."""
        embedded = {modality: iter(self._embedded(pending, modality)) for modality in MODALITIES}
        owned = [self._rows(one, embedded) for one in pending]
        vectors = np.concatenate([rows for _, rows in owned]) if owned else self._nothing
        row = self.writer.append(vectors) if len(vectors) else self.writer.num_rows
        numbered = zip(range(row, self.writer.num_rows), compute_checksums(vectors), strict=True)
        with self.catalogue.transaction():
            for one, (entries, _) in zip(pending, owned, strict=True):
                file = self._file(one)
                placed = zip(entries, numbered, strict=False)
                self.catalogue.insert_entries(
                    [replace(entry, row=at, file_id=file, checksum=checksum) for entry, (at, checksum) in placed]
                )
            self.catalogue.set_metadata(rows=self.writer.num_rows)
        self.outcome.num_vectors += len(vectors)

    def _file(self, one: Pending) -> int:
        """The number of a file, written down now if this is its beginning."""
        path, changed = one.file.path, one.file.mtime_ns
        if not one.first:
            self._ids[path] = self.catalogue.insert_file(one.file if one.last else replace(one.file, mtime_ns=-1))
        elif one.last:
            self.catalogue.update_file(self._ids[path], changed, one.file.message)
        return self._ids[path]

    def _rows(
        self, one: Pending, embedded: Mapping[Modality, Iterator[Float32[np.ndarray, " d"]]]
    ) -> tuple[list[WindowEntry], Float32[np.ndarray, "n d"]]:
        """Entries without their rows yet, and the vectors of these."""
        if one.copied:
            there = open_vectors(self.writer.path, self.writer.num_rows, self.writer.width)
            return list(one.copied), there[[entry.row for entry in one.copied]]
        times = (one.read.times or {}) if one.read else {}
        entries = [WindowEntry(0, 0, modality, time, 0) for modality in MODALITIES for time in times.get(modality, [])]
        rows = [next(embedded[entry.modality]) for entry in entries]
        return entries, np.stack(rows) if rows else self._nothing

    @property
    def _nothing(self) -> Float32[np.ndarray, "0 d"]:
        return np.empty((0, self.writer.width), np.float32)

    def _embedded(self, pending: Sequence[Pending], modality: Modality) -> Float32[np.ndarray, "n d"]:
        """Vectors of unit norm of all pictures, or all sounds, in order."""
        ready = [item for one in pending for item in one.tensors.get(modality, ())]
        if not ready:
            return self._nothing
        encode = self.localizer.embed_pixels if modality == "picture" else self.localizer.embed_spectrograms
        spans = (np.arange(first, min(first + BATCH_SIZE, len(ready))) for first in range(0, len(ready), BATCH_SIZE))
        parts = [
            encode_batch(ready.__getitem__, lambda items: encode(torch.stack(items)), BATCH_SIZE, one) for one in spans
        ]
        return quantize_unit(torch.cat(parts))


def _name(first: int, path: bytes) -> str:
    """What a reader knows a file and a window of it by."""
    return f"{first}:{os.fsdecode(path)}"


def _parts(name: str) -> tuple[int, bytes]:
    first, _, path = name.partition(":")
    return int(first), os.fsencode(path)

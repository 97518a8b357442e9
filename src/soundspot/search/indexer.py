"""Writing into an index: files are read by other processes, embedded here in batches, and committed a few at a time."""

import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float32, Int64

from soundspot.data.neighbors.exact_knn import quantize_unit
from soundspot.data.shards.executors import ProcessExecutor, count_cores
from soundspot.data.shards.writer import SampleRecord
from soundspot.inference.localizer import Localizer
from soundspot.inference.mining.embed import embed_batch
from soundspot.search.file_reader import WINDOWS_PER_READ, FileReader, FileWindows
from soundspot.search.query import MODALITIES, Modality
from soundspot.search.result import IndexingSummary, escape_unprintable
from soundspot.search.store import INCOMPLETE, FileRecord, IndexStore
from soundspot.utils.atomic_io import lock_folder
from soundspot.utils.npy_writer import RowWriter

BATCH_SIZE = 16  # embedded at once, padded where there are fewer: an embedding does not depend on its batch
VECTORS_PER_COMMIT = 128  # about
MAX_UNUSED_ROWS = 4096  # a vector file with more, and more than it has used rows, is compacted
BLOCK = 8192  # rows copied at once
FILES_BEFORE_PROCESSES = 64  # files that one process has read before others have started
Progress = Callable[[int, int], None]
Window: TypeAlias = tuple[int, float | None, Float32[np.ndarray, " d"]]


@dataclass(frozen=True, eq=False)
class IndexWriter:
    """Write into an index, one process at a time.

    Attributes:
        store: store of the index.
        root: folder of the files.
        stride: seconds between the windows of a video or a long audio.
        load_localizer: function that returns the localizer that embeds them.
    """

    store: IndexStore
    root: Path
    stride: float
    load_localizer: Callable[[], Localizer]

    def update(
        self,
        files: Sequence[FileRecord],
        summary: IndexingSummary,
        progress: Progress,
        num_workers: int | None,
        retry_failed: bool,
    ) -> None:
        """Index those of some scanned files that are new or have changed in size or modification time.

        Args:
            files: records of the files, by `scan_files`.
            summary: counts and failures, to which those of this run are added.
            progress: function that is called with (files done, files in all).
            num_workers: number of processes that read files; 0: this process reads; None: one per core, and this
                process for up to 64 files.
            retry_failed: whether to read unchanged files again that failed the last time.

        Raises:
            OutputError: another process writes, or the index cannot be written (DiskFullError: no space is left).
            CheckpointError: the file of the index's checkpoint is gone, or was replaced by another checkpoint.
            DataError: the index is damaged.
        """
        with self._open() as (writer, generation):
            indexed = {file.path: file for file in self.store.list_files()}
            changed, failed = list[FileRecord](), list[FileRecord]()
            for file in files:
                known = indexed.get(file.path)
                is_same = known is not None and (known.size, known.mtime_ns) == (file.size, file.mtime_ns)
                if file.cause:
                    summary.failures.append(file.to_failure(self.root))
                    if known is None or (known.cause, known.message) != (file.cause, file.message):
                        failed.append(file)
                elif known is None or not is_same or (known.cause and retry_failed):
                    changed.append(file)
                elif known.cause:
                    summary.failures.append(known.to_failure(self.root))
                else:
                    summary.unchanged += 1
            if failed:
                with self.store.transaction():
                    for file in failed:
                        self.store.insert_file(file)
            if changed:
                Indexer(self, writer, generation, indexed, summary).index_files(changed, num_workers, progress)

    def delete(self, paths: Sequence[bytes]) -> int:
        """Delete files and their windows from the index; the files themselves are not touched.

        Args:
            paths: paths of indexed files relative to the root, in the system's bytes.

        Returns:
            Number of paths.

        Raises:
            OutputError: another process writes, or the index cannot be written.
        """
        if paths:
            with self._open(), self.store.transaction():
                self.store.delete_files(paths)
        return len(paths)

    @contextmanager
    def _open(self) -> Iterator[tuple[RowWriter, int]]:
        """Lock the index and open its vector file, of this generation; compact it afterwards if need be."""
        with lock_folder(self.store.folder):
            metadata = self.store.get_metadata()
            num_rows, width, generation = metadata["num_rows"], metadata["width"], metadata["generation"]
            self.store.remove_stale_files(generation)
            self.store.open_vectors(num_rows, width, generation)  # a file that is too short would be padded with zeros
            with RowWriter(self.store.vector_path(generation), width, "<f4") as writer:
                writer.truncate(num_rows)
                yield writer, generation
                num_rows = writer.num_written
            rows = [row for (row,) in self.store.select("SELECT row FROM windows ORDER BY row")]
            if num_rows - len(rows) > max(MAX_UNUSED_ROWS, len(rows)):
                vectors = self.store.open_vectors(num_rows, width, generation)
                self._compact(vectors, np.array(rows, np.int64), generation + 1)

    def _compact(self, vectors: Float32[np.ndarray, "n d"], rows: Int64[np.ndarray, " m"], generation: int) -> None:
        """Write the used rows to a vector file of the next generation, and exchange the files in one transaction."""
        with RowWriter(self.store.vector_path(generation), vectors.shape[1], "<f4") as writer:
            for block in np.array_split(rows, -(-len(rows) // BLOCK) or 1):
                writer.append(vectors[block])
            writer.sync()
        with self.store.transaction():
            renumbered = ((new, int(old)) for new, old in enumerate(rows) if new != old)
            self.store.execute_many("UPDATE windows SET row = ? WHERE row = ?", renumbered)
            self.store.set_metadata(num_rows=len(rows), generation=generation)
        self.store.remove_stale_files(generation)


@dataclass(frozen=True, eq=False)
class PendingWindows:
    """Windows of a file that are read and not yet written.

    Attributes:
        file: record of the file.
        first: position of the first of them among the file's windows.
        is_last: whether the file has no windows after them.
        times: (m,) seconds of each window by modality; None for an image file.
        inputs: (m, ...) network inputs by modality.
        copied_from: id of a file with the same content whose windows are copied; 0: none.
    """

    file: FileRecord
    first: int = 0
    is_last: bool = True
    times: Mapping[Modality, Sequence[float | None]] = field(default_factory=dict)
    inputs: Mapping[Modality, Float32[np.ndarray, "m ..."]] = field(default_factory=dict)
    copied_from: int = 0

    @property
    def num_vectors(self) -> int:
        """Number of embeddings to compute of them; 1 for a file without any, so that a commit ends."""
        return sum(map(len, self.inputs.values())) or 1


class Indexer:
    """Embed files and write them into an index whose folder is locked.

    Args:
        index: index that they are written into.
        rows: writer of its vector file.
        generation: number of that vector file.
        indexed: records of the files in the index, by path.
        summary: counts and failures, to which those of this run are added.
    """

    def __init__(
        self,
        index: IndexWriter,
        rows: RowWriter,
        generation: int,
        indexed: Mapping[bytes, FileRecord],
        summary: IndexingSummary,
    ) -> None:
        self.store, self.root, self.stride, self.localizer = (
            index.store,
            index.root,
            index.stride,
            index.load_localizer(),
        )
        self.rows, self.generation, self.indexed, self.summary = rows, generation, indexed, summary
        self.originals = {
            file.digest: file for file in indexed.values() if not file.cause and file.mtime_ns != INCOMPLETE
        }
        self._num_windows: dict[bytes, int] = {}  # of each file whose first windows are read
        self._damaged: set[bytes] = set()  # files of which later windows cannot be read
        self._following: list[str] = []  # reads of the next round

    def index_files(
        self,
        files: Sequence[FileRecord],
        num_workers: int | None,
        progress: Progress,
    ) -> None:
        """Read, embed and write files, about 128 embeddings in each transaction.

        Args:
            files: records of the files, new or in place of what is indexed.
            num_workers: number of processes that read; 0: this process reads; None: one per core, and this process for
                up to 64 files.
            progress: function that is called with (files done, files in all), first with (0, n).

        Raises:
            OutputError: the index cannot be written (DiskFullError: no space is left).
        """
        if num_workers is None:
            num_workers = count_cores() if len(files) > FILES_BEFORE_PROCESSES else 0
        executor, by_path = ProcessExecutor(num_workers), {file.path: file for file in files}
        reader = FileReader(self.root, self.localizer.method.front_end, self.stride, frozenset(self.originals))
        names, pending, num_done = [_read_name(file.path, 0) for file in files], list[PendingWindows](), 0
        progress(0, len(files))
        while names:  # first windows of all files; then, in further rounds, the other windows of long ones
            for name, record in zip(names, executor(reader, names), strict=True):
                windows = self._to_pending(name, record, by_path)
                if windows is None:
                    continue
                pending.append(windows)
                if sum(windows.num_vectors for windows in pending) >= VECTORS_PER_COMMIT:
                    self._commit(pending)
                    pending = []
                num_done += windows.is_last
                progress(num_done, len(files))
            names, self._following = self._following, []
            reader = replace(reader, known_digests=frozenset())
        self._commit(pending)

    def _to_pending(self, name: str, record: SampleRecord, files: Mapping[bytes, FileRecord]) -> PendingWindows | None:
        """Return what is to be written of a read, and plan further reads; None if the file must be read again."""
        prefix, _, relative = name.partition(":")
        first, path = int(prefix), os.fsencode(relative)
        file = replace(files[path], message=escape_unprintable(record.message))
        is_last = first + WINDOWS_PER_READ >= self._num_windows.get(path, 0)
        if not isinstance(record, FileWindows):
            if first:
                self.summary.warnings[f"{file.file_type} with an end that cannot be read"] += path not in self._damaged
                self._damaged.add(path)
                return PendingWindows(file, first, is_last)
            file = replace(file, cause=record.cause)
            self.summary.failures.append(file.to_failure(self.root))
            return PendingWindows(file)
        if record.is_known:
            original = self.originals[record.digest]
            if not self.store.select("SELECT 1 FROM windows WHERE file = ?", [original.id]):
                self._following.append(name)  # the content of its original has changed meanwhile
                return None
            self.summary.moved += 1
            file = replace(file, file_type=original.file_type, digest=record.digest)
            return PendingWindows(file, copied_from=original.id)
        if not first:
            self.summary.changed += path in self.indexed
            self.summary.added += path not in self.indexed
            if record.message:
                self.summary.warnings[f"{record.file_type} {record.message}"] += 1
            self._num_windows[path] = record.num_windows
            starts = range(WINDOWS_PER_READ, record.num_windows, WINDOWS_PER_READ)
            self._following += [_read_name(path, start) for start in starts]
            is_last = not starts
        file = replace(file, file_type=record.file_type, digest=record.digest)
        return PendingWindows(file, first, is_last, record.times, record.inputs)

    def _commit(self, pending: Sequence[PendingWindows]) -> None:
        """Embed the windows, write the embeddings, then the transaction that says to which window each belongs."""
        embedded = {modality: iter(self._embed(pending, modality)) for modality in MODALITIES}
        windows_of_files = [self._list_windows(read, embedded) for read in pending]
        vectors = [vector for windows in windows_of_files for _, _, vector in windows]
        row = self.rows.num_written
        if vectors:
            self.rows.append(np.stack(vectors))
            self.rows.sync()
        with self.store.transaction():
            for read, windows in zip(pending, windows_of_files, strict=True):
                file_id = self._write_file(read)
                self.store.execute_many(
                    "INSERT INTO windows VALUES (?, ?, ?, ?, ?)",
                    [
                        (row + i, file_id, code, time, zlib.crc32(vector.data))
                        for i, (code, time, vector) in enumerate(windows)
                    ],
                )
                row += len(windows)
            self.store.set_metadata(num_rows=row)
        self.summary.num_vectors += len(vectors)

    def _write_file(self, read: PendingWindows) -> int:
        """Insert a file with its first windows, mark it complete with its last; return its id."""
        if not read.first:
            return self.store.insert_file(read.file if read.is_last else replace(read.file, mtime_ns=INCOMPLETE))
        file = self.store.list_files("path = ?", [read.file.path])[0]
        if read.is_last:
            values = (read.file.mtime_ns, read.file.message, file.id)
            self.store.execute_many("UPDATE files SET mtime_ns = ?, message = ? WHERE id = ?", [values])
        return file.id

    def _list_windows(
        self, read: PendingWindows, embedded: Mapping[Modality, Iterator[Float32[np.ndarray, " d"]]]
    ) -> list[Window]:
        """Return modality code, time and embedding of each window of a read, copied or taken from `embedded`."""
        if not read.copied_from:
            return [
                (code, time, next(embedded[modality]))
                for code, modality in enumerate(MODALITIES)
                for time in read.times.get(modality, ())
            ]
        query = "SELECT row, modality, time FROM windows WHERE file = ? ORDER BY row"
        windows = self.store.select(query, [read.copied_from])
        vectors = self.store.open_vectors(self.rows.num_written, self.rows.width, self.generation)
        return [(code, time, vectors[row]) for row, code, time in windows]

    def _embed(self, pending: Sequence[PendingWindows], modality: Modality) -> Float32[np.ndarray, "n d"]:
        """Compute the unit-norm embeddings of all windows of a modality, in order."""
        inputs = [torch.from_numpy(window) for read in pending for window in read.inputs.get(modality, ())]
        if not inputs:
            return np.empty((0, self.rows.width), np.float32)
        embed = self.localizer.embed_pixels if modality == "image" else self.localizer.embed_spectrograms
        size = BATCH_SIZE if self.localizer.front_end.has_fixed_shape else 1
        batches = np.split(np.arange(len(inputs)), range(size, len(inputs), size))
        return quantize_unit(
            torch.cat(
                [
                    embed_batch(inputs.__getitem__, lambda batch: embed(torch.stack(batch)), size, batch)
                    for batch in batches
                ]
            )
        )


def _read_name(path: bytes, first: int) -> str:
    """Return the name by which a FileReader knows the windows of a file from `first` on."""
    return f"{first}:{os.fsdecode(path)}"

"""The writer of an index, one at a time: what is taken in, what is dropped, and the room that dead rows give back."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from soundspot.data.shards.executors import ProcessExecutor, count_cores
from soundspot.inference.localizer import Localizer
from soundspot.search.faiss_ivf import build_inverted_index
from soundspot.search.file_reader import detect_file_type
from soundspot.search.indexer import Indexer
from soundspot.search.metadata_db import FileRecord, MetadataDatabase
from soundspot.search.result import Failure, IndexingSummary
from soundspot.search.scan import ScannedFile
from soundspot.search.snapshot import Snapshot
from soundspot.search.vector_store import VectorWriter, open_vectors, remove_stale_files, vector_path, write_compacted
from soundspot.utils.atomic_io import lock_folder

DEAD = (
    4096  # rows that belong to nothing, above which a file of vectors that holds more of them than others is rewritten
)
FEW = 64  # files that one process has read before others have started
Seen = Callable[[int, int], None]


@dataclass(frozen=True)
class IndexWriter:
    """Writes into the index of a folder.

    Attributes:
        root: of the files. now: the index as it is. renew: is called where `now` would not see what was made.
    """

    folder: Path
    catalogue: MetadataDatabase
    root: Path
    snapshot: Callable[[], Snapshot]
    invalidate_snapshot: Callable[[], None]

    def update(
        self,
        found: Sequence[ScannedFile],
        localizer: Callable[[], Localizer],
        outcome: IndexingSummary,
        seen: Seen,
        workers: int | None,
        retry: bool,
    ) -> None:
        """Takes in what is new or has changed of some files; arguments as `Index.add` has them.

        Args:
            localizer: gives what embeds them, where there are any. outcome: is added to.
        """
        with self._writing() as writer:
            known = {one.path: one for one in self.catalogue.list_files()}
            fresh, out = [], []
            for one in found:
                before = known.get(one.path)
                if one.cause:
                    outcome.failures.append(Failure(self.root / os.fsdecode(one.path), one.cause, one.message))
                    if before is None or (before.cause, before.message) != (one.cause, one.message):
                        out.append(one)
                elif (
                    before is None
                    or (before.size, before.mtime_ns) != (one.size, one.mtime_ns)
                    or (before.cause and retry)
                ):
                    fresh.append(one)
                elif before.cause:
                    outcome.failures.append(Failure(self.root / os.fsdecode(one.path), before.cause, before.message))
                else:
                    outcome.unchanged += 1
            self._keep_out(out)
            if fresh:
                every = self.catalogue.get_metadata()["every"]
                processes = (count_cores() if len(fresh) > FEW else 0) if workers is None else workers
                builder = Indexer(self.catalogue, writer, localizer(), self.root, every, outcome)
                builder.index_files(fresh, known, ProcessExecutor(processes), seen)

    def remove(self, paths: Sequence[bytes]) -> int:
        """Forgets files; how many."""
        if paths:
            with self._writing(), self.catalogue.transaction():
                self.catalogue.delete_files(paths)
        return len(paths)

    def _keep_out(self, found: Sequence[ScannedFile]) -> None:
        """What cannot even be opened: known by its name and its cause alone."""
        if not found:
            return
        with self.catalogue.transaction():
            for one in found:
                kind = detect_file_type(one.path)
                assert kind, f"{one.path!r}: none of our files"
                self.catalogue.insert_file(FileRecord(one.path, kind, 0, -1, b"", one.cause, one.message))

    @contextmanager
    def _writing(self) -> Iterator[VectorWriter]:
        """The only writer; afterwards rows that belong to nothing are thrown out where they are many."""
        with lock_folder(self.folder):
            told = self.catalogue.get_metadata()
            remove_stale_files(self.folder, told["generation"])
            path = vector_path(self.folder, told["generation"])
            open_vectors(
                path, told["rows"], told["width"]
            )  # refuses one that was cut short, which would be filled with zeros
            with VectorWriter(path, told["rows"], told["width"]) as writer:
                yield writer
            self._compact()
            now = self.snapshot()
            build_inverted_index(now.vectors, self.folder, now.entries.generation)
            if now.inverted_index is None:
                self.invalidate_snapshot()

    def _compact(self) -> None:
        now = self.snapshot()
        rows = now.entries.row
        dead = now.entries.num_rows - len(rows)
        if dead <= max(DEAD, len(rows)):
            return
        generation = now.entries.generation + 1
        write_compacted(now.vectors, rows, vector_path(self.folder, generation))
        with self.catalogue.transaction():
            self.catalogue.renumber_rows(rows)
            self.catalogue.set_metadata(rows=len(rows), generation=generation)
        remove_stale_files(self.folder, generation)

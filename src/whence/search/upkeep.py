"""The writer of an index, one at a time: what is taken in, what is dropped, and the room that dead rows give back."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from whence.data.engines import Pool, cores
from whence.inference.localizer import Localizer
from whence.output import locked
from whence.search.beyond import invert
from whence.search.building import Builder
from whence.search.catalogue import Catalogue, FileRow
from whence.search.finding import Found
from whence.search.reading import kind_of
from whence.search.result import Failure, Outcome
from whence.search.snapshot import Snapshot
from whence.search.vectors import VectorWriter, compacted, mapped, sweep, vector_file

DEAD = (
    4096  # rows that belong to nothing, above which a file of vectors that holds more of them than others is rewritten
)
FEW = 64  # files that one process has read before others have started
Seen = Callable[[int, int], None]


@dataclass(frozen=True)
class Upkeep:
    """Writes into the index of a folder.

    Attributes:
        root: of the files. now: the index as it is. renew: is called where `now` would not see what was made.
    """

    folder: Path
    catalogue: Catalogue
    root: Path
    now: Callable[[], Snapshot]
    renew: Callable[[], None]

    def take(
        self,
        found: Sequence[Found],
        localizer: Callable[[], Localizer],
        outcome: Outcome,
        seen: Seen,
        workers: int | None,
        retry: bool,
    ) -> None:
        """Takes in what is new or has changed of some files; arguments as `Index.add` has them.

        Args:
            localizer: gives what embeds them, where there are any. outcome: is added to.
        """
        with self._writing() as writer:
            known = {one.path: one for one in self.catalogue.files()}
            fresh, out = [], []
            for one in found:
                before = known.get(one.path)
                if one.cause:
                    outcome.failures.append(Failure(self.root / os.fsdecode(one.path), one.cause, one.told))
                    if before is None or (before.cause, before.told) != (one.cause, one.told):
                        out.append(one)
                elif (
                    before is None
                    or (before.size, before.changed) != (one.size, one.changed)
                    or (before.cause and retry)
                ):
                    fresh.append(one)
                elif before.cause:
                    outcome.failures.append(Failure(self.root / os.fsdecode(one.path), before.cause, before.told))
                else:
                    outcome.unchanged += 1
            self._keep_out(out)
            if fresh:
                every = self.catalogue.told()["every"]
                processes = (cores() if len(fresh) > FEW else 0) if workers is None else workers
                builder = Builder(self.catalogue, writer, localizer(), self.root, every, outcome)
                builder.take(fresh, known, Pool(processes), seen)

    def drop(self, paths: Sequence[bytes]) -> int:
        """Forgets files; how many."""
        if paths:
            with self._writing(), self.catalogue.transaction():
                self.catalogue.drop(paths)
        return len(paths)

    def _keep_out(self, found: Sequence[Found]) -> None:
        """What cannot even be opened: known by its name and its cause alone."""
        if not found:
            return
        with self.catalogue.transaction():
            for one in found:
                kind = kind_of(one.path)
                assert kind, f"{one.path!r}: none of our files"
                self.catalogue.put(FileRow(one.path, kind, 0, -1, b"", one.cause, one.told))

    @contextmanager
    def _writing(self) -> Iterator[VectorWriter]:
        """The only writer; afterwards rows that belong to nothing are thrown out where they are many."""
        with locked(self.folder):
            told = self.catalogue.told()
            sweep(self.folder, told["generation"])
            path = vector_file(self.folder, told["generation"])
            mapped(
                path, told["rows"], told["width"]
            )  # refuses one that was cut short, which would be filled with zeros
            with VectorWriter(path, told["rows"], told["width"]) as writer:
                yield writer
            self._compact()
            now = self.now()
            invert(now.vectors, self.folder, now.entries.generation)
            if now.inverted is None:
                self.renew()

    def _compact(self) -> None:
        now = self.now()
        rows = now.entries.row
        dead = now.entries.rows - len(rows)
        if dead <= max(DEAD, len(rows)):
            return
        generation = now.entries.generation + 1
        compacted(now.vectors, rows, vector_file(self.folder, generation))
        with self.catalogue.transaction():
            self.catalogue.renumber(rows)
            self.catalogue.tell(rows=len(rows), generation=generation)
        sweep(self.folder, generation)

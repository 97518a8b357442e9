"""An index: a folder with the vectors of a user's files (`vectors-N.f32`) and what they belong to (`catalogue.sqlite`).

Any number of processes and threads may ask while one writes: each sees the index as it was at one moment.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

from whence.data.audio import as_sound
from whence.data.image import as_image
from whence.errors import CheckpointError, RecipeError
from whence.inference.embed import weights_of
from whence.inference.localizer import Localizer
from whence.output import locked
from whence.search.catalogue import FILE, Catalogue
from whence.search.finding import among, find, refuse_away, refuse_strange, surely_gone
from whence.search.making import new_catalogue
from whence.search.parquet import write_parquet
from whence.search.query import KINDS, MODALITIES, composed, crossing
from whence.search.result import Failure, Hit, Outcome, Status
from whence.search.snapshot import Snapshot
from whence.search.upkeep import Seen, Upkeep
from whence.search.vectors import damaged, vector_file


class Index:
    """An open index. `Index.create` and `Index.open` make one.

    Attributes:
        folder: of the index. root: of the files, below which they all lie. every: seconds from window to window.
    """

    def __init__(
        self, folder: Path, catalogue: Catalogue, localizer: Localizer | None = None, device: str = "auto"
    ) -> None:
        self.folder, self._catalogue, self._localizer, self._device = folder, catalogue, localizer, device
        told = catalogue.told()
        self.root, self.every = Path(os.fsdecode(told["root"])), float(told["every"])
        self._told = told
        self._snapshot: Snapshot | None = None
        self._fits: Localizer | None = None
        self._lock = RLock()

    # Making and opening.

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        localizer: Localizer,
        root: str | os.PathLike[str] | None = None,
        every: float | int = 3.0,
    ) -> "Index":
        """A new, empty index.

        Args:
            folder: to be made; it may be there, if there is nothing in it.
            localizer: whose vectors it holds.
            root: folder of the files; None: the one in which the index lies.
            every: seconds from one window of a video, or of a long sound, to the next.

        Raises:
            OutputError: something lies there, or it cannot be written. RecipeError: the method hears no recordings, or
                `every` is no time. DataError: the root is no folder.
        """
        folder = Path(os.path.abspath(folder))
        return cls(
            folder, new_catalogue(folder, localizer, Path(folder.parent if root is None else root), every), localizer
        )

    @classmethod
    def open(cls, folder: str | os.PathLike[str], localizer: Localizer | None = None, device: str = "auto") -> "Index":
        """An index that is there.

        Args:
            localizer: what files are embedded by; None: that of the checkpoint which the index was made by, loaded when
                it is needed.
            device: where that one runs.

        Raises:
            DataError: there is none, or it is damaged.
        """
        folder = Path(os.path.abspath(folder))
        return cls(folder, Catalogue(folder), localizer, device)

    def close(self) -> None:
        self._catalogue.close()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def checkpoint(self) -> str:
        """The checkpoint that it was made by, as it was then; empty where that was no file."""
        return str(self._told["checkpoint"])

    @property
    def localizer(self) -> Localizer:
        """What its vectors were made by.

        Raises:
            CheckpointError: it is gone, or another one lies there now.
        """
        if self._localizer is None:
            if not self.checkpoint or not Path(self.checkpoint).is_file():
                raise CheckpointError(
                    f"{self.folder}: was made by the checkpoint {self.checkpoint or '(of no file)'}, which is gone, "
                    "expected to load it. Say where it lies: --checkpoint FILE"
                )
            self._localizer = Localizer.load(self.checkpoint, device=self._device)
        self.refuse_other(self._localizer)
        return self._localizer

    def refuse_other(self, localizer: Localizer) -> None:
        """Raise CheckpointError where a localizer's vectors are not to be compared with those in the index."""
        if localizer is self._fits:
            return
        if weights_of(localizer) != self._told["weights"]:
            raise CheckpointError(
                f"{self.folder}: was made by {self._told['method']} with other weights, another front end or another "
                f"precision than the {localizer.name} given, expected the same (then: {self.checkpoint or 'no file'}). "
                "Give that checkpoint, or make another index by this one: `whence search index FOLDER --index NAME`"
            )
        self._fits = localizer

    def __len__(self) -> int:
        """Files that can be found."""
        return sum(self._catalogue.counts().values())

    # Writing.

    def add(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        seen: Seen = lambda done, of: None,
        workers: int | None = 0,
        retry: bool = False,
    ) -> Outcome:
        """Takes in files, and all that lies below folders; what is in already and has not changed stays as it is.

        A file that cannot be read is named in the outcome, and kept out. When the process dies, all but the last second
        or so of its work is kept: the same call goes on from there.

        Args:
            paths: below the root.
            seen: is called with (files done, files in all).
            workers: processes that read files, for programs that are guarded by `if __name__ == "__main__"`; 0: this
                one reads; None: as many as there are cores, and none for a few files.
            retry: read files again that could not be read the last time and have not changed since.

        Raises:
            InputError: a path lies outside the root or is not there. OutputError: another process writes here, or the
                index cannot be written (FullError: no room). CheckpointError: as `localizer`.
        """
        paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        outcome = Outcome()
        self._upkeep.take(find(paths, self.root, outcome), lambda: self.localizer, outcome, seen, workers, retry)
        return outcome

    def refresh(
        self,
        seen: Seen = lambda done, of: None,
        workers: int | None = 0,
        retry: bool = False,
        new: bool = False,
    ) -> Outcome:
        """Takes in anew those of its files that have changed, and forgets those that are gone; arguments as `add`.

        Args:
            new: takes in, too, what is new below the root.

        Raises:
            DataError: the root is gone, or nothing to index is left below it, as where a disk is not there: nothing is
                forgotten. Else as `add`.
        """
        outcome = Outcome()
        known = {one.path: self.root / os.fsdecode(one.path) for one in self._catalogue.files()}
        gone = {path for path, whole in known.items() if surely_gone(whole)}
        if len(gone) == len(known):
            refuse_away(self.root, len(known))
        there = [whole for path, whole in known.items() if path not in gone and os.path.lexists(whole)]
        found = find([*([self.root] if new else []), *there], self.root, outcome)
        self._upkeep.take(found, lambda: self.localizer, outcome, seen, workers, retry)
        outcome.removed = self._upkeep.drop(sorted(gone - {one.path for one in found}))
        return outcome

    def remove(self, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> int:
        """Forgets files, and all below folders; how many that were. The files themselves are not touched.

        Raises:
            InputError: a path lies outside the root, or nothing is known of it. OutputError: as `add`.
        """
        paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        return self._upkeep.drop(among([one.path for one in self._catalogue.files()], paths, self.root))

    def move(self, root: str | os.PathLike[str]) -> None:
        """Says that the folder of the files lies elsewhere now; nothing is read.

        Raises:
            DataError: it is no folder, or none of the files lies there. OutputError: as `add`.
        """
        base = Path(os.path.abspath(root))
        refuse_strange(base, [one.path for one in self._catalogue.files()])
        with locked(self.folder), self._catalogue.transaction():
            self._catalogue.tell(root=os.fsencode(base))
        self.root = base

    @property
    def _upkeep(self) -> Upkeep:
        return Upkeep(self.folder, self._catalogue, self.root, self._now, self._look_anew)

    # Asking.

    def query(
        self,
        localizer: Localizer | None = None,
        image: Any = None,
        sound: Any = None,
        mix: float | int = 0.5,
        k: int = 10,
        kinds: Sequence[str] = KINDS,
        against: Sequence[str] | None = None,
        every: bool = False,
    ) -> list[Hit]:
        """The k files nearest to a picture, a sound, or a mixture of both; the best first, of equals by path.

        Args:
            localizer: the one it was made by; None: `localizer`.
            image, sound: as `Localizer.locate` takes them; of a sound is heard what `locate` hears of it.
            mix: the picture's share, where both are given (`whence.search.query.composed`).
            k: how many at most.
            kinds: of files: `image`, `sound`, `video`.
            against: what of them is compared: `picture`, `sound` or both; None: what the query is not itself
                (`whence.search.query.crossing`).
            every: each window of a file is a hit of its own.

        Raises:
            InputError: neither is given, or one cannot be read. RecipeError: `mix`, `k`, `kinds` or `against` makes no
                sense. CheckpointError: the localizer is another one. DataError: the index is damaged.
        """
        kinds = tuple(kinds)
        if k < 1:
            raise RecipeError(f"k: found {k}, expected 1 or more")
        for word, known in [*((kind, KINDS) for kind in kinds), *((one, MODALITIES) for one in against or ())]:
            if word not in known:
                raise RecipeError(f"found {word!r}, expected some of {', '.join(known)}")
        if not kinds or against == ():
            raise RecipeError("found no kinds to search in, expected some. Leave the option out to search in all")
        asker = localizer or self.localizer
        self.refuse_other(asker)
        seen = None if image is None else asker.embed_images([as_image(image)])[0]
        heard = None if sound is None else asker.embed_sounds([as_sound(sound)])[0]
        wanted = tuple(against) if against else crossing(seen is not None, heard is not None, kinds)
        return self.nearest(composed(seen, heard, mix), k, kinds, wanted, every)

    def nearest(
        self,
        vector: Any,
        k: int = 10,
        kinds: Sequence[str] = KINDS,
        against: Sequence[str] = MODALITIES,
        every: bool = False,
    ) -> list[Hit]:
        """The same of a vector, (d,), of `whence.search.query.composed`."""
        while True:
            now = self._now()
            hits = now.nearest(self._catalogue, self.root, vector, now.owners(kinds, against), k, every)
            if hits is not None:
                return hits
            self._snapshot = None  # a file went while we looked

    def _now(self) -> Snapshot:
        """The index as it is; read anew where somebody has written since."""
        with self._lock:
            if self._snapshot is None or self._snapshot.version != self._catalogue.version:
                self._snapshot = Snapshot.of(self._catalogue, self.folder, self._told["width"])
            return self._snapshot

    def _look_anew(self) -> None:
        self._snapshot = None

    def to_parquet(self, path: str | os.PathLike[str], overwrite: bool = False) -> int:
        """Writes all vectors and what they are of (`whence.search.parquet.write_parquet`); how many."""
        return write_parquet(self._now(), self._catalogue, Path(path), overwrite)

    def status(self, check: bool = True) -> Status:
        """What it holds, and, on `check`, whether that is what was written."""
        now = self._now()
        failed = self._catalogue.files("cause != ''")
        wrong = [f"{self.folder / FILE}: {word}" for word in [self._catalogue.check()] if check and word]
        if check and (bad := damaged(now.vectors, *self._catalogue.checksums())):
            path = vector_file(self.folder, now.entries.generation)
            wrong.append(f"{path}: {len(bad)} vectors are damaged (first: row {bad[0]})")
        failures = [Failure(self.root / os.fsdecode(one.path), one.cause, one.told) for one in failed]
        method, counts = str(self._told["method"]), self._catalogue.counts()
        rows = len(now.entries.row)
        return Status(self.root, self.checkpoint, method, counts, rows, now.entries.rows - rows, failures, wrong)

"""An index: a folder with the vectors of a user's files (`vectors-N.f32`) and what they belong to (`catalogue.sqlite`).

Any number of processes and threads may ask while one writes: each sees the index as it was at one moment.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

from soundspot.data.media.audio import as_audio
from soundspot.data.media.image import as_image
from soundspot.errors import CheckpointError, RecipeError
from soundspot.inference.localizer import Localizer
from soundspot.inference.mining.embed import compute_weights_digest
from soundspot.search.create import create_database
from soundspot.search.metadata_db import FILE, MetadataDatabase
from soundspot.search.parquet import write_parquet
from soundspot.search.query import FILE_TYPES, MODALITIES, compose_query, default_modalities
from soundspot.search.result import Failure, Hit, IndexingSummary, IndexStatus
from soundspot.search.scan import check_files_present, check_new_root, is_deleted, scan_files, select_indexed
from soundspot.search.snapshot import Snapshot
from soundspot.search.vector_store import find_damaged_rows, vector_path
from soundspot.search.writer import IndexWriter, Seen
from soundspot.utils.atomic_io import lock_folder


class Index:
    """An open index. `Index.create` and `Index.open` make one.

    Attributes:
        folder: of the index. root: of the files, below which they all lie. every: seconds from window to window.
    """

    def __init__(
        self, folder: Path, catalogue: MetadataDatabase, localizer: Localizer | None = None, device: str = "auto"
    ) -> None:
        self.folder, self._database, self._localizer, self._device = folder, catalogue, localizer, device
        told = catalogue.get_metadata()
        self.root, self.stride = Path(os.fsdecode(told["root"])), float(told["every"])
        self._metadata = told
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
        stride: float | int = 3.0,
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
            folder, create_database(folder, localizer, Path(folder.parent if root is None else root), stride), localizer
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
        return cls(folder, MetadataDatabase(folder), localizer, device)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def checkpoint(self) -> str:
        """The checkpoint that it was made by, as it was then; empty where that was no file."""
        return str(self._metadata["checkpoint"])

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
        self.check_localizer(self._localizer)
        return self._localizer

    def check_localizer(self, localizer: Localizer) -> None:
        """Raise CheckpointError where a localizer's vectors are not to be compared with those in the index."""
        if localizer is self._fits:
            return
        if compute_weights_digest(localizer) != self._metadata["weights"]:
            raise CheckpointError(
                f"{self.folder}: was made by {self._metadata['method']} with other weights, another front end or another "
                f"precision than the {localizer.name} given, expected the same (then: {self.checkpoint or 'no file'}). "
                "Give that checkpoint, or make another index by this one: `soundspot search index FOLDER --index NAME`"
            )
        self._fits = localizer

    def __len__(self) -> int:
        """Files that can be found."""
        return sum(self._database.count_files().values())

    # Writing.

    def add(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        progress: Seen = lambda done, of: None,
        num_workers: int | None = 0,
        retry_failed: bool = False,
    ) -> IndexingSummary:
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
        outcome = IndexingSummary()
        self._upkeep.update(
            scan_files(paths, self.root, outcome), lambda: self.localizer, outcome, progress, num_workers, retry_failed
        )
        return outcome

    def refresh(
        self,
        progress: Seen = lambda done, of: None,
        num_workers: int | None = 0,
        retry_failed: bool = False,
        add_new: bool = False,
    ) -> IndexingSummary:
        """Takes in anew those of its files that have changed, and forgets those that are gone; arguments as `add`.

        Args:
            new: takes in, too, what is new below the root.

        Raises:
            DataError: the root is gone, or nothing to index is left below it, as where a disk is not there: nothing is
                forgotten. Else as `add`.
        """
        outcome = IndexingSummary()
        known = {one.path: self.root / os.fsdecode(one.path) for one in self._database.list_files()}
        gone = {path for path, whole in known.items() if is_deleted(whole)}
        if len(gone) == len(known):
            check_files_present(self.root, len(known))
        there = [whole for path, whole in known.items() if path not in gone and os.path.lexists(whole)]
        found = scan_files([*([self.root] if add_new else []), *there], self.root, outcome)
        self._upkeep.update(found, lambda: self.localizer, outcome, progress, num_workers, retry_failed)
        outcome.removed = self._upkeep.remove(sorted(gone - {one.path for one in found}))
        return outcome

    def remove(self, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> int:
        """Forgets files, and all below folders; how many that were. The files themselves are not touched.

        Raises:
            InputError: a path lies outside the root, or nothing is known of it. OutputError: as `add`.
        """
        paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        return self._upkeep.remove(select_indexed([one.path for one in self._database.list_files()], paths, self.root))

    def relocate(self, root: str | os.PathLike[str]) -> None:
        """Says that the folder of the files lies elsewhere now; nothing is read.

        Raises:
            DataError: it is no folder, or none of the files lies there. OutputError: as `add`.
        """
        base = Path(os.path.abspath(root))
        check_new_root(base, [one.path for one in self._database.list_files()])
        with lock_folder(self.folder), self._database.transaction():
            self._database.set_metadata(root=os.fsencode(base))
        self.root = base

    @property
    def _upkeep(self) -> IndexWriter:
        return IndexWriter(self.folder, self._database, self.root, self._current_snapshot, self._look_anew)

    # Asking.

    def query(
        self,
        localizer: Localizer | None = None,
        image: Any = None,
        audio: Any = None,
        image_weight: float | int = 0.5,
        k: int = 10,
        file_types: Sequence[str] = FILE_TYPES,
        modalities: Sequence[str] | None = None,
        per_window: bool = False,
    ) -> list[Hit]:
        """The k files nearest to a picture, a sound, or a mixture of both; the best first, of equals by path.

        Args:
            localizer: the one it was made by; None: `localizer`.
            image, sound: as `Localizer.locate` takes them; of a sound is heard what `locate` hears of it.
            mix: the picture's share, where both are given (`soundspot.search.query.composed`).
            k: how many at most.
            kinds: of files: `image`, `sound`, `video`.
            against: what of them is compared: `picture`, `sound` or both; None: what the query is not itself
                (`soundspot.search.query.crossing`).
            every: each window of a file is a hit of its own.

        Raises:
            InputError: neither is given, or one cannot be read. RecipeError: `mix`, `k`, `kinds` or `against` makes no
                sense. CheckpointError: the localizer is another one. DataError: the index is damaged.
        """
        file_types = tuple(file_types)
        if k < 1:
            raise RecipeError(f"k: found {k}, expected 1 or more")
        for word, known in [
            *((kind, FILE_TYPES) for kind in file_types),
            *((one, MODALITIES) for one in modalities or ()),
        ]:
            if word not in known:
                raise RecipeError(f"found {word!r}, expected some of {', '.join(known)}")
        if not file_types or modalities == ():
            raise RecipeError("found no kinds to search in, expected some. Leave the option out to search in all")
        asker = localizer or self.localizer
        self.check_localizer(asker)
        seen = None if image is None else asker.embed_images([as_image(image)])[0]
        heard = None if audio is None else asker.embed_audio([as_audio(audio)])[0]
        wanted = (
            tuple(modalities) if modalities else default_modalities(seen is not None, heard is not None, file_types)
        )
        return self.query_vector(compose_query(seen, heard, image_weight), k, file_types, wanted, per_window)

    def query_vector(
        self,
        vector: Any,
        k: int = 10,
        file_types: Sequence[str] = FILE_TYPES,
        modalities: Sequence[str] = MODALITIES,
        per_window: bool = False,
    ) -> list[Hit]:
        """The same of a vector, (d,), of `soundspot.search.query.composed`."""
        while True:
            now = self._current_snapshot()
            hits = now.find_hits(
                self._database, self.root, vector, now.filter_rows(file_types, modalities), k, per_window
            )
            if hits is not None:
                return hits
            self._snapshot = None  # a file went while we looked

    def _current_snapshot(self) -> Snapshot:
        """The index as it is; read anew where somebody has written since."""
        with self._lock:
            if self._snapshot is None or self._snapshot.version != self._database.version:
                self._snapshot = Snapshot.load(self._database, self.folder, self._metadata["width"])
            return self._snapshot

    def _look_anew(self) -> None:
        self._snapshot = None

    def to_parquet(self, path: str | os.PathLike[str], overwrite: bool = False) -> int:
        """Writes all vectors and what they are of (`soundspot.search.parquet.write_parquet`); how many."""
        return write_parquet(self._current_snapshot(), self._database, Path(path), overwrite)

    def status(self, check: bool = True) -> IndexStatus:
        """What it holds, and, on `check`, whether that is what was written."""
        now = self._current_snapshot()
        failed = self._database.list_files("cause != ''")
        wrong = [f"{self.folder / FILE}: {word}" for word in [self._database.validate()] if check and word]
        if check and (bad := find_damaged_rows(now.vectors, *self._database.load_checksums())):
            path = vector_path(self.folder, now.entries.generation)
            wrong.append(f"{path}: {len(bad)} vectors are damaged (first: row {bad[0]})")
        failures = [Failure(self.root / os.fsdecode(one.path), one.cause, one.message) for one in failed]
        method, counts = str(self._metadata["method"]), self._database.count_files()
        rows = len(now.entries.row)
        return IndexStatus(
            self.root, self.checkpoint, method, counts, rows, now.entries.num_rows - rows, failures, wrong
        )

"""Search index of a user's files: a folder of their embeddings (`vectors-N.f32`) and metadata (`index.sqlite`).

Any number of processes and threads may query while one writes: each sees the index as it was at one moment.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any

from soundspot.config.named_models import is_named_model
from soundspot.data.media.audio import as_audio
from soundspot.data.media.file_types import FILE_TYPES
from soundspot.data.media.image import as_image
from soundspot.errors import CheckpointError, RecipeError
from soundspot.inference.localizer import Localizer
from soundspot.inference.mining.embed import compute_weights_digest
from soundspot.search.indexer import IndexWriter, Progress
from soundspot.search.parquet import write_parquet
from soundspot.search.query import MODALITIES, check_filters, compose_query, default_modalities
from soundspot.search.result import Hit, IndexingSummary, IndexStatus
from soundspot.search.scan import AnyPath, Paths, check_present, check_root, is_deleted, scan_files, select_files
from soundspot.search.snapshot import Snapshot
from soundspot.search.store import IndexStore, create_store
from soundspot.utils.atomic_io import lock_folder


class Index:
    """An open search index; made by `Index.create` or `Index.open`, closed by `close` or a `with` block.

    Args:
        store: database and vectors in the folder of the index.
        localizer: localizer that embeds files and queries; None: the checkpoint of the index, loaded when needed.
        device: device of that checkpoint, as for `Localizer.load`.

    Attributes:
        folder: folder of the index.
        root: folder of the files; all of them lie below it.
        stride: seconds between the windows of a video or a long audio.
    """

    def __init__(self, store: IndexStore, localizer: Localizer | None = None, device: str = "auto") -> None:
        self._store, self._localizer, self._device = store, localizer, device
        self._metadata = store.get_metadata()
        self.folder, self.root = store.folder, Path(os.fsdecode(self._metadata["root"]))
        self.stride = float(self._metadata["stride"])
        self._snapshot: Snapshot | None = None
        self._checked: Localizer | None = None  # is known to fit
        self._lock = RLock()

    @classmethod
    def create(
        cls, folder: AnyPath, localizer: Localizer, root: AnyPath | None = None, stride: float | int = 3.0
    ) -> "Index":
        """Create an empty index.

        Args:
            folder: folder of the index; it may exist if it is empty.
            localizer: localizer that embeds the files and queries.
            root: folder of the files; None: the parent of `folder`.
            stride: seconds between the windows of a video or a long audio.

        Returns:
            The open index.

        Raises:
            OutputError: the folder is not empty, or cannot be written.
            RecipeError: the method takes no waveforms, or `stride` is not positive.
            DataError: the root is no folder.
        """
        folder = Path(os.path.abspath(folder))
        root = folder.parent if root is None else Path(os.path.abspath(root))
        return cls(create_store(folder, localizer, root, float(stride)), localizer)

    @classmethod
    def open(cls, folder: AnyPath, localizer: Localizer | None = None, device: str = "auto") -> "Index":
        """Open an index.

        Args:
            folder: folder of the index.
            localizer: localizer that embeds files and queries; None: the checkpoint of the index, loaded when needed.
            device: device of that checkpoint: `auto`, `cpu`, `cuda`, `mps`...

        Returns:
            The open index.

        Raises:
            DataError: the folder holds no index, or the index is damaged or of another version.
        """
        return cls(IndexStore(Path(os.path.abspath(folder))), localizer, device)

    def close(self) -> None:
        """Close the database of the index; the index cannot be used afterwards."""
        self._store.close()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of indexed files."""
        return sum(self._store.count_files().values())

    @property
    def checkpoint(self) -> str:
        """Path of the checkpoint, or name of the model, whose embeddings the index holds; empty if it was no file."""
        return str(self._metadata["checkpoint"])

    @property
    def localizer(self) -> Localizer:
        """Localizer whose embeddings the index holds, loaded from its checkpoint when needed.

        Raises:
            CheckpointError: the file of the checkpoint is gone, or was replaced by another checkpoint.
        """
        if self._localizer is None:
            is_present = is_named_model(self.checkpoint) or (self.checkpoint and Path(self.checkpoint).is_file())
            if not is_present:
                raise CheckpointError(
                    f"{self.folder}: was made by the checkpoint {self.checkpoint or '(of no file)'}, which is gone, "
                    "expected to load it. Say where it lies: --model FILE"
                )
            self._localizer = Localizer.load(self.checkpoint, device=self._device)
        self.check_localizer(self._localizer)
        return self._localizer

    def check_localizer(self, localizer: Localizer) -> None:
        """Check that embeddings of a localizer can be compared with those of the index.

        Args:
            localizer: localizer that must have the weights, front end and precision of the index.

        Raises:
            CheckpointError: the weights, the front end or the precision differ.
        """
        if localizer is not self._checked and compute_weights_digest(localizer) != self._metadata["weights"]:
            raise CheckpointError(
                f"{self.folder}: was made by {self._metadata['method']} with other weights, another front end or "
                f"another precision than the {localizer.name} given, expected the same (then: "
                f"{self.checkpoint or 'no file'}). Give that checkpoint, or make another index by this one: `soundspot "
                "search index FOLDER --index NAME`"
            )
        self._checked = localizer

    def add(
        self,
        paths: Paths,
        progress: Progress = lambda done, total: None,
        num_workers: int | None = 0,
        retry_failed: bool = False,
    ) -> IndexingSummary:
        """Index files, and all files below folders; what is indexed and unchanged stays as it is.

        When the process dies, all but the last second or so of its work is preserved: the same call goes on from there.

        Args:
            paths: a path or several paths, of files and folders below the root.
            progress: function that is called with (files done, files in all).
            num_workers: number of processes that read files, for programs guarded by `if __name__ == "__main__"`; 0:
                this process reads; None: one per core, and this process for up to 64 files.
            retry_failed: whether to read unchanged files again that failed the last time.

        Returns:
            Counts of what was done, and the files that failed.

        Raises:
            InputError: a path lies outside the root or does not exist.
            OutputError: another process writes, or the index cannot be written (DiskFullError: no space is left).
            CheckpointError: the file of the index's checkpoint is gone, or was replaced by another checkpoint.
        """
        summary = IndexingSummary()
        files = scan_files(paths, self.root, summary)
        self._writer.update(files, summary, progress, num_workers, retry_failed)
        return summary

    def refresh(
        self,
        progress: Progress = lambda done, total: None,
        num_workers: int | None = 0,
        retry_failed: bool = False,
        add_new: bool = False,
    ) -> IndexingSummary:
        """Index changed files again and remove deleted files from the index.

        Args:
            progress: function that is called with (files done, files in all).
            num_workers: number of processes that read files, for programs guarded by `if __name__ == "__main__"`; 0:
                this process reads; None: one per core, and this process for up to 64 files.
            retry_failed: whether to read unchanged files again that failed the last time.
            add_new: whether to index new files below the root, too.

        Returns:
            Counts of what was done, and the files that failed.

        Raises:
            DataError: the root is gone or nothing to index is left below it, as if its disk were not connected.
            OutputError: another process writes, or the index cannot be written (DiskFullError: no space is left).
            CheckpointError: the file of the index's checkpoint is gone, or was replaced by another checkpoint.
        """
        summary = IndexingSummary()
        paths = {file.path: self.root / os.fsdecode(file.path) for file in self._store.list_files()}
        deleted = {name for name, path in paths.items() if is_deleted(path)}
        if len(deleted) == len(paths):
            check_present(self.root, len(paths))
        left = [path for name, path in paths.items() if name not in deleted and os.path.lexists(path)]
        files = scan_files([self.root, *left] if add_new else left, self.root, summary)
        self._writer.update(files, summary, progress, num_workers, retry_failed)
        summary.removed = self._writer.delete(sorted(deleted - {file.path for file in files}))
        return summary

    def remove(self, paths: Paths) -> int:
        """Remove files, and all files below folders, from the index; the files themselves are not touched.

        Args:
            paths: a path or several paths, of files and folders below the root.

        Returns:
            Number of files removed.

        Raises:
            InputError: a path lies outside the root, or names no indexed file.
            OutputError: another process writes, or the index cannot be written.
        """
        return self._writer.delete(select_files([file.path for file in self._store.list_files()], paths, self.root))

    def relocate(self, root: AnyPath) -> None:
        """Set the root of the files after the folder was moved; no file is read.

        Args:
            root: path of the folder now.

        Raises:
            DataError: the path is no folder, or the folder holds none of the indexed files.
            OutputError: another process writes, or the index cannot be written.
        """
        new_root = Path(os.path.abspath(root))
        check_root(new_root, [file.path for file in self._store.list_files()])
        with lock_folder(self.folder), self._store.transaction():
            self._store.set_metadata(root=os.fsencode(new_root))
        self.root = new_root

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
        """Find the k files nearest to an image, an audio, or a mixture of both, by cosine; exactly.

        Args:
            localizer: localizer whose embeddings the index holds; None: `self.localizer`.
            image: path, PIL image, (h, w, 3) array or (3, h, w) tensor.
            audio: path, `Audio`, or (waveform, rate in Hz); the front end cuts it to the window of the model.
            image_weight: weight of the image in [0, 1] where both are given (`compose_query`).
            k: largest number of hits, at least 1.
            file_types: types of the files searched: any of `image`, `audio`, `video`.
            modalities: embeddings to compare with: `image`, `audio` or both; None: audio for an image query, images for
                an audio query or a mixed query; only the modality at hand where only image files, or only audio files,
                are searched.
            per_window: whether each window of a file is a hit of its own, or each file by its best window.

        Returns:
            Hits, best first, ties by path; fewer than k where fewer files are searched.

        Raises:
            InputError: neither image nor audio is given, or the image or audio cannot be read.
            RecipeError: an option has a value that makes no sense.
            CheckpointError: the localizer has other weights than the index, or the checkpoint is gone.
            DataError: the index is damaged.
        """
        check_filters(file_types, modalities)
        localizer = localizer or self.localizer
        self.check_localizer(localizer)
        image_embedding = None if image is None else localizer.embed_images([as_image(image)])[0]
        audio_embedding = None if audio is None else localizer.embed_audio([as_audio(audio)])[0]
        query = compose_query(image_embedding, audio_embedding, image_weight)
        selected = modalities or default_modalities(image is not None, audio is not None, file_types)
        return self.query_vector(query, k, file_types, selected, per_window)

    def query_vector(
        self,
        vector: Any,
        k: int = 10,
        file_types: Sequence[str] = FILE_TYPES,
        modalities: Sequence[str] = MODALITIES,
        per_window: bool = False,
    ) -> list[Hit]:
        """Find the k files nearest to an embedding, by cosine; exactly.

        Args:
            vector: (d,) unit-norm query, as `compose_query` returns it.
            k: largest number of hits, at least 1.
            file_types: types of the files searched: any of `image`, `audio`, `video`.
            modalities: embeddings to compare with: `image`, `audio` or both.
            per_window: whether each window of a file is a hit of its own, or each file by its best window.

        Returns:
            Hits, best first, ties by path; fewer than k where fewer files are searched.

        Raises:
            RecipeError: k is not positive.
            DataError: the index is damaged.
        """
        if k < 1:
            raise RecipeError(f"k: found {k}, expected 1 or more")
        hits, filters = None, (tuple(file_types), tuple(modalities))
        while hits is None:  # a file may be deleted between the search and the look at its path
            hits = self._current_snapshot().search(self._store, self.root, vector, k, filters, per_window)
        return hits

    def to_parquet(self, path: AnyPath, overwrite: bool = False) -> int:
        """Write all embeddings with id, path, file type, modality and time of their windows (`write_parquet`).

        Args:
            path: path of a .parquet file.
            overwrite: whether an existing file may be replaced.

        Returns:
            Number of embeddings written.

        Raises:
            RecipeError: pyarrow is not installed.
            OutputError: another suffix, the file exists and `overwrite` is False, or it cannot be written.
        """
        return write_parquet(self._current_snapshot(), self._store, Path(path), overwrite)

    def status(self, check: bool = True) -> IndexStatus:
        """Count what the index holds, and look for damage.

        Args:
            check: whether to check the database, and each embedding against its checksum; without it no problem is
                reported.

        Returns:
            Counts, failures and problems.

        Raises:
            DataError: the index is too damaged to be loaded.
        """
        snapshot = self._current_snapshot()
        problems = snapshot.find_problems(self._store) if check else []
        failures = [file.to_failure(self.root) for file in self._store.list_files("cause != ''")]
        counts, num_vectors = self._store.count_files(), len(snapshot.row)
        unused, method = len(snapshot.vectors) - num_vectors, str(self._metadata["method"])
        return IndexStatus(self.root, self.checkpoint, method, counts, num_vectors, unused, failures, problems)

    def _current_snapshot(self) -> Snapshot:
        """Return the index as it is, loaded again if any process has written since."""
        with self._lock:
            if self._snapshot is None or self._snapshot.version != self._store.version:
                self._snapshot = Snapshot.load(self._store)
            return self._snapshot

    @property
    def _writer(self) -> IndexWriter:
        return IndexWriter(self._store, self.root, self.stride, lambda: self.localizer)

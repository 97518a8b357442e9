"""A folder of predictions: raw maps by sample id in `.npz` shards, and `meta.json` with how they were made.

    maps.npz (or maps-00000.npz, maps-00001.npz...)   id -> (h, w) float16 or float32, any size, higher is likelier
    meta.json                                         {"model": name, "front_end": ..., "threshold": ...}
    silence/ noise/ offscreen/ saliency/              optional, of the same form: maps of the same ids with other audio

All of meta.json is optional but the file itself. Anyone can write such a folder (examples/write_predictions.py is
twenty lines of NumPy), and `soundspot evaluate-maps` scores it.
"""

import json
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from soundspot.errors import DataError
from soundspot.evaluation.engine.distributed import SINGLE_PROCESS, RankShard
from soundspot.evaluation.engine.items import SampleIndex
from soundspot.evaluation.engine.localizers import check_map
from soundspot.evaluation.engine.predict import PredictionBatch, pack_groups
from soundspot.evaluation.metrics.registry import NEGATIVES
from soundspot.utils.atomic_io import convert_os_errors, temporary_path
from soundspot.utils.safe_read import MAX_ENTRY_BYTES, check_npy_header, read_json_object

MAPS_PER_SHARD = 4096
SALIENCY = "saliency"
EXTRA_FOLDERS = (*NEGATIVES, SALIENCY)
META_FILE, SHARD_FILE = "meta.json", "maps-{:05d}.npz"

MapsById = Mapping[str, Float[np.ndarray, "h w"]]


class MapWriter:
    """Write maps into .npz shards as they come; one map is held in memory.

    The same maps in the same order make the same bytes. The folder is complete when the writer is closed.

    Args:
        folder: existing, empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shard: zipfile.ZipFile | None = None
        self._n = 0

    def add(self, id: str, scores: NDArray[Any]) -> None:
        """Write one map.

        Args:
            id: id of the sample, not added before.
            scores: (h, w) raw map, written in its dtype.

        Raises:
            OutputError: the map cannot be written (DiskFullError: no space is left).
        """
        entry = zipfile.ZipInfo(f"{id}.npy")  # np.savez would take an id such as `file` for its own argument
        with self._convert_errors():
            if self._n % MAPS_PER_SHARD == 0:
                self._open_next_shard()
            self._n += 1
            with self._shard.open(entry, "w", force_zip64=True) as file:  # type: ignore[union-attr]
                np.lib.format.write_array(file, np.ascontiguousarray(scores), allow_pickle=False)

    def close(self, meta: Mapping[str, Any]) -> None:
        """Finish the last shard and write meta.json; nothing can be added afterwards.

        Args:
            meta: object to write into meta.json, plain values.

        Raises:
            OutputError: the files cannot be written (DiskFullError: no space is left).
        """
        with self._convert_errors():
            if not self._n:
                self._open_next_shard()
            assert self._shard is not None
            self._shard.close()
            if self._n <= MAPS_PER_SHARD:
                (self.folder / SHARD_FILE.format(0)).rename(self.folder / "maps.npz")
            (self.folder / META_FILE).write_text(json.dumps(dict(meta), indent=1) + "\n", encoding="utf-8")

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        """Convert errors of writing; the archive is closed then, as its destructor would try to write again."""
        with convert_os_errors(self.folder):
            try:
                yield
            except OSError:
                if self._shard is not None:
                    with suppress(OSError, ValueError):
                        self._shard.close()
                raise

    def _open_next_shard(self) -> None:
        if self._shard is not None:
            self._shard.close()
        self._shard = zipfile.ZipFile(self.folder / SHARD_FILE.format(self._n // MAPS_PER_SHARD), "w")


def write_maps(folder: Path, maps: MapsById, meta: Mapping[str, Any]) -> None:
    """Write maps and meta.json into a folder.

    Args:
        folder: existing, empty folder.
        maps: id of the sample -> (h, w) raw map.
        meta: object to write into meta.json, plain values.
    """
    writer = MapWriter(folder)
    for id in maps:
        writer.add(id, maps[id])
    writer.close(meta)


class TemporaryMapFolder:
    """A temporary folder for maps, deleted when this object is garbage-collected.

    Attributes:
        path: path of the folder.
    """

    def __init__(self) -> None:
        with convert_os_errors(temporary_path("soundspot-maps")):
            self.path = Path(tempfile.mkdtemp(prefix="soundspot-maps-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class Predictions:
    """A folder of predictions, opened; maps are read when they are looked up.

    Args:
        folder: folder of maps*.npz and meta.json.

    Attributes:
        folder: that folder.
        maps: id of the sample -> (h, w) raw map.
        extra_maps: name of each folder of `EXTRA_FOLDERS` that exists -> its maps by sample id.
        meta: object in meta.json.

    Raises:
        DataError: there is no shard or no meta.json, a file of them is unreadable, or an id is in two shards.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.maps = StoredMaps(folder)
        self.extra_maps = {name: StoredMaps(folder / name) for name in EXTRA_FOLDERS if (folder / name).is_dir()}
        self.meta = _read_meta(folder)

    def check_complete(self, samples: SampleIndex, allow_missing: bool) -> None:
        """Check that each sample has a map.

        Args:
            samples: index of the data set.
            allow_missing: allow that some samples, but not all, have no map.

        Raises:
            DataError: no sample has a map; some have none and that is not allowed; or a folder of `EXTRA_FOLDERS` lacks
                maps of samples with a source.
        """
        ids = samples.ids
        missing = [id for id in ids if id not in self.maps]
        if len(missing) == len(ids):
            known = ", ".join([*self.maps][:3]) or "none"
            raise DataError(
                f"{self.folder}: found no map of any of the {len(ids)} samples ({ids[0]}, ...), expected maps by "
                f"their ids; there are {known}. Name the right data set, or write maps under its ids"
            )
        if missing and not allow_missing:
            first = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise DataError(
                f"{self.folder}: {len(missing)} of {len(ids)} samples have no map ({first}). Predict them too, or "
                "count them as failures by --allow-missing"
            )
        needed = [id for id, present in zip(ids, samples.present, strict=True) if present and id in self.maps]
        for name, maps in self.extra_maps.items():
            if lacking := [id for id in needed if id not in maps]:
                raise DataError(
                    f"{self.folder / name}: {len(lacking)} of {len(needed)} samples have no map "
                    f"({', '.join(lacking[:5])}), expected one for each that has its source in the image. Predict them "
                    "too, or remove the folder"
                )

    def list_ignored(self, samples: SampleIndex) -> list[str]:
        """Describe the maps and folders that are not used.

        Args:
            samples: index of the data set.

        Returns:
            Sentences for the notes of a report: on maps of unknown ids, and on unknown folders.
        """
        known = set(samples.ids)
        unknown = [id for id in self.maps if id not in known]
        folders = sorted(path.name for path in self.folder.iterdir() if path.is_dir())
        folders = [name for name in folders if name not in self.extra_maps]
        notes = []
        if unknown:
            notes.append(f"{len(unknown)} maps are of no sample of this set and are ignored: {', '.join(unknown[:5])}.")
        if folders:
            notes.append(f"unknown folders are ignored: {', '.join(folders)} (known: {', '.join(EXTRA_FOLDERS)}).")
        return notes

    def iter_predictions(
        self, samples: SampleIndex, batch_size: int, shard: RankShard = SINGLE_PROCESS
    ) -> Iterator[PredictionBatch]:
        """Read the maps of all samples of a shard, image by image, in the form in which a localizer's are predicted.

        Args:
            samples: index of the data set.
            batch_size: number of maps read at once; the samples of an image are not divided.
            shard: shard of this process.

        Yields:
            Batches of predictions; samples without a map are in `missing`.

        Raises:
            DataError: a map is unreadable.
            InputError: a map is not (h, w) finite numbers.
        """
        for batch in shard.select([*pack_groups(samples.samples_by_group, batch_size)]):
            ids = {i: samples.ids[i] for i in batch}
            predictions = PredictionBatch(
                batch,
                [self.maps.read_or_blank(id) for id in ids.values()],
                missing=frozenset(i for i, id in ids.items() if id not in self.maps),
            )
            known = [i for i in batch if samples.present[i] and i not in predictions.missing]
            for kind, maps in self.extra_maps.items():
                if kind != SALIENCY:
                    predictions.negatives[kind] = {i: maps.read_checked(ids[i]) for i in known}
                else:
                    predictions.saliency = [maps.read_or_blank(id) for id in ids.values()]
            yield predictions


class StoredMaps(Mapping[str, np.ndarray]):
    """Maps of all shards of a folder, id -> (h, w) array, each read when it is looked up.

    Args:
        folder: folder of maps*.npz.
        owner: temporary folder to keep alive as long as the maps; None: `folder` is not temporary.

    Raises:
        DataError: there is no shard, a file is not a readable .npz, or an id is in two shards.
    """

    def __init__(self, folder: Path, owner: TemporaryMapFolder | None = None) -> None:
        self._owner = owner
        shards = sorted(folder.glob("maps*.npz"))
        if not shards:
            problem = "no such folder" if not folder.is_dir() else "no maps*.npz in it"
            raise DataError(
                f"{folder}: found {problem}; a folder of predictions holds maps by id in maps.npz, beside a meta.json."
            )
        self._shard_of: dict[str, zipfile.ZipFile] = {}
        for path in shards:
            try:
                shard = zipfile.ZipFile(path)
            except Exception as error:  # of a damaged archive: of any kind
                raise DataError(f"{path} is no readable .npz file ({error}); write it anew.") from error
            for id in (name.removesuffix(".npy") for name in shard.namelist()):
                if id in self._shard_of:
                    raise DataError(f"{path}: the map of {id!r} stands in two shards; take one out")
                self._shard_of[id] = shard

    def __getitem__(self, id: str) -> np.ndarray:
        """Read a map.

        Args:
            id: id of the sample.

        Returns:
            (h, w) array as it was written.

        Raises:
            KeyError: there is no map of this id.
            DataError: the map is unreadable.
        """
        shard = self._shard_of[id]
        try:
            with shard.open(f"{id}.npy") as entry:
                check_npy_header(entry, min(shard.getinfo(f"{id}.npy").file_size, MAX_ENTRY_BYTES))
                entry.seek(0)
                scores: np.ndarray = np.lib.format.read_array(entry, allow_pickle=False)
        except Exception as error:  # of a damaged archive: of any kind
            raise DataError(f"{shard.filename}: the map of {id!r} is unreadable ({error}); write it anew.") from error
        return scores

    def read_checked(self, id: str) -> Float[Tensor, "h w"]:
        """Read a map as float32.

        Args:
            id: id of the sample.

        Returns:
            (h, w) float32.

        Raises:
            KeyError: there is no map of this id.
            DataError: the map is unreadable.
            InputError: the map is not (h, w) finite numbers.
        """
        return check_map(self[id], id, str(Path(self._shard_of[id].filename or "").parent))

    def read_or_blank(self, id: str) -> Float[Tensor, "h w"]:
        """Read a map as float32, or a blank map where there is none.

        Args:
            id: id of the sample.

        Returns:
            (h, w) float32; (1, 1) zeros where there is no map of this id.

        Raises:
            DataError: the map is unreadable.
            InputError: the map is not (h, w) finite numbers.
        """
        return self.read_checked(id) if id in self else torch.zeros(1, 1)

    def __contains__(self, id: object) -> bool:
        """Return whether there is a map of this id, without reading it.

        Args:
            id: id of the sample.

        Returns:
            True where a shard holds the map.
        """
        return id in self._shard_of  # without reading the map, as a mapping does by default

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids of all maps, in the order of the shards.

        Yields:
            Ids of samples.
        """
        return iter(self._shard_of)

    def __len__(self) -> int:
        """Return the number of maps."""
        return len(self._shard_of)


def _read_meta(folder: Path) -> dict[str, Any]:
    return read_json_object(folder / META_FILE, 'expected an object such as {} or {"model": "mine"}. Write it there')

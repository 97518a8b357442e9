"""A folder of predictions: raw maps by id in `.npz` shards, and `meta.json` with how they were made.

    maps.npz (or maps-00000.npz, maps-00001.npz...)   id -> (h, w) float16 or float32, any size, higher is likelier
    meta.json                                         {"model": name, "front_end": ..., "threshold": ...}
    silence/ noise/ offscreen/ saliency/              optional, of the same form: the same ids asked with other sounds

All of meta.json is optional but the file itself. Anyone can write such a folder (examples/write_predictions.py is
twenty lines of NumPy), and `soundspot score` scores it.
"""

import json
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Iterator, Mapping
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
from soundspot.evaluation.engine.predict import NEGATIVES, PredictionBatch, check_map, pack_groups

MAPS_PER_SHARD = 4096  # maps in one file
SALIENCY = "saliency"
EXTRA_FOLDERS = (*NEGATIVES, SALIENCY)  # folders of further maps
META_FILE, SHARD_FILE = "meta.json", "maps-{:05d}.npz"

MapsById = Mapping[str, Float[np.ndarray, "h w"]]


class MapWriter:
    """Maps written into the shards of an existing, empty `folder` as they come: of any number, one is held.

    The same maps in the same order make the same bytes. What is there is complete when the writer is closed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shard: zipfile.ZipFile | None = None
        self._n = 0

    def add(self, id: str, scores: NDArray[Any]) -> None:
        if self._n % MAPS_PER_SHARD == 0:
            self._next()
        self._n += 1
        entry = zipfile.ZipInfo(f"{id}.npy")  # np.savez would take an id such as `file` for its own argument
        with self._shard.open(entry, "w", force_zip64=True) as file:  # type: ignore[union-attr]
            np.lib.format.write_array(file, np.ascontiguousarray(scores), allow_pickle=False)

    def close(self, meta: Mapping[str, Any]) -> None:
        """Finish the last shard and write meta.json."""
        if not self._n:
            self._next()
        assert self._shard is not None
        self._shard.close()
        if self._n <= MAPS_PER_SHARD:
            (self.folder / SHARD_FILE.format(0)).rename(self.folder / "maps.npz")
        (self.folder / META_FILE).write_text(json.dumps(dict(meta), indent=1) + "\n", encoding="utf-8")

    def _next(self) -> None:
        if self._shard is not None:
            self._shard.close()
        self._shard = zipfile.ZipFile(self.folder / SHARD_FILE.format(self._n // MAPS_PER_SHARD), "w")


def write_maps(folder: Path, maps: MapsById, meta: Mapping[str, Any]) -> None:
    """Write `maps` (id -> (h, w)) and `meta` into the existing, empty `folder`."""
    writer = MapWriter(folder)
    for id in maps:
        writer.add(id, maps[id])
    writer.close(meta)


class TemporaryMapFolder:
    """A folder for maps that nobody asked to keep: it goes with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="soundspot-maps-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class Predictions:
    """Such a folder, opened: maps are read when they are asked for.

    Attributes:
        maps: id -> (h, w) float32.
        meta: what meta.json says.

    Raises:
        DataError: no shard, no meta.json, a file that is neither, or an id that stands in two shards.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.maps = StoredMaps(folder)
        self.extra_maps = {name: StoredMaps(folder / name) for name in EXTRA_FOLDERS if (folder / name).is_dir()}
        self.meta = _read_meta(folder)

    def check_complete(self, samples: SampleIndex, allow_missing: bool) -> None:
        """Raise DataError where items have no map and that is not allowed, or a folder beside them is incomplete."""
        ids = samples.ids
        missing = [id for id in ids if id not in self.maps]
        if len(missing) == len(ids):
            there = ", ".join(list(self.maps)[:3]) or "none"
            raise DataError(
                f"{self.folder}: found no map of any of the {len(ids)} items ({ids[0]}, ...), expected maps by "
                f"their ids; there are {there}. Name the right data set, or write maps under its ids"
            )
        if missing and not allow_missing:
            named = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise DataError(
                f"{self.folder}: {len(missing)} of {len(ids)} items have no map ({named}). Predict them too, or count "
                "them as failures by --allow-missing"
            )
        for name, maps in self.extra_maps.items():
            needed = [id for id, present in zip(ids, samples.present, strict=True) if present and id in self.maps]
            if lacking := [id for id in needed if id not in maps]:
                raise DataError(
                    f"{self.folder / name}: {len(lacking)} of {len(needed)} items have no map ({', '.join(lacking[:5])}"
                    "), expected one for each that has its source in the picture. Predict them too, or take the folder "
                    "away"
                )

    def list_ignored(self, samples: SampleIndex) -> list[str]:
        """What lies in the folder and is not used, in words."""
        known, told = set(samples.ids), []
        if strange := [id for id in self.maps if id not in known]:
            told.append(f"{len(strange)} maps are of no item of this set and are ignored: {', '.join(strange[:5])}.")
        folders = sorted(
            path.name for path in self.folder.iterdir() if path.is_dir() and path.name not in self.extra_maps
        )
        if folders:
            told.append(
                f"folders that are not known are ignored: {', '.join(folders)} (known: {', '.join(EXTRA_FOLDERS)})."
            )
        return told

    def iter_predictions(
        self, samples: SampleIndex, batch_size: int, shard: RankShard = SINGLE_PROCESS
    ) -> Iterator[PredictionBatch]:
        """The maps of all items of a share, picture by picture, as a localizer would have answered."""
        for some in shard.select([*pack_groups(samples.samples_by_group, batch_size)]):
            maps = [
                self.maps.read_checked(samples.ids[i]) if samples.ids[i] in self.maps else torch.zeros(1, 1)
                for i in some
            ]
            answers = PredictionBatch(some, maps, missing=frozenset(i for i in some if samples.ids[i] not in self.maps))
            asked = [i for i in some if samples.present[i] and i not in answers.missing]
            for kind in self.extra_maps.keys() & set(NEGATIVES):
                answers.negatives[kind] = {i: self.extra_maps[kind].read_checked(samples.ids[i]) for i in asked}
            if beside := self.extra_maps.get(SALIENCY):
                answers.saliency = [
                    beside.read_checked(id) if id in beside else torch.zeros(1, 1)
                    for id in (samples.ids[i] for i in some)
                ]
            yield answers


class StoredMaps(Mapping[str, np.ndarray]):
    """Maps of all shards of a folder, id -> (h, w), each read when it is asked for.

    Args:
        scratch: what must live as long as the maps are read, where `folder` is in it.
    """

    def __init__(self, folder: Path, owner: TemporaryMapFolder | None = None) -> None:
        self._scratch = owner
        shards = sorted(folder.glob("maps*.npz"))
        if not shards:
            there = "no such folder" if not folder.is_dir() else "no maps*.npz in it"
            raise DataError(
                f"{folder}: found {there}; a folder of predictions holds maps by id in maps.npz, beside a meta.json."
            )
        self._home: dict[str, zipfile.ZipFile] = {}
        for path in shards:
            try:
                shard = zipfile.ZipFile(path)
            except (OSError, zipfile.BadZipFile) as error:
                raise DataError(f"{path} is no readable .npz file ({error}); write it anew.") from error
            for id in (name.removesuffix(".npy") for name in shard.namelist()):
                if id in self._home:
                    raise DataError(f"{path}: the map of {id!r} stands in two shards; take one out")
                self._home[id] = shard

    def __getitem__(self, id: str) -> np.ndarray:
        shard = self._home[id]
        try:
            with shard.open(f"{id}.npy") as entry:
                found: np.ndarray = np.lib.format.read_array(entry, allow_pickle=False)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{shard.filename}: the map of {id!r} is unreadable ({error}); write it anew.") from error
        return found

    def read_checked(self, id: str) -> Float[Tensor, "h w"]:
        """A map as float32, refused where it is none."""
        return check_map(self[id], id, str(Path(self._home[id].filename or "").parent))

    def __contains__(self, id: object) -> bool:
        return id in self._home  # without reading the map, as a mapping does by default

    def __iter__(self) -> Iterator[str]:
        return iter(self._home)

    def __len__(self) -> int:
        return len(self._home)


def _read_meta(folder: Path) -> dict[str, Any]:
    try:
        meta = json.loads((folder / META_FILE).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}/meta.json cannot be read ({error}); write at least {{}} into it.") from error
    if not isinstance(meta, dict):
        raise DataError(f'{folder}/meta.json holds no object; expected one such as {{}} or {{"model": "mine"}}.')
    return meta

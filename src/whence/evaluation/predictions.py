"""A folder of predictions (DESIGN 5.4): raw maps by id in `.npz` shards, and `meta.json` with how they were made."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from whence.errors import DataError

SHARD = 4096  # maps in one file

Maps = dict[str, Float[np.ndarray, "h w"]]


def write_maps(folder: Path, maps: Mapping[str, Float[np.ndarray, "h w"]], meta: Mapping[str, Any]) -> None:
    """Write `maps` (id -> (h, w)) and `meta` into the existing, empty `folder`."""
    ids = list(maps)
    for start in range(0, max(1, len(ids)), SHARD):
        path = folder / ("maps.npz" if len(ids) <= SHARD else f"maps-{start // SHARD:05d}.npz")
        with zipfile.ZipFile(path, "w") as shard:  # np.savez would take an id such as `file` for its own argument
            for id in ids[start : start + SHARD]:
                with shard.open(f"{id}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.ascontiguousarray(maps[id]), allow_pickle=False)
    (folder / "meta.json").write_text(json.dumps(dict(meta), indent=1) + "\n", encoding="utf-8")


def read_maps(folder: Path) -> tuple[Maps, dict[str, Any]]:
    """Maps and meta of a folder that `write_maps`, or `np.savez` of anyone, has written.

    Raises:
        DataError: no shard, no meta.json, or a file that is neither.
    """
    shards = sorted(folder.glob("maps*.npz"))
    if not shards:
        raise DataError(f"{folder}: no maps*.npz; a folder of predictions holds them by id beside a meta.json.")
    maps: Maps = {}
    try:
        for path in shards:
            with np.load(path, allow_pickle=False) as shard:
                maps.update({id: shard[id] for id in shard.files})
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a readable .npz file ({error}); write the predictions anew.") from error
    try:
        return maps, json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}/meta.json cannot be read ({error}); it says how the maps were made.") from error

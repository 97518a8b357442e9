"""The vectors of an index as a Parquet file, the form in which vector databases take them (extra `parquet`)."""

import hashlib
import os
import struct
from pathlib import Path
from typing import Any

from soundspot.errors import RecipeError
from soundspot.search.metadata_db import MetadataDatabase
from soundspot.search.query import FILE_TYPES, MODALITIES
from soundspot.search.result import escape_unprintable
from soundspot.search.snapshot import Snapshot
from soundspot.utils.atomic_io import atomic_write, check_output, convert_os_errors

ROWS = 8192  # at a time


def write_parquet(snapshot: Snapshot, catalogue: MetadataDatabase, path: Path, overwrite: bool = False) -> int:
    """Writes a row for each vector: `id`, `path` (below the root), `kind`, `modality`, `time` (seconds, or null) and
    `vector` (a list of float32, unit norm); how many.

    An `id` is of the path, the modality and the time (`identity`), so that writing again gives the same ones. Bytes of
    a name that are no UTF-8, and what would break a line, are escaped.

    Raises:
        RecipeError: pyarrow is not installed. OutputError: the file is there already, or cannot be written.
    """
    pa, pq = _pyarrow()
    check_output(path, overwrite, (".parquet",))
    e, width = snapshot.entries, snapshot.vectors.shape[1]
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("path", pa.string()),
            ("kind", pa.string()),
            ("modality", pa.string()),
            ("time", pa.float64()),
            ("vector", pa.list_(pa.float32(), width)),
        ]
    )
    written = 0
    with convert_os_errors(path), atomic_write(path) as draft, pq.ParquetWriter(draft, schema) as writer:
        for first in range(0, len(e.row), ROWS):
            some = slice(first, first + ROWS)
            names = catalogue.get_paths(set(e.file_id[some].tolist()))
            here = [n for n in range(first, min(first + ROWS, len(e.row))) if int(e.file_id[n]) in names]
            columns = [
                pa.array(
                    [window_id(names[int(e.file_id[n])], MODALITIES[e.modality[n]], float(e.time[n])) for n in here],
                    pa.int64(),
                ),
                pa.array([escape_unprintable(os.fsdecode(names[int(file)])) for file in e.file_id[here]]),
                pa.array([FILE_TYPES[kind] for kind in e.file_type[here]]),
                pa.array([MODALITIES[one] for one in e.modality[here]]),
                pa.array(e.time[here], from_pandas=True),
                pa.FixedSizeListArray.from_arrays(pa.array(snapshot.vectors[e.row[here]].reshape(-1)), width),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            written += len(here)
    return written


def window_id(path: bytes, modality: str, time: float) -> int:
    """63 bits that stand for a window of a file, whatever else the index holds or has held."""
    said = b"\0".join([path, modality.encode(), struct.pack("<d", time)])
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big") >> 1


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise RecipeError("a Parquet file needs pyarrow; install it with `pip install soundspot[parquet]`") from error
    return pyarrow, pyarrow.parquet

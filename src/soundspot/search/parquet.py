"""Export of an index as a Parquet file, which vector databases take (extra `parquet`)."""

import hashlib
import os
import struct
from pathlib import Path

from soundspot.data.media.file_types import FILE_TYPES
from soundspot.data.neighbors.candidate_filter import row_blocks
from soundspot.errors import RecipeError
from soundspot.search.query import MODALITIES, Modality
from soundspot.search.result import escape_unprintable
from soundspot.search.snapshot import Snapshot
from soundspot.search.store import IndexStore
from soundspot.utils.atomic_io import atomic_write, check_output

_ID_WORDS: dict[Modality, bytes] = {"image": b"picture", "audio": b"sound"}  # data: other words would give other ids


def write_parquet(snapshot: Snapshot, store: IndexStore, path: Path, overwrite: bool = False) -> int:
    """Write one row per embedding.

    Columns: `id` (`window_id`), `path` (relative to the root; bytes that are not UTF-8 or would break a line are
    escaped), `file_type`, `modality`, `time` (seconds, or null) and `vector` (float32, unit norm).

    Args:
        snapshot: windows and embeddings of the index.
        store: store of the index, from which the paths of files are read.
        path: path of a .parquet file.
        overwrite: whether an existing file may be replaced.

    Returns:
        Number of rows; windows of files that were deleted since the snapshot are left out.

    Raises:
        RecipeError: pyarrow is not installed.
        OutputError: another suffix, the file exists and `overwrite` is False, or it cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise RecipeError("a Parquet file needs pyarrow; install it with `pip install soundspot[parquet]`") from error
    check_output(path, overwrite, (".parquet",))
    width = snapshot.vectors.shape[1]
    text, number = pa.string(), pa.float64()
    fields = {"id": pa.int64(), "path": text, "file_type": text, "modality": text, "time": number}
    schema = pa.schema([*fields.items(), ("vector", pa.list_(pa.float32(), width))])
    paths, num_rows = dict(store.select("SELECT id, path FROM files")), 0
    with atomic_write(path) as draft, pq.ParquetWriter(draft, schema) as writer:
        for block in row_blocks(len(snapshot.row)):
            windows = [n for n in range(block.start, block.stop) if int(snapshot.file_id[n]) in paths]
            files = [paths[int(file)] for file in snapshot.file_id[windows]]
            modalities = [MODALITIES[code] for code in snapshot.modality[windows]]
            keys = zip(files, modalities, snapshot.time[windows].tolist(), strict=True)
            columns = [
                pa.array([window_id(*key) for key in keys], pa.int64()),
                pa.array([escape_unprintable(os.fsdecode(file)) for file in files], text),
                pa.array([FILE_TYPES[code] for code in snapshot.file_type[windows]], text),
                pa.array(modalities, text),
                pa.array(snapshot.time[windows], from_pandas=True),
                pa.FixedSizeListArray.from_arrays(pa.array(snapshot.vectors[snapshot.row[windows]].reshape(-1)), width),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            num_rows += len(windows)
    return num_rows


def window_id(path: bytes, modality: Modality, time: float) -> int:
    """Compute an id of a window that does not depend on what else the index holds or has held.

    Args:
        path: path of the window's file relative to the root, in the system's bytes.
        modality: `image` or `audio`.
        time: seconds at which the frame is shown or the audio window begins; nan for an image file.

    Returns:
        Integer from 0 to 2^63 - 1, a BLAKE2b hash of the three: it fits a signed 64-bit column.
    """
    key = b"\0".join([path, _ID_WORDS[modality], struct.pack("<d", time)])
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1

#!/usr/bin/env bash
# zarr_lost_chunk: zarr 3.1.6, numpy 2.4.6
#
# Behavior: zarr keeps each chunk of an array in a file of its own, and a chunk without a file is one of fill values
# (0). Of a copy that was broken off, or a sync that left a file out, the rest is read without an error, and the rows of
# the missing chunks are zeros.
#
# Plausible guess: an array that lacks a part of its data cannot be opened, or raises when that part is read, as with
# .npy.
#
# Seen, of 100 rows of ones in chunks of ten, and then without one of the files:
#   fill value 0.0 files 10 rows of ones 100 then 90 of zeros 10 of NaN 0
#     chunks that are there: 9 of 10
#   fill value nan files 10 rows of ones 100 then 90 of zeros 0 of NaN 10
#     chunks that are there: 9 of 10
#
# Meaning: embeddings or features that were lost on the way are vectors of zeros, which are like nothing, or,
# normalized, NaN. Write a fill value that no row can have (NaN), or compare the number of chunks with the number that
# there should be.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check zarr==3.1.6 numpy==2.4.6
cat > check.py <<'PY'
import sys
from pathlib import Path

import numpy as np
import zarr

print("zarr", zarr.__version__, "numpy", np.__version__)
zeros = {}
for fill in (0.0, float("nan")):
    folder = f"rows_{fill}.zarr"
    array = zarr.create_array(folder, shape=(100, 8), chunks=(10, 8), dtype="float32", fill_value=fill)
    array[:] = 1
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.name != "zarr.json")
    whole = zarr.open_array(folder, mode="r")[:]
    files[3].unlink()
    array = zarr.open_array(folder, mode="r")
    read = array[:]
    zeros[fill] = int((read == 0).all(axis=1).sum())
    nans = int(np.isnan(read).any(axis=1).sum())
    ones = [int((rows == 1).all(axis=1).sum()) for rows in (whole, read)]
    print("fill value", fill, "files", len(files), "rows of ones", ones[0], "then", ones[1], "of zeros", zeros[fill],
          "of NaN", nans)
    print("  chunks that are there:", array.nchunks_initialized, "of", array.nchunks)
if zeros[0.0] != 10:
    sys.exit("the behavior is gone: the missing rows are not zeros")
PY
venv/bin/python check.py

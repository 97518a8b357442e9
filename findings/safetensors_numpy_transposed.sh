#!/usr/bin/env bash
# safetensors_numpy_transposed: safetensors 0.8.0, numpy 2.4.6
#
# Behavior: `safetensors.numpy.save_file` writes the memory of an array and not its values. An array that is not
# contiguous (a transposed one, every second row, a column of a table, one in Fortran order) comes back with the right
# shape, type and name and with its numbers in other places. Nothing warns.
#
# Plausible guess: as with `np.save`, an array is read back as it was; at the worst a view is refused, as
# `safetensors.torch` does.
#
# Seen (is what was read equal to what was saved?):
#   contiguous (4, 6) -> (4, 6) equal
#   transposed (6, 4) -> (6, 4) not equal
#   every second column (4, 3) -> (4, 3) not equal
#   every second row (2, 6) -> (2, 6) not equal
#   reversed (4, 6) -> (4, 6) not equal
#   Fortran order (4, 6) -> (4, 6) not equal
#   [[0.0, 6.0, 12.0, 18.0], [1.0, 7.0, 13.0, 19.0]] was saved
#   [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]] was read
#
# Meaning: weights that were transposed for another library, embeddings that were sliced, or anything from SciPy or
# MATLAB files (Fortran order) are scrambled when they are saved, and the checksum of the file is right. Pass everything
# through `np.ascontiguousarray`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cat > check.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load_file, save_file

print("safetensors", version("safetensors"), "numpy", np.__version__)
table = np.arange(24, dtype=np.float32).reshape(4, 6)
arrays = {
    "contiguous": table,
    "transposed": table.T,
    "every second column": table[:, ::2],
    "every second row": table[::2],
    "reversed": table[::-1],
    "Fortran order": np.asfortranarray(table),
}
equal = {}
for name, array in arrays.items():
    save_file({"x": array}, "x.safetensors")
    read = load_file("x.safetensors")["x"]
    equal[name] = read.shape == array.shape and bool((read == array).all())
    print(name, array.shape, "->", read.shape, "equal" if equal[name] else "not equal")
print(table.T[:2].tolist(), "was saved")
save_file({"x": table.T}, "x.safetensors")
print(load_file("x.safetensors")["x"][:2].tolist(), "was read")
if not equal["contiguous"]:
    sys.exit("contiguous arrays are no longer read back")
if equal["transposed"] or equal["Fortran order"]:
    sys.exit("the behavior is gone: such arrays are read back as they were")
PY
venv/bin/python check.py

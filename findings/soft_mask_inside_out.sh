#!/usr/bin/env bash
# soft_mask_inside_out: pycocotools 2.0.11, numpy 2.4.6, pillow 13.0.0
#
# Behavior: `mask.encode` makes run lengths by beginning a new run wherever a byte differs from the one before it, and
# runs are background and object by turns. Of a mask with soft edges (grays between 0 and 255, as any resize but the
# nearest leaves) each new gray flips the meaning of what follows: stripes, or only the edge, or only the inside remain.
#
# Plausible guess: what is not 0 is object, as NumPy has it, or at the worst what is above a half.
#
# Seen, of a filled circle of radius 60 in 200 x 200, shrunk to 100 x 100 (pixels of the object):
#   nearest 2 grays: run lengths 2876 above a half 2876
#     above 0 2876 IoU with the half 1.0
#   bilinear 25 grays: run lengths 3267 above a half 2889
#     above 0 3058 IoU with the half 0.366
#
# Meaning: areas, IoU and the masks of an exported data set are wrong without an error, although a mask of 0 and 255
# (and one of 0 and 1) is encoded rightly by the same call. Compare with a threshold first: `(mask >
# 127).astype(np.uint8)`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pycocotools==2.0.11 numpy==2.4.6 pillow==13.0.0
cat > check.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as run_lengths

print("pycocotools", version("pycocotools"), "numpy", np.__version__, "pillow", version("pillow"))
drawing = Image.new("L", (200, 200))
ImageDraw.Draw(drawing).ellipse((40, 40, 160, 160), fill=255)
areas = {}
for name, resample in (("nearest", Image.Resampling.NEAREST), ("bilinear", Image.Resampling.BILINEAR)):
    mask = np.asarray(drawing.resize((100, 100), resample))
    encoded = run_lengths.encode(np.asfortranarray(mask))
    decoded = run_lengths.decode(encoded)
    areas[name] = int(run_lengths.area(encoded)), int((mask > 127).sum())
    overlap = int((decoded.astype(bool) & (mask > 127)).sum())
    print(name, len(np.unique(mask)), "grays: run lengths", areas[name][0], "above a half", areas[name][1])
    print("  above 0", int((mask > 0).sum()), "IoU with the half", round(overlap / (sum(areas[name]) - overlap), 3))
if areas["nearest"][0] != areas["nearest"][1]:
    sys.exit("a mask of 0 and 255 is no longer encoded rightly")
if abs(areas["bilinear"][0] / areas["bilinear"][1] - 1) < 0.1:
    sys.exit("the behavior is gone: the area of a soft mask is about right")
PY
venv/bin/python check.py

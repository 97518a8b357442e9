#!/usr/bin/env bash
# zoom_moves_the_peak: scipy 1.17.1, opencv-python-headless 5.0.0.93, pillow 13.0.0, numpy 2.4.6
#
# Behavior: `scipy.ndimage.zoom` takes the centers of the outermost cells for the edges of the image, so that a map of
# few cells is stretched outward: the nearer a peak is to the edge, the farther it moves, by up to half a cell. Pillow,
# OpenCV and torch's `interpolate` (align_corners=False) take cells for areas. `grid_mode=True, mode="nearest"` makes
# zoom do so.
#
# Plausible guess: enlarging a map by a factor moves nothing; libraries differ by the kernel and by rounding.
#
# Seen, center of the 1 % highest values of a map of 7 x 7 with one peak, enlarged to 224 x 224 (a cell is 32 wide):
#   cell 0 center 15.5 {'zoom': 10.2, 'zoom grid_mode': 10.5, 'OpenCV': 10.5, 'Pillow': 10.5}
#   cell 1 center 47.5 {'zoom': 37.1, 'zoom grid_mode': 47.5, 'OpenCV': 47.5, 'Pillow': 47.5}
#   cell 2 center 79.5 {'zoom': 74.3, 'zoom grid_mode': 79.5, 'OpenCV': 79.5, 'Pillow': 79.5}
#   cell 3 center 111.5 {'zoom': 111.5, 'zoom grid_mode': 111.5, 'OpenCV': 111.5, 'Pillow': 111.5}
#
# Meaning: heat maps of 7 x 7 or 14 x 14, the usual ones of localization, are put up to 16 (8) pixels off, and boxes and
# IoU of small sources near the edge with them, by the choice of a library alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  scipy==1.17.1 opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
cat > check.py <<'PY'
import sys
from importlib.metadata import version

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage

print(*(f"{name} {version(name)}" for name in ("scipy", "opencv-python-headless", "pillow", "numpy")))
off = {}
for cell in (0, 1, 2, 3):
    small = np.zeros((7, 7), np.float32)
    small[cell, cell] = 1
    maps = {
        "zoom": ndimage.zoom(small, 32, order=1),
        "zoom grid_mode": ndimage.zoom(small, 32, order=1, grid_mode=True, mode="nearest"),
        "OpenCV": cv2.resize(small, (224, 224)),
        "Pillow": np.asarray(Image.fromarray(small).resize((224, 224), Image.Resampling.BILINEAR)),
    }
    center = 32 * cell + 15.5
    found = {}
    for name, large in maps.items():
        rows = np.nonzero(large >= np.quantile(large, 0.99))[0]
        found[name] = round(float(rows.mean()), 1)
        off[cell, name] = found[name] - center
    print("cell", cell, "center", center, found)
if any(abs(off[cell, name]) > 1 for cell in (1, 2, 3) for name in ("zoom grid_mode", "OpenCV", "Pillow")):
    sys.exit("the others no longer agree with the center")
if abs(off[1, "zoom"]) < 5:
    sys.exit("the behavior is gone: zoom leaves the peak where it is")
PY
venv/bin/python check.py

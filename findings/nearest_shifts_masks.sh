#!/usr/bin/env bash
# nearest_shifts_masks: opencv-python-headless 5.0.0.93, pillow 13.0.0, numpy 2.4.6
#
# Behavior: "nearest" is not one rule. OpenCV's INTER_NEAREST takes the source pixel at the upper left of the output
# pixel's area, Pillow's NEAREST and OpenCV's INTER_NEAREST_EXACT the one at its center. A mask that is made smaller by
# OpenCV moves right and down by up to half of an output pixel, against Pillow's, against the image (which is shrunk by
# areas), and against the boxes.
#
# Plausible guess: with nearest neighbors there is nothing to choose, so libraries give the same mask.
#
# Seen, of discs in 512 x 512, shrunk to 32 x 32 and compared with the share of each output pixel that the disc covers:
#   radius 24 IoU with area: NEAREST 0.575 NEAREST_EXACT 0.953 Pillow 0.953
#     NEAREST against Pillow 0.559 pixels of the large image off [7.41, 7.282]
#   radius 48 IoU with area: NEAREST 0.757 NEAREST_EXACT 0.978 Pillow 0.978
#     NEAREST against Pillow 0.743 pixels of the large image off [7.345, 7.463]
#   radius 96 IoU with area: NEAREST 0.868 NEAREST_EXACT 0.99 Pillow 0.99
#     NEAREST against Pillow 0.861 pixels of the large image off [7.516, 7.591]
#
# Meaning: IoU of small sources drops by tenths when predictions and ground truth are shrunk by different libraries, or
# one of them by nearest and one by area. Use INTER_NEAREST_EXACT, or shrink by area and threshold.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
cat > check.py <<'PY'
import sys
from importlib.metadata import version

import cv2
import numpy as np
from PIL import Image

print(*(f"{name} {version(name)}" for name in ("opencv-python-headless", "pillow", "numpy")))
y, x = np.mgrid[:512, :512] + 0.5


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


mean = {}
for radius in (24, 48, 96):
    rows = []
    for number in range(200):
        center = np.random.default_rng(number).uniform(100, 412, 2)
        mask = ((y - center[0]) ** 2 + (x - center[1]) ** 2 < radius**2).astype(np.uint8)
        area = mask.reshape(32, 16, 32, 16).mean(axis=(1, 3)) > 0.5
        plain = cv2.resize(mask, (32, 32), interpolation=cv2.INTER_NEAREST).astype(bool)
        exact = cv2.resize(mask, (32, 32), interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)
        pillow = np.asarray(Image.fromarray(mask).resize((32, 32), Image.Resampling.NEAREST)).astype(bool)
        shift = (np.argwhere(plain).mean(axis=0) + 0.5) * 16 - center
        rows.append([overlap(plain, area), overlap(exact, area), overlap(pillow, area), overlap(plain, pillow), *shift])
    mean[radius] = np.mean(rows, axis=0).round(3).tolist()
    print("radius", radius, "IoU with area: NEAREST", mean[radius][0], "NEAREST_EXACT", mean[radius][1],
          "Pillow", mean[radius][2])
    print("  NEAREST against Pillow", mean[radius][3], "pixels of the large image off", mean[radius][4:])
if any(min(mean[radius][1:3]) < 0.9 for radius in mean):
    sys.exit("Pillow and NEAREST_EXACT no longer agree with the area")
if mean[24][3] > 0.9 or mean[24][0] > 0.9:
    sys.exit("the behavior is gone: INTER_NEAREST takes the center")
PY
venv/bin/python check.py

#!/usr/bin/env bash
# sixteen_bits_in_two_ways: pillow 13.0.0, opencv-python-headless 5.0.0.93, imageio 2.38.1, numpy 2.4.6
#
# Behavior: of a gray PNG of 16 bits Pillow's `convert("L")` and `convert("RGB")` cut values above 255 to 255, OpenCV's
# `imread` (unless it is IMREAD_UNCHANGED) takes the upper 8 bits. A gradient becomes white but for its first 256th part
# in the one; small numbers, such as the labels of a mask, become 0 in the other. No warning.
#
# Plausible guess: both make 8 bits of 16 by scaling, as they do for colors.
#
# Seen, of values of 16 bits:
#   heat map [0, 1000, 10000, 30000, 65535] Pillow L [0, 255, 255, 255, 255]
#   heat map [0, 1000, 10000, 30000, 65535] Pillow RGB [0, 255, 255, 255, 255]
#   heat map [0, 1000, 10000, 30000, 65535] Pillow unchanged [0, 1000, 10000, 30000, 65535]
#   heat map [0, 1000, 10000, 30000, 65535] OpenCV gray [0, 3, 39, 117, 255]
#   heat map [0, 1000, 10000, 30000, 65535] OpenCV color [0, 3, 39, 117, 255]
#   heat map [0, 1000, 10000, 30000, 65535] OpenCV unchanged [0, 1000, 10000, 30000, 65535]
#   heat map [0, 1000, 10000, 30000, 65535] imageio [0, 1000, 10000, 30000, 65535]
#   labels [0, 1, 2, 3, 255] Pillow L [0, 1, 2, 3, 255]
#   labels [0, 1, 2, 3, 255] Pillow RGB [0, 1, 2, 3, 255]
#   labels [0, 1, 2, 3, 255] Pillow unchanged [0, 1, 2, 3, 255]
#   labels [0, 1, 2, 3, 255] OpenCV gray [0, 0, 0, 0, 0]
#   labels [0, 1, 2, 3, 255] OpenCV color [0, 0, 0, 0, 0]
#   labels [0, 1, 2, 3, 255] OpenCV unchanged [0, 1, 2, 3, 255]
#   labels [0, 1, 2, 3, 255] imageio [0, 1, 2, 3, 255]
#
# Meaning: a heat map or a depth map saved with 16 bits is a white image to Pillow, and a mask of labels saved so is
# empty to OpenCV; each looks right in the other. Read unchanged and scale by yourself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  pillow==13.0.0 opencv-python-headless==5.0.0.93 imageio==2.38.1 numpy==2.4.6
cat > check.py <<'PY'
import sys
from importlib.metadata import version

import cv2
import imageio.v3 as imageio
import numpy as np
from PIL import Image

print(*(f"{name} {version(name)}" for name in ("pillow", "opencv-python-headless", "imageio", "numpy")))
rows = {"heat map": [0, 1000, 10000, 30000, 65535], "labels": [0, 1, 2, 3, 255]}
got = {}
for name, values in rows.items():
    path = f"{name}.png"
    Image.fromarray(np.array([values] * 4, np.uint16)).save(path)
    with Image.open(path) as image:
        got[name, "Pillow L"] = np.asarray(image.convert("L"))[0].tolist()
        got[name, "Pillow RGB"] = np.asarray(image.convert("RGB"))[0, :, 0].tolist()
        got[name, "Pillow unchanged"] = np.asarray(image)[0].tolist()
    got[name, "OpenCV gray"] = cv2.imread(path, cv2.IMREAD_GRAYSCALE)[0].tolist()
    got[name, "OpenCV color"] = cv2.imread(path)[0, :, 0].tolist()
    got[name, "OpenCV unchanged"] = cv2.imread(path, cv2.IMREAD_UNCHANGED)[0].tolist()
    got[name, "imageio"] = imageio.imread(path)[0].tolist()
for (name, reader), values in got.items():
    print(name, rows[name], reader, values)
if any(got[name, f"{library} unchanged"] != rows[name] for name in rows for library in ("Pillow", "OpenCV")):
    sys.exit("values that are read unchanged have changed")
if got["heat map", "Pillow L"][2] < 200 or any(got["labels", "OpenCV gray"][:4]):
    sys.exit("the behavior is gone: both scale, or both cut")
PY
venv/bin/python check.py

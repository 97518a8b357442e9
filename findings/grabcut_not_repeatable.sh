#!/usr/bin/env bash
# grabcut_not_repeatable: opencv-python-headless 5.0.0.93, numpy 2.4.6
#
# Behavior: `cv2.grabCut` of the same picture from the same box, called six times in one process, gives six masks; the
# furthest two overlap by little more than three quarters. Its color models begin with k-means from OpenCV's generator of
# random numbers, which the process's calls share, so that a mask depends on how many were cut before it. With
# `cv2.setRNGSeed` before each call all six are the same.
#
# Plausible guess: a function without an argument for randomness has none; masks of a data set do not depend on the order
# of its pictures, or on where an interrupted run was taken up again.
#
# Seen:
#   one after another [4770, 4283, 4084, 4415, 3912, 4210] pixels, lowest overlap with the first 0.78
#   seeded before each [4770, 4770, 4770, 4770, 4770, 4770] pixels
#
# Meaning: automatic masks of training pictures change when a picture is added or a run is resumed; seed for each picture.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
cat > check.py <<'PY'
from importlib.metadata import version

import cv2
import numpy as np

print(*(f"{name} {version(name)}" for name in ("opencv-python-headless", "numpy")))
height, width = 96, 128
rng = np.random.default_rng(5)
y, x = np.mgrid[:height, :width]
colors_behind, colors_of_thing = rng.integers(0, 255, (6, 3)), rng.integers(0, 255, (5, 3))
behind = colors_behind[rng.integers(0, 6, (6, 8))].repeat(16, 0).repeat(16, 1)
thing = colors_of_thing[rng.integers(0, 5, (12, 16))].repeat(8, 0).repeat(8, 1)
ellipse = (y - 48) ** 2 / 30**2 + (x - 64) ** 2 / 40**2 < 1
pixels = np.where(ellipse[..., None], thing, behind) + rng.normal(0, 12, (height, width, 3))
picture = np.clip(pixels, 0, 255).astype(np.uint8)


def cut() -> np.ndarray:
    labels = np.zeros((height, width), np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture, labels, (5, 4, 118, 88), *models, 5, cv2.GC_INIT_WITH_RECT)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


cv2.setRNGSeed(0)
masks = [cut() for _ in range(6)]
overlap = min(float((masks[0] & mask).sum() / (masks[0] | mask).sum()) for mask in masks)
print("one after another", [int(mask.sum()) for mask in masks], f"pixels, lowest overlap with the first {overlap:.2f}")
seeded = []
for _ in range(6):
    cv2.setRNGSeed(0)
    seeded.append(cut())
print("seeded before each", [int(mask.sum()) for mask in seeded], "pixels")
assert overlap < 0.9, "the masks of one picture are alike now"
assert all((mask == seeded[0]).all() for mask in seeded), "a seed does not settle the mask"
PY
venv/bin/python check.py

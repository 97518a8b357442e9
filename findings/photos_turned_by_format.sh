#!/usr/bin/env bash
# photos_turned_by_format: pillow 13.0.0, pillow-heif 1.8.1, opencv-python-headless 5.0.0.93, numpy 2.4.6
#
# Behavior: a photograph that says "turn me by 90 degrees" (EXIF orientation 6) is saved by Pillow in five formats and
# read again. OpenCV turns it from JPEG, PNG and WebP but not from AVIF. Saved as HEIC through pillow-heif, the turn is
# lost for all: the pixels are as they were, and the orientation that is read is 1, so `ImageOps.exif_transpose` does
# nothing.
#
# Plausible guess: `imread` turns images by what they say, whatever the format; and a file that is saved with `exif=` is
# shown as before.
#
# Seen (size as shown, where the red corner is):
#   jpg Pillow ('96x128', 'upper right') OpenCV ('96x128', 'upper right')
#   png Pillow ('96x128', 'upper right') OpenCV ('96x128', 'upper right')
#   webp Pillow ('96x128', 'upper right') OpenCV ('96x128', 'upper right')
#   avif Pillow ('96x128', 'upper right') OpenCV ('128x96', 'upper left')
#   heic Pillow ('128x96', 'upper left') OpenCV not asked
#
# Meaning: boxes and masks that were drawn on the upright image lie across the wrong part of one format of a data set.
# Turn pixels first (`exif_transpose`), then convert, and save without orientation.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  pillow==13.0.0 pillow-heif==1.8.1 opencv-python-headless==5.0.0.93 numpy==2.4.6
cat > check.py <<'PY'
import sys
from importlib.metadata import version

import cv2
import numpy as np
import pillow_heif
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()
print(*(f"{name} {version(name)}" for name in ("pillow", "pillow-heif", "opencv-python-headless", "numpy")))
pixels = np.full((96, 128, 3), 90, np.uint8)
pixels[:40, :50] = (230, 40, 40)  # shown upright the red corner is at the upper right of 96 x 128


def place(image: np.ndarray) -> tuple[str, str]:
    y, x = np.argwhere(image[..., 0].astype(int) - image[..., 1] > 80).mean(axis=0)
    height, width = image.shape[:2]
    return f"{width}x{height}", ("upper " if y < height / 2 else "lower ") + ("left" if x < width / 2 else "right")


upright = ("96x128", "upper right")
turned = {}
for ending in ("jpg", "png", "webp", "avif", "heic"):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(pixels).save(f"photo.{ending}", exif=exif)
    with Image.open(f"photo.{ending}") as image:
        turned[ending, "Pillow"] = place(np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
    by_opencv = cv2.imread(f"photo.{ending}") if ending != "heic" else None
    if by_opencv is not None:
        turned[ending, "OpenCV"] = place(by_opencv[..., ::-1])
    print(ending, "Pillow", turned[ending, "Pillow"], "OpenCV", turned.get((ending, "OpenCV"), "not asked"))
if any(turned[ending, name] != upright for ending in ("jpg", "png", "webp") for name in ("Pillow", "OpenCV")):
    sys.exit("JPEG, PNG and WebP are no longer shown upright")
if turned["avif", "Pillow"] != upright:
    sys.exit("AVIF is no longer shown upright by Pillow")
if turned["avif", "OpenCV"] == upright or turned["heic", "Pillow"] == upright:
    sys.exit("the behavior is gone: all are shown upright")
PY
venv/bin/python check.py

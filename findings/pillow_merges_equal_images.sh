#!/usr/bin/env bash
# pillow_merges_equal_images: pillow 13.0.0, numpy 2.4.6
#
# Behavior: an animation saved by Pillow as GIF, PNG or WebP has fewer images than were given where some that follow one
# another are alike: they become one that is shown longer. AVIF keeps each. The durations are there in GIF and PNG, when
# the image is at hand; WebP tells them, and AVIF, only after `load()`.
#
# Plausible guess: image k of the file is image k of the list, all of the one duration that was asked for.
#
# Seen, of 20 images of which each 5 are alike, 40 ms each:
#   gif 4 images of 200 ms, in all 800 ms; before load(): 200
#   png 4 images of 200.0 ms, in all 800 ms; before load(): 200.0
#   webp 4 images of 200 ms, in all 800 ms; before load(): None
#   avif 20 images of 40 ms, in all 800 ms; before load(): None
#
# Meaning: a heat map over a still scene, or a video of a sound that pauses, is saved as an animation whose image
# numbers are not those of the windows, and `n_frames * duration` is not its length. Number images by adding up
# durations.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cat > check.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from PIL import Image

print("pillow", version("pillow"), "numpy", np.__version__)
images = [Image.fromarray(np.full((64, 64), 40 * (number // 5) + 40, np.uint8)) for number in range(20)]
counts = {}
for ending in ("gif", "png", "webp", "avif"):
    path = f"animation.{ending}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=40, loop=0)
    with Image.open(path) as animation:
        before, durations = [], []
        for number in range(animation.n_frames):
            animation.seek(number)
            before.append(animation.info.get("duration"))
            animation.load()
            durations.append(animation.info.get("duration"))
    counts[ending] = len(durations)
    print(ending, len(durations), "images of", durations[0], "ms, in all", round(sum(durations)), "ms; before load():",
          before[0])
if counts["avif"] != 20:
    sys.exit("AVIF no longer keeps each image")
if any(counts[ending] == 20 for ending in ("gif", "png", "webp")):
    sys.exit("the behavior is gone: each image is kept")
PY
venv/bin/python check.py

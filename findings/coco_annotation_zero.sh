#!/usr/bin/env bash
# coco_annotation_zero: pycocotools 2.0.11, numpy 2.4.6
#
# Behavior: COCO's evaluation marks a detection as matched by writing the id of the ground truth into an array of zeros.
# The object whose annotation has id 0 is matched as well, but by a 0, which reads as "unmatched": its detection counts
# as a false alarm and the object as missed. Nothing warns.
#
# Plausible guess: ids only have to be unique, so numbering from 0, as a loop over a list does, is as good as from 1.
#
# Seen, of the same boxes as ground truth and as detections, one in each of n images:
#   1 images, ids from 1 AP 1.0
#   1 images, ids from 0 AP 0.0
#   4 images, ids from 1 AP 1.0
#   4 images, ids from 0 AP 0.564
#   20 images, ids from 1 AP 1.0
#   20 images, ids from 0 AP 0.894
#
# Meaning: small test sets made by `enumerate` lose a good part of their AP, the more the fewer objects they have and
# the surer the detection of object 0 is; large ones lose a little and nobody notices. Number annotations from 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pycocotools==2.0.11 numpy==2.4.6
cat > check.py <<'PY'
import contextlib
import io
import sys
from importlib.metadata import version

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

print("pycocotools", version("pycocotools"))


def average_precision(images: int, first_id: int) -> float:
    box = {"category_id": 1, "bbox": [10, 10, 50, 50]}
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": n, "width": 100, "height": 100} for n in range(images)],
        "categories": [{"id": 1, "name": "source"}],
        "annotations": [{**box, "id": first_id + n, "image_id": n, "area": 2500, "iscrowd": 0} for n in range(images)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        answers = truth.loadRes([{**box, "image_id": n, "score": 0.99 - 0.001 * n} for n in range(images)])
        run = COCOeval(truth, answers, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[0])


precision = {(n, first): average_precision(n, first) for n in (1, 4, 20) for first in (1, 0)}
for (images, first), value in precision.items():
    print(images, "images, ids from", first, "AP", round(value, 3))
if any(precision[n, 1] < 0.999 for n in (1, 4, 20)):
    sys.exit("perfect detections are no longer perfect with ids from 1")
if any(precision[n, 0] > 0.97 for n in (1, 4, 20)):
    sys.exit("the behavior is gone: an annotation of id 0 counts")
PY
venv/bin/python check.py

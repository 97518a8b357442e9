#!/usr/bin/env bash
# pyannote_keeps_one_label: pyannote.core 6.1.0, numpy 2.4.6
#
# Behavior: `annotation[segment] = label` puts the label on a track named "_" of that segment. A second label for the
# same times replaces the first, without a word; times that differ by a millisecond make it two.
#
# Plausible guess: an annotation is a list of events, so assigning adds one; two sources that sound at once are what the
# library is for.
#
# Seen, of labels assigned one after the other:
#   same times: [(0, 10, 'rain')]
#   a millisecond apart: [(0, 10, 'dog'), (0, 10.001, 'drum'), (0, 10.002, 'rain')]
#   same times, a track each: [(0, 10, 'dog'), (0, 10, 'drum'), (0, 10, 'rain')]
#
# Meaning: labels of a clip as a whole (0 to 10 s, as the sets of tagged clips have them) leave the last one of each
# clip, and recall is computed against that. Give each its track: `annotation[segment, name] = label`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyannote.core==6.1.0 numpy==2.4.6
cat > check.py <<'PY'
import sys
from importlib.metadata import version

from pyannote.core import Annotation, Segment

print("pyannote.core", version("pyannote.core"))


def labels(*events: tuple[float, float, str], tracks: bool = False) -> list[tuple[float, float, str]]:
    annotation = Annotation()
    for number, (start, end, label) in enumerate(events):
        if tracks:
            annotation[Segment(start, end), number] = label
        else:
            annotation[Segment(start, end)] = label
    return [(segment.start, segment.end, label) for segment, _, label in annotation.itertracks(yield_label=True)]


same = labels((0, 10, "dog"), (0, 10, "drum"), (0, 10, "rain"))
near = labels((0, 10, "dog"), (0, 10.001, "drum"), (0, 10.002, "rain"))
named = labels((0, 10, "dog"), (0, 10, "drum"), (0, 10, "rain"), tracks=True)
print("same times:", same)
print("a millisecond apart:", near)
print("same times, a track each:", named)
if len(near) != 3 or len(named) != 3:
    sys.exit("the other ways no longer keep each label")
if len(same) == 3:
    sys.exit("the behavior is gone: each label is kept")
PY
venv/bin/python check.py

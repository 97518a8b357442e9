#!/usr/bin/env bash
# mp3_in_blocks: soundfile 0.14.0 (libsndfile 1.2.2), numpy 2.4.6
#
# Behavior: an MP3 that is read in pieces is not the MP3 that is read at once. A frame of MP3 may keep part of its bits
# in earlier frames; after a seek these are missing. soundfile seeks behind every read, so that `blocks`,
# `read(start=...)` and repeated `SoundFile.read(n)` all give pieces that begin with 25 to 55 ms of silence and some 20
# ms of wrong sound. The decoder writes lines about "part2_3_length" to standard error; no exception comes.
# An MP3 of constant and ample rate (LAME, mono, 128 kbit/s) was read alike either way.
#
# Plausible guess: as with WAV, FLAC and Vorbis, `np.concatenate(list(soundfile.blocks(path, n)))` equals
# `soundfile.read(path)`, and a window by `start` and `frames` is a part of the whole.
#
# Seen, of forty tones coded by soundfile itself (largest difference from the whole, whose peak is given):
#   mp3 peak 0.44 blocks of 1000 0.437 window at 100001 0.437
#   ogg peak 0.48 blocks of 1000 0.0 window at 100001 0.0
#   flac peak 0.43 blocks of 1000 0.0 window at 100001 0.0
#
# Meaning: windows of a data set that are cut out of MP3s by `start` begin with damaged sound, differently for each
# window, and a streaming reader gives other features than one that reads it all. Read MP3s whole and cut afterwards, or
# begin a window early and throw its first tenth of a second away.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cat > check.py <<'PY'
import os
import sys

import numpy as np
import soundfile

print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__, "numpy", np.__version__)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the decoder's messages
rate = 44100
seconds = np.arange(20 * rate) / rate
tones = sum(0.04 * np.sin(2 * np.pi * (200 + 29.2317 * n) * seconds + 2.4 * n * n) for n in range(40))
kinds = {"mp3": ("MP3", "MPEG_LAYER_III"), "ogg": ("OGG", "VORBIS"), "flac": ("FLAC", "PCM_16")}
errors = {}
for name, (container, coding) in kinds.items():
    soundfile.write(name, tones, rate, format=container, subtype=coding)
    whole, _ = soundfile.read(name)
    blocks = np.concatenate(list(soundfile.blocks(name, 1000)))
    window, _ = soundfile.read(name, start=100001, frames=2000)
    errors[name] = [np.abs(blocks - whole).max(), np.abs(window - whole[100001:102001]).max()]
    print(name, "peak", round(np.abs(whole).max(), 2), "blocks of 1000", round(errors[name][0], 3),
          "window at 100001", round(errors[name][1], 3))
if max(errors["ogg"] + errors["flac"]) > 0.001:
    sys.stdout.write("Vorbis or FLAC in pieces differ as well\n")
    sys.exit(1)
if min(errors["mp3"]) < 0.1:
    sys.stdout.write("the behavior is gone: an MP3 in pieces is like the whole\n")
    sys.exit(1)
PY
venv/bin/python check.py

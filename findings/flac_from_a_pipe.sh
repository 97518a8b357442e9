#!/usr/bin/env bash
# flac_from_a_pipe: soundfile 0.14.0 (libsndfile 1.2.2), mutagen 1.48.1, miniaudio 1.71, numpy 2.4.6
#
# Behavior: a FLAC that was written to a pipe has 0 for its number of samples, which the format defines as "not known".
# libsndfile says 9223372036854775807 frames. `soundfile.read` of the file raises ValueError, "array is too big";
# `blocks` and a loop over `read(n)` raise at the end, behind the last whole block, so that the rest is lost. Only exact
# windows can be read. mutagen and miniaudio say 0 s; miniaudio decodes all.
#
# Plausible guess: unknown means that one reads until there is no more, as every player does.
#
# Seen, of three seconds at 16 kHz whose number of samples is 0 in the header:
#   soundfile.info: 48000, without the number 9223372036854775807
#   soundfile.read: 48000, without the number ValueError: array is too big; `arr.size * arr.dtype.itemsize
#   a window of 1 s: 16000, without the number 16000
#   read(20000) in a loop: 48000, without the number 40000, then LibsndfileError
#   mutagen: 48000, without the number 0
#   miniaudio info: 48000, without the number 0
#   miniaudio decodes: 48000, without the number 48000
#
# Meaning: a data set's few recordings from streams fail in one reader, are 18 million years long or empty to a check of
# durations, and the last block of a streamed read vanishes with the error that is caught. Read such files with FFmpeg
# or miniaudio.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  soundfile==0.14.0 mutagen==1.48.1 miniaudio==1.71 numpy==2.4.6
cat > check.py <<'PY'
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import miniaudio
import mutagen
import numpy as np
import soundfile

print(*(f"{name} {version(name)}" for name in ("soundfile", "mutagen", "miniaudio", "numpy")))
soundfile.write("tone.flac", 0.5 * np.sin(2 * np.pi * 440 * np.arange(48000) / 16000), 16000)


def attempt(read: Callable[[], int]) -> int | str:
    try:
        return read()
    except (ValueError, RuntimeError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"[:60]


def in_a_loop(path: str, size: int) -> str:
    count = 0
    with soundfile.SoundFile(path) as file:
        try:
            while (part := len(file.read(size))) > 0:
                count += part
        except RuntimeError as error:
            return f"{count}, then {type(error).__name__}"
    return f"{count}"


def lengths(path: str) -> dict[str, int | str]:
    return {
        "soundfile.info": soundfile.info(path).frames,
        "soundfile.read": attempt(lambda: len(soundfile.read(path)[0])),
        "a window of 1 s": attempt(lambda: len(soundfile.read(path, start=16000, frames=16000)[0])),
        "read(20000) in a loop": in_a_loop(path, 20000),
        "mutagen": round(mutagen.File(path).info.length * 16000),
        "miniaudio info": miniaudio.flac_get_file_info(path).num_frames,
        "miniaudio decodes": miniaudio.flac_read_file_s16(path).num_frames,
    }


known = lengths("tone.flac")
content = bytearray(Path("tone.flac").read_bytes())
content[21] &= 0xF0  # the number of samples: the lower half of this byte and four more
content[22:42] = bytes(20)  # and no checksum, which is not known in front either
Path("piped.flac").write_bytes(content)
unknown = lengths("piped.flac")
for name in known:
    print(f"{name}: {known[name]}, without the number {unknown[name]}")
if any(str(value) not in ("48000", "16000") for value in known.values()) or unknown["miniaudio decodes"] != 48000:
    sys.exit("the file with its number, or miniaudio's decoding, has changed")
if unknown["soundfile.info"] == 48000 or unknown["soundfile.read"] == 48000:
    sys.exit("the behavior is gone: soundfile reads until there is no more")
PY
venv/bin/python check.py

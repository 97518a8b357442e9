#!/usr/bin/env bash
# webdataset_loses_a_folder: webdataset 1.0.2, numpy 2.4.6
#
# Behavior: webdataset takes members of a shard whose path begins with a folder named `__...__` for its own notes and
# leaves them out, without a word. Ids of YouTube are eleven letters, digits, `-` and `_`; one that begins and ends with
# two underscores is as good as any. As a file name (`__0aBcDeF__.mp4`) the same id is read.
#
# Plausible guess: what is in the shard is read; a folder is only a part of the sample's key.
#
# Seen, of shards made from clips/<id>/frame.jpg or <id>.jpg:
#   {}/frame.jpg 2 of 3 ['AbCdEfGhIjK/frame', '__0aBcDeFgh/frame']
#   {}.jpg 3 of 3 ['AbCdEfGhIjK', '__0aBcDeF__', '__0aBcDeFgh']
#   clips/{}/frame.jpg 3 of 3 ['clips/AbCdEfGhIjK/frame', 'clips/__0aBcDeF__/frame', 'clips/__0aBcDeFgh/frame']
#
# Meaning: counts of clips differ between the folder and the shards made of it, and no error tells which ones are gone.
# Put a fixed folder or letter before ids, and compare the number of keys with the number that was written.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check webdataset==1.0.2 numpy==2.4.6
cat > check.py <<'PY'
import io
import sys
import tarfile
from importlib.metadata import version

import webdataset

print("webdataset", version("webdataset"))
ids = ("AbCdEfGhIjK", "__0aBcDeF__", "__0aBcDeFgh")


def keys(pattern: str) -> list[str]:
    with tarfile.open("shard.tar", "w") as shard:
        for clip in ids:
            member = tarfile.TarInfo(pattern.format(clip))
            member.size = 4
            shard.addfile(member, io.BytesIO(b"data"))
    return [sample["__key__"] for sample in webdataset.WebDataset("shard.tar", shardshuffle=False)]


read = {pattern: keys(pattern) for pattern in ("{}/frame.jpg", "{}.jpg", "clips/{}/frame.jpg")}
for pattern, names in read.items():
    print(pattern, len(names), "of", len(ids), names)
if len(read["{}.jpg"]) != 3 or len(read["clips/{}/frame.jpg"]) != 3:
    sys.exit("the other two ways no longer keep every clip")
if len(read["{}/frame.jpg"]) == 3:
    sys.exit("the behavior is gone: every folder is read")
PY
venv/bin/python check.py

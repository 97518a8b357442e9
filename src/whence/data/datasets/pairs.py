"""Pictures and sounds that belong together by name: `frames/ID.jpg` and `audio/ID.wav`, and a list of ids.

The layout that EZ-VSL, SLAVC, FNAC and LVS train from; the lists are theirs (`vggss_144k.txt`, `flickr_144k.txt`...),
read as they are. There is no truth: a set to train on.
"""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from whence.data.audio import read_sound
from whence.data.image import read_image
from whence.errors import DataError
from whence.randomness import uniform
from whence.types import Sound, Truth

IMAGES = (".jpg", ".jpeg", ".png")
SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".mp4")


class Pairs:
    """A picture and a sound for each id.

    Args:
        root: holds the folders `frames` and `audio`.
        ids: a text file, one id a line (what follows a comma is ignored), or None for every id that has both files.
        exclude: files of ids to leave out: test lists, so that nothing scored is trained on.
        missing: what becomes of ids whose picture or sound is not there: `refuse`, or `skip`, which counts them in
            `skipped` and names the first ones in a warning.
        split: `train`, or the clips held out as `val`.
        validation: share of the clips held out, the same ones whatever the list.

    Raises:
        DataError: a list or a folder is missing, files are missing and `refuse` was chosen, or nothing is left.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        ids: str | os.PathLike[str] | None = None,
        *,
        exclude: Iterable[str | os.PathLike[str]] = (),
        missing: Literal["refuse", "skip"] = "refuse",
        split: Literal["train", "val"] = "train",
        validation: float = 0.0,
    ) -> None:
        self.root = Path(root)
        self.name = f"{self.root.resolve().name}/{split}"
        self.frames, self.audio = (_files(self.root / f, kinds) for f, kinds in (("frames", IMAGES), ("audio", SOUNDS)))
        wanted = read_list(Path(ids)) if ids is not None else sorted(self.frames.keys() & self.audio.keys())
        unwanted = {id for path in exclude for id in read_list(Path(path))}
        wanted = [id for id in wanted if id not in unwanted]
        self.ids = [id for id in wanted if id in self.frames and id in self.audio]
        self.skipped = [id for id in wanted if id not in self.frames or id not in self.audio]
        if self.skipped and missing == "refuse":
            raise DataError(
                f"{self.root}: of {len(wanted)} clips {len(self.skipped)} lack frames/ID.jpg or audio/ID.wav (first: "
                f"{', '.join(self.skipped[:3])}). Fetch them, or go without by `missing: skip`"
            )
        if self.skipped:
            named = ", ".join(self.skipped[:3])
            warnings.warn(f"{self.root}: {len(self.skipped)} of {len(wanted)} clips skipped ({named}...)", stacklevel=2)
        if validation:
            held_out = np.array([uniform(("validation", id), [0])[0, 0] < validation for id in self.ids])
            self.ids = [id for id, out in zip(self.ids, held_out, strict=True) if out == (split == "val")]
        if not self.ids:
            raise DataError(
                f"{self.root}: no clip is left of {len(wanted)} in the list; expected frames/ID.jpg and audio/ID.wav"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def id(self, index: int) -> str:
        return self.ids[index]

    group = id

    def category(self, index: int) -> str:
        """Nobody said: one for all."""
        return ""

    def read_image(self, index: int) -> Image.Image:
        return read_image(self.frames[self.ids[index]])

    def read_sound(self, index: int) -> Sound:
        return read_sound(self.audio[self.ids[index]])

    def truth(self, index: int) -> Truth:
        """Refused: there is none, and an empty one would say that the source is not in the picture.

        Raises:
            DataError: always.
        """
        raise DataError(f"{self.name}: these clips have no boxes or masks, so maps of them cannot be scored")

    def at(self, epoch: int) -> "Pairs":
        return self


def read_list(path: Path) -> list[str]:
    """Ids of a text file, one a line, duplicates dropped; line ends of any kind, a last one or none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: the list of ids cannot be read ({error}); expected a text file, one id a line"
        raise DataError(message) from error
    return list(dict.fromkeys(line.partition(",")[0].strip() for line in lines if line.strip()))


def _files(folder: Path, kinds: tuple[str, ...]) -> dict[str, Path]:
    """Id -> file of every file in a folder."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected {folder.parent} to hold `frames` and `audio`")
    with os.scandir(folder) as entries:
        return {Path(e.name).stem: Path(e.path) for e in entries if e.name.lower().endswith(kinds)}

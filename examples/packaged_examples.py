"""Makes src/soundspot/examples: photographs and recordings of CC0 that were in no training list, and a clip of them.

python examples/packaged_examples.py PHOTOGRAPHS REALSET REALSET2

PHOTOGRAPHS holds chelsea.png and eagle.png of scikit-image's test images; the other two are the catalogs, of which
entries of the test splits are taken.
"""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from soundspot.data.media.audio import crop_or_tile, read_audio
from soundspot.data.media.image import read_image
from soundspot.examples import CLIP, FOLDER
from soundspot.scenes.video_scene import VideoScene
from soundspot.types import Audio

LONGEST_SIDE = 480
PHOTOGRAPHS = {  # name -> number of the folder on the command line, file
    "cat.jpg": (0, "chelsea.png"),
    "eagle.jpg": (0, "eagle.png"),
    "helicopter.jpg": (1, "images/helicopter/ddt_V_HELICOPTER_001_0098.jpg"),
}
RECORDINGS = {
    "cat.flac": (2, "audio/cat/esc50_5-214759-B.flac"),
    "crow.flac": (2, "audio/bird/esc50_4-173865-A.flac"),
    "dog.flac": (2, "audio/dog/esc10_4-207124-A.flac"),
    "helicopter.flac": (2, "audio/helicopter/esc10_4-193480-A.flac"),
}


@dataclass(frozen=True, eq=False)
class PhotographScene(VideoScene):
    """Two photographs side by side, over which a camera pans; what sounds is one of them, or neither.

    Categories are paths of photographs, the schedule has those of recordings: whole, or names in the package.
    """

    def render(self, time: float | int) -> Image.Image:
        """Draw the frame at a time."""
        width, height = self.size
        frame = Image.new("RGB", self.size)
        turn = 2 * np.pi * time / self.seconds
        for number, name in enumerate(self.categories):
            photograph = read_image(FOLDER / name)
            scale = 1.2 * max(width / 2 / photograph.width, height / photograph.height)
            enlarged = photograph.resize((round(photograph.width * scale), round(photograph.height * scale)))
            slack = enlarged.width - width // 2, enlarged.height - height
            left = round(slack[0] * (0.5 + 0.5 * np.cos(turn + number)))
            top = round(slack[1] * (0.5 + 0.5 * np.sin(turn + number)))
            window = enlarged.crop((left, top, left + width // 2, top + height))
            frame.paste(window, (number * (width // 2), 0))
        return frame

    def iter_audio(self) -> Iterator[Audio]:
        """Read the recordings in the order in which they sound."""
        ends = [*(start for start, _ in self.schedule[1:]), self.seconds]
        for (start, name), end in zip(self.schedule, ends, strict=True):
            audio = read_audio(FOLDER / str(name), self.sample_rate)
            waveform = crop_or_tile(audio, end - start, 0.0)
            yield Audio(0.7 * waveform / waveform.abs().max(), self.sample_rate)


def main() -> None:
    """Writes all files."""
    folders = [Path(folder) for folder in sys.argv[1:]]
    if len(folders) != 3:
        raise SystemExit(__doc__)
    for name, (number, file) in PHOTOGRAPHS.items():
        photograph = read_image(folders[number] / file)
        photograph.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        photograph.save(FOLDER / name, quality=85)
    for name, (number, file) in RECORDINGS.items():
        shutil.copyfile(folders[number] / file, FOLDER / name)
        (FOLDER / name).chmod(0o644)
    schedule = ((0.0, "cat.flac"), (4.5, "helicopter.flac"), (8.5, "dog.flac"))
    PhotographScene(("cat.jpg", "helicopter.jpg"), schedule, seconds=12.0, fps=10).write(FOLDER / CLIP)
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

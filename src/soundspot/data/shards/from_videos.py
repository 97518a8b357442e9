"""From a folder of videos to shards: some frames and a window of the sound of each, once and for all.

Which frames and which window is written down beside the shards (`prepared.json`).
"""

import io
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import soundfile
from PIL import Image

from soundspot.data.datasets.clip_ids import normalize_clip_id, sample_key
from soundspot.data.datasets.labels import read_labels
from soundspot.data.media.file_types import VIDEO_SUFFIXES
from soundspot.data.media.video import Video
from soundspot.data.shards.writer import Executor, SampleRecord, write_shards
from soundspot.errors import DataError, InputError, RecipeError
from soundspot.types import Audio

ImageShape = Literal["kept", "square"]


@dataclass(frozen=True)
class ExtractionOptions:
    """What is taken of each video.

    Attributes:
        frames: `middle`; a number, that many evenly over the video, each in the middle of its part; or moments in
            seconds, `at:0.5,3`. A moment behind the end is the last frame.
        window: which `seconds` of sound: `middle`, `first`, or the second at which it begins, `at:2.5`. Shorter where
            the video is.
        seconds, rate: of the sound; mono.
        side: pixels of a picture's longer side at most; smaller ones stay as they are.
        quality: of the JPEG files, 1 to 95.
        sound: `flac`, or `wav`, twice as large and quicker to read.
        shape: of pictures: `kept`, or `square`, squashed to `side` x `side` as training does it anyway. At a side of
            1.125 x `front_end.size` (252 for 224) training reads them as they are.
    """

    frames: str = "middle"
    window: str = "middle"
    seconds: float = 10.0
    rate: int = 16000
    max_side: int = 400
    quality: int = 90
    audio_format: Literal["flac", "wav"] = "flac"
    shape: ImageShape = "kept"

    def __post_init__(self) -> None:
        self.frame_times(1.0)
        self.window_start(1.0)
        for name, least, most in (("rate", 1, 192_000), ("side", 16, 16_384), ("quality", 1, 95)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"{name}: found {getattr(self, name)}, expected {least} to {most}")
        if not self.seconds > 0:
            raise RecipeError(f"seconds: found {self.seconds}, expected more than 0")

    def frame_times(self, duration: float) -> list[float]:
        """Of the frames, in seconds, of a video that lasts `length`."""
        if self.frames == "middle":
            return [duration / 2]
        if re.fullmatch(r"[1-9]\d*", self.frames):
            n = int(self.frames)
            return [(i + 0.5) * duration / n for i in range(n)]
        if found := re.fullmatch(r"at:(\d+(\.\d+)?(,\d+(\.\d+)?)*)", self.frames):
            return [float(one) for one in found[1].split(",")]
        raise RecipeError(f"frames: found {self.frames!r}, expected middle, a number such as 5, or at:0.5,3")

    def window_start(self, duration: float) -> float:
        """Where the window of sound begins, in seconds."""
        if self.window == "middle":
            return max(0.0, (duration - self.seconds) / 2)
        if self.window == "first":
            return 0.0
        if found := re.fullmatch(r"at:(\d+(\.\d+)?)", self.window):
            return float(found[1])
        raise RecipeError(f"window: found {self.window!r}, expected middle, first, or a second such as at:2.5")


@dataclass(frozen=True)
class VideoSampleReader:
    """Makes samples of the videos of a folder; an input's name is its path below that.

    Attributes:
        categories: what sounds in a clip, by its key or by the id that its file is named after.
    """

    root: Path
    options: ExtractionOptions
    categories: Mapping[str, str] = field(default_factory=dict)

    def key(self, name: str) -> str:
        return sample_key(name)

    def category(self, name: str) -> str:
        """What sounds in a video; empty where nobody said."""
        key = self.key(name)
        return self.categories.get(key) or self.categories.get(normalize_clip_id(key), "")

    def __call__(self, name: str) -> SampleRecord:
        how = self.options
        try:
            with Video(self.root / name) as opened:
                length = opened.duration() or opened.header_duration
                frames = opened.frames_at(how.frame_times(length))
                begin = how.window_start(length)
                sound = opened.read_audio(begin, how.seconds, how.rate)
                promised = opened.header_duration
        except InputError as error:
            return SampleRecord({}, error.cause, str(error))
        told = {
            "source": name,
            "seconds": round(length, 3),
            "moments": [round(moment, 3) for moment, _ in frames],
            "sound": [round(begin, 3), round(sound.seconds, 3)],
            "rate": how.rate,
        }
        if category := self.category(name):
            told["category"] = category
        pictures = {
            "jpg" if len(frames) == 1 else f"{number}.jpg": encode_image(picture, how.max_side, how.quality, how.shape)
            for number, (_, picture) in enumerate(frames)
        }
        odd = []
        if promised and abs(promised - length) > max(1.0, 0.1 * length):
            odd.append(f"its header says {promised:.1f} s and it lasts {length:.1f} s")
        if sound.seconds < 0.9 * min(how.seconds, length - begin):
            odd.append(f"its sound ends after {begin + sound.seconds:.1f} s")
        return SampleRecord(
            {**pictures, how.audio_format: encode_audio(sound, how.audio_format), "json": encode_json(told)},
            message="; ".join(odd),
        )


def write_shards_from_videos(
    videos: Path,
    output: Path,
    options: ExtractionOptions,
    executor: Executor,
    shard_size: int = 500,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    retry: bool = False,
    label_table: Path | None = None,
) -> Counter[str]:
    """Shards of a folder of videos, folders below it included; see `write_shards`, which goes on where it was stopped.

    Args:
        table: of labels, as `soundspot.data.datasets.labels.read_labels` has it, VGGSound's own included: a clip's category is the
            most probable class of its sound. It is written down by its checksum.

    Raises:
        DataError: there is no video, two would have the same key (`a.mp4` and `a.mkv`), or the table is wrong or of
            other videos. OutputError: as there.
    """
    found = sorted(
        path.relative_to(videos).as_posix() for path in iter_files(videos) if path.suffix.lower() in VIDEO_SUFFIXES
    )
    if not found:
        raise DataError(
            f"{videos}: found no videos ({', '.join(VIDEO_SUFFIXES[:4])}...), expected some. Check the path"
        )
    told, make = asdict(options), VideoSampleReader(videos, options)
    if label_table is not None:
        make = VideoSampleReader(videos, options, read_categories(label_table))
        told["table"] = zlib.crc32(label_table.read_bytes())
        if not any(map(make.category, found)):
            raise DataError(
                f"{label_table}: found labels of none of {len(found)} videos (first: {make.key(found[0])}, in the table "
                f"{next(iter(make.categories))}), expected their names without suffix as ids. Give another table"
            )
    return write_shards(make, found, output, told, executor, shard_size, on_progress, retry)


def iter_files(folder: Path) -> Iterator[Path]:
    """Everything below a folder, through links too; a folder that is linked into itself is passed once."""
    passed: set[tuple[int, int]] = set()
    for where, folders, files in os.walk(folder, followlinks=True):
        stat = os.stat(where)
        if (stat.st_dev, stat.st_ino) in passed:
            folders.clear()
            continue
        passed.add((stat.st_dev, stat.st_ino))
        folders.sort()
        yield from (Path(where) / name for name in (*folders, *files))


def read_categories(table: Path) -> dict[str, str]:
    """The most probable class of each sound of a table of labels, by id."""
    rows = [row for row in read_labels(table) if row.modality != "image"]
    return {row.id: row.class_name for row in sorted(rows, key=lambda row: row.probability)}


def encode_image(image: Image.Image, max_side: int, quality: int, shape: ImageShape = "kept") -> bytes:
    """JPEG, its longer side `side` pixels at most; of `square` shape both exactly."""
    shrink = min(1, max_side / max(image.size))
    width, height = (max_side if shape == "square" else max(1, round(edge * shrink)) for edge in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=quality)
    return file.getvalue()


def encode_audio(audio: Audio, audio_format: str) -> bytes:
    """16-bit `flac` or `wav`."""
    file = io.BytesIO()
    soundfile.write(file, audio.waveform.numpy(), audio.rate, "PCM_16", format=audio_format.upper())
    return file.getvalue()


def encode_json(values: dict[str, Any]) -> bytes:
    """JSON, a line."""
    return (json.dumps(values, ensure_ascii=False) + "\n").encode()

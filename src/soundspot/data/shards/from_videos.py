"""Shards from a folder of videos: some frames and a window of the audio of each video.

Which frames and which window is recorded beside the shards (`prepared.json`).
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from soundspot.data.datasets.clip_ids import normalize_clip_id, sample_key
from soundspot.data.datasets.labels import read_labels
from soundspot.data.media.file_types import VIDEO_SUFFIXES, count_passed_over, iter_files, no_videos_error
from soundspot.data.media.video import Video
from soundspot.data.shards.encoding import ShardFormat, encode_json
from soundspot.data.shards.writer import Executor, SampleRecord, write_shards
from soundspot.errors import DataError, InputError, RecipeError


@dataclass(frozen=True, kw_only=True)
class ExtractionOptions(ShardFormat):
    """Frames and window of audio that are extracted from each video, and the format of the shards.

    Attributes:
        frames: frames to extract: `middle`; a number, that many evenly over the video, each in the middle of its part;
            or times in seconds, `at:0.5,3`. A time after the end means the last frame.
        window: part of the audio to extract: `middle`, `first`, or the second at which it begins, `at:2.5`. Shorter
            where the video ends before it.
        seconds: duration of that window in seconds, above 0.
        audio_track: number of the audio track, from 0; None: the default track, else the first that can be decoded.

    Raises:
        RecipeError: an option is not valid.
    """

    frames: str = "middle"
    window: str = "middle"
    seconds: float = 10.0
    audio_track: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.frame_times(1.0)
        self.window_start(1.0)
        if not self.seconds > 0:
            raise RecipeError(f"seconds: found {self.seconds}, expected more than 0")

    def frame_times(self, duration: float) -> list[float]:
        """Return the times of the frames to extract.

        Args:
            duration: duration of the video in seconds.

        Returns:
            Times in seconds, in the order of `frames`; those given as `at:` may lie after the end.

        Raises:
            RecipeError: `frames` is not valid.
        """
        if self.frames == "middle":
            return [duration / 2]
        if re.fullmatch(r"[1-9]\d*", self.frames):
            n = int(self.frames)
            return [(i + 0.5) * duration / n for i in range(n)]
        if match := re.fullmatch(r"at:(\d+(\.\d+)?(,\d+(\.\d+)?)*)", self.frames):
            return [float(time) for time in match[1].split(",")]
        raise RecipeError(f"frames: found {self.frames!r}, expected middle, a number such as 5, or at:0.5,3")

    def window_start(self, duration: float) -> float:
        """Return the start of the window of audio.

        Args:
            duration: duration of the video in seconds.

        Returns:
            Time in seconds, 0 or more; given as `at:` it may lie after the end.

        Raises:
            RecipeError: `window` is not valid.
        """
        if self.window == "middle":
            return max(0.0, (duration - self.seconds) / 2)
        if self.window == "first":
            return 0.0
        if match := re.fullmatch(r"at:(\d+(\.\d+)?)", self.window):
            return float(match[1])
        raise RecipeError(f"window: found {self.window!r}, expected middle, first, or a second such as at:2.5")


@dataclass(frozen=True)
class VideoSampleReader:
    """Reader of the videos of a folder; the name of an input is its path below the folder.

    Called with a name, it returns a `SampleRecord` with frames, audio and JSON, or the failure.

    Attributes:
        root: folder of the videos.
        options: frames and window to extract, and their format.
        label_table: file of the categories, whose checksum is recorded; None: there is none.
        categories: category of the sound by sample key or by clip id.
    """

    root: Path
    options: ExtractionOptions
    label_table: Path | None = None
    categories: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings that the samples depend on, as JSON values: the options and the checksum of the label table."""
        checksum = None if self.label_table is None else zlib.crc32(self.label_table.read_bytes())
        options = {**asdict(self.options), "label_table": checksum}
        if self.options.audio_track is None:
            del options["audio_track"]  # as it was before there was a choice
        return {"options": options}

    @property
    def shard_size(self) -> int:
        """Number of inputs in a shard."""
        return self.options.shard_size

    def key(self, name: str) -> str:
        """Return the key of a video in shards.

        Args:
            name: path below the folder, with a suffix.

        Returns:
            The path without its suffix, and with `_` for each other dot.
        """
        return sample_key(name)

    def category(self, name: str) -> str:
        """Return the category of a video's sound.

        Args:
            name: path below the folder, with a suffix.

        Returns:
            Name of the category; empty where there is none for its key or clip id.
        """
        key = self.key(name)
        return self.categories.get(key) or self.categories.get(normalize_clip_id(key), "")

    def __call__(self, name: str) -> SampleRecord:
        options = self.options
        try:
            with Video(self.root / name, options.audio_track) as video:
                duration, notes = video.duration, video.notes
                frames = video.frames_at(options.frame_times(duration))
                start = options.window_start(duration)
                audio = video.read_audio(start, options.seconds, options.rate)
                header_duration = video.header_duration
        except InputError as error:
            return SampleRecord({}, error.cause, str(error))
        values: dict[str, Any] = {
            "source": name,
            "duration": round(duration, 3),
            "frame_times": [round(time, 3) for time, _ in frames],
            "audio_window": [round(start, 3), round(audio.seconds, 3)],
            "rate": audio.rate,
        }
        if category := self.category(name):
            values["category"] = category
        files = {
            "jpg" if len(frames) == 1 else f"{number}.jpg": options.encode_image(image)
            for number, (_, image) in enumerate(frames)
        }
        warnings = [note.rstrip(".") for note in notes]
        if header_duration and abs(header_duration - duration) > max(1.0, 0.1 * duration):
            warnings.append(f"its header says {header_duration:.1f} s and it lasts {duration:.1f} s")
        if audio.seconds < 0.9 * min(options.seconds, duration - start):
            warnings.append(f"its sound ends after {start + audio.seconds:.1f} s")
        files |= {options.audio_format: options.encode_audio(audio), "json": encode_json(values)}
        return SampleRecord(files, message="; ".join(warnings))


def write_shards_from_videos(
    videos: Path,
    output: Path,
    options: ExtractionOptions,
    executor: Executor,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    retry: bool = False,
    label_table: Path | None = None,
) -> Counter[str]:
    """Write shards of a folder of videos, subfolders included; a stopped run is continued.

    Args:
        videos: folder of the videos.
        output: folder of the shards.
        options: frames and window to extract, and the format of the shards.
        executor: executor that reads the videos.
        on_progress: called with (videos done, videos in all).
        retry: whether videos that failed in an earlier run are read again.
        label_table: table of labels (`soundspot.data.datasets.labels.read_labels`) or VGGSound's own table: the
            category of a clip is the most probable class of its sound. Its checksum is recorded. None: no categories.

    Returns:
        Number of videos by cause of failure; "" counts those that were written.

    Raises:
        DataError: there is no video, two would have the same key (`a.mp4` and `a.mkv`), or the table is wrong or of
            other videos.
        OutputError: the folder holds something else, or shards with other settings, or the disk is full.
    """
    names = list_videos(videos)
    categories = {} if label_table is None else read_categories(label_table)
    reader = VideoSampleReader(videos, options, label_table, categories)
    if label_table is not None and not any(map(reader.category, names)):
        raise DataError(
            f"{label_table}: found labels of none of {len(names)} videos (first: {reader.key(names[0])}, in the table "
            f"{next(iter(categories))}), expected their names without suffix as ids. Give another table"
        )
    return write_shards(reader, names, output, executor, on_progress, retry)


def list_videos(folder: Path) -> list[str]:
    """List the videos below a folder, by their suffixes.

    Args:
        folder: folder to search, with its subfolders.

    Returns:
        Paths relative to the folder, with `/` between their parts, sorted; not empty.

    Raises:
        DataError: there are none.
    """
    files = list(iter_files(folder))
    paths = (path for path in files if path.suffix.lower() in VIDEO_SUFFIXES)
    if names := sorted(path.relative_to(folder).as_posix() for path in paths):
        return names
    raise no_videos_error(folder, count_passed_over(files, VIDEO_SUFFIXES))


def read_categories(label_table: Path) -> dict[str, str]:
    """Read the most probable class of each clip's sound; rows of images alone are ignored.

    Args:
        label_table: CSV of `id,modality,class,probability`, or VGGSound's own table.

    Returns:
        Class by clip id; of equally probable classes the last in the table.

    Raises:
        DataError: the table is missing, empty, or wrong.
    """
    rows = [row for row in read_labels(label_table) if row.modality != "image"]
    return {row.id: row.class_name for row in sorted(rows, key=lambda row: row.probability)}

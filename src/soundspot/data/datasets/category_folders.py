"""A folder for each thing, of its images, recordings and videos, as a catalog."""

import json
import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from soundspot.data.datasets.catalog_format import ANNOTATIONS_FILE, FORMAT_VERSION
from soundspot.data.media.audio import open_windows
from soundspot.data.media.audio_writer import write_audio
from soundspot.data.media.ffmpeg import VideoError
from soundspot.data.media.file_types import count_passed_over, detect_file_type, format_passed_over, iter_files
from soundspot.data.media.image import read_image
from soundspot.data.media.video import open_video
from soundspot.errors import DataError, InputError
from soundspot.types import Audio
from soundspot.utils.atomic_io import atomic_write_folder
from soundspot.utils.progress import track

FRAMES_PER_VIDEO = 4
MAX_WINDOWS = 6  # of a recording
WINDOW_SECONDS = 10.0
MAX_SIDE = 640  # pixels of the longer side of a stored image
VAL_FRACTION = 0.25  # of the files of a category

Entry = dict[str, Any]
Kind = Literal["images", "audio"]


@dataclass(frozen=True)
class FolderSummary:
    """Number of files that became a catalog, and what became of the others.

    Attributes:
        counts: category -> number of images, of recordings.
        skipped: one message for each file that could not be read.
        passed_over: phrase that counts files of other kinds; empty where there are none.
    """

    counts: dict[str, tuple[int, int]]
    skipped: tuple[str, ...]
    passed_over: str


def list_categories(folder: str | os.PathLike[str]) -> list[str]:
    """List the subfolders of a folder, which are named by its categories.

    Args:
        folder: folder with a subfolder for each category.

    Returns:
        Names in alphabetical order, at least one.

    Raises:
        DataError: the folder is missing, or has no subfolders.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: found no such folder, expected one with a subfolder for each thing. Check the path.")
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise DataError(
            f"{root}: found no subfolders, expected one for each thing, named by it, with images and recordings or "
            "videos of it. Move the files into one."
        )
    return names


def write_category_catalog(folder: str | os.PathLike[str], output: Path) -> FolderSummary:
    """Write the files below a folder as a catalog whose categories are the folder's subfolders.

    An image becomes one of at most 640 pixels, a recording up to six windows of ten seconds, a video four frames, each
    with the ten seconds around it. A quarter of the files of each category, at least one, is the split `val`. The place
    of a thing in its image is not known: its box is the entire image.

    Args:
        folder: folder with a subfolder for each category, named by it.
        output: path of the catalog, a folder that does not exist yet.

    Returns:
        What became of the files.

    Raises:
        DataError: there are no subfolders, or a category has fewer than two readable files with images, or with sound.
    """
    root, names = Path(folder), list_categories(folder)
    entries: dict[Kind, list[Entry]] = {"images": [], "audio": []}
    skipped: list[str] = []
    passed_over: Counter[str] = Counter()
    counts: dict[str, tuple[int, int]] = {}
    with atomic_write_folder(output) as draft:
        for kind in entries:
            (draft / kind).mkdir()
        for category in track(names, "folders"):
            files = sorted(path for path in iter_files(root / category) if path.is_file())
            wanted = [path for path in files if detect_file_type(os.fsencode(path))]
            passed_over += count_passed_over(files, {path.suffix.lower() for path in wanted})
            own: dict[Kind, list[Entry]] = defaultdict(list)
            for path in wanted:
                try:
                    group = path.relative_to(root).as_posix()
                    for kind, entry in _write_file(path, draft, f"{len(counts)}-{len(own['images'] + own['audio'])}"):
                        own[kind].append(entry | {"category": category, "group": group, "source": group})
                except InputError as error:
                    skipped.append(str(error))
            _split(root / category, own, skipped)
            for kind in entries:
                entries[kind] += own[kind]
            counts[category] = (len(own["images"]), len(own["audio"]))
        header = {"version": FORMAT_VERSION, "box_format": "xyxy pixels"}
        document = {**header, "images": entries["images"], "audio": entries["audio"]}
        (draft / ANNOTATIONS_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return FolderSummary(counts, tuple(skipped), format_passed_over(passed_over))


def _write_file(path: Path, folder: Path, stem: str) -> Iterator[tuple[Kind, Entry]]:
    """Write the images and recordings of a file, and yield their entries."""
    file_type = detect_file_type(os.fsencode(path))
    if file_type == "image":
        yield "images", _write_image(read_image(path), folder, stem)
    elif file_type == "audio":
        audio = open_windows(path)
        count = round(WINDOW_SECONDS * audio.rate)
        for number, first in enumerate(range(0, audio.length, count)[:MAX_WINDOWS]):
            if first == 0 or audio.length - first >= count // 4:
                segment = audio.read_segment(first, min(count, audio.length - first))
                yield "audio", _write_audio(segment, folder, f"{stem}-{number}")
    else:
        yield from _write_video(path, folder, stem)


def _write_video(path: Path, folder: Path, stem: str) -> Iterator[tuple[Kind, Entry]]:
    with open_video(path) as video:
        times = ((np.arange(FRAMES_PER_VIDEO) + 0.5) * video.duration / FRAMES_PER_VIDEO).tolist()
        for number, (time, image) in enumerate(video.frames_at(times)):
            entry = _write_image(image, folder, f"{stem}-{number}")
            start = max(0.0, min(time - WINDOW_SECONDS / 2, video.duration - WINDOW_SECONDS))
            try:
                recording = _write_audio(video.read_audio(start, WINDOW_SECONDS, None), folder, f"{stem}-{number}")
            except VideoError as error:
                if error.cause != "no sound":
                    raise
                yield "images", entry
                continue
            yield "audio", recording
            yield "images", entry | {"sound": recording["file"]}


def _write_image(image: Any, folder: Path, stem: str) -> Entry:
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    file = f"images/{stem}.jpg"
    image.save(folder / file, quality=92)
    width, height = image.size
    boxes = [[0, 0, width, height]]
    return {"file": file, "width": width, "height": height, "boxes": boxes, "annotation": "whole image"}


def _write_audio(audio: Audio, folder: Path, stem: str) -> Entry:
    file = f"audio/{stem}.flac"
    write_audio(folder / file, audio, "PCM_24")
    return {"file": file, "seconds": audio.seconds}


def _split(folder: Path, entries: dict[Kind, list[Entry]], skipped: list[str]) -> None:
    """Give the entries of a category their split: `val` for a quarter of the files with images, and with sound."""
    held_out: set[str] = set()
    groups = {kind: list(dict.fromkeys(entry["group"] for entry in entries[kind])) for kind in ("images", "audio")}
    for kind, names in groups.items():
        noun = "images or videos" if kind == "images" else "recordings or videos with sound"
        if len(names) < 2:
            reasons = "".join(f"\n  {message}" for message in skipped if str(folder) in message)
            raise DataError(
                f"{folder}: found {len(names)} readable {noun}, expected at least two, of which one is held out to "
                f"fit the threshold on. Add some, or move the folder away{reasons}"
            )
        # Of those not held out yet, files of this kind alone come first: a video counts among images and sounds.
        free = [name for name in names if name not in held_out]
        both = {*groups["images"]} & {*groups["audio"]}
        free.sort(key=lambda name: (name in both, zlib.crc32(name.encode())))
        missing = max(1, round(VAL_FRACTION * len(names))) - (len(names) - len(free))
        held_out |= {*free[: max(0, missing)]}
    for listed in entries.values():
        for entry in listed:
            entry["split"] = "val" if entry["group"] in held_out else "train"

"""A folder of optical flow from a folder of videos: of the frame at a share of each, and the one after it."""

import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from soundspot._version import __version__
from soundspot.data.datasets.clip_ids import sample_key
from soundspot.data.media.file_types import VIDEO_SUFFIXES
from soundspot.data.media.optical_flow import (
    FLOW_FOLDERS,
    FlowFolder,
    compute_optical_flow,
    import_opencv,
    quantize_flow,
)
from soundspot.data.media.video import Video
from soundspot.data.shards.writer import JOURNAL, MANIFEST, Executor, SampleRecord, check_manifest
from soundspot.errors import DataError, InputError, RecipeError
from soundspot.utils.atomic_io import atomic_write_bytes


@dataclass(frozen=True)
class FlowReader:
    """Makes the flow of a video as two PNG files, `flow_x` and `flow_y`; an input's name is its path below `root`.

    Attributes:
        how: as `soundspot.data.media.optical_flow.optical_flow` has it.
        at: which frame, as a share of the video's length; 0.5 is the middle, as `soundspot data prepare` takes it.
    """

    root: Path
    algorithm: str = "farneback"
    position: float | int = 0.5

    def key(self, name: str) -> str:
        """As `soundspot data prepare` calls the clip."""
        return sample_key(name)

    def __call__(self, name: str) -> SampleRecord:
        try:
            with Video(self.root / name) as opened:
                frames = opened.frame_pair(self.position * (opened.duration() or opened.header_duration))
            planes = quantize_flow(compute_optical_flow(*frames, self.algorithm))
        except InputError as error:
            return SampleRecord({}, error.cause, str(error))
        return SampleRecord(
            {part: _png(Image.fromarray(p.numpy())) for part, p in zip(FLOW_FOLDERS, planes, strict=True)}
        )


def extract_flow(
    videos: Path,
    output: Path,
    executor: Executor,
    algorithm: str = "farneback",
    position: float | int = 0.5,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Counter[str]:
    """Writes `flow_x/ID.png` and `flow_y/ID.png` of every video of a folder, folders below it included.

    A video's ID is that of `soundspot data prepare`, its path below the folder. How the flow is made stands in
    `prepared.json`, and a run that goes on must be given the same. What is there is skipped; a video that cannot be
    used is a line in `journal.jsonl`, and is tried again by the next run.

    Returns:
        How many failed for each cause; under "" those that were written, under "there" those that were skipped.

    Raises:
        DataError: there is no video, or two share a name. RecipeError: `at` is no share, or OpenCV is not there.
        OutputError: the folder holds flow that was made otherwise, or something else.
    """
    if not 0 <= position <= 1:
        raise RecipeError(f"at: found {position}, expected a share of the video's length, from 0 to 1")
    import_opencv()
    make = FlowReader(videos, algorithm, position)
    names = sorted(
        path.relative_to(videos).as_posix() for path in videos.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES
    )
    twice = [id for id, n in Counter(map(make.key, names)).items() if n > 1]
    if not names or twice:
        found = f"{len(twice)} names twice (first: {twice[0]})" if twice else "no videos"
        raise DataError(
            f"{videos}: found {found}, expected one video ID{VIDEO_SUFFIXES[0]} for each clip. Check the path"
        )
    told = {"how": algorithm, "at": position}
    if not check_manifest(output, told):
        output.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(
            output / MANIFEST, (json.dumps({"soundspot": __version__, **told}, indent=1) + "\n").encode()
        )
    for part in FLOW_FOLDERS:
        (output / part).mkdir(parents=True, exist_ok=True)
    folder = FlowFolder(output)
    left = [name for name in names if not folder.find_files(make.key(name))]
    causes, failed = Counter({"there": len(names) - len(left)}), []
    for done, (name, sample) in enumerate(zip(left, executor(make, left), strict=True), len(names) - len(left) + 1):
        causes[sample.cause] += 1
        if sample.cause:
            failed.append(json.dumps({"source": name, "cause": sample.cause, "told": sample.message}))
        for part, content in sample.files.items():
            file = output / part / f"{make.key(name)}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(file, content)
        on_progress(done, len(names))
    atomic_write_bytes(output / JOURNAL, "".join(f"{line}\n" for line in failed).encode())
    return causes


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()

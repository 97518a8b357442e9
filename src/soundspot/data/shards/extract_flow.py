"""Folder of optical flow from a folder of videos: of the frame at a fraction of each duration, and the one after it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from soundspot.data.datasets.clip_ids import sample_key
from soundspot.data.media.optical_flow import (
    FLOW_FOLDERS,
    FlowFolder,
    compute_optical_flow,
    encode_flow,
    import_opencv,
)
from soundspot.data.media.video import Video
from soundspot.data.shards.from_videos import list_videos
from soundspot.data.shards.writer import JOURNAL, Executor, Journal, SampleRecord, read_manifest, write_manifest
from soundspot.errors import DataError, InputError, RecipeError
from soundspot.utils.atomic_io import convert_os_errors


@dataclass(frozen=True)
class FlowReader:
    """Reader of the optical flow of videos, as PNG files; the name of an input is its path below `root`.

    Called with a name, it returns a `SampleRecord` with the files by folder (`flow_x`, `flow_y`), or the failure.

    Attributes:
        root: folder of the videos.
        algorithm: `farneback` or `dis` (`soundspot.data.media.optical_flow.compute_optical_flow`).
        position: time of the frame, as a fraction of the duration in [0, 1]; 0.5 is the middle, as in `soundspot data
            extract`.
    """

    root: Path
    algorithm: str = "farneback"
    position: float | int = 0.5

    def key(self, name: str) -> str:
        """Return the key that `soundspot data extract` gives the clip.

        Args:
            name: path of the video below `root`, with a suffix.

        Returns:
            The path without its suffix, and with `_` for each other dot.
        """
        return sample_key(name)

    def __call__(self, name: str) -> SampleRecord:
        try:
            with Video(self.root / name) as video:
                frames = video.frame_pair(self.position * video.duration)
            return SampleRecord(encode_flow(compute_optical_flow(*frames, self.algorithm)))
        except InputError as error:
            return SampleRecord({}, error.cause, str(error))


def extract_flow(
    videos: Path,
    output: Path,
    executor: Executor,
    algorithm: str = "farneback",
    position: float | int = 0.5,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Counter[str]:
    """Write `flow_x/ID.png` and `flow_y/ID.png` of every video of a folder, subfolders included.

    The flow is from the frame at `position` to the frame after it. The ID of a video is that of `soundspot data
    extract`, its path below the folder. Existing files are skipped; a video that cannot be used is a line in
    `journal.jsonl`, and is tried again by the next run.

    Args:
        videos: folder of the videos.
        output: folder to write; `prepared.json` in it holds `algorithm` and `position`, which must not change.
        executor: executor that reads the videos.
        algorithm: `farneback` or `dis`.
        position: time of the frame, as a fraction of the duration in [0, 1].
        on_progress: called with (videos done, videos in all) after each video.

    Returns:
        Number of videos by cause of failure; "" counts those that were written, "existing" those that were skipped.

    Raises:
        DataError: there is no video, or two share an ID.
        RecipeError: `position` is out of range, or OpenCV is not installed.
        OutputError: the folder holds flow of other options, or something else.
    """
    if not 0 <= position <= 1:
        raise RecipeError(f"position: found {position}, expected a fraction of the video's duration, from 0 to 1")
    import_opencv()
    reader = FlowReader(videos, algorithm, position)
    names = list_videos(videos)
    if duplicates := [id for id, count in Counter(map(reader.key, names)).items() if count > 1]:
        raise DataError(
            f"{videos}: found {len(duplicates)} names twice (first: {duplicates[0]}), expected one video for each "
            "clip. Rename one"
        )
    settings = {"algorithm": algorithm, "position": position}
    is_new = not read_manifest(output, settings)
    with convert_os_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        if is_new:
            write_manifest(output, settings)  # before all else: by it a killed run is known
        for folder in FLOW_FOLDERS:
            (output / folder).mkdir(exist_ok=True)
    flow = FlowFolder(output)
    missing = [name for name in names if not flow.find_files(reader.key(name))]
    num_existing = len(names) - len(missing)
    causes = Counter({"existing": num_existing})
    records = zip(missing, executor(reader, missing), strict=True)
    with Journal(output / JOURNAL) as journal:
        journal.truncate(0)
        for done, (name, record) in enumerate(records, num_existing + 1):
            causes[record.cause] += 1
            if record.cause:
                journal.append(name, reader.key(name), record)
            flow.write(reader.key(name), record.files)
            on_progress(done, len(names))
    return causes

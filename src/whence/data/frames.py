"""A folder of optical flow from a folder of videos: of the frame at a share of each, and the one after it."""

import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from whence import __version__
from whence.data.files import VIDEOS
from whence.data.flow import PARTS, FlowFolder, flow_bytes, opencv, optical_flow
from whence.data.identity import key_of
from whence.data.packing import JOURNAL, PLAN, Engine, Sample, refuse_other
from whence.data.video import Video
from whence.errors import DataError, InputError, RecipeError
from whence.output import write_whole


@dataclass(frozen=True)
class Flows:
    """Makes the flow of a video as two PNG files, `flow_x` and `flow_y`; an input's name is its path below `root`.

    Attributes:
        how: as `whence.data.flow.optical_flow` has it.
        at: which frame, as a share of the video's length; 0.5 is the middle, as `whence data prepare` takes it.
    """

    root: Path
    how: str = "farneback"
    at: float | int = 0.5

    def key(self, name: str) -> str:
        """As `whence data prepare` calls the clip."""
        return key_of(name)

    def __call__(self, name: str) -> Sample:
        try:
            with Video(self.root / name) as opened:
                frames = opened.two_frames(self.at * (opened.seconds() or opened.promised))
            planes = flow_bytes(optical_flow(*frames, self.how))
        except InputError as error:
            return Sample({}, error.cause, str(error))
        return Sample({part: _png(Image.fromarray(p.numpy())) for part, p in zip(PARTS, planes, strict=True)})


def write_flow(
    videos: Path,
    output: Path,
    engine: Engine,
    how: str = "farneback",
    at: float | int = 0.5,
    seen: Callable[[int, int], None] = lambda done, of: None,
) -> Counter[str]:
    """Writes `flow_x/ID.png` and `flow_y/ID.png` of every video of a folder, folders below it included.

    A video's ID is that of `whence data prepare`, its path below the folder. How the flow is made stands in
    `prepared.json`, and a run that goes on must be given the same. What is there is skipped; a video that cannot be
    used is a line in `journal.jsonl`, and is tried again by the next run.

    Returns:
        How many failed for each cause; under "" those that were written, under "there" those that were skipped.

    Raises:
        DataError: there is no video, or two share a name. RecipeError: `at` is no share, or OpenCV is not there.
        OutputError: the folder holds flow that was made otherwise, or something else.
    """
    if not 0 <= at <= 1:
        raise RecipeError(f"at: found {at}, expected a share of the video's length, from 0 to 1")
    opencv()
    make = Flows(videos, how, at)
    names = sorted(path.relative_to(videos).as_posix() for path in videos.rglob("*") if path.suffix.lower() in VIDEOS)
    twice = [id for id, n in Counter(map(make.key, names)).items() if n > 1]
    if not names or twice:
        found = f"{len(twice)} names twice (first: {twice[0]})" if twice else "no videos"
        raise DataError(f"{videos}: found {found}, expected one video ID{VIDEOS[0]} for each clip. Check the path")
    told = {"how": how, "at": at}
    if not refuse_other(output, told):
        output.mkdir(parents=True, exist_ok=True)
        write_whole(output / PLAN, (json.dumps({"whence": __version__, **told}, indent=1) + "\n").encode())
    for part in PARTS:
        (output / part).mkdir(parents=True, exist_ok=True)
    folder = FlowFolder(output)
    left = [name for name in names if not folder.files(make.key(name))]
    causes, failed = Counter({"there": len(names) - len(left)}), []
    for done, (name, sample) in enumerate(zip(left, engine(make, left), strict=True), len(names) - len(left) + 1):
        causes[sample.cause] += 1
        if sample.cause:
            failed.append(json.dumps({"source": name, "cause": sample.cause, "told": sample.told}))
        for part, content in sample.parts.items():
            file = output / part / f"{make.key(name)}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, content)
        seen(done, len(names))
    write_whole(output / JOURNAL, "".join(f"{line}\n" for line in failed).encode())
    return causes


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()

"""From a folder of videos to shards: some frames and a window of the sound of each, once and for all.

Which frames and which window is written down beside the shards (`prepared.json`). Samples are written in the order of
the inputs, so the bytes of the shards do not depend on how many processes worked, nor on how often they were stopped.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import soundfile
from PIL import Image

from whence import __version__
from whence.data.shards import ShardWriter, draft_of
from whence.data.video import Video
from whence.errors import DataError, InputError, OutputError, RecipeError
from whence.output import whole_file

SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".3gp", ".wmv", ".ogv")
PLAN, JOURNAL = "prepared.json", "journal.jsonl"


@dataclass(frozen=True)
class Preparation:
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
    """

    frames: str = "middle"
    window: str = "middle"
    seconds: float = 10.0
    rate: int = 16000
    side: int = 400
    quality: int = 90
    sound: Literal["flac", "wav"] = "flac"

    def __post_init__(self) -> None:
        self.moments(1.0)
        self.begin(1.0)
        for name, least, most in (("rate", 1, 192_000), ("side", 16, 16_384), ("quality", 1, 95)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"{name}: found {getattr(self, name)}, expected {least} to {most}")
        if not self.seconds > 0:
            raise RecipeError(f"seconds: found {self.seconds}, expected more than 0")

    def moments(self, length: float) -> list[float]:
        """Of the frames, in seconds, of a video that lasts `length`."""
        if self.frames == "middle":
            return [length / 2]
        if re.fullmatch(r"[1-9]\d*", self.frames):
            n = int(self.frames)
            return [(i + 0.5) * length / n for i in range(n)]
        if found := re.fullmatch(r"at:(\d+(\.\d+)?(,\d+(\.\d+)?)*)", self.frames):
            return [float(one) for one in found[1].split(",")]
        raise RecipeError(f"frames: found {self.frames!r}, expected middle, a number such as 5, or at:0.5,3")

    def begin(self, length: float) -> float:
        """Where the window of sound begins, in seconds."""
        if self.window == "middle":
            return max(0.0, (length - self.seconds) / 2)
        if self.window == "first":
            return 0.0
        if found := re.fullmatch(r"at:(\d+(\.\d+)?)", self.window):
            return float(found[1])
        raise RecipeError(f"window: found {self.window!r}, expected middle, first, or a second such as at:2.5")


Work: TypeAlias = "Callable[[Sequence[Item]], Iterator[Prepared]]"
"""An engine: what becomes of each input, in their order (`whence.data.engines`)."""


@dataclass(frozen=True)
class Item:
    """One input: where it is, what it is called (its path below the folder), and what is taken of it."""

    path: Path
    name: str
    how: Preparation

    @property
    def key(self) -> str:
        """Its name without suffix, and without dots, which end a key."""
        return self.name.rpartition(".")[0].replace(".", "_")


@dataclass(frozen=True)
class Prepared:
    """What became of one input: the parts of its sample, or why there are none.

    Attributes:
        cause: of the failure, in a word or two; empty where there is none.
        told: the message of the failure, or what was odd.
    """

    parts: dict[str, bytes]
    cause: str = ""
    told: str = ""


def prepare_one(item: Item) -> Prepared:
    """Reads one video; whatever is wrong with it is an answer, not an error."""
    how = item.how
    try:
        with Video(item.path) as opened:
            length = opened.seconds() or opened.promised
            frames = opened.frames(how.moments(length))
            begin = how.begin(length)
            sound = opened.sound(begin, how.seconds, how.rate)
            promised = opened.promised
    except InputError as error:
        return Prepared({}, getattr(error, "cause", "unreadable"), str(error))
    odd = promised and abs(promised - length) > max(1.0, 0.1 * length)
    parts = {"json": b""}
    for number, (_, picture) in enumerate(frames):
        parts["jpg" if len(frames) == 1 else f"{number}.jpg"] = _jpeg(picture, how)
    file = io.BytesIO()
    soundfile.write(file, sound.waveform.numpy(), how.rate, "PCM_16", format=how.sound.upper())
    parts[how.sound] = file.getvalue()
    told = {
        "source": item.name,
        "seconds": round(length, 3),
        "moments": [round(moment, 3) for moment, _ in frames],
        "sound": [round(begin, 3), round(sound.seconds, 3)],
        "rate": how.rate,
    }
    parts["json"] = (json.dumps(told, ensure_ascii=False) + "\n").encode()
    return Prepared(parts, "", f"its header says {promised:.1f} s and it lasts {length:.1f} s" if odd else "")


def prepare(
    videos: Path,
    output: Path,
    how: Preparation,
    work: Work,
    shard_size: int = 500,
    seen: Callable[[int, int], None] = lambda done, of: None,
) -> Counter[str]:
    """Shards of a folder of videos; goes on where it was stopped.

    Each input is read once: what became of it stands in `journal.jsonl`, a line each, in the order of the inputs (by
    name; videos that have come since go to the end). A failure is a line too, and its input is not tried again.

    Args:
        output: folder of the shards.
        shard_size: inputs in a shard.
        seen: is called with (inputs done, inputs in all).

    Returns:
        How many inputs failed, by cause; "" are those that did not.

    Raises:
        DataError: there is no video, or two would have the same key. OutputError: the folder holds something else, or
            shards of another preparation; or the disk is full, and what was written until then is kept.
    """
    items = plan(videos, output, how, shard_size)
    with Journal(output / JOURNAL) as journal:
        results = iter(work(items[len(journal.lines) :]))
        seen(len(journal.lines), len(items))
        for first in range(0, len(items), shard_size):
            some = items[first : first + shard_size]
            done = journal.lines[first : first + len(some)]
            path = output / f"shard-{first // shard_size:06d}.tar"
            if path.exists():
                if len(done) == len(some):
                    continue
                path.rename(draft_of(path))  # the last one, and videos have come since
            with ShardWriter(path, keep={line["key"] for line in done if not line["cause"]}) as writer:
                for item, result in zip(some[len(done) :], results, strict=False):
                    if result.parts:
                        writer.add(item.key, result.parts)
                    journal.add(item, result)
                    seen(len(journal.lines), len(items))
                writer.close()
    return Counter(line["cause"] for line in journal.lines)


def plan(videos: Path, output: Path, how: Preparation, shard_size: int) -> list[Item]:
    """The inputs in order, as the output folder knows them already or from now on."""
    found = sorted(path.relative_to(videos).as_posix() for path in videos.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{videos}: found no videos ({', '.join(SUFFIXES[:4])}...), expected some. Check the path")
    told = {"whence": __version__, "preparation": asdict(how), "shard_size": shard_size}
    file = output / PLAN
    known: list[str] = []
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        known = before.pop("inputs")
        if before["preparation"] != told["preparation"] or before["shard_size"] != shard_size:
            raise OutputError(
                f"{output}: holds shards that were prepared otherwise (see {file}); give the same options, or "
                "write elsewhere"
            )
    elif output.exists() and any(output.iterdir()):
        raise OutputError(f"{output}: holds something else (there is no {PLAN} in it). Write elsewhere")
    names = [*known, *sorted(set(found) - set(known))]
    items = [Item(videos / name, name, how) for name in names]
    keys: dict[str, str] = {}
    for item in items:
        if item.key in keys:
            raise DataError(
                f"{videos}: {keys[item.key]} and {item.name} would both be the sample {item.key!r}, expected one of a "
                "name. Rename one"
            )
        keys[item.key] = item.name
    if names != known:
        output.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as draft:
            draft.write_text(
                json.dumps({**told, "inputs": names}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
    return items


class Journal:
    """What became of each input, a line of JSON each; a line that a killed process did not end is cut off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_bytes() if path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        self.lines: list[dict[str, str]] = [json.loads(line) for line in whole.splitlines()]
        self._file = path.open("r+b" if path.exists() else "wb")
        self._file.truncate(len(whole))
        self._file.seek(len(whole))

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, item: Item, result: Prepared) -> None:
        line = {"input": item.name, "key": item.key, "cause": result.cause, "told": result.told}
        try:
            self._file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"{self.path}: could not be written ({error.strerror}). Make room and try again"
            ) from error
        self.lines.append(line)


def _jpeg(picture: Image.Image, how: Preparation) -> bytes:
    shrink = how.side / max(picture.size)
    if shrink < 1:
        width, height = (max(1, round(side * shrink)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=how.quality)
    return file.getvalue()

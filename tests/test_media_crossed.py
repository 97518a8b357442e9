"""Videos of all containers, codecs, frame structures, display matrices, offsets and tracks, crossed: all read right."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import soundspot
from media_facts import check_audio, click_starts, read_numbers, rms
from media_writers import AudioTrack, Signal, clicks, number_image, numbered_video, sine, write_video

pytestmark = pytest.mark.slow

CLICKS = (0.7, 1.3, 1.9)
COUNT = 60  # images of a video

# (suffix, format, video codec, audio codecs); of each the audio codecs take turns
MUXES: tuple[tuple[str, str | None, str, tuple[str, ...]], ...] = (
    ("mp4", None, "libx264", ("aac", "libmp3lame", "alac", "ac3")),
    ("mp4", None, "libx265", ("aac", "libopus", "flac")),
    ("mp4", None, "mpeg4", ("aac", "libmp3lame")),
    ("m4v", "mp4", "libx264", ("aac",)),
    ("mov", None, "libx264", ("pcm_s16le", "aac")),
    ("mov", None, "mpeg4", ("pcm_s16be",)),
    ("mov", None, "mjpeg", ("pcm_s24le", "alac")),
    ("mkv", None, "libx264", ("libopus", "libmp3lame", "ac3", "flac")),
    ("mkv", None, "libx265", ("aac", "eac3")),
    ("mkv", None, "mpeg4", ("pcm_s16le", "mp2")),
    ("mkv", None, "ffv1", ("flac", "pcm_s16le")),
    ("mkv", None, "mpeg2video", ("ac3",)),
    ("webm", None, "libvpx", ("libopus",)),
    ("webm", None, "libvpx-vp9", ("libopus",)),
    ("avi", None, "mpeg4", ("libmp3lame", "pcm_s16le", "ac3")),
    ("avi", None, "libx264", ("pcm_s16le", "libmp3lame")),
    ("avi", None, "mjpeg", ("pcm_s16le",)),
    ("ts", "mpegts", "libx264", ("aac", "ac3", "mp2")),
    ("ts", "mpegts", "libx265", ("aac",)),
    ("ts", "mpegts", "mpeg2video", ("mp2", "ac3")),
    ("m2ts", "mpegts", "libx264", ("ac3",)),
    ("mpg", "vob", "mpeg2video", ("mp2", "ac3")),
    ("mpg", "mpeg", "mpeg1video", ("mp2",)),
    ("vob", "vob", "mpeg2video", ("ac3",)),
    ("flv", None, "libx264", ("aac", "libmp3lame")),
    ("flv", None, "flv", ("libmp3lame",)),
    ("3gp", None, "libx264", ("aac",)),
    ("3gp", None, "mpeg4", ("aac",)),
    ("wmv", None, "wmv2", ("wmav2",)),
)
STRUCTURES = ((12, 0), (12, 2), (25, 3), (1, 0))  # frames from key to key, B-frames
STARTS = ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (7.0, 6.8))  # of the images and of the audio on the container's clock
# Of a stored pixel (u, v) the shown one is (a u + c v + x, b u + d v + y); the operations bring what is shown back.
UPRIGHT = (1, 0, 0, 1)
TRANSPOSE = Image.Transpose
MATRICES: tuple[tuple[tuple[int, int, int, int], Image.Transpose | None], ...] = (
    (UPRIGHT, None),
    ((0, 1, -1, 0), TRANSPOSE.ROTATE_90),
    ((-1, 0, 0, -1), TRANSPOSE.ROTATE_180),
    ((0, -1, 1, 0), TRANSPOSE.ROTATE_270),
    ((-1, 0, 0, 1), TRANSPOSE.FLIP_LEFT_RIGHT),
    ((1, 0, 0, -1), TRANSPOSE.FLIP_TOP_BOTTOM),
    ((0, 1, 1, 0), TRANSPOSE.TRANSPOSE),
    ((0, -1, -1, 0), TRANSPOSE.TRANSVERSE),
)
TRACKS = ((True,), (False, True), (False, True, False), (None, None))  # marks of the tracks; None: the container's own
B_FRAMES = ("libx264", "libx265", "mpeg4", "mpeg2video", "mpeg1video")
INTRA = ("mjpeg", "ffv1")
HAS_MATRIX = ("mp4", "m4v", "mov", "3gp")
HAS_MARKS = ("mp4", "m4v", "mov", "mkv", "webm")
ONE_TRACK = ("flv", "wmv", "3gp")
NO_CLOCK = ("avi",)
RATES = {"mpeg1video": (25, 24, 30), "mpeg2video": (25, 30, 24)}


@dataclass(frozen=True)
class Crossing:
    """One of the files: what it is made of."""

    suffix: str
    format: str | None
    codec: str
    audio: str
    gop: int
    b_frames: int
    starts: tuple[float, float]
    matrix: int
    marks: tuple[bool | None, ...]
    fps: int

    def __str__(self) -> str:
        tracks = "".join("-+."[2 if mark is None else mark] for mark in self.marks)
        structure = f"gop{self.gop}b{self.b_frames}"
        offsets = f"{self.starts[0]:g}_{self.starts[1]:g}"
        return f"{self.suffix}-{self.codec}-{self.audio}-{structure}-{offsets}-m{self.matrix}-{tracks}-{self.fps}"

    @property
    def track(self) -> int:
        """The track that is meant: the one with the mark, else the first."""
        return self.marks.index(True) if True in self.marks and self.suffix in HAS_MARKS else 0


def crossings() -> list[Crossing]:
    """All muxes, each with as many frame structures, offsets, matrices and tracks as it can have, in turn."""
    crossed = []
    for i, (suffix, format, codec, audios) in enumerate(MUXES):
        structures = [s for s in STRUCTURES if (codec in B_FRAMES or not s[1]) and (codec not in INTRA or s[0] == 1)]
        matrices = range(len(MATRICES)) if suffix in HAS_MATRIX else (0,)
        starts = STARTS[:1] if suffix in NO_CLOCK else STARTS
        tracks = TRACKS[:1] if suffix in ONE_TRACK else TRACKS if suffix in HAS_MARKS else (TRACKS[0], TRACKS[3])
        for j in range(max(len(structures) * len(audios), len(matrices), len(starts), len(tracks), 6)):
            gop, b_frames = structures[j % len(structures)]
            fps = RATES.get(codec, (25, 30, 10))[(i + j) % 3]
            crossed.append(
                Crossing(
                    suffix, format, codec, audios[(j + j // len(structures)) % len(audios)], gop, b_frames,
                    starts[(i + j + j // len(starts)) % len(starts)], matrices[(i + j) % len(matrices)],
                    tracks[(i + j + j // len(tracks)) % len(tracks)], fps,
                )
            )  # fmt: skip
    return list(dict.fromkeys(crossed))


CROSSINGS = crossings()


def test_how_many_are_crossed() -> None:
    assert len(CROSSINGS) >= 200
    assert len({str(crossing) for crossing in CROSSINGS}) == len(CROSSINGS)
    for name, values in (("matrix", range(8)), ("starts", STARTS), ("marks", TRACKS)):
        assert {getattr(crossing, name) for crossing in CROSSINGS} == set(values)


def content(t: NDArray) -> NDArray:
    """Clicks over a soft tone that rises, so that no two windows are alike."""
    return clicks(CLICKS)(t) + 0.05 * np.sin(2 * np.pi * (300 * t + 200 * t * np.abs(t)))


def moved(signal: Signal, seconds: float) -> Signal:
    """A signal that is heard from `seconds` on."""
    return lambda t: signal(t + seconds)


def write_crossing(path: Path, crossing: Crossing) -> None:
    offset = crossing.starts[1] - crossing.starts[0]
    seconds = max(COUNT / crossing.fps, 2.4) - offset
    rate = 44100 if crossing.suffix in ("flv", "wmv") else 48000
    tracks = [
        AudioTrack(moved(content, offset) if n == crossing.track else sine(440), crossing.audio, rate, default=mark)
        for n, mark in enumerate(crossing.marks)
    ]
    mode = {"mpegts_m2ts_mode": "1"} if crossing.suffix == "m2ts" else None
    numbered_video(
        path, COUNT, tracks, codec=crossing.codec, audio_seconds=seconds, fps=crossing.fps, gop=crossing.gop,
        b_frames=crossing.b_frames, pixels="yuvj420p" if crossing.codec == "mjpeg" else "yuv420p",
        starts=crossing.starts, format=crossing.format, container_options=mode,
        options={"deadline": "realtime", "cpu-used": "8"} if crossing.suffix == "webm" else None,
    )  # fmt: skip
    if crossing.matrix:
        set_matrix(path, MATRICES[crossing.matrix][0], (160, 64))


def set_matrix(path: Path, matrix: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    """Write the display matrix of the first track of an MP4, so that all of the image is shown."""
    a, b, c, d = matrix
    corners = [(a * u + c * v, b * u + d * v) for u in (0, size[0]) for v in (0, size[1])]
    x, y = -min(u for u, _ in corners), -min(v for _, v in corners)
    data = bytearray(path.read_bytes())
    values = [a << 16, b << 16, 0, c << 16, d << 16, 0, x << 16, y << 16, 1 << 30]
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, *values)  # behind times, layer and volume
    path.write_bytes(data)


@pytest.mark.parametrize("crossing", CROSSINGS, ids=str)
def test_crossed(crossing: Crossing, tmp_path: Path) -> None:
    path = tmp_path / f"video.{crossing.suffix}"
    write_crossing(path, crossing)
    back = MATRICES[crossing.matrix][1]

    def numbers_of(images: Sequence[Image.Image]) -> list[int]:
        return read_numbers(image if back is None else image.transpose(back) for image in images)

    fps, end = crossing.fps, max(COUNT / crossing.fps, 2.4)
    with soundspot.open_video(path) as video:
        frames = list(video.frames())
        assert (numbers_of([image for _, image in frames]), video.damaged) == (list(range(COUNT)), 0)
        assert [time for time, _ in frames] == pytest.approx([n / fps for n in range(COUNT)], abs=0.004)
        check_times(video, numbers_of, fps)
        check_clicks(video.audio.waveform, video.audio.rate, end)
        check_window(video, video.audio, 0.95, 0.8)
        check_window(video, video.audio, 1.6, 0.5)
        assert video.duration == pytest.approx(end if end > COUNT / fps + 0.5 else COUNT / fps, abs=0.1)
    audio = soundspot.read_audio(path)
    check_clicks(audio.waveform, audio.rate, end)
    assert bool(audio.notes) >= (len(crossing.marks) > 1)


def check_times(video: Any, numbers_of: Any, fps: int) -> None:
    """The frame of a time, and its successor, at the beginning and in the middle of what it is shown."""
    numbers = [0, 1, 11, 12, 13, 24, 37, COUNT - 2, COUNT - 1]
    for shift in (0.0, 0.5):
        times = [(n + shift) / fps for n in numbers]
        shown = video.frames_at(times)
        assert numbers_of([image for _, image in shown]) == numbers
        assert [time for time, _ in shown] == pytest.approx([n / fps for n in numbers], abs=0.004)
        for n, time in zip(numbers, times, strict=True):
            image = video.frame_after(time)
            assert numbers_of([] if image is None else [image]) == ([n + 1] if n + 1 < COUNT else []), time


def check_clicks(samples: Any, rate: int, end: float) -> None:
    """Clicks at their times, and nothing beyond the end."""
    samples = np.asarray(samples, np.float64)
    assert click_starts(samples, rate, 0.25) == pytest.approx(CLICKS, abs=0.06)
    assert len(samples) / rate == pytest.approx(end, abs=0.15)


def check_window(video: Any, whole: Any, start: float, seconds: float) -> None:
    """Each 20 ms of a window are those of the whole."""
    window = video.read_audio(start, seconds, None)
    assert window.seconds == pytest.approx(seconds, abs=0.001)
    samples, length = np.asarray(window.waveform, np.float64), window.rate // 50
    true = np.asarray(whole.waveform, np.float64)[round(start * window.rate) :]
    count = min(len(samples), len(true)) // length * length
    difference = (samples[:count] - true[:count]).reshape(-1, length)
    assert max(map(rms, difference)) < 0.1 * rms(samples)


# Clocks that restart or jump
PARTS: dict[str, list[dict[str, Any]]] = {
    "two": [{}, {}],
    "three": [{}, {"b_frames": 2}, {"gop": 12}],
    "other_rate": [{}, {"rate": 44100}],
    "other_start": [{"starts": (90.0, 90.0)}, {"starts": (4.0, 4.0)}],
}


@pytest.mark.parametrize("name", PARTS)
def test_joined_transport_streams(name: str, tmp_path: Path) -> None:
    """Each stream has two seconds of images and a click in its middle; they follow one another at once."""
    path = tmp_path / "joined.ts"
    for number, options in enumerate(PARTS[name]):
        options = {"codec": "libx264", "audio": "aac", "rate": 48000, **options}
        track = AudioTrack(clicks([1.0]), options.pop("audio"), options.pop("rate"))
        numbered_video(tmp_path / "part.ts", 50, [track], first=50 * number, format="mpegts", **options)
        with path.open("ab") as file:
            file.write((tmp_path / "part.ts").read_bytes())
    check_joined(path, 50 * len(PARTS[name]), [1.0 + 2 * n for n in range(len(PARTS[name]))])


@pytest.mark.parametrize("second", [{"codec": "mpeg2video"}, {"audio": "ac3"}], ids=["video", "audio"])
def test_joined_streams_of_several_codecs(second: dict[str, str], tmp_path: Path) -> None:
    """FFmpeg decodes the first codec alone; what is missing is counted and said, and the rest is right."""
    path = tmp_path / "joined.ts"
    for number, options in enumerate(({}, second)):
        track = AudioTrack(clicks([1.0]), options.get("audio", "aac"))
        codec = options.get("codec", "libx264")
        numbered_video(tmp_path / "part.ts", 50, [track], first=50 * number, format="mpegts", codec=codec)
        with path.open("ab") as file:
            file.write((tmp_path / "part.ts").read_bytes())
    with soundspot.open_video(path) as video:
        numbers = read_numbers(image for _, image in video.frames())
        assert numbers[:45] == list(range(45))
        assert (numbers[50:] == list(range(50, 100))) == ("audio" in second)
        assert bool(video.damaged) == ("codec" in second)
        starts = click_starts(np.asarray(video.audio.waveform), video.audio.rate)
        assert starts[0] == pytest.approx(1.0, abs=0.15)
        assert len(starts) == 1 + ("codec" in second)
        assert bool(video.audio.notes) == ("audio" in second)


def check_joined(path: Path, count: int, starts: list[float]) -> None:
    with soundspot.open_video(path) as video:
        frames = list(video.frames())
        assert read_numbers(image for _, image in frames) == list(range(count))
        assert [time for time, _ in frames] == pytest.approx([n / 25 for n in range(count)], abs=0.1)
        assert len({image.size for _, image in frames}) == 1
        assert video.duration == pytest.approx(count / 25, abs=0.15)
        samples, rate = np.asarray(video.audio.waveform), video.audio.rate
        assert click_starts(samples, rate) == pytest.approx(starts, abs=0.15)
        check_audio(samples, rate, {"audio_seconds": count / 25, "audio_seconds_tolerance": 0.2})
        numbers = [0, 24, 49, count - 26, count - 1]
        times = [frames[n][0] + 0.01 for n in numbers]
        assert read_numbers(image for _, image in video.frames_at(times)) == numbers
        assert [read_numbers([video.frame_after(time)])[0] for time in times[:-1]] == [n + 1 for n in numbers[:-1]]
        late = video.read_audio(starts[-1] - 0.5, 1.0, None)
        assert click_starts(np.asarray(late.waveform), late.rate) == pytest.approx([0.5], abs=0.15)


def test_joined_streams_of_several_sizes(tmp_path: Path) -> None:
    path = tmp_path / "joined.ts"
    for number, scale in enumerate((1, 2)):
        images = [np.kron(number_image(50 * number + n), np.ones((scale, scale, 1), np.uint8)) for n in range(50)]
        write_video(tmp_path / "part.ts", images, [AudioTrack(clicks([1.0]))], format="mpegts")
        with path.open("ab") as file:
            file.write((tmp_path / "part.ts").read_bytes())
    check_joined(path, 100, [1.0, 3.0])


@pytest.mark.parametrize("seconds", [600.0, -3.0])
@pytest.mark.parametrize(("suffix", "format", "codec", "audio"), [
    ("ts", "mpegts", "libx264", "aac"), ("flv", None, "libx264", "aac"), ("mpg", "vob", "mpeg2video", "mp2"),
])  # fmt: skip
def test_clocks_that_jump(
    suffix: str, format: str | None, codec: str, audio: str, seconds: float, tmp_path: Path
) -> None:
    """After two seconds the clock of a camera is another; the images go on."""
    path = tmp_path / f"jump.{suffix}"
    rate = 44100 if suffix == "flv" else 48000
    write = {"codec": codec, "format": format, "gop": 12, "starts": (10.0, 10.0), "jump": (2.0, seconds)}
    if seconds < 0:  # no multiplexer writes that: two files, one behind the other
        if suffix != "ts":
            pytest.skip("two of these are no valid file")
        for first in (0, 50):
            track = AudioTrack(clicks([1.0]), audio, rate)
            options = {**write, "jump": (0.0, 0.0), "starts": (10.0 - first / 16, 10.0 - first / 16)}
            numbered_video(tmp_path / "part.ts", 50, [track], first=first, **options)
            with path.open("ab") as file:
                file.write((tmp_path / "part.ts").read_bytes())
    else:
        numbered_video(path, 100, [AudioTrack(clicks([1.0, 3.0]), audio, rate)], **write)
    check_joined(path, 100, [1.0, 3.0])

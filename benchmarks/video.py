"""Video: a clip of 640x360 with a moving source, located and written as an overlay, on the cores there are.

    plain way   each picture is asked for itself, `locate(picture, the sound around it).overlay()`, and encoded: what
                somebody writes in twenty lines with the library's other names, in single precision
    ours        `locate_video(clip).save(...)` with all five files, bfloat16 where the CPU has it

The model is `soundspot.create("alignment")`: both encoders are ResNet-18, 224 pixels. Its weights are fresh, since time
does not depend on them. With a checkpoint the share of pictures whose peak lies on what sounds is told as well:

    python -m benchmarks.video follows CHECKPOINT

A video of two hours is made and located, which takes minutes, by

    python -m benchmarks.video hours CHECKPOINT

and the same with events, against maps alone, for a number of minutes, by

    python -m benchmarks.video events CHECKPOINT MINUTES
"""

import json
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

from benchmarks import Row, measured_apart, peak_megabytes

CATEGORIES = ("red disc", "green star")
TARGET = 25  # pictures a second


def scene(seconds: float) -> "VideoScene":
    """A clip in which one sounds, then the other, then neither."""
    from soundspot.scenes.video_scene import VideoScene

    return VideoScene(CATEGORIES, ((0.0, 0), (seconds / 3, 1), (seconds * 2 / 3, 0), (seconds * 0.9, None)), seconds)


def run(quick: bool = False) -> list[Row]:
    """Rates as seconds for a picture, and peaks of memory for a minute and for ten."""
    short, long, few = (4, 8, 10) if quick else (60, 600, 100)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, ten = scene(short).write(folder / "short.mp4"), scene(long).write(folder / "long.mp4")
        ours = measured_apart("video", "ours", one)
        little, much = (measured_apart("video", "memory", clip)["megabytes"] for clip in (one, ten))
        plain = measured_apart("video", "plain", one, few)
    rates = (
        f"ours {1000 / ours['ms']:.1f} pictures/s (wanted: {TARGET}), with all five results {1000 / ours['all']:.1f}"
    )
    return [
        Row("video: a picture of 640x360, overlay", plain["ms"], ours["ms"], "ms", None, rates),
        Row(
            f"video: peak memory, {long} s against {short} s",
            much,
            little,
            "MB",
            None,
            "of all five results at two maps a second; the ratio is what the length adds, 1.0 is constant memory",
        ),
    ]


def _localizer(precision: str) -> "Localizer":
    import soundspot
    from soundspot.inference.localizer import Localizer

    return Localizer(soundspot.create("alignment"), precision=precision)


def outputs(folder: Path) -> dict[str, Path]:
    """Return a path in a folder for each file that a located video is written to."""
    names = {"overlay": "o.mp4", "contact_sheet": "s.jpg", "timeline": "t.png", "frame_records": "f.json"}
    return {kind: folder / name for kind, name in (names | {"maps": "m.npz"}).items()}


def ours(clip: Path) -> dict[str, float]:
    """Milliseconds for a picture, of the overlay alone and of all five results."""
    from soundspot.utils.device import has_native_bf16

    video = _localizer("bfloat16" if has_native_bf16() else "float32").locate_video(clip)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun = time.perf_counter()
        pictures = video.save(folder / "o.mp4").num_frames
        first = time.perf_counter() - begun
        begun = time.perf_counter()
        video.save(**outputs(folder))
        every = time.perf_counter() - begun
    return {"ms": 1000 * first / pictures, "all": 1000 * every / pictures}


def memory(clip: Path) -> dict[str, float]:
    """The peak of memory."""
    video = _localizer("float32").locate_video(clip, maps_per_second=2)
    with tempfile.TemporaryDirectory() as name:
        video.save(**outputs(Path(name)))
    return {"megabytes": peak_megabytes()}


def hours(checkpoint: Path, count: int = 2) -> dict[str, float]:
    """The peak of memory after the first twentieth and at last, and the seconds, for all five results of `count` hours
    of 160x120, one picture a second, at a map each five seconds."""
    from soundspot.inference.localizer import Localizer

    localizer, early = Localizer.load(checkpoint), 0.0

    def seen(done: float, of: float) -> None:
        nonlocal early
        early = peak_megabytes() if done < of / 20 else early

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _slides(folder / "clip.mp4", 3600 * count)
        begun = time.perf_counter()
        video = localizer.locate_video(folder / "clip.mp4", maps_per_second=0.2)
        video.save(**outputs(folder), progress=seen)
    return {"seconds": time.perf_counter() - begun, "megabytes": peak_megabytes(), "megabytes_early": early}


def events(checkpoint: Path, minutes: int = 120) -> dict[str, float]:
    """Seconds of maps alone and of maps with events as CSV, of 160x120, two frames a second with a map each, and the
    peak of memory; the schedule of a minute is repeated."""
    from soundspot.inference.localizer import Localizer
    from soundspot.scenes.video_scene import VideoScene

    localizer, turns = Localizer.load(checkpoint), ((0.0, 0), (20.0, 1), (40.0, None), (45.0, 0))
    schedule = tuple((60.0 * minute + second, sound) for minute in range(minutes) for second, sound in turns)
    with tempfile.TemporaryDirectory() as name:
        clip = VideoScene(CATEGORIES, schedule, 60.0 * minutes, 2, (160, 120)).write(Path(name) / "clip.mp4")
        begun = time.process_time()
        for _ in localizer.locate_video(clip):
            pass
        maps = time.process_time() - begun
        megabytes, begun = peak_megabytes(), time.process_time()
        summary = localizer.locate_video(clip).save(events=Path(name) / "events.csv")
        of_events = time.process_time() - begun
    found = 0 if summary.events is None else len(summary.events)
    return {
        "maps": maps,
        "with_events": of_events,
        "megabytes_maps": megabytes,
        "megabytes": peak_megabytes(),
        "events": found,
    }


def _slides(path: Path, seconds: int) -> None:
    """Other coloured squares each second, and noise."""
    import av
    import numpy as np

    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as made:
        pictures = made.add_stream("libx264", rate=1, options={"preset": "ultrafast"})
        pictures.width, pictures.height, pictures.pix_fmt = 160, 120, "yuv420p"
        sounds = made.add_stream("aac", rate=16000, layout="mono")
        for second in range(seconds):
            picture = np.kron(rng.integers(0, 256, (6, 8, 3), np.uint8), np.ones((20, 20, 1), np.uint8))
            made.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            noise = rng.uniform(-0.5, 0.5, (1, 16000)).astype(np.float32)
            sound = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
            sound.rate, sound.pts = 16000, 16000 * second
            made.mux(sounds.encode(sound))
        made.mux(pictures.encode())
        made.mux(sounds.encode())


def plain(clip: Path, count: int) -> dict[str, float]:
    """Milliseconds for each of the first `count` pictures."""
    import av

    from soundspot.data.media.video import Video

    localizer = _localizer("float32")
    with Video(clip) as video:
        sound = video.read_audio(0.0, 3600.0, 16000)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, av.open(str(clip)) as read, av.open(f"{name}/o.mp4", "w") as made:
        stream = made.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number, frame in enumerate(read.decode(video=0)):
            if number == count:
                break
            first = max(0, round((float(frame.time) - 5) * 16000))
            around = type(sound)(sound.waveform[first : first + 160_000], 16000)
            drawn = localizer.locate(frame.to_image(), around).overlay()
            shown = av.VideoFrame.from_image(drawn)
            shown.pts, shown.time_base = number, Fraction(1, 25)
            made.mux(stream.encode(shown))
        made.mux(stream.encode())
    return {"ms": 1000 * (time.perf_counter() - begun) / count}


def follows(checkpoint: Path, seconds: float = 60.0) -> dict[str, float]:
    """Of a clip of the moving scene: shares of pictures whose peak lies on what sounds, or on the other object, and
    of pictures that are told apart rightly as with and without a source."""
    from soundspot.inference.localizer import Localizer

    clip, localizer = scene(seconds), Localizer.load(checkpoint)
    on = other = told = sounding = count = 0
    with tempfile.TemporaryDirectory() as name:
        for moment in localizer.locate_video(clip.write(Path(name) / "clip.mp4")):
            who, (x, y) = clip.sounding_object(moment.time), moment.map.peak_at
            count, told = count + 1, told + (moment.map.present is (who is not None))
            if who is not None:
                boxes = [clip.box(moment.time, which) for which in (who, 1 - who)]
                inside = [box.x0 <= x < box.x1 and box.y0 <= y < box.y1 for box in boxes]
                sounding, on, other = sounding + 1, on + inside[0], other + inside[1]
    return {"on_what_sounds": on / sounding, "on_the_silent_one": other / sounding, "presence_is_right": told / count}


if __name__ == "__main__":
    what, path, *rest = sys.argv[1:]
    measures = {"ours": ours, "memory": memory, "hours": hours, "plain": plain, "follows": follows, "events": events}
    print(json.dumps(measures[what](Path(path), *map(int, rest))))

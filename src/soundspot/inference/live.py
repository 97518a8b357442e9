"""A camera and a microphone, located as they go: the newest picture is asked with the newest sound, and what cannot be
kept up with is dropped and counted.

A moment hears the window that ends at it, for what follows is not known yet. A video in place of a camera is played in
its own time.
"""

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from PIL import Image

from soundspot.data.media.audio import pad_to_window
from soundspot.data.media.audio_stream import AudioStream
from soundspot.data.media.ffmpeg import PcmConverter, frame_to_image
from soundspot.data.media.video_stream import VideoStream
from soundspot.errors import InputError
from soundspot.inference.localizer import Localizer
from soundspot.inference.video.predictor import FrameResult
from soundspot.inference.video.smoothing import MapSmoother
from soundspot.types import Audio

CAPTURE_DEVICES = {  # of FFmpeg, by system: its name, that of a camera, that of a microphone
    "linux": ("v4l2", "/dev/video{}", "alsa", "{}"),
    "darwin": ("avfoundation", "{}:none", "avfoundation", "none:{}"),
}
Pictures = Iterable[Image.Image]
Sounds = Iterable[tuple[NDArray[np.float32], int]]


@dataclass(frozen=True)
class LiveResult:
    """What was found, and how well it keeps up.

    Attributes:
        moment: its second counts from the beginning.
        behind: seconds from when the picture was taken until it was located.
        shown, dropped: pictures located and passed over so far.
    """

    frame: FrameResult
    latency: float
    num_located: int
    num_dropped: int


class LatestItemQueue:
    """A place for one thing: a newer one takes the place of one that nobody fetched, which counts as dropped."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: tuple[Any] | None = None
        self._over: BaseException | bool = False
        self.num_dropped = 0

    def put(self, item: Any) -> None:
        """Leave a thing here."""
        with self._changed:
            self.num_dropped += self._held is not None
            self._held = (item,)
            self._changed.notify()

    def close(self, error: BaseException | None = None) -> None:
        """There will be no more; whoever takes is told of the error, where there is one, before anything else."""
        with self._changed:
            self._over = error or self._over or True
            self._changed.notify()

    def __iter__(self) -> Iterator[Any]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held is not None or self._over)
                if isinstance(self._over, BaseException):
                    raise self._over
                if self._held is None:
                    return
                (item,), self._held = self._held, None
            yield item


class AudioRingBuffer:
    """The last seconds of what is heard, at `rate`; silence where it has not lasted so long."""

    def __init__(self, seconds: float | int, rate: int | None) -> None:
        self._seconds, self._rate = seconds, rate
        self._lock = threading.Lock()
        self._kept = np.zeros(0, np.float32)
        self._stream: Any = None

    def add(self, chunk: Float32[np.ndarray, "c t"], rate: int) -> None:
        """Samples of all channels, as they come."""
        samples = chunk.mean(axis=0).clip(-1, 1)
        self._rate = self._rate or rate
        if rate != self._rate:
            self._stream = self._stream or soxr.ResampleStream(rate, self._rate, 1, dtype="float32", quality="HQ")
            samples = self._stream.resample_chunk(samples)
        with self._lock:
            self._kept = np.concatenate([self._kept, samples])[-max(1, round(self._seconds * self._rate)) :]

    def latest_window(self) -> Audio:
        """The window that ends now."""
        rate = self._rate or 16000
        with self._lock:
            kept = torch.from_numpy(self._kept.copy())
        missing = max(1, round(self._seconds * rate)) - len(kept)
        return Audio(torch.cat([torch.zeros(missing), kept]), rate)


def locate_live(
    localizer: Localizer, images: Pictures, audio_chunks: Sounds, smooth: float | int = 0.0
) -> Iterator[LiveResult]:
    """Moments as they come, until the pictures end.

    Args:
        pictures: as they are taken. sounds: (channels, t) chunks and their rate, as they are heard. Each is read by a
            thread of its own.
        smooth: seconds over which maps are averaged.
    """
    spec = localizer.method.front_end
    newest, recent, over = LatestItemQueue(), AudioRingBuffer(spec.audio.seconds, spec.audio.rate), threading.Event()

    def watch() -> None:
        for picture in images:
            newest.put((time.monotonic(), picture))
            if over.is_set():
                return

    def listen() -> None:
        for chunk, rate in audio_chunks:
            recent.add(chunk, rate)
            if over.is_set():
                return

    begun, smoothed = time.monotonic(), MapSmoother(smooth)
    _thread(watch, newest)
    _thread(listen, newest, ends=False)
    try:
        for shown, (taken, picture) in enumerate(newest, 1):
            sound = pad_to_window(recent.latest_window(), spec.audio)
            found = localizer.locate(picture, sound)
            found = replace(found, scores=smoothed(taken - begun, found.scores))
            yield LiveResult(FrameResult(taken - begun, found), time.monotonic() - taken, shown, newest.num_dropped)
    finally:
        over.set()


def _thread(work: Callable[[], None], told: LatestItemQueue, ends: bool = True) -> None:
    def run() -> None:
        try:
            work()
        except Exception as error:
            told.close(error)
        else:
            if ends:
                told.close()

    threading.Thread(target=run, daemon=True).start()


def open_capture(camera: str, microphone: str) -> tuple[Pictures, Sounds]:
    """Pictures and sounds of devices, or of a video that is played in its own time, where `camera` is one.

    Raises:
        InputError: there is no such camera or microphone, or it is in use.
    """
    if Path(camera).is_file():
        begun = time.monotonic()
        return _played_pictures(Path(camera), begun), _played_sounds(Path(camera), begun)
    system = CAPTURE_DEVICES.get(sys.platform)
    if system is None:
        raise InputError(f"live pictures are for Linux and macOS; found {sys.platform}. Give a video as --camera")
    eye, eye_name, ear, ear_name = system
    seen = _open_device(eye_name.format(camera), eye, "camera")
    heard = _open_device(ear_name.format(microphone), ear, "microphone")
    eyes = seen.streams.video[0]
    return (frame_to_image(frame, eyes) for frame in _taken(seen, eyes, "camera")), _heard(
        _taken(heard, heard.streams.audio[0], "microphone")
    )


def _open_device(name: str, device: str, what: str) -> Any:
    try:
        return av.open(name, format=device)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise InputError(
            f"{what} {name!r}: could not be opened by FFmpeg's {device} ({error}), expected one that is plugged in, "
            f"allowed, and not in use. Name another with --{what}, or play a video in its place: --camera clip.mp4",
            f"no {what}",
        ) from error


def _taken(container: Any, stream: Any, what: str) -> Iterator[Any]:
    try:
        yield from container.decode(stream)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise InputError(
            f"the {what} stopped ({error}), expected it to go on until Ctrl-C. Look whether it is plugged in and no "
            "other program has taken it, and give the same command again",
            f"no {what}",
        ) from error


def _heard(frames: Iterator[Any]) -> Sounds:
    samples = PcmConverter()
    for frame in frames:
        yield from ((part, int(frame.sample_rate)) for part in samples(frame))


def _played_pictures(path: Path, begun: float) -> Pictures:
    with VideoStream(path) as reel:
        for moment, picture in reel.frames():
            _sleep_until(begun + moment)
            yield picture


def _played_sounds(path: Path, begun: float) -> Sounds:
    with VideoStream(path) as reel:
        begin = reel.start_time
    given = 0.0
    with AudioStream(path, begin) as track:
        for chunk in track.iter_chunks():
            given += chunk.shape[1] / track.rate
            _sleep_until(begun + given)
            yield chunk, track.rate


def _sleep_until(moment: float) -> None:
    left = moment - time.monotonic()
    if left > 0 and math.isfinite(left):
        time.sleep(left)

"""Windows of a file as network inputs: its image, its audio, or both every few seconds of a video.

Files are read by processes beside the one that embeds. Whatever is wrong with a file is an answer, and a file that
crashes its reader is that file's failure (`soundspot.data.shards.executors.ProcessExecutor`).
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32
from PIL import Image

from soundspot.config.frontend import InputSpec
from soundspot.data.media.audio import AudioFile, StreamedAudio, open_windows, resample
from soundspot.data.media.ffmpeg import VideoError
from soundspot.data.media.file_types import FileType, detect_file_type
from soundspot.data.media.image import preprocess_images, read_image
from soundspot.data.media.video import Video
from soundspot.data.shards.writer import SampleRecord
from soundspot.data.transforms.spectrogram import preprocess_audio
from soundspot.errors import InputError
from soundspot.search.query import Modality
from soundspot.types import Audio

WINDOWS_PER_READ = 16  # what memory holds of a long file
MIN_REST_SECONDS = 0.1  # at the end of an audio, from which the rest is a window of its own
Opened = TypeVar("Opened")


@dataclass(frozen=True)
class FileWindows(SampleRecord):
    """Up to 16 windows of a file, preprocessed.

    Attributes:
        file_type: type of what was read: a video without frames is `audio`.
        digest: hash of the file's content; empty for later windows.
        num_windows: number of windows of the whole file.
        is_known: whether the content is in the index already, so that nothing was read.
        times: seconds at which a frame is shown or an audio window begins, by modality; None for an image file.
        inputs: network inputs by modality, float32: `image` (m, c, h, w) and `audio` (m, 1, f, t).
    """

    files: dict[str, bytes] = field(default_factory=dict)
    file_type: FileType = "image"
    digest: bytes = b""
    num_windows: int = 1
    is_known: bool = False
    times: dict[Modality, list[float | None]] = field(default_factory=dict)
    inputs: dict[Modality, Float32[np.ndarray, "m ..."]] = field(default_factory=dict)


@dataclass(frozen=True)
class FileReader:
    """Read the files of a folder. An input is named `FIRST:PATH`: its first window, and its path below the root.

    Attributes:
        root: folder of the files.
        front_end: sizes and rates of the network inputs.
        stride: seconds between the windows of a video or a long audio.
        known_digests: content hashes of files that need not be read again.
    """

    root: Path
    front_end: InputSpec
    stride: float
    known_digests: frozenset[bytes] = frozenset()
    _open: dict[Path, Any] = field(default_factory=dict, init=False, repr=False)  # at most one file

    def key(self, name: str) -> str:
        """Return the key of an input, which is its name.

        Args:
            name: name `FIRST:PATH`.

        Returns:
            The same name.
        """
        return name

    def __call__(self, name: str) -> SampleRecord:
        """Read and preprocess up to 16 windows of a file. It never raises an error of a file.

        Args:
            name: name `FIRST:PATH` of the input: number of the first window, and path below the root.

        Returns:
            A `FileWindows`, whose `message` names a peculiarity such as `silent`; or a plain `SampleRecord` with
            `cause` and `message` where the file cannot be read.
        """
        first, _, relative = name.partition(":")
        path, file_type = self.root / relative, detect_file_type(os.fsencode(relative))
        assert file_type, f"{relative!r}: neither image, audio nor video"
        try:
            digest = b"" if int(first) else hash_file(path)
            if digest in self.known_digests:
                return FileWindows(digest=digest, is_known=True)
            return replace(self._read(path, file_type, int(first)), digest=digest)
        except InputError as error:
            cause, message = error.cause, str(error)
        except OSError as error:
            reason = error.strerror or error
            cause, message = "unreadable", f"{path}: could not be read ({reason}). Look whether its disk is there"
        except Exception as error:  # decoders are many; none of them ends a run of all files
            reason = f"{type(error).__name__}: {error}"
            cause, message = "unreadable", f"{path}: could not be read ({reason}). Play or show it to see what is wrong"
        self._open.clear()
        return SampleRecord({}, cause, message)

    def _get_open(self, open_file: Callable[[Path], Opened], path: Path, first: int) -> Opened:
        """Return the opened file; for later windows the one that is open already."""
        if not first or path not in self._open:
            self._open.clear()
            self._open[path] = open_file(path)
        opened: Opened = self._open[path]
        return opened

    def _read(self, path: Path, file_type: FileType, first: int) -> FileWindows:
        if file_type == "image":
            inputs = self._preprocess_images([read_image(path)])
            return FileWindows(file_type="image", times={"image": [None]}, inputs={"image": inputs})
        if file_type == "audio" or (first and isinstance(self._open.get(path), AudioFile | StreamedAudio)):
            return self._read_audio(path, first)
        try:
            return self._read_video(path, first)
        except VideoError as error:
            if error.cause != "no frames":
                raise
            try:
                return self._read_audio(path, first)  # an audio in a container of videos
            except InputError:
                raise error from None

    def _read_audio(self, path: Path, first: int) -> FileWindows:
        audio = self._get_open(open_windows, path, first)
        starts = get_window_starts(audio.seconds, self._window_seconds, self.stride)
        selected, windows = starts[first : first + WINDOWS_PER_READ], list[Audio]()
        for start in selected:
            try:
                windows.append(slice_audio(audio, start, self._window_seconds))
            except InputError:
                if not windows:
                    raise
                break  # a damaged end
        selected = selected[: len(windows)]
        peculiarity = "cut short" if isinstance(audio, AudioFile) and audio.notes else ""
        return FileWindows(
            message="silent" if all(window.is_silent for window in windows) else peculiarity,
            file_type="audio",
            num_windows=len(starts),
            times={"audio": [*selected]},
            inputs={"audio": self._preprocess_audio(windows)},
        )

    def _read_video(self, path: Path, first: int) -> FileWindows:
        video, centers, duration = self._get_open(lambda path: place_windows(path, self.stride), path, first)
        selected, seconds, rate = centers[first : first + WINDOWS_PER_READ], self._window_seconds, self._rate
        images = [image for _, image in video.frames_at(selected)]
        starts = [max(0.0, min(center - seconds / 2, duration - seconds)) for center in selected]
        record = FileWindows(
            file_type="video",
            num_windows=len(centers),
            times={"image": [*selected]},
            inputs={"image": self._preprocess_images(images)},
        )
        try:
            audio = video.read_audio(starts[0], starts[-1] - starts[0] + seconds, rate)
        except VideoError as error:
            return replace(record, message="without sound" if error.cause == "no sound" else error.cause)
        starts = [start for start in starts if start - starts[0] + MIN_REST_SECONDS < audio.seconds] or starts[:1]
        windows = [slice_audio(audio, start - starts[0], seconds) for start in starts]
        record.times["audio"], record.inputs["audio"] = [*starts], self._preprocess_audio(windows)
        return record

    @property
    def _window_seconds(self) -> float:
        """Seconds of audio that the front end is given."""
        return self.front_end.audio.clip_seconds or self.front_end.audio.seconds

    @property
    def _rate(self) -> int:
        return self.front_end.audio.rate or 16000

    def _preprocess_images(self, images: Sequence[Image.Image]) -> Float32[np.ndarray, "m c h w"]:
        """Preprocess images; a method that takes optical flow gets none, as if everything stood still."""
        spec = self.front_end.image
        next_frames = [Image.new("RGB", image.size) for image in images] if spec.flow else []
        return preprocess_images(images, spec, next_frames).numpy()

    def _preprocess_audio(self, windows: Sequence[Audio]) -> Float32[np.ndarray, "m 1 f t"]:
        return preprocess_audio([resample(window, self._rate) for window in windows], self.front_end.audio).numpy()


def get_window_starts(duration: float, window: float, stride: float) -> list[float]:
    """Return the starts of the windows of an audio file; the last window ends with the audio.

    Args:
        duration: duration of the audio in seconds.
        window: length of a window in seconds.
        stride: seconds between the starts of windows.

    Returns:
        Rising seconds from 0 on; the last distance may be shorter. One window at 0 where the audio is hardly longer
        than the window (by at most 0.1 s); a rest of less than 0.1 s is no window.
    """
    if duration <= window + MIN_REST_SECONDS:
        return [0.0]
    starts = [i * stride for i in range(int((duration - window) / stride) + 1)]
    return starts if duration - window - starts[-1] < MIN_REST_SECONDS else [*starts, duration - window]


def place_windows(path: Path, stride: float) -> tuple[Video, list[float], float]:
    """Open a video and place its windows.

    The video is divided into intervals of about `stride` seconds, and the windows lie around their middles. A video of
    more than 16 has no windows where neither the interval nor its predecessor has a packet, as its time stamps may be
    broken.

    Args:
        path: path of the video file.
        stride: desired seconds between windows.

    Returns:
        The open video, the centers of its windows, rising, and its duration, both in seconds.

    Raises:
        VideoError: the file is no video, or is damaged.
    """
    video = Video(path)
    duration = video.duration
    count = max(1, round(duration / stride))
    positions = np.arange(min(count, WINDOWS_PER_READ))
    if count > WINDOWS_PER_READ:
        filled = np.floor(video.activity / duration * count).clip(0, count - 1)
        positions = np.union1d(filled, (filled + 1).clip(max=count - 1)) if len(filled) else positions[:1]
    return video, ((positions + 0.5) * duration / count).tolist(), duration


def slice_audio(audio: Audio | AudioFile | StreamedAudio, start: float, seconds: float) -> Audio:
    """Return a part of an audio signal; it is shorter where the audio ends before.

    Args:
        audio: audio in memory, or an open file, of which only the part is decoded.
        start: beginning of the part in seconds; beyond the end it is the last sample.
        seconds: length of the part.

    Returns:
        Mono audio of 1 to seconds * rate + 1 samples, at its own rate.

    Raises:
        InputError: the file cannot be decoded.
    """
    length = len(audio.waveform) if isinstance(audio, Audio) else audio.length
    first = min(round(start * audio.rate), length - 1)
    count = min(round(seconds * audio.rate) + 1, length - first)
    if isinstance(audio, Audio):
        return Audio(audio.waveform[first : first + count], audio.rate)
    return audio.read_segment(first, count)


def hash_file(path: Path) -> bytes:
    """Hash the content of a file (BLAKE2b).

    Args:
        path: path of the file.

    Returns:
        16 bytes.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()

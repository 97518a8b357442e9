"""From a file to what the networks take of it: its picture, its sound, or both every few seconds of a video.

Done by processes beside the one that embeds: whatever is wrong with a file is an answer, and a file that crashes its
reader is that file's failure (`soundspot.data.shards.executors.Pool`).
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from soundspot.config.frontend import AudioSpec, InputSpec
from soundspot.data.media.audio import AudioFile, open_audio, resample
from soundspot.data.media.file_types import AUDIO_SUFFIXES, IMAGE_SUFFIXES, VIDEO_SUFFIXES
from soundspot.data.media.image import preprocess_images, read_image
from soundspot.data.media.video import Video, VideoError
from soundspot.data.shards.writer import SampleRecord
from soundspot.data.transforms.spectrogram import preprocess_audio
from soundspot.errors import InputError
from soundspot.search.query import MODALITIES, FileType, Modality
from soundspot.types import Audio

WINDOWS_PER_READ = 16  # of a file that are read at once: what memory holds of a long one
LEAST = 0.1  # seconds at the end of a sound that are a window of their own
Opened = TypeVar("Opened")


def detect_file_type(path: bytes) -> FileType | None:
    """What a file is by its name; None where it is none of them."""
    suffix = os.path.splitext(os.fsdecode(path))[1].lower()
    kinds: tuple[tuple[tuple[str, ...], FileType], ...] = (
        (IMAGE_SUFFIXES, "image"),
        (AUDIO_SUFFIXES, "sound"),
        (VIDEO_SUFFIXES, "video"),
    )
    return next((kind for suffixes, kind in kinds if suffix in suffixes), None)


@dataclass(frozen=True)
class FileWindows:
    """What was read of a file: up to WINDOWS of its pictures and of its sounds, ready for the networks.

    Attributes:
        digest: of the file's content; empty of a later part.
        windows: that the whole file has. known: the content is in the index already, and nothing was read.
        times, tensors: of each modality; `picture` (m, i, s, s), `sound` (m, 1, f, t).
    """

    file_type: FileType
    digest: bytes = b""
    num_windows: int = 1
    known: bool = False
    times: dict[Modality, list[float | None]] | None = None
    tensors: dict[Modality, Tensor] | None = None

    def pack(self, told: str = "") -> SampleRecord:
        """To travel between processes."""
        tensors = self.tensors or {}
        shapes = {name: list(one.shape) for name, one in tensors.items()}
        words: dict[str, Any] = {
            "kind": self.file_type,
            "digest": self.digest.hex(),
            "windows": self.num_windows,
            "known": self.known,
            "times": self.times or {},
            "shapes": shapes,
        }
        parts: dict[str, bytes] = {name: one.contiguous().numpy().tobytes() for name, one in tensors.items()}
        return SampleRecord({"json": json.dumps(words).encode(), **parts}, message=told)

    @classmethod
    def unpack(cls, sample: SampleRecord) -> "FileWindows":
        words = json.loads(sample.files["json"])
        tensors: dict[Modality, Tensor] = {
            name: torch.from_numpy(
                np.frombuffer(bytearray(sample.files[name]), np.float32).reshape(words["shapes"][name])
            )
            for name in MODALITIES
            if name in words["shapes"]
        }
        digest = bytes.fromhex(words["digest"])
        return cls(words["kind"], digest, words["windows"], words["known"], words["times"], tensors)


@dataclass(frozen=True)
class FileReader:
    """Reads the files of a folder; an input's name is `FIRST:PATH`, its first window and its path below the root.

    Attributes:
        every: seconds from one window of a video or of a long sound to the next.
        known: digests of contents that need not be read again.
    """

    root: Path
    front_end: InputSpec
    stride: float
    known: frozenset[bytes] = frozenset()
    _held: dict[Path, Any] = field(default_factory=dict, init=False, repr=False)  # what is open, one file at most

    def key(self, name: str) -> str:
        return name

    def __call__(self, name: str) -> SampleRecord:
        first, _, below = name.partition(":")
        path = self.root / below
        kind = detect_file_type(os.fsencode(below))
        assert kind, f"{below!r}: none of our files"
        try:
            digest = b"" if int(first) else hash_file(path)
            if digest in self.known:
                return FileWindows(kind, digest, known=True).pack()
            return self._read(path, kind, int(first), digest)
        except InputError as error:
            return self._failed(error.cause, str(error))
        except OSError as error:
            words = f"{path}: could not be read ({error.strerror or error}). Look whether its disk is there"
            return self._failed("unreadable", words)
        except Exception as error:  # decoders are many; none of them ends a run of all files
            words = f"{path}: could not be read ({type(error).__name__}: {error}). Play or show it to see what is wrong"
            return self._failed("unreadable", words)

    def _failed(self, cause: str, told: str) -> SampleRecord:
        self._held.clear()
        return SampleRecord({}, cause, told)

    def _opened(self, opens: Callable[[Path], Opened], path: Path, first: int) -> Opened:
        """A file; for its later windows the one that is open already."""
        if not first or path not in self._held:
            self._held.clear()
            self._held[path] = opens(path)
        held: Opened = self._held[path]
        return held

    def _read(self, path: Path, kind: FileType, first: int, digest: bytes) -> SampleRecord:
        if kind == "image":
            return FileWindows(
                kind, digest, 1, False, {"picture": [None]}, {"picture": self._seen([read_image(path)])}
            ).pack()
        if kind == "sound" or (first and isinstance(self._held.get(path), Audio | AudioFile)):
            return self._read_audio(path, first, digest)
        try:
            return self._video(path, first, digest)
        except VideoError as error:
            if error.cause != "no frames":
                raise
            try:
                return self._read_audio(path, first, digest)  # a recording in a container of videos
            except InputError:
                raise error from None

    def _read_audio(self, path: Path, first: int, digest: bytes) -> SampleRecord:
        spec = self.front_end.audio
        whole = self._opened(open_audio, path, first)
        starts = window_starts(whole.seconds, clip_seconds(spec), self.stride)
        if isinstance(whole, AudioFile) and not first and len(starts) > WINDOWS_PER_READ:
            check_decodable_end(whole)
        some = starts[first : first + WINDOWS_PER_READ]
        heard = [slice_audio(whole, start, clip_seconds(spec)) for start in some]
        told = "silent" if all(sound.is_silent for sound in heard) else ""
        times: dict[Modality, list[float | None]] = {"sound": [*some]}
        return FileWindows("sound", digest, len(starts), False, times, {"sound": self._heard(heard)}).pack(told)

    def _video(self, path: Path, first: int, digest: bytes) -> SampleRecord:
        spec = self.front_end.audio
        video, windows, length = self._opened(self._film, path, first)
        moments = windows[first : first + WINDOWS_PER_READ]
        pictures = [picture for _, picture in video.frames_at(moments)]
        clip = clip_seconds(spec)
        starts = [max(0.0, min(moment - clip / 2, length - clip)) for moment in moments]
        told = ""
        try:
            with Video(path) if first else nullcontext(video) as fresh:  # decoders of sound keep what they heard before
                whole = fresh.read_audio(starts[0], starts[-1] - starts[0] + clip, spec.rate or 16000)
        except VideoError as error:
            heard, starts, told = [], [], "without sound" if error.cause == "no sound" else error.cause
        else:
            starts = [start for start in starts if start - starts[0] + LEAST < whole.seconds] or starts[:1]
            heard = [slice_audio(whole, start - starts[0], clip) for start in starts]
        times: dict[Modality, list[float | None]] = {"picture": [*moments]}
        tensors: dict[Modality, Tensor] = {"picture": self._seen(pictures)}
        if heard:
            times["sound"], tensors["sound"] = [*starts], self._heard(heard)
        return FileWindows("video", digest, len(windows), False, times, tensors).pack(told)

    def _film(self, path: Path) -> tuple[Video, list[float], float]:
        """A video, the middles of its windows, and its length."""
        video = Video(path)
        return video, *window_centers(video, self.stride)

    def _seen(self, pictures: Sequence[Image.Image]) -> Tensor:
        """As the network takes them; where it looks at optical flow, they count as standing still."""
        spec = self.front_end.image
        still = [Image.new("RGB", one.size) for one in pictures] if spec.flow else []
        return preprocess_images(pictures, spec, still)

    def _heard(self, sounds: Sequence[Audio]) -> Tensor:
        spec = self.front_end.audio
        return preprocess_audio([resample(one, spec.rate or 16000) for one in sounds], spec)


def clip_seconds(spec: AudioSpec) -> float:
    """How much of a recording a front end is given: of what it cuts out of that, its window."""
    return spec.clip_seconds or spec.seconds


def window_starts(length: float, clip: float, every: float) -> list[float]:
    """Where the windows of a sound begin, in seconds; the last one ends with it, and a short sound is one window."""
    if length <= clip + LEAST:
        return [0.0]
    count = int((length - clip) / every) + 1
    starts = [i * every for i in range(count)]
    return starts if length - clip - starts[-1] < LEAST else [*starts, length - clip]


def check_decodable_end(whole: AudioFile) -> None:
    """Raise InputError where the end that a header promises, which may be any, is not there."""
    try:
        whole.read_segment(whole.length - 1, 1)
    except (InputError, RuntimeError) as error:
        raise InputError(
            f"{whole.path}: found a sound without an end (cut short), expected the {whole.seconds:.2f} s its header "
            "promises. Fetch or write it again"
        ) from error


def window_centers(video: Video, stride: float) -> tuple[list[float], float]:
    """The middles of the windows of a video, in seconds, and how long it lasts; of a long one none in which no picture
    and no sound begins, nor in the one before."""
    length = video.duration or video.header_duration
    count = max(1, round(length / stride))
    places = np.arange(min(count, WINDOWS_PER_READ))
    if count > WINDOWS_PER_READ:
        filled = np.floor(video.packet_times() / length * count).clip(0, count - 1)
        places = np.union1d(filled, (filled + 1).clip(max=count - 1)) if len(filled) else places[:1]
    return ((places + 0.5) * length / count).tolist(), length


def slice_audio(whole: Audio | AudioFile, start: float, seconds: float) -> Audio:
    """Up to so many seconds of a sound from `start` on."""
    length = whole.length if isinstance(whole, AudioFile) else len(whole.waveform)
    first = min(round(start * whole.rate), length - 1)
    count = min(round(seconds * whole.rate) + 1, length - first)
    if isinstance(whole, AudioFile):
        return whole.read_segment(first, count)
    return Audio(whole.waveform[first : first + count], whole.rate)


def hash_file(path: Path) -> bytes:
    """16 bytes that stand for a file's content."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            found.update(part)
    return found.digest()

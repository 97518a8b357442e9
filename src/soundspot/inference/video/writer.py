"""The result of one frame, and the base class of the files that frame results are written to one by one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from soundspot.inference.result import LocalizationMap


@dataclass(frozen=True, eq=False)
class FrameResult:
    """The result of a frame of a video.

    Attributes:
        time: time of the frame, in seconds from the first frame.
        map: map of the audio around that time in the frame; `map.image` is the frame.
        is_audible: whether there is sound at that very time; the map is of the model's window around it.
    """

    time: float
    map: LocalizationMap
    is_audible: bool = True


@dataclass(frozen=True)
class VideoInfo:
    """Facts of a located video that are known before its first frame is read.

    Attributes:
        path: path of the video file.
        title: name of the model, as in reports.
        threshold: raw score from which a peak counts as a present source; None: not known.
        frame_rate: frames per second, as the header has it.
        colorspace: FFmpeg's number of the conversion between YUV and RGB.
        sample_rate: sample rate of the audio in Hz.
        layout: FFmpeg's name of the audio channels, such as `stereo`.
        model_id: what peaks depend on (`Localizer.identify`).
        audio: path of the sound that replaces the video's own, or `in memory`; empty: its own.
        audio_track: number of the audio track; None: the file's default.
        contour: name of the segmenter that makes contours; None: there are none.
        audio_seconds: seconds of sound around a frame that its map is of; None: its moment alone.
        maps_per_second: rate of maps, which are interpolated between; None: each frame has its own.
    """

    path: Path
    title: str
    threshold: float | None
    frame_rate: float
    colorspace: int
    sample_rate: int
    layout: str
    model_id: str = ""
    audio: str = ""
    audio_track: int | None = None
    contour: str | None = None
    audio_seconds: float | int | None = None
    maps_per_second: float | int | None = None


class FrameWriter(ABC):
    """A file that grows frame by frame. Use it in a `with` block: the file is complete once `close` was called.

    Leaving the block without `close` closes an open file handle and leaves the file incomplete.

    Args:
        path: path of the file.
        info: facts of the video.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self._path, self._info = path, info
        self._file: Any = None

    def __enter__(self) -> "FrameWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @abstractmethod
    def add(self, frame: FrameResult) -> None:
        """Write the next frame.

        Args:
            frame: result of the frame, later than the previous frame.
        """

    def add_audio(self, chunk: Float32[np.ndarray, "c t"]) -> None:  # noqa: B027 (most files hold no audio)
        """Accept the next samples of the audio, which may run ahead of the frames; ignored by default.

        Args:
            chunk: (c, t) float32 samples of all channels, at the audio's own rate.
        """

    @abstractmethod
    def close(self, notes: tuple[str, ...], end_time: float) -> None:
        """Complete the file after the last frame.

        Args:
            notes: sentences for a reader of the file.
            end_time: time at which the last frame is no longer shown, in seconds from the first frame.
        """

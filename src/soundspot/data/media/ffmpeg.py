"""FFmpeg by PyAV: open files, samples of frames as arrays and back, and the encoder of H.264.

`import av` takes 0.1 s, so modules that work without it most of the time import this one where they need it.
"""

import io
import os
from pathlib import Path
from typing import Any, TypeVar

import av as av  # for the modules that import it from here
import numpy as np
from jaxtyping import Float32

from soundspot.data.media.file_types import check_readable
from soundspot.errors import InputError, RecipeError

DECODE_ERRORS = (av.FFmpegError, ValueError, EOFError)  # what PyAV raises for files that are damaged or cut short
H264_ENCODERS = ("libx264", "h264_videotoolbox", "libopenh264")
REMEDY = "Play it to see whether it is whole, and fetch or write it again"


_NEEDS_NO_CONVERSION = (
    ("fltp", "mono"),
    ("fltp", "stereo"),
)  # samples as numpy wants them: no conversion, a fifth of the time
T = TypeVar("T", bound="MediaFile")


class VideoError(InputError):
    """A video that cannot be used."""


class MediaFile:
    """File opened by FFmpeg; use it in a `with` block.

    Args:
        path: path of the file.
        expected: noun phrase for what the file should be, for messages.
        content: bytes of the file, where they were read from elsewhere; `path` is then its name in messages.

    Raises:
        InputError: missing, empty, or may not be read.
        VideoError: FFmpeg cannot read it.
    """

    _readers, _remedy = "videos", REMEDY

    def __init__(self, path: str | os.PathLike[str], expected: str, content: bytes | None = None) -> None:
        self.path, self._expected, self._content = Path(path), expected, content
        if content is None:
            check_readable(self.path, expected)
        self._container = self._open()

    def _open(self) -> Any:
        try:  # the absolute path, as a name with a colon is no address
            return av.open(os.path.abspath(self.path) if self._content is None else io.BytesIO(self._content))
        except DECODE_ERRORS as error:
            raise self._unreadable(error) from error

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def num_bytes(self) -> int:
        """Size of the file; its container, which is opened again where it cannot be read on, may be closed."""
        return self.path.stat().st_size if self._content is None else len(self._content)

    def _error(self, problem: str, cause: str, remedy: str = "Leave it out") -> VideoError:
        return VideoError(f"{self.path}: found {problem}, expected {self._expected}. {remedy}", cause)

    def _unreadable(self, error: Exception) -> VideoError:
        return self._error(f"a file that no reader of {self._readers} knows ({error})", "unreadable", self._remedy)


class PcmConverter:
    """Conversion of decoded audio frames to arrays, of however many channels.

    Samples are requested packed, one after the other: of planar frames PyAV reads the list of planes of a frame, which
    has eight places, and past its end where there are as many channels (7.1) or more.

    Calling it with a frame returns a list of (channels, t) float32 arrays in [-1, 1]; with None, what is left in the
    resampler.

    Args:
        layout, rate: channel layout (`stereo`) and sample rate in Hz to convert to; None: those of the frames.
    """

    def __init__(self, layout: str | None = None, rate: int | None = None) -> None:
        self._resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
        self._rate = None if layout else rate
        self._unconverted: tuple[str, str] | None = None  # format and layout of frames that need no conversion

    def __call__(self, frame: Any) -> list[Float32[np.ndarray, "c _"]]:
        """Return the samples of a frame in [-1, 1], (channels, t); of None, what is left in the resampler.

        Raises:
            ValueError: the frame is of another format than those before it, and no layout was given.
        """
        kind = None if frame is None else (frame.format.name, frame.layout.name)
        if kind in _NEEDS_NO_CONVERSION and frame.rate == self._rate and self._unconverted in (None, kind):
            self._unconverted = kind
            return [frame.to_ndarray()]
        if self._unconverted is not None and frame is not None:
            raise ValueError(f"found a frame of {kind} after those of {self._unconverted}")
        packed_frames = self._resampler.resample(frame)
        return [packed.to_ndarray().reshape(-1, packed.layout.nb_channels).T for packed in packed_frames]


def array_to_frame(samples: Float32[np.ndarray, "c t"], layout: str) -> Any:
    """Convert samples to a packed audio frame of FFmpeg.

    Args:
        samples: (channels, t) float32 samples.
        layout: FFmpeg's name of a channel layout with as many channels, such as `stereo`.

    Returns:
        An `av.AudioFrame`, without rate and time stamp.
    """
    return av.AudioFrame.from_ndarray(samples.T.reshape(1, -1), format="flt", layout=layout)


def choose_encoder(crf: int, preset: str = "veryfast") -> tuple[str, dict[str, str]]:
    """Choose this machine's H.264 encoder.

    Args:
        crf: constant rate factor of libx264, 0 (lossless) to 51; other encoders ignore it.
        preset: speed of libx264, by its own name.

    Returns:
        Name of the encoder, and its options for PyAV.

    Raises:
        RecipeError: FFmpeg has no encoder of H.264 here.
    """
    name = next((name for name in H264_ENCODERS if name in av.codecs_available), None)
    if name is None:
        raise RecipeError(
            f"FFmpeg writes no H.264 here ({', '.join(H264_ENCODERS)}); install PyAV's own wheel: pip install av"
        )
    return name, {"preset": preset, "crf": str(crf)} if name == "libx264" else {}

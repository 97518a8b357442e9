"""FFmpeg by PyAV: open files, decoded frames as arrays and images, samples as frames, and the encoder of H.264.

`import av` takes 0.1 s, so modules that work without it most of the time import this one where they need it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import av as av  # for the modules that import it from here
import numpy as np
from jaxtyping import Float32
from PIL import Image

from soundspot.data.media.file_types import check_readable
from soundspot.errors import InputError, RecipeError

DECODE_ERRORS = (av.FFmpegError, ValueError, EOFError)  # what PyAV raises for files that are damaged or cut short
H264_ENCODERS = ("libx264", "h264_videotoolbox", "libopenh264")
REMEDY = "Play it to see whether it is whole, and fetch or write it again"
MAX_PIXEL_ASPECT = 4  # pixels of television and of discs are at most three times as wide as high


T = TypeVar("T", bound="MediaFile")


class VideoError(InputError):
    """A video that cannot be used."""


class MediaFile:
    """Open file of FFmpeg; use it in a `with` block.

    Args:
        path: of the file.
        expected: what it should be, for messages.

    Raises:
        InputError: missing, empty, or may not be read. VideoError: FFmpeg cannot read it.
    """

    def __init__(self, path: str | os.PathLike[str], expected: str) -> None:
        self.path, self._expected = Path(path), expected
        check_readable(self.path, expected)
        try:
            self._container = av.open(os.path.abspath(self.path))  # a name with a colon is no address
        except DECODE_ERRORS as error:
            raise self._unreadable(error) from error

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def _error(self, problem: str, cause: str, remedy: str = "Leave it out") -> VideoError:
        return VideoError(f"{self.path}: found {problem}, expected {self._expected}. {remedy}", cause)

    def _unreadable(self, error: Exception) -> VideoError:
        return self._error(f"a file that no reader of videos knows ({error})", "unreadable", REMEDY)


class PcmConverter:
    """Conversion of decoded audio frames to arrays, of however many channels.

    Samples are requested packed, one after the other: of planar frames PyAV reads the list of planes of a frame, which
    has eight places, and past its end where there are as many channels (7.1) or more.

    Args:
        layout, rate: channel layout (`stereo`) and Hz to convert to; None: those of the frames.
    """

    def __init__(self, layout: str | None = None, rate: int | None = None) -> None:
        self._resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)

    def __call__(self, frame: Any) -> list[Float32[np.ndarray, "c _"]]:
        """Return the samples of a frame in [-1, 1], (channels, t); of None, what is left in the resampler."""
        packed_frames = self._resampler.resample(frame)
        return [packed.to_ndarray().reshape(-1, packed.layout.nb_channels).T for packed in packed_frames]


def array_to_frame(samples: Float32[np.ndarray, "c t"], layout: str) -> Any:
    """Return a packed audio frame of (channels, t) samples."""
    return av.AudioFrame.from_ndarray(samples.T.reshape(1, -1), format="flt", layout=layout)


def iter_decoded(container: Any, stream: Any, counter: Any) -> Iterator[Any]:
    """Yield the frames of a stream in order, up to where the file is cut short.

    Packets that cannot be decoded are left out and counted in `counter.damaged`.
    """
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except DECODE_ERRORS:
            counter.damaged += 1
            return
        try:
            frames = packet.decode()
        except DECODE_ERRORS:
            counter.damaged += 1
            continue
        yield from frames


def frame_to_image(frame: Any, stream: Any) -> Image.Image:
    """Return a video frame as players show it: RGB, with square pixels, rotated as the file says.

    Pixels that are declared more than four times as wide as high, or as high as wide, are taken for square.
    """
    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    ratio = float(stream.sample_aspect_ratio or 1)
    if ratio != 1 and 1 / MAX_PIXEL_ASPECT <= ratio <= MAX_PIXEL_ASPECT:
        image = image.resize((max(1, round(image.width * ratio)), image.height))
    return image.rotate(frame.rotation, expand=True) if frame.rotation % 360 else image


def choose_encoder(crf: int) -> tuple[str, dict[str, str]]:
    """Return the name of this machine's H.264 encoder and its options for a quality.

    Args:
        crf: libx264's constant rate factor; other encoders have no such option.

    Raises:
        RecipeError: FFmpeg has no encoder of H.264 here.
    """
    name = next((name for name in H264_ENCODERS if name in av.codecs_available), None)
    if name is None:
        raise RecipeError(
            f"FFmpeg writes no H.264 here ({', '.join(H264_ENCODERS)}); install PyAV's own wheel: pip install av"
        )
    return name, {"preset": "veryfast", "crf": str(crf)} if name == "libx264" else {}

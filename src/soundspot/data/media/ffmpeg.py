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
    """File opened by FFmpeg; use it in a `with` block.

    Args:
        path: path of the file.
        expected: noun phrase for what the file should be, for messages.

    Raises:
        InputError: missing, empty, or may not be read.
        VideoError: FFmpeg cannot read it.
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

    Calling it with a frame returns a list of (channels, t) float32 arrays in [-1, 1]; with None, what is left in the
    resampler.

    Args:
        layout, rate: channel layout (`stereo`) and sample rate in Hz to convert to; None: those of the frames.
    """

    def __init__(self, layout: str | None = None, rate: int | None = None) -> None:
        self._resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)

    def __call__(self, frame: Any) -> list[Float32[np.ndarray, "c _"]]:
        """Return the samples of a frame in [-1, 1], (channels, t); of None, what is left in the resampler."""
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


def iter_decoded(container: Any, stream: Any, counter: Any) -> Iterator[Any]:
    """Decode the frames of a stream in order, up to where the file is cut short.

    Packets that cannot be decoded are left out and counted.

    Args:
        container: open `av` container.
        stream: video or audio stream of the container.
        counter: object whose attribute `damaged` is increased by 1 for each packet that cannot be decoded.

    Yields:
        Decoded `av` frames.
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
    """Convert a video frame to the image that players show: RGB, with square pixels, rotated as the file says.

    The width is multiplied by the pixels' aspect ratio (bicubic); pixels that are declared more than four times as wide
    as high, or as high as wide, are taken for square.

    Args:
        frame: decoded `av` video frame.
        stream: video stream of the frame, for the aspect ratio of its pixels.

    Returns:
        RGB image.
    """
    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    ratio = float(stream.sample_aspect_ratio or 1)
    if ratio != 1 and 1 / MAX_PIXEL_ASPECT <= ratio <= MAX_PIXEL_ASPECT:
        image = image.resize((max(1, round(image.width * ratio)), image.height))
    return image.rotate(frame.rotation, expand=True) if frame.rotation % 360 else image


def choose_encoder(crf: int) -> tuple[str, dict[str, str]]:
    """Choose this machine's H.264 encoder.

    Args:
        crf: constant rate factor of libx264, 0 (lossless) to 51; other encoders ignore it.

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
    return name, {"preset": "veryfast", "crf": str(crf)} if name == "libx264" else {}

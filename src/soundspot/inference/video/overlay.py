"""The overlay as a video: every picture of the source at its own moment under the heat, and what was heard."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from soundspot.errors import OutputError
from soundspot.inference.render import overlay_heatmap
from soundspot.inference.video.smoothing import RunningRange
from soundspot.inference.video.writer import FrameWriter

if TYPE_CHECKING:
    from soundspot.inference.video.predictor import FrameResult, LocatedVideo

TICKS = 90_000  # a second; every usual rate of pictures is a whole number of them
ITU601, ITU709 = (2, 5, 6), 1  # FFmpeg's numbers of the ways to make YUV of colours; 2: the file does not say
RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # that AAC knows


def draw_frame(moment: "FrameResult", heat: RunningRange, opacity: float) -> Image.Image:
    """The picture of a moment under its heat in the range of the video; as it is where nothing is to be drawn."""
    found = moment.map
    assert found.image is not None, "moments of a video have their picture"
    values = heat(moment.time, found)
    if values is None:
        return found.image
    return overlay_heatmap(found.image, found.upsample_values(values).clamp(0, 1).numpy(), opacity)


class OverlayWriter(FrameWriter):
    """Writes the video at `path`, by its suffix; H.264 in yuv420p, so an odd width or height grows by a pixel.

    Pictures are encoded as they come, and the sound up to them, to the end of the last picture: nothing is collected.

    Raises:
        OutputError: FFmpeg cannot encode them.
    """

    def __init__(self, path: Path, video: "LocatedVideo", opacity: float) -> None:
        self._path, self._video, self._opacity = path, video, opacity
        self._heat = RunningRange()
        self._colours = (
            video.colorspace if video.colorspace in ITU601 else ITU709
        )  # as the source has it, or as most do
        self._file: Any = None
        self._track = video.open_audio()

    def add(self, moment: "FrameResult") -> None:
        """Encode the next picture, and the sound until then."""
        pixels = np.asarray(draw_frame(moment, self._heat, self._opacity))
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        with self._encoding():
            self._add(pixels, moment.time)

    def _add(self, pixels: np.ndarray, time: float) -> None:
        import av

        if self._file is None:
            self._open(pixels.shape[1], pixels.shape[0])
        self._until(time)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709" if self._colours == ITU709 else "ITU601")
        frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
        self._file.mux(self._pictures.encode(frame))

    def close(self, notes: tuple[str, ...]) -> None:
        """Encode the rest of the sound, and finish the file."""
        with self._encoding():
            self._file.mux(self._pictures.encode())
            self._until(self._video.end_time)
            self._file.mux(self._sounds.encode())
            self._file.close()
            self._file = None

    def abort(self) -> None:
        import av

        if self._file is not None:  # given up
            with suppress(OSError, av.FFmpegError):
                self._file.close()
            self._file = None
        self._track.__exit__()

    @contextmanager
    def _encoding(self) -> Iterator[None]:
        """What FFmpeg says of the block is an OutputError; what the disk says stays an OSError."""
        import av

        try:
            yield
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise OutputError(
                f"{self._path.name}: could not be encoded by FFmpeg ({error}), expected pictures that its H.264 and a "
                "sound that its AAC takes. Make the video smaller, or give its sound by `--sound`, in Python `sound=`"
            ) from error

    def _open(self, width: int, height: int) -> None:
        from soundspot.data.media.ffmpeg import av, choose_encoder

        name, options = choose_encoder(crf=20)
        self._chunks = self._track.iter_chunks()
        self._heard, self._rest = 0, np.empty((0, 0), np.float32)
        quick = {} if self._path.suffix.lower() == ".mkv" else {"movflags": "+faststart"}
        self._file = av.open(str(self._path), "w", options=quick)
        self._pictures = self._file.add_stream(name, rate=Fraction(self._video.frame_rate).limit_denominator(1001))
        self._pictures.width, self._pictures.height, self._pictures.pix_fmt = width, height, "yuv420p"
        self._pictures.codec_context.time_base = Fraction(1, TICKS)
        self._pictures.codec_context.thread_type = "AUTO"
        self._pictures.codec_context.colorspace = self._colours
        self._pictures.options = options
        aac = next((one for one in RATES if one <= self._track.rate), RATES[-1])
        layout = "mono" if self._track.layout in ("mono", "1 channels") else "stereo"
        self._sounds = self._file.add_stream("aac", rate=aac, layout=layout)
        self._sounds.bit_rate = 128_000 if layout == "mono" else 192_000
        self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=aac)

    def _until(self, moment: float) -> None:
        """Encode the sound up to a moment."""
        from soundspot.data.media.ffmpeg import array_to_frame

        while (left := round(moment * self._track.rate) - self._heard) > 0:
            chunk = self._rest if self._rest.size else next(self._chunks, None)
            if chunk is None:
                self._chunks = iter(())
                return
            chunk, self._rest = chunk[:, :left], chunk[:, left:]
            frame = array_to_frame(chunk, self._track.layout)
            frame.rate, frame.pts, frame.time_base = self._track.rate, self._heard, Fraction(1, self._track.rate)
            self._heard += chunk.shape[1]
            for part in self._resampler.resample(frame):
                self._file.mux(self._sounds.encode(part))

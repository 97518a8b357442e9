"""The overlay as a video: every frame at its own time under the heatmap, with the audio that was located."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Float32, UInt8
from PIL import Image

from soundspot.data.media.ffmpeg import array_to_frame, choose_encoder
from soundspot.errors import OutputError
from soundspot.inference.render import WHITE, draw_outline, overlay_heatmap
from soundspot.inference.video.smoothing import RunningRange
from soundspot.inference.video.writer import FrameResult, FrameWriter, VideoInfo

TICKS = 90_000  # per second; every usual frame rate is a whole number of them
ITU601, ITU709 = (2, 5, 6), 1  # FFmpeg's numbers of conversions between YUV and RGB; 2: the file does not say
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)


def draw_frame(frame: FrameResult, heat_range: RunningRange, opacity: float) -> Image.Image:
    """Draw a frame under its heatmap and its contours, scaled by the running range of the video.

    Args:
        frame: result of the frame, with its image.
        heat_range: range of the scores of the frames so far; this frame is added to it.
        opacity: opacity of the heat at the highest scores, in [0, 1].

    Returns:
        An image of the size of the frame; the frame itself where the source is absent or the map is constant.
    """
    result = frame.map
    assert result.image is not None, "frames of a video have their image"
    values = heat_range(frame.time, result)
    if values is None:
        return result.image
    drawing = overlay_heatmap(result.image, result.upsample_values(values).clamp(0, 1).numpy(), opacity)
    for contour in result.contours:
        drawing = draw_outline(drawing, contour.mask, WHITE)
    return drawing


class OverlayWriter(FrameWriter):
    """Write the video under the heatmap with its audio, as H.264 (yuv420p) and AAC in the container of the suffix.

    Frames are encoded as they come, and the audio up to their time; nothing is collected. An odd width or height grows
    by one pixel, a copy of the edge. Audio of several channels becomes stereo; its rate is the highest AAC rate that is
    not above its own.

    Args:
        path: path of the video file.
        info: facts of the video.
        opacity: opacity of the heat at the highest scores, in [0, 1].

    Raises:
        OutputError: FFmpeg cannot encode the frames or the audio (in `add` and `close`).
    """

    def __init__(self, path: Path, info: VideoInfo, opacity: float) -> None:
        super().__init__(path, info)
        self._opacity, self._heat_range = opacity, RunningRange()
        self._colorspace = info.colorspace if info.colorspace in ITU601 else ITU709
        self._chunks: deque[Float32[np.ndarray, "c t"]] = deque()
        self._num_encoded = 0  # audio samples
        self._reformatter: Any = VideoReformatter()  # prepares the conversion once

    def __exit__(self, *_: object) -> None:
        if self._file is not None:  # given up
            with suppress(OSError, av.FFmpegError):
                self._file.close()

    def add_audio(self, chunk: Float32[np.ndarray, "c t"]) -> None:
        """Hold samples until the frames have reached their time; nothing is encoded yet.

        Args:
            chunk: (c, t) float32 samples of all channels, at the audio's own rate.
        """
        self._chunks.append(chunk)

    def add(self, frame: FrameResult) -> None:
        """Encode the next frame at its own time, and the audio up to that time; the first frame opens the file.

        Args:
            frame: result of the frame, with its image; all frames have one size.

        Raises:
            OutputError: FFmpeg cannot encode them.
        """
        pixels = np.asarray(draw_frame(frame, self._heat_range, self._opacity))
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        with self._converted_errors():
            if self._file is None:
                self._open(pixels)
            self._encode_audio(frame.time)
            encoded = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            space = "ITU709" if self._colorspace == ITU709 else "ITU601"
            encoded = self._reformatter.reformat(encoded, format="yuv420p", dst_colorspace=space)
            encoded.pts, encoded.time_base = round(frame.time * TICKS), Fraction(1, TICKS)
            self._file.mux(self._video.encode(encoded))

    def close(self, notes: tuple[str, ...], end_time: float) -> None:
        """Encode the audio up to the end of the video, and complete the file; later samples are dropped.

        Args:
            notes: sentences for a reader, not written here.
            end_time: time in seconds at which the last frame is no longer shown; the audio ends there.

        Raises:
            OutputError: FFmpeg cannot encode the audio or the frames.
        """
        with self._converted_errors():
            self._file.mux(self._video.encode())
            self._encode_audio(end_time)
            self._file.mux(self._audio.encode())
            self._file.close()
            self._file = None

    @contextmanager
    def _converted_errors(self) -> Iterator[None]:
        """Raise FFmpeg's errors as OutputError, but leave OSErrors (a full disk) as they are."""
        try:
            yield
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise OutputError(
                f"{self._path.name}: could not be encoded by FFmpeg ({error}), expected frames that its H.264 "
                "and audio that its AAC takes. Make the video smaller, or give other audio (`audio=` in Python)"
            ) from error

    def _open(self, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
        name, options = choose_encoder(crf=20, preset="superfast")
        container_options = {} if self._path.suffix.lower() == ".mkv" else {"movflags": "+faststart"}
        self._file = av.open(str(self._path), "w", options=container_options)
        self._video = self._file.add_stream(name, rate=Fraction(self._info.frame_rate).limit_denominator(1001))
        self._video.width, self._video.height, self._video.pix_fmt = pixels.shape[1], pixels.shape[0], "yuv420p"
        self._video.codec_context.time_base = Fraction(1, TICKS)
        self._video.codec_context.thread_type = "AUTO"
        self._video.codec_context.colorspace = self._colorspace
        self._video.options = options
        rate = next((rate for rate in AAC_RATES if rate <= self._info.sample_rate), AAC_RATES[-1])
        layout = "mono" if self._info.layout in ("mono", "1 channels") else "stereo"
        self._audio = self._file.add_stream("aac", rate=rate, layout=layout)
        self._audio.bit_rate = 128_000 if layout == "mono" else 192_000
        self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)

    def _encode_audio(self, time: float) -> None:
        """Encode the audio up to a time in seconds."""
        rate = self._info.sample_rate
        while self._chunks and (missing := round(time * rate) - self._num_encoded) > 0:
            chunk = self._chunks.popleft()
            if chunk.shape[1] > missing:
                self._chunks.appendleft(chunk[:, missing:])
            samples = chunk[:, :missing]
            frame = array_to_frame(samples, self._info.layout)
            frame.rate, frame.pts, frame.time_base = rate, self._num_encoded, Fraction(1, rate)
            self._num_encoded += samples.shape[1]
            for resampled in self._resampler.resample(frame):
                self._file.mux(self._audio.encode(resampled))

"""Videos made on the spot: a picture that turns from green to red, with a white bar on top, and a tone that rises.

And an input that crashes, here so that other processes can import it.
"""

import os
import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from soundspot.data.shards.writer import SampleRecord

RATE = 48000


def tone(seconds: float) -> np.ndarray:
    """200 Hz in the first second, 400 Hz in the second one, and so on."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * 200 * (1 + np.floor(time)) * time)).astype(np.float32)


def write_video(
    path: Path,
    seconds: float = 3.0,
    times: list[float] | None = None,
    codecs: tuple[str, str] = ("mpeg4", "aac"),
    sound: bool = True,
    picture: bool = True,
    turned: int = 0,
    size: tuple[int, int] = (64, 48),
    late: tuple[float, float] = (0.0, 0.0),
    ratio: float | int = 1,
    lasts: float | None = None,
) -> Path:
    """Writes a video of `seconds`.

    Args:
        times: of the frames; None: 25 a second.
        turned: degrees by which players turn it.
        late: seconds by which the pictures, and the sound, begin later in the file.
        ratio: width of a pixel by its height.
        lasts: seconds for which the last picture is shown; None: as the container guesses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codecs[0], rate=25) if picture else None
        audio = container.add_stream(codecs[1], rate=RATE, layout="mono") if sound else None
        if video is not None:
            video.width, video.height, video.pix_fmt, video.gop_size = *size, "yuv420p", 10
            video.codec_context.time_base = Fraction(1, 1000)
            video.codec_context.sample_aspect_ratio = Fraction(ratio).limit_denominator(255)
            if turned:
                video.set_display_rotation(turned)
            times = times or np.arange(0, seconds, 1 / 25).tolist()
            for at in times:
                shade = round(255 * at / seconds)
                pixels = np.full((size[1], size[0], 3), (shade, 255 - shade, 40), np.uint8)
                pixels[:8] = 255
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = round(1000 * (at + late[0])), Fraction(1, 1000)
                packets = video.encode(frame)
                if lasts and at == times[-1]:
                    packets[-1].duration = round(1000 * lasts)
                container.mux(packets)
            container.mux(video.encode())
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(tone(seconds)[None], format="fltp", layout="mono")
            frame.rate, frame.pts = RATE, round(late[1] * RATE)
            container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return path


class Fragile:
    """One of its inputs takes its process down, as a decoder does."""

    def key(self, name: str) -> str:
        return name

    def __call__(self, name: str) -> SampleRecord:
        if name == "1":
            os.kill(os.getpid(), signal.SIGSEGV)
        return SampleRecord({"json": name.encode()})

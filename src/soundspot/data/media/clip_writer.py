"""Write a short video: frames and a mono sound as MP4, H.264 and AAC."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image

from soundspot.types import Audio
from soundspot.utils.atomic_io import atomic_write


def write_clip(
    path: Path, frames: Iterable[Image.Image], frame_rate: int | Fraction, audio: Iterable[Audio], crf: int = 18
) -> None:
    """Write frames and their sound as MP4; the file appears complete or not at all.

    Args:
        path: path of the file; an existing file is replaced.
        frames: RGB frames of one size, whose sides are even, in order; at least one.
        frame_rate: frames per second.
        audio: pieces of mono audio of one rate, which follow each other; none: the video has no sound. A piece that
            begins after the last frame does is left out.
        crf: constant rate factor of the encoder: quality, 0 (lossless) to 51.

    Raises:
        OutputError: the file cannot be written.
        RecipeError: FFmpeg has no encoder of H.264 here.
    """
    from soundspot.data.media.ffmpeg import av, choose_encoder

    codec, options = choose_encoder(crf=crf)
    frames, pieces = iter(frames), iter(audio)
    first, piece = next(frames), next(pieces, None)
    with atomic_write(path) as draft, av.open(str(draft), "w", options={"movflags": "+faststart"}) as container:
        video: Any = container.add_stream(codec, rate=frame_rate, options=options)
        video.width, video.height, video.pix_fmt = *first.size, "yuv420p"
        sound: Any = None if piece is None else container.add_stream("aac", rate=piece.rate, layout="mono")
        written = 0
        for number, frame in enumerate(chain([first], frames)):
            while piece is not None and written * frame_rate <= number * piece.rate:
                samples = av.AudioFrame.from_ndarray(piece.waveform[None].numpy(), format="fltp", layout="mono")
                samples.rate, samples.pts, samples.time_base = piece.rate, written, Fraction(1, piece.rate)
                container.mux(sound.encode(samples))
                written += len(piece.waveform)
                piece = next(pieces, None)
            container.mux(video.encode(av.VideoFrame.from_image(frame)))
        container.mux(video.encode())
        if sound is not None:
            container.mux(sound.encode())

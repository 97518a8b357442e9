"""What was asked for and what was found, as one picture."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from soundspot.data.media.audio import as_audio, open_audio
from soundspot.data.media.image import as_image, read_image
from soundspot.data.media.video import Video
from soundspot.errors import InputError
from soundspot.inference.render import HEAT_COLORMAP, make_contact_sheet
from soundspot.search.file_reader import slice_audio
from soundspot.search.result import Hit, escape_unprintable
from soundspot.types import Audio

ACROSS = 5
HEIGHT = 180
SHOWN = 10.0  # seconds of a sound


def draw_contact_sheet(
    hits: Sequence[Hit], image: Any = None, audio: Any = None, image_weight: float | int = 0.5
) -> Image.Image:
    """A row of what was asked for, and the hits below, with rank, score and name; sounds as their spectrograms."""
    asked: list[tuple[Image.Image, str]] = []
    share = "" if image is None or audio is None else f"{image_weight:.0%} "
    if image is not None:
        asked.append((as_image(image), f"asked: {share}{_name(image, 'picture')}"))
    if audio is not None:
        rest = f"{1 - image_weight:.0%} " if share else ""
        asked.append((draw_spectrogram(as_audio(audio)), f"asked: {rest}{_name(audio, 'sound')}"))
    shown = [(load_thumbnail(hit), _caption(rank, hit)) for rank, hit in enumerate(hits, 1)]
    rows = [asked, *(shown[first : first + ACROSS] for first in range(0, len(shown), ACROSS))]
    pictures = [[_framed(picture) for picture, _ in row] for row in rows]
    return make_contact_sheet(pictures, [[caption for _, caption in row] for row in rows], HEIGHT)


def load_thumbnail(hit: Hit) -> Image.Image:
    """What stands for a hit: the picture, the frame at that moment, or the spectrogram; grey where it is gone."""
    try:
        if hit.file_type == "image":
            return read_image(hit.path, min_side=HEIGHT)
        if hit.file_type == "video":
            with Video(hit.path) as video:
                return video.frames_at([hit.time or 0.0])[0][1]
        return draw_spectrogram(slice_audio(open_audio(hit.path), hit.time or 0.0, SHOWN))
    except InputError:
        return Image.new("RGB", (HEIGHT, HEIGHT), (200, 200, 205))


def draw_spectrogram(sound: Audio) -> Image.Image:
    """The loudness of a sound's frequencies, low ones below, over up to SHOWN seconds, 70 dB from dark to bright."""
    waveform = sound.waveform[: int(SHOWN * sound.rate)]
    size = 512
    waveform = torch.nn.functional.pad(waveform, (0, max(0, size - len(waveform))))
    power = torch.stft(waveform, size, 160, window=torch.hann_window(size), return_complex=True).abs().square()
    level = 10 * (power + 1e-10).log10()
    bright = ((level - level.max() + 70) / 70).clamp(0, 1).flip(0)
    return Image.fromarray(HEAT_COLORMAP[(255 * bright).byte().numpy()]).resize(
        (HEIGHT * 4 // 3, HEIGHT), Image.Resampling.BOX
    )


def _framed(picture: Image.Image) -> Image.Image:
    """At most four by three, by cutting off what is too wide; a panorama would make the sheet as wide."""
    widest = picture.height * 4 // 3
    left = (picture.width - widest) // 2
    return picture.crop((left, 0, left + widest, picture.height)) if left > 0 else picture


def _name(asked: Any, kind: str) -> str:
    return escape_unprintable(os.path.basename(asked)) if isinstance(asked, str | os.PathLike) else kind


def _caption(rank: int, hit: Hit) -> str:
    at = "" if hit.time is None else f" {hit.time:.0f} s"
    return f"{rank}. {hit.score:.2f}{at} {escape_unprintable(hit.path.name)}"

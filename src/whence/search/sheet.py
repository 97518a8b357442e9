"""What was asked for and what was found, as one picture."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from whence.data.audio import as_sound, open_sound
from whence.data.image import as_image, read_image
from whence.data.video import Video
from whence.errors import InputError
from whence.inference.render import HEAT, contact_sheet
from whence.search.reading import part_of
from whence.search.result import Hit, printable
from whence.types import Sound

ACROSS = 5
HEIGHT = 180
SHOWN = 10.0  # seconds of a sound


def sheet(hits: Sequence[Hit], image: Any = None, sound: Any = None, mix: float | int = 0.5) -> Image.Image:
    """A row of what was asked for, and the hits below, with rank, score and name; sounds as their spectrograms."""
    asked: list[tuple[Image.Image, str]] = []
    share = "" if image is None or sound is None else f"{mix:.0%} "
    if image is not None:
        asked.append((as_image(image), f"asked: {share}{_name(image, 'picture')}"))
    if sound is not None:
        rest = f"{1 - mix:.0%} " if share else ""
        asked.append((spectrogram_picture(as_sound(sound)), f"asked: {rest}{_name(sound, 'sound')}"))
    shown = [(picture_of(hit), _caption(rank, hit)) for rank, hit in enumerate(hits, 1)]
    rows = [asked, *(shown[first : first + ACROSS] for first in range(0, len(shown), ACROSS))]
    pictures = [[_framed(picture) for picture, _ in row] for row in rows]
    return contact_sheet(pictures, [[caption for _, caption in row] for row in rows], HEIGHT)


def picture_of(hit: Hit) -> Image.Image:
    """What stands for a hit: the picture, the frame at that moment, or the spectrogram; grey where it is gone."""
    try:
        if hit.kind == "image":
            return read_image(hit.path, at_least=HEIGHT)
        if hit.kind == "video":
            with Video(hit.path) as video:
                return video.frames([hit.time or 0.0])[0][1]
        return spectrogram_picture(part_of(open_sound(hit.path), hit.time or 0.0, SHOWN))
    except InputError:
        return Image.new("RGB", (HEIGHT, HEIGHT), (200, 200, 205))


def spectrogram_picture(sound: Sound) -> Image.Image:
    """The loudness of a sound's frequencies, low ones below, over up to SHOWN seconds, 70 dB from dark to bright."""
    waveform = sound.waveform[: int(SHOWN * sound.rate)]
    size = 512
    waveform = torch.nn.functional.pad(waveform, (0, max(0, size - len(waveform))))
    power = torch.stft(waveform, size, 160, window=torch.hann_window(size), return_complex=True).abs().square()
    level = 10 * (power + 1e-10).log10()
    bright = ((level - level.max() + 70) / 70).clamp(0, 1).flip(0)
    return Image.fromarray(HEAT[(255 * bright).byte().numpy()]).resize((HEIGHT * 4 // 3, HEIGHT), Image.Resampling.BOX)


def _framed(picture: Image.Image) -> Image.Image:
    """At most four by three, by cutting off what is too wide; a panorama would make the sheet as wide."""
    widest = picture.height * 4 // 3
    left = (picture.width - widest) // 2
    return picture.crop((left, 0, left + widest, picture.height)) if left > 0 else picture


def _name(asked: Any, kind: str) -> str:
    return printable(os.path.basename(asked)) if isinstance(asked, str | os.PathLike) else kind


def _caption(rank: int, hit: Hit) -> str:
    at = "" if hit.time is None else f" {hit.time:.0f} s"
    return f"{rank}. {hit.score:.2f}{at} {printable(hit.path.name)}"

"""Contact sheet of a query and its hits."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from soundspot.data.media.audio import as_audio, open_windows
from soundspot.data.media.image import as_image, read_image
from soundspot.data.media.video import Video
from soundspot.errors import InputError
from soundspot.inference.render import HEAT_COLORMAP, make_contact_sheet
from soundspot.search.file_reader import slice_audio
from soundspot.search.result import Hit, escape_unprintable
from soundspot.types import Audio

HITS_PER_ROW = 5
HEIGHT = 180  # pixels
MAX_SECONDS = 10.0  # of a spectrogram
N_FFT, HOP = 512, 160


def draw_contact_sheet(
    hits: Sequence[Hit], image: Any = None, audio: Any = None, image_weight: float | int = 0.5
) -> Image.Image:
    """Draw the query in a row above the hits with rank, score and name, five hits a row; audio as its spectrogram.

    Args:
        hits: hits, best first.
        image: image of the query (path, PIL image, array or tensor); None: the query has none.
        audio: audio of the query (path, `Audio`, or (waveform, rate in Hz)); None: the query has none.
        image_weight: weight of the image in the query, in [0, 1], for the captions.

    Returns:
        An RGB image.

    Raises:
        InputError: the image or the audio cannot be read.
    """
    query: list[tuple[Image.Image, str]] = []
    is_mixed = image is not None and audio is not None
    if image is not None:
        weight = f"{image_weight:.0%} " if is_mixed else ""
        query.append((as_image(image), f"query: {weight}{_get_name(image, 'image')}"))
    if audio is not None:
        weight = f"{1 - image_weight:.0%} " if is_mixed else ""
        query.append((draw_spectrogram(as_audio(audio)), f"query: {weight}{_get_name(audio, 'audio')}"))
    cells = [(load_thumbnail(hit), _format_caption(rank, hit)) for rank, hit in enumerate(hits, 1)]
    rows = [query, *(cells[first : first + HITS_PER_ROW] for first in range(0, len(cells), HITS_PER_ROW))]
    images = [[_crop_panorama(image) for image, _ in row] for row in rows]
    return make_contact_sheet(images, [[caption for _, caption in row] for row in rows], HEIGHT)


def load_thumbnail(hit: Hit) -> Image.Image:
    """Load the image, the frame or the spectrogram of a hit.

    Args:
        hit: hit of a query.

    Returns:
        The image of an image file; the frame of a video at the hit's time; the spectrogram of up to 10 s of an audio
        file from that time on, of 240 x 180 pixels; a gray square where the file is gone or cannot be read.
    """
    try:
        if hit.file_type == "image":
            return read_image(hit.path)
        if hit.file_type == "video":
            with Video(hit.path) as video:
                return video.frames_at([hit.time or 0.0])[0][1]
        return draw_spectrogram(slice_audio(open_windows(Path(hit.path)), hit.time or 0.0, MAX_SECONDS))
    except InputError:
        return Image.new("RGB", (HEIGHT, HEIGHT), (200, 200, 205))


def draw_spectrogram(audio: Audio) -> Image.Image:
    """Draw the power spectrogram of the first 10 s of audio, low frequencies at the bottom.

    The colors span the 70 dB below its maximum, from dark to bright.

    Args:
        audio: mono audio; anything shorter than 512 samples is padded with zeros.

    Returns:
        An RGB image of 240 x 180 pixels.
    """
    waveform = audio.waveform[: int(MAX_SECONDS * audio.rate)]
    waveform = torch.nn.functional.pad(waveform, (0, max(0, N_FFT - len(waveform))))
    power = torch.stft(waveform, N_FFT, HOP, window=torch.hann_window(N_FFT), return_complex=True).abs().square()
    level = 10 * (power + 1e-10).log10()
    brightness = ((level - level.max() + 70) / 70).clamp(0, 1).flip(0)
    image = Image.fromarray(HEAT_COLORMAP[(255 * brightness).byte().numpy()])
    return image.resize((HEIGHT * 4 // 3, HEIGHT), Image.Resampling.BOX)


def _crop_panorama(image: Image.Image) -> Image.Image:
    """Crop an image that is wider than 4:3 to it; a panorama would make the sheet as wide."""
    max_width = image.height * 4 // 3
    left = (image.width - max_width) // 2
    return image.crop((left, 0, left + max_width, image.height)) if left > 0 else image


def _get_name(query: Any, modality: str) -> str:
    return escape_unprintable(os.path.basename(query)) if isinstance(query, str | os.PathLike) else modality


def _format_caption(rank: int, hit: Hit) -> str:
    time = "" if hit.time is None else f" {hit.time:.0f} s"
    return f"{rank}. {hit.score:.2f}{time} {escape_unprintable(hit.path.name)}"

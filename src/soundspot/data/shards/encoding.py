"""Format of the samples in shards: size and quality of images, rate and codec of audio, and their encoding."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import soundfile
from PIL import Image

from soundspot.data.media.audio import resample
from soundspot.errors import RecipeError
from soundspot.types import Audio


@dataclass(frozen=True, kw_only=True)
class ShardFormat:
    """Format of the samples in shards.

    Attributes:
        rate: sample rate of the audio in Hz, mono, 16 bit; None: that of the source.
        max_side: longest side of an image in pixels; smaller images keep their size.
        quality: quality of the JPEG files, 1 to 95.
        audio_format: `flac`, or `wav`, twice as large and quicker to read.
        shape: shape of images: `original`, or `square`, squashed to `max_side` x `max_side` as training does anyway. At
            a side of 1.125 x `front_end.size` (252 for 224) training reads them without resizing. Images to look at
            afterwards should keep the original shape.
        shard_size: number of inputs in a shard.

    Raises:
        RecipeError: a number is out of its range.
    """

    rate: int | None = 16000
    max_side: int = 400
    quality: int = 90
    audio_format: Literal["flac", "wav"] = "flac"
    shape: Literal["original", "square"] = "original"
    shard_size: int = 500

    def __post_init__(self) -> None:
        ranges = {"rate": (1, 192_000), "max_side": (16, 16_384), "quality": (1, 95), "shard_size": (1, 1_000_000)}
        for name, (low, high) in ranges.items():
            value = self.__dict__[name]
            if value is not None and not low <= value <= high:
                raise RecipeError(f"{name}: found {value}, expected {low} to {high}")

    def encode_image(self, image: Image.Image) -> bytes:
        """Encode an image in the size and shape of this format.

        Args:
            image: image of any size; resized by PIL's bicubic filter, the aspect ratio kept unless `shape` is `square`.

        Returns:
            Bytes of a JPEG file, RGB.
        """
        scale = min(1, self.max_side / max(image.size))
        width, height = (self.max_side if self.shape == "square" else max(1, round(n * scale)) for n in image.size)
        if (width, height) != image.size:
            image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
        file = io.BytesIO()
        image.convert("RGB").save(file, "JPEG", quality=self.quality)
        return file.getvalue()

    def encode_audio(self, audio: Audio) -> bytes:
        """Encode audio at the rate of this format.

        Args:
            audio: mono audio of any rate, in [-1, 1].

        Returns:
            Bytes of a 16-bit FLAC or WAV file.
        """
        audio = resample(audio, self.rate)
        file = io.BytesIO()
        soundfile.write(file, audio.waveform.numpy(), audio.rate, "PCM_16", format=self.audio_format.upper())
        return file.getvalue()


def encode_json(values: Mapping[str, Any]) -> bytes:
    """Encode the metadata of a sample.

    Args:
        values: JSON values by name.

    Returns:
        Bytes of one line of JSON in UTF-8, with its line end.
    """
    return (json.dumps(values, ensure_ascii=False) + "\n").encode()

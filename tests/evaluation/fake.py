"""A small set in memory: pictures of coloured squares, each asked with the sound of each of its colours."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from soundspot.types import Audio, AudioVisualDataset, GroundTruth
from soundspot.utils.hash_rng import make_generator

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
NAMES = list(COLOURS)
SIDE = 32
ABSENT = "silence"


@dataclass(frozen=True)
class Squares(AudioVisualDataset):
    """`pictures` pictures with two squares of different colours; items ask for one, then for the other.

    The sound of a colour is a constant that names it. With `silence` each picture is also asked with no sound.
    """

    pictures: int = 6
    silence: bool = False
    name: str = "squares"

    def __len__(self) -> int:
        return self.pictures * self._each

    def id(self, index: int) -> str:
        return f"{self.group(index)}-{index % self._each}"

    def group(self, index: int) -> str:
        return f"picture/{index // self._each}"

    def category(self, index: int) -> str:
        return (*self._colours(index), ABSENT)[index % self._each]

    def read_image(self, index: int) -> Image.Image:
        pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
        for at in (0, 1):
            pixels[self._place(index, at)] = COLOURS[self._colours(index)[at]]
        return Image.fromarray(pixels)

    def read_audio(self, index: int) -> Audio:
        category = self.category(index)
        level = 0.0 if category == ABSENT else (1 + NAMES.index(category)) / 10
        return Audio(torch.full((800,), level), 8000)

    def ground_truth(self, index: int) -> GroundTruth:
        mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        if self.category(index) != ABSENT:
            mask[self._place(index, index % self._each)] = True
        return GroundTruth(SIDE, SIDE, mask=mask, rule="mask", present=bool(mask.any()))

    def at_epoch(self, epoch: int) -> "Squares":
        return self

    @property
    def _each(self) -> int:
        return 3 if self.silence else 2

    def _colours(self, index: int) -> list[str]:
        return [NAMES[k] for k in make_generator("colours", index // self._each).permutation(len(NAMES))[:2]]

    def _place(self, index: int, at: int) -> tuple[slice, slice]:
        y, side = make_generator("place", index // self._each, at).integers((0, 8), (8, 14))
        return slice(y + 2, y + 2 + side), slice(2 + 15 * at, 2 + 15 * at + side)


def heard(sound: Audio) -> Tensor:
    """The colour a sound names, (3,) in [0, 1]; black where it is silent or noise."""
    at = round(float(sound.waveform[0]) * 10) - 1
    return torch.tensor(COLOURS[NAMES[at]] if 0 <= at < len(NAMES) and sound.rate == 8000 else (0, 0, 0)) / 255


def seen(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255


def listener(picture: Image.Image, sound: Audio) -> Tensor:
    """Finds the right square, with its pixels all at one value."""
    colour = heard(sound)
    pixels = seen(picture)
    return ((pixels - colour[:, None, None]).abs().sum(dim=0) < 0.1).float() * colour.max()


def deaf(picture: Image.Image, sound: Audio) -> Tensor:
    """Finds whatever is there."""
    return seen(picture).amax(dim=0)


class Batched:
    """The listener, asked in batches; counts what it encodes."""

    name = "listener"

    def __init__(self) -> None:
        self.pictures = self.sounds = 0

    def encode_images(self, pictures: list[Image.Image]) -> Tensor:
        self.pictures += len(pictures)
        return torch.stack([seen(picture) for picture in pictures])

    def encode_audio(self, sounds: list[Audio]) -> Tensor:
        self.sounds += len(sounds)
        return torch.stack([heard(sound) for sound in sounds])

    def maps(self, image_codes: Tensor, sound_codes: Tensor) -> Tensor:
        far = (image_codes - sound_codes[:, :, None, None]).abs().sum(dim=1)
        return (far < 0.1).float() * sound_codes.amax(dim=1)[:, None, None]

    def saliency(self, image_codes: Tensor) -> Tensor:
        return image_codes.amax(dim=1)

    def embed_audio(self, sounds: list[Audio]) -> Tensor:
        return torch.stack([_unit([float((heard(s) - _colour(name)).norm() < 0.1) for name in NAMES]) for s in sounds])

    def embed_images(self, pictures: list[Image.Image]) -> Tensor:
        return torch.stack([_unit([self._shows(picture, name) for name in NAMES]) for picture in pictures])

    def _shows(self, picture: Image.Image, name: str) -> float:
        return float(((seen(picture) - _colour(name)[:, None, None]).abs().sum(dim=0) < 0.1).any())


def _colour(name: str) -> Tensor:
    return torch.tensor(COLOURS[name]) / 255


def _unit(values: list[float]) -> Tensor:
    vector = torch.tensor(values)
    return vector / vector.norm().clamp(min=1e-6)

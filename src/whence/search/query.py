"""What is asked for, as one vector: a picture's, a sound's, or one between both."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from whence.data.exact import unit_grid
from whence.errors import InputError, RecipeError

Modality = Literal["picture", "sound"]
Kind = Literal["image", "sound", "video"]
KINDS: tuple[Kind, ...] = ("image", "sound", "video")
MODALITIES: tuple[Modality, ...] = ("picture", "sound")


def composed(
    picture: Float[Tensor, " d"] | None, sound: Float[Tensor, " d"] | None, mix: float | int = 0.5
) -> Float[Tensor, " d"]:
    """z = mix v + (1 - mix) a, of unit norm: compositional retrieval, as audio-visual alignment allows it.

    Both vectors are brought to unit norm before they are mixed, so that neither counts for more by its length. In
    float64, on the grid of `whence.data.exact`.

    Args:
        picture, sound: either or both; alone, `mix` does not count.
        mix: lambda, the picture's share, in [0, 1].

    Raises:
        RecipeError: `mix` lies outside. InputError: neither is given, or they point in opposite directions, so that
            nothing is left between them.
    """
    refuse_mix(mix)
    if picture is None and sound is None:
        raise InputError(
            "found neither a picture nor a sound to search by, expected one or both. Give an image or a sound"
        )
    parts = [(mix, picture), (1 - mix, sound)]
    given = [(share, unit_grid(vector[None])[0]) for share, vector in parts if vector is not None]
    if len(given) == 1:
        return given[0][1]
    z = torch.stack([share * vector for share, vector in given]).sum(dim=0)
    if float(z.norm()) < 1e-6:
        raise InputError(
            f"the picture and the sound cancel each other out at a mix of {mix:g}, expected something between them. "
            "Give another mix"
        )
    return unit_grid(z[None])[0]


def refuse_mix(mix: float | int) -> None:
    """Raise RecipeError where `mix` is no share."""
    if not 0 <= mix <= 1:
        raise RecipeError(f"mix: found {mix:g}, expected a number from 0 (the sound alone) to 1 (the picture alone)")


def crossing(picture: bool, sound: bool, kinds: Sequence[str]) -> tuple[Modality, ...]:
    """What a query is compared with where nobody says: what it is not itself, pictures where it is both.

    Cosines within a modality lie higher than across, so to compare with both at once would list sounds for a sound.
    Where only sounds are wanted a query is compared with sounds, and where only pictures are, with pictures.
    """
    if "video" not in kinds and len(set(kinds)) == 1:
        return ("picture",) if "image" in kinds else ("sound",)
    return ("sound",) if picture and not sound else ("picture",)

"""What is asked for, as one vector: a picture's, a sound's, or one between both."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.data.neighbors.exact_knn import normalize_to_grid
from soundspot.errors import InputError, RecipeError

Modality = Literal["picture", "sound"]
FileType = Literal["image", "sound", "video"]
FILE_TYPES: tuple[FileType, ...] = ("image", "sound", "video")
MODALITIES: tuple[Modality, ...] = ("picture", "sound")


def compose_query(
    image: Float[Tensor, " d"] | None, audio: Float[Tensor, " d"] | None, image_weight: float | int = 0.5
) -> Float[Tensor, " d"]:
    """z = mix v + (1 - mix) a, of unit norm: compositional retrieval, as audio-visual alignment allows it.

    Both vectors are brought to unit norm before they are mixed, so that neither counts for more by its length. In
    float64, on the grid of `soundspot.data.neighbors.exact_knn`.

    Args:
        picture, sound: either or both; alone, `mix` does not count.
        mix: lambda, the picture's share, in [0, 1].

    Raises:
        RecipeError: `mix` lies outside. InputError: neither is given, or they point in opposite directions, so that
            nothing is left between them.
    """
    check_image_weight(image_weight)
    if image is None and audio is None:
        raise InputError(
            "found neither a picture nor a sound to search by, expected one or both. Give an image or a sound"
        )
    parts = [(image_weight, image), (1 - image_weight, audio)]
    given = [(share, normalize_to_grid(vector[None])[0]) for share, vector in parts if vector is not None]
    if len(given) == 1:
        return given[0][1]
    z = torch.stack([share * vector for share, vector in given]).sum(dim=0)
    if float(z.norm()) < 1e-6:
        raise InputError(
            f"the picture and the sound cancel each other out at a mix of {image_weight:g}, expected something between them. "
            "Give another mix"
        )
    return normalize_to_grid(z[None])[0]


def check_image_weight(image_weight: float | int) -> None:
    """Raise RecipeError where `mix` is no share."""
    if not 0 <= image_weight <= 1:
        raise RecipeError(
            f"mix: found {image_weight:g}, expected a number from 0 (the sound alone) to 1 (the picture alone)"
        )


def default_modalities(has_image: bool, has_audio: bool, file_types: Sequence[str]) -> tuple[Modality, ...]:
    """What a query is compared with where nobody says: what it is not itself, pictures where it is both.

    Cosines within a modality lie higher than across, so to compare with both at once would list sounds for a sound.
    Where only sounds are wanted a query is compared with sounds, and where only pictures are, with pictures.
    """
    if "video" not in file_types and len(set(file_types)) == 1:
        return ("picture",) if "image" in file_types else ("sound",)
    return ("sound",) if has_image and not has_audio else ("picture",)

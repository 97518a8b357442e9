"""Query vectors of an index: the embedding of an image, of an audio, or a weighted mean of both."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from soundspot.data.media.file_types import FILE_TYPES
from soundspot.data.neighbors.exact_knn import normalize_to_grid
from soundspot.errors import InputError, RecipeError

Modality = Literal["image", "audio"]
MODALITIES: tuple[Modality, ...] = ("image", "audio")


def compose_query(
    image: Float[Tensor, " d"] | None, audio: Float[Tensor, " d"] | None, image_weight: float | int = 0.5
) -> Float64[Tensor, " d"]:
    """Compute the unit-norm query z = w v + (1 - w) a: compositional retrieval in a joint embedding space.

    Both embeddings are scaled to unit norm first, so neither counts for more by its length.

    Args:
        image: (d,) image embedding v; None: the query is the audio alone.
        audio: (d,) audio embedding a; None: the query is the image alone.
        image_weight: w in [0, 1]; without effect when only one embedding is given.

    Returns:
        (d,) float64 unit-norm query, rounded to multiples of 2^-26 (`soundspot.data.neighbors.exact_knn`).

    Raises:
        RecipeError: `image_weight` lies outside [0, 1].
        InputError: neither embedding is given, or they cancel each other out.
    """
    check_image_weight(image_weight)
    if image is None and audio is None:
        raise InputError("found neither an image nor an audio to search by, expected one or both. Give one")
    weighted = [(image_weight, image), (1 - image_weight, audio)]
    units = [(weight, normalize_to_grid(vector[None])[0]) for weight, vector in weighted if vector is not None]
    if len(units) == 1:
        return units[0][1]
    query = torch.stack([weight * unit for weight, unit in units]).sum(dim=0)
    if float(query.norm()) < 1e-6:
        raise InputError(
            f"the image and the audio cancel each other out at an image weight of {image_weight:g}, expected a vector "
            "between them. Give another weight"
        )
    return normalize_to_grid(query[None])[0]


def check_image_weight(image_weight: float | int) -> None:
    """Check the weight of the image in a composed query.

    Args:
        image_weight: weight, expected in [0, 1].

    Raises:
        RecipeError: the weight lies outside [0, 1] or is not a number.
    """
    if not 0 <= image_weight <= 1:
        raise RecipeError(
            f"image_weight: found {image_weight:g}, expected a number from 0 (audio only) to 1 (image only)"
        )


def check_filters(file_types: Sequence[str], modalities: Sequence[str] | None) -> None:
    """Check the file types and modalities to search in.

    Args:
        file_types: file types, expected among `image`, `audio`, `video`, not empty.
        modalities: modalities, expected among `image`, `audio`, not empty; None: not checked.

    Raises:
        RecipeError: a name is unknown, or a sequence is empty.
    """
    for selected, known in ((file_types, FILE_TYPES), (MODALITIES if modalities is None else modalities, MODALITIES)):
        if not selected or not set(selected) <= set(known):
            raise RecipeError(
                f"found {', '.join(selected) or 'nothing'} to search in, expected some of {', '.join(known)}"
            )


def default_modalities(has_image: bool, has_audio: bool, file_types: Sequence[str]) -> tuple[Modality, ...]:
    """Return the modality that a query is compared with by default: across modalities, and images for a mixed query.

    Cosines within a modality lie higher than across, so comparing with both at once would rank audio first for an audio
    query. A search of image files only, or of audio files only, has just one modality to compare with.

    Args:
        has_image: whether the query has an image.
        has_audio: whether the query has an audio.
        file_types: types of the files searched: any of `image`, `audio`, `video`.

    Returns:
        `("image",)` or `("audio",)`.
    """
    if "video" not in file_types and len(set(file_types)) == 1:
        return ("image",) if "image" in file_types else ("audio",)
    return ("audio",) if has_image and not has_audio else ("image",)

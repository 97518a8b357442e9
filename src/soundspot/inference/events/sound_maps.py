"""Maps of several sounds in the same frames, each relative to the others: where one sounds and others do not."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.inference.batch_localizer import BatchLocalizer, Features
from soundspot.inference.refinement import FeaturesWithPrior

DIFFERENT_COSINE = 0.5  # of encoded sounds, below which they are of different things
NEAR = 0.27  # of the longer side of the frame: peaks within it are of one object
BLOCK = 32  # frames whose maps are computed at once: all of a minute together would be held twice
NEAR_SHARE = 0.3  # of frames in which peaks of two sounds are near each other


class SoundMaps:
    """Maps of r sounds in n frames.

    Args:
        localizer: localizer of the frames.
        features: n encoded images, one row each.
        sounds: r encoded sounds.
        size: (height, width) of the frames.
    """

    def __init__(
        self, localizer: BatchLocalizer, features: Sequence[Features], sounds: Sequence[Tensor], size: tuple[int, int]
    ) -> None:
        blocks = [features[start : start + BLOCK] for start in range(0, len(features), BLOCK)]
        self.maps: Float[Tensor, "r n h w"] = torch.cat([_locate(localizer, rows, sounds) for rows in blocks], dim=1)
        directions = F.normalize(localizer.method.pool_audio(torch.stack([*sounds])).float().cpu(), dim=1)
        self._cosines = directions @ directions.T
        self._size = size

    def similarity(self, first: int, second: int) -> float:
        """Return the cosine of two encoded sounds.

        Args:
            first, second: rows.
        """
        return float(self._cosines[first, second])

    def relative(self, row: int, frames: Bool[Tensor, " n"]) -> Float[Tensor, "m h w"]:
        """Return the maps of a sound, less the mean of those of sounds of different things.

        What scores high whatever sounds, the same object again and again, is not where this one is.

        Args:
            row: row of the sound.
            frames: (n,) frames, of which m are chosen.

        Returns:
            (m, h, w) relative scores.
        """
        own = self.maps[row][frames]
        others = [other for other in range(len(self.maps)) if self._cosines[row, other] < DIFFERENT_COSINE]
        return own - self.maps[others][:, frames].mean(dim=0) if others else own

    def is_same_position(self, first: int, second: int, frames: Bool[Tensor, " n"]) -> bool:
        """Return whether two sounds are located at one object.

        Args:
            first, second: rows.
            frames: (n,) frames that are looked at.

        Returns:
            True where peaks are near each other in three tenths of these frames.
        """
        if not bool(frames.any()):
            return False
        positions = [self._peaks(self.relative(row, frames)) for row in (first, second)]
        distances = (positions[0] - positions[1]).norm(dim=1)
        return float((distances < NEAR * max(self._size)).float().mean()) >= NEAR_SHARE

    def _peaks(self, maps: Float[Tensor, "m h w"]) -> Float[Tensor, "m 2"]:
        height, width = maps.shape[1:]
        y, x = np.unravel_index(maps.flatten(1).argmax(dim=1).numpy(), (height, width))
        cells = torch.tensor(np.stack([y / height * self._size[0], x / width * self._size[1]], axis=1))
        return cells.float()


def _locate(
    localizer: BatchLocalizer, features: Sequence[Features], sounds: Sequence[Tensor]
) -> Float[Tensor, "r n h w"]:
    encoded = _concatenate(features)
    return torch.stack([localizer.maps(encoded, sound[None].expand(len(features), *sound.shape)) for sound in sounds])


def _concatenate(features: Sequence[Features]) -> Features:
    tensors = [row for row in features if isinstance(row, Tensor)]
    if tensors:
        return torch.cat(tensors)
    with_prior = [row for row in features if isinstance(row, FeaturesWithPrior)]
    return FeaturesWithPrior(
        torch.cat([row.features for row in with_prior]), torch.cat([row.object_prior for row in with_prior])
    )

"""SSL-TIE: the same sound in the moved picture, and its map moved along.

Liu, Ju, Xie and Zhang, "Exploiting Transformation Invariance and Equivariance for Self-supervised Sound
Localisation", ACM MM 2022.

The idea: a copy of each picture is turned, shrunk and mirrored. The sound belongs to it as much (*invariance*: LVS's
loss on both), and where the sound is must move with the picture (*equivariance*: the map of the moved picture is the
moved map of the picture). Strong augmentation of both modalities does the rest.

**The paper's and the released code's** (jinxiang-liu/SSL-TIE, commit c49e6a94): LVS's encoders, both from scratch,
and its tri-map and constants; 0.5 of each contrastive loss and 1.0 of the mean squared difference of maps, with
gradient to both; one scale (1 or 0.5) and one mirror for a batch, an angle for each picture, whole degrees up to 30
in its scripts and 45 by its parser; the moved picture is encoded after the plain one, so batch norm sees one kind at
a time. A move is `soundspot.losses.equivariance`, the released code's quirks included.

**Differs here.** A picture's own sound is left out of its negatives, where the code multiplies that entry by -99
(see `lvs`); where it is positive the two losses are the same number. A sound is encoded once, where the code encodes
it again beside the moved picture: the same numbers and gradients, but its batch norm's running statistics move once a
step and not twice.

**Ours:** a held-out clip is always moved alike, so that two looks at a loss compare the networks.

**Released weights** (key `state_dict`) carry stems, classifiers and three layers (`vision_fc1`, `conv3`, `norm3`)
that no map depends on; they are dropped by name. `soundspot.import_checkpoint(..., method="ssltie")`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from soundspot.errors import RecipeError
from soundspot.losses.contrastive import info_nce, matched_pair_maps
from soundspot.losses.equivariance import GeometricTransform, apply_transform, equivariance_loss
from soundspot.methods.base import register
from soundspot.methods.lvs_base import LVSBase
from soundspot.methods.option_checks import check_fraction, check_triple
from soundspot.types import Batch


@register("ssltie")
class SSLTIE(LVSBase):
    """SSL-TIE: LVS on pictures and on moved copies of them, and maps that move along.

    Args:
        weights: of the contrastive loss of the pictures, of that of the moved pictures, and of equivariance. With 0
            for the last two no picture is moved, and what is left is LVS.
        angle: most whole degrees that a picture is turned, either way.
        scales: one of them is drawn for a batch.
        flip: probability that a batch is mirrored.
        trimap: as `TriMap` has them, whose defaults are LVS's.
    """

    def __init__(
        self,
        weights: Sequence[float] = (0.5, 0.5, 1.0),
        max_angle: int = 30,
        scales: Sequence[float] = (1.0, 0.5),
        flip_probability: float = 0.5,
        **trimap: Any,
    ) -> None:
        super().__init__(**trimap)
        check_triple("of pictures, of moved pictures, of equivariance", weights=weights)
        check_fraction(flip=flip_probability)
        if max_angle < 0:
            raise RecipeError(f"method.angle: found {max_angle}, expected degrees, 0 or more")
        if not scales or not all(0 < scale <= 1 for scale in scales):
            raise RecipeError(f"method.scales: found {list(scales)}, expected one or more above 0 and up to 1")
        self.weights, self.max_angle, self.scales, self.flip_probability = (
            tuple(weights),
            max_angle,
            tuple(scales),
            flip_probability,
        )

    def draw_transform(self, views: int, index: Int[Tensor, " b"]) -> GeometricTransform:
        """How the pictures of a batch are moved.

        In training from torch's own stream, which the trainer seeds by the step; else by the clips that are shown.
        """
        chance = None if self.training else torch.Generator().manual_seed(int(index.sum()))
        scale = self.scales[int(torch.randint(len(self.scales), (), generator=chance))]
        angles = torch.randint(-self.max_angle, self.max_angle + 1, (views * len(index),), generator=chance)
        return GeometricTransform(
            angles.float(), scale, float(torch.rand((), generator=chance)) < self.flip_probability
        )

    def contrast(
        self, image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"], batch: Batch
    ) -> Float[Tensor, ""]:
        """LVS's loss, summed over the pairs of views."""
        similarity, behind = self.responses(image_features, audio_embeddings)
        return info_nce(similarity, self.tau, batch.false_negatives, hard_negatives=behind)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`contrast`, `contrast_moved` and `equivariance`, each summed over the pairs of views."""
        plain, after, same = self.weights
        grids, vectors = self.encode(batch)
        terms = {"contrast": plain * self.contrast(grids, vectors, batch)}
        if not (after or same):
            return terms
        canvas = (batch.images.shape[-2], batch.images.shape[-1])
        move = self.draw_transform(len(grids), batch.index)
        pictures = apply_transform(batch.images.flatten(0, 1), move, canvas)
        again = self.encode_images(pictures).unflatten(0, grids.shape[:2])
        maps, of_moved = (matched_pair_maps(places, vectors).flatten(0, 1) for places in (grids, again))
        apart = equivariance_loss(maps, of_moved, move, canvas)
        return terms | {
            "contrast_moved": after * self.contrast(again, vectors, batch),
            "equivariance": same * len(grids) * len(vectors) * apart,
        }

"""SSL-TIE: the same audio for the transformed image, and its map transformed along.

Liu, Ju, Xie and Zhang, "Exploiting Transformation Invariance and Equivariance for Self-supervised Sound
Localisation", ACM MM 2022.

The idea: a copy of each image is rotated, shrunk and mirrored. The audio belongs to it as much (*invariance*: LVS's
loss on both), and the source must move with the image (*equivariance*: the map of the transformed image is the
transformed map of the image). Strong augmentation of both modalities does the rest.

**The paper's and the released code's** (jinxiang-liu/SSL-TIE, commit c49e6a94): LVS's encoders, both from scratch,
and its tri-map and constants; 0.5 of each contrastive loss and 1.0 of the mean squared difference of maps, with
gradient to both; one scale (1 or 0.5) and one mirroring for a batch, an angle for each image, whole degrees up to 30
in its scripts and 45 by its parser; the transformed image is encoded after the original, so batch norm sees one kind at
a time. A transformation is `soundspot.losses.equivariance`, the released code's quirks included.

**Differs here.** An image's own audio is left out of its negatives, where the code multiplies that entry by -99
(see `lvs`); where it is positive the two losses are the same number. Audio is encoded once, where the code encodes it
again beside the transformed image: the same numbers and gradients, but its batch norm's running statistics move once a
step and not twice.

**Ours:** a held-out sample is always transformed in the same way, so that two losses of it compare the networks.

**Released weights** (key `state_dict`) carry stems, classifiers and three layers (`vision_fc1`, `conv3`, `norm3`)
that no map depends on; they are dropped by name. `soundspot.import_checkpoint(..., method="ssltie")`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from soundspot.errors import RecipeError
from soundspot.losses.contrastive import matched_pair_maps
from soundspot.losses.equivariance import GeometricTransform, apply_transform, equivariance_loss
from soundspot.methods.base import register
from soundspot.methods.lvs_base import LVSBase
from soundspot.methods.option_checks import check_fraction, check_triple
from soundspot.types import Batch


@register("ssltie")
class SSLTIE(LVSBase):
    """SSL-TIE: LVS on images and on transformed copies of them, and maps that are transformed along.

    Args:
        weights: three weights: of the contrastive loss of the images, of that of the transformed images, and of
            equivariance. With 0 for the last two no image is transformed, and the loss is LVS's.
        max_angle: largest rotation in whole degrees, either way.
        scales: scale factors, above 0 and up to 1, of which one is drawn for each batch.
        flip_probability: probability, in [0, 1], that a batch is mirrored left to right.
        base_options: keyword arguments of `LVSBase`, such as `tau`, both thresholds, `image` and `audio`.
    """

    front_end_preset = "ssltie"

    def __init__(
        self,
        weights: Sequence[float] = (0.5, 0.5, 1.0),
        max_angle: int = 30,
        scales: Sequence[float] = (1.0, 0.5),
        flip_probability: float = 0.5,
        **base_options: Any,
    ) -> None:
        super().__init__(**base_options)
        check_triple("of images, of transformed images, of equivariance", weights=weights)
        check_fraction(flip_probability=flip_probability)
        if max_angle < 0:
            raise RecipeError(f"method.max_angle: found {max_angle}, expected degrees, 0 or more")
        if not scales or not all(0 < scale <= 1 for scale in scales):
            raise RecipeError(f"method.scales: found {list(scales)}, expected one or more above 0 and up to 1")
        self.weights, self.scales = tuple(weights), tuple(scales)
        self.max_angle, self.flip_probability = max_angle, flip_probability
        self.transforms_images = any(self.weights[1:])

    def draw_transform(self, views: int, index: Int[Tensor, " b"]) -> GeometricTransform:
        """Draw the transformation of a batch of images.

        In training mode it is drawn from torch's global generator; in evaluation mode from a generator seeded with the
        sum of `index`, so that it is always the same for a batch.

        Args:
            views: number of image views.
            index: (b,) int64 positions of the samples in their data set.

        Returns:
            Transformation with views * b angles in whole degrees, uniform from -`max_angle` to `max_angle`, and one
            scale and one mirroring for the batch.
        """
        generator = None if self.training else torch.Generator().manual_seed(int(index.sum()))
        scale = self.scales[int(torch.randint(len(self.scales), (), generator=generator))]
        angles = torch.randint(-self.max_angle, self.max_angle + 1, (views * len(index),), generator=generator)
        flip = float(torch.rand((), generator=generator)) < self.flip_probability
        return GeometricTransform(angles.float(), scale, flip)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `contrast`, `contrast_transformed` and `equivariance`, each summed over the pairs of views.

        Contrastive terms are means over samples, `equivariance` is a mean over samples and locations. If its weight and
        that of the transformed images are 0, only `contrast` is computed.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). Pairs in
                `false_negatives` are left out of the denominator. `index` seeds the transformation outside training.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.
        """
        original_weight, transformed_weight, equivariance_weight = self.weights
        features, embeddings = self.encode(batch)
        terms = {"contrast": original_weight * self.contrast(features, embeddings, batch)}
        if not (transformed_weight or equivariance_weight):
            return terms
        canvas = (batch.images.shape[-2], batch.images.shape[-1])
        transform = self.draw_transform(len(features), batch.index)
        images = apply_transform(batch.images.flatten(0, 1), transform, canvas)
        transformed = self.encode_images(images).unflatten(0, features.shape[:2])
        maps, transformed_maps = (matched_pair_maps(f, embeddings).flatten(0, 1) for f in (features, transformed))
        difference = equivariance_loss(maps, transformed_maps, transform, canvas)
        return terms | {
            "contrast_transformed": transformed_weight * self.contrast(transformed, embeddings, batch),
            "equivariance": equivariance_weight * len(features) * len(embeddings) * difference,
        }

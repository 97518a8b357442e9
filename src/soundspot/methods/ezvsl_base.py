"""Base of EZ-VSL and its descendants: both modalities projected to one space, images scored by their locations.

`ezvsl`, `marginnce` and `fnac` change its defaults or add terms; their files say which.
"""

from typing import Any, get_args

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from soundspot.config.upsampling import Upsampling
from soundspot.losses.contrastive import Reducer, info_nce, map_similarity, unit_norm
from soundspot.methods.base import Method
from soundspot.methods.option_checks import check_choice, check_fraction, check_positive
from soundspot.models.heads import JointProjection, max_pool
from soundspot.types import Batch


class EZVSLBase(Method):
    """Linear projections to a joint space, and InfoNCE of the best-matching location of each image.

    Args:
        tau: temperature.
        width: of the joint space.
        reducer: over locations: `max` as published; `mean`, `softmax` (with `sharpness`), `trimap`.
        sharpness: inverse temperature of the reducer `softmax`.
        dropout: fraction of the image features dropped before the projection.
        margin: subtracted from the positive's cosine before the temperature; below 0 it favors the positive.
        symmetric: contrast from audio to images too.
        false_negatives_as_positives: pairs in `Batch.false_negatives` are positives; else they are only no negatives.
        encoders: `image`, `audio` and `front_end` of `Method`.
    """

    front_end_preset = release = "ezvsl"
    upsampling = Upsampling("bilinear-aligned")
    stride32 = True
    has_joint_space = True

    def __init__(
        self,
        tau: float = 0.03,
        width: int = 512,
        reducer: Reducer = "max",
        sharpness: float = 10.0,
        dropout: float = 0.0,
        margin: float = 0.0,
        symmetric: bool = True,
        false_negatives_as_positives: bool = False,
        **encoders: Any,
    ) -> None:
        check_positive(tau=tau, width=width)
        check_fraction(dropout=dropout)
        check_choice(get_args(Reducer), reducer=reducer)
        super().__init__(**encoders)
        self.tau, self.reducer, self.sharpness, self.dropout = tau, reducer, sharpness, dropout
        self.margin, self.symmetric, self.false_negatives_as_positives = margin, symmetric, false_negatives_as_positives
        self.space = JointProjection(self.image_encoder.channels, self.audio_encoder.channels, width)

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Encode images.

        Args:
            images: (b, 3, H, W) normalized.

        Returns:
            (b, c, h, w) encoded images.
        """
        features = F.dropout(self.image_encoder(images), self.dropout, self.training)
        return unit_norm(self.space.image(features), dim=1)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """Encode audio.

        Args:
            audio: (b, 1, f, t) spectrograms.

        Returns:
            (b, c) encoded audio.
        """
        return unit_norm(self.space.audio(max_pool(self.audio_encoder(audio))))

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `contrast`, summed over the pairs of views.

        Args:
            batch: views of images and audio, with the labels that there are.

        Returns:
            Term name -> scalar, already weighted.
        """
        return {"contrast": self.contrast(*self.encode(batch), batch)}

    def contrast(
        self, image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"], batch: Batch
    ) -> Float[Tensor, ""]:
        """Compute the multiple-instance InfoNCE (EZ-VSL, Eq. 3 and its mirror image).

        Args:
            image_features: (v, b, c, h, w) of unit norm.
            audio_embeddings: (u, b, c) of unit norm.
            batch: with its likely false negatives.

        Returns:
            Scalar, summed over the pairs of views.
        """
        similarity = map_similarity(image_features, audio_embeddings, self.reducer, self.sharpness)
        positives = self.false_negatives_as_positives
        return info_nce(similarity, self.tau, batch.false_negatives, positives, self.symmetric, self.margin)

"""What EZ-VSL and its descendants share: both modalities projected to one space, and a picture scored by its places.

`ezvsl`, `marginnce` and `fnac` are this with other defaults or further terms; a file of theirs says which.
"""

from typing import Any, get_args

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from soundspot.config.upsampling import Upsampling
from soundspot.losses.contrastive import Reducer, info_nce, map_similarity, unit_norm
from soundspot.methods.base import Method
from soundspot.methods.option_checks import check_choice, check_fraction, check_positive
from soundspot.models.encoders import output_channels
from soundspot.models.heads import JointProjection, max_pool
from soundspot.types import Batch


class EZVSLBase(Method):
    """One linear layer of each modality to a common space; InfoNCE of a picture's places, by default the best one's.

    Args:
        tau: temperature.
        width: of the space that pictures and sounds are projected to.
        reducer: over places: `max` as published; `mean`, `softmax` (of `sharpness`), `trimap`.
        dropout: share of the picture's features that is dropped before the projection.
        margin: taken off the positive's cosine before the temperature; below 0 it favours the positive.
        symmetric: also from sounds to pictures.
        attract: sounds known to be alike (`Batch.alike`) are positives too; else they are merely no negatives.
        encoders: `image`, `audio` and `front_end`, as every method has them.
    """

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
        self.space = JointProjection(output_channels(self.image_encoder), output_channels(self.audio_encoder), width)

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        grid = F.dropout(self.image_encoder(images), self.dropout, self.training)
        return unit_norm(self.space.image(grid), dim=1)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        return unit_norm(self.space.audio(max_pool(self.audio_encoder(audio))))

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`contrast`, summed over the pairs of views."""
        return {"contrast": self.contrast(*self.encode(batch), batch)}

    def contrast(
        self, image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"], batch: Batch
    ) -> Float[Tensor, ""]:
        """Multiple-instance InfoNCE (EZ-VSL, Eq. 3 and its mirror)."""
        similarity = map_similarity(image_features, audio_embeddings, self.reducer, self.sharpness)
        return info_nce(
            similarity, self.tau, batch.false_negatives, self.false_negatives_as_positives, self.symmetric, self.margin
        )

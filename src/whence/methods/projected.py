"""What EZ-VSL and its descendants share: both modalities projected to one space, and a picture scored by its places.

`ezvsl`, `marginnce` and `fnac` are this with other defaults or further terms; a file of theirs says which.
"""

from typing import Any, get_args

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from whence.losses.contrastive import Reducer, info_nce, place_similarity, unit
from whence.methods.base import Method
from whence.methods.checks import one_of, positive, share
from whence.models.encoders import channels_of
from whence.models.heads import CommonSpace, max_pool
from whence.readout import ReadOut
from whence.types import Batch


class Projected(Method):
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

    readout = ReadOut("bilinear-aligned")
    coarse = True
    projects = True

    def __init__(
        self,
        tau: float = 0.03,
        width: int = 512,
        reducer: Reducer = "max",
        sharpness: float = 10.0,
        dropout: float = 0.0,
        margin: float = 0.0,
        symmetric: bool = True,
        attract: bool = False,
        **encoders: Any,
    ) -> None:
        positive(tau=tau, width=width)
        share(dropout=dropout)
        one_of(get_args(Reducer), reducer=reducer)
        super().__init__(**encoders)
        self.tau, self.reducer, self.sharpness, self.dropout = tau, reducer, sharpness, dropout
        self.margin, self.symmetric, self.attract = margin, symmetric, attract
        self.space = CommonSpace(channels_of(self.image_encoder), channels_of(self.audio_encoder), width)

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        grid = F.dropout(self.image_encoder(images), self.dropout, self.training)
        return unit(self.space.picture(grid), dim=1)

    def encode_sounds(self, sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        return unit(self.space.sound(max_pool(self.audio_encoder(sounds))))

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`contrast`, summed over the pairs of views."""
        return {"contrast": self.contrast(*self.encode(batch), batch)}

    def contrast(
        self, grids: Float[Tensor, "v b c h w"], vectors: Float[Tensor, "u b c"], batch: Batch
    ) -> Float[Tensor, ""]:
        """Multiple-instance InfoNCE (EZ-VSL, Eq. 3 and its mirror)."""
        similarity = place_similarity(grids, vectors, self.reducer, self.sharpness)
        return info_nce(similarity, self.tau, batch.alike, self.attract, self.symmetric, self.margin)

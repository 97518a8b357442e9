"""EZ-VSL: the best place speaks for the picture.

Mo and Morgado, "Localizing Visual Sounds the Easy Way", ECCV 2022.

The idea: a sound comes from somewhere in its picture, nobody knows where, so a picture is a bag of places of which at
least one must fit (multiple-instance learning): it scores as its best place, max_x cos(v_x, a).

**The paper's and the released code's** (stoneMo/EZ-VSL, commit 95ff5bff): ResNet-18 to 7 x 7 cells, the picture's with
ImageNet weights; the spectrogram's largest value of each channel; one linear layer each to 512 numbers; InfoNCE with
tau 0.03 in both directions, *summed* and not averaged; Adam, 1e-4, batch 128, 20 epochs on 144,000 clips, 100 on
10,000; the middle 3 s of sound.

**Differs here.** The code's maps are logits, cosine / 0.03; ours are the cosines, as of every method
(docs/decisions.md). Its object-guided localisation is a prior that hears nothing and no part of the method.

**Released weights** (key `model`): `whence.import_checkpoint(..., method="ezvsl")`.
"""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from whence.frontend import PRESETS, InputSpec
from whence.losses.contrastive import Reducer, info_nce, place_similarity, unit
from whence.methods.base import Method, register
from whence.models.encoders import channels_of, coarse
from whence.models.heads import CommonSpace, max_pool
from whence.readout import ReadOut
from whence.types import Batch


@register("ezvsl")
class EZVSL(Method):
    """EZ-VSL: a picture scores as its best-matching place.

    Args:
        image, audio, front_end: as every method has them; ResNet-18 with 7 x 7 cells by default.
        tau: temperature.
        width: of the space that pictures and sounds are projected to.
        reducer: over places: `max` as published; `mean`, `softmax` (of `sharpness`), `trimap`.
        dropout: share of the picture's features that is dropped before the projection; 0 as published.
        margin: taken off the positive; 0 as published (see `marginnce`).
        symmetric: also from sounds to pictures, as published.
        attract: sounds known to be alike (`Batch.alike`) are positives too; else they are merely no negatives.
    """

    readout = ReadOut("bilinear-aligned")

    def __init__(
        self,
        image: Mapping[str, Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        front_end: InputSpec | None = None,
        tau: float = 0.03,
        width: int = 512,
        reducer: Reducer = "max",
        sharpness: float = 10.0,
        dropout: float = 0.0,
        margin: float = 0.0,
        symmetric: bool = True,
        attract: bool = False,
    ) -> None:
        super().__init__(coarse(image), coarse(audio), front_end or PRESETS[self.name])
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
        """Multiple-instance InfoNCE (Eq. 3 and its mirror)."""
        similarity = place_similarity(grids, vectors, self.reducer, self.sharpness)
        return info_nce(similarity, self.tau, batch.alike, self.attract, self.symmetric, self.margin)

"""SSPL: what a sound attends to in two views of its picture must be the same; there are no negatives.

Song, Wang, Fan, Tan and Zhang, "Self-Supervised Predictive Learning: A Negative-Free Method for Sound Source
Localization in Visual Scenes", CVPR 2022. This is the form without the predictive coding module (PCM).

The idea: negatives are often false. So each of two views of a picture is pooled by the map of the sound, and the two
vectors are brought together as SimSiam does: one, projected and predicted, is the other one projected, which has no
gradient. Were the map to rest on what the views do not share, they would differ.

**The paper's and the released code's** (zjsong/SSPL, commit d1af4c7a, its folder without PCM): VGG-16 up to conv5_3
before its relu, frozen; VGGish, frozen, of three patches of 0.96 s, then 128 -> 512 -> 512 for each and their mean;
places as they are, weighted by the map scaled to [0, 1], summed; SimSiam's head of width 2048, its batch norms over
one view at a time; half of each direction's loss.

**Differs here.** One clip is refused in training, where batch norm has nothing to learn from; the code breaks at it.

**Ours:** encoders that learn, where a recipe names them; a picture given in one view predicts itself.

**Released weights** are three files (`frame_best`, `sound_best`, `ssl_head_best`), read from their folder.
`whence.import_checkpoint(FOLDER, method="sspl")`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from whence.frontend import PRESETS, InputSpec
from whence.losses.contrastive import own_maps, unit
from whence.losses.siamese import attended_sum, simsiam
from whence.methods.base import Method, register
from whence.models.encoders import channels_of, frozen_vgg, frozen_vggish
from whence.models.heads import SimSiam
from whence.types import Batch


@register("sspl")
class SSPL(Method):
    """SSPL without predictive coding: two views that a sound attends to predict each other.

    Args:
        image, audio, front_end: as every method has them; VGG-16 and VGGish, both frozen, by default.
        width: of SimSiam's projection.
    """

    projects = True

    def __init__(
        self,
        image: Mapping[str, Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        front_end: InputSpec | None = None,
        width: int = 2048,
    ) -> None:
        super().__init__(frozen_vgg(image), frozen_vggish(audio), front_end or PRESETS["sspl"])
        seen, heard = channels_of(self.image_encoder), channels_of(self.audio_encoder)
        self.query = nn.Sequential(nn.Linear(heard, seen), nn.ReLU(), nn.Linear(seen, seen))
        self.head = SimSiam(seen, width)

    def hear(self, sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """Mean over a sound's patches of what each asks for; not of unit norm."""
        return self.query(self.audio_encoder(sounds).flatten(2).mT).mean(dim=1)

    def encode_sounds(self, sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        return unit(self.hear(sounds))

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`predict`: of every view of the pictures with every other, summed over the views of the sounds."""
        grids = self.image_encoder(batch.images.flatten(0, 1)).unflatten(0, batch.images.shape[:2])
        queries = self.encode_sounds(batch.sounds.flatten(0, 1)).unflatten(0, batch.sounds.shape[:2])
        maps = own_maps(unit(grids, dim=2), queries).unbind(2)  # for each view of the sounds (v, b, h, w)
        return {"predict": torch.stack([self.predict(attended_sum(grids, one)) for one in maps]).sum()}

    def predict(self, attended: Float[Tensor, "v b c"]) -> Float[Tensor, ""]:
        """SimSiam's loss; each view by itself, as batch norm is to see one at a time."""
        projected, predicted = zip(*(self.head(view) for view in attended), strict=True)
        return simsiam(torch.stack(projected), torch.stack(predicted))

"""What both forms of SSPL share: what a sound attends to in two views of its picture must be the same.

`sspl` attends to the encoder's features, `sspl_pcm` to what predictive coding makes of them; their files say what else.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from whence.losses.contrastive import own_maps, unit
from whence.losses.siamese import attended_sum, simsiam
from whence.methods.base import Method
from whence.methods.checks import positive
from whence.models.encoders import channels_of, frozen
from whence.models.heads import SimSiam
from whence.types import Batch


class Attended(Method):
    """Two views of a picture, each pooled by the map of its sound, predict each other as SimSiam has it.

    Args:
        width: of SimSiam's projection; a multiple of 4.
        encoders: `image`, `audio` and `front_end`, as every method has them; VGG-16 and VGGish, frozen, by default.
    """

    projects = True

    def __init__(self, width: int = 2048, **encoders: Any) -> None:
        positive(width=width)
        super().__init__(**frozen(encoders, image="vgg16", audio="vggish"))
        seen, heard = channels_of(self.image_encoder), channels_of(self.audio_encoder)
        self.query = nn.Sequential(nn.Linear(heard, seen), nn.ReLU(), nn.Linear(seen, seen))
        self.head = SimSiam(seen, width)

    def patches(self, sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b p d"]:
        """What the encoder hears in each patch of a sound (in each cell, of an encoder that has no patches)."""
        return self.audio_encoder(sounds).flatten(2).mT

    def hear(self, patches: Float[Tensor, "b p d"]) -> Float[Tensor, "b c"]:
        """Mean over a sound's patches of what each asks for; not of unit norm."""
        return self.query(patches).mean(dim=1)

    def encode_sounds(self, sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b e"]:
        """What each sound asks for, of unit norm; what follows it is for `heard`."""
        return unit(self.hear(self.patches(sounds)))

    def heard(self, grids: Float[Tensor, "b c h w"], codes: Float[Tensor, "b e"]) -> Float[Tensor, "b c h w"]:
        """The features of each place that a sound of this code attends to, not of unit norm: the encoder's own."""
        return grids

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`predict`: of every view of the pictures with every other, summed over the views of the sounds."""
        grids = self.image_encoder(batch.images.flatten(0, 1)).unflatten(0, batch.images.shape[:2])
        codes = self.encode_sounds(batch.sounds.flatten(0, 1)).unflatten(0, batch.sounds.shape[:2])
        return {"predict": torch.stack([self.predict(grids, code) for code in codes]).sum()}

    def predict(self, grids: Float[Tensor, "v b c h w"], codes: Float[Tensor, "b e"]) -> Float[Tensor, ""]:
        """SimSiam's loss; each view by itself, as batch norms are to see one at a time."""
        seen = torch.stack([self.heard(view, codes) for view in grids])
        maps = own_maps(unit(seen, dim=2), codes[None, :, : seen.shape[2]])[:, :, 0]
        projected, predicted = zip(*(self.head(view) for view in attended_sum(seen, maps)), strict=True)
        return simsiam(torch.stack(projected), torch.stack(predicted))

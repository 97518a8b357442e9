"""What both forms of SSPL share: what a sound attends to in two views of its picture must be the same.

`sspl` attends to the encoder's features, `sspl_pcm` to what predictive coding makes of them; their files say what else.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.losses.contrastive import matched_pair_maps, unit_norm
from soundspot.losses.siamese import attention_weighted_sum, simsiam_loss
from soundspot.methods.base import Method
from soundspot.methods.option_checks import check_positive
from soundspot.models.encoders import freeze_by_default, output_channels
from soundspot.models.heads import SimSiamHead
from soundspot.types import Batch


class SSPLBase(Method):
    """Two views of a picture, each pooled by the map of its sound, predict each other as SimSiam has it.

    Args:
        width: of SimSiam's projection; a multiple of 4.
        encoders: `image`, `audio` and `front_end`, as every method has them; VGG-16 and VGGish, frozen, by default.
    """

    has_joint_space = True

    def __init__(self, width: int = 2048, **encoders: Any) -> None:
        check_positive(width=width)
        super().__init__(**freeze_by_default(encoders, image="vgg16", audio="vggish"))
        seen, heard = output_channels(self.image_encoder), output_channels(self.audio_encoder)
        self.query = nn.Sequential(nn.Linear(heard, seen), nn.ReLU(), nn.Linear(seen, seen))
        self.head = SimSiamHead(seen, width)

    def patch_embeddings(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b p d"]:
        """What the encoder hears in each patch of a sound (in each cell, of an encoder that has no patches)."""
        return self.audio_encoder(audio).flatten(2).mT

    def query_audio(self, patches: Float[Tensor, "b p d"]) -> Float[Tensor, "b c"]:
        """Mean over a sound's patches of what each asks for; not of unit norm."""
        return self.query(patches).mean(dim=1)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b e"]:
        """What each sound asks for, of unit norm; what follows it is for `heard`."""
        return unit_norm(self.query_audio(self.patch_embeddings(audio)))

    def attended_features(
        self, image_features: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b c h w"]:
        """The features of each place that a sound of this code attends to, not of unit norm: the encoder's own."""
        return image_features

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`predict`: of every view of the pictures with every other, summed over the views of the sounds."""
        grids = self.image_encoder(batch.images.flatten(0, 1)).unflatten(0, batch.images.shape[:2])
        codes = self.encode_audio(batch.audio.flatten(0, 1)).unflatten(0, batch.audio.shape[:2])
        return {"predict": torch.stack([self.predictive_loss(grids, code) for code in codes]).sum()}

    def predictive_loss(
        self, image_features: Float[Tensor, "v b c h w"], encoded_audio: Float[Tensor, "b e"]
    ) -> Float[Tensor, ""]:
        """SimSiam's loss; each view by itself, as batch norms are to see one at a time."""
        seen = torch.stack([self.attended_features(view, encoded_audio) for view in image_features])
        maps = matched_pair_maps(unit_norm(seen, dim=2), encoded_audio[None, :, : seen.shape[2]])[:, :, 0]
        projected, predicted = zip(*(self.head(view) for view in attention_weighted_sum(seen, maps)), strict=True)
        return simsiam_loss(torch.stack(projected), torch.stack(predicted))

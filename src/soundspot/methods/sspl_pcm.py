"""SSPL with predictive coding: a picture must predict its sound before the sound attends to it.

Song, Wang, Fan, Tan and Zhang, "Self-Supervised Predictive Learning: A Negative-Free Method for Sound Source
Localization in Visual Scenes", CVPR 2022, in full: `sspl` is the same without the module.

The idea: features of a picture and of a sound come from networks that never met. So the picture's, step by step
coarser, predict the sound's vector; the error runs back up and corrects them; after some cycles they have what they
share. The sound attends to these, in two views of its picture, and there are no negatives, as in `sspl`.

**The paper's and the released code's** (zjsong/SSPL, commit d1af4c7a, folder `sspl_w_pcm`): all of `sspl`; the module
hears the mean of VGGish's vectors over the patches, of unit norm, and not what the sound asks for; a first pass and
four cycles, with batch norms of their own; weight decay for all but its gates; rates of 2e-5, and 5e-5 of SimSiam.

**Differs here.** Any grid of 4 x 4 cells or more, where the code has 14 x 14 written into it. One clip is refused in
training, as in `sspl`.

**Ours:** embeddings of pictures, and what stands out of one, are made where no sound is heard: the module's error is 0.

**Released weights** are four files (those of `sspl`, and `pcm_best`), read from their folder.
`soundspot.import_checkpoint(FOLDER, method="sspl_pcm")`.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.errors import RecipeError
from soundspot.losses.contrastive import unit_norm
from soundspot.methods.base import cosine_map, register
from soundspot.methods.sspl_base import SSPLBase
from soundspot.models.encoders import output_channels
from soundspot.models.heads import mean_pool
from soundspot.models.pcm import PredictiveCoding


@register("sspl_pcm")
class SSPLPCM(SSPLBase):
    """SSPL with predictive coding: two views, corrected by what they fail to predict of a sound, predict each other.

    Codes: of a picture the encoder's features, as they are; of a sound what it asks for and, behind it, what it is,
    each of unit norm. A map runs the module, so it costs more than a cosine.

    Args:
        cycles: of predictive coding, after its first pass; 0: that pass alone.
        attended: as `Attended` has them.
    """

    def __init__(self, cycles: int = 4, **attended: Any) -> None:
        if cycles < 0:
            raise RecipeError(f"method.cycles: found {cycles}, expected 0 or more")
        super().__init__(**attended)
        self.pcm = PredictiveCoding(output_channels(self.image_encoder), output_channels(self.audio_encoder), cycles)

    def attended_features(
        self, image_features: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b c h w"]:
        """Features corrected by what they fail to predict of the sound; not of unit norm."""
        return self.pcm(image_features, encoded_audio[:, image_features.shape[1] :])

    # What a localizer calls.

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        return self.image_encoder(images)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b e"]:
        patches = self.patch_embeddings(audio)
        return torch.cat([unit_norm(self.query_audio(patches)), unit_norm(patches.mean(dim=1))], dim=1)

    def similarity_map(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b h w"]:
        seen = unit_norm(self.attended_features(encoded_images, encoded_audio), dim=1)
        return cosine_map(seen, encoded_audio[:, : seen.shape[1]])

    def saliency(self, encoded_images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        return super().saliency(self.unconditioned_features(encoded_images))

    # What retrieval calls.

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c"]:
        return unit_norm(mean_pool(self.unconditioned_features(self.encode_images(images))))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        return unit_norm(self.query_audio(self.patch_embeddings(audio)))

    def unconditioned_features(self, image_features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Unit-norm features of each place where no sound corrects them."""
        return unit_norm(self.pcm(image_features), dim=1)

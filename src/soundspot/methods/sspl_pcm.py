"""SSPL with predictive coding: an image must predict its audio before the audio attends to it.

Song, Wang, Fan, Tan and Zhang, "Self-Supervised Predictive Learning: A Negative-Free Method for Sound Source
Localization in Visual Scenes", CVPR 2022, in full: `sspl` is the same without the module.

The idea: image and audio features come from networks that were trained apart. So the image's, step by step coarser,
predict the audio embedding; the error runs back up and corrects them; after some cycles they have what both share. The
audio attends to these, in two views of its image, and there are no negatives, as in `sspl`.

**The paper's and the released code's** (zjsong/SSPL, commit d1af4c7a, folder `sspl_w_pcm`): all of `sspl`; the module
gets the mean of VGGish's embeddings over the patches, of unit norm, and not the query; a first pass and four cycles,
with batch norms of their own; weight decay for all but its gates; rates of 2e-5, and 5e-5 of SimSiam.

**Differs here.** Any features of 4 x 4 cells or more, where the code has 14 x 14 written into it. A single sample is
refused in training, as in `sspl`.

**Ours:** image embeddings and saliency are computed without audio: the module's error is 0.

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
from soundspot.models.heads import mean_pool
from soundspot.models.pcm import PredictiveCoding


@register("sspl_pcm")
class SSPLPCM(SSPLBase):
    """SSPL with predictive coding: two views, corrected by their error in predicting the audio, predict each other.

    Encoded images are the encoder's features; encoded audio is its query and, behind it, its embedding, each of unit
    norm. A map runs the module, so it costs more than a cosine.

    Args:
        cycles: number of cycles of predictive coding after its first pass; 0: that pass only.
        base_options: further keyword arguments of `SSPLBase`: `width`, `image`, `audio` and `front_end`.
    """

    def __init__(self, cycles: int = 4, **base_options: Any) -> None:
        if cycles < 0:
            raise RecipeError(f"method.cycles: found {cycles}, expected 0 or more")
        super().__init__(**base_options)
        self.pcm = PredictiveCoding(self.image_encoder.channels, self.audio_encoder.channels, cycles)

    def attended_features(
        self, image_features: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b c h w"]:
        """Return the features corrected by their error in predicting the audio, not of unit norm.

        Args:
            image_features: (b, c, h, w) features of the image encoder, not normalized.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, c, h, w) corrected features.

        Raises:
            RecipeError: the features have fewer than 4 x 4 cells.
        """
        return self.pcm(image_features, encoded_audio[:, image_features.shape[1] :])

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Return the features of the image encoder, not normalized.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, c, h, w) features.
        """
        return self.image_encoder(images)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b e"]:
        """Encode audio as its query, followed by its embedding.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, c + d): the query of c channels and the mean patch embedding of d channels, each of unit L2 norm.
        """
        patches = self.patch_embeddings(audio)
        return torch.cat([unit_norm(self.query_audio(patches)), unit_norm(patches.mean(dim=1))], dim=1)

    def similarity_map(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b h w"]:
        """Compute the map of each image with its own audio.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, h, w) cosines in [-1, 1] of the query with the corrected features.
        """
        features = unit_norm(self.attended_features(encoded_images, encoded_audio), dim=1)
        return cosine_map(features, encoded_audio[:, : features.shape[1]])

    def saliency(self, encoded_images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """Compute a map without audio: 1 minus the cosine of each location with the mean of the image.

        Args:
            encoded_images: output of `encode_images` for b images.

        Returns:
            (b, h, w) maps in [0, 2].
        """
        return super().saliency(self.unconditioned_features(encoded_images))

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c"]:
        """Embed images for retrieval by cosine with `embed_audio`.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d) embeddings of unit L2 norm: the mean of the features corrected without audio.
        """
        return unit_norm(mean_pool(self.unconditioned_features(self.encode_images(images))))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """Embed audio for retrieval by cosine with `embed_images`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) embeddings of unit L2 norm: the mean query of the patches.
        """
        return unit_norm(self.query_audio(self.patch_embeddings(audio)))

    def unconditioned_features(self, image_features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Run predictive coding without audio, whose prediction error is 0, and normalize the features.

        Args:
            image_features: (b, c, h, w) features of the image encoder.

        Returns:
            (b, c, h, w) features of unit L2 norm over c.
        """
        return unit_norm(self.pcm(image_features), dim=1)

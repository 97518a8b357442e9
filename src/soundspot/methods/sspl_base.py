"""Base of both forms of SSPL: the features that audio attends to in two views of its image must predict each other.

`sspl` attends to the encoder's features, `sspl_pcm` to those corrected by predictive coding; their files say what else.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.losses.contrastive import matched_pair_maps, unit_norm
from soundspot.losses.siamese import attention_weighted_sum, simsiam_loss
from soundspot.methods.base import Method
from soundspot.methods.option_checks import check_positive
from soundspot.models.encoders import freeze_by_default
from soundspot.models.heads import SimSiamHead
from soundspot.types import Batch


class SSPLBase(Method):
    """SimSiam of two views of an image, each pooled by the map of its audio.

    Args:
        width: dimension of SimSiam's projection; a multiple of 4.
        encoders: `image`, `audio` and `front_end` of `Method`; encoders are a frozen VGG-16 and
            a frozen VGGish by default.
    """

    front_end_preset = "sspl"
    has_joint_space = True

    def __init__(self, width: int = 2048, **encoders: Any) -> None:
        check_positive(width=width)
        super().__init__(**freeze_by_default(encoders, image="vgg16", audio="vggish"))
        c, d = self.image_encoder.channels, self.audio_encoder.channels
        self.query = nn.Sequential(nn.Linear(d, c), nn.ReLU(), nn.Linear(c, c))
        self.head = SimSiamHead(c, width)

    def patch_embeddings(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b p d"]:
        """Return the embedding of each patch of a spectrogram (of each cell, if the encoder has no patches).

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, p, d) embeddings of p patches, not normalized.
        """
        return self.audio_encoder(audio).flatten(2).mT

    def query_audio(self, patches: Float[Tensor, "b p d"]) -> Float[Tensor, "b c"]:
        """Return the mean query of the patches, not of unit norm.

        Args:
            patches: (b, p, d) embeddings of p patches, from `patch_embeddings`.

        Returns:
            (b, c) queries, in the space of the image features.
        """
        return self.query(patches).mean(dim=1)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b e"]:
        """Return the query of each audio clip, of unit norm; further channels are for `attended_features`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, e): the query of c channels; here e = c.
        """
        return unit_norm(self.query_audio(self.patch_embeddings(audio)))

    def attended_features(
        self, image_features: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b e"]
    ) -> Float[Tensor, "b c h w"]:
        """Return the image features that the audio attends to, not of unit norm; the encoder's own by default.

        Args:
            image_features: (b, c, h, w) features of the image encoder.
            encoded_audio: (b, e) output of `encode_audio`; row i belongs to image i.

        Returns:
            (b, c, h, w) features; here `image_features` unchanged.
        """
        return image_features

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `predict`: each image view predicts every other, mean over these pairs, summed over the audio views.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). Labels and false
                negatives are not used.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.
        """
        features = self.image_encoder(batch.images.flatten(0, 1)).unflatten(0, batch.images.shape[:2])
        queries = self.encode_audio(batch.audio.flatten(0, 1)).unflatten(0, batch.audio.shape[:2])
        return {"predict": torch.stack([self.predictive_loss(features, query) for query in queries]).sum()}

    def predictive_loss(
        self, image_features: Float[Tensor, "v b c h w"], encoded_audio: Float[Tensor, "b e"]
    ) -> Float[Tensor, ""]:
        """Compute SimSiam's loss; views are encoded one at a time, so that batch norm sees one at a time.

        Args:
            image_features: (v, b, c, h, w) features of the image encoder.
            encoded_audio: (b, e) output of `encode_audio` for one audio view.

        Returns:
            Scalar in [-1, 1], minus the mean cosine over samples and ordered pairs of views; a single view predicts
            itself.

        Raises:
            RecipeError: a batch of a single sample in training mode.
        """
        features = torch.stack([self.attended_features(view, encoded_audio) for view in image_features])
        queries = encoded_audio[None, :, : features.shape[2]]
        maps = matched_pair_maps(unit_norm(features, dim=2), queries)[:, :, 0]
        projected, predicted = zip(*(self.head(view) for view in attention_weighted_sum(features, maps)), strict=True)
        return simsiam_loss(torch.stack(projected), torch.stack(predicted))

"""Base of EZ-VSL and its descendants: both modalities projected to one space, images scored by their locations.

`ezvsl`, `marginnce` and `fnac` change its defaults or add terms; their files say which.
"""

import math
from typing import Any, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soundspot.config.upsampling import Upsampling
from soundspot.losses.contrastive import Reducer, info_nce, map_similarity, matched_pair_maps, unit_norm
from soundspot.losses.extents import absence_loss, absence_ranking, extent_loss
from soundspot.losses.negatives import negative_audio_nce
from soundspot.methods.base import Method
from soundspot.methods.option_checks import check_choice, check_fraction, check_not_negative, check_positive
from soundspot.models.heads import JointProjection, max_pool
from soundspot.types import Batch

RANKING_WEIGHT = 0.05  # more of it makes extents of present sounds worse
EXTENT_OFFSET, EXTENT_WIDTH = 0.3, 0.1  # of cosines, where the sigmoid of an extent begins to learn


class EZVSLBase(Method):
    """Linear projections to a joint space, and InfoNCE of the best-matching location of each image.

    Args:
        tau: temperature of InfoNCE.
        width: dimension of the joint space.
        reducer: reduction of a cosine map to the similarity of a pair: `max` as published, `mean`, `softmax` or
            `trimap`.
        sharpness: inverse temperature of the reducer `softmax`; other reducers ignore it.
        dropout: fraction of the image features, in [0, 1], that is dropped before the projection in training.
        audio_dropout: fraction of the audio features that is dropped likewise. Ours.
        margin: number subtracted from the positive's cosine before division by `tau`; below 0 it favors the positive.
        symmetric: add the loss from audio to images to that from images to audio.
        false_negatives_as_positives: treat pairs in `Batch.false_negatives` as positives; if False, they are only left
            out of the denominator.
        ground_truth_weight: weight of the extents of annotated images (`Batch.ground_truth`), which is supervision, and
            of empty maps for negative sounds; 0: neither. Ours.
        encoders: keyword arguments of `Method`: `image`, `audio` (options of the encoders) and `front_end`.
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
        audio_dropout: float = 0.0,
        margin: float = 0.0,
        symmetric: bool = True,
        false_negatives_as_positives: bool = False,
        ground_truth_weight: float = 0.0,
        **encoders: Any,
    ) -> None:
        check_positive(tau=tau, width=width)
        check_fraction(dropout=dropout, audio_dropout=audio_dropout)
        check_choice(get_args(Reducer), reducer=reducer)
        super().__init__(**encoders)
        self.tau, self.reducer, self.sharpness = tau, reducer, sharpness
        self.dropout, self.audio_dropout = dropout, audio_dropout
        self.margin, self.symmetric, self.false_negatives_as_positives = margin, symmetric, false_negatives_as_positives
        self.space = JointProjection(self.image_encoder.channels, self.audio_encoder.channels, width)
        check_not_negative(ground_truth_weight=ground_truth_weight)
        self.ground_truth_weight, self.supports_ground_truth = ground_truth_weight, ground_truth_weight > 0
        if ground_truth_weight:  # the sigmoid that makes an extent of a cosine learns too
            self.extent_offset = nn.Parameter(torch.tensor(EXTENT_OFFSET))
            self.extent_log_width = nn.Parameter(torch.tensor(math.log(EXTENT_WIDTH)))

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Encode images as unit-norm features in the joint space.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, c, h, w) features of unit L2 norm over c = `width`.
        """
        return self.project_images(F.dropout(self.image_encoder(images), self.dropout, self.training))

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """Encode audio as unit-norm embeddings in the joint space.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, c) embeddings of unit L2 norm, with c = `width`.
        """
        return self.project_audio(F.dropout(max_pool(self.audio_encoder(audio)), self.audio_dropout, self.training))

    def project_images(self, features: Float[Tensor, "b e h w"]) -> Float[Tensor, "b c h w"]:
        """Project outputs of the image encoder to the joint space.

        Args:
            features: (b, e, h, w) outputs of the encoder.

        Returns:
            (b, c, h, w) features of unit L2 norm over c = `width`.
        """
        return unit_norm(self.space.image(features), dim=1)

    def project_audio(self, features: Float[Tensor, "b e"]) -> Float[Tensor, "b c"]:
        """Project outputs of the audio encoder to the joint space.

        Args:
            features: (b, e) maxima of the encoder's outputs over time and frequency.

        Returns:
            (b, c) embeddings of unit L2 norm, with c = `width`.
        """
        return unit_norm(self.space.audio(features))

    @property
    def retrieval_layers(self) -> tuple[nn.Linear, nn.Linear] | None:
        """Last layers, for images and audio, of projections for retrieval alone.

        None where there are none: the joint space is that of retrieval too.
        """
        return None

    def hidden_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"] | None:
        """Return the inputs of the first of `retrieval_layers`.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d) inputs; None where there are no such layers.
        """
        return None

    def hidden_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"] | None:
        """Return the inputs of the second of `retrieval_layers`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) inputs; None where there are no such layers.
        """
        return None

    def losses(
        self, batch: Batch, encoded: tuple[Float[Tensor, "v b c h w"], Float[Tensor, "u b c"]] | None = None
    ) -> dict[str, Float[Tensor, ""]]:
        """Compute `contrast` and, with `ground_truth_weight`, `extent`, each summed over the pairs of views.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). Pairs in
                `false_negatives` are left out of the denominator, or are positives with `false_negatives_as_positives`.
                `ground_truth` (v, b, y, x) supervises the maps where images are annotated.
            encoded: result of `encode`, where the batch is encoded already.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.
        """
        features, embeddings = encoded or self.encode(batch)
        contrast = self.contrast(features, embeddings, batch)
        return {"contrast": contrast, **self.extent(features, embeddings, batch)}

    def losses_with_negatives(
        self, batch: Batch, tau: float
    ) -> tuple[dict[str, Float[Tensor, ""]], dict[str, Float[Tensor, ""]]]:
        """Compute `losses` and `negative_losses` of images that are encoded once.

        Args:
            batch: b samples with negatives.
            tau: temperature of the negatives, in units of the maps.

        Returns:
            The terms of each, name -> scalar tensor.
        """
        encoded = self.encode(batch)
        return self.losses(batch, encoded), self.negative_losses(batch, tau, encoded[0][0])

    def extent(
        self, image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"], batch: Batch
    ) -> dict[str, Float[Tensor, ""]]:
        """Compute the loss of the maps' extents in annotated images.

        Args:
            image_features: (v, b, c, h, w) features of unit L2 norm over c.
            audio_embeddings: (u, b, c) embeddings of unit L2 norm.
            batch: batch of which only `ground_truth`, (v, b, y, x) or None, is read.

        Returns:
            `extent`, weighted, mean over annotated images and summed over the pairs of views; empty where the weight is
            0 or no image is annotated.
        """
        if batch.ground_truth is None or not self.ground_truth_weight:
            return {}
        maps = matched_pair_maps(image_features, audio_embeddings).transpose(1, 2)  # (v, u, b, h, w)
        h, w = maps.shape[-2:]
        target = F.adaptive_avg_pool2d(batch.ground_truth, (h, w))[:, None].expand_as(maps)
        loss = extent_loss(maps, target, self.extent_offset, self.extent_log_width.exp())
        return {"extent": self.ground_truth_weight * loss}

    def negative_losses(
        self, batch: Batch, tau: float, encoded_images: Float[Tensor, "b c h w"] | None = None
    ) -> dict[str, Float[Tensor, ""]]:
        """Compute `negatives` and, with `ground_truth_weight`, `absence`: maps of negative sounds show no object.

        Args:
            batch: b samples with negatives.
            tau: temperature, in units of the maps.
            encoded_images: the first view's images, where they are encoded already.

        Returns:
            Dict of term name -> scalar tensor.
        """
        return self.negative_terms(batch, tau, *self.negative_maps(batch, encoded_images))

    def negative_terms(
        self,
        batch: Batch,
        tau: float,
        own: Float[Tensor, "b h w"],
        negatives: Float[Tensor, "k b h w"],
        is_negative: Bool[Tensor, "k b"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Compute the terms of `negative_losses` from maps.

        Args:
            batch: batch of which only `ground_truth`, (v, b, y, x) or None, is read.
            tau: temperature, in units of the maps.
            own: (b, h, w) maps of the first view's images with their own sounds.
            negatives: (k, b, h, w) maps of the same images with k negative sounds each.
            is_negative: (k, b) bool, False where an image has no such negative.

        Returns:
            Dict of term name -> scalar tensor.
        """
        terms = {"negatives": negative_audio_nce(own, negatives, is_negative, tau)}
        if self.ground_truth_weight:
            width = self.extent_log_width.exp()
            loss = absence_loss(negatives, is_negative, self.extent_offset, width)
            if batch.ground_truth is not None:
                h, w = negatives.shape[-2:]
                target = F.adaptive_avg_pool2d(batch.ground_truth[0], (h, w))
                loss = loss + RANKING_WEIGHT * absence_ranking(negatives, is_negative, target, width)
            terms["absence"] = self.ground_truth_weight * loss
        return terms

    def contrast(
        self, image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"], batch: Batch
    ) -> Float[Tensor, ""]:
        """Compute the multiple-instance InfoNCE (EZ-VSL, Eq. 3 and its mirror image).

        Args:
            image_features: (v, b, c, h, w) features of unit L2 norm over c.
            audio_embeddings: (u, b, c) embeddings of unit L2 norm.
            batch: batch of which only `false_negatives`, (m, m) bool or None, is read: these pairs are left out of the
                denominator, and count as positives too with `false_negatives_as_positives`.

        Returns:
            Scalar, mean over samples, summed over the pairs of views; with `symmetric` the sum of both directions.
        """
        similarity = map_similarity(image_features, audio_embeddings, self.reducer, self.sharpness)
        positives = self.false_negatives_as_positives
        return info_nce(similarity, self.tau, batch.false_negatives, positives, self.symmetric, self.margin)

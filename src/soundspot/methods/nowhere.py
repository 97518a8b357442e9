"""Nowhere: one distribution over the locations of an image and *nowhere*. Ours.

The idea: contrast over maxima asks which sound fits an image best, and never how far an object extends or whether the
sound comes from it at all. Here each pair has one softmax over all locations of the image and one outcome more,
*nowhere* (`soundspot.losses.locations`). Where it is known what a scene was composed of, its mass must lie spread over
the object; elsewhere anywhere in the image; and on *nowhere* for the other sounds of the batch, silence, noise and
off-screen sounds. Features of like locations are averaged before (one step of mean shift), so that a map has the
outlines of things rather than those of a network's receptive fields.

With EZ-VSL's projections and a soft maximum, f of an image at x, a of a sound, both of unit norm:

    g(x) = sum_y softmax_y( f(x) . f(y) / bandwidth ) f(y),  map(x) = g(x) . a / |g(x)|
    L = InfoNCE(softmax-weighted mean of map) + KL(annotation || P) - log P(nowhere) of absent pairs + extents

What an image shows as a whole is another question than where a sound comes from: for retrieval, projections learn by
InfoNCE as `alignment`'s do, of what encoders give: frozen ones before their neck, so that the maps stay as they are;
others learn from both. With frozen encoders an embedding is both, the projection and what the maps are made of.

**Supervision:** with `ground_truth_weight` 0, categories or pairs alone, as EZ-VSL; with more, masks of what
scenes were composed of. Reports say which.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soundspot.losses.contrastive import (
    Reducer,
    all_pair_maps,
    embedding_similarity,
    full_precision,
    info_nce,
    unit_norm,
)
from soundspot.losses.locations import location_log_probabilities, location_loss, nowhere_loss
from soundspot.methods.base import register
from soundspot.methods.ezvsl_base import EZVSLBase
from soundspot.methods.option_checks import check_not_negative
from soundspot.models.heads import build_projection, pool_outputs
from soundspot.models.reuse import reuse_outputs
from soundspot.types import Batch
from soundspot.utils.distributed import rank

HIDDEN_WIDTH = 512  # of projections for retrieval
ABSENCE = 0.3  # of cosines, where presence begins to be learned


@full_precision
def mean_shift(features: Float[Tensor, "b c h w"], bandwidth: float) -> Float[Tensor, "b c h w"]:
    """Replace each location's feature by the mean of those like it (Fukunaga and Hostetler, 1975; one step).

    Args:
        features: (b, c, h, w) features of unit L2 norm over c.
        bandwidth: temperature of the softmax over cosines that weighs the others; above 0.

    Returns:
        (b, c, h, w) features of unit L2 norm over c.
    """
    flat = features.flatten(2)
    weights = torch.softmax(torch.einsum("bcx,bcy->bxy", flat, flat) / bandwidth, dim=-1)
    return unit_norm(torch.einsum("bxy,bcy->bcx", weights, flat), dim=1).reshape(features.shape)


def join_embeddings(first: Float[Tensor, "b d1"], second: Float[Tensor, "b d2"]) -> Float[Tensor, "b d"]:
    """Return embeddings whose cosine is the mean of the cosines of two.

    Args:
        first: (b, d1) embeddings of unit L2 norm.
        second: (b, d2) embeddings of unit L2 norm.

    Returns:
        (b, d) embeddings of unit L2 norm, with d = d1 + d2.
    """
    return torch.cat([first, second], dim=1) / math.sqrt(2)


@register("nowhere")
class Nowhere(EZVSLBase):
    """Nowhere: one distribution over all locations of an image and none of them.

    Args:
        tau: temperature of InfoNCE, and of the distribution.
        reducer: reduction of a cosine map to the similarity of a pair in InfoNCE (see `EZVSLBase`).
        weight: weight of the distribution's terms; 0: contrast and extents alone.
        bandwidth: temperature of the mean of like locations; 0: features as they are.
        alignment: learn the projections of `alignment` as well, for retrieval.
        base_options: further keyword arguments of `EZVSLBase`, such as `width`, `ground_truth_weight` and `image`.
    """

    release = ""  # there are none of its weights

    def __init__(
        self,
        tau: float = 0.07,
        reducer: Reducer = "softmax",
        weight: float = 1.0,
        bandwidth: float = 0.1,
        alignment: bool = True,
        **base_options: Any,
    ) -> None:
        check_not_negative(weight=weight, bandwidth=bandwidth)
        super().__init__(tau=tau, reducer=reducer, **base_options)
        self.weight, self.bandwidth, self.alignment = weight, bandwidth, alignment
        self.absence = nn.Parameter(torch.tensor(ABSENCE))
        if alignment:
            width = self.space.image.out_channels
            self.embeds_both = bool(self.image_encoder.frozen_channels and self.audio_encoder.frozen_channels)
            self.p_v, self.p_a = (
                build_projection(x.frozen_channels or x.channels, width, hidden_width=HIDDEN_WIDTH, standardize=True)
                for x in (self.image_encoder, self.audio_encoder)
            )

    def project_images(self, features: Float[Tensor, "b e h w"]) -> Float[Tensor, "b c h w"]:
        """Project outputs of the image encoder to the joint space, each the mean of those like it.

        Args:
            features: (b, e, h, w) outputs of the encoder.

        Returns:
            (b, c, h, w) features of unit L2 norm over c = `width`.
        """
        projected = super().project_images(features)
        return mean_shift(projected, self.bandwidth) if self.bandwidth else projected

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embed images for retrieval by cosine with `embed_audio`.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d) embeddings of unit L2 norm: the projection p_v of `pool_outputs`, beside it with frozen encoders the
            mean of the encoded image over locations, and that alone without `alignment`.
        """
        with reuse_outputs(self):
            if not self.alignment:
                return super().embed_images(images)
            projected = unit_norm(self.p_v(pool_outputs(self.image_encoder, images)))
            return join_embeddings(projected, super().embed_images(images)) if self.embeds_both else projected

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """Embed audio for retrieval by cosine with `embed_images`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) embeddings of unit L2 norm: the projection p_a of `pool_outputs`, beside it with frozen encoders the
            encoded audio, and that alone without `alignment`.
        """
        with reuse_outputs(self):
            if not self.alignment:
                return super().embed_audio(audio)
            projected = unit_norm(self.p_a(pool_outputs(self.audio_encoder, audio)))
            return join_embeddings(projected, super().embed_audio(audio)) if self.embeds_both else projected

    @property
    def retrieval_layers(self) -> tuple[nn.Linear, nn.Linear] | None:
        """Last layers of p_v and p_a; None without `alignment`."""
        return (self.p_v.last_layer, self.p_a.last_layer) if self.alignment else None

    def hidden_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"] | None:
        """Return what the last layer of p_v reads of images.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d) hidden values; None without `alignment`.
        """
        return self.p_v.compute_hidden(pool_outputs(self.image_encoder, images)) if self.alignment else None

    def hidden_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"] | None:
        """Return what the last layer of p_a reads of audio.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) hidden values; None without `alignment`.
        """
        return self.p_a.compute_hidden(pool_outputs(self.audio_encoder, audio)) if self.alignment else None

    def losses(
        self, batch: Batch, encoded: tuple[Float[Tensor, "v b c h w"], Float[Tensor, "u b c"]] | None = None
    ) -> dict[str, Float[Tensor, ""]]:
        """Compute the terms of `EZVSLBase`, `alignment`, `location` of own sounds and `nowhere` of other ones.

        Args:
            batch: v image views and u audio views of b samples. Pairs in `false_negatives` are not told absent.
                `ground_truth` (v, b, y, x) supervises where images are annotated and `ground_truth_weight` is not 0.
            encoded: result of `encode`, where the batch is encoded already.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.

        Raises:
            RecipeError: the batch is a single sample in training mode, and the projections have batch norm.
        """
        with reuse_outputs(self):
            features, embeddings = encoded or self.encode(batch)
            if self.alignment:
                images = pool_outputs(self.image_encoder, batch.images.flatten(0, 1))
                audio = pool_outputs(self.audio_encoder, batch.audio.flatten(0, 1))
        terms = super().losses(batch, (features, embeddings))
        if self.alignment:
            images = unit_norm(self.p_v(images)).unflatten(0, features.shape[:2])
            audio = unit_norm(self.p_a(audio)).unflatten(0, embeddings.shape[:2])
            options = batch.false_negatives, self.false_negatives_as_positives, self.symmetric
            terms["alignment"] = info_nce(embedding_similarity(images, audio), self.tau, *options)
        if not self.weight:
            return terms
        maps = all_pair_maps(features, embeddings)  # (v, u, b, m, p)
        log_locations, log_nowhere = location_log_probabilities(maps, self.absence, self.tau)
        first, (b, m) = rank() * maps.shape[2], maps.shape[2:4]
        own = log_locations[..., first : first + b, :].diagonal(dim1=2, dim2=3).transpose(-1, -2)  # (v, u, b, p)
        target = None
        if batch.ground_truth is not None and self.ground_truth_weight:
            h, w = features.shape[-2:]
            target = F.adaptive_avg_pool2d(batch.ground_truth, (h, w)).flatten(-2)[:, None].expand_as(own)
        is_own = torch.eye(m, dtype=torch.bool, device=maps.device)
        is_present = is_own if batch.false_negatives is None else is_own | batch.false_negatives
        terms["location"] = self.weight * location_loss(own, target)
        terms["nowhere"] = self.weight * nowhere_loss(log_nowhere, ~is_present[first : first + b])
        return terms

    def losses_with_negatives(
        self, batch: Batch, tau: float
    ) -> tuple[dict[str, Float[Tensor, ""]], dict[str, Float[Tensor, ""]]]:
        """Compute `losses` and `negative_losses`; encoders run once.

        Args:
            batch: b samples with negatives.
            tau: temperature of the negatives, in units of the maps.

        Returns:
            The terms of each, name -> scalar tensor.
        """
        with reuse_outputs(self):
            return super().losses_with_negatives(batch, tau)

    def negative_terms(
        self,
        batch: Batch,
        tau: float,
        own: Float[Tensor, "b h w"],
        negatives: Float[Tensor, "k b h w"],
        is_negative: Bool[Tensor, "k b"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Compute the terms of `EZVSLBase`, and `absent`: negative sounds come from nowhere.

        Args:
            batch: batch of which only `ground_truth`, (v, b, y, x) or None, is read.
            tau: temperature, in units of the maps.
            own: (b, h, w) maps of the first view's images with their own sounds.
            negatives: (k, b, h, w) maps of the same images with k negative sounds each.
            is_negative: (k, b) bool, False where an image has no such negative.

        Returns:
            Dict of term name -> scalar tensor.
        """
        terms = super().negative_terms(batch, tau, own, negatives, is_negative)
        if self.weight:
            log_nowhere = location_log_probabilities(negatives.flatten(-2), self.absence, self.tau)[1]
            terms["absent"] = self.weight * nowhere_loss(log_nowhere, is_negative)
        return terms

"""Cross-modal alignment: localize, and agree in meaning.

Senocak, Ryu, Kim, Oh, Pfister and Chung, "Sound Source Localization is All about Cross-Modal Alignment", ICCV 2023;
"Aligning Sight and Sound: Advanced Sound Source Localization Through Audio-Visual Alignment", TPAMI 2025.

The idea: an image and its audio are pulled together twice, at each location (s_L, which makes the maps) and globally
(s_A, which aligns their meaning), over several views of each sample: unaugmented, augmented, and replaced by a semantic
neighbor. Three views of either modality make nine pairs.

**The paper's** (section numbers of TPAMI 2025 v2): s_L(v, a), the mean over locations of cos(v_xy, a); s_A(v, a) =
cos(p_v(avg v), p_a(a)); for each of the nine pairs and both similarities an InfoNCE with tau 0.07 from image to audio
(Eq. 5), summed, not averaged; SimCLR augmentation; a random shift in time; neighbors drawn at random from the k = 1000
nearest of each modality by itself; Adam, 1e-4, 50 epochs. Eq. 4 prints the norm as ||p_a a||; it is read as ||p_a(a)||.

**Ours**, because the paper leaves it open and training code was never released: batch size, schedule and weight decay
(in the recipes); two-layer projections as wide as the features; avg v over features before normalization; a sample is
never its own neighbor; mean over the batch. Options that the paper does not have: the reducer of s_L over locations,
which decides whether the maps localize at all (docs/ablations.md), and the treatment of likely false negatives.

**Released weights** (kaistmm/SSLalignment, `ours_*.pth.tar`) hold the two encoders only, so an imported method has no
projections and its embeddings are pooled features; `soundspot.import_checkpoint(..., method="alignment")`.
"""

from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.losses.contrastive import (
    Reducer,
    cross_view_nce,
    embedding_similarity,
    info_nce,
    map_similarity,
    unit_norm,
)
from soundspot.methods.base import Method, register
from soundspot.methods.option_checks import check_choice, check_positive
from soundspot.models.heads import build_projection, max_pool, mean_pool
from soundspot.types import Batch


@register("alignment")
class Alignment(Method):
    """Cross-modal alignment: localize, and agree in meaning, over nine pairs of views.

    Args:
        tau: temperature of both similarities.
        reducer: reduction of the cosine map to s_L: `mean` (as printed), `max`, `softmax` or `trimap`.
        sharpness: inverse temperature of the reducer `softmax`; other reducers ignore it.
        localization: weight of the `localization` term, of s_L; 0 leaves it out.
        alignment: weight of the `alignment` term, of s_A; 0 leaves it out (table VIII, "without s_A").
        projection_width: output width of p_v and p_a; None: that of the features; 0: no projection (as released).
        projection_depth: number of linear layers of p_v and p_a.
        intra_modal: weight of InfoNCE within each modality (cIoU 40.45 against 39.94 in the paper); 0: none.
        symmetric: add the loss from audio to images to that from images to audio.
        false_negatives_as_positives: treat pairs in `Batch.false_negatives` as positives; if False, they are only left
            out of the denominator.
        encoders: keyword arguments of `Method`: `image`, `audio` (options of the encoders) and `front_end`.
    """

    def __init__(
        self,
        tau: float = 0.07,
        reducer: Reducer = "mean",
        sharpness: float = 10.0,
        localization: float = 1.0,
        alignment: float = 1.0,
        projection_width: int | None = None,
        projection_depth: int = 2,
        intra_modal: float = 0.0,
        symmetric: bool = False,
        false_negatives_as_positives: bool = False,
        **encoders: Any,
    ) -> None:
        check_positive(tau=tau)
        check_choice(get_args(Reducer), reducer=reducer)
        super().__init__(**encoders)
        self.tau, self.reducer, self.sharpness = tau, reducer, sharpness
        self.localization, self.alignment, self.intra_modal = localization, alignment, intra_modal
        self.symmetric, self.false_negatives_as_positives = symmetric, false_negatives_as_positives
        self.p_v: nn.Module | None = None
        self.p_a: nn.Module | None = None
        if projection_width != 0:
            image_width = self.image_encoder.channels
            width = projection_width or image_width
            self.p_v = build_projection(image_width, width, projection_depth)
            self.p_a = build_projection(self.audio_encoder.channels, width, projection_depth)

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embed images for retrieval by cosine with `embed_audio`.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d) embeddings of unit L2 norm: the projection p_v of the features' mean over locations, or that mean
            without projections.
        """
        if self.p_v is None:
            return super().embed_images(images)
        return unit_norm(self.p_v(mean_pool(self.image_encoder(images))))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """Embed audio for retrieval by cosine with `embed_images`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) embeddings of unit L2 norm: the projection p_a of the maximum of each audio channel, or that maximum
            without projections.
        """
        if self.p_a is None:
            return super().embed_audio(audio)
        return unit_norm(self.p_a(max_pool(self.audio_encoder(audio))))

    def contrast(self, similarity: Float[Tensor, "v u b b"], batch: Batch) -> Float[Tensor, ""]:
        """Compute InfoNCE from images to audio, mean over samples and summed over all pairs of views (Eq. 5).

        Args:
            similarity: (v, u, m, m) similarities; entry [v, u, i, j] compares view v of image i with view u of audio j.
                m counts the samples of all processes.
            batch: batch of which only `false_negatives`, (m, m) bool or None, is read: these pairs are left out of the
                denominator, and count as positives too with `false_negatives_as_positives`.

        Returns:
            Scalar; with `symmetric` the loss from audio to images is added.
        """
        return info_nce(similarity, self.tau, batch.false_negatives, self.false_negatives_as_positives, self.symmetric)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `localization` (s_L), `alignment` (s_A) and `intra_modal`, each summed over pairs of views.

        Each is the mean over samples, times its weight; terms of weight 0 are left out.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). Pairs in
                `false_negatives` are left out of the denominator, or are positives with `false_negatives_as_positives`.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.

        Raises:
            RecipeError: the batch is a single sample in training mode, and the projections have batch norm.
        """
        image_views, audio_views = batch.images.shape[0], batch.audio.shape[0]
        features = self.image_encoder(batch.images.flatten(0, 1))
        embeddings = max_pool(self.audio_encoder(batch.audio.flatten(0, 1)))
        terms = {}
        if self.localization:
            similarity = map_similarity(
                unit_norm(features, dim=1).unflatten(0, (image_views, -1)),
                unit_norm(embeddings).unflatten(0, (audio_views, -1)),
                self.reducer,
                self.sharpness,
            )
            terms["localization"] = self.localization * self.contrast(similarity, batch)
        if not (self.alignment or self.intra_modal):
            return terms
        pooled = mean_pool(features)
        images = unit_norm(self.p_v(pooled) if self.p_v else pooled).unflatten(0, (image_views, -1))
        audio = unit_norm(self.p_a(embeddings) if self.p_a else embeddings).unflatten(0, (audio_views, -1))
        if self.alignment:
            terms["alignment"] = self.alignment * self.contrast(embedding_similarity(images, audio), batch)
        if self.intra_modal:
            mask = batch.false_negatives
            options = self.tau, None if mask is None else mask & mask.T, self.false_negatives_as_positives
            within = [cross_view_nce(embeddings, *options) for embeddings in (images, audio)]
            terms["intra_modal"] = self.intra_modal * torch.stack(within).sum()
        return terms

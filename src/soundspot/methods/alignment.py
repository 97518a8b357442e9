"""Cross-modal alignment: localise, and mean the same thing.

Senocak, Ryu, Kim, Oh, Pfister and Chung, "Sound Source Localization is All about Cross-Modal Alignment", ICCV 2023;
"Aligning Sight and Sound: Advanced Sound Source Localization Through Audio-Visual Alignment", TPAMI 2025.

The idea: a picture and its sound are pulled together twice, by their places (s_L, which makes maps) and as wholes (s_A,
which makes them agree in meaning), over several views of each clip: as it is, augmented, and replaced by a semantic
neighbour. Three views of either modality make nine pairs.

**The paper's** (section numbers of TPAMI 2025 v2): s_L(v, a), the mean over places of cos(v_xy, a); s_A(v, a) =
cos(p_v(avg v), p_a(a)); for each of the nine pairs and both similarities an InfoNCE with tau 0.07 from picture to
sounds (Eq. 5), summed, not averaged; SimCLR augmentation; a random shift in time; neighbours drawn at random from the
k = 1000 nearest of each modality by itself; Adam, 1e-4, 50 epochs. Eq. 4 prints the norm as ||p_a a||; it is read as
||p_a(a)||.

**Ours**, because the paper leaves it open and training code was never released: batch size, schedule and weight decay
(in the recipes); two-layer projections as wide as the features; avg v taken over raw features; the clip itself is never
its own neighbour; mean over the batch. Switches for what the paper does not have: the reducer of s_L over places, which
decides whether maps localise at all (docs/ablations.md), and what becomes of likely false negatives.

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
from soundspot.models.encoders import output_channels
from soundspot.models.heads import build_projection, max_pool, mean_pool
from soundspot.types import Batch


@register("alignment")
class Alignment(Method):
    """Cross-modal alignment: localise, and mean the same thing, over nine pairs of views.

    The module's text says what is the paper's and what is ours.

    Args:
        tau: temperature of both similarities.
        reducer: of s_L over places: `mean` (as printed), `max`, `softmax`.
        sharpness: of the reducer `softmax`.
        localisation: weight of the terms of s_L; 0 leaves them out.
        alignment: weight of the terms of s_A; 0 leaves them out (table VIII, "without s_A").
        projection_width: of p_v and p_a; None: as wide as the features; 0: none (an imported release).
        projection_depth: layers of p_v and p_a.
        intra_modal: weight of the extra term inside each modality (40.45 against 39.94 cIoU in the paper); 0: none.
        symmetric: also from sounds to pictures.
        attract: sounds known to be alike (`Batch.alike`) are positives too; else they are merely no negatives.
        encoders: `image`, `audio` and `front_end`, as every method has them.
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
            seen, heard = output_channels(self.image_encoder), output_channels(self.audio_encoder)
            width = projection_width or seen
            self.p_v = build_projection(seen, width, projection_depth)
            self.p_a = build_projection(heard, width, projection_depth)

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        if self.p_v is None:
            return super().embed_images(images)
        return unit_norm(self.p_v(mean_pool(self.image_encoder(images))))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        if self.p_a is None:
            return super().embed_audio(audio)
        return unit_norm(self.p_a(max_pool(self.audio_encoder(audio))))

    def contrast(self, similarity: Float[Tensor, "v u b b"], batch: Batch) -> Float[Tensor, ""]:
        """InfoNCE over every pair of views (Eq. 5)."""
        return info_nce(similarity, self.tau, batch.false_negatives, self.false_negatives_as_positives, self.symmetric)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`localisation` (s_L), `alignment` (s_A) and `intra_modal`, each summed over its pairs of views."""
        views, sound_views = batch.images.shape[0], batch.audio.shape[0]
        grids = self.image_encoder(batch.images.flatten(0, 1))
        vectors = max_pool(self.audio_encoder(batch.audio.flatten(0, 1)))
        terms = {}
        if self.localization:
            similarity = map_similarity(
                unit_norm(grids, dim=1).unflatten(0, (views, -1)),
                unit_norm(vectors).unflatten(0, (sound_views, -1)),
                self.reducer,
                self.sharpness,
            )
            terms["localisation"] = self.localization * self.contrast(similarity, batch)
        if not (self.alignment or self.intra_modal):
            return terms
        pooled = mean_pool(grids)
        pictures = unit_norm(self.p_v(pooled) if self.p_v else pooled).unflatten(0, (views, -1))
        sounds = unit_norm(self.p_a(vectors) if self.p_a else vectors).unflatten(0, (sound_views, -1))
        if self.alignment:
            similarity = embedding_similarity(pictures, sounds)
            terms["alignment"] = self.alignment * self.contrast(similarity, batch)
        if self.intra_modal:
            inside = [
                cross_view_nce(one, self.tau, batch.false_negatives, self.false_negatives_as_positives)
                for one in (pictures, sounds)
            ]
            terms["intra_modal"] = self.intra_modal * torch.stack(inside).sum()
        return terms

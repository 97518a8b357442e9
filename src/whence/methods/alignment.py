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
decides whether maps localise at all (docs/findings.md), and what becomes of likely false negatives.

**Released weights** (kaistmm/SSLalignment, `ours_*.pth.tar`) hold the two encoders only, so an imported method has no
projections and its embeddings are pooled features; `whence.import_checkpoint(..., method="alignment")`.
"""

from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from whence.losses.contrastive import Reducer, between_views, info_nce, place_similarity, unit, vector_similarity
from whence.methods.base import Method, register
from whence.methods.checks import one_of, positive
from whence.models.encoders import channels_of
from whence.models.heads import max_pool, mean_pool, projection
from whence.types import Batch


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
        localisation: float = 1.0,
        alignment: float = 1.0,
        projection_width: int | None = None,
        projection_depth: int = 2,
        intra_modal: float = 0.0,
        symmetric: bool = False,
        attract: bool = False,
        **encoders: Any,
    ) -> None:
        positive(tau=tau)
        one_of(get_args(Reducer), reducer=reducer)
        super().__init__(**encoders)
        self.tau, self.reducer, self.sharpness = tau, reducer, sharpness
        self.localisation, self.alignment, self.intra_modal = localisation, alignment, intra_modal
        self.symmetric, self.attract = symmetric, attract
        self.p_v: nn.Module | None = None
        self.p_a: nn.Module | None = None
        if projection_width != 0:
            seen, heard = channels_of(self.image_encoder), channels_of(self.audio_encoder)
            width = projection_width or seen
            self.p_v = projection(seen, width, projection_depth)
            self.p_a = projection(heard, width, projection_depth)

    def image_embedding(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        if self.p_v is None:
            return super().image_embedding(images)
        return unit(self.p_v(mean_pool(self.image_encoder(images))))

    def sound_embedding(self, sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        if self.p_a is None:
            return super().sound_embedding(sounds)
        return unit(self.p_a(max_pool(self.audio_encoder(sounds))))

    def contrast(self, similarity: Float[Tensor, "v u b b"], batch: Batch) -> Float[Tensor, ""]:
        """InfoNCE over every pair of views (Eq. 5)."""
        return info_nce(similarity, self.tau, batch.alike, self.attract, self.symmetric)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`localisation` (s_L), `alignment` (s_A) and `intra_modal`, each summed over its pairs of views."""
        views, sound_views = batch.images.shape[0], batch.sounds.shape[0]
        grids = self.image_encoder(batch.images.flatten(0, 1))
        vectors = max_pool(self.audio_encoder(batch.sounds.flatten(0, 1)))
        terms = {}
        if self.localisation:
            similarity = place_similarity(
                unit(grids, dim=1).unflatten(0, (views, -1)),
                unit(vectors).unflatten(0, (sound_views, -1)),
                self.reducer,
                self.sharpness,
            )
            terms["localisation"] = self.localisation * self.contrast(similarity, batch)
        if not (self.alignment or self.intra_modal):
            return terms
        pooled = mean_pool(grids)
        pictures = unit(self.p_v(pooled) if self.p_v else pooled).unflatten(0, (views, -1))
        sounds = unit(self.p_a(vectors) if self.p_a else vectors).unflatten(0, (sound_views, -1))
        if self.alignment:
            similarity = vector_similarity(pictures, sounds)
            terms["alignment"] = self.alignment * self.contrast(similarity, batch)
        if self.intra_modal:
            inside = [between_views(one, self.tau, batch.alike, self.attract) for one in (pictures, sounds)]
            terms["intra_modal"] = self.intra_modal * torch.stack(inside).sum()
        return terms

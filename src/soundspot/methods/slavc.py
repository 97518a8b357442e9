"""SLAVC: which sound, and where, are two questions.

Mo and Morgado, "A Closer Look at Weakly-Supervised Audio-Visual Source Localization", NeurIPS 2022.

The idea: EZ-VSL overfits, and scores best long before its training ends. Two remedies: strong regularisation (dropout
of 0.9, targets from a slow copy of the networks), and two projections in place of one, whose answers must agree. At
each place, S1 says *which* of the batch's sounds belongs there (a softmax over sounds); for each pair, S2 says
*where* (a softmax over places). A pair's probability is the sum over places of the product of both.

**The paper's and the released code's** (stoneMo/SLAVC, commit 05b429c6): EZ-VSL's encoders, tau 0.03; pictures
against the slow copy's sounds plus the slow copy's pictures against sounds; the copy's parameters move by 0.001 of
the way *before* each step's losses, its batch-norm statistics are its own, it has no gradient, and its
pictures are dropped too, by draws of its own; Adam, 1e-4, batch
128, 20 epochs; 0.9 is the code's default momentum and 0.999 its recipe's. In both terms the softmaxes and the
cross-entropy run over the *sounds*: the second, too, asks which sound fits each picture. We follow the code.

**Differs here.** The code's maps are logits, the mean of two cosines / 0.03; ours are the mean of the cosines, which
is the cosine of both features set side by side; the protocols `slavc` and `slavc-absolute` divide by 0.03 themselves.

**Released weights** (key `model`) hold networks and copy; the published test scripts read maps from the networks, its
evaluation while training from the copy (`slow_maps`). `soundspot.import_checkpoint(..., method="slavc")`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from soundspot.config.upsampling import Upsampling
from soundspot.losses.contrastive import all_pair_maps, info_nce, unit_norm
from soundspot.losses.maps import joint_log_probability
from soundspot.methods.base import Method, register
from soundspot.methods.option_checks import check_fraction, check_positive
from soundspot.models.encoders import output_channels
from soundspot.models.heads import JointProjection, max_pool
from soundspot.models.momentum import MomentumEncoder
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad, local_pair_mask


@register("slavc")
class SLAVC(Method):
    """SLAVC: which sound and where are asked apart, against a slow copy of the networks.

    Args:
        tau: temperature of both softmaxes.
        width: of either space that pictures and sounds are projected to.
        dropout: share of the picture's features that is dropped before the projections.
        momentum: what the copy keeps of itself at each step.
        slow_maps: maps and embeddings come from the copy.
        encoders: `image`, `audio` and `front_end`, as every method has them.
    """

    upsampling = Upsampling("bicubic-aligned")
    stride32 = True
    has_joint_space = True

    def __init__(
        self,
        tau: float = 0.03,
        width: int = 512,
        dropout: float = 0.9,
        momentum: float = 0.999,
        momentum_maps: bool = False,
        **encoders: Any,
    ) -> None:
        check_positive(tau=tau, width=width)
        check_fraction(dropout=dropout, momentum=momentum)
        super().__init__(**encoders)
        self.tau, self.dropout, self.momentum, self.momentum_maps = tau, dropout, momentum, momentum_maps
        seen, heard = output_channels(self.image_encoder), output_channels(self.audio_encoder)
        self.identification, self.localization = (
            JointProjection(seen, heard, width),
            JointProjection(seen, heard, width),
        )
        self.momentum_encoder = MomentumEncoder(self, "image_encoder", "audio_encoder", "which", "where")

    def image_features(self, nets: Any, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Features of `nets` (this method or its copy): those of `which`, then `where`, together of unit norm."""
        grid = F.dropout(nets.image_encoder(images), self.dropout, self.training)
        return torch.cat([unit_norm(space.picture(grid), dim=1) for space in (nets.which, nets.where)], 1) / 2**0.5

    def audio_features(self, nets: Any, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """Likewise one vector of each sound."""
        pooled = max_pool(nets.audio_encoder(audio))
        return torch.cat([unit_norm(space.sound(pooled)) for space in (nets.which, nets.where)], 1) / 2**0.5

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        return self.image_features(self.momentum_encoder if self.momentum_maps else self, images)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        return self.audio_features(self.momentum_encoder if self.momentum_maps else self, audio)

    def on_train_step_start(self, progress: float) -> None:
        self.momentum_encoder.update(self, self.momentum)

    def contrast(
        self, image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"], batch: Batch
    ) -> Float[Tensor, ""]:
        """Cross-entropy of which sound fits each picture, by the product of which and where."""
        (which, heard_which), (where, heard_where) = (
            (2**0.5 * g, 2**0.5 * a)
            for g, a in zip(image_features.chunk(2, 2), audio_embeddings.chunk(2, 2), strict=True)
        )
        first, second = all_pair_maps(which, heard_which), all_pair_maps(where, heard_where)
        own = local_pair_mask(first.shape[2], first.device)
        rivals = None if batch.false_negatives is None else own | ~batch.false_negatives[own.any(dim=0)]
        logits = all_gather_with_grad(joint_log_probability(first / self.tau, second / self.tau, rivals), 2)
        return info_nce(logits, 1.0, batch.false_negatives)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`pictures` (against the copy's sounds) and `sounds` (with the copy's pictures), over the pairs of views."""
        images, sounds = batch.images.flatten(0, 1), batch.audio.flatten(0, 1)
        views, heard = batch.images.shape[:2], batch.audio.shape[:2]
        with torch.no_grad():
            slow_grids = self.image_features(self.momentum_encoder, images).unflatten(0, views)
            slow_vectors = self.audio_features(self.momentum_encoder, sounds).unflatten(0, heard)
        grids = self.image_features(self, images).unflatten(0, views)
        vectors = self.audio_features(self, sounds).unflatten(0, heard)
        return {
            "pictures": self.contrast(grids, slow_vectors, batch),
            "sounds": self.contrast(slow_grids, vectors, batch),
        }

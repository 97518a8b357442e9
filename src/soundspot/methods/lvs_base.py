"""Base of LVS and its descendants: a tri-map marks locations as foreground, background or neither.

`lvs`, `hardpos`, `heartheflow` and `ssltie` differ in what their losses make of these responses.
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from soundspot.losses.contrastive import all_pair_maps, info_nce
from soundspot.losses.maps import background_mean, foreground_mean
from soundspot.methods.base import Method
from soundspot.methods.option_checks import check_positive
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad, local_diagonal


class LVSBase(Method):
    """Tri-map responses: locations above one cosine are foreground, below another background, others are ignored.

    Args:
        tau: temperature of the logits.
        foreground_threshold: cosine above which a location is foreground.
        background_threshold: cosine below which a location is background.
        sigmoid_width: width, in units of the cosine, of the sigmoids that replace the steps at both thresholds.
        hard_negatives: use the background of an image as a negative of its own audio.
        encoders: keyword arguments of `Method`: `image`, `audio` (options of the encoders) and `front_end`.
    """

    front_end_preset = "lvs"

    def __init__(
        self,
        tau: float = 0.07,
        foreground_threshold: float = 0.65,
        background_threshold: float = 0.4,
        sigmoid_width: float = 0.03,
        hard_negatives: bool = True,
        **encoders: Any,
    ) -> None:
        check_positive(tau=tau, sigmoid_width=sigmoid_width)
        super().__init__(**encoders)
        self.tau, self.sigmoid_width, self.hard_negatives = tau, sigmoid_width, hard_negatives
        self.foreground_threshold, self.background_threshold = foreground_threshold, background_threshold

    def responses(
        self, image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"]
    ) -> tuple[Float[Tensor, "v u m m"], Float[Tensor, "v u m k"] | None]:
        """Return the foreground means of all pairs, and the background means of matching pairs (k = 1).

        Args:
            image_features: (v, b, c, h, w) features of unit L2 norm over c, of this process.
            audio_embeddings: (u, b, c) embeddings of unit L2 norm, of this process.

        Returns:
            (v, u, m, m) mean cosines of the foreground, for the m samples of all processes, and (v, u, m, 1) mean
            cosines of the background, or None without `hard_negatives`.
        """
        maps, background = all_pair_maps(image_features, audio_embeddings), None
        if self.hard_negatives:
            matched = local_diagonal(maps).transpose(-1, -2)
            background = background_mean(matched, self.background_threshold, self.sigmoid_width)[..., None]
            background = all_gather_with_grad(background, 2)
        foreground = foreground_mean(maps, self.foreground_threshold, self.sigmoid_width)
        return all_gather_with_grad(foreground, 2), background

    def contrast(
        self, image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"], batch: Batch
    ) -> Float[Tensor, ""]:
        """Compute InfoNCE of the foreground with hard negatives (LVS, Eq. 7), from images to audio.

        Args:
            image_features: (v, b, c, h, w) features of unit L2 norm over c.
            audio_embeddings: (u, b, c) embeddings of unit L2 norm.
            batch: batch of which only `false_negatives`, (m, m) bool or None, is read: these pairs are left out of the
                denominator.

        Returns:
            Scalar, mean over samples, summed over the pairs of views.
        """
        similarity, background = self.responses(image_features, audio_embeddings)
        return info_nce(similarity, self.tau, batch.false_negatives, hard_negatives=background)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `contrast`, mean over samples and summed over the pairs of views.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). Pairs in
                `false_negatives` are left out of the denominator.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.
        """
        return {"contrast": self.contrast(*self.encode(batch), batch)}

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
        sigmoid_width: width of the sigmoids that stand for both thresholds.
        hard_negatives: the background of an image is a negative of its own audio.
        encoders: `image`, `audio` and `front_end` of `Method`.
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
            image_features: (v, b, c, h, w) of unit norm.
            audio_embeddings: (u, b, c) of unit norm.

        Returns:
            (v, u, m, m) and (v, u, m, 1) mean cosines; None without hard negatives.
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
        """Compute InfoNCE of the foreground with hard negatives (LVS, Eq. 7), summed over the pairs of views.

        Args:
            image_features: (v, b, c, h, w) of unit norm.
            audio_embeddings: (u, b, c) of unit norm.
            batch: with its likely false negatives.

        Returns:
            Scalar.
        """
        similarity, background = self.responses(image_features, audio_embeddings)
        return info_nce(similarity, self.tau, batch.false_negatives, hard_negatives=background)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `contrast`, summed over the pairs of views.

        Args:
            batch: views of images and audio, with the labels that there are.

        Returns:
            Term name -> scalar, already weighted.
        """
        return {"contrast": self.contrast(*self.encode(batch), batch)}

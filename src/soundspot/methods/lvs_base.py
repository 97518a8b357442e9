"""What LVS and its descendants share: the map itself says which of its places sound, and which do not.

`lvs`, `hardpos` and `ssltie` differ in what they make of these responses.
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from soundspot.losses.contrastive import all_pair_maps
from soundspot.losses.maps import background_mean, foreground_mean
from soundspot.methods.base import Method
from soundspot.methods.option_checks import check_positive
from soundspot.utils.distributed import all_gather_with_grad, local_diagonal


class LVSBase(Method):
    """Places above one cosine are foreground, below another background, and those in between are left alone.

    Args:
        tau: temperature of the logits.
        above, below: cosines above the first are foreground, below the second background.
        sharpness: width of the sigmoids at both.
        hard: the picture's own background is a negative (LVS's hard negative; without it, an ablation of it).
        encoders: `image`, `audio` and `front_end`, as every method has them.
    """

    def __init__(
        self,
        tau: float = 0.07,
        foreground_threshold: float = 0.65,
        background_threshold: float = 0.4,
        sigmoid_width: float = 0.03,
        hard_negatives: bool = True,
        **encoders: Any,
    ) -> None:
        check_positive(tau=tau, sharpness=sigmoid_width)
        super().__init__(**encoders)
        self.tau, self.foreground_threshold, self.background_threshold, self.sigmoid_width, self.hard_negatives = (
            tau,
            foreground_threshold,
            background_threshold,
            sigmoid_width,
            hard_negatives,
        )

    def responses(
        self, image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"]
    ) -> tuple[Float[Tensor, "v u m m"], Float[Tensor, "v u m k"] | None]:
        """Foreground of every picture for every sound, and background of each for its own (k is 1)."""
        maps = all_pair_maps(image_features, audio_embeddings)
        own = local_diagonal(maps).transpose(-1, -2)
        behind = (
            all_gather_with_grad(background_mean(own, self.background_threshold, self.sigmoid_width)[..., None], 2)
            if self.hard_negatives
            else None
        )
        return all_gather_with_grad(foreground_mean(maps, self.foreground_threshold, self.sigmoid_width), 2), behind

"""What LVS and its descendants share: the map itself says which of its places sound, and which do not.

`lvs`, `hardpos` and `ssltie` differ in what they make of these responses.
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from whence.losses.contrastive import pair_maps
from whence.losses.maps import background, foreground
from whence.methods.base import Method
from whence.methods.checks import positive
from whence.processes import gathered, own_of


class TriMap(Method):
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
        above: float = 0.65,
        below: float = 0.4,
        sharpness: float = 0.03,
        hard: bool = True,
        **encoders: Any,
    ) -> None:
        positive(tau=tau, sharpness=sharpness)
        super().__init__(**encoders)
        self.tau, self.above, self.below, self.sharpness, self.hard = tau, above, below, sharpness, hard

    def responses(
        self, grids: Float[Tensor, "v b c h w"], vectors: Float[Tensor, "u b c"]
    ) -> tuple[Float[Tensor, "v u m m"], Float[Tensor, "v u m k"] | None]:
        """Foreground of every picture for every sound, and background of each for its own (k is 1)."""
        maps = pair_maps(grids, vectors)
        own = own_of(maps).transpose(-1, -2)
        behind = gathered(background(own, self.below, self.sharpness)[..., None], 2) if self.hard else None
        return gathered(foreground(maps, self.above, self.sharpness), 2), behind

"""LVS: places that surely sound against places that surely do not.

Chen, Xie, Afouras, Nagrani, Vedaldi and Zisserman, "Localizing Visual Sounds the Hard Way", CVPR 2021.

The idea: the map itself says which of its places sound. Those above 0.65 are the positive, those below 0.4 are *hard
negatives* from the same picture, and those in between (a tri-map) are left alone; a picture scores against other
sounds by its foreground for them. Sigmoids of width 0.03 stand for the steps, so that gradients run through the
choice.

**The paper's and the released code's** (hche11/Localizing-Visual-Sounds-the-Hard-Way, commit 8fe8cbbf, tests alone;
SSL-TIE trains the same logits): both ResNets keep stride 1 in the last stage (14 x 14 cells), no projections,
thresholds 0.65 and 0.4, temperature 0.07, from pictures to sounds only; the first 10 s of sound.

**Differs here.** The code takes a picture's own sound out of its negatives by multiplying that entry by -99, which
works only where it is positive: a negative cosine becomes the hardest negative of all. Here it is left out. Where it
is positive the two losses are the same number.

**Ours:** batch size, schedule and length, as no training code was released.

**Released weights** (key `model_state_dict`) carry stems and classifiers that the forward never uses; they are
dropped by name. `whence.import_checkpoint(..., method="lvs")`.
"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from whence.frontend import PRESETS, InputSpec
from whence.losses.contrastive import info_nce, pair_maps
from whence.losses.maps import background, foreground
from whence.methods.base import Method, register
from whence.types import Batch


@register("lvs")
class LVS(Method):
    """LVS: the map's own foreground is pulled to the sound, its background pushed away.

    Args:
        image, audio, front_end: as every method has them; both encoders are ResNet-18 with 14 x 14 cells by default.
        tau: temperature of the logits.
        above, below: cosines above the first are foreground, below the second background.
        sharpness: width of the sigmoids at both.
        hard: the picture's own background is a negative (the paper's hard negative; without it, an ablation of it).
        symmetric: also from sounds to pictures.
        attract: sounds known to be alike (`Batch.alike`) are positives too; else they are merely no negatives.
    """

    def __init__(
        self,
        image: Mapping[str, Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        front_end: InputSpec | None = None,
        tau: float = 0.07,
        above: float = 0.65,
        below: float = 0.4,
        sharpness: float = 0.03,
        hard: bool = True,
        symmetric: bool = False,
        attract: bool = False,
    ) -> None:
        super().__init__(image, audio, front_end or PRESETS[self.name])
        self.tau, self.above, self.below, self.sharpness = tau, above, below, sharpness
        self.hard, self.symmetric, self.attract = hard, symmetric, attract

    def responses(
        self, grids: Float[Tensor, "v b c h w"], vectors: Float[Tensor, "u b c"]
    ) -> tuple[Float[Tensor, "v u b b"], Float[Tensor, "v u b k"] | None]:
        """Foreground of every picture for every sound, and background of each for its own (k is 1)."""
        maps = pair_maps(grids, vectors)
        own = maps.diagonal(dim1=2, dim2=3).transpose(-1, -2)
        behind = background(own, self.below, self.sharpness)[..., None] if self.hard else None
        return foreground(maps, self.above, self.sharpness), behind

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`contrast` (Eq. 7), summed over the pairs of views."""
        similarity, behind = self.responses(*self.encode(batch))
        contrast = info_nce(similarity, self.tau, batch.alike, self.attract, self.symmetric, hard=behind)
        return {"contrast": contrast}

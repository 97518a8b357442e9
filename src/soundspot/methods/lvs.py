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
dropped by name. `soundspot.import_checkpoint(..., method="lvs")`.
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from soundspot.losses.contrastive import info_nce
from soundspot.methods.base import register
from soundspot.methods.lvs_base import LVSBase
from soundspot.types import Batch


@register("lvs")
class LVS(LVSBase):
    """LVS: the map's own foreground is pulled to the sound, its background pushed away.

    Args:
        symmetric: also from sounds to pictures.
        attract: sounds known to be alike (`Batch.alike`) are positives too; else they are merely no negatives.
        trimap: as `TriMap` has them, whose defaults are LVS's.
    """

    def __init__(self, symmetric: bool = False, false_negatives_as_positives: bool = False, **trimap: Any) -> None:
        super().__init__(**trimap)
        self.symmetric, self.false_negatives_as_positives = symmetric, false_negatives_as_positives

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`contrast` (Eq. 7), summed over the pairs of views."""
        similarity, behind = self.responses(*self.encode(batch))
        contrast = info_nce(
            similarity,
            self.tau,
            batch.false_negatives,
            self.false_negatives_as_positives,
            self.symmetric,
            hard_negatives=behind,
        )
        return {"contrast": contrast}

"""FNAC: clips that sound alike are no negatives of each other, and clips that look unlike are.

Sun, Zhang, Wang, Liu, Zhong, Feng, Guo, Zhang and Barnes, "Learning Audio-Visual Source Localization via False
Negative Aware Contrastive Learning", CVPR 2023.

The idea: some negatives of a batch come from the same kind of source. How alike two sounds are, or two pictures, tells
which: the matrix of picture-sound likenesses is drawn towards those of sounds (FNS-1) and of pictures (FNS-2), and the
foregrounds of the pictures are to be as alike as their sounds are (TNS).

**The paper's and the released code's** (OpenNLPLab/FNAC_AVL, commit 0a0ca78a): EZ-VSL with dropout of 0.9 on the
picture's features, and the three terms, weight 100 each, from epoch 5 of 30 on (`warmup`, a share of the run); tau
0.03, Adam 1e-4, weight decay 1e-4, batch 256 as its scripts have it.

**Differs here.** The code's masked bands of spectrograms are a view's here (`views.bands`, in the recipes), with starts
drawn along their own axis unless `published` is asked for. Maps are cosines and not cosine / 0.03, as in `ezvsl`.
Held-out losses have all terms from the first step on, so that early and late checkpoints are compared by one measure.

**Released weights** have the names and shapes of EZ-VSL's; `soundspot.import_checkpoint(..., method="fnac")`.
"""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from soundspot.losses.false_negatives import false_negative_losses
from soundspot.methods.base import register
from soundspot.methods.ezvsl_base import EZVSLBase
from soundspot.methods.option_checks import check_fraction, check_triple
from soundspot.types import Batch


@register("fnac")
class FNAC(EZVSLBase):
    """FNAC: EZ-VSL, and likenesses inside each modality that tell false negatives from true ones.

    Args:
        weights: of FNS-1 (sounds), TNS (foregrounds) and FNS-2 (pictures).
        above: share of a map's range from which a place is foreground.
        warmup: share of the run that is trained by EZ-VSL's loss alone.
        projected: as `Projected` has them; dropout is 0.9.
    """

    def __init__(
        self,
        dropout: float = 0.9,
        weights: Sequence[float] = (100.0, 100.0, 100.0),
        foreground_threshold: float = 0.6,
        warmup: float = 1 / 6,
        **projected: Any,
    ) -> None:
        super().__init__(dropout=dropout, **projected)
        check_fraction(above=foreground_threshold, warmup=warmup)
        check_triple("of FNS-1, TNS and FNS-2", weights=weights)
        self.weights, self.foreground_threshold, self.warmup = tuple(weights), foreground_threshold, warmup
        self.warm = False

    def on_train_step_start(self, progress: float) -> None:
        self.warm = progress < self.warmup

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`contrast`; after the warm-up also `false_negatives_sound`, `true_negatives`, `false_negatives_picture`."""
        grids, vectors = self.encode(batch)
        terms = {"contrast": self.contrast(grids, vectors, batch)}
        if self.training and self.warm:
            return terms
        names = ("false_negatives_sound", "true_negatives", "false_negatives_picture")
        extra = false_negative_losses(grids, vectors, self.tau, self.foreground_threshold)
        return terms | {n: w * term for n, w, term in zip(names, self.weights, extra, strict=True)}

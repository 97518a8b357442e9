"""MarginNCE: a negative margin, so that noisy pairs need not be told apart so sharply.

Park, Senocak and Chung, "MarginNCE: Robust Sound Localization with a Negative Margin", ICASSP 2023.

The idea: pairs that are cut from videos are noisy: some do not fit, and some negatives would. A margin m < 0 taken
off the positive's similarity favours it before the softmax, so a pair counts as told apart already where it is merely
close.

**The paper's:** EZ-VSL's skeleton and best-place similarity with, from pictures to sounds,

    L_i = - log  exp((S_ii - m) / tau) / ( exp((S_ii - m) / tau) + sum_{j != i} exp(S_ij / tau) )

**Guessed**, for no code was released and the facts at hand do not confirm them: m = -0.2, tau = 0.07, one direction
alone, Adam 1e-4, EZ-VSL's front end and 7 x 7 cells. Everything but the margin is EZ-VSL's code.

**Released weights** of the authors, as SSLalignment scores them, have the names and shapes of EZ-VSL's;
`soundspot.import_checkpoint(..., method="marginnce")`.
"""

from typing import Any

from soundspot.methods.base import register
from soundspot.methods.ezvsl_base import EZVSLBase


@register("marginnce")
class MarginNCE(EZVSLBase):
    """MarginNCE: EZ-VSL with a margin below 0 on the positive.

    Args:
        margin: taken off the positive's cosine before the temperature; below 0 it favours the positive (a guess).
        projected: as `Projected` has them; tau and symmetric have other defaults (guesses).
    """

    def __init__(
        self,
        tau: float = 0.07,
        margin: float = -0.2,
        symmetric: bool = False,
        **projected: Any,
    ) -> None:
        super().__init__(tau=tau, margin=margin, symmetric=symmetric, **projected)

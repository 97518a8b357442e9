"""MarginNCE: a negative margin, so that noisy pairs need not be separated so sharply.

Park, Senocak and Chung, "MarginNCE: Robust Sound Localization with a Negative Margin", ICASSP 2023.

The idea: pairs from videos are noisy: some do not match, and some negatives would. A margin m < 0 subtracted from the
positive's similarity favors it before the softmax, so a pair counts as separated already where it is merely close.

**The paper's:** EZ-VSL's skeleton and best-location similarity with, from images to audio,

    L_i = - log  exp((S_ii - m) / tau) / ( exp((S_ii - m) / tau) + sum_{j != i} exp(S_ij / tau) )

**Guessed**, for no code was released and the facts at hand do not confirm them: m = -0.2, tau = 0.07, one direction
only, Adam 1e-4, EZ-VSL's front end and 7 x 7 features. Everything but the margin is EZ-VSL's code.

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
        tau: temperature of InfoNCE (a guess).
        margin: number subtracted from the positive's cosine before division by `tau`; below 0 it favors the positive
            (a guess).
        symmetric: add the loss from audio to images to that from images to audio (a guess).
        base_options: further keyword arguments of `EZVSLBase`, such as `width`, `reducer`, `image` and `audio`.
    """

    def __init__(self, tau: float = 0.07, margin: float = -0.2, symmetric: bool = False, **base_options: Any) -> None:
        super().__init__(tau=tau, margin=margin, symmetric=symmetric, **base_options)

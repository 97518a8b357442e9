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
`whence.import_checkpoint(..., method="marginnce")`.
"""

from collections.abc import Mapping
from typing import Any

from whence.frontend import InputSpec
from whence.losses.contrastive import Reducer
from whence.methods.base import register
from whence.methods.ezvsl import EZVSL


@register("marginnce")
class MarginNCE(EZVSL):
    """MarginNCE: EZ-VSL with a margin below 0 on the positive.

    Args: as EZ-VSL has them, with other defaults (all three of which are guesses).
        margin: taken off the positive's cosine before the temperature; below 0 it favours the positive.
    """

    def __init__(
        self,
        image: Mapping[str, Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        front_end: InputSpec | None = None,
        tau: float = 0.07,
        width: int = 512,
        reducer: Reducer = "max",
        sharpness: float = 10.0,
        dropout: float = 0.0,
        margin: float = -0.2,
        symmetric: bool = False,
        attract: bool = False,
    ) -> None:
        super().__init__(image, audio, front_end, tau, width, reducer, sharpness, dropout, margin, symmetric, attract)

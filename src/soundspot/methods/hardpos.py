"""HardPos: what means the same is a positive too, however unlike it looks.

Senocak, Ryu, Kim and Kweon, "Learning Sound Localization Better from Semantically Similar Samples", ICASSP 2022.

The idea: other clips of the same kind of source are taken for negatives, which is wrong twice: they are pushed away,
and what they could teach is lost. Semantic neighbours of each clip, found beforehand by other encoders, become *hard
positives*: the picture with its neighbour's sound, and the neighbour's picture with the clip's own sound; and they
are taken out of the negatives.

**The paper's**, as far as the facts at hand go: LVS's encoders, tri-map and constants, and a contrastive loss with
the *sum* of the positive responses in the numerator.

**Guessed**, for no code was released: that the responses are taken together inside the exponential, as their *mean*
(`combine: mean`; `odds` sums the exponentials instead). The literal sum of three responses against single negatives
leaves nothing to learn: at tau 0.07 the loss of fresh networks is 1e-7. And guessed: that negatives are those of LVS,
the clip's own background and its own picture's foreground for other sounds; k; LVS's front end, batch, schedule and
length.

**How it is fed.** The neighbours are the views `semantic` of the library (`views.semantic`, `neighbours`): a table of
any encoders, or mined with the model itself, which the paper does not do. `neighbours.alike` takes them out of the
negatives. A batch without a second view has LVS's loss.
"""

from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.losses.contrastive import multi_positive_nce
from soundspot.methods.base import register
from soundspot.methods.lvs_base import LVSBase
from soundspot.methods.option_checks import check_choice
from soundspot.types import Batch

Combine = Literal["mean", "odds"]


@register("hardpos")
class HardPos(LVSBase):
    """HardPos: LVS with semantic neighbours as further positives.

    Args:
        combine: the positives of a clip: the `mean` of their responses, or the sum of their exponentials (`odds`).
        trimap: as `TriMap` has them, whose defaults are LVS's.
    """

    def __init__(self, combine: Combine = "mean", **trimap: Any) -> None:
        super().__init__(**trimap)
        check_choice(get_args(Combine), combine=combine)
        self.combine: Combine = combine

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`contrast`, with the plain view's pairs and every pair of it with another view as positives."""
        similarity, behind = self.responses(*self.encode(batch))
        own = similarity.diagonal(dim1=2, dim2=3)  # (v, u, b)
        positives = torch.cat([own[0], own[1:, 0]])  # the plain view's with every sound, every picture's with the plain
        hard = None if behind is None else behind[0, 0]
        contrast = multi_positive_nce(
            positives.T, similarity[0, 0], self.tau, batch.false_negatives, self.combine == "odds", hard
        )
        return {"contrast": contrast}

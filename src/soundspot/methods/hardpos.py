"""HardPos: samples of the same meaning are positives too, however different they look.

Senocak, Ryu, Kim and Kweon, "Learning Sound Localization Better from Semantically Similar Samples", ICASSP 2022.

The idea: other samples of the same kind of source are taken for negatives, which is wrong twice: they are pushed away,
and what they could teach is lost. Semantic neighbors of each sample, computed beforehand by other encoders, become
*hard positives*: the image with its neighbor's audio, and the neighbor's image with the sample's own audio; and they
are taken out of the negatives.

**The paper's**, as far as the facts at hand go: LVS's encoders, tri-map and constants, and a contrastive loss with the
*sum* of the positive responses in the numerator.

**Guessed**, for no code was released: that the responses are combined inside the exponential, as their *mean*
(`combine: mean`; `odds` sums the exponentials instead). The literal sum of three responses against single negatives
leaves nothing to learn: at tau 0.07 the loss of fresh networks is 1e-7. And guessed: that negatives are those of LVS,
the sample's own background and its own image's foreground for other audio; k; LVS's front end, batch, schedule and
length.

**Input.** The neighbors are the views `semantic` of the library (`views.semantic`, `neighbors`): a table of any
encoders, or mined with the model itself, which the paper does not do. `neighbors.false_negatives_from_neighbors` takes
them out of the negatives. A batch without a second view has LVS's loss.
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
    """HardPos: LVS with semantic neighbors as further positives.

    Args:
        combine: combination of the positives of a sample: `mean` of their responses, or `odds`, the sum of their
            exponentials.
        base_options: keyword arguments of `LVSBase`, such as `tau`, both thresholds, `image` and `audio`.
    """

    def __init__(self, combine: Combine = "mean", **base_options: Any) -> None:
        super().__init__(**base_options)
        check_choice(get_args(Combine), combine=combine)
        self.combine: Combine = combine

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `contrast`; positives are the pairs of the base view, and all pairs of it with another view.

        Negatives are the other audio clips of the base view and, with `hard_negatives`, the image's background. The
        loss is the mean over samples.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). Pairs in
                `false_negatives` are left out of the denominator. View 0 is the base view.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.
        """
        similarity, background = self.responses(*self.encode(batch))
        matched = similarity.diagonal(dim1=2, dim2=3)  # (v, u, b)
        positives = torch.cat([matched[0], matched[1:, 0]])  # base images with all audio, other images with base audio
        contrast = multi_positive_nce(
            positives.T,
            similarity[0, 0],
            self.tau,
            batch.false_negatives,
            sum_exponentials=self.combine == "odds",
            hard_negatives=None if background is None else background[0, 0],
        )
        return {"contrast": contrast}

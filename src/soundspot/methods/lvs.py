"""LVS: locations that surely sound against locations that surely do not.

Chen, Xie, Afouras, Nagrani, Vedaldi and Zisserman, "Localizing Visual Sounds the Hard Way", CVPR 2021.

The idea: the map itself marks its locations. Those above 0.65 are the positive, those below 0.4 are *hard negatives*
from the same image, and those in between (a tri-map) are ignored; an image scores against other audio by its foreground
for it. Sigmoids of width 0.03 stand for the steps, so that gradients run through the choice.

**The paper's and the released code's** (hche11/Localizing-Visual-Sounds-the-Hard-Way, commit 8fe8cbbf, test code only;
SSL-TIE trains the same logits): both ResNets keep stride 1 in the last stage (14 x 14 features), no projections,
thresholds 0.65 and 0.4, temperature 0.07, from images to audio only; the first 10 s of audio.

**Differs here.** The code takes an image's own audio out of its negatives by multiplying that entry by -99, which works
only where it is positive: a negative cosine becomes the hardest negative of all. Here it is left out. Where it is
positive the two losses are the same number.

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
    """LVS: the foreground of the map is pulled to the audio, its background pushed away.

    Args:
        symmetric: add the loss from audio to images to that from images to audio.
        false_negatives_as_positives: treat pairs in `Batch.false_negatives` as positives; if False, they are only left
            out of the denominator.
        base_options: keyword arguments of `LVSBase`, such as `tau`, both thresholds, `image` and `audio`.
    """

    def __init__(
        self, symmetric: bool = False, false_negatives_as_positives: bool = False, **base_options: Any
    ) -> None:
        super().__init__(**base_options)
        self.symmetric, self.false_negatives_as_positives = symmetric, false_negatives_as_positives

    def contrast(
        self, image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"], batch: Batch
    ) -> Float[Tensor, ""]:
        """Compute InfoNCE of the foreground with hard negatives, mean over samples and summed over the pairs of views.

        Args:
            image_features: (v, b, c, h, w) features of unit L2 norm over c.
            audio_embeddings: (u, b, c) embeddings of unit L2 norm.
            batch: batch of which only `false_negatives`, (m, m) bool or None, is read: these pairs are left out of the
                denominator, and count as positives too with `false_negatives_as_positives`.

        Returns:
            Scalar; with `symmetric` the sum of both directions.
        """
        similarity, background = self.responses(image_features, audio_embeddings)
        options = self.false_negatives_as_positives, self.symmetric
        return info_nce(similarity, self.tau, batch.false_negatives, *options, hard_negatives=background)

"""FNAC: similarity within each modality tells false negatives from true ones.

Sun, Zhang, Wang, Liu, Zhong, Feng, Guo, Zhang and Barnes, "Learning Audio-Visual Source Localization via False
Negative Aware Contrastive Learning", CVPR 2023.

The idea: some negatives of a batch come from the same kind of source. The similarity of two audio clips, or of two
images, tells which: the matrix of image-audio similarities is drawn towards that of audio (FNS-1) and that of images
(FNS-2), and the foregrounds of the images are to be as similar as their audio is (TNS).

**The paper's and the released code's** (OpenNLPLab/FNAC_AVL, commit 0a0ca78a): EZ-VSL with dropout of 0.9 on the image
features, and the three terms, weight 100 each, from epoch 5 of 30 on (`warmup`, a fraction of the run); tau 0.03, Adam
1e-4, weight decay 1e-4, batch 256 as in its scripts.

**Differs here.** The code's masked bands of spectrograms are an augmented view here (`views.spec_augment`, in the
recipes), with starts drawn along their own axis unless `published` is chosen. Maps are cosines and not cosine / 0.03,
as in `ezvsl`. Held-out losses have all terms from the first step on, so that checkpoints are compared by one measure.

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
    """FNAC: EZ-VSL, and similarities within each modality that tell false negatives from true ones.

    Args:
        dropout: fraction of the image features, in [0, 1], that is dropped before the projection in training.
        weights: three weights, of FNS-1 (audio), TNS (foregrounds) and FNS-2 (images).
        foreground_threshold: value, in [0, 1], of a min-max normalized map above which a location is foreground.
        warmup: fraction of the training run, in [0, 1], that has EZ-VSL's loss only.
        base_options: further keyword arguments of `EZVSLBase`, such as `width`, `reducer`, `image` and `audio`.
    """

    def __init__(
        self,
        dropout: float = 0.9,
        weights: Sequence[float] = (100.0, 100.0, 100.0),
        foreground_threshold: float = 0.6,
        warmup: float = 1 / 6,
        **base_options: Any,
    ) -> None:
        super().__init__(dropout=dropout, **base_options)
        check_fraction(foreground_threshold=foreground_threshold, warmup=warmup)
        check_triple("of FNS-1, TNS and FNS-2", weights=weights)
        self.weights, self.foreground_threshold, self.warmup = tuple(weights), foreground_threshold, warmup
        self.in_warmup = False

    def on_train_step_start(self, progress: float) -> None:
        """Set `in_warmup`: True while `progress` is below `warmup`.

        Args:
            progress: completed fraction of the training run, in [0, 1].
        """
        self.in_warmup = progress < self.warmup

    def losses(
        self, batch: Batch, encoded: tuple[Float[Tensor, "v b c h w"], Float[Tensor, "u b c"]] | None = None
    ) -> dict[str, Float[Tensor, ""]]:
        """Compute `contrast`, and `extent` as the base does; after warm-up also three terms.

        They are `false_negatives_audio`, `true_negatives` and `false_negatives_image`.

        In evaluation mode all four are computed, whatever the progress. Each is summed over the pairs of views.

        Args:
            batch: b samples. Pairs in `false_negatives` are left out of the denominator of `contrast`.
            encoded: result of `encode`, where the batch is encoded already.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.
        """
        features, embeddings = encoded = encoded or self.encode(batch)
        terms = super().losses(batch, encoded)
        if self.training and self.in_warmup:
            return terms
        names = ("false_negatives_audio", "true_negatives", "false_negatives_image")
        extra = false_negative_losses(features, embeddings, self.tau, self.foreground_threshold)
        return terms | {n: w * term for n, w, term in zip(names, self.weights, extra, strict=True)}

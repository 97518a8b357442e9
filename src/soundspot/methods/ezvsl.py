"""EZ-VSL: the best place speaks for the picture.

Mo and Morgado, "Localizing Visual Sounds the Easy Way", ECCV 2022.

The idea: a sound comes from somewhere in its picture, nobody knows where, so a picture is a bag of places of which at
least one must fit (multiple-instance learning): it scores as its best place, max_x cos(v_x, a).

**The paper's and the released code's** (stoneMo/EZ-VSL, commit 95ff5bff): ResNet-18 to 7 x 7 cells, the picture's with
ImageNet weights; the spectrogram's largest value of each channel; one linear layer each to 512 numbers; InfoNCE with
tau 0.03 in both directions, *summed* and not averaged; Adam, 1e-4, batch 128, 20 epochs on 144,000 clips, 100 on
10,000; the middle 3 s of sound.

**Differs here.** The code's maps are logits, cosine / 0.03; ours are the cosines, as of every method
(docs/decisions.md). Its object-guided localisation is a prior that hears nothing and no part of the method.

**Released weights** (key `model`): `soundspot.import_checkpoint(..., method="ezvsl")`.
"""

from soundspot.methods.base import register
from soundspot.methods.ezvsl_base import EZVSLBase


@register("ezvsl")
class EZVSL(EZVSLBase):
    """EZ-VSL: a picture scores as its best-matching place.

    Args: as `Projected` has them, whose defaults are EZ-VSL's.
    """

"""EZ-VSL: the best location speaks for the image.

Mo and Morgado, "Localizing Visual Sounds the Easy Way", ECCV 2022.

The idea: a sound comes from some unknown location of its image, so an image is a bag of locations of which at least one
matches (multiple-instance learning): it scores as its best location, max_x cos(v_x, a).

**The paper's and the released code's** (stoneMo/EZ-VSL, commit 95ff5bff): ResNet-18 to 7 x 7 features, with ImageNet
weights for images; the maximum of each audio channel over the spectrogram; one linear layer each to 512 channels;
InfoNCE with tau 0.03 in both directions, *summed* and not averaged; Adam, 1e-4, batch 128, 20 epochs on 144,000
samples, 100 on 10,000; the middle 3 s of audio.

**Differs here.** The code's maps are logits, cosine / 0.03; ours are the cosines, as of every method
(docs/decisions.md). Its object-guided localization is a sound-blind prior and no part of the method.

**Released weights** (key `model`): `soundspot.import_checkpoint(..., method="ezvsl")`.
"""

from soundspot.methods.base import register
from soundspot.methods.ezvsl_base import EZVSLBase


@register("ezvsl")
class EZVSL(EZVSLBase):
    """EZ-VSL: an image scores as its best-matching location.

    It takes the keyword arguments of `EZVSLBase` with their defaults, such as `tau` (0.03), `width` (512), `reducer`
    (`max`) and `symmetric` (True), and `image`, `audio` and `front_end` of `Method`.
    """

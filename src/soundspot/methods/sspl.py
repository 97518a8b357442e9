"""SSPL: the features that audio attends to in two views of its image must agree; there are no negatives.

Song, Wang, Fan, Tan and Zhang, "Self-Supervised Predictive Learning: A Negative-Free Method for Sound Source
Localization in Visual Scenes", CVPR 2022. This is the form without the predictive coding module (PCM).

The idea: negatives are often false. So each of two views of an image is pooled by the map of the audio, and the two
vectors are brought together as in SimSiam: one, projected and predicted, is the other one projected, which has no
gradient. Were the map to rest on what the views do not share, they would differ.

**The paper's and the released code's** (zjsong/SSPL, commit d1af4c7a, its folder without PCM): VGG-16 up to conv5_3
before its relu, frozen; VGGish, frozen, of three patches of 0.96 s, then 128 -> 512 -> 512 for each and their mean;
features without normalization, weighted by the map scaled to [0, 1], summed; SimSiam's head of width 2048, its batch
norms over one view at a time; half of each direction's loss.

**Differs here.** A single sample is refused in training, where batch norm has nothing to learn from; the code fails.

**Ours:** encoders that learn, where a recipe names them; an image with a single view predicts itself.

**Released weights** are three files (`frame_best`, `sound_best`, `ssl_head_best`), read from their folder.
`soundspot.import_checkpoint(FOLDER, method="sspl")`.
"""

from soundspot.methods.base import register
from soundspot.methods.sspl_base import SSPLBase


@register("sspl")
class SSPL(SSPLBase):
    """SSPL without predictive coding: two views that audio attends to predict each other.

    It takes the keyword arguments of `SSPLBase`: `width` (2048) of SimSiam's projection, and `image`, `audio` and
    `front_end` of `Method`.
    """

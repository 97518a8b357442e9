"""Options that several commands share."""

from typing_extensions import TypedDict


class RefinementOptions(TypedDict, total=False):
    """Refinement of maps by a map that does not depend on the sound (off by default).

    Args:
        refine: mix maps with `iqr` (joint_slots), `ogl`, or `iqr,ogl`, which are sound-blind; results note it.
        alpha: weight of the sound's map in the mixture (0.4).
        prior: weights of the classifier of `ogl`: `imagenet` (fetched; the default) or a file of ResNet-18.
    """

    refine: str
    alpha: float
    prior: str

"""The options of commands whose maps can be refined."""

from typing_extensions import TypedDict


class RefinementOptions(TypedDict, total=False):
    """Maps mixed with one that heard nothing (off by default).

    Args:
        refine: mix maps with `iqr` (joint_slots), `ogl`, or `iqr,ogl`, which hear nothing; the result says so.
        alpha: weight of the sound's map in that (0.4).
        prior: weights of the classifier behind `ogl`: `imagenet` (fetched; the default) or a file of ResNet-18.
    """

    refine: str
    alpha: float
    prior: str

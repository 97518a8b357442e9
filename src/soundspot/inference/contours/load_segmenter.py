"""Segmenters by name."""

from collections.abc import Callable
from functools import cache

from soundspot.errors import RecipeError, did_you_mean
from soundspot.inference.contours.segmenters import GrabCutSegmenter, Segmenter
from soundspot.utils.device import resolve_device


def _load_sam2(weights: str, device: str) -> Segmenter:
    from soundspot.inference.contours.sam2 import DEFAULT_NAME, Sam2Segmenter

    return Sam2Segmenter(weights or DEFAULT_NAME, device=str(resolve_device(device)))


# Name -> function that takes what follows a colon, such as the name of weights, and the device.
SEGMENTERS: dict[str, Callable[[str, str], Segmenter]] = {
    "grabcut": lambda *_: GrabCutSegmenter(),
    "sam2": _load_sam2,
}


@cache
def load_segmenter(name: str = "grabcut", device: str = "auto") -> Segmenter:
    """Load a segmenter by name, once.

    Args:
        name: `grabcut`, `sam2`, or `sam2:WEIGHTS` for weights of another name on the hub, or in a folder.
        device: device of a network, such as `cuda`; `auto`: the best of this machine.

    Returns:
        The segmenter.

    Raises:
        RecipeError: there is no such segmenter.
        InputError: what it needs is not installed, or there are no such weights.
    """
    kind, weights = parse_segmenter(name)
    return SEGMENTERS[kind](weights, device)


def parse_segmenter(name: str) -> tuple[str, str]:
    """Parse the name of a segmenter; nothing is loaded.

    Args:
        name: `grabcut`, `sam2`, or `sam2:WEIGHTS`.

    Returns:
        Kind, and name of its weights; empty for the default ones.

    Raises:
        RecipeError: there is no such segmenter.
    """
    kind, _, weights = name.partition(":")
    if kind not in SEGMENTERS or (weights and kind != "sam2"):
        raise RecipeError(f"unknown segmenter {name!r}{did_you_mean(name, SEGMENTERS)}")
    return kind, weights

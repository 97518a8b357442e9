"""Methods by name: `create("alignment")` builds one, `methods()` lists them."""

import inspect
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from soundspot.config.frontend import InputSpec
from soundspot.errors import RecipeError, did_you_mean
from soundspot.methods.alignment import Alignment
from soundspot.methods.attention10k import Attention10k
from soundspot.methods.base import METHODS, Method, register
from soundspot.methods.coarsetofine import CoarseToFine
from soundspot.methods.dmc import DMC
from soundspot.methods.dsol import DSOL
from soundspot.methods.ezvsl import EZVSL
from soundspot.methods.fnac import FNAC
from soundspot.methods.hardpos import HardPos
from soundspot.methods.heartheflow import HearTheFlow
from soundspot.methods.joint_slots import JointSlots
from soundspot.methods.lcbm import LCBM
from soundspot.methods.lvs import LVS
from soundspot.methods.marginnce import MarginNCE
from soundspot.methods.slavc import SLAVC
from soundspot.methods.ssltie import SSLTIE
from soundspot.methods.sspl import SSPL
from soundspot.methods.sspl_pcm import SSPLPCM
from soundspot.models.encoders import resolved_options

__all__ = [
    "DMC",
    "DSOL",
    "EZVSL",
    "FNAC",
    "LCBM",
    "LVS",
    "METHODS",
    "SLAVC",
    "SSLTIE",
    "SSPL",
    "SSPLPCM",
    "Alignment",
    "Attention10k",
    "CoarseToFine",
    "HardPos",
    "HearTheFlow",
    "JointSlots",
    "MarginNCE",
    "Method",
    "create",
    "list_methods",
    "register",
]


def create(
    name: str,
    image: Mapping[str, Any] | None = None,
    audio: Mapping[str, Any] | None = None,
    front_end: InputSpec | None = None,
    **options: Any,
) -> Method:
    """A method with fresh weights (or those that `image`/`audio` name for their encoders).

    Args:
        name: one of `methods()`.
        image, audio: encoder options, `{"encoder": "resnet18", "weights": "imagenet"}`.
        front_end: what pictures and sounds are turned into first; None: the method's own.
        options: the method's own (`tau`, `reducer`...).

    Raises:
        RecipeError: an unknown name or option, with the nearest known one, or parts that do not go together.
        CheckpointError: weights that an encoder names cannot be had.

    Examples:
        >>> small = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 8}
        >>> method = create("ezvsl", image=small, audio=small, tau=0.07)
        >>> method.tau, method.front_end.image.size
        (0.07, 224)
        >>> create("ezvsl", tua=0.07)
        Traceback (most recent call last):
        ...
        soundspot.errors.RecipeError: method 'ezvsl' has no option 'tua'. Did you mean 'tau'?
    """
    method = METHODS[name]
    known = method_options(method)
    for option in options:
        if option not in known:
            raise RecipeError(f"method {name!r} has no option {option!r}{did_you_mean(option, known)}")
    built = method(image=image, audio=audio, front_end=front_end, **options)
    built.config = {
        "image": resolved_options(image, built.image_encoder),
        "audio": resolved_options(audio, built.audio_encoder),
        **options,
    }
    return built


def method_options(method: type[Method]) -> set[str]:
    """What a method can be told, with what it hands on to the methods that it descends from (`**trimap`)."""
    known: set[str] = set()
    for ancestor in method.__mro__:
        given = inspect.signature(ancestor).parameters.values()
        known |= {p.name for p in given if p.kind is not p.VAR_KEYWORD}
        if all(p.kind is not p.VAR_KEYWORD for p in given):
            break
    return known


def list_methods() -> dict[str, str]:
    """Name and one line of each method there is.

    Examples:
        >>> methods()["ezvsl"]
        'EZ-VSL: a picture scores as its best-matching place.'
    """
    return {name: (inspect.getdoc(method) or "").partition("\n")[0] for name, method in METHODS.items()}


class _Callable(ModuleType):
    """This module once it is loaded hides the function of its name from `import soundspot`; so it answers in its place."""

    def __call__(self) -> dict[str, str]:
        return list_methods()


sys.modules[__name__].__class__ = _Callable

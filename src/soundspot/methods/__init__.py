"""Methods by name: `create("alignment")` builds one, `list_methods()` describes all.

Every module of this package is imported here, so a method is registered by the `@register(name)` of its own file.
"""

import inspect
from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from soundspot.config.frontend import InputSpec
from soundspot.errors import RecipeError, did_you_mean
from soundspot.methods.base import INFERENCE_METHODS, METHODS, Method, register

__all__ = ["METHODS", "Method", "check_method_options", "create", "list_methods", "method_options", "register"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def create(
    name: str,
    image: Mapping[str, Any] | None = None,
    audio: Mapping[str, Any] | None = None,
    front_end: InputSpec | None = None,
    **options: Any,
) -> Method:
    """Build a method with fresh weights, or with those that `image` and `audio` name for their encoders.

    Args:
        name: name of a method, one of the keys of `list_methods()`, or of one that is not trained (`denseav`).
        image, audio: options of each encoder, such as `{"encoder": "resnet18", "weights": "imagenet"}`; None: the
            method's default encoder.
        front_end: preprocessing of images and audio; None: the method's own.
        options: further keyword arguments of the method's class, such as `tau` or `reducer`.

    Returns:
        The method in training mode, on the CPU.

    Raises:
        RecipeError: the name or an option is unknown (the message suggests the nearest one), or options do not fit
            together.
        CheckpointError: the weights that an encoder names cannot be loaded.

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
    check_method_options(name, options)
    instance = _find(name)(image=image, audio=audio, front_end=front_end, **options)
    instance.config = {
        "image": {**(image or {}), **instance.image_encoder.build_options},
        "audio": {**(audio or {}), **instance.audio_encoder.build_options},
        **options,
    }
    return instance


def check_method_options(name: str, options: Iterable[str]) -> None:
    """Check that a method has some options.

    Args:
        name: name of a method.
        options: names of the options.

    Raises:
        RecipeError: the method or an option is unknown (the message suggests the nearest one).
    """
    known = method_options(_find(name))
    for option in options:
        if option not in known:
            raise RecipeError(f"method {name!r} has no option {option!r}{did_you_mean(option, known)}")


def _find(name: str) -> type[Method]:
    return INFERENCE_METHODS[name] if name in INFERENCE_METHODS else METHODS[name]


def method_options(method: type[Method]) -> set[str]:
    """Return the option names of a method, including those that `**base_options` passes on to its base classes.

    Args:
        method: class of the method, a value of `METHODS`.

    Returns:
        Names of the keyword arguments that its constructor accepts.
    """
    names: set[str] = set()
    for ancestor in method.__mro__:
        parameters = inspect.signature(ancestor).parameters.values()
        names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return names


def list_methods() -> dict[str, str]:
    """List all registered methods that can be trained.

    Returns:
        Dict of name -> first line of the class docstring.

    Examples:
        >>> list_methods()["ezvsl"]
        'EZ-VSL: an image scores as its best-matching location.'
    """
    return {name: (inspect.getdoc(method) or "").partition("\n")[0] for name, method in METHODS.items()}

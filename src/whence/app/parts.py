"""Pieces that the tabs share: upload fields that hand over the file as it came, and errors as cards."""

from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from whence.app import words
from whence.app.answers import in_words
from whence.errors import WhenceError


def as_it_came(component: Any) -> Any:
    """The component, handing over the path of what was uploaded without a look at it.

    Ours are the words for what cannot be read; and Gradio would convert, or answer "Error".
    """
    component.preprocess = lambda payload: None if payload is None else payload.path
    return component


def as_they_came(component: Any) -> Any:
    """The same for several files."""
    component.preprocess = lambda payload: [one.path for one in payload.root] if payload else []
    return component


def unchecked(component: Any) -> Any:
    """A choice whose value is handed over whatever it is: its choices change with what was asked."""
    component.preprocess = lambda payload: payload
    return component


def trouble(error: WhenceError, *files: str | None) -> Markup:
    """An error as a card that stays, without the paths of uploaded files."""
    return words.card("wrong", "That did not work", in_words(error, *(file for file in files if file)))


def quiet(component_event: Callable[..., Any], fn: Callable[..., Any], inputs: Sequence[Any], outputs: Any) -> None:
    """Wire an event of which only the last of many matters, as a slider has them, without a sign of progress."""
    component_event(
        fn,
        list(inputs),
        outputs,
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
        concurrency_limit=2,
        concurrency_id="drawing",
    )

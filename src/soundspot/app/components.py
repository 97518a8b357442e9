"""Pieces that the tabs share: upload fields that hand over the file as it came, and errors as cards."""

from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from soundspot.app import html as words
from soundspot.app.service import format_error
from soundspot.errors import SoundspotError


def pass_path(component: Any) -> Any:
    """The component, handing over the path of what was uploaded without a look at it.

    Ours are the words for what cannot be read; and Gradio would convert, or answer "Error".
    """
    component.preprocess = lambda payload: None if payload is None else payload.path
    return component


def pass_paths(component: Any) -> Any:
    """The same for several files."""
    component.preprocess = lambda payload: [one.path for one in payload.root] if payload else []
    return component


def pass_value(component: Any) -> Any:
    """A choice whose value is handed over whatever it is: its choices change with what was asked."""
    component.preprocess = lambda payload: payload
    return component


def error_card(error: SoundspotError, *files: str | None) -> Markup:
    """An error as a card that stays, without the paths of uploaded files."""
    return words.render_card("wrong", "That did not work", format_error(error, *(file for file in files if file)))


def wire_silent_event(
    component_event: Callable[..., Any], fn: Callable[..., Any], inputs: Sequence[Any], outputs: Any
) -> None:
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

"""The example of each command: the last section of its docstring, shown by `--help` and in the docs."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def get_example(name: str) -> str:
    """A command line that shows how `locate`, `data check`... is used; empty where there is none.

    Words after those of the command are what it is asked of, as in `locate CHECKPOINT clip.mp4`.
    """
    from soundspot.cli.main import resolve_commands

    found: Callable[..., Any] | Mapping[str, Any] = resolve_commands(name.split())
    for word in name.split():
        found = found.get(word, {}) if isinstance(found, Mapping) else found
    told = (inspect.getdoc(found) or "") if callable(found) else ""
    return inspect.cleandoc(told.partition("\nExamples:\n")[2])

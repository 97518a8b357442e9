"""Which of the commands behind `soundspot locate` is meant: of a picture and sounds, of videos, or of a camera."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from soundspot.errors import InputError


def select_command(words: Sequence[str]) -> Callable[..., Any]:
    """The command for the words that follow `soundspot locate`.

    A folder, or a name that ends as videos do, is a video; so is a second word without a third that does not end as
    pictures do.

    Raises:
        InputError: a video and a sound, as a picture has them.
    """
    from soundspot.cli.live import live
    from soundspot.cli.locate import locate
    from soundspot.cli.locate_video import locate_video
    from soundspot.data.media.file_types import IMAGE_SUFFIXES, VIDEO_SUFFIXES

    if "--live" in words:
        return live
    names = positional_words(
        words, {"help", *(name for command in (locate, locate_video) for name in flag_names(command))}
    )
    if len(names) < 2:
        return locate
    path = Path(names[1])
    moving = path.suffix.lower() in VIDEO_SUFFIXES or path.is_dir()
    if moving and len(names) > 2:
        raise InputError(f"{path} is a video: give another sound for it by a flag, `--sound {names[2]}`.")
    return locate_video if moving or (len(names) == 2 and path.suffix.lower() not in IMAGE_SUFFIXES) else locate


def flag_names(command: Callable[..., Any]) -> list[str]:
    """The flags of a command that take no value."""
    return [name for name, found in inspect.signature(command).parameters.items() if found.default is False]


def positional_words(words: Sequence[str], alone: set[str]) -> list[str]:
    """The words that are neither flags nor their values; `alone` are flags without one."""
    found, left = [], list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            found.append(word)
        elif "=" not in word and word != "-h" and word.lstrip("-").replace("-", "_") not in alone and left:
            left.pop(0)
    return found

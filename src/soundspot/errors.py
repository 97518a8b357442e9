"""Errors for callers' mistakes. Each message says what was found, what was expected and what to do.

`assert` is for our own mistakes. The command line prints the message alone and exits with code 2.
"""

import difflib
from collections.abc import Iterable

from soundspot.utils.renamed import WORDS


class SoundspotError(Exception):
    """A caller's mistake: bad input, a wrong name, a file that does not fit.

    Attributes:
        is_reported: whether another process of the run prints the message, so that this process does not.
    """

    is_reported = False


class InputError(SoundspotError):
    """An image, a sound or a video cannot be read or used.

    Args:
        message: sentences that say what is wrong, what was expected and what to do.
        cause: reason in a word or two, for counts of failures.
    """

    def __init__(self, message: str, cause: str = "unreadable") -> None:
        super().__init__(message)
        self.cause = cause


class DataError(SoundspotError):
    """A data set, its annotations or a table built from it is wrong."""


class RecipeError(SoundspotError):
    """A recipe or an option is wrong."""


class CheckpointError(SoundspotError):
    """A checkpoint is unreadable, cut short, or does not fit the method."""


class OutputError(SoundspotError):
    """A result cannot be written where it should go."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name, to be appended to its sentence.

    Args:
        name: the unknown name.
        known: the names that exist.

    Returns:
        `. It is called 'x' now.` where the name has changed; else `. Did you mean 'x'?` with the closest known name;
        else `. There are: a, b.` with all of them, where none has a similarity of at least 0.6 (`difflib`).
    """
    names = sorted(known)
    for new in WORDS.get(name, ()):
        if new in names:
            return f". It is called {new!r} now."
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f". Did you mean {close[0]!r}?" if close else f". There are: {', '.join(names)}."

"""What takes the moments of a video one after the other and leaves a file."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whence.inference.video import Moment


class Writer(ABC):
    """Use it in a `with` block: the file is whole once `close` was called; without that it is nobody's."""

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.give_up()

    @abstractmethod
    def add(self, moment: "Moment") -> None:
        """Take the next moment."""

    @abstractmethod
    def close(self, notes: tuple[str, ...]) -> None:
        """Finish the file; `notes` are what was found on the way."""

    def give_up(self) -> None:  # noqa: B027 (most have nothing open)
        """Let go of what is open, whole or not."""

"""What takes the moments of a video one after the other and leaves a file."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soundspot.inference.video.predictor import FrameResult


class FrameWriter(ABC):
    """Use it in a `with` block: the file is whole once `close` was called; without that it is nobody's."""

    def __enter__(self) -> "FrameWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    @abstractmethod
    def add(self, moment: "FrameResult") -> None:
        """Take the next moment."""

    @abstractmethod
    def close(self, notes: tuple[str, ...]) -> None:
        """Finish the file; `notes` are what was found on the way."""

    def abort(self) -> None:  # noqa: B027 (most have nothing open)
        """Let go of what is open, whole or not."""

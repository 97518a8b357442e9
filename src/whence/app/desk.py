"""Where the page's requests meet the model: each with its time, each visitor with what was asked last."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from whence.app.answers import Asked
from whence.app.limits import Clock, Limits
from whence.inference.localizer import Localizer


@dataclass(eq=False)
class Visitor:
    """Somebody with the page open: the question asked last, and whether the page was closed."""

    asked: Asked | None = None
    gone: bool = False


class Desk:
    """A localizer that requests ask, several at once, and the visitors whose maps are kept to be drawn again.

    The method is put into evaluation mode for good: the localizer leaves it as it was after each question, so that
    questions in several threads do not turn each other's mode.

    Visitors beyond `limits.visitors` are forgotten, those first that asked longest ago; forgetting one ends no work.
    """

    def __init__(self, localizer: Localizer, limits: Limits | None = None) -> None:
        self.localizer, self.limits = localizer, limits or Limits()
        localizer.method.eval()
        self._book, self._closed = threading.Lock(), False
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()

    def visitor(self, key: str | None) -> Visitor:
        """Who has that key; None is somebody new each time."""
        if key is None:
            return Visitor()
        with self._book:
            found = self._visitors.setdefault(key, Visitor())
            self._visitors.move_to_end(key)
            while len(self._visitors) > self.limits.visitors:
                self._visitors.popitem(last=False)
        return found

    def leave(self, key: str | None) -> None:
        """Forget a visitor and end the work for them at its next step."""
        with self._book:
            found = self._visitors.pop(key or "", None)
        if found is not None:
            found.gone = True

    def close(self) -> None:
        """End the work for everybody at its next step: the page is being stopped."""
        self._closed = True

    def __len__(self) -> int:
        return len(self._visitors)

    def clock(self, visitor: Visitor, seconds: float | int | None = None) -> Clock:
        """The time that one request of a visitor has from now on."""
        return Clock(self.limits.seconds if seconds is None else seconds, lambda: visitor.gone or self._closed)

"""Where the page's requests meet the model: each with its time, each visitor with what was asked last."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from soundspot.app.limits import Deadline, Limits
from soundspot.app.service import LocatedImage
from soundspot.inference.localizer import Localizer


@dataclass(eq=False)
class Session:
    """Somebody with the page open: the question asked last, and whether the page was closed."""

    located: LocatedImage | None = None
    is_closed: bool = False


class SessionStore:
    """A localizer that requests ask, several at once, and the visitors whose maps are kept to be drawn again.

    The method is put into evaluation mode for good: the localizer leaves it as it was after each question, so that
    questions in several threads do not turn each other's mode.

    Visitors beyond `limits.visitors` are forgotten, those first that asked longest ago; forgetting one ends no work.
    """

    def __init__(self, localizer: Localizer, limits: Limits | None = None) -> None:
        self.localizer, self.limits = localizer, limits or Limits()
        localizer.method.eval()
        self._book, self._closed = threading.Lock(), False
        self._visitors: OrderedDict[str, Session] = OrderedDict()

    def get_session(self, key: str | None) -> Session:
        """Who has that key; None is somebody new each time."""
        if key is None:
            return Session()
        with self._book:
            found = self._visitors.setdefault(key, Session())
            self._visitors.move_to_end(key)
            while len(self._visitors) > self.limits.max_sessions:
                self._visitors.popitem(last=False)
        return found

    def end_session(self, key: str | None) -> None:
        """Forget a visitor and end the work for them at its next step."""
        with self._book:
            found = self._visitors.pop(key or "", None)
        if found is not None:
            found.is_closed = True

    def close(self) -> None:
        """End the work for everybody at its next step: the page is being stopped."""
        self._closed = True

    def __len__(self) -> int:
        return len(self._visitors)

    def start_deadline(self, visitor: Session, seconds: float | int | None = None) -> Deadline:
        """The time that one request of a visitor has from now on."""
        return Deadline(self.limits.timeout if seconds is None else seconds, lambda: visitor.is_closed or self._closed)

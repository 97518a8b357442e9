"""Sessions of visitors of the page: the localizer that they share, and the last result of each."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from soundspot.app.limits import Deadline, Limits
from soundspot.app.service import LocatedImage
from soundspot.inference.localizer import Localizer


@dataclass(eq=False)
class Session:
    """An open page of a visitor.

    Attributes:
        located: last result, to be drawn again; None: there is none.
        is_closed: whether the page was closed.
    """

    located: LocatedImage | None = None
    is_closed: bool = False


class SessionStore:
    """The sessions of all visitors, and the localizer that serves them, several requests at once.

    The method is put into evaluation mode for good: the localizer leaves the mode as it was after each call, so that
    calls in several threads do not switch each other's mode. Of more than `limits.max_sessions` sessions the least
    recently used are dropped; that ends no work.

    Args:
        localizer: localizer of the page.
        limits: limits of the page; None: the defaults.
    """

    def __init__(self, localizer: Localizer, limits: Limits | None = None) -> None:
        self.localizer, self.limits = localizer, limits or Limits()
        localizer.method.eval()
        self._lock, self._is_closed = threading.Lock(), False
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def get_session(self, key: str | None) -> Session:
        """Return the session of a visitor, which becomes the most recently used.

        Args:
            key: Gradio's key of the open page.

        Returns:
            The session; a new session for a new key, and each time for None.
        """
        if key is None:
            return Session()
        with self._lock:
            session = self._sessions.setdefault(key, Session())
            self._sessions.move_to_end(key)
            while len(self._sessions) > self.limits.max_sessions:
                self._sessions.popitem(last=False)
        return session

    def end_session(self, key: str | None) -> None:
        """Drop a session and end its work at its next step.

        Args:
            key: Gradio's key of the page that was closed; an unknown key, or None, has no effect.
        """
        with self._lock:
            session = self._sessions.pop(key or "", None)
        if session is not None:
            session.is_closed = True

    def close(self) -> None:
        """End all work at its next step: the page is being stopped."""
        self._is_closed = True

    def __len__(self) -> int:
        return len(self._sessions)

    def start_deadline(self, session: Session, seconds: float | int | None = None) -> Deadline:
        """Start the deadline of a request that begins now.

        Args:
            session: session of the visitor; the request is cancelled when it ends.
            seconds: time of the request in seconds; None: `limits.timeout`.

        Returns:
            The deadline, to be checked during the work.
        """
        timeout = self.limits.timeout if seconds is None else seconds
        return Deadline(timeout, lambda: session.is_closed or self._is_closed)

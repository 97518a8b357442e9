"""The folder of what visitors send and are given: bounded in bytes, and emptied of what nobody has used for a while."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class UploadStore:
    """A folder that files come into from requests.

    What lies in it when this is made stays: it is the page's own. Of the rest, whoever wrote it, a file goes `kept`
    seconds after its last use, and a folder that has been empty as long.

    Args:
        most: bytes that it may hold.
        kept: seconds.
    """

    def __init__(self, folder: Path, max_bytes: int, retention_seconds: float | int) -> None:
        self.folder, self.max_bytes, self.retention_seconds = folder.resolve(), max_bytes, retention_seconds
        self._own = frozenset(self.folder.rglob("*"))
        self._received = 0  # bytes, ever
        self._looked = (0, 0)  # of them when it was last looked at, and the bytes that lay here then

    @property
    def stored_bytes(self) -> int:
        """Bytes that lie here: those found at the last look, and those received since."""
        before, found = self._looked
        return found + self._received - before

    def record_received(self, size: int) -> None:
        """So many bytes came, and will lie here."""
        self._received += size

    def touch(self, file: Path) -> None:
        """The file is wanted: its time begins anew. One elsewhere is not touched."""
        with suppress(OSError, ValueError):  # gone; a name that is none
            if file.resolve().is_relative_to(self.folder):
                os.utime(file)

    def remove_expired(self, now: float | None = None) -> None:
        """Put away what is old, and see how much the rest is. Several threads may look at once."""
        before, oldest, found = self._received, (now or time.time()) - self.retention_seconds, 0
        for place, folders, names in os.walk(self.folder, topdown=False):
            inside = [(name, os.unlink) for name in names] + [(name, os.rmdir) for name in folders]
            for path, put_away in ((Path(place, name), put_away) for name, put_away in inside):
                with suppress(OSError):  # put away meanwhile, or a folder with something in it
                    status = path.lstat()
                    found += status.st_size
                    if path not in self._own and status.st_ctime < oldest:
                        put_away(path)
                        found -= status.st_size
        self._looked = before, found

    @contextmanager
    def background_cleanup(self) -> Iterator[None]:
        """It is looked at now and then inside the block."""
        end = threading.Event()

        def tend() -> None:
            while not end.wait(self.retention_seconds / 6):
                self.remove_expired()

        thread = threading.Thread(target=tend, name="soundspot-store", daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

"""The folder of the files of visitors: bounded in bytes; files that nobody has used for a while are deleted."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class UploadStore:
    """A folder that requests write files into.

    Files that lie in it when the store is made are the page's own and stay.

    Args:
        folder: folder of the files.
        max_bytes: number of bytes that the folder may hold.
        retention_seconds: seconds after its last use at which a file, or an empty folder, is deleted.
    """

    def __init__(self, folder: Path, max_bytes: int, retention_seconds: float | int) -> None:
        self.folder, self.max_bytes, self.retention_seconds = folder.resolve(), max_bytes, retention_seconds
        self._own_files = frozenset(self.folder.rglob("*"))
        self._num_received = 0  # bytes, ever
        self._last_scan = (0, 0)  # bytes received, and bytes in the folder, at the last scan

    @property
    def stored_bytes(self) -> int:
        """Number of bytes in the folder at the last scan, and received since."""
        received, stored = self._last_scan
        return stored + self._num_received - received

    def record_received(self, num_bytes: int) -> None:
        """Count bytes that are being written.

        Args:
            num_bytes: number of bytes since the last call.
        """
        self._num_received += num_bytes

    def touch(self, file: Path) -> None:
        """Mark a file as used now; a file that is deleted or outside the folder is ignored.

        Args:
            file: path of the file.
        """
        with suppress(OSError, ValueError):  # deleted; not a name of a file
            if file.resolve().is_relative_to(self.folder):
                os.utime(file)

    def remove_expired(self, now: float | None = None) -> None:
        """Delete expired files and count the bytes of the others. Several threads may do so at once.

        Args:
            now: time in seconds since the epoch; None: the present.
        """
        received, oldest, stored = self._num_received, (now or time.time()) - self.retention_seconds, 0
        for folder, folders, files in os.walk(self.folder, topdown=False):
            entries = [(name, os.unlink) for name in files] + [(name, os.rmdir) for name in folders]
            for path, delete in ((Path(folder, name), delete) for name, delete in entries):
                with suppress(OSError):  # deleted meanwhile, or a folder that is not empty
                    status = path.lstat()
                    stored += status.st_size
                    if path not in self._own_files and status.st_ctime < oldest:
                        delete(path)
                        stored -= status.st_size
        self._last_scan = received, stored

    @contextmanager
    def background_cleanup(self) -> Iterator[None]:
        """Delete expired files in a thread while the block runs, six times in `retention_seconds`."""
        end = threading.Event()

        def clean() -> None:
            while not end.wait(self.retention_seconds / 6):
                self.remove_expired()

        thread = threading.Thread(target=clean, name="soundspot-uploads", daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

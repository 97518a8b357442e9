"""The journal of a study: one line of JSON for each training and each score, appended when it is done."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from soundspot.errors import DataError
from soundspot.utils.atomic_io import convert_os_errors, lock_folder, write_all
from soundspot.utils.safe_read import parse_json

JOURNAL_FILE = "journal.jsonl"
Record = dict[str, Any]


class StudyJournal:
    """Records of a study by their keys, on disk and in memory.

    A line is written by one call and is on disk before `append` returns. A line that a killed process did not finish is
    removed when the journal is opened, and what it was of is done again.

    Args:
        folder: existing folder of the study.

    Attributes:
        records: key -> record; of two with one key the first.

    Raises:
        DataError: a complete line is no record.
        OutputError: the file cannot be read or mended.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_FILE
        self.records: dict[str, Record] = {}
        with convert_os_errors(self.path):
            content = self.path.read_bytes() if self.path.exists() else b""
            complete = content[: content.rfind(b"\n") + 1]
            if complete != content:
                os.truncate(self.path, len(complete))
        for number, line in enumerate(complete.splitlines(), 1):
            self._add(_read_record(line, f"{self.path}: line {number}"))

    def append(self, record: Record) -> None:
        """Write a record at the end of the file.

        Args:
            record: `key` and what else is known, as JSON can hold it.

        Raises:
            OutputError: the file cannot be written.
        """
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        with convert_os_errors(self.path), FileIO(self.path, "ab") as file:
            write_all(file, line)
            os.fsync(file.fileno())
        self._add(record)

    def _add(self, record: Record) -> None:
        self.records.setdefault(record["key"], record)


def _read_record(line: bytes, where: str) -> Record:
    try:
        record = parse_json(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not all(isinstance(record.get(k), str) for k in ("key", "kind", "version")):
        raise DataError(f"{where}: found no record of a study, expected one that `soundspot study` wrote; delete it")
    return record


@contextmanager
def open_journal(folder: Path) -> Iterator[StudyJournal]:
    """Open the journal of a study, which no other process may write meanwhile.

    Args:
        folder: folder of the study; it is made where it is missing.

    Yields:
        The journal.

    Raises:
        DataError: a complete line is no record.
        OutputError: another process works in the folder, or it cannot be written.
    """
    with convert_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        yield StudyJournal(folder)

"""A journal that processes share: created once, and no transaction stays open."""

import sqlite3
from pathlib import Path
from threading import Barrier, Thread

import pytest

from soundspot.errors import DataError
from soundspot.utils.append_journal import AppendJournal

TABLES = {"rows": "name TEXT NOT NULL UNIQUE"}


def open_journal(folder: Path, version: int = 1) -> AppendJournal:
    return AppendJournal(folder / "journal.sqlite", TABLES, version, create=True)


def test_of_several_that_create_it_at_once_none_fails(tmp_path: Path) -> None:
    barrier = Barrier(6)

    def add(name: str) -> None:
        barrier.wait()
        open_journal(tmp_path).insert("rows", name=name)

    threads = [Thread(target=add, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_journal(tmp_path).count_rows() == {"rows": 6}


def test_a_row_is_refused_without_a_trace_and_the_next_is_added(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.insert("rows", name="a")
    with pytest.raises(DataError, match="somebody else was first"), journal.connect(write=True) as connection:
        connection.executemany("INSERT INTO rows (time, name) VALUES ('', ?)", ["b", "a"])
    assert journal.insert("rows", name="c") == 2
    assert journal.count_rows() == {"rows": 2}


def test_no_row_is_changed(tmp_path: Path) -> None:
    open_journal(tmp_path).insert("rows", name="a")
    connection = sqlite3.connect(tmp_path / "journal.sqlite")
    for statement in ("UPDATE rows SET name = 'b'", "DELETE FROM rows"):
        with pytest.raises(sqlite3.IntegrityError, match="the journal only grows"):
            connection.execute(statement)
    connection.close()


def test_another_version_is_refused(tmp_path: Path) -> None:
    open_journal(tmp_path, 1)
    with pytest.raises(DataError, match="found version 1, expected 2"):
        open_journal(tmp_path, 2)

"""A journal loses no record to a kill, and holds each once."""

import json
from pathlib import Path

import pytest

from soundspot.errors import DataError, OutputError
from soundspot.study.journal import JOURNAL_FILE, StudyJournal, open_journal

RECORDS = [{"key": key, "kind": "score", "version": "1", "value": key * 20} for key in "abc"]


def write(folder: Path) -> bytes:
    journal = StudyJournal(folder)
    for record in RECORDS:
        journal.append(record)
    return (folder / JOURNAL_FILE).read_bytes()


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    write(tmp_path)
    assert [*StudyJournal(tmp_path).records.values()] == RECORDS


def test_a_kill_anywhere_in_a_line_costs_that_line_alone(tmp_path: Path) -> None:
    content = write(tmp_path)
    lines = content.splitlines(keepends=True)
    for end in range(len(lines[0]), len(content)):
        (tmp_path / JOURNAL_FILE).write_bytes(content[:end])
        journal = StudyJournal(tmp_path)
        complete = content[:end].count(b"\n")
        assert [*journal.records.values()] == RECORDS[:complete]
        assert journal.path.read_bytes() == b"".join(lines[:complete])


def test_after_a_kill_the_next_record_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    content = write(tmp_path)
    (tmp_path / JOURNAL_FILE).write_bytes(content[:-5])
    StudyJournal(tmp_path).append(RECORDS[2])
    assert (tmp_path / JOURNAL_FILE).read_bytes() == content


def test_of_two_records_of_one_key_the_first_counts(tmp_path: Path) -> None:
    write(tmp_path)
    StudyJournal(tmp_path).append({**RECORDS[0], "value": "other"})
    assert StudyJournal(tmp_path).records["a"] == RECORDS[0]


@pytest.mark.parametrize("line", ["{", "[]", '{"key": 1}', json.dumps({"key": "a", "kind": "score"})])
def test_a_complete_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    content = write(tmp_path)
    (tmp_path / JOURNAL_FILE).write_bytes(line.encode() + b"\n" + content)
    with pytest.raises(DataError, match=r"journal.jsonl: line 1: found no record"):
        StudyJournal(tmp_path)


def test_two_runs_of_one_study_at_once_are_refused(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path / "new"),
        pytest.raises(OutputError, match="another run writes here"),
        open_journal(tmp_path / "new"),
    ):
        pass

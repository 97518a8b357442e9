"""The journal: rows are added and never changed, by several at once."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from soundspot.benchmark.page.media import find_media
from soundspot.benchmark.plan import make_plan
from soundspot.benchmark.project import Project, create_project
from soundspot.benchmark.records import Source
from soundspot.errors import DataError
from soundspot.utils.append_journal import check_annotator


@pytest.fixture
def project(tmp_path) -> Project:
    project = create_project(tmp_path / "p", make_plan("mine", ["dog", "cat"], images_per_pair=3))
    for number in range(3):
        project.journal.insert(
            "images", number=number, file=f"images/{number}.jpg", categories='["dog", "cat"]', width=64, height=48,
            sha256="0", source=Source("folder", "CC0 1.0").to_json(),
        )  # fmt: skip
    return project


def decide(project: Project, annotator: str, image: int, choice: str, step: str = "select", reason: str = "") -> int:
    return project.journal.insert(
        "decisions", annotator=annotator, image=image, step=step, choice=choice, reason=reason
    )


@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET time = 'now'", "DELETE FROM {}", "REPLACE INTO {} (id) VALUES (1)"]
)
@pytest.mark.parametrize("table", ["images", "plans"])
def test_nothing_is_overwritten(project: Project, table: str, statement: str) -> None:
    with closing(sqlite3.connect(project.journal.path)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement.format(table))


def test_the_latest_decision_of_each_annotator_counts(project: Project) -> None:
    decide(project, "ann", 1, "keep")
    decide(project, "bob", 1, "drop", reason="blurred")
    decide(project, "ann", 1, "drop", reason="cut off")
    latest = project.journal.read_decisions("select")
    assert [(d.annotator, d.choice, d.reason) for d in latest] == [
        ("bob", "drop", "blurred"),
        ("ann", "drop", "cut off"),
    ]
    assert project.journal.count_rows()["decisions"] == 3
    assert all(d.time.endswith("+00:00") for d in latest)


def test_a_decision_is_about_an_image_that_there_is(project: Project) -> None:
    with pytest.raises(DataError, match="contradiction"):
        decide(project, "ann", 99, "keep")
    with pytest.raises(DataError, match="found no image number 99"):
        project.journal.read_image(99)


def _decide_often(folder: str, annotator: str) -> None:
    project = Project(folder)
    for count in range(8):
        decide(project, annotator, 1 + count % 3, "keep")


def test_two_annotators_at_once_lose_nothing(project: Project) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_decide_often, [str(project.folder)] * 2, ["ann", "bob"]))
    assert project.journal.count_rows()["decisions"] == 16
    assert len(project.journal.read_decisions("select")) == 6


def test_images_are_read_as_they_were_added(project: Project) -> None:
    record = project.journal.read_image(2)
    assert (record.number, record.categories, record.source.license) == (1, ("dog", "cat"), "CC0 1.0")


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 61])
def test_an_annotator_has_a_name(name: str) -> None:
    with pytest.raises(DataError, match="expected a name of 1 to 60 printable characters"):
        check_annotator(name)


@pytest.mark.parametrize("file", ["../secret.jpg", "/secret.jpg", "images/../../secret.jpg"])
def test_no_file_of_a_project_lies_outside_it(project: Project, file: str) -> None:
    """A project may be somebody else's, and its page serves these files."""
    (project.folder.parent / "secret.jpg").write_bytes(b"secret")
    number = project.journal.insert(
        "images", number=9, file=file, categories="[]", width=1, height=1, sha256="0", source="{}"
    )
    with pytest.raises(DataError, match="leads out of this folder"):
        project.journal.read_image(number)
    assert find_media(project, "images", number) is None


@pytest.mark.parametrize(("column", "value"), [("categories", "{"), ("source", "[1]"), ("source", "{}")])
def test_a_damaged_cell_is_our_error(project: Project, column: str, value: str) -> None:
    with closing(sqlite3.connect(project.journal.path)) as database:
        database.execute("DROP TRIGGER no_update_of_images")
        database.execute(f"UPDATE images SET {column} = ?", (value,))
        database.commit()
    with pytest.raises(DataError, match=r"journal\.sqlite: cannot be read .*Restore it from a copy"):
        project.journal.read_images()

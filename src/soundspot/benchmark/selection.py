"""The selection of images: keep or drop, by one or more annotators, whose disagreements somebody resolves."""

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from soundspot.benchmark.project import Project
from soundspot.benchmark.records import Decision, ImageRecord
from soundspot.errors import DataError, did_you_mean
from soundspot.evaluation.functional.agreement import PairAgreement, compare_annotators, compute_rate
from soundspot.utils.append_journal import insert_row
from soundspot.utils.safe_read import convert_read_errors

CHOICES = ("keep", "drop")
REASONS = ("a thing is missing", "things merge or overlap", "looks unnatural", "something else sounds too")  # keys 1..4
MAX_REASON = 300  # characters
RECENT = 100  # decisions that the rate is measured on
STATUS = (  # of an image, in SQL: NULL where nobody decided; the latest resolution before what annotators decided last
    "COALESCE((SELECT choice FROM decisions WHERE step = 'resolve' AND image = images.id ORDER BY id DESC LIMIT 1), "
    "(SELECT CASE COUNT(DISTINCT choice) WHEN 2 THEN 'disagree' ELSE MIN(choice) END FROM decisions d "
    "WHERE step = 'select' AND image = images.id AND NOT EXISTS (SELECT 1 FROM decisions later WHERE "
    "later.step = 'select' AND later.image = d.image AND later.annotator = d.annotator AND later.id > d.id)))"
)
Status = Literal["keep", "drop", "disagree"]


@dataclass(frozen=True)
class AnnotatorProgress:
    """Progress of an annotator.

    Attributes:
        annotator: name of the annotator.
        num_decided: number of images decided on.
        per_hour: decisions per hour of work, from the last hundred; nan where there are none.
    """

    annotator: str
    num_decided: int
    per_hour: float


def decide(
    project: Project, annotator: str, image: int, choice: str, reason: str = "", step: str = "select"
) -> ImageRecord:
    """Record a decision on an image; an earlier decision of the same annotator stays in the journal.

    Args:
        project: the project.
        annotator: name of the annotator.
        image: number of the image in the journal.
        choice: `keep` or `drop`.
        reason: reason, one of `REASONS` or one's own.
        step: `select`, or `resolve` to decide where annotators disagree.

    Returns:
        The image.

    Raises:
        DataError: there is no such image or choice, or the name or the reason is not valid.
    """
    if choice not in CHOICES:
        raise DataError(f"found the choice {choice!r:.40}, expected keep or drop{did_you_mean(choice, CHOICES)}")
    if len(reason) > MAX_REASON:
        raise DataError(f"found a reason of {len(reason)} characters, expected at most {MAX_REASON}. Shorten it")
    annotator, record = project.journal.match_annotator(annotator), project.journal.read_image(image)
    project.journal.insert(
        "decisions", annotator=annotator, image=record.id, step=step, choice=choice, reason=reason.strip()
    )
    return record


def next_image(project: Project, annotator: str, after: int = 0) -> ImageRecord | None:
    """Return the next image that an annotator has not decided on.

    Args:
        project: the project.
        annotator: name of the annotator.
        after: number of an image in the journal; only later ones are looked at, and then those before it.

    Returns:
        The image; None where all are decided.
    """
    undecided = (
        "NOT EXISTS (SELECT 1 FROM decisions d WHERE d.step = 'select' AND d.annotator = ? AND d.image = images.id)"
    )
    annotator = project.journal.match_annotator(annotator)
    for condition in ("id > ?", "id <= ?"):
        if records := project.journal.read_images(f"{condition} AND {undecided}", (after, annotator), 1):
            return records[0]
    return None


def read_choice(project: Project, annotator: str, image: int) -> Decision | None:
    """Read the decision of an annotator on an image.

    Args:
        project: the project.
        annotator: name of the annotator.
        image: number of the image in the journal.

    Returns:
        The latest decision; None where there is none.
    """
    annotator = project.journal.match_annotator(annotator)
    with project.journal.reading() as connection:
        row = connection.execute(
            "SELECT * FROM decisions WHERE step = 'select' AND annotator = ? AND image = ? ORDER BY id DESC LIMIT 1",
            (annotator, image),
        ).fetchone()
    return None if row is None else Decision(**dict(row))


def read_progress(project: Project) -> list[AnnotatorProgress]:
    """Read the progress of each annotator.

    Args:
        project: the project.

    Returns:
        Progress, sorted by name.
    """
    with project.journal.reading() as connection:
        counts = connection.execute(
            "SELECT annotator, COUNT(DISTINCT image) FROM decisions WHERE step = 'select' GROUP BY annotator"
        ).fetchall()
        progress = []
        for name, count in counts:
            times = connection.execute(
                "SELECT time FROM decisions WHERE step = 'select' AND annotator = ? ORDER BY id DESC LIMIT ?",
                (name, RECENT),
            )
            progress.append(AnnotatorProgress(name, count, compute_rate([row["time"] for row in times])))
    return sorted(progress, key=lambda item: item.annotator)


def measure_agreement(project: Project) -> list[PairAgreement]:
    """Measure how far each two annotators agree.

    Args:
        project: the project.

    Returns:
        Agreement of each two that decided on a common image, sorted by their names.
    """
    choices: dict[str, dict[int, str]] = defaultdict(dict)
    with project.journal.reading() as connection:
        query = "SELECT annotator, image, choice FROM decisions WHERE step = 'select' ORDER BY id"
        for annotator, image, choice in connection.execute(query):
            choices[annotator][image] = choice
    return compare_annotators(choices)


def read_statuses(project: Project) -> dict[int, Status]:
    """Read the status of each image that somebody decided on.

    Args:
        project: the project.

    Returns:
        Number of the image -> `keep` or `drop` where all agree or it was resolved, by the latest resolution of all;
        else `disagree`.
    """
    with project.journal.reading() as connection:
        rows = connection.execute(f"SELECT id, {STATUS} AS status FROM images").fetchall()
    return {row["id"]: row["status"] for row in rows if row["status"]}


def list_disagreements(project: Project, limit: int = -1) -> list[tuple[ImageRecord, list[Decision]]]:
    """List the images that annotators disagree about and nobody resolved.

    Args:
        project: the project.
        limit: largest number of images; -1: all.

    Returns:
        Images with the decisions on each.
    """
    records = project.journal.read_images(f"{STATUS} = 'disagree'", limit=limit)
    return [(record, project.journal.read_decisions("select", record.id)) for record in records]


def selected_images(project: Project, limit: int = -1, offset: int = 0) -> list[ImageRecord]:
    """List the images that are kept.

    Args:
        project: the project.
        limit: largest number of images; -1: all.
        offset: number of these images that are passed over before.

    Returns:
        The images, in the order of the journal.
    """
    return project.journal.read_images(f"{STATUS} = 'keep'", limit=limit, offset=offset)


def import_decisions(project: Project, annotator: str, path: Path, step: str = "select") -> int:
    """Record the decisions of a table with the columns `image`, `choice` and, if wanted, `reason`.

    Args:
        project: the project.
        annotator: name of the annotator.
        path: path of the CSV file; an image is named by its file's name, with or without suffix.
        step: `select`, or `resolve` to decide where annotators disagree.

    Returns:
        Number of decisions.

    Raises:
        DataError: the table cannot be read, or a row names no image or no choice; nothing is recorded then.
    """
    expected = "expected a table with the columns image, choice and reason"
    stems = {Path(record.file).stem: record.id for record in project.journal.read_images()}
    rows = []
    with convert_read_errors(path, expected), path.open(encoding="utf-8-sig", newline="") as opened:
        for number, row in enumerate(csv.DictReader(opened), 2):
            name, choice = Path((row.get("image") or "").strip()).stem, (row.get("choice") or "").strip()
            if name not in stems or choice not in CHOICES:
                raise DataError(
                    f"{path}: line {number}: found {name!r:.60} and {choice!r:.20}, expected an image of the project "
                    "and keep or drop. Correct the row: nothing was recorded"
                )
            rows.append((stems[name], choice, (row.get("reason") or "").strip()))
    annotator = project.journal.match_annotator(annotator)
    with project.journal.connect(write=True) as connection:
        for image, choice, reason in rows:
            values = {"annotator": annotator, "image": image, "choice": choice, "reason": reason[:MAX_REASON]}
            insert_row(connection, "decisions", step=step, **values)
    return len(rows)

"""Selection: who decided what, how far they agree, and what follows from it."""

import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from soundspot.benchmark.annotation import next_thing, save_annotation
from soundspot.benchmark.plan import make_plan
from soundspot.benchmark.project import Project, create_project
from soundspot.benchmark.selection import (
    decide,
    import_decisions,
    list_disagreements,
    measure_agreement,
    next_image,
    read_choice,
    read_progress,
    read_statuses,
    selected_images,
)
from soundspot.errors import DataError
from soundspot.evaluation.functional.agreement import cohen_kappa, compute_rate
from soundspot.utils.append_journal import insert_row
from soundspot.utils.hash_rng import make_generator


def test_kappa_is_that_of_scikit_learn() -> None:
    rng = make_generator(0)
    for _ in range(20):
        first, second = (rng.choice(["keep", "drop"], 30, p=[0.7, 0.3]).tolist() for _ in range(2))
        assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))
    assert cohen_kappa(["keep"] * 3, ["keep"] * 3) != cohen_kappa(["keep"] * 3, ["keep"] * 3)  # nan


def test_two_annotators_disagree_and_somebody_resolves(project: Project) -> None:
    ids = [record.id for record in project.journal.read_images()]
    for image in ids:
        decide(project, "ann", image, "keep")
        decide(project, "bob", image, "drop" if image in ids[:2] else "keep", "looks unnatural")
    (agreement,) = measure_agreement(project)
    assert (agreement.first, agreement.second, agreement.num_items) == ("ann", "bob", 6)
    assert agreement.agreement == pytest.approx(4 / 6)
    assert agreement.kappa == 0
    disputed = list_disagreements(project)
    assert [record.id for record, _ in disputed] == ids[:2]
    assert [decision.choice for decision in disputed[0][1]] == ["keep", "drop"]
    assert [record.id for record in selected_images(project)] == ids[2:]
    decide(project, "carol", ids[0], "keep", step="resolve")
    decide(project, "carol", ids[1], "drop", step="resolve")
    assert not list_disagreements(project)
    assert [record.id for record in selected_images(project)] == [ids[0], *ids[2:]]
    assert read_statuses(project)[ids[1]] == "drop"


def test_statuses_are_those_of_a_loop_over_all_decisions(project: Project) -> None:
    """Forty decisions of three annotators and two resolvers, many of them changed."""
    rng = make_generator(1)
    latest: dict[int, dict[str, str]] = {image: {} for image in range(1, 7)}
    resolved: dict[int, str] = {}
    for _ in range(40):
        image, choice = int(rng.integers(1, 7)), str(rng.choice(["keep", "drop"], p=[0.7, 0.3]))
        if rng.random() < 0.1:
            decide(project, str(rng.choice(["carol", "dan"])), image, choice, step="resolve")
            resolved[image] = choice
        else:
            name = str(rng.choice(["ann", "bob", "eve"]))
            decide(project, name, image, choice)
            latest[image][name] = choice
        expected = {
            i: c for i, own in latest.items() for c in (set(own.values()) if len(set(own.values())) == 1 else ())
        }
        expected |= {i: "disagree" for i, own in latest.items() if len(set(own.values())) == 2}
        assert read_statuses(project) == expected | resolved
    disputed = [image for image, status in read_statuses(project).items() if status == "disagree"]
    assert [(record.id, [d.choice for d in own]) for record, own in list_disagreements(project)] == [
        (image, [d.choice for d in project.journal.read_decisions("select") if d.image == image]) for image in disputed
    ]
    assert list_disagreements(project, 1) == list_disagreements(project)[:1] != []
    assert selected_images(project, 1, 1) == selected_images(project)[1:2] != []


def test_a_changed_mind_counts_and_the_first_decision_stays(project: Project) -> None:
    decide(project, "ann", 1, "keep")
    decide(project, "ann", 1, "drop", "a thing is missing")
    decision = read_choice(project, "ann", 1)
    assert decision is not None
    assert (decision.choice, decision.reason) == ("drop", "a thing is missing")
    assert read_choice(project, "bob", 1) is None
    assert project.journal.count_rows()["decisions"] == 2


def test_each_annotator_goes_through_all_images(project: Project) -> None:
    visited = []
    after = 3
    while record := next_image(project, "ann", after):
        visited.append(record.id)
        after = decide(project, "ann", record.id, "keep").id
    assert visited == [4, 5, 6, 1, 2, 3]
    assert next_image(project, "bob") is not None
    (progress,) = read_progress(project)
    assert (progress.annotator, progress.num_decided) == ("ann", 6)


def test_a_name_in_other_letters_is_the_same_annotator(project: Project, tmp_path: Path) -> None:
    first, second, third, *_ = project.journal.read_images()
    mask = np.ones((first.height, first.width), bool)
    save_annotation(project, "Ann", first, first.categories[0], mask, (), "brush")
    decide(project, " ann", first.id, "keep")
    (tmp_path / "a.csv").write_text(f"image,choice,reason\n{Path(second.file).stem},keep,\n")
    import_decisions(project, "ANN", tmp_path / "a.csv", "select")
    assert [(progress.annotator, progress.num_decided) for progress in read_progress(project)] == [("Ann", 2)]
    assert next_image(project, "aNN") == third
    assert read_choice(project, "ann", first.id) is not None
    assert next_thing(project, "ANN") == (first.id, first.categories[1])
    with pytest.raises(DataError, match="found the annotator 'composition', which exact masks have"):
        decide(project, "Composition", first.id, "keep")


def test_the_rate_leaves_pauses_out() -> None:
    times = [
        "2026-01-01T10:00:00+00:00",
        "2026-01-01T10:00:10+00:00",
        "2026-01-01T12:00:00+00:00",
        "2026-01-01T12:00:10+00:00",
    ]
    assert compute_rate(times) == pytest.approx(360)
    assert compute_rate(times[:1]) != compute_rate(times[:1])  # nan


def test_decisions_come_from_a_table_too(project: Project, tmp_path: Path) -> None:
    stems = [Path(record.file).stem for record in project.journal.read_images()]
    table = tmp_path / "table.csv"
    table.write_text(
        "image,choice,reason\n" + "".join(f"{stem}.jpg,keep,\n" for stem in stems[:-1]) + f"{stems[-1]},drop,blurred\n"
    )
    assert import_decisions(project, "ann", table) == 6
    assert len(selected_images(project)) == 5
    table.write_text("image,choice\nnowhere,keep\n")
    with pytest.raises(DataError, match="line 2: found 'nowhere' and 'keep'"):
        import_decisions(project, "ann", table)


@pytest.mark.parametrize(
    ("choice", "reason", "message"), [("kep", "", "Did you mean 'keep'"), ("drop", "x" * 301, "301 characters")]
)
def test_other_choices_are_refused(project: Project, choice: str, reason: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decide(project, "ann", 1, choice, reason)


def test_a_page_of_ten_thousand_images_is_quick(tmp_path: Path) -> None:
    plan = make_plan("large", [f"c{i}" for i in range(100)], "balanced", 1000, 10)
    project = create_project(tmp_path / "p", plan)
    with project.journal.connect(write=True) as connection:
        for number in range(10_000):
            insert_row(
                connection, "images", number=number, file=f"images/{number}.jpg", categories='["c0", "c1"]', width=64,
                height=64, sha256="0", source="{\"kind\": \"folder\"}",
            )  # fmt: skip
        for number in range(9_000):
            insert_row(
                connection, "decisions", annotator="ann", image=number + 1, step="select", choice="keep", reason=""
            )
    start = time.process_time()
    record = next_image(project, "ann")
    progress = read_progress(project)
    assert not list_disagreements(project, 1)
    assert next_thing(project, "bob", (8000, "c1")) == (8001, "c0")
    assert selected_images(project, 1, 5000)[0].id == 5001
    seconds = time.process_time() - start
    assert record is not None
    assert record.id == 9001
    assert progress[0].num_decided == 9000
    assert seconds < 0.3

"""The plan: every category as often as it should be, and names that can be files."""

import json
from collections import Counter

import pytest

from soundspot.benchmark.journal import DecisionJournal
from soundspot.benchmark.plan import BenchmarkPlan, draw_balanced_pairs, draw_pairs, make_plan, make_slug
from soundspot.benchmark.project import Project, create_project
from soundspot.errors import DataError, OutputError, RecipeError


@pytest.mark.parametrize(("count", "num_pairs"), [(2, 1), (5, 5), (5, 7), (6, 15), (7, 20), (30, 44), (118, 300)])
def test_balanced_pairs_use_each_category_equally_often(count: int, num_pairs: int) -> None:
    names = [f"c{i}" for i in range(count)]
    pairs = draw_balanced_pairs(names, num_pairs, seed=3)
    assert len({frozenset(pair) for pair in pairs}) == num_pairs
    uses = Counter(name for pair in pairs for name in pair)
    assert max(uses.values()) - min(uses[name] for name in names) <= 1
    assert pairs == draw_balanced_pairs(names, num_pairs, seed=3)


def test_pairs_of_given_counts() -> None:
    counts = {"a": 3, "b": 2, "c": 2, "d": 1}
    pairs = draw_pairs(counts, seed=1)
    assert Counter(name for pair in pairs for name in pair) == counts
    for impossible in ({"a": 3, "b": 1}, {"a": 1, "b": 1, "c": 1}):
        with pytest.raises(DataError, match="found no different pairs"):
            draw_pairs(impossible, seed=1)


def test_other_seeds_draw_other_pairs() -> None:
    names = [f"c{i}" for i in range(20)]
    assert draw_balanced_pairs(names, 20, 0) != draw_balanced_pairs(names, 20, 1)


def test_prompts_and_seeds_of_images() -> None:
    plan = make_plan("mine", ["dog", "church bell"], images_per_pair=4, seed=1)
    images = [plan.image(number) for number in range(len(plan))]
    assert [image.stem for image in images][:2] == ["dog_church-bell_00000", "dog_church-bell_00001"]
    assert images[0].prompt == "a photo of dog and church bell"
    assert images[0].prompt == images[3].prompt != images[1].prompt
    assert len({image.seed for image in images}) == 4
    assert plan.count_uses() == {"dog": 4, "church bell": 4}
    assert BenchmarkPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_single_categories_need_no_pairs() -> None:
    plan = make_plan("mine", ["dog", "cat", "cow"], pairs="single", images_per_pair=2)
    assert [plan.image(number).categories for number in (0, 5)] == [("dog",), ("cow",)]


def test_names_become_words_for_files() -> None:
    assert make_slug("Big_Cat (roaring)") == "big-cat-roaring"
    assert make_slug("<b>Glocke</b>") == "b-glocke-b"
    assert make_slug("犬") != make_slug("猫")


@pytest.mark.parametrize(
    ("categories", "options", "message"),
    [
        (["dog", "Dog"], {}, "which would share file names (dog)"),
        (["dog"], {}, "found 1 categories, expected 2 or more"),
        (["dog", "a\nb"], {}, "printable characters"),
        (["dog", "cat"], {"prompts": ["no braces"]}, "expected text with {first} and {second}"),
        (["dog", "cat"], {"prompts": ["{first.__class__}"]}, "expected text with {first} and {second}"),
        (["dog", "cat"], {"prompts": ["{first"]}, "expected braces in pairs"),
        (["dog", "cat"], {"images_per_pair": 0}, "the plan has no images"),
        (["dog", "cat"], {"pairs": "balanced", "num_pairs": 2}, "found 2 pairs, expected 1 to 1 of 2 categories"),
        ([f"c{i}" for i in range(3000)], {}, "3000 categories make 4498500 pairs"),
    ],
)
def test_what_cannot_be_planned_is_said(categories: list[str], options: dict, message: str) -> None:
    with pytest.raises(DataError) as error:
        make_plan("mine", categories, **options)
    assert message in str(error.value)


def test_a_number_of_pairs_is_for_balanced_alone() -> None:
    with pytest.raises(RecipeError, match="`balanced` alone takes one"):
        make_plan("mine", ["dog", "cat"], num_pairs=1)


def test_three_thousand_categories_are_drawn_from(tmp_path) -> None:
    plan = make_plan("large", [f"c{i}" for i in range(3000)], "balanced", 300, 1)
    assert len(create_project(tmp_path / "p", plan).plan) == 300


def test_a_plan_changes_until_work_begins(tmp_path) -> None:
    create_project(tmp_path / "p", make_plan("mine", ["dog", "cat"]))
    project = create_project(tmp_path / "p", make_plan("mine", ["dog", "cow"]))
    assert Project(tmp_path / "p").plan.categories == ("dog", "cow")
    assert project.journal.count_rows()["plans"] == 2
    project.journal.insert(
        "audio", key="a", file=None, category="dog", sha256="", seconds=1.0, problem="silent", source="{}"
    )
    create_project(tmp_path / "p", make_plan("mine", ["dog", "cow"]))  # the same plan again
    with pytest.raises(DataError, match=r"another plan \(seed changed\) after work began \(1 audio\)"):
        create_project(tmp_path / "p", make_plan("mine", ["dog", "cow"], seed=1))


def test_a_folder_of_something_else_is_no_project(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds something else"):
        create_project(tmp_path, make_plan("mine", ["dog", "cat"]))
    with pytest.raises(DataError, match="expected a project"):
        Project(tmp_path)


def test_a_project_that_was_stopped_before_its_journal_is_begun_again(tmp_path) -> None:
    (tmp_path / "images").mkdir()
    assert create_project(tmp_path, make_plan("mine", ["dog", "cat"])).plan.categories == ("dog", "cat")
    other = tmp_path / "other"
    (other / "images").mkdir(parents=True)
    (other / "images" / "a.jpg").write_text("mine")
    with pytest.raises(OutputError, match="holds something else"):
        create_project(other, make_plan("mine", ["dog", "cat"]))


def test_a_damaged_journal_is_named(tmp_path) -> None:
    project = create_project(tmp_path / "p", make_plan("mine", ["dog", "cat"]))
    for file in project.folder.glob("journal.sqlite*"):
        file.unlink()
    project.journal.path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match="found a damaged journal"):
        DecisionJournal(tmp_path / "p")

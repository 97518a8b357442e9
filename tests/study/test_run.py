"""A study does each training and each score once, whatever kills it, and averages no failure away."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from schemas import check_output
from soundspot.config.checkpoint import read_header
from soundspot.config.load import find_yaml
from soundspot.config.schema import Recipe, ViewsConfig
from soundspot.errors import DataError, RecipeError
from soundspot.evaluation.report.report import load_report
from soundspot.study import page, plan, recipes, results, run
from soundspot.study.journal import JOURNAL_FILE, StudyJournal
from soundspot.study.page import write_page
from soundspot.study.plan import Planner
from soundspot.study.run import do_jobs, run_study
from soundspot.study.schema import Study, build_study
from soundspot.study.scoring_tasks import ScoreTask, ScoringFeatureTask
from soundspot.study.tasks import Outcome, Task
from soundspot.study.training_tasks import BEST, FeatureTask, StartTask, TrainTask
from soundspot.utils.atomic_io import DiskFullError
from study.test_schema import SMALL, TUNING

STUDY: dict[str, Any] = {
    **SMALL,
    "title": "A study",
    "methods": {"ezvsl": None, "lvs": None, "heartheflow": {"left_out": "it needs videos"}},
    "seeds": [0, 1, 2],
    "tests": {"single": {"name": "scenes-single"}, "double": {"name": "scenes-interactive"}},
    "tables": {"Scores": {"one": "single/ciou_adaptive", "two": "double/iiou_adaptive"}},
    "correlations": [["single/ciou_adaptive", "double/iiou_adaptive"]],
    "tuning": {**TUNING, "keys": {"train.lr": [1e-3, 2e-3]}, "budget": 2},
}


class Worker:
    """Does as if: scores follow from the recipe alone. It fails where it is to, and is killed after a number."""

    def __init__(self, fail: str = "", stop_after: int = 10**6) -> None:
        self.fail, self.stop_after, self.done = fail, stop_after, Counter[str]()
        self.recipes: dict[Path, Any] = {}

    def __call__(self, task: Task) -> Outcome:
        if self.done.total() >= self.stop_after:
            raise KeyboardInterrupt
        self.done[f"{type(task).__name__} {getattr(task, 'folder', getattr(task, 'report', ''))}"] += 1
        if isinstance(task, TrainTask):
            recipe = task.recipe
            (task.folder).mkdir(parents=True, exist_ok=True)
            (task.folder / "recipe").write_text(f"{recipe.method['name']} {recipe.train.seed} {recipe.train.lr}")
            if self.fail == f"{recipe.method['name']} {recipe.train.seed}":
                return Outcome({}, "the loss is no longer finite", 1.0, 1.0, 5)
            return Outcome({"weights": 10}, "", 1.0, 1.0, 5)
        assert isinstance(task, ScoreTask)
        name, seed, lr = (task.checkpoint.parent / "recipe").read_text().split()
        value = 0.5 + 0.1 * (name == "lvs") + 0.01 * int(seed) + 10 * float(lr) * (name == "lvs")
        task.draws.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(0).normal(0, 0.01, 100)
        np.savez(task.draws, **dict.fromkeys(task.keys, (value + noise).astype(np.float32)))
        rows = {"model": {key: [value, value, value] for key in task.keys}, "muted": {task.keys[0]: [0.1, 0, 1]}}
        return Outcome({"n": 4, "rows": rows, "verdict": "It listens: so."}, "", 2.0, 2.0, 7)


def planner_of(folder: Path, change: dict[str, Any] | None = None) -> Planner:
    return Planner(build_study({**STUDY, **(change or {})}), folder)


def work(planner: Planner, worker: Worker) -> str:
    planner.folder.mkdir(exist_ok=True)
    journal = StudyJournal(planner.folder)
    do_jobs(planner, journal, [worker], lambda line: None)
    return write_page(planner, journal.records).read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def _without_figures() -> Iterator[None]:
    """They have tests of their own, and take a second for each page."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_scores", "draw_ranks", "draw_correlations"):
            patch.setattr(page, name, lambda *arguments: "")
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Worker]:
    worker = Worker()
    return work(planner_of(tmp_path_factory.mktemp("study")), worker), worker


def test_each_training_and_each_score_is_done_once(undisturbed: tuple[str, Worker]) -> None:
    text, worker = undisturbed
    # Two methods with two rates each, then three seeds each on two tests.
    assert Counter(name.split()[0] for name in worker.done) == {"TrainTask": 4 + 6, "ScoreTask": 4 + 12}
    assert set(worker.done.values()) == {1}
    assert "| lvs | 2 | train.lr 0.002 |" in text
    assert "4 trainings" in text
    assert "| ezvsl | 2 | train.lr 0.001 |" in text  # of equal ones the first
    assert "| lvs | **63.0** ± 1.0 (" in text
    assert "heartheflow is left out**: it needs videos" in text
    assert "3 of 3 seeds listen" in text


@pytest.mark.parametrize("first", [1, 4, 9, 17, 25])
def test_a_killed_study_goes_on_to_the_same_page(tmp_path: Path, undisturbed: tuple[str, Worker], first: int) -> None:
    planner, killed, second = planner_of(tmp_path), Worker(stop_after=first), Worker()
    with pytest.raises(KeyboardInterrupt):
        work(planner, killed)
    with open(tmp_path / JOURNAL_FILE, "ab") as file:
        file.write(b'{"key": "half of a li')
    assert work(planner, second) == undisturbed[0]
    assert killed.done.total() + second.done.total() == undisturbed[1].done.total()
    assert work(planner, third := Worker()) == undisturbed[0]
    assert not third.done


def test_a_training_that_fails_is_named_and_not_averaged(tmp_path: Path) -> None:
    text = work(planner_of(tmp_path), Worker(fail="lvs 2"))
    assert "**1 failed**, and do not enter any mean" in text
    assert "training of lvs, seed 2: the loss is no longer finite" in text
    assert "| lvs | **62.5** ± 0.7 (" in text  # of the two seeds that are left
    assert "n = 2" in text
    rows = (tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert rows[-1] == "lvs,2,,"


def test_results_of_another_version_are_named_and_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (recipes, run):
        monkeypatch.setattr(module, "__version__", "0.0.1")
    work(old := planner_of(tmp_path), Worker())
    records = StudyJournal(tmp_path).records
    assert old.count_done(records) == old.count_jobs() == len(records)
    monkeypatch.undo()
    assert planner_of(tmp_path).count_done(records) == 0
    planner = planner_of(tmp_path)
    text = write_page(planner, StudyJournal(tmp_path).records).read_text(encoding="utf-8")
    assert "26 results of soundspot 0.0.1** in the journal are not used" in text
    assert "**Not complete**: 18 trainings and scores are not done" in text


def test_start_weights_come_first_then_features_each_once(tmp_path: Path) -> None:
    encoders = {"image": {"encoder": "resnet", "weights": "x"}, "feature_cache": {"folder": "x", "seed": 0}}
    recipe = {**encoders, "views": {"semantic": False}}
    change = {"recipe": recipe, "start": {"options": {"length": 4}}, "tuning": None}
    planner, records = planner_of(tmp_path, change), dict[str, Any]()
    (start,) = planner.ready(records)
    assert isinstance(start.task, StartTask)
    records[start.key] = {"error": ""}
    features, *of_tests = planner.ready(records)  # of both methods and all seeds
    assert isinstance(features.task, FeatureTask)
    assert features.task.recipe.image["weights"] == str(start.task.output)
    assert [job.labels["test"] for job in of_tests] == ["single", "double"]
    records |= {job.key: {"error": ""} for job in (features, *of_tests)}
    trainings = planner.ready(records)
    assert [job.kind for job in trainings] == ["training"] * 6
    records |= {job.key: {"error": ""} for job in trainings}
    scores = [job.task for job in planner.ready(records)]
    folders = {task.features for task in scores if isinstance(task, ScoreTask)}
    assert folders == {job.task.folder for job in of_tests if isinstance(job.task, ScoringFeatureTask)}


def test_what_is_needed_and_gone_is_done_again(tmp_path: Path) -> None:
    """Of a journal that was copied without `runs`."""
    planner, records = planner_of(tmp_path, {"start": {"options": {"length": 4}}, "tuning": None}), dict[str, Any]()
    assert not planner.find_lost(records)
    (start,) = planner.ready(records)
    records[start.key] = {"error": ""}
    first, *others = trainings = planner.ready(records)
    records |= {job.key: {"error": ""} for job in trainings}
    assert planner.find_lost(records) == {start.key, *(job.key for job in trainings)}
    records |= {job.key: {"error": "the loss is no longer finite"} for job in others}
    assert planner.find_lost(records) == {start.key, first.key}
    for path in (tmp_path / "runs" / first.key / BEST, planner.start_path()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert not planner.find_lost(records)
    (tmp_path / "runs" / first.key / BEST).unlink()
    assert planner.find_lost(records) == {first.key}
    records |= {job.key: {"error": ""} for job in planner.ready(records)}
    assert not planner.find_lost(records)  # scored, it is not needed any more


def test_without_start_weights_nothing_is_trained(tmp_path: Path) -> None:
    planner = planner_of(tmp_path, {"start": {}, "tuning": None})
    with pytest.raises(DataError, match="start: no room"):
        do_jobs(planner, StudyJournal(tmp_path), [lambda task: Outcome({}, "no room")], lambda line: None)
    assert not StudyJournal(tmp_path).records


def test_a_full_disk_is_no_failure_of_a_method(tmp_path: Path) -> None:
    full = Outcome({}, "no room", is_disk_full=True)
    with pytest.raises(DiskFullError, match="no room"):
        do_jobs(planner_of(tmp_path), StudyJournal(tmp_path), [lambda task: full], lambda line: None)
    assert not StudyJournal(tmp_path).records


def test_numbers_are_there_for_other_programs(tmp_path: Path) -> None:
    work(planner_of(tmp_path), Worker())
    numbers = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    check_output(numbers, "study")
    journal = (tmp_path / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    check_output([json.loads(line) for line in journal], "study-journal")
    lvs = numbers["columns"]["single/ciou_adaptive"]["lvs"]
    assert lvs["mean"] == pytest.approx(0.63)
    assert lvs["seeds"] == pytest.approx([0.62, 0.63, 0.64])
    assert numbers["correlations"][0]["within"][0] == pytest.approx(1)
    assert {path.name for path in tmp_path.iterdir()} >= {"scores.csv", "study.md"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": {"ezvsl": {"image": {"encoder": "resnet19"}}}}, "ezvsl: .*resnet19.*left_out"),
        ({"methods": {"lcbm": {"labels": {"source": "none"}}}}, "lcbm: .*class labels.*left_out"),
        ({"tests": {"single": {"name": "scenes-single", "options": {"lenght": 3}}}}, "Did you mean 'length'"),
        ({"overrides": {"validation": {"data": {"name": "scenes"}}}}, "found validation.data, expected none"),
        (
            {
                "methods": {"heartheflow": None},
                "overrides": {
                    "image": {"encoder": "efficientnet_lite0", "trained": 0, "width": 16},
                    "front_end": {"preset": "efficientnet_lite0+lvs"},
                    "feature_cache": {"folder": "x"},
                },
            },
            "heartheflow: .*reads optical flow.*left_out",
        ),
    ],
)
def test_what_cannot_be_done_is_named_before_anything_runs(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    tables = {"tables": {"Scores": {"one": "single/ciou"}}, "correlations": [], "tuning": None}
    study: Study = build_study({**STUDY, **tables, **change})
    with pytest.raises(RecipeError, match=message):
        run_study(study, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_word_on_each_job() -> None:
    labels = {"arm": "lvs", "seed": 1, "test": "single", "tuning": {"train.lr": 1}}
    job = plan.Job("k", "score", labels, FeatureTask(Recipe(views=ViewsConfig(semantic=False))))
    assert plan.describe_job(job) == 'score lvs, seed 1, {"train.lr": 1}, on single'
    assert results.Column("single/ciou", np.ones((1, 1)), np.ones((1, 1, 1))).key == "ciou"


@pytest.mark.slow
def test_the_debug_study_killed_on_the_way_gives_the_same_scores(tmp_path: Path) -> None:
    def command(name: str) -> list[str]:
        return [sys.executable, "-m", "soundspot", "study", "debug", "-o", str(tmp_path / name), "--workers", "2"]

    subprocess.run(command("undisturbed"), check=True, stdout=subprocess.DEVNULL)
    journal = tmp_path / "killed" / JOURNAL_FILE
    for lines in (3, 9, 15):
        process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL)
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < lines):
            time.sleep(0.05)
        process.kill()
        process.wait()
    subprocess.run(command("killed"), check=True, stdout=subprocess.DEVNULL)
    tables = [(tmp_path / name / "scores.csv").read_bytes() for name in ("undisturbed", "killed")]
    assert tables[0] == tables[1]
    keys = [json.loads(line)["key"] for line in journal.read_text(encoding="utf-8").splitlines()]
    assert len(keys) == len(set(keys))
    report = next((tmp_path / "killed" / "scores").iterdir())
    assert load_report(report).n in (6, 12)  # images with one sound, or with two
    thresholds = [read_header(run / BEST).get("threshold") for run in (tmp_path / "killed" / "runs").iterdir()]
    assert Counter(threshold is None for threshold in thresholds) == {True: 4, False: 4}  # of tuning; of the study


@pytest.mark.slow
def test_a_study_runs_on_a_cluster(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is absent (pip install soundspot[ray])")
    values = yaml.safe_load(find_yaml("debug", "study").read_text(encoding="utf-8"))
    file = tmp_path / "one.yaml"
    file.write_text(json.dumps({**values, "methods": {"alignment": None}, "seeds": [0], "tuning": None}))
    command = [sys.executable, "-m", "soundspot", "study", str(file), "-o", str(tmp_path / "out")]
    subprocess.run([*command, "--executor", "ray", "--workers", "1"], check=True, stdout=subprocess.DEVNULL)
    records = StudyJournal(tmp_path / "out").records.values()
    assert [(record["kind"], record["error"]) for record in records] == [("training", ""), ("score", ""), ("score", "")]


def test_models_are_calibrated_before_they_are_scored_and_not_while_values_are_chosen(tmp_path: Path) -> None:
    held_out = {"name": "scenes-single", "options": {"seed": 7}}
    plain, fitted = planner_of(tmp_path), planner_of(tmp_path, {"calibration": held_out})
    arm, other = fitted.study.trained_arms[0], plain.study.trained_arms[0]
    assert fitted.training(arm, 0).key != plain.training(other, 0).key
    assert fitted.training(arm, 9, is_tuning=True).key == plain.training(other, 9, is_tuning=True).key
    task = fitted.training(arm, 0).task
    assert isinstance(task, TrainTask)
    assert task.calibration == fitted.study.calibration

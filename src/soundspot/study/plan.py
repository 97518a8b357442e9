"""What a study still has to do: its tasks as a pure function of its file and its journal."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from soundspot.config.schema import Recipe
from soundspot.data.datasets.registry import PACKAGED
from soundspot.models.staged import NECK_OPTIONS
from soundspot.study.journal import Record
from soundspot.study.recipes import (
    Choice,
    build_arm_recipe,
    data_identity,
    hash_values,
    list_choices,
    recipe_identity,
    with_paths,
    with_seed,
)
from soundspot.study.schema import Arm, Study, StudyData
from soundspot.study.scoring_tasks import ScoreTask, ScoringFeatureTask
from soundspot.study.tasks import Task
from soundspot.study.training_tasks import BEST, FeatureTask, StartTask, TrainTask

Records = Mapping[str, Record]


@dataclass(frozen=True)
class Job:
    """A task with the key of its record.

    Attributes:
        key: key of all that its result depends on.
        kind: `start`, `features`, `training` or `score`.
        labels: what the record says of it besides: arm, seed, test, and the values that tuning tries.
        task: what a worker does.
    """

    key: str
    kind: str
    labels: dict[str, Any]
    task: Task


@dataclass(frozen=True)
class Planner:
    """The jobs of a study in a folder.

    Attributes:
        study: the study.
        folder: folder of its journal, runs and scores.
        root: folder of data sets that name none.
    """

    study: Study
    folder: Path
    root: str | None = None
    _recipes: dict[tuple[str, Choice, bool], Recipe] = field(default_factory=dict, repr=False)
    _jobs: dict[tuple[Any, ...], Job] = field(default_factory=dict, repr=False)

    def recipe(self, arm: Arm, choice: Choice = (), is_tuning: bool = False) -> Recipe:
        """Return the recipe of an arm, without a seed and without paths of this machine.

        Args:
            arm: arm of the study.
            choice: values that tuning gives.
            is_tuning: whether the training is one of tuning.

        Returns:
            The recipe.

        Raises:
            RecipeError: an unknown key, or a value of the wrong type.
        """
        key = arm.name, choice, is_tuning
        if key not in self._recipes:
            self._recipes[key] = build_arm_recipe(self.study, arm, choice, is_tuning)
        return self._recipes[key]

    def start_key(self) -> str:
        """Return the key of the start weights; empty where the study has none."""
        if self.study.start is None:
            return ""
        recipe = self.recipe(self.study.trained_arms[0])
        return hash_values("start", vars(self.study.start), recipe.image, recipe_identity(recipe)["front_end"])

    def localized(self, recipe: Recipe) -> Recipe:
        """Return a recipe with the paths of this machine.

        Args:
            recipe: recipe of a training.

        Returns:
            The recipe that is trained by.
        """
        weights = str(self.start_path()) if self.study.start else None
        return with_paths(recipe, self.root, self.folder, weights)

    def start_path(self) -> Path:
        """Return the path of the start weights."""
        return self.folder / "runs" / f"start-{self.start_key()}.pt"

    def training(self, arm: Arm, seed: int, choice: Choice = (), is_tuning: bool = False) -> Job:
        """Return the job of one training.

        Args:
            arm: arm of the study.
            seed: `train.seed`.
            choice: values that tuning gives.
            is_tuning: whether the training is one of tuning.

        Returns:
            The job.
        """
        cell = arm.name, seed, choice, is_tuning
        if cell in self._jobs:
            return self._jobs[cell]
        recipe = with_seed(self.recipe(arm, choice, is_tuning), seed)
        calibration = None if is_tuning else self.study.calibration
        fitted_on = [] if calibration is None else [data_identity(calibration)]
        key = hash_values("training", recipe_identity(recipe), self.start_key(), *fitted_on)
        labels: dict[str, Any] = {"arm": arm.name, "seed": seed}
        if is_tuning:
            labels["tuning"] = dict(choice)
        task = TrainTask(self.localized(recipe), self.folder / "runs" / key)
        if calibration is not None:
            features = self.test_features(arm, calibration)
            task = replace(task, calibration=self.localized_test(calibration), features=features)
        job = Job(key, "training", labels, task)
        return self._jobs.setdefault(cell, job)

    def score(self, arm: Arm, training: Job, name: str, test: StudyData, keys: tuple[str, ...]) -> Job:
        """Return the job of one score.

        Args:
            arm: arm of the study.
            training: job of the training whose checkpoint is scored.
            name: name of the test set.
            test: the test set.
            keys: report keys.

        Returns:
            The job.
        """
        cell = training.key, name
        if cell in self._jobs:
            return self._jobs[cell]
        examples = None
        if test.examples and training.labels["seed"] == self.study.seeds[0]:
            examples = self.folder / "examples" / f"{training.key}-{name}.jpg"
        identity = data_identity(replace(test, examples=()))
        key = hash_values("score", training.key, identity, keys, bool(examples) and test.examples)
        task = ScoreTask(
            self.folder / "runs" / training.key / BEST,
            arm.name,
            self.localized_test(test),
            keys,
            self.folder / "scores" / key,
            self.folder / "draws" / f"{key}.npz",
            examples,
            self.test_features(arm, test),
        )
        labels = {**training.labels, "test": name, "training": training.key}
        return self._jobs.setdefault(cell, Job(key, "score", labels, task))

    def keys_of(self, test: str) -> tuple[str, ...]:
        """Return the report keys of the columns of a test.

        Args:
            test: name of the test.

        Returns:
            Report keys in the order of the study's columns.
        """
        split = [column.split("/", 1) for column in self.study.columns]
        return tuple(key for name, key in split if name == test)

    def feature_jobs(self) -> list[Job]:
        """Return the jobs of the features that the recipes of a study read, each once."""
        jobs: dict[str, Job] = {}
        arms = self.study.trained_arms
        for recipe in [self.recipe(arm, is_tuning=tuning) for arm in arms for tuning in (False, True)]:
            if not recipe.feature_cache.folder:
                continue
            values = recipe_identity(recipe)
            names = ("image", "audio", "front_end", "data", "views", "feature_cache")
            identity = {
                name: {key: value for key, value in values[name].items() if key not in NECK_OPTIONS} for name in names
            }
            key = hash_values("features", identity)
            jobs.setdefault(key, Job(key, "features", {}, FeatureTask(self.localized(recipe))))
        for arm in arms:
            held_out = {"tuning": self.study.tuning and self.study.tuning.data, "calibration": self.study.calibration}
            for name, test in {**self.study.tests, **held_out}.items():
                if test and (folder := self.test_features(arm, test)):
                    recipe, is_fitted = self.localized(self.recipe(arm)), name == "calibration"
                    task = ScoringFeatureTask(recipe, self.localized_test(test), folder, is_fitted)
                    jobs.setdefault(folder.name, Job(folder.name, "features", {"test": name}, task))
        return list(jobs.values())

    def test_features(self, arm: Arm, test: StudyData) -> Path | None:
        """Return the folder of what the frozen encoders of an arm make of a test set.

        Args:
            arm: arm of the study.
            test: the test set.

        Returns:
            Folder that arms with the same frozen encoders share; None where the arm's recipe keeps no features.
        """
        recipe = self.recipe(arm)
        if not recipe.feature_cache.folder:
            return None
        values = recipe_identity(recipe)
        encoders = [{k: v for k, v in values[name].items() if k not in NECK_OPTIONS} for name in ("image", "audio")]
        identity = data_identity(replace(test, examples=()))
        return self.folder / "features" / hash_values("test features", encoders, values["front_end"], identity)

    def localized_test(self, test: StudyData) -> StudyData:
        """Return a test set with the folder it lies in on this machine.

        Args:
            test: the test set.

        Returns:
            The test set that is scored on.
        """
        return test if test.name in PACKAGED else replace(test, root=test.root or self.root)

    def tuning_jobs(self, arm: Arm) -> list[tuple[Choice, Job, Job]]:
        """Return the trainings and scores by which values of an arm are chosen.

        Args:
            arm: arm of the study.

        Returns:
            (values, training, score) of each combination; empty where nothing is tuned.
        """
        tuning = self.study.tuning
        if tuning is None:
            return []
        jobs = []
        for choice in list_choices(tuning, arm.method):
            training = self.training(arm, tuning.seed, choice, is_tuning=True)
            jobs.append((choice, training, self.score(arm, training, "tuning", tuning.data, (tuning.metric,))))
        return jobs

    def choose(self, arm: Arm, records: Records) -> Choice | None:
        """Choose the values of an arm by the scores of its tuning.

        Args:
            arm: arm of the study.
            records: records of the journal.

        Returns:
            The values with the highest score; () where nothing is tuned or all trainings failed; None while some are
            not done.
        """
        best: tuple[float, Choice] = (float("-inf"), ())
        for choice, training, score in self.tuning_jobs(arm):
            if training.key not in records:
                return None
            if records[training.key]["error"]:
                continue
            if score.key not in records:
                return None
            assert self.study.tuning is not None
            row = records[score.key].get("rows", {}).get("model", {})
            value = row.get(self.study.tuning.metric, [None])[0]
            if value is not None and value > best[0]:
                best = value, choice
        return best[1]

    def results(self, records: Records) -> Iterator[tuple[Arm, int, Job, dict[str, Job]]]:
        """Yield the trainings of the study whose values are chosen.

        Args:
            records: records of the journal.

        Yields:
            (arm, seed, training, test -> score).
        """
        for arm in self.study.trained_arms:
            choice = self.choose(arm, records)
            if choice is None:
                continue
            for seed in self.study.seeds:
                training = self.training(arm, seed, choice)
                tests = self.study.tests.items()
                scores = {name: self.score(arm, training, name, test, self.keys_of(name)) for name, test in tests}
                yield arm, seed, training, scores

    def count_jobs(self) -> int:
        """Return the number of jobs of the study, those included that are done or will not be needed."""
        arms = self.study.trained_arms
        of_tuning = sum(2 * len(self.tuning_jobs(arm)) for arm in arms)
        of_seeds = len(arms) * len(self.study.seeds) * (1 + len(self.study.tests))
        return bool(self.start_key()) + len(self.feature_jobs()) + of_tuning + of_seeds

    def count_done(self, records: Records) -> int:
        """Return the number of jobs of the study that are recorded; a journal may hold those of other recipes too.

        Args:
            records: records of the journal.

        Returns:
            Number of jobs, at most `count_jobs`.
        """
        of_trainings = [job.key for training, scores in self._trainings(records) for job in (training, *scores)]
        keys = {self.start_key(), *(job.key for job in self.feature_jobs()), *of_trainings}
        return len(keys & records.keys())

    def ready(self, records: Records) -> list[Job]:
        """Return the jobs that can be done now and are not recorded: start weights first, then features, then others.

        Args:
            records: records of the journal.

        Returns:
            Jobs, those first that make others ready.
        """
        if (start := self.study.start) and self.start_key() not in records:
            recipe = self.recipe(self.study.trained_arms[0])
            return [Job(self.start_key(), "start", {}, StartTask(start, recipe, self.start_path()))]
        if missing := [job for job in self.feature_jobs() if job.key not in records]:
            return missing
        jobs = [job for training, scores in self._trainings(records) for job in _next_of(records, training, scores)]
        unique = {job.key: job for job in jobs}.values()
        return sorted(unique, key=lambda job: ("tuning" not in job.labels, job.kind == "training"))

    def find_lost(self, records: Records) -> set[str]:
        """Find what is recorded, and has to be done again, as its file is needed and not there: in a copy of a journal.

        Args:
            records: records of the journal.

        Returns:
            Keys of trainings that are not scored on all tests, and of start weights that something needs.
        """
        trainings = list(self._trainings(records))
        lost = {
            training.key
            for training, scores in trainings
            if training.key in records
            and not records[training.key]["error"]
            and any(score.key not in records for score in scores)
            and not (self.folder / "runs" / training.key / BEST).exists()
        }
        before = {job.key for job in (*self.feature_jobs(), *(training for training, _ in trainings))}
        if self.start_key() in records and (lost or before - records.keys()) and not self.start_path().exists():
            lost.add(self.start_key())
        return lost

    def _trainings(self, records: Records) -> Iterator[tuple[Job, list[Job]]]:
        """Yield the trainings of tuning, and those whose values are chosen, with their scores."""
        for arm in self.study.trained_arms:
            yield from ((training, [score]) for _, training, score in self.tuning_jobs(arm))
        yield from ((training, list(scores.values())) for _, _, training, scores in self.results(records))


def _next_of(records: Records, training: Job, scores: list[Job]) -> list[Job]:
    """Return a training that is not done, or the scores of one that is."""
    if training.key not in records:
        return [training]
    if records[training.key]["error"]:
        return []
    return [score for score in scores if score.key not in records]


def describe_job(job: Job) -> str:
    """Describe a job in a few words.

    Args:
        job: the job.

    Returns:
        Such as `score ezvsl, seed 1, on interactive`.
    """
    words = [f"{job.kind} {job.labels.get('arm', '')}".strip()]
    if "seed" in job.labels:
        words.append(f"seed {job.labels['seed']}")
    if job.labels.get("tuning"):
        words.append(json.dumps(job.labels["tuning"]))
    return ", ".join(words) + (f", on {job.labels['test']}" if "test" in job.labels else "")

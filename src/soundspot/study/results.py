"""The results of a study as arrays, from its journal and the bootstrap draws beside it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from soundspot import __version__
from soundspot.evaluation.metrics.bootstrap import bootstrap_p_value
from soundspot.evaluation.metrics.registry import get_metric_info
from soundspot.study.journal import Record
from soundspot.study.plan import Planner
from soundspot.study.statistics import (
    Correlation,
    Estimate,
    Ranks,
    correlate,
    draw_seeds,
    estimate,
    holm,
    mean_and_spread,
    rank_arms,
    seed_means,
)
from soundspot.utils.safe_read import convert_read_errors


@dataclass(frozen=True)
class Column:
    """Scores of all arms and seeds by one metric on one test set.

    Attributes:
        name: `TEST/METRIC`.
        values: (a, s) scores; nan where a training or a score failed, or the report has none.
        draws: (a, s, d) the same in bootstrap draws of the images.
    """

    name: str
    values: Float[np.ndarray, "a s"]
    draws: Float[np.ndarray, "a s d"]

    @property
    def key(self) -> str:
        """Report key."""
        return self.name.split("/", 1)[1]


@dataclass(frozen=True)
class Summary:
    """A column with its statistics.

    Attributes:
        column: the column.
        means: (a,) means over seeds.
        spread: (a,) standard deviations between seeds.
        intervals: intervals of the means, of seeds and images.
        best: position of the arm with the best mean; -1 where no arm has one.
        differences: best arm minus each, paired by seed and image.
        p_values: (a,) p-values of the differences, corrected by Holm's method; nan for the best itself.
        ranks: ranks of the arms that have a score; None where fewer than two have.
        ranked: positions of these arms.
    """

    column: Column
    means: Float[np.ndarray, " a"]
    spread: Float[np.ndarray, " a"]
    intervals: tuple[Estimate, ...]
    best: int
    differences: tuple[Estimate, ...]
    p_values: Float[np.ndarray, " a"]
    ranks: Ranks | None
    ranked: NDArray[np.int64]


@dataclass(frozen=True)
class Results:
    """All results of a study.

    Attributes:
        arms: names of the trained arms.
        seeds: seeds.
        columns: `TEST/METRIC` -> scores.
        scores: (arm, seed, test) -> record of the score.
        trainings: (arm, seed) -> record of the training.
        tuning: records of the trainings and scores by which values were chosen.
        chosen: arm -> values that were chosen.
        failures: sentences, one for each training or score that failed.
        missing: number of trainings and scores that are not done.
        ignored: version -> number of records of that version, which are not used.
    """

    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    columns: dict[str, Column]
    scores: dict[tuple[str, int, str], Record]
    trainings: dict[tuple[str, int], Record]
    tuning: tuple[Record, ...]
    chosen: dict[str, str]
    failures: tuple[str, ...]
    missing: int
    ignored: dict[str, int]


def collect_results(planner: Planner, records: Mapping[str, Record]) -> Results:
    """Collect the results of a study.

    Args:
        planner: jobs of the study.
        records: records of its journal; those of other versions of the library have other keys, and are counted alone.

    Returns:
        The results.

    Raises:
        DataError: a file of draws is missing or damaged.
    """
    study = planner.study
    arms = tuple(arm.name for arm in study.trained_arms)
    scores: dict[tuple[str, int, str], Record] = {}
    trainings: dict[tuple[str, int], Record] = {}
    draws: dict[tuple[str, int, str], dict[str, NDArray[np.float32]]] = {}
    expected = len(arms) * len(study.seeds) * (1 + len(study.tests))
    for arm, seed, training, tests in planner.results(records):
        if training.key not in records:
            continue
        trainings[arm.name, seed] = records[training.key]
        if records[training.key]["error"]:
            expected -= len(tests)
            continue
        for name, job in tests.items():
            if job.key not in records:
                continue
            cell = arm.name, seed, name
            scores[cell] = records[job.key]
            if not records[job.key]["error"]:
                path = planner.folder / "draws" / f"{job.key}.npz"
                with convert_read_errors(path, "expected the bootstrap draws of a score"), np.load(path) as file:
                    draws[cell] = dict(file)
    tuning = [
        records[job.key]
        for arm in study.trained_arms
        for _, *jobs in planner.tuning_jobs(arm)
        for job in jobs
        if job.key in records
    ]
    choices = {arm.name: planner.choose(arm, records) for arm in study.trained_arms} if study.tuning else {}
    versions = [record["version"] for record in records.values() if record["version"] != __version__]
    failed = [r for r in (*trainings.values(), *scores.values(), *tuning) if r["error"]]
    return Results(
        arms,
        study.seeds,
        {name: _build_column(name, arms, study.seeds, scores, draws) for name in study.columns},
        scores,
        trainings,
        tuple(tuning),
        {name: ", ".join(f"{k} {v}" for k, v in choice or ()) for name, choice in choices.items()},
        tuple(map(_describe_failure, failed)),
        expected - len(trainings) - len(scores),
        {version: versions.count(version) for version in dict.fromkeys(versions)},
    )


def _build_column(
    name: str,
    arms: tuple[str, ...],
    seeds: tuple[int, ...],
    scores: dict[tuple[str, int, str], Record],
    draws: dict[tuple[str, int, str], dict[str, NDArray[np.float32]]],
) -> Column:
    test, key = name.split("/", 1)
    num_draws = max((len(known[key]) for known in draws.values() if key in known), default=0)
    values = np.full((len(arms), len(seeds)), np.nan)
    drawn = np.full((len(arms), len(seeds), num_draws), np.nan)
    for i, arm in enumerate(arms):
        for j, seed in enumerate(seeds):
            row = scores.get((arm, seed, test), {}).get("rows", {}).get("model", {})
            if row.get(key, [None])[0] is not None:
                values[i, j] = row[key][0]
            if key in (known := draws.get((arm, seed, test), {})):
                drawn[i, j] = known[key]
    return Column(name, values, drawn)


def _describe_failure(record: Record) -> str:
    test = f" on {record['test']}" if "test" in record else ""
    values = f" ({record['tuning']})" if "tuning" in record else ""
    return f"{record['kind']} of {record['arm']}, seed {record['seed']}{values}{test}: {record['error']}"


def summarize(column: Column) -> Summary:
    """Compute the statistics of a column.

    Args:
        column: one score of all arms and seeds.

    Returns:
        Its statistics.
    """
    sign = 1 if get_metric_info(column.key).higher_is_better else -1
    means, spread = mean_and_spread(column.values)
    num_draws = column.draws.shape[-1]
    drawn = seed_means(column.draws, draw_seeds(column.values.shape[1], num_draws))
    best = int(np.nanargmax(sign * means)) if np.isfinite(means).any() else -1
    gaps = drawn[best] - drawn if best >= 0 else drawn
    p_values = np.array([np.nan if i == best else bootstrap_p_value(gap) for i, gap in enumerate(gaps)])
    ranked = np.flatnonzero(np.isfinite(means))
    return Summary(
        column,
        means,
        spread,
        tuple(estimate(mean, draws) for mean, draws in zip(means, drawn, strict=True)),
        best,
        tuple(estimate(means[best] - mean, gap) for mean, gap in zip(means, gaps, strict=True)),
        holm(p_values),
        rank_arms(sign * means[ranked], sign * drawn[ranked]) if len(ranked) > 1 else None,
        ranked,
    )


def correlate_columns(x: Column, y: Column) -> Correlation:
    """Correlate two columns of a study.

    Args:
        x: first score.
        y: second score.

    Returns:
        Rank correlations across and within arms. Draws of two test sets are independent of each other.
    """
    d = min(x.draws.shape[-1], y.draws.shape[-1])
    return correlate(x.values, y.values, x.draws[..., :d], y.draws[..., :d])

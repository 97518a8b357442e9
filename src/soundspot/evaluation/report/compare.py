"""Compare models on the same samples: are they different, or is it the draw of the test set?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.config.refinement import Refinement
from soundspot.errors import DataError
from soundspot.evaluation.engine.predict import check_counts
from soundspot.evaluation.engine.sample_table import CEILING, CENTERED_BOX, WHOLE_IMAGE
from soundspot.evaluation.metrics.bootstrap import (
    GroupWeights,
    Interval,
    Scores,
    bootstrap_p_value,
    quantile_interval,
    resample_scores,
)
from soundspot.evaluation.metrics.inputs import MetricInputs, compute_scores, is_scored
from soundspot.evaluation.protocols.presets import Protocol
from soundspot.evaluation.report.published import (
    LIST_SIZES,
    PublishedRow,
    check_published_methods,
    find_published_rows,
    list_differences,
    list_published_methods,
)
from soundspot.evaluation.report.report import Report, SampleRow
from soundspot.utils.safe_read import convert_read_errors

MODEL_FREE = (WHOLE_IMAGE, CENTERED_BOX, CEILING, "chance")  # rows that are the same whatever the model


@dataclass(frozen=True)
class PairedDifference:
    """Difference between a model's score and that of the first model on the same samples.

    Attributes:
        difference: score minus that of the first model, with its 95 % interval.
        p_value: two-sided p-value of a paired bootstrap over images, not corrected for the number of comparisons; nan
            without draws.
    """

    difference: Interval
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Reports of one data set under one protocol, side by side.

    Attributes:
        dataset: name of the data set.
        protocol: name of the protocol.
        n: number of samples compared.
        names: names of the models; the others are compared to the first.
        values: metric key -> score of each model; None where a report does not have it.
        differences: metric key -> difference of each model after the first; None where the numbers per sample do not
            suffice to compute the metric.
        model_free: name of each row that needs no model -> its scores, from the first report; empty where samples were
            left out.
        published: rows of papers, each with the reasons why it may not be comparable.
        notes: notes for the reader.
    """

    dataset: str
    protocol: str
    n: int
    names: tuple[str, ...]
    values: dict[str, tuple[Interval | None, ...]]
    differences: dict[str, tuple[PairedDifference | None, ...]]
    model_free: dict[str, dict[str, Interval]]
    published: tuple[tuple[PublishedRow, tuple[str, ...]], ...]
    notes: tuple[str, ...]


def compare(
    reports: Sequence[Report],
    names: Sequence[str] | None = None,
    *,
    intersect: bool = False,
    bootstraps: int = 2000,
    seed: int = 0,
    published: Sequence[str] | None = None,
) -> list[Comparison]:
    """Compare reports, data set by data set.

    Args:
        reports: at least two of each data set, under one protocol and of the same samples; or one, beside the published
            rows of its data set and its own rows that need no model.
        names: name of the model of each report; None: names in the reports, numbered where two of a data set are equal.
        intersect: True: score only the samples that all reports of a data set have; False: different samples are an
            error.
        bootstraps: number of bootstrap draws for intervals and p-values; 0: none.
        seed: random seed of the bootstrap.
        published: methods whose published rows stand beside the reports; None: all that are known of a data set.

    Returns:
        A comparison for each data set, in the order of first appearance.

    Raises:
        DataError: a data set has a single report, protocols, samples (without `intersect`) or ground truths differ, no
            sample is common, the number of names is not that of the reports, or no published rows of a method are
            known.
        RecipeError: `bootstraps` is negative.
    """
    model_names = _name_models(reports, names)
    methods = list_published_methods() if published is None else tuple(published)
    check_published_methods(methods)
    by_dataset: dict[str, list[int]] = {}
    for i, report in enumerate(reports):
        by_dataset.setdefault(report.dataset.partition("/")[0], []).append(i)
    for name, indices in by_dataset.items():
        if len(reports) > 1 and len(indices) < 2:
            raise DataError(
                f"{name}: there is one report of it ({model_names[indices[0]]}), expected two or more. Name another of "
                "the same data set, or leave this one out."
            )
    check_counts(bootstraps=bootstraps)
    comparisons = [
        _compare_reports([reports[i] for i in indices], [model_names[i] for i in indices], intersect, bootstraps, seed)
        for indices in by_dataset.values()
    ]
    comparisons = [
        replace(comparison, published=tuple(pair for pair in comparison.published if pair[0].method in methods))
        for comparison in comparisons
    ]
    if len(reports) == 1 and published and not comparisons[0].published:
        raise DataError(
            f"{reports[0].dataset}: no published rows of it by {', '.join(methods)} are known, and one report is "
            "nothing to compare. Leave --published out, name two or more folders, or a report of "
            f"{', '.join(LIST_SIZES)}."
        )
    return comparisons


def _name_models(reports: Sequence[Report], names: Sequence[str] | None) -> list[str]:
    """Return a name for each report, all different within a data set."""
    given = [report.model.name for report in reports] if names is None else list(names)
    if len(given) != len(reports):
        raise DataError(f"{len(given)} names were given for {len(reports)} reports; give one for each.")
    pairs = [(report.dataset.partition("/")[0], name) for report, name in zip(reports, given, strict=True)]
    return [
        f"{pair[1]} #{pairs[:i].count(pair) + 1}" if pairs.count(pair) > 1 else pair[1] for i, pair in enumerate(pairs)
    ]


def _compare_reports(
    reports: list[Report], names: list[str], intersect: bool, bootstraps: int, seed: int
) -> Comparison:
    first = reports[0]
    for name, report in zip(names, reports, strict=True):
        if report.protocol != first.protocol:
            raise DataError(
                f"{first.dataset}: {names[0]} was scored under {first.protocol['name']!r} and {name} under "
                f"{report.protocol['name']!r}; expected one protocol. Score both under the same (`soundspot "
                "evaluate-maps` reads the maps of a report)."
            )
    samples, notes = _select_common_samples(reports, names, intersect)
    with convert_read_errors(f"the report of {first.dataset}", "expected a protocol of this version. Evaluate again"):
        protocol, n = Protocol.from_dict(first.protocol), len(samples[0])
        calibrations = [PresenceCalibration.from_dict(report.source.get("presence")) for report in reports]
    scores = [
        compute_scores_from_samples(of_report, protocol, calibration)
        for of_report, calibration in zip(samples, calibrations, strict=True)
    ]
    is_subset = any(n != report.n for report in reports)
    weights = GroupWeights(len({sample.group for sample in samples[0]}), bootstraps, seed)
    draws = [resample_scores(of_report, weights) for of_report in scores]
    values: dict[str, tuple[Interval | None, ...]] = {}
    differences: dict[str, tuple[PairedDifference | None, ...]] = {}
    for key in dict.fromkeys(key for report in reports for key in report.model.metrics):
        values[key] = tuple(report.model.metrics.get(key) for report in reports)
        if is_subset:  # scores of all samples would not be of these
            values[key] = tuple(
                quantile_interval(of_report[key].value, drawn[key]) if key in of_report else None
                for of_report, drawn in zip(scores, draws, strict=True)
            )
        differences[key] = tuple(
            _paired_difference(of_report[key].value - scores[0][key].value, drawn[key] - draws[0][key])
            if key in of_report and key in scores[0]
            else None
            for of_report, drawn in zip(scores[1:], draws[1:], strict=True)
        )
    refinements = [Refinement.from_dict(report.source.get("refinement")) for report in reports]
    notes += [f"{name}: maps are refined by {r}." for name, r in zip(names, refinements, strict=True) if r]
    test_set = str(first.source.get("data", first.dataset.partition("/")[0]))
    published = find_published_rows(test_set, "mask" if "miou" in first.model.metrics else "box")
    refined = [",".join(refinement.names) for refinement in refinements]
    return Comparison(
        first.dataset,
        protocol.name,
        n,
        tuple(names),
        {key: cells for key, cells in values.items() if any(cells)},
        differences,
        {} if is_subset else {row.name: row.metrics for row in first.rows if row.name in MODEL_FREE},
        tuple((row, list_differences(row, protocol.name, n, refined)) for row in published),
        tuple(notes),
    )


def _paired_difference(value: float, draws: Float[Tensor, " d"]) -> PairedDifference:
    return PairedDifference(quantile_interval(value, draws), bootstrap_p_value(draws.numpy()))


def _select_common_samples(
    reports: list[Report], names: list[str], intersect: bool
) -> tuple[list[list[SampleRow]], list[str]]:
    """Return the samples of each report that all of them have, in one order, and notes on what was left out."""
    by_id = [{sample.id: sample for sample in report.samples} for report in reports]
    ids = [id for id in by_id[0] if all(id in samples for samples in by_id)]
    notes, common_ids = [], set(ids)
    for name, samples in zip(names, by_id, strict=True):
        if len(samples) == len(ids):
            continue
        others = [id for id in samples if id not in common_ids]
        note = f"{name} has {len(others)} samples that not all reports have ({', '.join(others[:3])}...)"
        if not intersect:
            counts = ", ".join(f"{name} {len(samples):,}" for name, samples in zip(names, by_id, strict=True))
            raise DataError(
                f"{reports[0].dataset}: the reports are of different samples ({counts}; {note}), expected the same. "
                "Score both on one list, or compare their common samples by --intersect."
            )
        notes.append(f"{note}; they are left out.")
    if not ids:
        raise DataError(f"{reports[0].dataset}: the reports have no common sample; they cannot be compared.")
    common = [[samples[id] for id in ids] for samples in by_id]
    for name, of_report in zip(names, common, strict=True):
        changed = [
            a.id for a, b in zip(common[0], of_report, strict=True) if _ground_truth_key(a) != _ground_truth_key(b)
        ]
        if changed:
            raise DataError(
                f"{reports[0].dataset}: {names[0]} and {name} have different ground truths for {len(changed)} samples "
                f"(first: {changed[0]}), expected the same. Score both on the same images, boxes or masks."
            )
    return common, notes


def _ground_truth_key(sample: SampleRow) -> tuple[str, str, bool, float]:
    return sample.group, sample.category, sample.present, round(sample["area"], 6)


def compute_scores_from_samples(
    samples: Sequence[SampleRow], protocol: Protocol, calibration: PresenceCalibration | None = None
) -> Scores:
    """Compute the metrics that numbers per sample give: localization, detection and negatives, but not retrieval.

    Args:
        samples: at least one sample of a report.
        protocol: protocol of the report.
        calibration: probability of presence by the peak; None: unknown.

    Returns:
        Metric key -> score.
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(sample.group for sample in samples))}
    groups: Int[Tensor, " n"] = torch.tensor([numbers[sample.group] for sample in samples])
    present = torch.tensor([sample.present for sample in samples])
    columns = {
        name: torch.tensor([sample[name] for sample in samples], dtype=torch.float64) for name in samples[0].values
    }
    known = {name: values for name, values in columns.items() if name == "iou" or not bool(values.isnan().all())}
    protocol = replace(protocol, candidate_thresholds=())
    scored = is_scored(present, columns["area"], protocol)
    return compute_scores(MetricInputs(protocol, present, groups, scored, known, columns, calibration=calibration))

"""Models beside one another on the same samples: are they different, or was it the draw of the test set?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from soundspot.config.refinement import Refinement
from soundspot.errors import DataError
from soundspot.evaluation.engine import aggregate as scores
from soundspot.evaluation.engine.aggregate import Scores
from soundspot.evaluation.engine.predict import check_counts
from soundspot.evaluation.engine.sample_table import CEILING, CENTERED_BOX, WHOLE_IMAGE
from soundspot.evaluation.protocols.presets import Protocol
from soundspot.evaluation.report.bootstrap import GroupWeights, quantile_interval, resample_scores
from soundspot.evaluation.report.interval import Interval
from soundspot.evaluation.report.published import PublishedRow, find_published_rows, list_differences
from soundspot.evaluation.report.report import Report, SampleRow

MODEL_FREE = (WHOLE_IMAGE, CENTERED_BOX, CEILING, "chance")  # rows that are the same whatever the model


@dataclass(frozen=True)
class PairedDifference:
    """A model against the first: how much higher it scores on the same samples, and how likely chance alone makes that.

    Attributes:
        p: two-sided, by a paired bootstrap over pictures; not corrected for the number of comparisons.
    """

    difference: Interval
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Some reports of one data set under one protocol.

    Attributes:
        names: of the models, the first being what the others are held against.
        values: by metric, one of each model; None where a report does not have it.
        against: by metric, one of each model after the first; None where samples alone do not give the metric.
        rows: published ones, each with the reasons why it may not be comparable.
        rest: scores that need no model, of the first report.
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
) -> list[Comparison]:
    """Compare reports, data set by data set; each needs the same protocol for all of its reports, and the same items.

    Args:
        names: of the models; by default as the reports have them, numbered where two are alike.
        intersect: score only the items that all reports of a data set have; otherwise different items are refused.

    Raises:
        DataError: different protocols, or different items and no `intersect`.
    """
    named = _named(reports, names)
    sets: dict[str, list[int]] = {}
    for i, report in enumerate(reports):
        sets.setdefault(report.dataset.partition("/")[0], []).append(i)
    for name, some in sets.items():
        if len(some) < 2:
            raise DataError(
                f"{name}: there is one report of it ({named[some[0]]}), expected two or more. Name another of "
                "the same data set, or leave this one out."
            )
    check_counts(bootstraps=bootstraps)
    return [
        _compared([reports[i] for i in some], [named[i] for i in some], intersect, bootstraps, seed)
        for some in sets.values()
    ]


def _named(reports: Sequence[Report], names: Sequence[str] | None) -> list[str]:
    """A name for each report, all different within a data set."""
    wanted = [report.model.name for report in reports] if names is None else list(names)
    if len(wanted) != len(reports):
        raise DataError(f"{len(wanted)} names were given for {len(reports)} reports; give one for each.")
    pairs = [(report.dataset.partition("/")[0], name) for report, name in zip(reports, wanted, strict=True)]
    return [
        f"{pair[1]} #{pairs[:i].count(pair) + 1}" if pairs.count(pair) > 1 else pair[1] for i, pair in enumerate(pairs)
    ]


def _compared(reports: list[Report], names: list[str], intersect: bool, bootstraps: int, seed: int) -> Comparison:
    first = reports[0]
    for name, report in zip(names, reports, strict=True):
        if report.protocol != first.protocol:
            raise DataError(
                f"{first.dataset}: {names[0]} was scored under {first.protocol['name']!r} and {name} under "
                f"{report.protocol['name']!r}; expected one protocol. Score both under the same (`soundspot score` reads "
                "the maps of a report)."
            )
    samples, notes = _shared(reports, names, intersect)
    protocol, n = Protocol.from_dict(first.protocol), len(samples[0])
    found = [compute_scores_from_samples(some, protocol) for some in samples]
    cut = any(n != report.n for report in reports)
    groups = len({sample.group for sample in samples[0]})
    weights = GroupWeights(groups, bootstraps, seed)
    values: dict[str, tuple[Interval | None, ...]] = {}
    against: dict[str, tuple[PairedDifference | None, ...]] = {}
    drawn_anew = [resample_scores(some, weights) for some in found]
    for key in dict.fromkeys(key for report in reports for key in report.model.metrics):
        draws = [some.get(key) for some in drawn_anew]
        if cut:  # scores of all items would not be of these
            values[key] = tuple(
                quantile_interval(some[key].value, drawn) if drawn is not None else None
                for some, drawn in zip(found, draws, strict=True)
            )
        else:
            values[key] = tuple(report.model.metrics.get(key) for report in reports)
        against[key] = tuple(
            _against(some[key].value - found[0][key].value, drawn - draws[0])
            if drawn is not None and draws[0] is not None
            else None
            for some, drawn in zip(found[1:], draws[1:], strict=True)
        )
    values = {key: cells for key, cells in values.items() if any(cells)}
    test = first.source.get("data", first.dataset.partition("/")[0])
    truth = "mask" if "miou" in first.model.metrics else "box"
    rest = {row.name: row.metrics for row in first.rows if row.name in MODEL_FREE} if not cut else {}
    refined = [Refinement.from_dict(report.source.get("refinement")) for report in reports]
    notes += [f"{name}: maps are refined by {one}." for name, one in zip(names, refined, strict=True) if one]
    kinds = [",".join(one.names) for one in refined]
    rows = tuple((row, list_differences(row, protocol.name, n, kinds)) for row in find_published_rows(str(test), truth))
    return Comparison(first.dataset, protocol.name, n, tuple(names), values, against, rest, rows, tuple(notes))


def _against(value: float, draws: Float[Tensor, " d"]) -> PairedDifference:
    draws = draws[draws.isfinite()]
    if not len(draws):
        return PairedDifference(Interval(value), float("nan"))
    below, above = (int(side.sum()) for side in (draws <= 0, draws >= 0))
    return PairedDifference(quantile_interval(value, draws), min(1.0, 2 * (1 + min(below, above)) / (1 + len(draws))))


def _shared(reports: list[Report], names: list[str], intersect: bool) -> tuple[list[list[SampleRow]], list[str]]:
    """The samples of each report that all of them have, in one order, and what was left out."""
    by_id = [{sample.id: sample for sample in report.samples} for report in reports]
    ids = [id for id in by_id[0] if all(id in some for some in by_id)]
    notes = []
    for name, some in zip(names, by_id, strict=True):
        if len(some) == len(ids):
            continue
        others = [id for id in some if id not in set(ids)]
        told = f"{name} has {len(others)} items that not all reports have ({', '.join(others[:3])}...)"
        if not intersect:
            counts = ", ".join(f"{name} {len(some):,}" for name, some in zip(names, by_id, strict=True))
            raise DataError(
                f"{reports[0].dataset}: the reports are of different items ({counts}; {told}), expected the same. "
                "Score both on one list, or compare what they share by --intersect."
            )
        notes.append(f"{told}; they are left out.")
    if not ids:
        raise DataError(f"{reports[0].dataset}: the reports share no item; they cannot be compared.")
    shared = [[some[id] for id in ids] for some in by_id]
    for name, theirs in zip(names, shared, strict=True):
        changed = [a.id for a, b in zip(shared[0], theirs, strict=True) if _truth(a) != _truth(b)]
        if changed:
            raise DataError(
                f"{reports[0].dataset}: {names[0]} and {name} have different truths for {len(changed)} items (first: "
                f"{changed[0]}), expected the same. Score both on the same pictures, boxes or masks."
            )
    return shared, notes


def _truth(sample: SampleRow) -> tuple[str, str, bool, float]:
    return sample.group, sample.category, sample.present, round(sample.area, 6)


def compute_scores_from_samples(samples: Sequence[SampleRow], protocol: Protocol) -> Scores:
    """The scores that numbers per sample give: localisation, detection, negatives; not retrieval."""
    number = {name: at for at, name in enumerate(dict.fromkeys(sample.group for sample in samples))}
    groups: Int[Tensor, " n"] = torch.tensor([number[sample.group] for sample in samples])
    present = torch.tensor([sample.present for sample in samples])

    def column(name: str) -> Float[Tensor, " n"]:
        return torch.tensor([getattr(sample, name) for sample in samples], dtype=torch.float64)

    columns = {name: column(name) for name in ("iou", "iou_adaptive", "f", "f_adaptive")}
    known = {name: values for name, values in columns.items() if name == "iou" or not bool(values.isnan().all())}
    return scores.compute_sample_scores(known, column, present, groups, replace(protocol, candidate_thresholds=()))

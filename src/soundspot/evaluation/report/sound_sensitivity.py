"""Does it listen? The same pictures asked with their own sound, with none, with noise and with another's."""

from dataclasses import dataclass

from soundspot.evaluation.engine.aggregate import GroupedMean, Score, Scores
from soundspot.evaluation.metrics.metric_info import format_value, get_metric_info
from soundspot.evaluation.report.bootstrap import GroupWeights, compute_difference, compute_intervals
from soundspot.evaluation.report.interval import Interval


@dataclass(frozen=True)
class AudioCondition:
    """How the pictures fare when asked with one kind of sound.

    Attributes:
        score: of the maps against the truths of the own sounds.
        loss: how much lower that is than with the own sound.
        overlap: mean IoU of the highest places of that map and the one with the own sound, as many as the object has;
            1 if the sound did not matter.
    """

    audio: str
    score: Interval
    drop: Interval | None = None
    overlap: Interval | None = None


@dataclass(frozen=True)
class SoundSensitivity:
    """The panel: `metric` for each kind of sound, and what follows from it.

    Attributes:
        listens: whether the own sound beats each other kind beyond chance (95 % intervals of paired differences).
        verdict: the same in one sentence.
    """

    metric: str
    conditions: tuple[AudioCondition, ...]
    is_sensitive: bool
    verdict: str


def compute_sound_sensitivity(
    own: Scores, others: dict[str, Scores], overlaps: dict[str, GroupedMean], weights: GroupWeights
) -> SoundSensitivity | None:
    """The panel of a model, or None where it was asked with no other sound.

    Args:
        own, others: scores of the same samples with their own sound, and by the name of another.
        overlaps: by the same names.
    """
    metric = next((key for key in ("ciou_adaptive", "ciou") if key in own), "")
    others = {name: scores for name, scores in others.items() if metric in scores}
    if not metric or not others:
        return None
    mine: Score = own[metric]
    rows = [AudioCondition("own", compute_intervals({metric: mine}, weights)[metric])]
    for name, scores in others.items():
        found = compute_intervals({"score": scores[metric], "overlap": overlaps[name]}, weights)
        rows.append(
            AudioCondition(name, found["score"], compute_difference(mine, scores[metric], weights), found["overlap"])
        )
    return SoundSensitivity(metric, tuple(rows), all(map(_clearly_lower, rows[1:])), _verdict(metric, rows))


def _clearly_lower(row: AudioCondition) -> bool:
    assert row.drop is not None
    return row.drop.low > 0


def _verdict(metric: str, rows: list[AudioCondition]) -> str:
    own, *others = rows
    worst = max(others, key=lambda row: row.score.value)
    assert worst.drop is not None
    assert worst.overlap is not None
    score, said = get_metric_info(metric).label, f"{format_value(metric, own.score.value)} % with the own sound"
    beside = f"{format_value(metric, worst.score.value)} % {_with(worst.audio)}"
    overlap = f"maps of the two overlap by {format_value('overlap', worst.overlap.value)} %"
    if own.score.value == 0:
        return f"Nothing can be said: {score} is 0 with the own sound."
    if all(map(_clearly_lower, others)):
        return f"It listens: {score} is {said} and at most {beside}; {overlap} (100 % if the sound did not matter)."
    if worst.drop.low != worst.drop.low:
        return f"{score} is {said} and up to {beside}; {overlap}. Without bootstrap draws no more can be said."
    return f"It cannot be said to listen: {score} is {said} and {beside}, no clear difference; {overlap}."


def _with(sound: str) -> str:
    return {"muted": "muted", "noise": "with noise", "swapped audio": "with another's"}.get(sound, f"with {sound}")

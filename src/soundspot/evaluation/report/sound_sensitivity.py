"""Sound sensitivity: do the maps of the same images follow their own audio, silence, noise and another's audio?"""

from dataclasses import dataclass

from soundspot.evaluation.metrics.bootstrap import (
    GroupedMean,
    GroupWeights,
    Interval,
    Scores,
    compute_difference,
    compute_intervals,
)
from soundspot.evaluation.metrics.registry import format_value, get_metric_info


@dataclass(frozen=True)
class AudioCondition:
    """Scores of the images with one kind of audio.

    Attributes:
        audio: "own", or the name of the row: "muted", "noise" or "swapped audio".
        score: score of the maps against the ground truths of the samples' own audio.
        drop: score with the own audio minus this score, with its interval; None for "own".
        overlap: mean IoU of the highest pixels of this map and of the one with the own audio, as many as the object
            has; 1 if the audio did not matter; None for "own".
    """

    audio: str
    score: Interval
    drop: Interval | None = None
    overlap: Interval | None = None


@dataclass(frozen=True)
class SoundSensitivity:
    """The score under each audio condition, and the conclusion.

    Attributes:
        metric: report key of the score.
        conditions: audio conditions, the own audio first.
        is_sensitive: whether the score with the own audio is higher than with each other kind (95 % intervals of the
            paired differences above 0).
        verdict: one sentence that states the conclusion with both scores and the overlap of their maps.
    """

    metric: str
    conditions: tuple[AudioCondition, ...]
    is_sensitive: bool
    verdict: str


def compute_sound_sensitivity(
    own: Scores, others: dict[str, Scores], overlaps: dict[str, GroupedMean], weights: GroupWeights
) -> SoundSensitivity | None:
    """Compare the scores with the samples' own audio to those with other audio.

    The score is adaptive cIoU, or cIoU where the protocol has no adaptive rule.

    Args:
        own: metric key -> score of the samples with their own audio.
        others: name of the row of another kind of audio -> metric key -> score of the same samples.
        overlaps: name of the row -> IoU of each map with the map of the own audio.
        weights: bootstrap draws.

    Returns:
        The comparison; None where there are no scores with other audio.
    """
    metric = next((key for key in ("ciou_adaptive", "ciou") if key in own), "")
    others = {name: scores for name, scores in others.items() if metric in scores}
    if not metric or not others:
        return None
    rows = [AudioCondition("own", compute_intervals({metric: own[metric]}, weights)[metric])]
    for name, scores in others.items():
        drop = compute_difference(own[metric], scores[metric], weights)
        both = compute_intervals({"score": scores[metric], "overlap": overlaps[name]}, weights)
        rows.append(AudioCondition(name, both["score"], drop, both["overlap"]))
    return SoundSensitivity(metric, tuple(rows), all(map(_is_clearly_lower, rows[1:])), _verdict(metric, rows))


def _is_clearly_lower(row: AudioCondition) -> bool:
    assert row.drop is not None
    return row.drop.low > 0


def _verdict(metric: str, rows: list[AudioCondition]) -> str:
    own, *others = rows
    best = max(others, key=lambda row: row.score.value)
    assert best.drop is not None
    assert best.overlap is not None
    label, of_own = get_metric_info(metric).label, f"{format_value(metric, own.score.value)} % with the own audio"
    condition = {"muted": "muted", "noise": "with noise", "swapped audio": "with another's"}[best.audio]
    of_best = f"{format_value(metric, best.score.value)} % {condition}"
    overlap = f"maps of the two overlap by {format_value('overlap', best.overlap.value)} %"
    if own.score.value == 0:
        return f"Nothing can be said: {label} is 0 with the own audio."
    if all(map(_is_clearly_lower, others)):
        return f"It listens: {label} is {of_own} and at most {of_best}; {overlap} (100 % if the audio did not matter)."
    if best.drop.low != best.drop.low:
        return f"{label} is {of_own} and up to {of_best}; {overlap}. Without bootstrap draws no more can be said."
    return f"It cannot be said to listen: {label} is {of_own} and {of_best}, no clear difference; {overlap}."

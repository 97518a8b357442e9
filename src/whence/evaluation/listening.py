"""Does it listen? The same pictures asked with their own sound, with none, with noise and with another's."""

from dataclasses import dataclass

from whence.evaluation.bootstrap import GroupWeights, difference, intervals
from whence.evaluation.interval import Interval
from whence.evaluation.scores import Score, Scores, Tally
from whence.evaluation.words import printed, word


@dataclass(frozen=True)
class Asked:
    """How the pictures fare when asked with one kind of sound.

    Attributes:
        score: of the maps against the truths of the own sounds.
        loss: how much lower that is than with the own sound.
        overlap: mean IoU of the highest places of that map and the one with the own sound, as many as the object has;
            1 if the sound did not matter.
    """

    sound: str
    score: Interval
    loss: Interval | None = None
    overlap: Interval | None = None


@dataclass(frozen=True)
class Listening:
    """The panel: `metric` for each kind of sound, and what follows from it.

    Attributes:
        listens: whether the own sound beats each other kind beyond chance (95 % intervals of paired differences).
        verdict: the same in one sentence.
    """

    metric: str
    asked: tuple[Asked, ...]
    listens: bool
    verdict: str


def listening(
    own: Scores, others: dict[str, Scores], overlaps: dict[str, Tally], weights: GroupWeights
) -> Listening | None:
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
    rows = [Asked("own", intervals({metric: mine}, weights)[metric])]
    for name, scores in others.items():
        found = intervals({"score": scores[metric], "overlap": overlaps[name]}, weights)
        rows.append(Asked(name, found["score"], difference(mine, scores[metric], weights), found["overlap"]))
    return Listening(metric, tuple(rows), all(map(_clearly_lower, rows[1:])), _verdict(metric, rows))


def _clearly_lower(row: Asked) -> bool:
    assert row.loss is not None
    return row.loss.low > 0


def _verdict(metric: str, rows: list[Asked]) -> str:
    own, *others = rows
    worst = max(others, key=lambda row: row.score.value)
    assert worst.loss is not None
    assert worst.overlap is not None
    score, said = word(metric).name, f"{printed(metric, own.score.value)} % with the own sound"
    beside = f"{printed(metric, worst.score.value)} % {_with(worst.sound)}"
    overlap = f"maps of the two overlap by {printed('overlap', worst.overlap.value)} %"
    if own.score.value == 0:
        return f"Nothing can be said: {score} is 0 with the own sound."
    if all(map(_clearly_lower, others)):
        return f"It listens: {score} is {said} and at most {beside}; {overlap} (100 % if the sound did not matter)."
    if worst.loss.low != worst.loss.low:
        return f"{score} is {said} and up to {beside}; {overlap}. Without bootstrap draws no more can be said."
    return f"It cannot be said to listen: {score} is {said} and {beside}, no clear difference; {overlap}."


def _with(sound: str) -> str:
    return {"muted": "muted", "noise": "with noise", "swapped sound": "with another's"}.get(sound, f"with {sound}")

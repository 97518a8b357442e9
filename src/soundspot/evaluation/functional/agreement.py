"""Agreement of annotators: Cohen's kappa of their labels, and how fast they work."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

MAX_PAUSE = 120.0  # seconds between two decisions that count as work


@dataclass(frozen=True)
class PairAgreement:
    """Agreement of two annotators.

    Attributes:
        first, second: names of the annotators.
        num_items: number of items that both labeled.
        agreement: share of them with equal labels.
        kappa: Cohen's kappa of the labels.
    """

    first: str
    second: str
    num_items: int
    agreement: float
    kappa: float

    def __str__(self) -> str:
        """Format as `ann and bob: 90 % of 50 equal, kappa 0.80`."""
        share = f"{100 * self.agreement:.0f} % of {self.num_items} equal"
        return f"{self.first} and {self.second}: {share}, kappa {self.kappa:.2f}"


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Compute Cohen's kappa of two annotators' labels (Cohen, 1960).

    Args:
        first: labels of one annotator.
        second: labels of the other annotator for the same items.

    Returns:
        (p_o - p_e) / (1 - p_e) of observed and expected agreement; 1 for perfect agreement, 0 for chance; nan without
        items, or where both gave one and the same label throughout.

    Examples:
        >>> round(cohen_kappa(["keep", "keep", "drop", "drop"], ["keep", "drop", "drop", "drop"]), 3)
        0.5
    """
    count = len(first)
    if not count:
        return float("nan")
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / count
    counts = Counter(first), Counter(second)
    expected = sum(counts[0][label] * counts[1][label] for label in counts[0]) / count**2
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def compare_annotators(labels: Mapping[str, Mapping[int, str]]) -> list[PairAgreement]:
    """Measure how far each two annotators agree.

    Args:
        labels: name of each annotator -> number of an item -> label.

    Returns:
        Agreement of each two that labeled a common item, sorted by their names.
    """
    agreements = []
    for first, second in itertools.combinations(sorted(labels), 2):
        common = sorted(labels[first].keys() & labels[second].keys())
        if common:
            pair = [labels[first][item] for item in common], [labels[second][item] for item in common]
            share = sum(map(str.__eq__, *pair)) / len(common)
            agreements.append(PairAgreement(first, second, len(common), share, cohen_kappa(*pair)))
    return agreements


def compute_rate(times: Iterable[str]) -> float:
    """Compute the rate of work from the times of decisions; pauses longer than two minutes do not count.

    Args:
        times: dates and times in ISO 8601.

    Returns:
        Decisions per hour; nan of fewer than two.
    """
    moments = sorted(datetime.fromisoformat(time) for time in times)
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(moments)]
    gaps = [gap for gap in gaps if gap <= MAX_PAUSE]
    return 3600 * len(gaps) / sum(gaps) if sum(gaps) > 0 else float("nan")

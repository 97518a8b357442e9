"""What is wrong with somebody's data, as a value."""

from dataclasses import dataclass
from typing import Literal

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Problem:
    """Errors make data unusable or scores dishonest, warnings worse than they could be, notes are good to know."""

    severity: Literal["error", "warning", "note"]
    location: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}. {self.remedy}."


def severity_rank(problem: Problem) -> int:
    """Sorts errors first."""
    return SEVERITIES.index(problem.severity)

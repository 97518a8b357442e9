"""A number and how sure it is."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A score, and where 95 % of the bootstrap's draws fall; nan for unknown ends."""

    value: float
    low: float = math.nan
    high: float = math.nan

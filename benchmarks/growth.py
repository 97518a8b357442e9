"""How each cost grows with its size: three sizes or more, each in a process of its own, and the exponent fitted.

python -m benchmarks growth            # what stands in docs/scale.md; some minutes
"""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import measured_apart, mining, preparing, scoring, training_step


@dataclass(frozen=True)
class Cost:
    """What grows: of `unit`, at `sizes`; `measure` answers with `seconds` and `megabytes` at one of them."""

    unit: str
    sizes: tuple[int, ...]
    measure: Callable[[int], dict[str, float]]
    quick: tuple[int, ...] = (2, 3, 4)


COSTS = {
    "preparing videos": Cost("videos of 10 s", (60, 120, 240, 480), preparing.measure),
    "a training step of EZ-VSL": Cost(
        "clips", (8, 16, 32, 64), lambda n: training_step.measure("ours", n, 224, 200, "cpu")
    ),
    "mining": Cost("samples of 512 numbers", (9_000, 18_000, 36_000, 72_000), mining.measure, (1_100, 1_200, 1_300)),
    "scoring": Cost("maps of 14 x 14", (1_000, 5_000, 20_000), scoring.measure, (20, 30, 40)),
}


def exponent(sizes: list[int], costs: list[float]) -> float:
    """b of the least squares fit of log cost = a + b log size."""
    x, y = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    across, up = sum(x) / len(x), sum(y) / len(y)
    return sum((a - across) * (b - up) for a, b in zip(x, y, strict=True)) / sum((a - across) ** 2 for a in x)


def grown(name: str, quick: bool = False) -> dict[str, object]:
    """One cost at all of its sizes."""
    sizes = list(COSTS[name].quick if quick else COSTS[name].sizes)
    found = [measured_apart("growth", name, size) for size in sizes]
    seconds, megabytes = ([round(one[key], 4) for one in found] for key in ("seconds", "megabytes"))
    fitted = exponent(sizes, seconds)
    return {
        "what": name,
        "unit": COSTS[name].unit,
        "sizes": sizes,
        "seconds": seconds,
        "megabytes": megabytes,
        "exponent": round(fitted, 2),
    }


if __name__ == "__main__":
    print(json.dumps(COSTS[sys.argv[1]].measure(int(sys.argv[2]))))

"""The plain loop over samples, as the released evaluators go about it: what the batched functions must agree with.

Facts, not their code: per map a min-max, a full sort of the flattened map for each threshold, masks as float64 arrays,
sums over whole arrays (for the first IoU twice, since intersection and union are returned as well), and at the end 21
thresholds over the list.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def normalised(values: Array, mirrored: bool = False) -> Array:
    if mirrored:
        return 1 - normalised(-values)
    low, high = values.min(), values.max()
    return values if high - low == 0 else (values - low) / (high - low)


def overlap(predicted: NDArray[np.bool_], truth: NDArray[np.float64]) -> tuple[float, float, float]:
    """IoU, intersection, union: each sum computed where it is used, as released."""
    mask = np.zeros(truth.shape)
    mask[predicted] = 1
    value = np.sum(mask * truth) / (np.sum(truth) + np.sum(mask * (truth == 0)))
    return value, np.sum(mask * truth), np.sum(truth) + np.sum(mask * (truth == 0))


def top_half(values: Array) -> float:
    return np.sort(values.flatten())[int(values.shape[0] * values.shape[1] * 0.5)]


def as_many(values: Array, truth: NDArray[np.float64]) -> float:
    area = int((truth != 0).sum()) or values.size // 2
    return np.sort(values.flatten())[values.size - area]


def area_under(values: list[float]) -> float:
    shares = [np.sum(np.array(values) >= 0.05 * k) / len(values) for k in range(21)]
    x = [0.05 * k for k in range(21)]
    return sum((x[k + 1] - x[k]) * (shares[k + 1] + shares[k]) / 2 for k in range(20))


def score(maps: Array, truths: NDArray[np.float64], mirrored: bool = False) -> dict[str, float | list[float]]:
    """`>` at both thresholds. Maps (n, h, w) float32, truths (n, h, w) float64."""
    half: list[float] = []
    adaptive: list[float] = []
    for raw, truth in zip(maps, truths, strict=True):
        values = normalised(raw, mirrored)
        half.append(overlap(values > top_half(values), truth)[0])
        mask = np.zeros(truth.shape)
        mask[values > as_many(values, truth)] = 1
        adaptive.append(np.sum(mask * truth) / (np.sum(truth) + np.sum(mask * (truth == 0))))
    return {
        "iou": half,
        "iou_adaptive": adaptive,
        "ciou": float(np.mean(np.array(half) >= 0.5)),
        "ciou_adaptive": float(np.mean(np.array(adaptive) >= 0.5)),
        "auc": area_under(half),
        "auc_adaptive": area_under(adaptive),
    }

"""Reads golden/metrics: maps, truths and what the released evaluators make of them."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from soundspot.config.upsampling import Upsampling
from soundspot.types import Box, GroundTruth

READOUTS = {"kron": Upsampling("nearest"), "cv2": Upsampling("bilinear"), "torch": Upsampling("bilinear-aligned")}


def folders(golden: Path) -> list[Path]:
    """Every folder of this form below the golden root."""
    return sorted(path.parent for path in golden.rglob("expected.json") if (path.parent / "cases.npz").is_file())


def expected(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


def having(metrics: list[Path], *keys: str) -> list[tuple[Path, Any]]:
    """The folders that have an entry (by its keys, from the outside in) with it; skips where none has it."""
    found = []
    for folder in metrics:
        entry: Any = expected(folder)
        for key in keys:
            entry = entry.get(key, {})
        if entry:
            found.append((folder, entry))
    if not found:
        pytest.skip(f"these golden metrics have no {' / '.join(keys)}")
    return found


def number(value: float | None) -> float:
    return math.nan if value is None else value


def listed(folder: Path, upsampling: str, *keys: str) -> Tensor:
    """A number of each case in the file's order, float64; maps that were never resized have it under `kron` alone."""
    found = []
    for case in expected(folder)["cases"]:
        entry = case["expected"].get(upsampling, case["expected"]["kron"])
        for key in keys:
            entry = entry[key]
        found.append(number(entry))
    return torch.tensor(found, dtype=torch.float64)


@dataclass(frozen=True)
class Set:
    """Cases whose raw maps have one size, (n, h, w), and truths (n, 224, 224) by kind; `flickr` is soft."""

    cases: list[dict[str, Any]]
    maps: Tensor
    truths: dict[str, Tensor]


def sets(folder: Path) -> list[Set]:
    """The coarse cases, then the fine ones: their order in the file."""
    with np.load(folder / "cases.npz") as arrays:
        maps = {"maps14": arrays["maps14"], "maps224": arrays["maps224_u16"].astype(np.float32) / 65535}
        masks = np.unpackbits(arrays["masks_packed"], axis=1).reshape(-1, 224, 224).astype(bool)
    found = []
    for source, arrays in maps.items():
        chosen = [(case, mask) for case, mask in zip(expected(folder)["cases"], masks, strict=True)]
        chosen = [(case, mask) for case, mask in chosen if case["source"] == source]
        if not chosen:
            continue
        few = [case for case, _ in chosen]
        boxes = [tuple(Box(*map(float, box), annotator=at) for at, box in enumerate(case["boxes"])) for case in few]
        truths = {
            "vggss": torch.stack([GroundTruth(224, 224, some).to_map(224, 224) for some in boxes]).bool(),
            "flickr": torch.stack([GroundTruth(224, 224, some, rule="consensus").to_map(224, 224) for some in boxes]),
            "mask": torch.from_numpy(np.stack([mask for _, mask in chosen])),
        }
        found.append(Set(few, torch.from_numpy(arrays[[case["index"] for case in few]]), truths))
    return found

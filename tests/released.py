"""State dicts and inputs of the golden cases, which are made from names and shapes alone."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


def rng(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def filled(name: str, shape: list[int], dtype: str) -> torch.Tensor:
    """The value that a golden case gives one entry of a state dict, from its name, shape and dtype alone."""
    if "int" in dtype or "bool" in dtype:
        return torch.zeros(shape, dtype=getattr(torch, dtype))
    noise = rng(name).standard_normal(shape) if shape else np.asarray(rng(name).standard_normal())
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        value = 1 + 0.1 * np.abs(noise)
    elif leaf == "weight" and len(shape) == 1:
        value = 1 + 0.1 * noise
    elif len(shape) >= 2:
        value = noise * np.sqrt(2 / np.prod(shape[1:]))
    else:
        value = 0.1 * noise
    return torch.from_numpy(np.ascontiguousarray(value)).to(getattr(torch, dtype))


def state_of(case: Path) -> dict[str, torch.Tensor]:
    keys = json.loads((case.parent / json.loads(case.read_text())["keys"]).read_text())
    return {name: filled(name, shape, dtype) for name, shape, dtype in keys}


def inputs_of(spec: Mapping[str, list]) -> dict[str, torch.Tensor]:
    return {
        role: torch.from_numpy(rng("input:" + name).standard_normal(shape).astype("float32"))
        for role, (name, shape) in spec.items()
    }


def shaped(keys: list) -> dict[str, torch.Tensor]:
    """Entries of those names and shapes, all zero and without a byte of their own: for what asks no more of them."""
    return {name: torch.zeros((), dtype=getattr(torch, dtype)).expand(shape) for name, shape, dtype in keys}


@dataclass(frozen=True)
class Case:
    """A folder of golden values.

    Attributes:
        method: ours, whose released weights they were made with.
    """

    folder: Path
    method: str

    def arrays(self, file: str = "io.npz") -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(value) for name, value in np.load(self.folder / file).items()}

    def read(self, file: str) -> Any:
        return json.loads((self.folder / file).read_text())

    def state(self) -> dict[str, torch.Tensor]:
        return {name: filled(name, *rest) for name, *rest in self.read("keys.json")}


def golden_case(root: Path, folder: str, method: str | None = None) -> Case:
    """The case of that folder; the test is skipped by name where it is absent."""
    if not (root / folder / "keys.json").is_file():
        pytest.skip(f"golden/{folder} is absent below {root}")
    return Case(root / folder, method or folder)

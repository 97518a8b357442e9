"""State dicts and inputs of the golden cases, which are made from names and shapes alone."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
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

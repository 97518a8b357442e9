"""Weights released by papers become a `Method`: one file for each published code base, its names to ours."""

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whence.errors import CheckpointError, did_you_mean
from whence.importers import ezvsl, jsa, slavc, sslalignment
from whence.methods.base import Method
from whence.models.encoders import read_state

IMPORTERS: dict[str, Callable[[Mapping[str, Tensor], str], Method]] = {
    "alignment": sslalignment.alignment,
    "joint_slots": jsa.joint_slots,
    "ezvsl": ezvsl.ezvsl,
    "fnac": ezvsl.fnac,
    "lvs": sslalignment.lvs,
    "marginnce": ezvsl.marginnce,
    "slavc": slavc.slavc,
    "ssltie": sslalignment.ssltie,
}


def import_checkpoint(source: str | Path | Mapping[str, Any], method: str) -> Method:
    """A method from released weights, in evaluation mode, with the front end and read-out they were made for.

    Args:
        source: the downloaded file (opened with `weights_only=True`, so no code in it runs) or its state dict. A dict
            that nests the weights under `model_state_dict`, `state_dict` or `model` is unwrapped, and a `module.`
            prefix of every name is dropped.
        method: whose weights they are.

    Raises:
        CheckpointError: the file is missing or unreadable, weights are missing or of another shape, or there are names
            that no part of the method knows; where it fits another method, the message says which.
    """
    if method not in IMPORTERS:
        raise CheckpointError(f"no importer for the released weights of {method!r}{did_you_mean(method, IMPORTERS)}")
    what = "the state dict" if isinstance(source, Mapping) else str(source)
    state = dict(source) if isinstance(source, Mapping) else read_state(Path(source))
    state = _plain(state, what)
    try:
        return IMPORTERS[method](state, what).eval()
    except CheckpointError as error:
        fitting = looks_like(state)
        hint = f". Its names are those of {' or '.join(fitting)}: import it as that" if fitting else ""
        raise CheckpointError(f"{error}{hint}") from error


def looks_like(state: Mapping[str, Tensor]) -> list[str]:
    """The methods whose released weights have just these names and shapes (several releases share theirs)."""
    found = []
    with warnings.catch_warnings(), torch.device("meta"):  # nothing is filled, or computed
        warnings.simplefilter("ignore")
        for name, importer in IMPORTERS.items():
            with suppress(CheckpointError):
                importer(state, name)
                found.append(name)
    return found


def _plain(state: dict[str, Any], what: str) -> dict[str, Tensor]:
    """The weights themselves, without wrapping and without `module.`."""
    for nested in ("model_state_dict", "state_dict", "model"):
        if isinstance(state.get(nested), Mapping):
            state = dict(state[nested])
            break
    strange = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if strange or not state:
        found = f"{strange[0]!r} is a {type(state[strange[0]]).__name__}" if strange else "it is empty"
        raise CheckpointError(
            f"{what}: expected a dict of tensors, or one under `model_state_dict`; found that {found}"
        )
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state

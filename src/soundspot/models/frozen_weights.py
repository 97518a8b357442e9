"""Frozen stages that checkpoints leave to the file of encoder weights that comes with the library."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from soundspot.errors import CheckpointError
from soundspot.models.packaged_weights import hash_bundle, read_bundle
from soundspot.models.staged import StagedEncoder


def find_bundled_encoders(module: nn.Module) -> dict[str, str]:
    """Find the encoders of a module whose frozen stages are those of the library's file, to the bit.

    Args:
        module: method, or any module with encoders in it.

    Returns:
        Name of the encoder's module -> name of the encoder in the file. Without encoders that were built otherwise than
        with `weights: bundled`, and without copies that are a moving average.
    """
    return {
        name: encoder.bundled_as
        for name, encoder in module.named_modules()
        if isinstance(encoder, StagedEncoder) and encoder.bundled_as and _is_unchanged(encoder)
    }


def list_frozen_names(module: nn.Module, encoders: Mapping[str, str]) -> set[str]:
    """List the weights of the frozen stages of some encoders.

    Args:
        module: module with the encoders in it.
        encoders: names of the encoders' modules (keys).

    Returns:
        Names in the state dict of `module`.
    """
    return {f"{name}.stages.{key}" for name in encoders for key in _get_encoder(module, name).frozen_state()}


def read_frozen_weights(module: nn.Module, encoders: Mapping[str, str], sha256: str, source: str) -> dict[str, Tensor]:
    """Read the weights of frozen stages from the library's file; the next checkpoint leaves them to it, too.

    Args:
        module: module with the encoders in it.
        encoders: name of the encoder's module -> name of the encoder in the file.
        sha256: SHA-256 that the file must have.
        source: checkpoint that needs it, and the version of this library that wrote it, for messages.

    Returns:
        Name in the state dict of `module` -> weight, in half or full precision.

    Raises:
        CheckpointError: the file is missing, or has another hash.
    """
    actual = hash_bundle()
    if actual != sha256:
        raise CheckpointError(
            f"{source}: its frozen encoders {', '.join(sorted(encoders.values()))} are of a file of the library with "
            f"SHA-256 {sha256}, the one installed here has {actual}. Install the version of soundspot that wrote it, "
            "or train it again"
        )
    names = list_frozen_names(module, encoders)
    weights: dict[str, Tensor] = {}
    for name, encoder in encoders.items():
        _get_encoder(module, name).bundled_as = encoder
        weights |= {f"{name}.stages.{key}": value for key, value in read_bundle(encoder).items()}
    return {name: value for name, value in weights.items() if name in names}


def _get_encoder(module: nn.Module, name: str) -> StagedEncoder:
    encoder = module.get_submodule(name)
    assert isinstance(encoder, StagedEncoder)
    return encoder


def _is_unchanged(encoder: StagedEncoder) -> bool:
    state, bundle = encoder.frozen_state(), read_bundle(encoder.bundled_as)
    common = state.keys() & bundle.keys()
    return bool(common) and all(torch.equal(state[name].cpu(), bundle[name].float()) for name in common)

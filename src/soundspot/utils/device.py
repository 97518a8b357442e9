"""The device that networks run on."""

import torch

from soundspot.errors import InputError


def has_native_bf16() -> bool:
    """Return True where this CPU multiplies bfloat16 matrices in hardware.

    Returns:
        Answer of oneDNN, for the CPU only; GPUs are not looked at.
    """
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def select_best_device() -> torch.device:
    """Return the best device of this machine: CUDA, else Apple's MPS, else the CPU.

    Returns:
        The device, without an index. Nothing is allocated on it.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve_device(name: str) -> torch.device:
    """Return a device by name, after a first allocation on it has shown that it works.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps`..., or `auto`: CUDA, else MPS, else the CPU.

    Returns:
        The device.

    Raises:
        InputError: torch has no device of that name, or this machine cannot use it.
    """
    try:
        device = select_best_device() if name == "auto" else torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used ({reason:.120}); expected auto, cpu, cuda or mps") from error
    return device

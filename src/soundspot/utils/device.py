"""What the machine can do, and where on it networks run."""

import torch

from soundspot.errors import InputError


def has_native_bf16() -> bool:
    """Whether this CPU multiplies in bf16 itself."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def select_best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve_device(name: str) -> torch.device:
    """A device by name, tried once; `auto`: the best there is.

    Raises:
        InputError: there is none of that name, or this machine does not have it.
    """
    try:
        device = select_best_device() if name == "auto" else torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used ({reason:.120}); expected auto, cpu, cuda or mps") from error
    return device

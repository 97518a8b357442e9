"""Networks made ready for inference alone: batch norms folded into convolutions, weights in channels-last memory."""

import torch
from torch import nn

from soundspot.models.staged import StagedEncoder


def prepare_for_inference(network: nn.Module) -> None:
    """Fold the batch norms of each `StagedEncoder` of a network, in place; the network cannot be trained any more.

    Features stay the same within rounding, in about half the time of a CPU. Encoders of other classes stay as they are,
    so that published scores stay the same to the last digit.

    Args:
        network: network in evaluation mode, such as a method.
    """
    for module in network.modules():
        if isinstance(module, StagedEncoder):
            fold_batch_norms(module)
            module.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def fold_batch_norms(module: nn.Module) -> None:
    """Fold each batch norm into the convolution before it, in place.

    A batch norm follows a convolution where it is the next child of the same module.

    Args:
        module: module in evaluation mode; its folded batch norms become identities.
    """
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if before and isinstance(before[1], nn.Conv2d) and isinstance(child, nn.BatchNorm2d):
            _fold(before[1], child)
            setattr(module, name, nn.Identity().eval())
        else:
            fold_batch_norms(child)
        before = name, child


@torch.no_grad()
def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Scale the kernels in place, without the copies that `torch.nn.utils.fusion` makes."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    scale = norm.weight * (variance + norm.eps).rsqrt()
    bias = -mean if convolution.bias is None else convolution.bias - mean
    convolution.weight.mul_(scale[:, None, None, None])
    convolution.bias = nn.Parameter(norm.bias + bias * scale)

"""Batch norm over the samples of all processes, so that their number does not change what is learned."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from soundspot.utils.distributed import all_gather_with_grad, world_size


def convert_sync_batchnorm(module: nn.Module, device: torch.device) -> nn.Module:
    """Convert every batch norm to one with statistics over all processes; names of weights stay as they are.

    Args:
        module: network, changed in place.
        device: device of the training: on a GPU `torch.nn.SyncBatchNorm` is used, which knows no other device;
            elsewhere `GlobalBatchNorm`.

    Returns:
        The converted network; `module` itself, except where that is a batch norm on a GPU.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for submodule in module.modules():
        if type(submodule) in (nn.BatchNorm1d, nn.BatchNorm2d):
            submodule.__class__ = GlobalBatchNorm
    return module


class GlobalBatchNorm(_BatchNorm):
    """Batch norm of inputs (b, c, ...), whose statistics in training are those of all processes' inputs.

    All processes must have inputs of the same shape. Gradients flow through the statistics of all processes.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        """Accept any number of axes."""

    def forward(self, x: Float[Tensor, "b c *places"]) -> Float[Tensor, "b c *places"]:
        """Normalize each channel over the batch and all further axes of all processes.

        In evaluation mode, and in a single process, it is torch's batch norm.

        Args:
            x: (b, c, ...) inputs of this process.

        Returns:
            (b, c, ...), of the type of `x`.
        """
        if not self.training or world_size() == 1:
            return super().forward(x)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        values = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = all_gather_with_grad(values.mean(dim=axes)[None]).mean(dim=0)
        deviation = values - mean.view(shape)
        variance = all_gather_with_grad(deviation.square().mean(dim=axes)[None]).mean(dim=0)
        self._update_statistics(mean.detach(), variance.detach(), world_size() * x.numel() // x.shape[1])
        normalized = deviation * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normalized = normalized * self.weight.view(shape) + self.bias.view(shape)
        return normalized.to(x.dtype)

    @torch.no_grad()
    def _update_statistics(self, mean: Tensor, variance: Tensor, n: int) -> None:
        """Update the running statistics as torch does: by the unbiased variance of n numbers of each channel."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_((variance * n / max(1, n - 1)).to(self.running_var), momentum)

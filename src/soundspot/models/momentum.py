"""Momentum encoders: slow copies of networks, whose outputs are steadier targets than the networks' own."""

from copy import deepcopy

import torch
from torch import nn


class MomentumEncoder(nn.Module):
    """Copies of some submodules of a module, by their names, updated by an exponential moving average.

    Parameters are averaged, without gradients; buffers are not: batch norms of the copy keep statistics of their own
    inputs.

    Args:
        source: module to copy from.
        names: names of the submodules to copy.
    """

    def __init__(self, source: nn.Module, *names: str) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, deepcopy(source.get_submodule(name)).requires_grad_(False))

    @torch.no_grad()
    def update(self, source: nn.Module, momentum: float) -> None:
        """Set each parameter to momentum * itself + (1 - momentum) * the source's.

        Args:
            source: module that was copied from.
            momentum: retained fraction of each parameter, in [0, 1]; 0 copies the source, 1 changes nothing.
        """
        parameters = dict(self.named_parameters())
        targets = [source.get_parameter(name).detach() for name in parameters]
        torch._foreach_lerp_([p.detach() for p in parameters.values()], targets, 1 - momentum)

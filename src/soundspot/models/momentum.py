"""The slow copy of networks, whose answers are steadier targets than the networks' own."""

from copy import deepcopy

import torch
from torch import nn


class MomentumEncoder(nn.Module):
    """Copies of some of a module's parts, by their names, that follow it slowly and have no gradients.

    Parameters follow; buffers do not: batch norms of the copy keep statistics of what the copy itself sees.
    """

    def __init__(self, source: nn.Module, *names: str) -> None:
        super().__init__()
        for part in names:
            self.add_module(part, deepcopy(source.get_submodule(part)).requires_grad_(False))

    @torch.no_grad()
    def update(self, source: nn.Module, momentum: float) -> None:
        """Each parameter becomes momentum * itself + (1 - momentum) * the source's."""
        pairs = [(mine, source.get_parameter(name)) for name, mine in self.named_parameters()]
        mine, theirs = ([pair[n].detach() for pair in pairs] for n in (0, 1))
        torch._foreach_lerp_(mine, theirs, 1 - momentum)

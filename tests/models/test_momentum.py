"""The slow copy follows its source by parameters alone, and has no gradients."""

import torch
from torch import nn

from soundspot.models.momentum import MomentumEncoder


def test_parameters_follow_and_buffers_do_not() -> None:
    source = nn.Module()
    source.norm = nn.BatchNorm1d(3)
    slow = MomentumEncoder(source, "norm")
    nn.init.constant_(source.norm.weight, 3.0)
    source.norm.running_mean.fill_(5.0)
    slow.update(source, momentum=0.75)
    assert torch.equal(slow.norm.weight, torch.full((3,), 1.5))
    assert torch.equal(slow.norm.running_mean, torch.zeros(3))
    assert not any(p.requires_grad for p in slow.parameters())

"""SLAVC's slow copy: how fast it follows, whose maps are read, who gets gradients."""

from collections.abc import Callable

import pytest
import torch

from soundspot.methods import Method
from soundspot.methods.slavc import SLAVC
from soundspot.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]


def moved_on(toy: Toy, **options: float | bool) -> SLAVC:
    """In evaluation mode; the networks have moved on, the copy has not."""
    method = toy("slavc", **options).eval()
    assert isinstance(method, SLAVC)
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return method


@pytest.mark.parametrize("momentum", [1.0, 0.75, 0.0])
def test_the_copy_keeps_of_itself_what_momentum_says(momentum: float, toy: Toy) -> None:
    method = moved_on(toy, momentum=momentum)
    before = {name: x.clone() for name, x in method.momentum_encoder.named_parameters()}
    method.on_train_step_start(progress=0.5)
    for name, x in method.momentum_encoder.named_parameters():
        theirs = method.get_parameter(name)
        assert not torch.equal(before[name], theirs)
        torch.testing.assert_close(x, momentum * before[name] + (1 - momentum) * theirs)


@torch.no_grad()
def test_maps_are_the_networks_own_or_the_copys(toy: Toy, clips: Clips) -> None:
    batch = clips()
    asked = batch.images[0], batch.audio[0]
    start = toy("slavc").eval().maps(*asked)
    assert torch.equal(moved_on(toy, momentum_maps=True).maps(*asked), start)
    assert (moved_on(toy, momentum_maps=False).maps(*asked) - start).abs().max() > 0.01


def test_each_term_asks_the_networks_of_one_modality_and_the_copy_of_the_other(toy: Toy, clips: Clips) -> None:
    batch = clips()
    for term, learns in (("images", "image_encoder"), ("audio", "audio_encoder")):
        method = moved_on(toy)
        method.losses(batch)[term].backward()
        reached = {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None}
        assert reached == {learns, "identification", "localization"}


@torch.no_grad()
def test_which_and_where_written_out(toy: Toy, clips: Clips) -> None:
    batch, method = clips(), moved_on(toy, tau=0.1)
    slow = moved_on(toy, momentum_maps=True)
    grids, vectors = ((2**0.5 * x[0]).chunk(2, dim=1) for x in (method.encode(batch)[0], slow.encode(batch)[1]))
    first, second = (torch.einsum("ichw,jc->ijhw", g, a).flatten(2) / 0.1 for g, a in zip(grids, vectors, strict=True))
    scores = (torch.softmax(first, dim=1) * torch.softmax(second, dim=2)).sum(dim=-1)
    expected = -torch.log(scores.diagonal() / scores.sum(dim=1)).mean()
    torch.testing.assert_close(method.losses(batch)["images"], expected)

"""Encoders in chunks: the plain gradient, less memory, statistics that follow each input once."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import soundspot
from soundspot.config.load import read_recipe
from soundspot.methods import Method, create
from soundspot.training.grad_cache import apply_grad_cache
from soundspot.types import Batch

VGG = {"encoder": "vgg16", "width": 2}  # which has no batch norm
RESNET = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 4}


def batch(b: int = 10) -> Batch:
    torch.manual_seed(1)
    images, sounds = torch.randn(2, b, 3, 32, 32).double(), torch.randn(2, b, 1, 65, 40).double()
    return Batch(images, sounds, torch.arange(b))


def step(method: Method, chunk: int) -> dict[str, Tensor]:
    """Loss and gradients of one step."""
    method = copy.deepcopy(method)
    if chunk:
        for encoder in (method.image_encoder, method.audio_encoder):
            apply_grad_cache(encoder, chunk)
    loss = torch.stack(list(method.losses(batch()).values())).sum()
    loss.backward()
    found = {name: one.grad for name, one in method.named_parameters() if one.grad is not None}
    return {"loss": loss.detach(), **found, **{f"buffer {n}": b.clone() for n, b in method.named_buffers()}}


@pytest.mark.parametrize("chunk", [1, 3, 10, 50])
@pytest.mark.parametrize("name", ["ezvsl", "alignment", "lvs"])
def test_the_gradient_is_that_of_the_whole_batch(name: str, chunk: int) -> None:
    torch.manual_seed(0)
    method = create(name, image=VGG, audio=VGG).double().train()
    plain, ours = step(method, 0), step(method, chunk)
    assert plain.keys() == ours.keys()
    for key in plain:
        torch.testing.assert_close(ours[key], plain[key], rtol=1e-9, atol=1e-12)


def test_names_stay_and_asking_is_as_before() -> None:
    method = create("ezvsl", image=RESNET, audio=RESNET).double()
    names, clips = list(method.state_dict()), batch()
    before = method.eval().maps(clips.images[0], clips.audio[0])
    apply_grad_cache(method.image_encoder, 3)
    assert list(method.state_dict()) == names
    with torch.no_grad():
        assert torch.equal(method.maps(clips.images[0], clips.audio[0]), before)


def test_batch_norm_sees_a_chunk_at_a_time_and_each_once() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3, 5, 5)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    ours = copy.deepcopy(plain)
    apply_grad_cache(ours, 2)
    answer = torch.cat([plain(part) for part in x.split(2)])
    found = ours(x)
    torch.testing.assert_close(found, answer)
    for one in (answer, found):
        one.square().sum().backward()
    for (name, one), (_, other) in zip(plain.named_parameters(), ours.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)
    for (name, one), (_, other) in zip(plain.named_buffers(), ours.named_buffers(), strict=True):
        torch.testing.assert_close(one, other, msg=name)
    assert int(ours[1].num_batches_tracked) == 3


def test_little_is_remembered() -> None:
    """Numbers kept for the gradient: all that layers need, against the inputs alone."""
    kept = {}
    for chunk in (0, 2):
        torch.manual_seed(0)
        method = create("ezvsl", image=VGG, audio=VGG).train()
        if chunk:
            apply_grad_cache(method.image_encoder, chunk)
        sizes: list[int] = []

        def remember(one: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(one.numel())
            return one

        with torch.autograd.graph.saved_tensors_hooks(remember, lambda one: one):
            method.image_encoder(torch.randn(16, 3, 64, 64))
        kept[chunk] = sum(sizes)
    assert kept[2] < 0.2 * kept[0]


def test_a_recipe_trains_in_chunks(tmp_path: Any) -> None:
    short = [
        "--train.epochs",
        "1",
        "--data.options.length",
        "64",
        "--train.grad_cache_size",
        "8",
        "--validation.data",
        "null",
    ]
    assert soundspot.train(read_recipe("ezvsl/debug", short), tmp_path, progress=False).exists()

"""Nowhere: EZ-VSL with a distribution over locations and none of them, and the mean of like locations."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from soundspot.config.schema import FrontEndConfig
from soundspot.methods import Method, create
from soundspot.methods.nowhere import Nowhere, mean_shift
from soundspot.models.heads import pool_outputs
from soundspot.models.reuse import reuse_outputs
from soundspot.models.staged import StagedEncoder
from soundspot.types import Batch
from toys import STAGED, TINY

Toy, Clips = Callable[..., Method], Callable[..., Batch]


def test_mean_shift_is_its_formula_and_joins_what_is_alike() -> None:
    torch.manual_seed(0)
    features = F.normalize(torch.randn(1, 8, 2, 3), dim=1)
    flat = features[0].flatten(1).T
    expected = F.normalize(torch.softmax(flat @ flat.T / 0.1, dim=1) @ flat, dim=1).T.reshape(1, 8, 2, 3)
    torch.testing.assert_close(mean_shift(features, 0.1), expected)
    two = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]]), dim=1).T.reshape(1, 2, 1, 3)
    shifted = mean_shift(two, 0.1)[0, :, 0].T
    assert shifted[0] @ shifted[1] > 0.999 > two[0, :, 0].T[0] @ two[0, :, 0].T[1]
    assert shifted[0] @ shifted[2] < 0.1


def test_without_its_terms_it_is_ezvsl(toy: Toy, clips: Clips) -> None:
    batch, same = clips(), {"tau": 0.07, "reducer": "softmax", "ground_truth_weight": 0.5}
    batch = replace(batch, ground_truth=torch.rand(len(batch.images), 4, 16, 16))
    ours = toy("nowhere", weight=0.0, bandwidth=0.0, alignment=False, **same).eval().losses(batch)
    expected = toy("ezvsl", **same).eval().losses(batch)
    assert ours.keys() == expected.keys() == {"contrast", "extent"}
    assert all(torch.equal(ours[name], value) for name, value in expected.items())


def test_pairs_that_may_fit_are_not_told_absent(toy: Toy, clips: Clips) -> None:
    batch, method = clips(), toy("nowhere").eval()
    everything = torch.ones(4, 4, dtype=torch.bool)
    assert method.losses(replace(batch, false_negatives=everything))["nowhere"].item() == 0
    assert method.losses(batch)["nowhere"] > 0


def test_it_learns_where_and_whether(toy: Toy, clips: Clips) -> None:
    """Own sounds go to the annotated quarter, the other ones to nowhere."""
    batch = clips()
    ground_truth = torch.zeros(len(batch.images), 4, 16, 16)
    ground_truth[:, :, :8, :8] = 1.0
    batch = replace(batch, ground_truth=ground_truth)
    method = toy("nowhere", ground_truth_weight=1.0, bandwidth=0.0, alignment=False).train()
    assert isinstance(method, Nowhere)
    before = method.losses(batch)["location"].item()
    optimizer = torch.optim.Adam(method.parameters(), lr=2e-2)
    for _ in range(20):
        terms = method.losses(batch)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    assert terms["location"] < 0.2 * before
    assert terms["nowhere"] < 0.3  # though own sounds began as absent as these
    assert method.absence.item() != 0.3


def test_negative_sounds_come_from_nowhere(toy: Toy, clips: Clips) -> None:
    batch = replace(clips(), negatives=torch.tensor([[1, 2, 3, 0]]))
    terms, plain = (toy("nowhere", weight=w).eval().negative_losses(batch, 0.07) for w in (0.5, 0.0))
    assert terms.keys() - plain.keys() == {"absent"}
    assert terms["absent"] > 0


@pytest.mark.parametrize(
    ("encoder", "learning"), [(TINY, {"p_v", "p_a", "image_encoder", "audio_encoder"}), (STAGED, {"p_v", "p_a"})]
)
@pytest.mark.usefixtures("tiny_staged")
def test_retrieval_learns_and_leaves_what_maps_are_made_of_alone(
    clips: Clips, encoder: dict[str, Any], learning: set[str]
) -> None:
    torch.manual_seed(0)
    batch, method = clips(), create("nowhere", image=encoder, audio=encoder).train()
    runs = list[int]()
    first = next(layer for layer in method.image_encoder.modules() if isinstance(layer, nn.Conv2d))
    first.register_forward_pre_hook(lambda *_: runs.append(1))
    method.losses(batch)["alignment"].backward()
    assert len(runs) == 1  # for maps and retrieval together
    with_gradient = {name.split(".")[0] for name, weight in method.named_parameters() if weight.grad is not None}
    assert with_gradient == learning
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        method.losses(batch)["alignment"].backward()
        optimizer.step()
    method.eval()
    similarity = method.embed_images(batch.images[0]) @ method.embed_audio(batch.audio[0]).T
    assert (similarity.argmax(1) == torch.arange(len(similarity))).all()


@torch.no_grad()
def test_retrieval_reads_what_frozen_encoders_give_once_and_before_the_neck() -> None:
    torch.manual_seed(0)
    image = {"encoder": "efficientnet_lite0", "layers": ["block10", "head"], "trained": 0, "width": 8}
    audio = {"encoder": "aisfx", "trained": 0, "width": 8}
    front_end = FrontEndConfig("efficientnet_lite0+aisfx", size=64, seconds=4.0).build()
    method = create("nowhere", image=image, audio=audio, front_end=front_end, width=8).eval()
    assert isinstance(method, Nowhere)
    image_encoder, audio_encoder = method.image_encoder, method.audio_encoder
    assert isinstance(image_encoder, StagedEncoder)
    assert isinstance(audio_encoder, StagedEncoder)
    assert image_encoder.neck is not None
    images, sounds = torch.randn(2, 3, 64, 64), torch.rand(2, 1, *front_end.audio.shape)
    block, head = image_encoder.read_frozen(images)
    expected = torch.cat([block.amax((-2, -1)), head.amax((-2, -1))], dim=1)
    torch.testing.assert_close(pool_outputs(image_encoder, images), expected)
    (blocks,) = audio_encoder.read_frozen(sounds)  # (b, p, c, 1, s), p of them in time
    assert blocks.shape[1] > 1
    torch.testing.assert_close(pool_outputs(audio_encoder, sounds), blocks.amax((1, 3, 4)))
    before, runs = method.embed_images(images), list[int]()
    own, of_maps = before[:, :8] * 2**0.5, before[:, 8:] * 2**0.5  # their cosine is the mean of two
    torch.testing.assert_close(of_maps, F.normalize(method.encode_images(images).mean((-2, -1))))
    torch.testing.assert_close(method.embed_audio(sounds)[:, 8:] * 2**0.5, method.encode_audio(sounds))
    image_encoder.stages["stem"].register_forward_pre_hook(lambda layer, _: runs.append(1))
    image_encoder.neck.weight.normal_()
    with reuse_outputs(method):
        method.encode_images(images)
        torch.testing.assert_close(method.embed_images(images)[:, :8] * 2**0.5, own)
    assert len(runs) == 1
    method.losses(Batch(images[None], sounds[None], torch.arange(2)))
    assert len(runs) == 2

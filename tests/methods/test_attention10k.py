"""Attention10k against the released network, its semi-supervised form, and what a reader would doubt."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from released import inputs_of
from soundspot.errors import RecipeError
from soundspot.losses.contrastive import matched_pair_maps, unit_norm
from soundspot.losses.distances import distance_ratio_loss
from soundspot.methods import Method, create
from soundspot.methods.attention10k import Attention10k
from soundspot.types import Batch

GOLDEN = "attention10k"
Toy, Clips = Callable[..., Method], Callable[..., Batch]


# The released code.


@pytest.fixture(scope="module")
def batch() -> Batch:
    x = inputs_of({"image": ["image", [2, 3, 320, 320]], "audio": ["audio", [2, 1000]]})
    return Batch(x["image"][None], x["audio"][None, :, None, :, None], torch.arange(2))


@torch.no_grad()
def test_maps_and_what_they_are_made_of(released: Attention10k, theirs: dict[str, Tensor], batch: Batch) -> None:
    images, sounds = batch.images[0], batch.audio[0]
    codes, queries = released.encode_images(images), released.encode_audio(sounds)
    torch.testing.assert_close(queries, theirs["audio_query"], rtol=0, atol=2e-5)
    torch.testing.assert_close(released.similarity_map(codes, queries), theirs["attention"], rtol=0, atol=1e-7)
    released.signed = True
    torch.testing.assert_close(released.similarity_map(codes, queries), theirs["cosine_map"], rtol=0, atol=2e-5)
    released.signed = False
    torch.testing.assert_close(F.relu(released.audio_features(sounds)), theirs["pos_audio_embedding"], rtol=0, atol=0)


@torch.no_grad()
def test_both_losses(released: Attention10k, theirs: dict[str, Tensor], batch: Batch, monkeypatch: Any) -> None:
    """The released loop reads one other sound for each clip, given here; ours takes the others of the batch."""
    others = inputs_of({"audio": ["audio_neg", [2, 1000]]})["audio"]
    own = batch.audio[0, :, 0, :, 0]
    seen: list[Tensor] = []

    def given(visual: Tensor, sounds: Tensor) -> Tensor:
        seen.append(visual[0, 0])
        to_own, to_other = (F.pairwise_distance(visual[0, 0], s) for s in (own, others))
        return torch.stack([torch.stack([to_own[0], to_other[0]]), torch.stack([to_other[1], to_own[1]])])

    monkeypatch.setattr("soundspot.methods.attention10k.pairwise_distances", given)
    marked = torch.full((1, 2, 20, 20), torch.nan)
    marked[0, 0] = 0
    marked[0, 0].view(-1)[100:140] = 1
    terms = released.losses(replace(batch, ground_truth=marked))
    assert terms["distance"].item() == pytest.approx(theirs["loss_unsupervised"].item(), rel=1e-4)
    assert terms["supervised"].item() == pytest.approx(theirs["loss_supervised"].item(), rel=1e-4)
    torch.testing.assert_close(
        seen[0], theirs["vision_embedding"], rtol=0, atol=2e-5 * theirs["vision_embedding"].abs().max().item()
    )


# What holds of it anywhere.


def test_distances_are_those_of_every_other_clip_of_the_batch(toy: Toy, clips: Clips) -> None:
    method, batch = toy("attention10k").eval(), clips()
    assert isinstance(method, Attention10k)
    with torch.no_grad():
        grids, sounds = method.image_encoder(batch.images[0]), method.audio_features(batch.audio[0])
        cosines = matched_pair_maps(unit_norm(grids, 1)[None], unit_norm(method.query(sounds))[None])[0, :, 0]
        weights = F.relu(cosines).flatten(1).softmax(-1)
        visual = method.meaning((grids.flatten(2) * weights[:, None]).sum(-1))
        expected = distance_ratio_loss((visual[:, None] - sounds[None]).norm(dim=-1))
        torch.testing.assert_close(method.losses(batch)["distance"], expected, rtol=1e-4, atol=0)


def test_views_are_summed_over_their_pairs(toy: Toy, clips: Clips) -> None:
    one = replace(clips(), ground_truth=torch.rand(1, 4, 32, 32))
    two = Batch(*(x.expand(2, -1, -1, -1, -1) for x in (one.images, one.audio)), one.index)
    assert one.ground_truth is not None
    method = toy("attention10k").eval()
    once, four = method.losses(one), method.losses(replace(two, ground_truth=one.ground_truth.expand(2, -1, -1, -1)))
    assert once.keys() == {"distance", "supervised"}
    for name in once:
        assert four[name].item() == pytest.approx(4 * once[name].item(), rel=1e-4), name


def test_what_is_taught_is_learned(toy: Toy, clips: Clips) -> None:
    """Annotated pictures alone move the attention to where they are marked; of the others it learns nothing."""
    marked = torch.full((1, 4, 32, 32), torch.nan)
    marked[0, :2] = 0
    marked[0, :2, :16, :16] = 1
    method = toy("attention10k", sharpness=10.0).train()
    batch = replace(clips(), ground_truth=marked)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-2)
    first = method.losses(batch)["supervised"].item()
    for _ in range(30):
        loss = method.losses(batch)["supervised"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.8 * first
    assert "supervised" not in toy("attention10k", supervised=0.0).losses(batch)


def test_gradients_of_the_whole_loss(toy: Toy, clips: Clips) -> None:
    method = toy("attention10k", sharpness=3.0).double().eval()
    assert isinstance(method, Attention10k)
    torch.manual_seed(0)
    grids = torch.randn(3, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    heard = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    batch = Batch(torch.zeros(1, 3, 3, 8, 8).double(), torch.zeros(1, 3, 1, 3, 3).double(), torch.arange(3))
    batch = replace(batch, ground_truth=torch.rand(1, 3, 2, 2, dtype=torch.float64))

    def loss(grids: Tensor, heard: Tensor) -> Tensor:
        method.image_encoder.forward = lambda images: grids  # type: ignore[method-assign]
        method.hear = lambda sounds: heard  # type: ignore[method-assign]
        return torch.stack(list(method.losses(batch).values())).sum()

    assert torch.autograd.gradcheck(loss, (grids, heard), eps=1e-5, atol=1e-4)


def test_the_default_is_frozen_vgg_of_320_pixels() -> None:
    method = create("attention10k", image={"width": 2})
    assert not any(one.requires_grad for one in method.image_encoder.parameters())
    assert method.config["image"] == {"encoder": "vgg16", "relu": False, "trained": 0, "width": 2}
    assert method.front_end.image.size == 320


def test_a_recording_is_refused_where_vectors_are_heard() -> None:
    method = create("attention10k", image={"width": 2}, audio={"encoder": "vectors"})
    with pytest.raises(RecipeError, match=r"found audio of 257 x 200, expected embeddings of 1000 numbers"):
        method.maps(torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 257, 200))
    with pytest.raises(RecipeError, match="stands for an audio encoder"):
        create("attention10k", image={"encoder": "vectors"})
    with pytest.raises(RecipeError, match="begins with no weights"):
        create("attention10k", image={"width": 2}, audio={"encoder": "vectors", "weights": "imagenet"})

"""DMC against a slow reference written number by number, and what a reader would doubt."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from soundspot.errors import RecipeError
from soundspot.methods import Method, create
from soundspot.methods.dmc import DMC
from soundspot.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]
Row = list[float]


@pytest.fixture
def build(toy: Toy) -> Callable[..., DMC]:
    def one(**options: int | float) -> DMC:
        method = toy("dmc", **options).double().eval()
        assert isinstance(method, DMC)
        return method

    return one


@pytest.fixture
def batch(clips: Clips) -> Batch:
    one = clips()
    return replace(one, images=one.images.double(), audio=one.audio.double())


# A slow reference: one sample, one cluster, one number at a time, from the features of both networks.


def kmeans(tokens: list[Row], k: int) -> tuple[list[Row], list[Row]]:
    """Centres, and the shares that made them."""
    centres, shares = [tokens[c * (len(tokens) // k)] for c in range(k)], []
    for _ in range(4):
        shares = [[] for _ in range(k)]
        for token in tokens:
            far = [math.dist(token, centre) for centre in centres]
            raised = [math.exp(-30 * (one - min(far))) for one in far]
            for c in range(k):
                shares[c].append(raised[c] / sum(raised))
        for c in range(k):
            total = [0.0] * len(tokens[0])
            for share, token in zip(shares[c], tokens, strict=True):
                total = [held + share * value for held, value in zip(total, token, strict=True)]
            centres[c] = [value / sum(shares[c]) for value in total]
    return centres, shares


def tokens_of(features: Tensor, weight: Tensor, bias: Tensor) -> list[Row]:
    """(c, h, w) read row by row, each place through one linear layer."""
    rows = []
    for place in features.flatten(1).T.tolist():
        pairs = zip(weight.tolist(), bias.tolist(), strict=True)
        rows.append([sum(w * x for w, x in zip(row, place, strict=True)) + shift for row, shift in pairs])
    return rows


def reference(method: DMC, batch: Batch) -> tuple[list[list[Row]], list[list[Row]], list[list[Row]]]:
    """Centres and shares of each picture, centres of each sound."""
    pictures, sounds = method.image_encoder(batch.images[0]), method.audio_encoder(batch.audio[0])
    seen, heard = method.space.image, method.space.audio
    assert seen.bias is not None
    visual = [kmeans(tokens_of(one, seen.weight[:, :, 0, 0], seen.bias), method.image_clusters) for one in pictures]
    audible = [kmeans(tokens_of(one, heard.weight, heard.bias), method.audio_clusters)[0] for one in sounds]
    return [centres for centres, _ in visual], [shares for _, shares in visual], audible


@torch.no_grad()
@pytest.mark.parametrize("heard", [1, 2])
def test_the_loss_is_the_mean_over_all_draws_of_another_picture(
    heard: int, build: Callable[..., DMC], batch: Batch
) -> None:
    method = build(audio_clusters=heard)
    seen, _, sounds = reference(method, batch)

    def apart(picture: int, sound: int) -> float:
        nearest = [min(math.dist(v, a) for v in seen[picture]) for a in sounds[sound]]
        return math.sqrt(sum(d * d for d in nearest))

    draws = []
    for sound in range(4):
        for other in set(range(4)) - {sound}:
            pulled, pushed = apart(sound, sound) ** 2, max(0.0, 5 - apart(other, sound)) ** 2
            draws.append((0.5 * pulled + 0.5 * pushed) / 2)
    assert method.losses(batch)["margin"].item() == pytest.approx(sum(draws) / len(draws), rel=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("heard", [1, 2])
def test_maps_are_the_shares_in_the_cluster_that_is_nearest_to_the_sound(
    heard: int, build: Callable[..., DMC], batch: Batch
) -> None:
    method = build(audio_clusters=heard, image_clusters=3)
    seen, shares, sounds = reference(method, batch)
    codes, vectors = method.encode_images(batch.images[0]), method.encode_audio(batch.audio[0])
    maps, told = method.locate_sources(codes, vectors)
    assert maps.shape == (4, heard, *codes.shape[2:])
    assert told.shape == (4, heard)
    assert bool(told.all())
    for i in range(4):
        for a in range(heard):
            nearest = min(range(3), key=lambda k: math.dist(seen[i][k], sounds[i][a]))
            expected = torch.tensor(shares[i][nearest], dtype=torch.float64)
            torch.testing.assert_close(maps[i, a].flatten(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(method.similarity_map(codes, vectors), maps.amax(dim=1), rtol=0, atol=0)


@torch.no_grad()
def test_embeddings_are_the_mean_of_the_centres(build: Callable[..., DMC], batch: Batch) -> None:
    method = build()
    seen, _, sounds = (torch.tensor(one, dtype=torch.float64) for one in reference(method, batch))
    for found, centres in (
        (method.embed_images(batch.images[0]), seen),
        (method.embed_audio(batch.audio[0]), sounds),
    ):
        mean = centres.mean(dim=1)
        torch.testing.assert_close(found, mean / mean.norm(dim=1, keepdim=True), rtol=0, atol=1e-8)


# What holds of it anywhere.


@torch.no_grad()
def test_a_mixture_is_told_apart_by_where_its_sounds_match(build: Callable[..., DMC]) -> None:
    """Two things on a background and a sound of two: each of its clusters lights one thing, none the background."""
    method = build(image_clusters=3, audio_clusters=2)
    ground, bell, drum = 6 * torch.eye(16, dtype=torch.float64)[:3]
    grid = ground.expand(4, 4, 16).clone()
    grid[0, 1:3], grid[3, 2:], grid[1, 0] = bell, drum, bell
    codes = grid.permute(2, 0, 1)[None] + 1e-3 * torch.randn(1, 16, 4, 4, dtype=torch.float64)
    maps, _ = method.locate_sources(codes, torch.stack([bell, drum])[None])
    torch.testing.assert_close(maps[0, 0], (grid == bell).all(-1).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(maps[0, 1], (grid == drum).all(-1).double(), rtol=0, atol=1e-6)
    alone = method.similarity_map(codes, torch.stack([drum, drum])[None])
    torch.testing.assert_close(alone, maps[:, 1], rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_trained_model_can_be_asked_with_other_numbers_of_clusters(build: Callable[..., DMC], batch: Batch) -> None:
    solo, duet = build(), build(image_clusters=3, audio_clusters=2)
    duet.load_state_dict(solo.state_dict())
    assert duet.all_maps(batch.images[0], batch.audio[0]).shape == solo.all_maps(batch.images[0], batch.audio[0]).shape


def test_views_are_summed_over_their_pairs(build: Callable[..., DMC], batch: Batch) -> None:
    method = build()
    two = replace(batch, **{name: getattr(batch, name).expand(2, -1, -1, -1, -1) for name in ("images", "audio")})
    once, four = (method.losses(one)["margin"].item() for one in (batch, two))
    assert four == pytest.approx(4 * once)


def test_the_default_is_the_published_network() -> None:
    method = create("dmc")
    assert isinstance(method, DMC)
    assert (method.image_clusters, method.audio_clusters, method.rounds, method.sharpness, method.margin) == (
        2,
        1,
        4,
        30.0,
        5.0,
    )
    spec = method.front_end.audio
    assert spec.shape == (64, 201)
    with torch.no_grad():
        method.eval()
        assert method.encode_images(torch.zeros(1, 3, 224, 224)).shape == (1, 512, 14, 14)
        assert method.encode_audio(torch.zeros(1, 1, *spec.shape)).shape == (1, 1, 512)


def test_more_clusters_than_places_are_told() -> None:
    tiny = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
    method = create("dmc", image=tiny, audio=tiny, image_clusters=9).eval()
    with pytest.raises(RecipeError, match="found 9 clusters of 4 local features"):
        method.maps(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 32, 32))

"""Retrieval ranks, alignment and magnitude, and the health of embeddings."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from golden import having
from soundspot.evaluation import functional as F


def drawn(seed: int, n: int = 40, d: int = 6, alike: float = 1.0) -> tuple[Tensor, Tensor]:
    """Pictures and sounds, not of unit length, that have something in common."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(n, d, generator=draw)
    return images, alike * images + torch.randn(n, d, generator=draw)


def test_golden(metrics: list[Path]) -> None:
    for folder, wanted in having(metrics, "derived_retrieval"):
        with np.load(folder / "retrieval.npz") as arrays:
            images, sounds = (torch.from_numpy(arrays[key]) for key in ("image", "audio"))
        cosine = torch.nn.functional.cosine_similarity(images.double()[:, None], sounds.double()[None], dim=2)
        for k in (1, 5, 10):
            for name, similarity, pair in (
                ("audio_to_image", cosine.T, (sounds, images)),
                ("image_to_audio", cosine, (images, sounds)),
            ):
                assert F.recall_at(similarity, k=k).item() == wanted[name][f"R@{k}"]
                assert (F.embedding_ranks(*pair) < k).double().mean().item() == wanted[name][f"R@{k}"]
        assert F.alignment(images, sounds).item() == pytest.approx(wanted["alignment_mean_cosine"], abs=1e-7)
        # The deviation of the whole set; a sample's would be 0.0017 higher.
        assert list(F.magnitude(images, sounds)) == pytest.approx(wanted["magnitude_mean_std"], abs=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 7, 40]), st.booleans())
def test_ranks_in_parts_are_ranks_at_once(seed: int, n: int, by_category: bool) -> None:
    images, sounds = drawn(seed, n)
    labels = torch.randint(0, 4, (n,), generator=torch.Generator().manual_seed(seed))
    relevant = labels[:, None] == labels if by_category else None
    got = F.embedding_ranks(images, sounds, relevant)
    unit = [x.double() / x.double().norm(dim=1, keepdim=True) for x in (images, sounds)]
    assert torch.equal(got, F.retrieval_ranks(unit[0] @ unit[1].T, relevant))
    if not by_category:
        assert torch.equal(got, F.embedding_ranks(images, sounds, torch.eye(n, dtype=torch.bool)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("soundspot.evaluation.functional.retrieval.MIN_QUERIES", 3)
        assert torch.equal(got, F.embedding_ranks(images, sounds, relevant))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_order_and_length_do_not_matter(seed: int) -> None:
    images, sounds = drawn(seed)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    got = F.embedding_ranks(images, sounds)
    assert torch.equal(F.embedding_ranks(images[order], sounds[order]), got[order])
    longer = images * (1 + torch.arange(40))[:, None]
    assert torch.equal(F.embedding_ranks(longer, sounds), got)
    for score in (F.alignment, F.centroid_distance, F.modality_gap, F.separability, F.magnitude):
        for same in (score(images[order], sounds[order]), score(longer, sounds)):
            torch.testing.assert_close(same, score(images, sounds), rtol=1e-6, atol=1e-6)


def test_equal_embeddings_tie_wherever_they_are() -> None:
    """A picture that is asked with three sounds is three items; none of its copies may outrank another by rounding."""
    images, _ = drawn(0, 300, 64)
    items = images.repeat_interleave(3, dim=0)
    assert F.embedding_ranks(items, items).max() == 0
    assert F.embedding_ranks(items[:, :7], items[:, :7]).max() == 0


def test_several_sounds_answer_a_picture() -> None:
    images, sounds = drawn(1, 30)
    picture = torch.arange(30) // 3
    shown = images[::3]
    relevant = torch.arange(10)[:, None] == picture
    ranks = F.embedding_ranks(shown, sounds, relevant)
    similarity = torch.nn.functional.normalize(shown, dim=1) @ torch.nn.functional.normalize(sounds, dim=1).T
    for i, rank in enumerate(ranks):
        order = similarity[i].argsort(descending=True)
        assert rank == (picture[order] == i).nonzero()[0, 0]
    back = F.embedding_ranks(sounds, shown, relevant.T)
    assert back.shape == (30,)
    assert F.embedding_ranks(shown, sounds, torch.zeros_like(relevant)).tolist() == [30] * 10  # nothing answers


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 5, 40]), st.sampled_from([0.0, 1.0, -1.0]))
def test_plain_sums_agree(seed: int, n: int, alike: float) -> None:
    """Every pair of vectors written out."""
    images, sounds = drawn(seed, n, alike=alike)
    v, a = ((x.double() / x.double().norm(dim=1, keepdim=True)).numpy() for x in (images, sounds))
    paired = [v[i] @ a[i] for i in range(n)]
    others = [v[i] @ a[j] for i in range(n) for j in range(n) if i != j]
    within = [(1 - x[i] @ x[j]) / 2 for x in (v, a) for i in range(n) for j in range(n) if i != j]
    gap = (1 - np.mean(paired)) / 2
    lengths = [np.linalg.norm(v[i] - a[i]) for i in range(n)]
    assert F.alignment(images, sounds).item() == pytest.approx(np.mean(paired), abs=1e-12)
    assert list(F.magnitude(images, sounds)) == pytest.approx([np.mean(lengths), np.std(lengths)], abs=1e-12)
    assert F.modality_gap(images, sounds).item() == pytest.approx(gap / (gap + np.mean(within)), abs=1e-12)
    assert F.centroid_distance(images, sounds).item() == pytest.approx(np.linalg.norm(v.mean(0) - a.mean(0)), abs=1e-12)
    wanted = np.percentile(paired, 25) - np.percentile(others, 75)
    assert F.separability(images, sounds).item() == pytest.approx(wanted, abs=1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("soundspot.evaluation.functional.embeddings.CHUNK_SIZE", 3)
        assert F.separability(images, sounds).item() == pytest.approx(wanted, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_unit_vectors_tie_alignment_to_magnitude(seed: int) -> None:
    """E |v - a|^2 = 2 - 2 alignment; the printed numbers break it, so their pictures are shorter than 1."""
    images, sounds = drawn(seed)
    mean, std = F.magnitude(images, sounds)
    assert (mean**2 + std**2).item() == pytest.approx(2 - 2 * F.alignment(images, sounds).item())
    lengths = images.double().square().sum(dim=1).mean() + sounds.double().square().sum(dim=1).mean()
    mean, std = F.magnitude(images, sounds, renormalize=False)
    product = F.alignment(images, sounds, renormalize=False)
    torch.testing.assert_close(mean**2 + std**2, lengths - 2 * product)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_bounds(seed: int, renormalize: bool) -> None:
    images, sounds = (x / 9 for x in drawn(seed))
    if renormalize:
        assert -1 <= F.alignment(images, sounds) <= 1
        assert 0 <= F.magnitude(images, sounds).mean <= 2
        assert -2 <= F.separability(images, sounds) <= 2
        assert 0 <= F.modality_gap(images, sounds) <= 1
    assert F.magnitude(images, sounds, renormalize).std >= 0
    assert F.alignment(images, images).item() == pytest.approx(1)
    assert F.modality_gap(images, images).item() == pytest.approx(0, abs=1e-12)
    assert F.centroid_distance(images, images) == 0
    assert F.separability(images, images, renormalize) == F.separability(images, images.clone(), renormalize)


def test_a_single_pair_has_no_others() -> None:
    images, sounds = drawn(0, 1)
    assert F.separability(images, sounds).isnan()
    assert F.modality_gap(images, sounds).isnan()
    assert F.magnitude(images, sounds).std == 0
    assert F.embedding_ranks(images, sounds).tolist() == [0]
    assert F.embedding_ranks(images[:0], sounds).shape == (0,)

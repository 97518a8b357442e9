"""Retrieval ranks, alignment and magnitude, and the health of embeddings."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from golden import having
from soundspot.evaluation import functional as F
from soundspot.evaluation.metrics import relevance
from soundspot.evaluation.metrics.relevance import RetrievalInputs
from soundspot.evaluation.metrics.retrieval import centroid_distance, modality_gap, separability


def drawn(seed: int, n: int = 40, d: int = 6, alike: float = 1.0) -> tuple[Tensor, Tensor]:
    """Pictures and sounds, not of unit length, that have something in common."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(n, d, generator=draw)
    return images, alike * images + torch.randn(n, d, generator=draw)


def assert_same(got: F.TiedRanks, wanted: F.TiedRanks) -> None:
    assert all(map(torch.equal, got, wanted)), (got, wanted)


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
                assert F.expected_recall(F.embedding_ranks(*pair), k).mean().item() == wanted[name][f"R@{k}"]
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
    assert_same(got, F.retrieval_ranks(unit[0] @ unit[1].T, relevant))
    if not by_category:
        assert_same(got, F.embedding_ranks(images, sounds, torch.eye(n, dtype=torch.bool)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("soundspot.evaluation.functional.retrieval.MIN_QUERIES", 3)
        patch.setattr("soundspot.evaluation.functional.retrieval.MAX_CELLS", 1)
        patch.setattr("soundspot.evaluation.functional.retrieval.ITEM_CHUNK", 5)
        assert_same(got, F.embedding_ranks(images, sounds, relevant))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_order_and_length_do_not_matter(seed: int) -> None:
    images, sounds = drawn(seed)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    got = F.embedding_ranks(images, sounds)
    assert_same(F.embedding_ranks(images[order], sounds[order]), F.TiedRanks(*(counts[order] for counts in got)))
    longer = images * (1 + torch.arange(40))[:, None]
    assert_same(F.embedding_ranks(longer, sounds), got)
    for score in (F.alignment, F.centroid_distance, F.modality_gap, F.separability, F.magnitude):
        for same in (score(images[order], sounds[order]), score(longer, sounds)):
            torch.testing.assert_close(same, score(images, sounds), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("noise", [0.0, 1e-8, 1e-7])
def test_equal_embeddings_tie_wherever_they_are(noise: float) -> None:
    """A picture that is asked with three sounds is three items; no copy outranks another by rounding, nor ties it."""
    images, _ = drawn(0, 300, 64)
    items = images.repeat_interleave(3, dim=0)
    items = items + noise * torch.randn(items.shape, generator=torch.Generator().manual_seed(1))
    for part in (items, items[:, :7]):
        ranks = F.embedding_ranks(part, part)
        assert [{*counts.tolist()} for counts in ranks] == [{0}, {3}, {1}]
        assert F.expected_recall(ranks, 1).mean().item() == pytest.approx(1 / 3)
        assert F.expected_recall(ranks, 3).mean().item() == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 6), st.integers(1, 9))
def test_recall_is_the_mean_over_all_orders_of_equal_items(seed: int, m: int, n: int, k: int) -> None:
    """Each order of the items written out; whole numbers from 0 to 2 tie often."""
    draw = torch.Generator().manual_seed(seed)
    similarity = torch.randint(0, 3, (n, m), generator=draw).double()
    relevant = torch.rand(n, m, generator=draw) < 0.4
    answered = []
    for order in map(list, permutations(range(m))):
        ranked = similarity[:, order].argsort(dim=1, descending=True, stable=True)
        answered.append(relevant[:, order].gather(1, ranked)[:, :k].any(dim=1).double())
    got = F.expected_recall(F.retrieval_ranks(similarity, relevant), k)
    torch.testing.assert_close(got, torch.stack(answered).mean(dim=0))
    assert F.recall_at(similarity, relevant, k).item() == pytest.approx(got.mean().item())
    order = torch.randperm(m, generator=draw)
    assert torch.equal(F.expected_recall(F.retrieval_ranks(similarity[:, order], relevant[:, order]), k), got)
    torch.testing.assert_close(F.retrieval_ranks(similarity / 1e9, relevant), F.retrieval_ranks(similarity, relevant))


@pytest.mark.parametrize("noise", [0.0, 1e-8, 1e-7])
def test_a_collapsed_model_has_the_recall_of_chance(noise: float) -> None:
    """One vector for all sounds, or for all pictures too, with the rounding of the place in a batch."""
    images, sounds = drawn(0, 100, 16)
    sounds = torch.ones_like(sounds) + noise * sounds
    labels = torch.arange(100) % 7
    for relevant in (None, labels[:, None] == labels):
        counts = torch.ones(100, dtype=torch.int64) if relevant is None else relevant.sum(dim=1)
        for k in (1, 5, 10):
            chance = F.chance_recall(counts, 100, k).mean()
            for queries, items in ((images, sounds), (sounds, sounds)):
                got = F.expected_recall(F.embedding_ranks(queries, items, relevant), k).mean()
                torch.testing.assert_close(got, chance)
                unit = [torch.nn.functional.normalize(x, dim=1) for x in (queries, items)]
                torch.testing.assert_close(F.recall_at(unit[0] @ unit[1].T, relevant, k), chance)


def test_frames_of_one_recording() -> None:
    """Two recordings of five frames each; half of the frames prefer the wrong one, so each recall is that of chance."""
    recording = torch.arange(10) // 5
    preferred = torch.tensor([0, 1, 0, 1, 0] * 2)
    similarity = (preferred[:, None] == recording).double()
    for k, of_items in ((1, 0.1), (5, 0.5), (10, 1.0)):
        assert F.recall_at(similarity, k=k).item() == pytest.approx(of_items)
        assert F.recall_at(similarity.T, k=k).item() == pytest.approx(of_items)
    assert F.recall_at(similarity, recording[:, None] == recording).item() == 0.5
    perfect = (recording[:, None] == recording).double()
    assert F.recall_at(perfect).item() == pytest.approx(0.2)
    assert F.recall_at(perfect, perfect.bool()).item() == 1


def test_one_huge_similarity_makes_no_ties_of_other_queries() -> None:
    similarity = torch.tensor([[1e9, 0.5, 0.1], [0.3, 0.9, 0.2], [0.1, 0.2, 0.3]])
    assert F.recall_at(similarity).item() == 1
    assert F.recall_at(similarity * 1e-12).item() == 1


def test_what_is_no_number_is_the_least_similar() -> None:
    """Items with nan stay among the candidates, as chance counts them; a query with nan has chance itself."""
    images, sounds = drawn(0, 5)
    images[1] = torch.nan
    everything = torch.ones(5, 5, dtype=torch.bool)
    for relevant in (None, torch.eye(5, dtype=torch.bool)):
        assert F.expected_recall(F.embedding_ranks(images, sounds, relevant), 2)[1].item() == pytest.approx(0.4)
        assert F.expected_recall(F.embedding_ranks(sounds, images, relevant), 4)[1].item() == 0
        assert F.expected_recall(F.embedding_ranks(sounds, images, relevant), 5).tolist() == [1] * 5
    assert F.expected_recall(F.embedding_ranks(images, sounds, everything), 1).tolist() == [1] * 5
    alike = torch.ones(5, 5)
    alike[:, 3] = torch.nan
    assert F.recall_at(alike).item() == pytest.approx(F.chance_recall(torch.ones(5, dtype=torch.int64), 5, 1).mean())
    similarity = torch.tensor([[torch.inf, 0.0], [0.0, torch.nan]])
    assert F.expected_recall(F.retrieval_ranks(similarity), 1).tolist() == [1, 0]
    hidden = torch.tensor([[-torch.inf, 0.0], [-torch.inf, -torch.inf]])
    assert F.expected_recall(F.retrieval_ranks(hidden), 1).tolist() == [0, 0.5]


def test_several_sounds_answer_a_picture() -> None:
    images, sounds = drawn(1, 30)
    picture = torch.arange(30) // 3
    shown = images[::3]
    relevant = torch.arange(10)[:, None] == picture
    ranks = F.embedding_ranks(shown, sounds, relevant).better
    similarity = torch.nn.functional.normalize(shown, dim=1) @ torch.nn.functional.normalize(sounds, dim=1).T
    for i, rank in enumerate(ranks):
        order = similarity[i].argsort(descending=True)
        assert rank == (picture[order] == i).nonzero()[0, 0]
    back = F.embedding_ranks(sounds, shown, relevant.T)
    assert back.better.shape == (30,)
    unanswered = F.embedding_ranks(shown, sounds, torch.zeros_like(relevant))
    assert unanswered.relevant.tolist() == [0] * 10
    assert F.expected_recall(unanswered, 30).tolist() == [0] * 10


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
    assert F.expected_recall(F.embedding_ranks(images, sounds), 1).tolist() == [1]
    assert F.expected_recall(F.embedding_ranks(images[:0], sounds), 1).shape == (0,)


def test_reports_have_the_statistics_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all pairs where they are few, and of every third where at most half of them would fit."""
    generator = torch.Generator().manual_seed(6)
    images, audio = (torch.nn.functional.normalize(torch.randn(9, 4, generator=generator), dim=1) for _ in range(2))
    groups = torch.arange(9)
    inputs = RetrievalInputs(images, audio, images, {}, groups, groups)
    for rows, limit in ((slice(None), 9), (slice(None, None, 3), 4)):
        monkeypatch.setattr(relevance, "MAX_PAIRS", limit)
        pairs = replace(inputs).pair_sample
        assert torch.equal(pairs[0], images[rows])
        for metric in (separability, modality_gap, centroid_distance):
            expected = getattr(F, metric.__name__)(images[rows], audio[rows])
            assert metric(replace(inputs)).value == pytest.approx(expected.item())
    assert separability(RetrievalInputs(images[:1], audio[:1], images[:1], {}, groups[:1], groups[:1])) is None

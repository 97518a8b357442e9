"""The exact search is exact: whatever is compared roughly first, the table is that of every pair compared exactly."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundspot.data.neighbors import candidate_filter, exact_knn
from soundspot.data.neighbors.candidate_filter import CandidateFilter
from soundspot.data.neighbors.exact_knn import ExactSearch, find_neighbors, normalize_to_grid
from soundspot.errors import DataError


def vectors(n: int = 40, d: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def brute(x: torch.Tensor, k: int, groups: list[str] | None = None) -> np.ndarray:
    """Cosine of every pair, one at a time, in double precision."""
    rows = []
    for i, one in enumerate(x.double()):
        fit = []
        for j, other in enumerate(x.double()):
            same = i == j or (groups is not None and groups[i] == groups[j])
            fit.append(-np.inf if same else float(one @ other / (one.norm() * other.norm())))
        rows.append(np.argsort(-np.array(fit), kind="stable")[:k])
    return np.array(rows)


@pytest.mark.parametrize("k", [1, 5, 39])
def test_nearest_is_exact(k: int) -> None:
    table = find_neighbors(vectors(), k)
    assert table.dtype == np.int32
    np.testing.assert_array_equal(table, brute(vectors(), k))


def test_lengths_do_not_matter() -> None:
    x = vectors()
    np.testing.assert_array_equal(find_neighbors(x * torch.rand(40, 1).add(0.1) * 100, 10), find_neighbors(x, 10))


def test_a_sample_and_its_group_are_left_out() -> None:
    groups = [f"video {i // 4}" for i in range(40)]
    table = find_neighbors(vectors(), 12, groups)
    np.testing.assert_array_equal(table, brute(vectors(), 12, groups))
    assert not (table // 4 == np.arange(40)[:, None] // 4).any()


def test_of_equals_the_lower_comes_first() -> None:
    table = find_neighbors(torch.ones(5, 3), 3)
    assert table.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2]]


def test_a_similarity_depends_on_no_order_of_summation() -> None:
    unit = normalize_to_grid(vectors(60, 512))
    shuffled = unit[:, torch.randperm(512, generator=torch.Generator().manual_seed(1))]
    whole = unit @ unit.T
    assert torch.equal(whole, shuffled @ shuffled.T)
    assert torch.equal(whole[3, 50], sum((unit[3] * unit[50]).tolist()) * torch.ones((), dtype=torch.float64))
    assert not torch.equal(unit.float() @ unit.float().T, shuffled.float() @ shuffled.float().T), "as it is otherwise"


KINDS = {
    "all directions": lambda x: x,
    "a narrow cone": lambda x: 0.01 * x + vectors(1, 24, seed=7),
    "clusters": lambda x: 0.1 * x + vectors(30, 24, seed=8)[torch.arange(len(x)) % 30],
    "copies": lambda x: x[: len(x) // 40].repeat(40, 1),
    "one picture, nearly": lambda x: 1e-4 * x + vectors(1, 24, seed=7),
    "half of them nothing": lambda x: x * (torch.arange(len(x)) % 2)[:, None],
}


@pytest.fixture(params=["bfloat16", "float32"])
def filtered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small sets go through the candidate filter, in either precision, in steps that do not divide them."""
    if request.param == "bfloat16" and not candidate_filter.has_native_bf16():
        pytest.skip("this machine does not multiply in bf16")
    monkeypatch.setattr(candidate_filter, "has_native_bf16", lambda: request.param == "bfloat16")
    monkeypatch.setattr(exact_knn, "SAMPLE_SIZE", 256)
    monkeypatch.setattr(exact_knn, "ROWS_PER_BLOCK", 130)


@pytest.mark.usefixtures("filtered")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 60])
def test_the_candidate_filter_changes_nothing(kind: str, k: int) -> None:
    x = KINDS[kind](vectors(1200, 24))
    groups = [f"{i // 3}" for i in range(1200)]
    search = ExactSearch(x, k, groups)
    assert search._filter is not None
    table = np.concatenate([search(rows) for rows in torch.arange(1200).split(exact_knn.ROWS_PER_BLOCK)])
    search._filter = None
    np.testing.assert_array_equal(table, search(torch.arange(1200)))


@pytest.mark.usefixtures("filtered")
@pytest.mark.parametrize("kind", ["all directions", "a narrow cone", "clusters"])
def test_the_candidate_filter_leaves_few_and_completes_nearly_every_row(kind: str) -> None:
    search = ExactSearch(KINDS[kind](vectors(1200, 24)), 20)
    assert isinstance(search._filter, CandidateFilter)
    pairs, is_complete = search._filter(search.unit_vectors, search.group_codes, torch.arange(130))
    assert is_complete.float().mean() > 0.9
    assert len(pairs.row) < 3 * 20 * int(is_complete.sum())


@pytest.mark.usefixtures("filtered")
def test_rows_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = KINDS["clusters"](vectors(600, 24))
    tables = []
    for rows in (9, 70, 300):
        monkeypatch.setattr(exact_knn, "ROWS_PER_BLOCK", rows)
        tables.append(find_neighbors(x, 30))
    np.testing.assert_array_equal(tables[0], tables[1])
    np.testing.assert_array_equal(tables[0], tables[2])


def test_it_finds_what_a_plain_product_in_single_precision_finds() -> None:
    x = torch.nn.functional.normalize(vectors(500, 64), dim=1)
    plain = (x @ x.T).fill_diagonal_(-torch.inf).topk(20, dim=1)
    found = (x @ x.T).gather(1, torch.from_numpy(find_neighbors(x, 20)).long())
    torch.testing.assert_close(found, plain.values, atol=1e-6, rtol=0)


@pytest.mark.parametrize("k", [0, 40, 41])
def test_more_neighbors_than_there_are_is_refused(k: int) -> None:
    with pytest.raises(DataError, match=f"^k: found {k} neighbors of a set of 40 samples, expected 1 to 39"):
        find_neighbors(vectors(), k)


def test_more_neighbors_than_lie_outside_the_group_is_refused() -> None:
    said = "k: found 30, but the samples of the group 'one', 25 of 40, have fewer neighbors outside .* lower `k` to 15"
    with pytest.raises(DataError, match=said):
        find_neighbors(vectors(), 30, ["one"] * 25 + ["two"] * 15)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_vectors_that_are_not_finite_are_named(bad: float) -> None:
    x = vectors()
    x[[7, 9], 2] = bad
    with pytest.raises(DataError, match=r"an embedding is not finite \(row 7, 2 of 40 checked\)"):
        find_neighbors(x, 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 12))
def test_another_order_of_rows_finds_neighbors_as_near(seed: int, distinct: int, k: int) -> None:
    """Copies of a few vectors: which of equal ones are taken goes by position, how near they are does not."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(distinct, 6, generator=draw)[torch.randint(0, distinct, (40,), generator=draw)]
    order = torch.randperm(40, generator=draw)
    unit = normalize_to_grid(x)
    similarity = unit @ unit.T
    table, again = (torch.from_numpy(find_neighbors(rows, k)).long() for rows in (x, x[order]))
    values = similarity.gather(1, table)
    assert torch.equal(similarity[order][:, order].gather(1, again), values[order])
    for positions, near in ((table, values), (again, values[order])):
        is_equal = near[:, 1:] == near[:, :-1]
        assert bool((positions[:, 1:] > positions[:, :-1])[is_equal].all())
    assert torch.equal(torch.from_numpy(find_neighbors(x, 12)).long()[:, :k], table)  # whatever else is asked for

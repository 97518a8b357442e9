"""The order of samples is a function of seed and step, and processes share it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import FRONT_END, PLAIN, Numbered, recipe, stream, table

from soundspot.config.schema import TrainConfig
from soundspot.errors import DataError, RecipeError
from soundspot.training import sample_order
from soundspot.training.clip_reader import ClipReader
from soundspot.training.datamodule import build_dataloader
from soundspot.training.sample_order import (
    SHUFFLE_BUFFER,
    ResumableBatchSampler,
    balanced_order,
    check_categories,
    epoch_order,
    find_shard_ids,
)


def test_an_epoch_shows_each_sample_once_and_drops_the_last_incomplete_batch() -> None:
    s = stream()
    for epoch in range(3):
        tickets = [ticket for step in range(4) for ticket in s.batch_requests(4 * epoch + step)]
        indices = [ticket.index for ticket in tickets]
        assert len(set(indices)) == len(indices) == 20
        assert {ticket.epoch for ticket in tickets} == {epoch}
    left_out = [
        set(range(24)) - {t.index for step in range(4) for t in s.batch_requests(4 * e + step)} for e in range(3)
    ]
    assert left_out[0] != left_out[1], "each epoch leaves out others"


def test_the_stream_is_a_function_of_the_step() -> None:
    forwards = [stream(table=table()).batch_requests(step) for step in range(12)]
    one = stream(table=table())
    assert [one.batch_requests(step) for step in reversed(range(12))] == forwards[::-1]
    assert stream(seed=8).batch_requests(0) != stream().batch_requests(0)


@settings(max_examples=30, deadline=None)
@given(leg=st.integers(1, 9), start=st.integers(0, 40))
def test_a_resumed_run_goes_on_with_the_tickets_it_would_have_had(leg: int, start: int) -> None:
    undisturbed = [stream().batch_requests(step) for step in range(start // leg * leg, (start // leg + 1) * leg)]
    assert list(stream(leg=leg, start=start)) == undisturbed[start % leg :]
    assert len(stream(leg=leg)) == leg


BLOCKS = np.repeat(np.random.default_rng(0).permutation(24), 50)  # 24 shards of 50 samples, in no order


def test_an_order_of_shards_reads_from_few_at_a_time_and_mixes_those() -> None:
    found = epoch_order(1200, 7, 0, BLOCKS)
    assert sorted(found) == list(range(1200))
    shards = BLOCKS[found]
    for first in range(0, 1200, 50 * SHUFFLE_BUFFER):
        assert len(set(shards[first : first + 50 * SHUFFLE_BUFFER])) == SHUFFLE_BUFFER
    assert len(set(shards[:40])) == SHUFFLE_BUFFER, "a batch is drawn from all of them"
    assert np.array_equal(found, epoch_order(1200, 7, 0, BLOCKS)), "a function of the seed and the epoch"
    for other in (epoch_order(1200, 7, 1, BLOCKS), epoch_order(1200, 8, 0, BLOCKS)):
        assert set(BLOCKS[other[: 50 * SHUFFLE_BUFFER]]) != set(shards[: 50 * SHUFFLE_BUFFER]), (
            "other shards come first"
        )


@pytest.mark.parametrize("blocks", [None, np.arange(24) // 5], ids=["samples", "shards"])
@pytest.mark.parametrize(("workers", "ranks"), [(0, 1), (0, 2), (0, 3), (2, 1), (2, 2)])
def test_ranks_and_workers_share_an_epoch_without_overlap_or_loss(
    blocks: np.ndarray | None, workers: int, ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rank reads its part of every batch."""

    seen: list[list[int]] = [[], []]
    monkeypatch.setattr(sample_order, "world_size", lambda: ranks)
    for rank in range(ranks):
        monkeypatch.setattr(sample_order, "rank", lambda rank=rank: rank)
        two_epochs = ResumableBatchSampler(24, recipe(batch_size=6), 8, lambda: 0, lambda: None, blocks)
        for raw in build_dataloader(ClipReader(Numbered(), FRONT_END, PLAIN, seed=0), two_epochs, workers):
            assert len(raw.index) == 6 // ranks
            seen[raw.epoch] += raw.index.tolist()
    assert [sorted(epoch) for epoch in seen] == [list(range(24))] * 2


def test_only_shards_have_an_order_of_shards() -> None:
    assert find_shard_ids(Numbered(), TrainConfig()) is None
    with pytest.raises(RecipeError, match=r"train\.order: shards, and numbered does not lie in shards"):
        find_shard_ids(Numbered(), TrainConfig(order="shards"))


def test_a_batch_larger_than_the_data_set_is_refused() -> None:
    with pytest.raises(DataError, match=r"the training set has 24 samples and a batch 25; lower `train\.batch_size`"):
        stream(batch_size=25)


def test_by_turns_every_category_comes_as_often_as_another() -> None:
    categories = ["cat"] * 20 + ["dog"] * 3 + ["owl"]
    order = balanced_order(categories, 1, 2)
    assert len(order) == 24
    for first in range(0, 24, 3):
        assert {categories[i] for i in order[first : first + 3]} == {"cat", "dog", "owl"}
    assert np.array_equal(order, balanced_order(categories, 1, 2))
    assert not np.array_equal(order, balanced_order(categories, 1, 3))
    assert len({i for i in order if categories[i] == "cat"}) > 4


class HalfKnown(Numbered):
    """Only even samples have a category, or none has."""

    def __init__(self, category: str = "even") -> None:
        super().__init__()
        self.known = category

    def category(self, index: int) -> str:
        return "" if index % 2 else self.known


def test_what_goes_by_categories_needs_them() -> None:
    check_categories(Numbered(), TrainConfig(order="categories", false_negatives="visible"))
    check_categories(HalfKnown(), TrainConfig(false_negatives="category"))
    check_categories(HalfKnown(""), TrainConfig())
    with pytest.raises(
        RecipeError, match=r"train\.order: categories, and of 24 samples of numbered 12 .*first: sample 1\)"
    ):
        check_categories(HalfKnown(), TrainConfig(order="categories"))
    for rule in ("category", "visible"):
        with pytest.raises(RecipeError, match=rf"train\.false_negatives: {rule}, and no sample of numbered has a"):
            check_categories(HalfKnown(""), TrainConfig(false_negatives=rule))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_processes_have_each_clip_of_an_epoch_once_between_them(
    count: int, accumulate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their shares, one behind the other, are the batches that one process has."""

    settings = {"batch_size": 10, "accumulate": accumulate}
    alone = [ticket for batch in stream(size=80, **settings) for ticket in batch]
    monkeypatch.setattr(sample_order, "world_size", lambda: count)
    shares = []
    for number in range(count):
        monkeypatch.setattr(sample_order, "rank", lambda number=number: number)
        shares.append(list(stream(size=80, **settings)))
    assert all(len(share) == 4 * accumulate for share in shares)
    together = [ticket for parts in zip(*shares, strict=True) for part in parts for ticket in part]
    assert together == alone
    if accumulate == 2:
        assert sorted(ticket.index for ticket in alone) == list(range(80))


def test_a_step_of_two_batches_begins_where_the_step_says() -> None:
    whole, rest = (list(stream(leg=4, start=start, batch_size=4, accumulate=2)) for start in (0, 3))
    assert rest == whole[6:]
    with pytest.raises(DataError, match=r"24 samples and a batch 3 times 9 \(train.accumulate\)"):
        stream(batch_size=9, accumulate=3)

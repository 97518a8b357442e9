"""What is fed is a function of (seed, epoch, sample, view): of no worker, batch or resume."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.config.schema import NeighborsConfig, Recipe, TrainConfig, ViewsConfig
from soundspot.data.media.image import denormalize
from soundspot.data.neighbors.exact_knn import find_neighbors
from soundspot.data.neighbors.table import NeighborTable
from soundspot.errors import DataError, RecipeError
from soundspot.training import datamodule
from soundspot.training.clip_reader import ClipReader, SampleRequest
from soundspot.training.datamodule import (
    SHUFFLE_BUFFER,
    FalseNegativeMask,
    ResumableBatchSampler,
    balanced_order,
    build_batch,
    build_dataloader,
    epoch_order,
    find_shard_ids,
)
from soundspot.types import Audio, AudioVisualDataset, GroundTruth

SIZE, RATE = 32, 1000
FRONT_END = InputSpec(ImageSpec(size=SIZE), AudioSpec(rate=RATE, seconds=1.0, n_fft=64, hop=32))
PLAIN = ViewsConfig(multi_view=False, semantic=False, base_view="unaugmented")


class Numbered(AudioVisualDataset):
    """Picture i is grey level i + 1; sound i counts its own samples, so that a window tells where it was cut."""

    name = "numbered"

    def __init__(self, length: int = 24, seconds: float = 3.0, epoch: int = 0) -> None:
        self.length, self.seconds, self.epoch = length, seconds, epoch
        self.read: Counter[tuple[str, int]] = Counter()

    def __len__(self) -> int:
        return self.length

    def id(self, index: int) -> str:
        return f"sample {index}"

    def read_image(self, index: int) -> Image.Image:
        self.read["image", index] += 1
        return Image.new("RGB", (40, 40), (index + 1, index + 1, 100 + self.epoch))

    def read_audio(self, index: int) -> Audio:
        self.read["sound", index] += 1
        samples = round(self.seconds * RATE)
        return Audio((index + torch.arange(samples) / samples) / 100, RATE)

    def ground_truth(self, index: int) -> GroundTruth:
        return GroundTruth(40, 40)

    group = id

    def category(self, index: int) -> str:
        return "even" if index % 2 == 0 else "odd"

    def at_epoch(self, epoch: int) -> "Numbered":
        return Numbered(self.length, self.seconds, epoch)


def start_of(waveform: torch.Tensor, data: Numbered) -> tuple[int, float]:
    """(whose sound it is, seconds from its beginning), read off the first sample."""
    number, share = divmod(float(waveform[0]) * 100 + 1e-5, 1)
    return int(number), share * data.seconds


def recipe(views: ViewsConfig = PLAIN, near: NeighborsConfig | None = None, **train: object) -> Recipe:
    settings = {"batch_size": 5, "seed": 7, **train}
    return Recipe(views=views, neighbors=near or NeighborsConfig(sampling="anchor"), train=TrainConfig(**settings))


def stream(
    leg: int = 4, start: int = 0, table: NeighborTable | None = None, size: int = 24, **changes: object
) -> ResumableBatchSampler:
    return ResumableBatchSampler(size, recipe(**changes), leg, lambda: start, lambda: table)


def table(n: int = 24, k: int = 6) -> NeighborTable:
    chance = torch.Generator().manual_seed(0)
    images, sounds = (find_neighbors(torch.randn(n, 4, generator=chance), k) for _ in range(2))
    return NeighborTable(images, sounds, "numbered")


# The order of samples.


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
    monkeypatch.setattr(datamodule, "world_size", lambda: ranks)
    for rank in range(ranks):
        monkeypatch.setattr(datamodule, "rank", lambda rank=rank: rank)
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


def test_neighbours_stand_in_by_the_rule_of_the_recipe() -> None:
    t = table()
    for sampling, near in (("fixed", 1), ("random", 3)):
        tickets = stream(table=t, near=NeighborsConfig(table="x", k=3, sampling=sampling)).batch_requests(0)
        for ticket in tickets:
            assert ticket.neighbor_image in t.images[ticket.index, :near]
            assert ticket.neighbor_audio in t.audio[ticket.index, :near]
    for tickets in (
        stream().batch_requests(0),
        stream(table=t, near=NeighborsConfig(sampling="anchor")).batch_requests(0),
    ):
        assert all(ticket.index == ticket.neighbor_image == ticket.neighbor_audio for ticket in tickets)


# What a ticket fetches.

TICKET = SampleRequest(epoch=0, index=3, neighbor_image=5, neighbor_audio=9)


@pytest.mark.parametrize("modalities", ["both", "image", "audio"])
@pytest.mark.parametrize("multi_view", [True, False])
@pytest.mark.parametrize("semantic", [True, False])
def test_views_come_in_order_and_files_are_read_once(modalities: str, multi_view: bool, semantic: bool) -> None:
    views = ViewsConfig(multi_view=multi_view, semantic=semantic, modalities=modalities)
    data = Numbered()
    fetched = ClipReader(data, FRONT_END, views, seed=0)
    read = fetched.epoch_data(0).read  # the data set of epoch 0 counts what is read
    raw = fetched.read([TICKET])
    batch = build_batch(raw, FRONT_END, views, seed=0)

    grey = (denormalize(batch.images, FRONT_END.image)[:, 0, 0] * 255).round().int()
    expected = {"plain": 4, "augmented": None, "neighbour": 6}
    for level, name in zip(grey, views.view_names("image"), strict=True):
        assert expected[name] is None or bool((level == expected[name]).all())
    owners = [start_of(waveform, data)[0] for waveform in raw.waveforms[:, 0]]
    assert owners == [9 if name == "neighbour" else 3 for name in views.view_names("audio")]

    both = {("image", 3): 1, ("sound", 3): 1}
    if "neighbour" in views.view_names("image"):
        both["image", 5] = 1
    if "neighbour" in views.view_names("audio"):
        both["sound", 9] = 1
    assert dict(read) == both


def test_shapes_of_a_batch() -> None:
    views = ViewsConfig(modalities="audio")
    clips = ClipReader(Numbered(), FRONT_END, views, seed=0)
    tickets = [replace(TICKET, index=i) for i in (2, 8, 1, 0)]
    raw = clips.read(tickets)
    assert raw.images.shape == (1, 4, 3, 36, 36)
    assert raw.waveforms.shape == (3, 4, RATE)
    alike = torch.eye(4, dtype=torch.bool)
    batch = build_batch(raw, FRONT_END, views, seed=0, false_negatives=alike)
    assert batch.images.shape == (1, 4, 3, SIZE, SIZE)
    assert batch.audio.shape == (3, 4, 1, 33, (RATE - 64) // 32 + 1)
    assert batch.index.tolist() == [2, 8, 1, 0]
    assert batch.false_negatives is alike


def test_bands_are_a_matter_of_the_sample_and_not_of_its_batch() -> None:
    views = replace(PLAIN, spec_augment="mended")
    clips = ClipReader(Numbered(), FRONT_END, views, seed=0)
    tickets = [replace(TICKET, index=i) for i in range(8)]
    several, alone = (clips.read(some) for some in (tickets, tickets[5:6]))
    found = build_batch(several, FRONT_END, views, seed=0).audio
    plain = build_batch(several, FRONT_END, PLAIN, seed=0).audio
    assert torch.equal(found[:, 5:6], build_batch(alone, FRONT_END, views, seed=0).audio)
    assert bool((found[found != plain] == 0).all())
    assert bool((found != plain).any())


def test_bands_of_specaugment_are_silent_in_the_front_ends_scale() -> None:
    views = replace(PLAIN, spec_augment="specaugment")
    clips = ClipReader(Numbered(), FRONT_END, views, seed=0)
    raw = clips.read([replace(TICKET, index=i) for i in range(16)])
    found, plain = (build_batch(raw, FRONT_END, how, seed=0).audio for how in (views, PLAIN))
    changed = found != plain
    assert found[changed].unique().tolist() == pytest.approx([np.log(1e-7) / 12])
    assert 0.4 < float(changed.flatten(2).any(dim=2).float().mean()) < 1


def windows(views: ViewsConfig, seconds: float = 3.0, epoch: int = 0) -> list[tuple[int, list[float]]]:
    """For each of 200 samples the second at which each view of its sound begins."""
    data = Numbered(99, seconds)
    clips = ClipReader(data, FRONT_END, views, seed=0)
    tickets = [SampleRequest(epoch, i, i, (i + 1) % 99) for i in range(99)]
    return [(t.index, [start_of(waveform, data)[1] for waveform in clips.read([t]).waveforms[:, 0]]) for t in tickets]


def test_a_shifted_sound_stays_within_its_shift_and_its_clip() -> None:
    shift = np.array([starts for _, starts in windows(replace(PLAIN, multi_view=True, max_time_shift=0.4))])
    np.testing.assert_allclose(shift[:, 0], 1.0, atol=0.01)  # the plain view is the middle second of three
    assert np.abs(shift[:, 1] - 1).max() < 0.41
    assert shift[:, 1].max() - shift[:, 1].min() > 0.7
    free = np.array([starts for _, starts in windows(replace(PLAIN, multi_view=True))])
    assert free[:, 1].min() >= -0.01
    assert free[:, 1].max() <= 2.01
    assert free[:, 1].max() - free[:, 1].min() > 1.7


def test_a_plain_sound_may_be_cut_anywhere() -> None:
    starts = np.array([starts for _, starts in windows(replace(PLAIN, base_audio_window="random"))])
    assert starts.min() >= -0.01
    assert starts.max() <= 2.01
    assert starts.max() - starts.min() > 1.7


@pytest.mark.parametrize("seconds", [0.1, 1.0])
def test_a_short_sound_is_tiled(seconds: float) -> None:
    data = Numbered(4, seconds)
    waveforms = (
        ClipReader(data, FRONT_END, ViewsConfig(semantic=True), seed=0)
        .read([SampleRequest(0, 1, 2, 3)])
        .waveforms[:, 0]
    )
    assert waveforms.shape == (3, RATE)
    period = round(seconds * RATE)
    torch.testing.assert_close(waveforms[:, period:], waveforms[:, :-period] if period < RATE else waveforms[:, :0])


def test_every_epoch_looks_and_sounds_different_and_asks_the_data_set_anew() -> None:
    data, views = Numbered(), ViewsConfig(semantic=False, base_audio_window="random")
    clips = ClipReader(data, FRONT_END, views, seed=0)
    first, second = (clips.read([replace(TICKET, epoch=e)]) for e in (0, 1))
    assert second.images[0, 0, 2].unique().tolist() == [101], "scenes compose anew, catalogues pair anew"
    assert first.images[0, 0, 2].unique().tolist() == [100]
    assert not torch.equal(first.waveforms, second.waveforms)


def test_a_clip_looks_the_same_in_whatever_batch_it_falls() -> None:
    views = ViewsConfig(semantic=False)
    clips = ClipReader(Numbered(), FRONT_END, views, seed=0)
    tickets = [SampleRequest(2, i, i, i) for i in (4, 11, 6)]
    together = build_batch(clips.read(tickets), FRONT_END, views, seed=0)
    alone = build_batch(clips.read(tickets[1:2]), FRONT_END, views, seed=0)
    torch.testing.assert_close(together.images[:, 1:2], alone.images)
    torch.testing.assert_close(together.audio[:, 1:2], alone.audio)


def test_pictures_and_sounds_are_made_in_single_precision_whatever_the_training_is_in() -> None:
    views = ViewsConfig(semantic=False)
    raw = ClipReader(Numbered(), FRONT_END, views, seed=0).read([TICKET] * 3)
    plain = build_batch(raw, FRONT_END, views, seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        inside = build_batch(raw, FRONT_END, views, seed=0)
    torch.testing.assert_close(inside.images, plain.images, rtol=0, atol=0)
    torch.testing.assert_close(inside.audio, plain.audio, rtol=0, atol=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_clips_do_not_depend_on_the_number_of_workers(workers: int) -> None:
    views = ViewsConfig(semantic=False, base_audio_window="random")
    clips = ClipReader(Numbered(), FRONT_END, views, seed=3)
    here, there = (list(build_dataloader(clips, stream(leg=3), count)) for count in (0, workers))
    assert len(here) == len(there) == 3
    for ours, theirs in zip(here, there, strict=True):
        torch.testing.assert_close(ours.images, theirs.images, rtol=0, atol=0)
        torch.testing.assert_close(ours.waveforms, theirs.waveforms, rtol=0, atol=0)
        assert torch.equal(ours.index, theirs.index)
        assert ours.epoch == theirs.epoch


# Which clips are alike.


def alike(table: NeighborTable | None, near: NeighborsConfig | None = None, **train: object) -> FalseNegativeMask:
    return FalseNegativeMask(Numbered(), recipe(near=near, **train), lambda: table)


def test_nothing_is_alike_unless_asked_for() -> None:
    assert alike(table())(np.arange(5), 0) is None
    assert alike(None, NeighborsConfig(sampling="anchor", false_negatives_from_neighbors=3))(np.arange(5), 0) is None


@pytest.mark.parametrize("epoch", [0, 1])
def test_clips_of_one_category_are_alike_where_the_recipe_says_so(epoch: int) -> None:
    mask = alike(None, false_negatives="category")(np.array([0, 3, 8, 5]), epoch)
    assert mask is not None
    assert mask.tolist() == [[i % 2 == j % 2 for j in (0, 3, 8, 5)] for i in (0, 3, 8, 5)]


def test_clips_of_no_known_category_are_not_alike() -> None:
    class Unknown(Numbered):
        def category(self, index: int) -> str:
            return ""

        def at_epoch(self, epoch: int) -> "Unknown":
            return self

    for rule in ("category", "visible"):
        mask = FalseNegativeMask(Unknown(), recipe(false_negatives=rule), lambda: None)(np.arange(3), 0)
        assert mask is not None
        assert not mask.any()


def test_scenes_composed_anew_have_the_categories_of_their_epoch() -> None:
    """Asked of the epoch the batch is of, never of the first."""

    class Anew(Numbered):
        def category(self, index: int) -> str:
            return str(index % (2 + self.epoch))

        def at_epoch(self, epoch: int) -> "Anew":
            return Anew(epoch=epoch)

    known = FalseNegativeMask(Anew(), recipe(false_negatives="category"), lambda: None)
    for epoch in (0, 1):
        mask = known(np.arange(6), epoch)
        assert mask is not None
        assert mask[0].tolist() == [i % (2 + epoch) == 0 for i in range(6)]


def test_by_turns_every_category_comes_as_often_as_another() -> None:
    categories = ["cat"] * 20 + ["dog"] * 3 + ["owl"]
    order = balanced_order(categories, 1, 2)
    assert len(order) == 24
    for first in range(0, 24, 3):
        assert {categories[i] for i in order[first : first + 3]} == {"cat", "dog", "owl"}
    assert np.array_equal(order, balanced_order(categories, 1, 2))
    assert not np.array_equal(order, balanced_order(categories, 1, 3))
    assert len({i for i in order if categories[i] == "cat"}) > 4


def test_sounds_of_silent_things_in_the_image_are_no_negatives() -> None:
    """From image to sound: that image 0 shows what sounds with image 1 says nothing about image 1."""

    class Shown(Numbered):
        def category(self, index: int) -> str:
            return "abc"[index]

        def visible_categories(self, index: int) -> tuple[str, ...]:
            return ("a", "b") if index == 0 else (self.category(index),)

        def at_epoch(self, epoch: int) -> "Shown":
            return self

    mask = FalseNegativeMask(Shown(), recipe(false_negatives="visible"), lambda: None)(np.arange(3), 0)
    assert mask is not None
    assert mask.int().tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_neighbours_are_alike_and_add_to_the_category() -> None:
    t, index = table(), np.array([0, 3, 8, 5, 21])
    near = alike(t, NeighborsConfig(sampling="anchor", false_negatives_from_neighbors=4))(index, 0)
    both = alike(t, NeighborsConfig(sampling="anchor", false_negatives_from_neighbors=4), false_negatives="category")(
        index, 0
    )
    same = alike(t, false_negatives="category")(index, 0)
    assert near is not None and both is not None and same is not None  # noqa: PT018
    assert torch.equal(near, torch.from_numpy(t.false_negative_mask(index, 4)))
    assert torch.equal(both, near | same)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_processes_have_each_clip_of_an_epoch_once_between_them(
    count: int, accumulate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their shares, one behind the other, are the batches that one process has."""

    settings = {"batch_size": 10, "accumulate": accumulate}
    alone = [ticket for batch in stream(size=80, **settings) for ticket in batch]
    monkeypatch.setattr(datamodule, "world_size", lambda: count)
    shares = []
    for number in range(count):
        monkeypatch.setattr(datamodule, "rank", lambda number=number: number)
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

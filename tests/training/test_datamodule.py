"""What is fed is a function of (seed, epoch, sample, view): of no worker, batch or resume."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numbered import FRONT_END, PLAIN, RATE, SIZE, Numbered, recipe, stream, table

from soundspot.config.schema import NeighborsConfig, ViewsConfig
from soundspot.data.media.image import denormalize
from soundspot.data.neighbors.table import NeighborTable
from soundspot.training.clip_reader import ClipReader, SampleRequest
from soundspot.training.datamodule import (
    FalseNegativeMask,
    build_batch,
    build_dataloader,
)


def start_of(waveform: torch.Tensor, data: Numbered) -> tuple[int, float]:
    """(whose sound it is, seconds from its beginning), read off the first sample."""
    number, share = divmod(float(waveform[0]) * 100 + 1e-5, 1)
    return int(number), share * data.seconds


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

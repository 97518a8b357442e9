"""Events against known spans: generated clips of two moving cut-outs that take turns, overlap, and an off-screen sound.

    python examples/events_clips.py --split test --count 20        with SOUNDSPOT_REALSET and SOUNDSPOT_REALSET2 set

prints F1 of events at collars of 0.5 s and 0.2 s with the peak in the source's box, at a mean intersection over union
of 0.5 as well, and how often an identity outlasts a pause. Defaults were set on `--split val`.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from starter import catalogs, options

import soundspot
from soundspot.data.datasets.catalog import Catalog
from soundspot.inference.events.event import Event
from soundspot.inference.events.regions import box_iou
from soundspot.inference.video.audibility import BIN_SECONDS, AudibilityMeter
from soundspot.scenes.cutouts import CutoutSource
from soundspot.scenes.video_scene import VideoScene
from soundspot.types import Audio, Box

SECONDS, FPS, SIZE = 30.0, 10, (480, 320)
COUNTS = ("events", "spans", "0.5 s", "0.2 s", "IoU 0.5", "pauses", "same", "others", "confused")
TRACKED = 0.5  # share of an event's frames whose peak must lie in the box


@dataclass(frozen=True)
class Span:
    """A sound of a clip: start and end in seconds, and the object (0, 1), or None for a sound from off the screen."""

    start: float
    end: float
    source: int | None


@dataclass(frozen=True, eq=False)
class EventScene(VideoScene):
    """A clip with spans that may overlap."""

    spans: tuple[Span, ...] = ()
    offscreen: str = ""

    def iter_audio(self) -> Iterator[Audio]:
        """Yield the mixture of all spans."""
        mixture = torch.zeros(round(self.seconds * self.sample_rate))
        for number, span in enumerate(self.spans):
            first, stop = (round(time * self.sample_rate) for time in (span.start, span.end))
            sound = self.offscreen if span.source is None else span.source
            mixture[first:stop] += cut_pauses(self._draw_audio(sound, number, stop - first))
        yield Audio(mixture / max(1.0, float(mixture.abs().max())), self.sample_rate)


def cut_pauses(audio: Audio) -> torch.Tensor:
    """Return the waveform of a sound without its longer pauses, repeated to its length, so that it sounds all the time.

    A bark in four seconds of silence is no sound of four seconds, and a span that says so is no ground truth.
    """
    meter = AudibilityMeter(audio.rate)
    meter.add(audio.waveform[None].numpy())
    sample_times = torch.arange(len(audio.waveform)) / audio.rate
    bins = [meter.is_audible(number * BIN_SECONDS) for number in range(round(audio.seconds / BIN_SECONDS))]
    is_audible = torch.tensor(bins)[(sample_times / BIN_SECONDS).long().clamp(max=len(bins) - 1)]
    sounding = audio.waveform[is_audible]
    return sounding.repeat(-(-len(audio.waveform) // len(sounding)))[: len(audio.waveform)]


def make_scene(source: CutoutSource, seed: int) -> EventScene:
    """Make a clip: a turn of each object, one more of either, an overlap and an off-screen sound, in random order."""
    rng = np.random.default_rng(seed)
    first, second, offscreen = rng.choice(source.categories, 3, replace=False).tolist()
    blocks = [[0], [1], [0, 1], [None], [int(rng.integers(2))]]
    spans, time = [], float(rng.uniform(0.5, 1.5))
    for index in rng.permutation(len(blocks)).tolist():
        length = float(rng.uniform(2.5, 4.5))
        for number, who in enumerate(blocks[index]):
            start = time + number * length / 3  # the second of an overlap begins later
            spans.append(Span(round(start, 2), round(time + length, 2), who))
        time += length + float(rng.choice((0.0, 1.0, 2.0)))
    spans = merge([span for span in spans if span.end <= SECONDS])
    return EventScene(
        (first, second), ((0.0, None),), SECONDS, FPS, SIZE, 0.45, 44100, seed, source, tuple(spans), offscreen
    )


def merge(spans: list[Span]) -> list[Span]:
    """Merge spans of one object that touch: nobody could tell where one ends."""
    merged: list[Span] = []
    for span in spans:
        before = next((other for other in merged if (other.source, other.end) == (span.source, span.start)), None)
        if before is None:
            merged.append(span)
        else:
            merged[merged.index(before)] = Span(before.start, span.end, span.source)
    return merged


def inside(event: Event, scene: EventScene, who: int) -> tuple[float, float]:
    """Return the share of frames whose peak lies in an object's box, and the mean intersection over union of boxes."""
    hits, overlaps = [], []
    for time, box, (x, y) in zip(
        event.track.times, event.track.boxes.tolist(), event.track.peaks.tolist(), strict=True
    ):
        target: Box = scene.box(float(time), who)
        hits.append(target.x0 <= x < target.x1 and target.y0 <= y < target.y1)
        overlaps.append(box_iou((*box,), (int(target.x0), int(target.y0), int(target.x1), int(target.y1))))
    return float(np.mean(hits)), float(np.mean(overlaps))


def match(events: list[Event], scene: EventScene, collar: float, iou: float = 0.0) -> dict[int, int]:
    """Match events to spans of visible sources, one to one: start and end within a collar, at the right object.

    Returns:
        Index of each matched event -> index of its span.
    """
    pairs = []
    for i, event in enumerate(events):
        for j, span in enumerate(scene.spans):
            error = max(abs(event.start - span.start), abs(event.end - span.end))
            if span.source is not None and error <= collar:
                hit, overlap = inside(event, scene, span.source)
                if hit >= TRACKED and overlap >= iou:
                    pairs.append((error, i, j))
    matches: dict[int, int] = {}
    for _, i, j in sorted(pairs):
        if i not in matches and j not in matches.values():
            matches[i] = j
    return matches


def identities(events: list[Event], scene: EventScene) -> tuple[int, int, int, int]:
    """Count pairs of successive events of one object, of these those of one identity; and the same of two objects."""
    owner = {}
    for i, event in enumerate(events):
        shares = [inside(event, scene, who)[0] for who in (0, 1)]
        if max(shares) >= TRACKED:
            owner[i] = int(np.argmax(shares))
    rows = [[events[i].identity for i in owner if owner[i] == who] for who in (0, 1)]
    pairs = [pair for row in rows for pair in pairwise(row)]
    others = [(first, second) for first in rows[0] for second in rows[1]]
    return len(pairs), sum(a == b for a, b in pairs), len(others), sum(a == b for a, b in others)


def f1(matched: int, num_events: int, num_spans: int) -> float:
    """Return the harmonic mean of precision and recall."""
    return 2 * matched / max(1, num_events + num_spans)


def open_source(split: str, names: tuple[str, ...]) -> CutoutSource:
    """Open the cut-outs of a split of both catalogs, as the starter's recipe reads them, of the categories it knows."""
    root, _ = catalogs()
    images = Catalog(root, **options(split), categories=names or None)
    return CutoutSource(images, [name for name in CutoutSource(images).categories if name in names] or None)


def main() -> None:
    """Make the clips, locate their events, and print the scores."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--model", default=None)
    arguments = parser.parse_args()
    localizer = soundspot.load(arguments.model)
    source = open_source(arguments.split, localizer.known_categories)
    totals: dict[str, float] = dict.fromkeys(COUNTS, 0)
    with tempfile.TemporaryDirectory() as name:
        for seed in range(arguments.count):
            scene = make_scene(source, seed)
            clip = scene.write(Path(name) / f"{seed}.mp4")
            events = [*localizer.locate_video(clip).events()]
            pauses, same, others, confused = identities(events, scene)
            numbers = {
                "events": len(events),
                "spans": sum(span.source is not None for span in scene.spans),
                "0.5 s": len(match(events, scene, 0.5)),
                "0.2 s": len(match(events, scene, 0.2)),
                "IoU 0.5": len(match(events, scene, 0.5, 0.5)),
                "pauses": pauses,
                "same": same,
                "others": others,
                "confused": confused,
            }
            totals = {key: totals[key] + value for key, value in numbers.items()}
            print(seed, scene.categories, json.dumps(numbers))
    for key in ("0.5 s", "0.2 s", "IoU 0.5"):
        print(f"F1 {key}: {f1(totals[key], totals['events'], totals['spans']):.3f}")
    print(f"one identity over {totals['same']:.0f} of {totals['pauses']:.0f} pauses of an object")
    print(f"and in {totals['confused']:.0f} of {totals['others']:.0f} pairs of events of two objects")


if __name__ == "__main__":
    main()

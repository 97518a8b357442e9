"""Sources of a sound over time: which segments between change points are of one source, and which sounds go on."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from soundspot.inference.events.change_points import BIN_SECONDS, Levels
from soundspot.inference.events.track_draft import TrackDraft

CONTEXT_BINS = 30  # on both sides of a change point whose levels are compared
CHANGED = 2.0, 3.0  # mean dB over bands from which something ended, and from which something began
SAME_COSINE = 0.7  # of two encoded sounds, from which they are of one source wherever it is
SAME_POSITION_COSINE = 0.1  # likewise where both are located at one object
SILENT_LEVEL = -60.0  # dB of full scale in the loudest band, below which a segment is silent
SILENT_RANGE = -40.0  # dB of the loudest moment so far, likewise


@dataclass(eq=False)
class SoundSource:
    """A source that sounds from a start to an end.

    Attributes:
        start, end: seconds.
        row: row of the encoded sound that stands for it: of the longest segment in which nothing else sounds.
        seconds: duration of that segment; 0: it is a mixture.
        track: regions in the frames so far.
    """

    start: float
    end: float
    row: int
    seconds: float
    track: TrackDraft = field(default_factory=TrackDraft)


@dataclass(frozen=True)
class Segment:
    """A segment of a sound between change points: the first bin, and the bin after the last."""

    first: int
    stop: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return (self.stop - self.first) * BIN_SECONDS


def is_silent(levels: Levels, segment: Segment, loudest: float) -> bool:
    """Return whether a segment is silent beside the loudest moment of the sound.

    Args:
        levels: (t, f) levels of the sound.
        segment: the segment.
        loudest: highest level of the sound so far, of which these levels may be a later excerpt.

    Returns:
        True below -60 dB of full scale, or 40 dB below the loudest moment.
    """
    level = float(np.percentile(levels[segment.first : segment.stop].max(axis=1), 80))
    return level < max(SILENT_LEVEL, loudest + SILENT_RANGE)


def link_segments(
    levels: Levels,
    segments: list[Segment],
    rows: dict[int, int],
    active: list[SoundSource],
    origin: float,
    min_pause: float | int,
    similarity: Callable[[int, int], float],
    is_same_position: Callable[[int, int, Segment], bool],
) -> tuple[list[SoundSource], list[SoundSource]]:
    """Follow sources from segment to segment of a sound.

    Where no band becomes weaker, nothing ended: what sounds goes on, and where levels rise and the sound is another,
    a source joins it. Where something ended, the source of the most similar sound goes on, if any is similar.

    Args:
        levels: (t, f) levels of the sound.
        segments: segments of the sound, in order; the first is that before the first change point that is looked at.
        rows: row of the encoded sound of each audible segment, by its index.
        active: sources that sound in the first segment.
        origin: second at which the first bin begins.
        min_pause: seconds of silence that end a source, be they of one segment or of several.
        similarity: cosine of two rows.
        is_same_position: whether two rows are located at one object around the beginning of a segment.

    Returns:
        Sources that ended, and those that still sound.
    """
    ended: list[SoundSource] = []
    before = segments[0]
    for index, segment in enumerate(segments[1:], 1):
        start, end = (origin + edge * BIN_SECONDS for edge in (segment.first, segment.stop))
        if index not in rows:
            paused = [source for source in active if end - source.end >= min_pause - BIN_SECONDS / 2]
            ended, active = ended + paused, [source for source in active if source not in paused]
            continue
        row = rows[index]
        alike = {source: similarity(source.row, row) for source in active}
        matches = [
            source
            for source in sorted(active, key=lambda source: -alike[source])
            if alike[source] >= SAME_COSINE
            or (alike[source] >= SAME_POSITION_COSINE and is_same_position(source.row, row, segment))
        ]
        lost, gained = _compute_changes(levels, before, segment)
        if lost < CHANGED[0]:
            continued = active
        elif gained < CHANGED[1] and len(active) > 1:
            continued = [max(active, key=lambda source: alike[source])]
        else:
            continued = matches[:1]
        is_joined = lost < CHANGED[0] and gained >= CHANGED[1] and not matches
        ended += [source for source in active if source not in continued]
        for source in continued:
            source.end = end
            if len(continued) == 1 and not is_joined and segment.seconds > source.seconds:
                source.row, source.seconds = row, segment.seconds
        new = (
            [SoundSource(start, end, row, 0.0 if continued else segment.seconds)] if is_joined or not continued else []
        )
        active, before = [*continued, *new], segment
    return ended, active


def _compute_changes(levels: Levels, before: Segment, after: Segment) -> tuple[float, float]:
    """Return by how many dB bands became weaker, and stronger, at a change point: two means over bands."""
    old = levels[max(before.first, before.stop - CONTEXT_BINS) : before.stop].mean(axis=0)
    new = levels[after.first : min(after.stop, after.first + CONTEXT_BINS)].mean(axis=0)
    change = new - old
    return float(np.maximum(-change, 0).mean()), float(np.maximum(change, 0).mean())

"""Negatives: pictures of a test set asked with sounds whose source is not in them (SLAVC's extended sets)."""

from collections.abc import Sequence
from pathlib import Path

from soundspot.data.datasets.annotation_files import read_negatives
from soundspot.data.datasets.base import SampleEntry
from soundspot.data.datasets.layouts import ClipPaths
from soundspot.types import GroundTruth


def read_negative_samples(
    table: Path, paths: ClipPaths, samples: Sequence[SampleEntry], absent: GroundTruth
) -> list[SampleEntry]:
    """The rows of a table of negatives as clips of category of their sound, where one of `clips` tells it."""
    heard = {clip.id: clip.category for clip in samples}
    rows = [(row.video, row.audio, *paths.resolve(row.video, row.audio)) for row in read_negatives(table)]
    return [
        SampleEntry(f"{video}+{audio}", video, heard.get(audio, ""), image, sound, absent, lacks)
        for video, audio, image, sound, lacks in rows
    ]

"""Negatives: pictures of a test set asked with sounds whose source is not in them (SLAVC's extended sets)."""

from collections.abc import Sequence
from pathlib import Path

from whence.data.authors import read_negatives
from whence.data.datasets.layouts import Places
from whence.data.datasets.listed import Clip
from whence.types import Truth


def negatives(table: Path, places: Places, clips: Sequence[Clip], absent: Truth) -> list[Clip]:
    """The rows of a table of negatives as clips of category of their sound, where one of `clips` tells it."""
    heard = {clip.id: clip.category for clip in clips}
    rows = [(row.video, row.audio, *places.of(row.video, row.audio)) for row in read_negatives(table)]
    return [
        Clip(f"{video}+{audio}", video, heard.get(audio, ""), image, sound, absent, lacks)
        for video, audio, image, sound, lacks in rows
    ]

"""Which clips of a list are also in a test set: what must not be trained on, or must be said beside a score."""

from collections.abc import Iterable
from dataclasses import dataclass

from whence.data.identity import clip_id, kind_of, video_of
from whence.data.lists import SHIPPED, parts, shipped


@dataclass(frozen=True)
class Overlap:
    """What a list shares with a test set.

    Attributes:
        test: name of the test set, as `exclude` takes it.
        total: clips (of AVSBench, videos) in the test set.
        clips: clips of the list that are in it; none of AVSBench, whose videos are cut otherwise.
        videos: YouTube videos that both have something of.
        by_video: True where videos are what the test set is made of, so that one shared is a leak.
        parts: how many of `clips` are in each public part of it (`heard`, `4655`...).
        first: up to three of what is shared, clips if there are any, else videos.
    """

    test: str
    total: int
    clips: int
    videos: int
    by_video: bool
    parts: dict[str, int]
    first: tuple[str, ...]

    @property
    def leaks(self) -> int:
        """How many clips or videos of the test set are in the list."""
        return self.videos if self.by_video else self.clips


def overlaps(ids: Iterable[str]) -> list[Overlap]:
    """What a list of clips shares with each test set that comes with the library; one it shares nothing with is out."""
    clips = {clip_id(id) for id in ids}
    videos = {video_of(id) for id in clips if kind_of(id) == "vggsound"}
    found = []
    for name in SHIPPED:
        test = shipped(name)
        by_video = kind_of(test[0]) == ""
        same = [] if by_video else [id for id in test if id in clips]
        shared = list(dict.fromkeys(video for video in map(video_of, test) if video in videos))
        if same or shared:
            count = {part: sum(id in members for id in same) for part, members in parts(name).items()}
            found.append(Overlap(name, len(test), len(same), len(shared), by_video, count, tuple((same or shared)[:3])))
    return found

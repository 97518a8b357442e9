"""Which clips of a list are also in a test set: what must not be trained on, or must be said beside a score."""

from collections.abc import Iterable
from dataclasses import dataclass

from soundspot.data.datasets.clip_ids import id_format, normalize_clip_id, youtube_id
from soundspot.data.datasets.lists import BUNDLED_LISTS, bundled_ids, subsets


@dataclass(frozen=True)
class TrainTestOverlap:
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

    test_set: str
    num_total: int
    num_clips: int
    num_videos: int
    by_video: bool
    subset_counts: dict[str, int]
    examples: tuple[str, ...]

    @property
    def num_leaks(self) -> int:
        """How many clips or videos of the test set are in the list."""
        return self.num_videos if self.by_video else self.num_clips


def find_overlaps(ids: Iterable[str]) -> list[TrainTestOverlap]:
    """What a list of clips shares with each test set that comes with the library; one it shares nothing with is out."""
    clips = {normalize_clip_id(id) for id in ids}
    videos = {youtube_id(id) for id in clips if id_format(id) == "vggsound"}
    found = []
    for name in BUNDLED_LISTS:
        test = bundled_ids(name)
        by_video = id_format(test[0]) == ""
        same = [] if by_video else [id for id in test if id in clips]
        shared = list(dict.fromkeys(video for video in map(youtube_id, test) if video in videos))
        if same or shared:
            count = {part: sum(id in members for id in same) for part, members in subsets(name).items()}
            found.append(
                TrainTestOverlap(name, len(test), len(same), len(shared), by_video, count, tuple((same or shared)[:3]))
            )
    return found

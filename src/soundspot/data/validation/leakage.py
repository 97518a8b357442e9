"""Clips of a list that are also in a test set, which must not be trained on or must be reported beside a score."""

from collections.abc import Iterable
from dataclasses import dataclass

from soundspot.data.datasets.clip_ids import id_format, normalize_clip_id, youtube_id
from soundspot.data.datasets.lists import BUNDLED_LISTS, bundled_ids, subsets


@dataclass(frozen=True)
class TrainTestOverlap:
    """The common clips of a list and a test set.

    Attributes:
        test_set: name of the test set, as `exclude` takes it.
        num_total: number of clips (of AVSBench, videos) in the test set.
        num_clips: number of clips of the list that are in it; 0 for AVSBench, whose videos are cut otherwise.
        num_videos: number of YouTube videos of which both have clips.
        by_video: True where the test set consists of videos, so that a common video is a leak.
        subset_counts: share of `num_clips` in each public subset (`heard`, `4655`...), as a number of clips.
        examples: up to three common clips, or videos if there are no clips.
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
        """Number of clips or videos of the test set that are in the list."""
        return self.num_videos if self.by_video else self.num_clips


def find_overlaps(ids: Iterable[str]) -> list[TrainTestOverlap]:
    """Compare a list of clips with each bundled test set.

    Args:
        ids: ids of the clips, in any form that `normalize_clip_id` reads.

    Returns:
        An overlap for each test set with a clip or video in common, in the order of `BUNDLED_LISTS`.
    """
    clips = {normalize_clip_id(id) for id in ids}
    videos = {youtube_id(id) for id in clips if id_format(id) == "vggsound"}
    overlaps = []
    for name in BUNDLED_LISTS:
        test = bundled_ids(name)
        by_video = id_format(test[0]) == ""
        common = [] if by_video else [id for id in test if id in clips]
        shared = list(dict.fromkeys(video for video in map(youtube_id, test) if video in videos))
        if common or shared:
            counts = {subset: sum(id in members for id in common) for subset, members in subsets(name).items()}
            examples = tuple((common or shared)[:3])
            overlaps.append(TrainTestOverlap(name, len(test), len(common), len(shared), by_video, counts, examples))
    return overlaps

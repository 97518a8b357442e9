"""What training lists share with test sets: the figures that the authors' own lists give."""

from pathlib import Path

import pytest

from soundspot.data.datasets.annotation_files import read_ids
from soundspot.data.datasets.lists import bundled_ids
from soundspot.data.validation.leakage import find_overlaps

LEAKS = {  # test set: (clips, YouTube videos) in common
    "vggss_144k.txt": {"vggss": (3709, 3655), "extended_vggss": (0, 261), "avsbench_s4": (0, 564)},
    "vggss_10k.txt": {"vggss": (238, 240), "extended_vggss": (0, 16), "avsbench_s4": (0, 38)},
    "vggss_heard.txt": {"vggss": (0, 1), "avsbench_s4": (0, 372)},
    "flickr_10k.txt": {"flickr": (1, 0)},
}


@pytest.mark.parametrize("name", LEAKS)
def test_the_public_lists(annotations: Path, name: str) -> None:
    found = {one.test_set: one for one in find_overlaps(read_ids(annotations / name).ids)}
    assert {test: (one.num_clips, one.num_videos) for test, one in found.items()} == LEAKS[name]
    if name == "vggss_144k.txt":
        assert found["vggss"].subset_counts == {"5158": 3709, "4655": 3345, "heard": 1859, "unheard": 1840}


def test_a_clip_leaks_in_any_form_and_another_part_of_its_video_is_told_apart() -> None:
    clip = bundled_ids("vggss")[0]
    assert [
        (one.test_set, one.num_clips, one.num_leaks)
        for one in find_overlaps([f"{clip[:11]}_{clip[12:].lstrip('0')}000_42000"])
    ] == [("vggss", 1, 1)]
    assert [(one.num_clips, one.num_videos, one.num_leaks) for one in find_overlaps([f"{clip[:11]}_000999"])] == [
        (0, 1, 0)
    ]
    assert [
        (one.test_set, one.num_videos, one.num_leaks)
        for one in find_overlaps([bundled_ids("avsbench_ms3")[0] + "_000001"])
    ] == [("avsbench_ms3", 1, 1)]
    assert find_overlaps(["3", "clip", "AAAAAAAAAAA_000001"]) == []

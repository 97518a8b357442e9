"""JSON of our own form by its published schema, there and back, and COCO as its tools need it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from made_events import VIDEO, event, other_video, table
from schemas import check_output
from soundspot.data.media.rle import decode_mask, encode_mask
from soundspot.errors import DataError
from soundspot.inference.events.event import EventTable
from soundspot.inference.events.exports.data import format_coco, format_json, read_json


def several() -> EventTable:
    other = other_video()
    events = event(0.5, 1.25, 'a, "b"\n<i>'), event(1.0, 2.0, identity=2), event(1.0, 2.0, video=other)
    return table(*events, videos=(VIDEO, other))


def outlined() -> EventTable:
    """An event of two frames, of which the first has a contour of 3 x 5 pixels."""
    mask = np.zeros(VIDEO.size, bool)
    mask[4:9, 10:13] = True
    drawn = event(0.5, 0.7)
    masks = (encode_mask(mask)["counts"], "")
    return table(replace(drawn, track=replace(drawn.track, masks=masks)))


@pytest.mark.parametrize("events", [several(), table(), outlined()], ids=["several", "none", "outlined"])
def test_json_follows_its_schema_and_comes_back(events: EventTable, tmp_path: Path) -> None:
    text = format_json(events)
    check_output(json.loads(text), "events")
    path = tmp_path / "events.json"
    path.write_text(text, encoding="utf-8")
    again = read_json(path)
    assert format_json(again) == text
    assert (again.videos, len(again)) == (events.videos, len(events))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version": 1', '"version": 2'),
        ('"start": 0.5', '"start": 9.5'),
        ('"frames": [5, 6, 7, 8, 9, 10, 11, 12]', '"frames": [5]'),
        ('"video": 1', '"video": 7'),
        ('"peaks"', '"masks": ["06"], "peaks"'),
        ('"events"', '"others"'),
        ('"size": [48, 64]', '"size": "x"'),
    ],
)
def test_json_that_contradicts_itself_is_refused(old: str, new: str, tmp_path: Path) -> None:
    text = format_json(several())
    assert old in text
    path = tmp_path / "events.json"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=r"events\.json"):
        read_json(path)


def test_coco_carries_contours_beside_the_regions() -> None:
    content = json.loads(format_coco(outlined()))
    check_output(content, "coco-events")
    first, second = content["annotations"]
    assert (first["bbox"], first["area"], first["region_bbox"]) == ([10, 4, 3, 5], 15, [0, 2, 8, 10])
    assert decode_mask(first["segmentation"]).sum() == 15
    assert (second["bbox"], second["area"]) == ([1, 2, 8, 10], 80)
    assert not {"segmentation", "region_bbox"} & second.keys()


def test_coco_has_what_its_tools_need() -> None:
    content = json.loads(format_coco(several()))
    check_output(content, "coco-events")
    images, annotations = content["images"], content["annotations"]
    assert [row["id"] for row in annotations] == [*range(1, len(annotations) + 1)]  # 0 is never matched
    assert [row["id"] for row in images] == [*range(1, len(images) + 1)]
    assert {row["image_id"] for row in annotations} == {row["id"] for row in images}
    assert [row["name"] for row in content["categories"]] == ['a, "b"\n<i>', "source"]
    assert [row["name"] for row in content["videos"]] == ["clip", "other clip"]
    first = annotations[0]
    assert (first["bbox"], first["area"], first["iscrowd"]) == ([0.0, 2.0, 8.0, 10.0], 80.0, 0)
    assert images[0] | {"id": 0} == {
        "id": 0,
        "file_name": "clip/000005.jpg",
        "width": 64,
        "height": 48,
        "video_id": 1,
        "frame_id": 5,
        "time": 0.5,
    }
    assert {row["track_id"] for row in annotations} == {1, 2, 3}  # no track of two videos

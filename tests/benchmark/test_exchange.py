"""CVAT's XML and COCO's JSON: files as the tools write them, round trips to the pixel, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from soundspot.benchmark.coco import read_coco, write_coco
from soundspot.benchmark.cvat import read_cvat, write_cvat
from soundspot.benchmark.exchange import AnnotatedImage, AnnotatedObject, merge_objects
from soundspot.benchmark.mask_files import count_masks, export_task, import_masks
from soundspot.benchmark.project import Project
from soundspot.benchmark.selection import decide
from soundspot.data.media.rle import decode_mask, encode_mask
from soundspot.errors import DataError, OutputError, SoundspotError
from soundspot.inference.contours.load_segmenter import load_segmenter
from soundspot.inference.contours.segmenters import Click
from soundspot.types import Box

# As CVAT writes it: job and user in meta, attributes of labels, two polygons of a group, a mask, a box, two points.
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <job>
      <id>7</id><size>2</size><mode>annotation</mode><overlap>0</overlap><bugtracker></bugtracker>
      <labels>
        <label><name>dog</name><color>#33ddff</color><type>any</type><attributes>
          <attribute><name>sounds</name><mutable>False</mutable><input_type>select</input_type>
          <default_value>yes</default_value><values>yes
no</values></attribute>
        </attributes></label>
        <label><name>cat &amp; kitten</name><attributes></attributes></label>
      </labels>
    </job>
    <dumped>2026-01-02 03:04:05.000000+00:00</dumped>
  </meta>
  <image id="0" name="batch/one.jpg" width="12" height="8">
    <polygon label="dog" source="file" occluded="0" points="1.00,1.00;4.00,1.00;4.00,3.00;1.00,3.00" group_id="1">
      <attribute name="sounds">yes</attribute>
    </polygon>
    <polygon label="dog" source="file" occluded="0" points="6.00,4.00;8.00,4.00;8.00,8.00;6.00,8.00" group_id="1">
    </polygon>
    <mask label="cat &amp; kitten" source="auto" rle="0, 3, 1, 2" left="9" top="1" width="3" height="2" z_order="0">
    </mask>
    <tag label="dog" source="manual"></tag>
  </image>
  <image id="1" name="two.jpg" width="12" height="8">
    <box label="dog" source="manual" occluded="0" xtl="2.00" ytl="1.50" xbr="9.00" ybr="7.00" z_order="0"></box>
    <points label="cat &amp; kitten" source="manual" occluded="0" points="3.50,2.00;8.00,6.25" z_order="0"></points>
  </image>
  <image id="2" name="three.jpg" width="12" height="8"></image>
</annotations>
"""
# As COCO's tools write it: a polygon of two pieces, uncompressed counts of a crowd, a box alone.
COCO = {
    "info": {},
    "licenses": [],
    "images": [{"id": 5, "file_name": "one.jpg", "width": 12, "height": 8},
               {"id": 6, "file_name": "b.jpg", "width": 3, "height": 2}],
    "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 17, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 5, "category_id": 18, "iscrowd": 0, "area": 14, "bbox": [1, 1, 7, 7],
         "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3], [6.0, 4.0, 8.0, 4.0, 8.0, 8.0, 6.0, 8.0]]},
        {"id": 2, "image_id": 6, "category_id": 17, "iscrowd": 1, "area": 2, "bbox": [0, 0, 2, 2],
         "segmentation": {"size": [2, 3], "counts": [1, 2, 3]}, "attributes": {"sounds": True}},
        {"id": 3, "image_id": 6, "category_id": 18, "iscrowd": 0, "area": 4, "bbox": [1, 0, 2, 2]},
    ],
}  # fmt: skip


def two_pieces() -> np.ndarray:
    mask = np.zeros((8, 12), bool)
    mask[1:3, 1:4] = mask[4:8, 6:8] = True
    return mask


def ring(size: int = 40) -> np.ndarray:
    """A ring around a spot, and a piece in the corner."""
    y, x = np.mgrid[:size, : size + 7]
    distance = np.hypot(x - 22, y - 20)
    mask = (distance < 17) & (distance > 9) | (distance < 4)
    mask[:3, :2] = True
    return mask


def test_a_file_of_cvat_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(CVAT, encoding="utf-8-sig")
    one, two, three = read_cvat(tmp_path / "a.xml", ["dog", "cat & kitten"])
    dog, cat = one.objects
    assert (dog.category, dog.attributes) == ("dog", {"sounds": "yes"})
    assert (dog.mask == two_pieces()).all()
    assert cat.mask[1:3, 9:12].tolist() == [[True, True, True], [False, True, True]]
    assert cat.mask.sum() == 5
    assert (two.objects[0].box, two.objects[0].rle) == (Box(2.0, 1.5, 9.0, 7.0), None)
    assert two.objects[1].clicks == (Click(3.5, 2.0), Click(8.0, 6.25))
    assert (three.file, three.objects) == ("three.jpg", ())


def test_a_file_of_coco_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(COCO))
    one, two = read_coco(tmp_path / "a.json")
    assert (one.objects[0].mask == two_pieces()).all()
    cat, dog = two.objects
    assert cat.mask.tolist() == [[False, True, False], [True, False, False]]
    assert cat.attributes == {"sounds": "True"}
    assert dog.box == Box(1.0, 0.0, 3.0, 2.0)


@pytest.mark.parametrize("form", ["cvat", "coco", "coco polygons"])
def test_masks_with_holes_and_pieces_come_back_to_the_pixel(tmp_path: Path, form: str) -> None:
    mask = ring()
    things = (
        AnnotatedObject("dog <b>", encode_mask(mask), attributes={"sounds": "yes & no"}),
        AnnotatedObject("cat", encode_mask(~mask)),
    )
    images = [AnnotatedImage("a ü.jpg", 47, 40, things), AnnotatedImage("b.jpg", 5, 6, ())]
    path = tmp_path / ("a.xml" if form == "cvat" else "a.json")
    if form == "cvat":
        write_cvat(images, path)
        first, second = read_cvat(path)
    else:
        write_coco(images, path, polygons="polygons" in form)
        first, second = read_coco(path)
    assert (first.file, first.width, first.height, second.objects) == ("a ü.jpg", 47, 40, ())
    for before, after in zip(things, first.objects, strict=True):
        assert (after.category, after.attributes) == (before.category, before.attributes)
        assert (after.mask == before.mask).all()


def test_coco_is_written_as_its_evaluators_need_it(tmp_path: Path) -> None:
    write_coco([AnnotatedImage("a.jpg", 47, 40, (AnnotatedObject("dog", encode_mask(ring())),))], tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    (annotation,) = document["annotations"]
    assert (annotation["id"], annotation["iscrowd"], annotation["bbox"]) == (1, 0, [0, 0, 39, 37])
    assert annotation["area"] == ring().sum() == decode_mask(annotation["segmentation"]).sum()


SECRET = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
SHAPE = '<annotations><image name="a" width="9" height="9"><{} label="dog" {}/></image></annotations>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SECRET + "<annotations>&x;</annotations>", "a document type or entities, which are not read"),
        ("<annotations>", "no valid XML"),
        ("<html/>", "found <html>"),
        ("<annotations><track/></annotations>", "tracks of a video"),
        (SHAPE.format("polygon", 'points="1,1;2,2"'), "a polygon of 2 points"),
        (SHAPE.format("polygon", 'points="1,1;2,2;30,1"'), "points outside the image, expected it within 9 x 9"),
        (SHAPE.format("polygon", 'points="1,1;2;3"'), "expected x,y;x,y"),
        (SHAPE.format("box", 'xtl="1" ytl="1" xbr="nan" ybr="2"'), "expected a finite number"),
        (SHAPE.format("box", 'xtl="1" ytl="1"'), "expected a number"),
        (SHAPE.format("mask", 'rle="0,3" left="0" top="0" width="2" height="2"'), "sum to 3, expected 4 pixels"),
        (SHAPE.format("mask", 'rle="0,4" left="8" top="0" width="2" height="2"'), "expected it within 9 x 9"),
        (SHAPE.format("mask", 'rle="-4,8" left="0" top="0" width="2" height="2"'), "a negative count"),
        (
            SHAPE.replace("dog", "dgo").format("box", ""),
            "the category 'dgo', which the project does not have. Did you mean 'dog'",
        ),
        ('<annotations><image name="a" width="9" height="-1"/></annotations>', "found a size of 9 x -1"),
    ],
)
def test_xml_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError) as error:
        read_cvat(tmp_path / "a.xml", ["dog", "cat"])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": [{"id": 18, "name": "dgo"}, {"id": 17, "name": "cat"}]}, "Did you mean 'dog'"),
        ({"categories": []}, "the category 'number 18'"),
        ({"images": "none"}, "no list of objects 'images'"),
        ({"images": [{"id": 5}]}, "expected id, file_name, width and height"),
        ({"images": []}, "found image_id 5, expected the id of an image"),
        ({"segmentation": [[1, 1, 2, 2]]}, "a polygon of 2 points"),
        ({"segmentation": [[1, 1, 2, 2, 99, 5]]}, "points outside the image"),
        ({"segmentation": [1, 1, 2, 2, 3, 5]}, "expected x0, y0, x1, y1"),
        ({"segmentation": {"size": [3, 3], "counts": [9]}}, "a mask of 3 x 3 pixels, expected 12 x 8"),
        ({"segmentation": None, "bbox": [1, 2]}, "neither a segmentation nor a box"),
        ({"attributes": 5}, "found attributes 5"),
    ],
)
def test_coco_that_is_wrong_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    document = json.loads(json.dumps(COCO))
    target = document["annotations"][0] if change.keys() & {"segmentation", "attributes"} else document
    target.update(change)
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(DataError) as error:
        read_coco(tmp_path / "a.json", ["dog", "cat"])
    assert message in str(error.value)


@pytest.mark.parametrize("content", [b"[" * 9999, b"\xff\xfe", b"no json", b"[]"])
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes) -> None:
    for name, read in (("a.json", read_coco), ("a.xml", read_cvat)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SoundspotError, match=name):
            read(tmp_path / name)


def test_things_of_one_category_are_merged() -> None:
    left, right = np.array([[True, False]]), np.array([[False, True]])
    (thing,) = merge_objects(
        [
            AnnotatedObject("dog", encode_mask(left)),
            AnnotatedObject("dog", encode_mask(right), box=Box(0.0, 0.0, 1.0, 1.0)),
        ]
    )
    assert thing.mask.all()


def test_a_task_goes_out_and_comes_back(project: Project, tmp_path: Path) -> None:
    records = project.journal.read_images()
    for record in records:
        decide(project, "ann", record.id, "keep")
    assert export_task(project, tmp_path / "task") == 6
    assert export_task(project, tmp_path / "exact", annotator="composition") == 6
    assert sum(len(image.objects) for image in read_coco(tmp_path / "exact" / "coco.json", ())) == 12
    assert count_masks(project, records) == (12, 12)
    for annotator, file in (("cvat", "annotations.xml"), ("coco", "coco.json")):
        assert import_masks(project, tmp_path / "task" / file, annotator, load_segmenter) == 12
    for record in records:
        masks: dict[str, list[np.ndarray]] = {}
        for annotation in project.journal.read_annotations(record.id):
            masks.setdefault(annotation.category, []).append(decode_mask(annotation.mask))
        assert all(
            len(same) == 3 and (same[0] == same[1]).all() and (same[0] == same[2]).all() for same in masks.values()
        )


def test_clicks_of_a_file_become_masks(project: Project, tmp_path: Path) -> None:
    record = project.journal.read_images()[0]
    truth = decode_mask(project.journal.read_annotations(record.id)[0].mask)
    y, x = (int(axis.mean()) for axis in np.nonzero(truth))
    points = f'<points label="{record.categories[0]}" points="{x},{y}"/>'
    text = f'<annotations><image name="{record.file}" width="96" height="96">{points}</image></annotations>'
    (tmp_path / "a.xml").write_text(text)
    assert import_masks(project, tmp_path / "a.xml", "ann", load_segmenter) == 1
    drawn = decode_mask(project.journal.read_annotations(record.id)[-1].mask)
    assert drawn[y, x]


def test_a_file_that_does_not_fit_the_project_changes_nothing(project: Project, tmp_path: Path) -> None:
    record = project.journal.read_images()[0]
    thing = AnnotatedObject(record.categories[0], encode_mask(np.ones((96, 96), bool)))
    other = next(name for name in project.plan.categories if name not in record.categories)
    before = project.journal.count_rows()
    for images, message in (
        ([AnnotatedImage("x.jpg", 96, 96, (thing,))], "which the project does not have"),
        ([AnnotatedImage(record.file, 90, 96, ())], "of 90 x 96 pixels, expected 96 x 96"),
        (
            [AnnotatedImage(record.file, 96, 96, (AnnotatedObject(other, encode_mask(np.ones((96, 96), bool))),))],
            "it was not made for",
        ),
    ):
        write_coco(images, tmp_path / "a.json")
        with pytest.raises(DataError, match=message):
            import_masks(project, tmp_path / "a.json", "ann", load_segmenter)
    both = tuple(AnnotatedObject(name, thing.rle) for name in record.categories)
    write_coco([AnnotatedImage(record.file, 96, 96, both)], tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    document["annotations"][1]["segmentation"] = encode_mask(np.zeros((96, 96), bool))
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="found an empty mask"):
        import_masks(project, tmp_path / "a.json", "ann", load_segmenter)
    with pytest.raises(OutputError, match=r"expected \.xml"):
        import_masks(project, tmp_path / "a.txt", "ann", load_segmenter)
    assert project.journal.count_rows() == before

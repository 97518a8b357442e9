"""Masks: from clicks, a box and a brush; undone, stored, compared."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from soundspot.benchmark.agreement import mask_iou, vote_masks
from soundspot.benchmark.annotation import (
    Action,
    combine_masks,
    measure_mask_agreement,
    next_thing,
    read_masks,
    render_mask,
    save_annotation,
)
from soundspot.benchmark.project import Project
from soundspot.benchmark.selection import decide
from soundspot.errors import DataError, RecipeError
from soundspot.inference.contours.load_segmenter import load_segmenter
from soundspot.inference.contours.segmenters import Click, GrabCutSegmenter, initialize_labels
from soundspot.types import Box
from soundspot.utils.hash_rng import make_generator

ELLIPSE = (40, 30, 110, 90)


@pytest.fixture(scope="module")
def photo() -> tuple[Image.Image, np.ndarray]:
    """A reddish ellipse on noisy green, and its mask."""
    noise = make_generator(1).normal(0, 12, (120, 160, 3))
    mask = Image.new("1", (160, 120))
    ImageDraw.Draw(mask).ellipse(ELLIPSE, fill=1)
    pixels = np.where(np.asarray(mask)[..., None], [190, 70, 60], [60, 140, 70]) + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), np.asarray(mask)


@pytest.mark.parametrize(
    ("clicks", "box"),
    [
        ([], Box(35.0, 25.0, 118.0, 98.0)),
        ([Click(75, 60)], Box(35.0, 25.0, 118.0, 98.0)),
        ([Click(75, 60), Click(55, 60), Click(95, 60)], None),
        ([Click(75, 60), Click(5, 5, False)], Box(-20.0, -10.0, 150.0, 110.0)),
    ],
)
def test_grabcut_finds_an_object_of_another_color(photo, clicks: list[Click], box: Box | None) -> None:
    image, mask = photo
    first, second = (GrabCutSegmenter().segment(image, clicks, box) for _ in range(2))
    assert mask_iou(first, mask) > 0.9
    assert (first == second).all()


def test_grabcut_falls_back_where_colors_tell_nothing() -> None:
    gray, segmenter = Image.new("RGB", (100, 80), "gray"), GrabCutSegmenter()
    for box in (Box(20.0, 10.0, 60.0, 50.0), Box(0.0, 0.0, 100.0, 80.0), Box(-9.0, -9.0, 200.0, 200.0)):
        mask = segmenter.segment(gray, [], box)
        assert mask.any()
        assert not mask[:, : max(0, int(box.x0))].any()
    assert segmenter.segment(gray, [Click(50, 40)], None).any()
    assert not segmenter.segment(gray, [], None).any()
    assert not segmenter.segment(gray, [Click(500, 40), Click(5, 5, False)], None).any()


def test_a_large_image_is_cut_at_its_own_size(photo) -> None:
    image, mask = (x.resize((960, 720)) for x in (photo[0], Image.fromarray(photo[1])))
    found = GrabCutSegmenter().segment(image, [], Box(210.0, 150.0, 708.0, 588.0))
    assert found.shape == (720, 960)
    assert mask_iou(found, np.asarray(mask)) > 0.9


def test_labels_by_box_and_clicks() -> None:
    labels = initialize_labels((40, 20), [Click(20, 10), Click(2, 2, False)], (10.0, 5.0, 30.0, 15.0))
    assert (labels[5, 10], labels[14, 29], labels[15, 30], labels[10, 20], labels[2, 2]) == (3, 3, 0, 1, 0)


def test_strokes_come_over_clicks_and_the_last_action_is_undone(photo) -> None:
    image, _ = photo
    grabcut = load_segmenter("grabcut")
    actions = [Action("box", ((35, 25), (118, 98))), Action("object", ((75, 60),))]
    cut = render_mask(image, actions, grabcut)
    erased = render_mask(image, [*actions, Action("eraser", ((75, 60),), 8)], grabcut)
    assert cut[60, 75]
    assert not erased[60, 75]
    assert (cut & ~erased).sum() == pytest.approx(np.pi * 8**2, rel=0.15)
    painted = render_mask(image, [Action("brush", ((10, 10), (50, 10)), 3)], grabcut)
    assert painted[10, 30]
    assert not painted[20, 30]
    assert (render_mask(image, actions, grabcut) == cut).all()


def test_an_action_from_the_page_is_checked() -> None:
    action = Action("brush", ((1.5, 2), (3, 4)), 5)
    assert Action.from_json(action.to_json()) == action
    for values in (
        None,
        [],
        ["brush"],
        ["brush", [[1, "2"]], 5],
        ["pen", [[1, 2]], 5],
        ["box", [[1, 2]], 0],
        ["object", [], 0],
    ):
        with pytest.raises(DataError, match="expected a click, a box or a stroke"):
            Action.from_json(values)


def test_annotators_of_masks_are_compared_by_iou(project: Project) -> None:
    record = project.journal.read_images()[0]
    category = record.categories[0]
    for name, width in (("ann", 20), ("bob", 10), ("bob", 15)):
        mask = np.zeros((record.height, record.width), bool)
        mask[10:30, 10 : 10 + width] = True
        save_annotation(project, name, record, category, mask, [Action("object", ((15, 15),))])
    agreement = next(a for a in measure_mask_agreement(project) if a.first == "ann" and a.second == "bob")
    assert (agreement.num_masks, agreement.mean_iou) == (1, pytest.approx(0.75))
    assert agreement.low == ()
    drawn = read_masks(project, record)[category]
    assert [annotation.annotator for annotation in drawn] == ["composition", "ann", "bob"]
    assert drawn[1].actions == [["object", [[15, 15]], 0]]
    assert combine_masks(drawn[1:], "x").sum() == 20 * 20  # equal votes: the first one's mask


def test_votes_are_by_majority() -> None:
    masks = [np.array([[row]], bool) for row in (1, 1, 0)]
    assert vote_masks(masks).all()
    assert not vote_masks([masks[2], masks[0]]).any()


@pytest.mark.parametrize(
    ("shape", "value", "category", "message"),
    [
        ((96, 97), True, 0, "found a mask of 97 x 96 pixels, expected 96 x 96"),
        ((96, 96), False, 0, "found an empty mask"),
        ((96, 96), True, "sgn", "does not show 'sgn'"),
    ],
)
def test_masks_that_do_not_fit_are_refused(project: Project, shape, value, category, message) -> None:
    record = project.journal.read_images()[0]
    name = record.categories[0] if category == 0 else category
    with pytest.raises(DataError, match=message):
        save_annotation(project, "ann", record, name, np.full(shape, value))


def test_another_segmenter_is_unknown() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'grabcut'"):
        load_segmenter("grabct")


def test_the_next_thing_is_the_first_that_an_annotator_has_not_drawn(project: Project) -> None:
    assert next_thing(project, "ann") is None  # nothing is kept yet
    records = project.journal.read_images()
    for record in records:
        decide(project, "ann", record.id, "drop" if record.id == 2 else "keep")
    things = [(record.id, category) for record in records if record.id != 2 for category in record.categories]
    visited, thing = [], next_thing(project, "ann", things[4])
    while thing is not None:
        visited.append(thing)
        record = project.journal.read_image(thing[0])
        mask = np.ones((record.height, record.width), bool)
        save_annotation(project, "ann", record, thing[1], mask)
        thing = next_thing(project, "ann", thing)
    assert visited == things[5:] + things[:5]
    assert next_thing(project, "bob", (2, records[1].categories[0])) == things[2]
    assert next_thing(project, "bob", (99, "gone")) == things[0]
    assert next_thing(project, "bob", (3, "gone")) == next(thing for thing in things if thing[0] == 3)

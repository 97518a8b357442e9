"""Contours of regions: what segmenters make of a box, beside the region itself, and the way back to it."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from schemas import check_output
from soundspot.config.upsampling import Upsampling
from soundspot.data.media.rle import decode_mask, encode_mask
from soundspot.errors import InputError, RecipeError
from soundspot.inference.contours import trace as module
from soundspot.inference.contours.contour import Contour
from soundspot.inference.contours.trace import ContourTracer
from soundspot.inference.result import LocalizationMap
from soundspot.inference.supervision import decode_masks


def located(image: Image.Image, threshold: float | None = 0.5) -> LocalizationMap:
    """A map of 80 x 60 pixels whose peak lies in the left half, with a weaker one at the right."""
    scores = torch.zeros(6, 8)
    scores[1:5, 1:4], scores[2, 2], scores[3, 6] = 0.7, 0.8, 0.6
    return LocalizationMap(scores, (60, 80), Upsampling("nearest"), image=image, threshold=threshold)


@pytest.fixture
def disc() -> Image.Image:
    image = Image.new("RGB", (80, 60), (40, 120, 40))
    ImageDraw.Draw(image).ellipse((13, 13, 36, 46), fill=(220, 40, 40))
    return image


def test_grabcut_outlines_the_object_and_the_region_stays(disc: Image.Image) -> None:
    pytest.importorskip("cv2", reason="OpenCV is absent: grabcut is not tested")
    before = located(disc, None)
    result = ContourTracer("grabcut").trace(before)
    (contour,) = result.contours  # without a threshold of the highest region alone
    assert (contour.segmenter, contour.note, contour.contains_peak) == ("grabcut", "", True)
    assert (contour.region_box, contour.peak_at) == ((10, 10, 40, 50), (20, 20))
    target = np.asarray(disc)[..., 0] > 128
    assert (contour.mask & target).sum() / (contour.mask | target).sum() > 0.95
    region = before.mask().numpy()
    assert (region & target).sum() / (region | target).sum() < 0.7
    assert (result.boxes(), result.peak_at) == (before.boxes(), before.peak_at)


@pytest.mark.parametrize(
    ("make", "failure"),
    [
        (np.zeros_like, "is empty"),
        (np.ones_like, "fills the image"),
        (lambda mask: mask, "is the box itself"),
    ],
    ids=["empty", "full", "box"],
)
def test_masks_that_outline_nothing_fall_back_to_the_region(make, failure: str, disc, monkeypatch) -> None:
    class Useless:
        name = "useless"

        def segment(self, image, clicks, box):
            mask = np.zeros((image.height, image.width), bool)
            mask[round(box.y0) : round(box.y1), round(box.x0) : round(box.x1)] = True
            return make(mask)

    monkeypatch.setattr(module, "load_segmenter", lambda name, device: Useless())
    result = ContourTracer("grabcut").trace(located(disc))
    assert len(result.contours) == 2  # both regions reach the threshold
    first, second = (contour.mask for contour in result.contours)
    assert ((first | second) == result.mask().numpy()).all()
    assert not (first & second).any()
    assert result.all_notes == (f"The contour by grabcut {failure}; that of the region is used.",) * 2


def test_what_is_absent_silent_or_constant_has_no_contour(disc: Image.Image) -> None:
    pytest.importorskip("cv2", reason="OpenCV is absent: grabcut is not tested")
    tracer, result = ContourTracer("grabcut"), located(disc)
    for case in (
        replace(result, threshold=0.9),
        replace(result, is_silent=True),
        replace(result, scores=torch.ones(2, 2)),
    ):
        assert tracer.trace(case).contours == ()
    with pytest.raises(RecipeError, match="Did you mean 'grabcut'"):
        ContourTracer("grabcutt")


def test_a_result_reports_its_contours(disc: Image.Image, tmp_path: Path) -> None:
    mask = np.zeros((60, 80), bool)
    mask[30:50, 50:70] = True
    plain = located(disc)
    result = replace(plain, contours=(Contour(mask, (10, 10, 40, 50), (20, 20), "sam2"),))
    assert result.all_notes == ("The contour by sam2 does not contain the peak (20, 20): trust the region.",)
    assert (result.contour_mask().numpy() == mask).all()
    result.save(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    check_output(content, "result")
    (values,) = content["contours"]
    assert (decode_mask(values.pop("mask")) == mask).all()
    assert values == {
        "segmenter": "sam2", "region_box": [10, 10, 40, 50], "box": [50, 30, 70, 50], "peak_at": [20, 20],
        "contains_peak": False, "is_region": False,
    }  # fmt: skip
    assert content["boxes"] == plain.to_dict()["boxes"]
    assert "contours" not in plain.to_dict()
    result.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert (arrays["contour"] == mask).all()
    changed = (np.asarray(result.overlay()) != np.asarray(plain.overlay())).any(axis=2)
    assert changed.any()
    assert not changed[:28].any()


def test_supervision_has_the_contours_as_masks(disc: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=SimpleNamespace))
    mask = np.zeros((60, 80), bool)
    mask[30:50, 50:70] = True
    plain = located(disc)
    assert plain.to_supervision().mask is None
    detections = replace(plain, contours=(Contour(mask, (10, 10, 40, 50), (20, 20), "sam2"),)).to_supervision()
    assert (detections.mask == mask[None]).all()
    assert detections.xyxy.tolist() == [[10, 10, 40, 50]]
    assert detections.confidence.tolist() == pytest.approx([0.8])
    with pytest.raises(InputError, match=r"found the mask threshold 'half' beside contours"):
        replace(plain, contours=(Contour(mask, (10, 10, 40, 50), (20, 20), "sam2"),)).to_supervision("half")


def test_supervision_has_the_masks_of_tracks() -> None:
    mask = np.eye(3, 4) > 0
    assert decode_masks([("", (3, 4)), ("", (3, 4))]) is None
    first, second = decode_masks([(encode_mask(mask)["counts"], (3, 4)), ("", (3, 4))]) or ()
    assert (first == mask).all()
    assert not second.any()

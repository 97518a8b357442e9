"""A SoundMap: sizes, regions, rules that make masks, and files that are whole or absent."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.config.upsampling import Upsampling
from soundspot.errors import InputError, OutputError
from soundspot.inference.result import LocalizationMap

NEAREST = Upsampling("nearest")


def two_spots(**more) -> LocalizationMap:
    """A 4 x 8 map of a 40 x 80 picture: a strong spot left, a weaker one right."""
    scores = torch.full((4, 8), -0.2)
    scores[1:3, 1:3], scores[2, 6] = 0.8, 0.5
    return LocalizationMap(scores, (40, 80), NEAREST, image=Image.new("RGB", (80, 40), (60, 90, 120)), **more)


@pytest.mark.parametrize("upsampling", ["bilinear", "bilinear-aligned", "bicubic", "nearest"])
def test_upsampled_to_the_picture_or_to_any_size(upsampling):
    result = LocalizationMap(torch.randn(7, 7), (123, 77), Upsampling(upsampling))
    assert result.upsample().shape == (123, 77)
    assert result.upsample((5, 9)).shape == (5, 9)
    assert result.upsample((7, 7)).allclose(result.scores, atol=1e-6)


@pytest.mark.parametrize("upsampling", ["bilinear", "bilinear-aligned", "bicubic", "bicubic-aligned", "nearest"])
@pytest.mark.parametrize("value", [0.0, 0.3, -0.7, 3.3])
def test_the_peak_of_equal_scores_is_in_their_middle(upsampling, value):
    """Rounding of the interpolation included: a constant map points at no corner."""
    assert LocalizationMap(torch.full((7, 7), value), (90, 50), Upsampling(upsampling)).peak_at == (24, 44)
    twins = torch.full((5, 5), value - 1)
    twins[2, 1] = twins[2, 3] = value
    mirrored = [LocalizationMap(map, (55, 55), Upsampling(upsampling)).peak_at for map in (twins, twins.flip(0))]
    assert mirrored == [mirrored[0]] * 2  # the left one, nowhere between the two
    assert 11 <= mirrored[0][0] < 22
    assert 22 <= mirrored[0][1] < 33


def test_outside_of_the_crop_nothing_is_claimed():
    scores = torch.tensor([[0.1, 0.9], [0.4, 0.6]])
    whole = LocalizationMap(scores, (100, 200), NEAREST, region=(0.25, 0.0, 0.75, 1.0)).upsample()
    assert (whole[:, :50] == 0.1).all()
    assert (whole[:, 150:] == 0.1).all()
    assert (whole[:50, 100:150] == 0.9).all()


def test_peak_confidence_and_presence():
    result = two_spots()
    assert result.peak == pytest.approx(0.8)
    assert result.peak_at == (19, 19)  # the middle of 20 equal pixels from 10 on
    assert result.confidence == pytest.approx((4 * 0.8 + 0.5 - 3 * 0.2) / 8)  # the highest 8 of 32 cells
    assert result.present is None
    assert two_spots(threshold=0.7).present is True
    assert two_spots(threshold=0.9).present is False
    assert two_spots(threshold=0.7, is_silent=True).present is False


def test_a_probability_is_of_the_peak_and_none_where_none_was_fitted() -> None:
    calibration = PresenceCalibration("isotonic", peaks=(0.0, 1.0), probabilities=(0.0, 1.0))
    result = two_spots(threshold=0.9, calibration=calibration)
    assert result.presence_probability == pytest.approx(0.8)
    assert result.present is False  # by the threshold
    assert result.to_dict()["presence_probability"] == result.presence_probability
    assert result.describe().startswith("not in the image (probability of presence 0.80); peak 0.800")
    assert two_spots(is_silent=True, calibration=calibration).presence_probability == 0
    assert two_spots(threshold=0.9).presence_probability is None
    assert "probability" not in two_spots(threshold=0.9).describe()


@pytest.mark.parametrize(("threshold", "is_near"), [(0.75, True), (0.83, True), (0.7, False), (0.9, False)])
def test_an_answer_near_the_threshold_says_so(threshold: float, is_near: bool) -> None:
    result = two_spots(threshold=threshold, codec_spread=0.06)
    assert result.is_near_threshold is is_near
    assert result.to_dict()["near_threshold"] is is_near
    assert any("near the threshold" in note for note in result.to_dict()["notes"]) is is_near
    assert result.notes == ()
    assert not two_spots(threshold=threshold).is_near_threshold  # nothing was measured
    assert not two_spots(codec_spread=0.06).is_near_threshold
    assert not two_spots(threshold=threshold, codec_spread=0.06, is_silent=True).is_near_threshold


@pytest.mark.parametrize(
    ("rule", "pixels"),
    [(0.5, 500), ("0.5", 500), (0.8, 400), ("half", 1600), ("share:0.125", 400), ("score:0.6", 400), ("score:2", 0)],
)
def test_rules_keep_what_they_say(rule, pixels):
    assert int(two_spots().mask(rule).sum()) == pixels


@pytest.mark.parametrize("rule", ["halves", "share:1.2", -0.1, "score:x", "share:nan", "top:0.3"])
def test_an_unknown_rule_is_named(rule):
    with pytest.raises(InputError, match=r"found the mask threshold .*, expected a number in"):
        two_spots().mask(rule)


def test_boxes_lie_around_the_regions_strongest_first():
    assert two_spots().boxes() == [(10, 10, 30, 30), (60, 20, 70, 30)]
    assert two_spots().boxes("score:2") == []


@pytest.mark.parametrize("value", [-0.4, 0.0, 0.9])
def test_a_map_that_is_the_same_everywhere_shows_no_place(value):
    result = LocalizationMap(torch.full((3, 3), value), (30, 30), image=Image.new("RGB", (30, 30), (1, 2, 3)))
    assert result.boxes() == []
    assert result.overlay().getcolors() == [(900, (1, 2, 3))]
    assert int(result.mask("half").sum()) == 450


def test_a_broken_map_is_refused():
    with pytest.raises(InputError, match="2 values that are not finite"):
        LocalizationMap(torch.tensor([[0.1, float("nan")], [float("inf"), 0.0]]), (4, 4))


def test_overlay_draws_heat_outline_and_boxes():
    plain, drawn = two_spots().overlay(), two_spots().overlay(outline=0.5, boxes=0.5)
    assert plain.size == drawn.size == (80, 40)
    assert plain.tobytes() != drawn.tobytes()
    assert plain.getpixel((79, 0)) == (60, 90, 120)
    assert plain.getpixel((15, 15)) != (60, 90, 120)
    with pytest.raises(InputError, match="without an image"):
        LocalizationMap(torch.zeros(2, 2), (4, 4)).overlay()


def test_what_is_absent_by_the_threshold_is_not_drawn():
    absent = dataclasses.replace(two_spots(), threshold=0.9)
    assert absent.overlay(outline=0.5, boxes=0.5).getcolors() == [(3200, (60, 90, 120))]
    assert dataclasses.replace(absent, threshold=0.7).overlay().tobytes() == two_spots().overlay().tobytes()


def test_saved_by_suffix(tmp_path):
    result = two_spots(threshold=0.7, notes=("A note.",))
    for name in ("a.png", "a.jpg", "a.webp", "a.npz", "a.json"):
        result.save(tmp_path / name)
    with Image.open(tmp_path / "a.png") as overlay:
        assert overlay.size == (80, 40)
    with np.load(tmp_path / "a.npz") as stored:
        assert torch.equal(torch.from_numpy(stored["scores"]), result.scores)
        assert stored["size"].tolist() == [40, 80]
    summary = json.loads((tmp_path / "a.json").read_text())
    assert summary == json.loads(json.dumps(result.to_dict()))
    assert summary["present"] is True
    assert summary["boxes"][0] == [10, 10, 30, 30]
    assert summary["notes"] == ["A note."]
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".jpg", ".json", ".npz", ".png", ".webp"]


def test_refused_output_leaves_nothing_behind(tmp_path):
    result, there = two_spots(), tmp_path / "there.png"
    there.write_text("mine")
    for path, message in [
        (there, "exists already. Pass --overwrite"),
        (tmp_path / "no" / "a.png", "the folder .* does not exist"),
        (tmp_path / "a.gif", "cannot write .gif; use .png"),
        (tmp_path / "a", "without a suffix"),
    ]:
        with pytest.raises(OutputError, match=message):
            result.save(path, overwrite=False)
    assert there.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [there]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path):
    there = tmp_path / "map.png"
    there.write_text("old")
    with pytest.raises(InputError):
        LocalizationMap(torch.zeros(2, 2), (4, 4)).save(there)  # no picture to draw on
    assert there.read_text() == "old"
    assert list(tmp_path.iterdir()) == [there]


def test_a_notebook_shows_the_overlay_and_what_it_says():
    result = two_spots(threshold=0.9, notes=("<b>a note</b>",))
    page = result._repr_html_()
    assert page.startswith('<img src="data:image/jpeg;base64,')
    assert "not in the image; peak 0.800 at (" in page
    assert "&lt;b&gt;a note&lt;/b&gt;" in page
    without_image = dataclasses.replace(two_spots(category="dog"), image=None)._repr_html_()
    assert without_image.startswith("<p>dog: presence unknown; peak")


def test_a_printed_map_is_a_line():
    assert repr(two_spots(threshold=0.5)).startswith("<LocalizationMap: present; peak 0.800 at (")
    assert "\n" not in repr(two_spots())

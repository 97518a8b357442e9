"""Refinement: the released mixtures, and that nobody gets one without being told."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from released import inputs_of, state_of
from soundspot.config.checkpoint import describe_checkpoint, save_checkpoint, update_header
from soundspot.config.frontend import PRESETS
from soundspot.config.inspect_checkpoint import inspect_checkpoint
from soundspot.config.refinement import Refinement
from soundspot.config.schema import FrontEndConfig
from soundspot.config.upsampling import Upsampling, min_max_normalize
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.media.image import normalize
from soundspot.errors import DataError, InputError
from soundspot.evaluation.engine.calibrate import calibrate
from soundspot.evaluation.engine.evaluate import evaluate, evaluate_maps
from soundspot.evaluation.protocols.presets import PROTOCOLS
from soundspot.evaluation.report.compare import compare
from soundspot.evaluation.report.compare_report import format_comparison
from soundspot.evaluation.report.html import render_page
from soundspot.evaluation.report.published import find_published_rows, list_differences
from soundspot.inference.localizer import Localizer
from soundspot.inference.refinement import ObjectPrior, mix_maps, renormalize_for_imagenet
from soundspot.methods import METHODS, create
from soundspot.types import Audio

SMALL = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 8}


def localizer(name: str = "joint_slots", **changes: object) -> Localizer:
    torch.manual_seed(0)
    front_end = FrontEndConfig(name, size=64, seconds=0.5).build()
    options = {"width": 16} if name == "joint_slots" else {}
    return Localizer(create(name, image=SMALL, audio=SMALL, front_end=front_end, **options), **changes)  # type: ignore[arg-type]


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A ResNet-18 file of random weights, as the public one is laid out."""
    torch.manual_seed(0)
    from soundspot.models.encoders import build_encoder

    state = build_encoder({"last_stride": 2}, 3).state_dict()
    torch.save({**state, "fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}, tmp_path / "resnet18.pth")
    return str(tmp_path / "resnet18.pth")


@pytest.fixture
def released(golden: Path) -> dict[str, np.ndarray]:
    """Arrays of the published test code; the copy beside the tests has every fourth pixel."""
    if not (golden / "ogl").is_dir():
        pytest.skip(f"golden/ogl is absent below {golden}")
    return dict(np.load(golden / "ogl" / "io.npz"))


def agrees(ours: torch.Tensor, theirs: np.ndarray) -> None:
    step = 224 // theirs.shape[-1]
    np.testing.assert_allclose(ours[..., ::step, ::step], theirs, rtol=0, atol=2e-5)


def test_the_released_object_prior(golden: Path, released: dict[str, np.ndarray], tmp_path: Path) -> None:
    keys = tmp_path / "case.json"
    keys.write_text(f'{{"keys": "{golden / "ogl" / "keys.json"}"}}')
    torch.save(state_of(keys), tmp_path / "resnet18.pth")
    objects = ObjectPrior(str(tmp_path / "resnet18.pth"))(inputs_of({"image": ["image", [2, 3, 224, 224]]})["image"])
    theirs = released["object_map"]
    np.testing.assert_allclose(objects, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_the_released_mixtures(golden: Path, released: dict[str, np.ndarray]) -> None:
    """EZ-VSL's of two 7 x 7 maps with corners aligned; the alignment method's of 14 x 14 and 7 x 7, as OpenCV."""
    objects = torch.from_numpy(released["object_map"])
    maps = torch.from_numpy(np.load(golden / "ezvsl" / "io.npz")["map"])
    ours = PROTOCOLS["ezvsl"].upsample(mix_maps(maps, [objects], 0.4, METHODS["ezvsl"].upsampling))
    agrees(min_max_normalize(ours), released["ezvsl_combined_224"])
    maps = torch.from_numpy(np.load(golden / "alignment" / "io.npz")["map"])
    mixture = mix_maps(maps, [objects], 0.4, METHODS["alignment"].upsampling)
    ours = PROTOCOLS["alignment-vggss"].upsample(mixture)[:1]
    agrees(1 - min_max_normalize(-ours)[0], released["alignment_combined_cv2_sample0"])


@pytest.mark.parametrize("upsampling", ["bilinear", "bilinear-aligned", "bicubic"])
def test_mixing_on_the_grid_is_mixing_upsampled_maps(upsampling: str) -> None:
    torch.manual_seed(0)
    readout = Upsampling(upsampling)  # type: ignore[arg-type]
    sound, image, objects = torch.randn(3, 2, 7, 7)
    up = [min_max_normalize(readout.upsample(one, 224, 224)) for one in (sound, image, objects)]
    for others, expected in (
        ([image], 0.4 * up[0] + 0.6 * up[1]),
        ([image, objects], 0.4 * up[0] + 0.3 * (up[1] + up[2])),
    ):
        found = mix_maps(sound, others, 0.4, readout)
        assert found.shape == (2, 7, 7)
        torch.testing.assert_close(readout.upsample(found, 224, 224), expected, rtol=0, atol=2e-6)
    finer = mix_maps(torch.nn.functional.interpolate(sound[None], scale_factor=2)[0], [objects], 0.4, readout)
    assert finer.shape == (2, 224, 224), "grids that differ meet at the size of the picture"


def test_a_constant_map_has_no_say() -> None:
    maps = torch.randn(1, 7, 7)
    assert bool(mix_maps(torch.ones(1, 7, 7), [torch.ones(1, 7, 7)]).eq(0).all())
    found = min_max_normalize(mix_maps(maps, [torch.ones(1, 7, 7)]))
    torch.testing.assert_close(found, min_max_normalize(maps))


def test_image_query_refinement_at_its_ends() -> None:
    picture, sound = Image.effect_noise((64, 64), 90).convert("RGB"), Audio(torch.randn(8000) / 9, 16000)
    plain, refined = localizer().locate(picture, sound), localizer(refine="iqr").locate(picture, sound)
    assert not plain.notes
    assert (
        "0.4 of the sound's map, 0.6 of the image's own attention (iqr), which does not depend on the sound"
        in refined.notes[0]
    )
    assert not torch.allclose(min_max_normalize(plain.scores[None]), min_max_normalize(refined.scores[None]))
    alone = localizer(refine="iqr", alpha=1.0).locate(picture, sound)
    torch.testing.assert_close(
        min_max_normalize(alone.scores[None]), min_max_normalize(plain.scores[None]), rtol=0, atol=1e-3
    )
    deaf = localizer(refine="iqr", alpha=0.0)
    other = Audio(torch.zeros(8000), 16000)
    torch.testing.assert_close(deaf.locate(picture, sound).scores, deaf.locate(picture, other).scores)


SCENES = {"length": 4, "size": 64, "seconds": 0.5}


@pytest.mark.parametrize(
    ("name", "refine", "called"),
    [
        ("alignment", "ogl", "alignment + ogl (alpha 0.3)"),
        ("joint_slots", "ogl,iqr", "joint_slots + iqr + ogl (alpha 0.3)"),
    ],
)
def test_a_report_says_everywhere_that_maps_are_refined(
    name: str, refine: str, called: str, weights: str, tmp_path: Path
) -> None:
    data = open_dataset("scenes-interactive", **SCENES)
    plain = evaluate(localizer(name), data, bootstraps=0, batch_size=4)
    refined = evaluate(localizer(name, refine=refine, alpha=0.3, prior=weights), data, bootstraps=0, batch_size=4)
    assert not any("refined" in note for note in plain.notes)
    assert "objectness of an ImageNet classifier (ogl)" in refined.notes[0]
    assert (plain.model.name, refined.model.name) == (name, called)
    assert "refinement" not in plain.source
    assert refined.source["refinement"]["alpha"] == 0.3
    assert called in refined.table()
    shown = render_page(refined)
    assert f"<title>{called} on " in shown
    assert shown.count(called) > 1
    refined.save(tmp_path / "refined")
    content = json.loads((tmp_path / "refined" / "report.json").read_text())
    assert content["rows"][0]["name"] == called
    assert content["source"]["refinement"]["refine"] == sorted(refine.split(","))
    again = evaluate_maps(tmp_path / "refined" / "maps", data, bootstraps=0)
    assert (again.model.name, again.source["refinement"]) == (called, refined.source["refinement"])
    assert f"{called} - {name}" in format_comparison(compare([plain, refined], bootstraps=10))
    renamed = compare([plain, again], ["a", "b"], bootstraps=10)
    assert renamed[0].notes == (f"b: maps are refined by {called.partition(' + ')[2]}.",)


def test_published_rows_are_of_refined_maps_or_not() -> None:
    rows = {row.setting: row for row in find_published_rows("vggss") if row.method == "ezvsl"}
    for mine, theirs, said in (
        ("", "ogl", "maps: refined by ogl"),
        ("ogl", "", "maps: not refined"),
        ("iqr", "", "maps: not"),
    ):
        reasons = " ".join(list_differences(rows[theirs], "alignment-vggss", 4655, (mine,)))
        assert said in reasons
    for both in ("", "ogl"):
        assert "maps:" not in " ".join(list_differences(rows[both], "alignment-vggss", 4655, (both,)))


def test_a_threshold_is_of_the_refinement_that_it_was_fitted_with(weights: str, tmp_path: Path) -> None:
    data = open_dataset("scenes-interactive", **SCENES)
    path, asked = tmp_path / "a.safetensors", localizer(refine="ogl", prior=weights)
    save_checkpoint(asked.method, path)
    fitted = calibrate(asked, data)
    assert "maps refined by ogl (alpha 0.4)" in fitted.format_summary()
    update_header(path, threshold=fitted.threshold, calibration=fitted.as_dict())
    question = data.read_image(0), data.read_audio(0)
    same = Localizer.load(path, refine="ogl", prior=weights)
    assert same.threshold == fitted.threshold
    assert same.locate(*question).present is not None
    other_weights = shutil.copy(weights, tmp_path / "copy.pth")
    assert Localizer.load(path, refine="ogl", prior=str(other_weights)).threshold is not None, "a copy is the same"
    state = torch.load(weights)
    torch.save({**state, "bn1.bias": state["bn1.bias"] + 1}, tmp_path / "other.pth")
    for changes, said in (
        ({}, "fitted on maps refined by ogl (alpha 0.4); .* `soundspot calibrate` fits one"),
        (
            {"refine": "iqr"},
            r"fitted on maps refined by ogl .*`soundspot calibrate` with --refine iqr --alpha 0.4 fits",
        ),
        ({"refine": "ogl", "prior": weights, "alpha": 0.5}, "with --refine ogl --alpha 0.5 fits one"),
        ({"refine": "ogl", "prior": str(tmp_path / "other.pth")}, "refined by ogl .* with another classifier; "),
    ):
        found = Localizer.load(path, **changes)
        assert found.threshold is None
        answer = found.locate(*question)
        assert answer.present is None
        assert any(re.search(said.replace("(", r"\(").replace(")", r"\)"), note) for note in answer.notes), answer.notes
    told, used = (
        evaluate(one, data, bootstraps=0, source=describe_checkpoint(path)) for one in (Localizer.load(path), same)
    )
    assert any("fitted on maps refined by ogl" in note for note in told.notes)
    assert told.source["threshold"] is None
    assert "calibration" not in told.source
    assert not any(key.startswith("pia_") for key in told.model.metrics)
    assert used.source["calibration"]["refinement"]["alpha"] == 0.4
    assert "pia_silence" in used.model.metrics
    assert "of maps refined by ogl (alpha 0.4)" in inspect_checkpoint(path).format_summary()
    update_header(path, calibration=calibrate(localizer(), data).as_dict())
    assert "fitted on maps that are not refined" in Localizer.load(path, refine="iqr").notes[-1]
    assert Localizer.load(path).threshold is not None


def test_a_refinement_in_a_file_that_is_none() -> None:
    for wrong in ({"refine": ["olg"], "alpha": 0.4}, {"refine": "ogl"}, ["ogl"]):
        with pytest.raises(DataError, match="found the refinement"):
            Refinement.from_dict(wrong)


def test_mistakes_are_told() -> None:
    with pytest.raises(InputError, match="alignment has no image query to refine maps with"):
        localizer("alignment", refine="iqr")
    with pytest.raises(InputError, match=r"unknown refinement 'olg'. Did you mean 'ogl'"):
        localizer(refine="olg")
    with pytest.raises(InputError, match=r"alpha: found 1.4, expected the weight of the sound's map"):
        localizer(refine="iqr", alpha=1.4)


def test_a_weight_without_a_refinement_is_none() -> None:
    asked = localizer(alpha=0.9)
    assert asked.refinement == Refinement()
    assert not asked.notes


def test_the_classifier_sees_pictures_as_it_learned_them() -> None:
    pictures = torch.rand(2, 3, 8, 8)
    clip, imagenet = PRESETS["clip"].image, PRESETS["ezvsl"].image
    seen = renormalize_for_imagenet(normalize(pictures, clip), clip)
    torch.testing.assert_close(seen, normalize(pictures, imagenet), rtol=0, atol=1e-5)
    assert not torch.allclose(normalize(pictures, clip), normalize(pictures, imagenet), atol=0.01)

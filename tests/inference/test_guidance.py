"""Refinement: the released mixtures, and that nobody gets one without being told."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from released import inputs_of, state_of
from whence.data.datasets import open_dataset
from whence.errors import InputError
from whence.evaluation.evaluate import evaluate
from whence.inference.guidance import ObjectPrior, mixed
from whence.inference.localizer import Localizer
from whence.methods import create
from whence.readout import ReadOut, min_max
from whence.recipe import FrontEnd
from whence.types import Sound

SMALL = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 8}


def localizer(name: str = "joint_slots", **changes: object) -> Localizer:
    torch.manual_seed(0)
    front_end = FrontEnd(name, size=64, seconds=0.5).build()
    options = {"width": 16} if name == "joint_slots" else {}
    return Localizer(create(name, image=SMALL, audio=SMALL, front_end=front_end, **options), **changes)  # type: ignore[arg-type]


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A ResNet-18 file of random weights, as the public one is laid out."""
    torch.manual_seed(0)
    from whence.models.encoders import build_encoder

    state = build_encoder({"last_stride": 2}, 3).state_dict()
    torch.save({**state, "fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}, tmp_path / "resnet18.pth")
    return str(tmp_path / "resnet18.pth")


def test_the_released_object_prior_and_mixture(golden: Path, tmp_path: Path) -> None:
    if not (golden / "ogl").is_dir():
        pytest.skip(f"golden/ogl is absent below {golden}")
    arrays = np.load(golden / "ogl" / "io.npz")
    keys = tmp_path / "case.json"
    keys.write_text(f'{{"keys": "{golden / "ogl" / "keys.json"}"}}')
    torch.save(state_of(keys), tmp_path / "resnet18.pth")
    objects = ObjectPrior(str(tmp_path / "resnet18.pth"))(inputs_of({"image": ["image", [2, 3, 224, 224]]})["image"])
    theirs = arrays["object_map"]
    np.testing.assert_allclose(objects, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())
    readout = ReadOut("bilinear-aligned")
    maps = torch.from_numpy(np.load(golden / "ezvsl" / "io.npz")["map"])
    ours = min_max(readout.upsample(mixed(maps, [objects], 0.4, readout), 224, 224))
    np.testing.assert_allclose(ours, arrays["ezvsl_combined_224"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("upsampling", ["bilinear", "bilinear-aligned", "bicubic"])
def test_mixing_on_the_grid_is_mixing_upsampled_maps(upsampling: str) -> None:
    torch.manual_seed(0)
    readout = ReadOut(upsampling)  # type: ignore[arg-type]
    sound, image, objects = torch.randn(3, 2, 7, 7)
    up = [min_max(readout.upsample(one, 224, 224)) for one in (sound, image, objects)]
    for others, expected in (
        ([image], 0.4 * up[0] + 0.6 * up[1]),
        ([image, objects], 0.4 * up[0] + 0.3 * (up[1] + up[2])),
    ):
        found = mixed(sound, others, 0.4, readout)
        assert found.shape == (2, 7, 7)
        torch.testing.assert_close(readout.upsample(found, 224, 224), expected, rtol=0, atol=2e-6)
    finer = mixed(torch.nn.functional.interpolate(sound[None], scale_factor=2)[0], [objects], 0.4, readout)
    assert finer.shape == (2, 224, 224), "grids that differ meet at the size of the picture"


def test_a_constant_map_has_no_say() -> None:
    maps = torch.randn(1, 7, 7)
    assert bool(mixed(torch.ones(1, 7, 7), [torch.ones(1, 7, 7)]).eq(0).all())
    found = min_max(mixed(maps, [torch.ones(1, 7, 7)]))
    torch.testing.assert_close(found, min_max(maps))


def test_image_query_refinement_at_its_ends() -> None:
    picture, sound = Image.effect_noise((64, 64), 90).convert("RGB"), Sound(torch.randn(8000) / 9, 16000)
    plain, refined = localizer().locate(picture, sound), localizer(refine="iqr").locate(picture, sound)
    assert not plain.notes
    assert "0.4 of the sound's map, 0.6 of the picture's own attention (iqr), which hears nothing" in refined.notes[0]
    assert not torch.allclose(min_max(plain.scores[None]), min_max(refined.scores[None]))
    alone = localizer(refine="iqr", alpha=1.0).locate(picture, sound)
    torch.testing.assert_close(min_max(alone.scores[None]), min_max(plain.scores[None]), rtol=0, atol=1e-3)
    deaf = localizer(refine="iqr", alpha=0.0)
    other = Sound(torch.zeros(8000), 16000)
    torch.testing.assert_close(deaf.locate(picture, sound).scores, deaf.locate(picture, other).scores)


@pytest.mark.parametrize("name", ["joint_slots", "alignment"])
def test_a_report_says_that_maps_are_refined(name: str, weights: str) -> None:
    data = open_dataset("scenes-interactive", length=6, size=64, seconds=0.5)
    told = []
    for refine in ("", "ogl"):
        asked = localizer(name, refine=refine, prior=weights)
        told.append(evaluate(asked, data, bootstraps=0, batch_size=4).notes)
    assert not any("refined" in note for note in told[0])
    assert "objectness of an ImageNet classifier (ogl)" in told[1][0]


def test_mistakes_are_told() -> None:
    with pytest.raises(InputError, match="alignment has no image query to refine maps with"):
        localizer("alignment", refine="iqr")
    with pytest.raises(InputError, match=r"unknown refinement 'olg'. Did you mean 'ogl'"):
        localizer(refine="olg")
    with pytest.raises(InputError, match=r"alpha: found 1.4, expected the share of the sound's map"):
        localizer(refine="iqr", alpha=1.4)

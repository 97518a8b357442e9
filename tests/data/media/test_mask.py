"""Masks: whatever is not 0, cut at half where edges are soft, and where a JPEG is noisy."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

import media_cases
from soundspot.data.media.mask import is_soft_mask, read_mask
from soundspot.data.validation.findings import soft_mask_note
from soundspot.data.validation.samples import validate_dataset
from soundspot.errors import InputError

RESAMPLING = Image.Resampling


def saved(folder, name: str, image: Image.Image, **options) -> str:
    image.save(folder / name, **options)
    return str(folder / name)


def test_any_pixel_that_is_not_zero_is_the_object_of_a_mask(tmp_path) -> None:
    there = np.zeros((8, 10), np.uint8)
    there[2:5, 3:9] = 1
    indexed = Image.fromarray(there * 3)
    indexed.putpalette([0, 0, 0, 9, 9, 9, 8, 8, 8, 0, 0, 0])  # an index whose colour is black is an object all the same
    for name, image in {
        "one.png": Image.fromarray(there),
        "white.png": Image.fromarray(there * 255),
        "bits.png": Image.fromarray(there.astype(bool)),
        "colour.png": Image.fromarray(np.stack([there * 0, there * 7, there * 0], -1)),
        "opaque.png": Image.fromarray(np.stack([there, there, there, there * 0 + 255], -1)),
        "sixteen.png": Image.fromarray(there.astype(np.uint16) * 40000),
        "indexed.png": indexed,
    }.items():
        assert np.array_equal(read_mask(saved(tmp_path, name, image)).numpy(), there > 0), name


def test_the_noise_of_a_jpeg_is_no_object(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 12, (32, 32), np.uint8)
    assert not read_mask(saved(tmp_path, "black.jpg", Image.fromarray(noise), quality=60)).any()
    noise[:16] = 255
    mask = read_mask(saved(tmp_path, "half.jpg", Image.fromarray(noise), quality=60))
    assert mask[:15].all()
    assert not mask[17:].any()
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "half.jpg").read_bytes()[:200])
    with pytest.raises(InputError, match="found a broken or truncated image"):
        read_mask(tmp_path / "cut.jpg")


def draw_shape(shape: str, value: int = 255) -> Image.Image:
    """A shape of one value, 960 x 640."""
    drawing = Image.new("L", (960, 640))
    pen = ImageDraw.Draw(drawing)
    if shape == "ellipse":
        pen.ellipse((300, 200, 620, 440), fill=value)
    elif shape == "box":
        pen.rectangle((301, 203, 623, 443), fill=value)
    else:
        pen.polygon([(100, 100), (800, 180), (500, 600)], fill=value)
    return drawing


def test_masks_with_soft_edges_have_the_area_that_was_drawn(tmp_path: Path) -> None:
    case = media_cases.soft_mask(tmp_path)
    for name, right in case.expected.items():
        assert is_soft_mask(tmp_path / name)
        area = read_mask(tmp_path / name).double().mean().item()
        assert area == pytest.approx(right["area"], abs=right["area_tolerance"]), name


@pytest.mark.parametrize("shape", ["ellipse", "box", "triangle"])
@pytest.mark.parametrize("value", [255, pytest.param(100, marks=pytest.mark.slow)])
def test_soft_edges_of_any_making_and_mode_are_cut_at_half(tmp_path: Path, shape: str, value: int) -> None:
    drawing = draw_shape(shape, value)
    area = (np.asarray(drawing) > 0).mean()
    kinds = {
        **{
            f"{r.name} {size}": drawing.resize(size, r)
            for r in list(RESAMPLING)[1:6]
            for size in ((150, 100), (224, 224))
        },
        "enlarged": drawing.resize((120, 80), RESAMPLING.BILINEAR).resize((1920, 1280), RESAMPLING.BILINEAR),
        "blurred": drawing.filter(ImageFilter.GaussianBlur(8)),
    }
    for kind, image in kinds.items():
        gray = np.asarray(image)
        opaque = np.full_like(gray, 255)
        for mode, values in {
            "L": gray,
            "RGB": np.stack([gray, gray, gray], -1),
            "red": np.stack([gray, 0 * gray, 0 * gray], -1),
            "RGBA": np.stack([gray, gray, gray, opaque], -1),
            "LA": np.stack([gray, opaque], -1),
            "16 bits": gray.astype(np.uint16) * 257,
        }.items():
            path = saved(tmp_path, "mask.png", Image.fromarray(values))
            assert read_mask(path).double().mean().item() == pytest.approx(area, abs=0.004), (kind, mode)


def read_area(folder: Path, name: str, image: Image.Image, **options) -> float:
    return read_mask(saved(folder, name, image, **options)).double().mean().item()


@pytest.mark.parametrize("resampling", [RESAMPLING.BILINEAR, RESAMPLING.LANCZOS])
def test_soft_edges_in_palettes_alpha_and_repeated_pixels_are_cut_at_half(tmp_path: Path, resampling: int) -> None:
    drawing = draw_shape("ellipse")
    area = (np.asarray(drawing) > 0).mean()
    soft = drawing.resize((120, 80), resampling)
    masks = {
        "ramp": soft.convert("P"),
        "adaptive": soft.convert("RGB").quantize(256),
        **{f"repeated {k}": soft.resize((120 * k, 80 * k), RESAMPLING.NEAREST) for k in (2, 3, 4)},
    }
    for mask in (soft, drawing):
        for color in (0, 9, 255):
            for mode in ("LA", "RGBA"):
                masks[f"{mode} {color} {mask.size}"] = Image.new(mode, mask.size, (color,) * len(mode[1:]) + (0,))
                masks[f"{mode} {color} {mask.size}"].putalpha(mask)
    for name, image in masks.items():
        assert read_area(tmp_path, "mask.png", image) == pytest.approx(area, rel=0.01), name


def test_the_alpha_of_a_colorful_mask_is_no_object(tmp_path: Path) -> None:
    values = np.zeros((8, 10, 4), np.uint8)
    values[2:5, 3:9, 1] = 200
    values[:6, :, 3] = 255
    assert np.array_equal(read_mask(saved(tmp_path, "mask.png", Image.fromarray(values))).numpy(), values[..., 1] > 0)


def test_a_lossy_webp_is_cut_at_half_like_a_jpeg(tmp_path: Path) -> None:
    drawing = draw_shape("ellipse")
    area = (np.asarray(drawing) > 0).mean()
    assert read_area(tmp_path, "lossy.webp", drawing) == pytest.approx(area, rel=0.002)
    assert not is_soft_mask(tmp_path / "lossy.webp")
    for value in (1, 100):
        numbered = draw_shape("ellipse", value)
        assert read_area(tmp_path, "lossless.webp", numbered, lossless=True) == area


@pytest.mark.parametrize("resampling", list(RESAMPLING)[1:6])
def test_objects_of_two_levels_have_soft_edges_of_their_own(tmp_path: Path, resampling: int) -> None:
    drawing = Image.new("L", (960, 640))
    ImageDraw.Draw(drawing).ellipse((50, 50, 450, 450), fill=255)
    ImageDraw.Draw(drawing).ellipse((500, 150, 930, 600), fill=100)
    area = (np.asarray(drawing) > 0).mean()
    assert read_area(tmp_path, "hard.png", drawing) == area
    assert read_area(tmp_path, "soft.png", drawing.resize((120, 80), resampling)) == pytest.approx(area, rel=0.01)


def test_many_values_are_noted_whatever_they_are_taken_for(tmp_path: Path) -> None:
    for distance in (2, 4):
        lines = np.zeros((235 * distance, 300), np.uint8)
        lines[::distance, 20:280] = np.arange(10, 245, dtype=np.uint8)[:, None]
        path = saved(tmp_path, "lines.png", Image.fromarray(lines))
        assert np.array_equal(read_mask(path).numpy(), lines > 0)
        assert is_soft_mask(path)
    few = lines[: 31 * distance] % 31  # 31 values: 0 to 30
    assert not is_soft_mask(saved(tmp_path, "few.png", Image.fromarray(few)))
    inverted = Image.fromarray((lines == 0).astype(np.uint8))
    for palette, is_noted in (([0, 0, 0, 255, 255, 255], False), ([255, 255, 255, 0, 0, 0], True)):
        inverted.putpalette(palette)
        path = saved(tmp_path, "inverted.png", inverted)
        assert np.array_equal(read_mask(path).numpy(), lines == 0)
        assert is_soft_mask(path) == is_noted


def test_numbers_of_objects_are_no_soft_edges(tmp_path: Path) -> None:
    drawing = Image.new("L", (320, 200))
    pen = ImageDraw.Draw(drawing)
    for number in range(1, 6):
        pen.ellipse((60 * number - 50, 20, 60 * number - 10, 60 + 20 * number), fill=number)
        pen.line((5, 190 + number, 300, 100 + 2 * number), fill=number)
    thin = Image.new("L", (320, 200))
    for number in range(1, 6):
        ImageDraw.Draw(thin).line((5, 10 + number * 30, 300, 20 + 25 * number), fill=number)
    numbers = np.asarray(drawing)
    for name, values in {
        "indices": numbers,
        "thin": np.asarray(thin),
        "tens": numbers * 50,
        "colors": np.stack([numbers % 2 * 128, numbers // 2 % 2 * 128, numbers // 4 * 64], -1),
        "instances": numbers.astype(np.uint16) * 1000 + numbers % 2,
    }.items():
        path = saved(tmp_path, f"{name}.png", Image.fromarray(values))
        assert not is_soft_mask(path), name
        nonzero = values.reshape(200, 320, -1).any(-1)
        assert np.array_equal(read_mask(path).numpy(), nonzero), name


def test_the_validator_notes_soft_edges(tmp_path: Path) -> None:
    right = media_cases.soft_mask(tmp_path / "masks")
    entries = tmp_path / "s4"
    media_cases.recall_of_a_deaf_model(tmp_path)
    masks = sorted((entries / "gt_masks").rglob("*.png"))
    soft = Image.open(tmp_path / "masks" / right.files[0]).resize((64, 64), RESAMPLING.BILINEAR)
    soft.save(masks[0])
    findings = validate_dataset("avsbench_s4", entries, {"ground_truth": "masks"}, read_files=True)
    notes = [problem for problem in findings.problems if problem.severity == "note"]
    assert notes == [soft_mask_note(str(masks[0]))]

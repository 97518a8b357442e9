"""Pictures are read upright and RGB whatever their file, broken ones are named, and resizing is what each spec says."""

import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from media_writers import corner_image, write_heic
from soundspot.config.frontend import ImageSpec
from soundspot.data.media import image
from soundspot.data.media.image import (
    as_image,
    denormalize,
    fast_squash,
    normalize,
    preprocess_images,
    read_image,
    squash,
    visible_region,
)
from soundspot.errors import InputError


def gradient(width: int = 64, height: int = 48) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8))


def png_claiming(width: int, height: int) -> bytes:
    """The header of a 1-bit PNG of any size, and no pixels: a bomb costs its sender nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunks + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "I", "YCbCr"])
def test_every_mode_becomes_rgb_and_keeps_its_colours(tmp_path, mode):
    grey = gradient().convert("L")
    suffix = {"CMYK": "tif", "I": "tif", "YCbCr": "jpg"}.get(mode, "png")
    if mode in ("I;16", "I"):
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        picture = picture.convert("I") if mode == "I" else picture
    else:
        picture = grey.convert("RGB").convert(mode)
    picture.save(tmp_path / f"a.{suffix}")
    read = read_image(tmp_path / f"a.{suffix}")
    assert read.mode == "RGB"
    assert read.size == (64, 48)
    tolerance = {"1": 130, "P": 20}.get(mode, 2)  # dithered
    assert np.abs(np.asarray(read.convert("L")).astype(int) - np.asarray(grey)).mean() < tolerance


def test_transparency_shows_white_not_what_lies_hidden_below(tmp_path):
    picture = gradient().convert("RGBA")
    picture.putalpha(0)
    picture.save(tmp_path / "clear.png")
    assert np.asarray(read_image(tmp_path / "clear.png")).min() == 255
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "palette.png", transparency=b"\xff\x00")
    assert np.asarray(read_image(tmp_path / "palette.png")).min() == 255


@pytest.mark.parametrize(("orientation", "size"), [(1, (64, 48)), (3, (64, 48)), (6, (48, 64)), (8, (48, 64))])
def test_exif_orientation_is_applied(tmp_path, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    gradient().save(tmp_path / "turned.jpg", exif=exif, quality=95)
    read = read_image(tmp_path / "turned.jpg")
    assert read.size == size
    red = np.asarray(read)[..., 0].astype(int)
    brightest = {1: red[:, -1], 3: red[:, 0], 6: red[-1], 8: red[0]}[orientation]
    assert brightest.mean() > 200


def test_a_picture_outlives_its_file(tmp_path):
    gradient().save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    assert squash(read, 8).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [(10_000, 10_000, "10000 x 10000 pixels (100 megapixels)"), (60_000, 60_000, "3600 megapixels")],
)
def test_a_bomb_is_refused_from_its_header_without_a_warning(tmp_path, width, height, said):
    (tmp_path / "bomb.png").write_bytes(png_claiming(width, height))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError) as error:
            read_image(tmp_path / "bomb.png")
    assert str(error.value) == (
        f"{tmp_path / 'bomb.png'}: found {said}, expected at most 80 megapixels. Make it smaller first."
    )


def test_broken_files_are_named_with_a_remedy(tmp_path):
    gradient(320, 240).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "head.png").write_bytes(png_claiming(20, 20)[:20])
    for name in ("bark.WAV", "clip.mp4"):
        (tmp_path / name).write_text("another type")
    for name, found in [
        ("cut.jpg", "found a broken or truncated image (image file is truncated"),
        ("empty.jpg", "found an empty file (0 bytes), expected an image file such as JPEG or PNG. Fetch or write it"),
        ("text.jpg", "found a file of no known image format, expected a whole image. Open it in an image viewer"),
        ("head.png", "found a broken or truncated image ("),
        ("bark.WAV", "found a file of no known image format, expected a whole image. It is a sound: the image comes"),
        ("clip.mp4", "found a file of no known image format, expected a whole image. It is a video: `soundspot loc"),
        ("missing.jpg", "found no such file, expected an image file such as JPEG or PNG. Check the path."),
        (".", "found a folder"),
    ]:
        with pytest.raises(InputError) as error:
            read_image(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: {found}"), error.value


def test_a_heic_photograph_is_read_whatever_its_ending(tmp_path) -> None:
    write_heic(tmp_path / "IMG_0001.HEIC", corner_image())
    (tmp_path / "IMG_0001.jpg").write_bytes((tmp_path / "IMG_0001.HEIC").read_bytes())  # as some programs name it
    for name in ("IMG_0001.HEIC", "IMG_0001.jpg"):
        read = np.asarray(read_image(tmp_path / name)).astype(int)
        assert read.shape == (96, 128, 3)
        assert np.abs(read - corner_image()).mean() < 3


def test_without_its_decoder_a_heic_photograph_names_the_extra(tmp_path, monkeypatch) -> None:
    write_heic(tmp_path / "IMG_0001.HEIC", corner_image())
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    for registry in (Image.OPEN, Image.MIME, Image.EXTENSION):
        monkeypatch.delitem(registry, "HEIF", raising=False)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    with pytest.raises(InputError, match=r'IMG_0001\.HEIC: found a HEIC .* pip install "soundspot\[heic\]"'):
        read_image(tmp_path / "IMG_0001.HEIC")


def test_arrays_tensors_paths_and_pictures_are_one_image(tmp_path):
    picture = gradient()
    picture.save(tmp_path / "a.png")
    array = np.asarray(picture)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    for given in (tmp_path / "a.png", str(tmp_path / "a.png"), picture, array, array / 255.0, tensor, tensor / 255):
        assert np.array_equal(np.asarray(as_image(given)), array)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((3, 8, 9), np.uint8), "shape (3, 8, 9), expected (h, w, 3) for a ndarray"),
        (torch.zeros(8, 9, 3), "shape (8, 9, 3), expected (3, h, w) for a Tensor"),
        (np.zeros((8, 9)), "shape (8, 9)"),
        (torch.full((3, 4, 4), 2.0), "from 2.0 to 2.0, expected uint8 or floats in [0, 1]"),
        (torch.full((3, 4, 4), float("nan")), "expected uint8 or floats in [0, 1]"),
    ],
)
def test_arrays_that_are_no_image_are_refused(given, said):
    with pytest.raises(InputError) as error:
        as_image(given)
    assert said in str(error.value)


def test_each_resize_does_what_its_name_says():
    picture = gradient(320, 160)
    whole = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    for resize in ("squash", "squash-tensor", "squash-tensor-antialias", "crop"):
        spec = ImageSpec(size=32, resize=resize)
        ready = preprocess_images([picture, picture.resize((50, 70))], spec)
        assert ready.shape == (2, 3, 32, 32)
        assert ready.dtype == torch.float32
        shown = denormalize(ready, spec)[0]
        if resize == "crop":  # the middle half of the width: red starts at a quarter
            assert shown[0, 0, 0].item() == pytest.approx(0.25, abs=0.02)
        else:
            assert shown[0, 0, 0].item() == pytest.approx(0.01, abs=0.02)
        if resize.startswith("squash-tensor"):
            expected = torch.nn.functional.interpolate(
                whole, (32, 32), mode="bicubic", align_corners=False, antialias=resize.endswith("antialias")
            )
            assert torch.allclose(ready[:1], normalize(expected, spec), atol=1e-6)


def test_normalising_can_be_undone_for_bytes_and_floats():
    spec = ImageSpec()
    images = torch.randint(0, 256, (2, 4, 3, 5, 6), dtype=torch.uint8)
    assert torch.allclose(denormalize(normalize(images, spec), spec), images / 255, atol=1e-6)
    assert torch.equal(normalize(images / 255, spec), normalize(images, spec))


@pytest.mark.parametrize("size", [(64, 48), (40, 300), (20, 24)])
def test_a_fitted_picture_is_squashed_as_pil_does_it(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    picture = Image.fromarray(noise)
    ours, theirs = fast_squash(picture, 36).astype(int), squash(picture, 36).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(ours - theirs).max() <= 3, "of 255, in pure noise"
    assert np.abs(ours - theirs).mean() < 0.5


def test_a_picture_that_fits_is_left_as_it_is() -> None:
    picture = gradient(36, 36)
    assert np.array_equal(fast_squash(picture, 36), np.asarray(picture))


def test_no_more_is_read_than_the_file_has(tmp_path: Path) -> None:
    """Whatever length a chunk of a PNG claims, as Pillow reads that many bytes at once."""
    (tmp_path / "a.png").write_bytes(b"12345678")
    with image._open_file(tmp_path / "a.png", None) as file:
        assert [file.read(3), file.read(2**60), file.read(2**60)] == [b"123", b"45678", b""]


def test_the_shorter_side_is_resized_and_both_are_cut_to_patches():
    """DenseAV's demo: torch's bilinear filter with antialiasing on levels of 0 to 255, within a level."""
    spec = ImageSpec(32, "shortest-edge")
    made = preprocess_images([gradient(100, 75)], spec)
    assert made.shape == (1, 3, 32, 40)
    levels = torch.from_numpy(np.asarray(gradient(100, 75)).copy()).permute(2, 0, 1)[None].float()
    theirs = torch.nn.functional.interpolate(levels, (32, 42), mode="bilinear", antialias=True)[..., :40]
    assert (denormalize(made, spec) * 255 - theirs).abs().max() <= 1.01
    assert visible_region((100, 75), spec) == (0.0, 0.0, pytest.approx(40 / 42), 1.0)
    with pytest.raises(
        InputError, match=r"become 2 shapes in one batch, expected one: .* choose a front end that crops"
    ):
        preprocess_images([gradient(100, 75), gradient(75, 100)], spec)


def test_bilinear_is_another_filter_than_bicubic():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    for kind in ("squash", "crop"):
        bicubic, bilinear = (preprocess_images([picture], ImageSpec(32, name)) for name in (kind, f"{kind}-bilinear"))
        assert not torch.allclose(bicubic, bilinear, atol=0.1)
    whole = torch.from_numpy(np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR)).copy()).permute(2, 0, 1)
    squashed = preprocess_images([picture], ImageSpec(32, "squash-bilinear"))
    assert torch.equal(squashed[0], normalize(whole, ImageSpec(32)))
    assert visible_region(picture.size, ImageSpec(32, "crop-bilinear")) == pytest.approx((0.12, 0, 0.88, 1), abs=0.02)

"""Augmentation does what its numbers say, and a picture's look depends on its own numbers alone."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from soundspot.config.augmentation import STRONG, WEAK
from soundspot.data.transforms.augment import (
    BAND_MASKING,
    NUM_DRAWS,
    Augmentation,
    augment,
    color_jitter,
    crop_coordinates,
    gaussian_blur,
    mask_bands,
    resize,
    to_grayscale,
)
from soundspot.data.transforms.augment import crop as crop_images

WHOLE = Augmentation(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
MIRRORED = Augmentation(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=1.0)


def pictures(n: int = 3, side: int = 24) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def ramps(side: int = 64) -> torch.Tensor:
    """Red says where across a place lies, green where down, in 255ths of the side."""
    steps = ((torch.arange(side) + 0.5) / side * 255).to(torch.uint8)
    across, down = steps.expand(side, side), steps[:, None].expand(side, side)
    return torch.stack([across, down, torch.zeros_like(across)])[None]


def draws(n: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, NUM_DRAWS, generator=torch.Generator().manual_seed(seed))


def crop(x: torch.Tensor, size: int, how: Augmentation, numbers: torch.Tensor) -> torch.Tensor:
    return crop_images(x, *crop_coordinates(size, how, numbers))


def test_the_whole_picture_is_only_scaled_to_one() -> None:
    x = pictures()
    torch.testing.assert_close(augment(x, 24, None, draws()), x / 255)
    torch.testing.assert_close(crop(x, 24, WHOLE, draws()[:, :4]), x / 255, atol=1e-5, rtol=0)


def test_a_smaller_size_averages_rather_than_skips() -> None:
    checks = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 255
    small = resize(checks.to(torch.uint8).expand(1, 3, 32, 32).contiguous(), 16)
    inside = small[..., 1:-1, 1:-1]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.5), atol=0.01, rtol=0)


def test_a_flip_is_a_mirror() -> None:
    x = pictures()
    torch.testing.assert_close(crop(x, 24, MIRRORED, draws()[:, :4]), x.flip(-1) / 255, atol=1e-5, rtol=0)


def test_flips_come_as_often_as_asked() -> None:
    x = pictures(1).expand(2000, -1, -1, -1)
    flat = crop(x, 4, Augmentation(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.3), draws(2000)[:, :4]).flatten(1)
    mirrored = (flat - flat[draws(2000)[:, 3].argmin()]).abs().amax(1) < 1e-4
    assert float(mirrored.float().mean()) == pytest.approx(0.3, abs=0.03)


@settings(max_examples=60, deadline=None)
@given(
    low=st.floats(0.05, 1.0),
    ratio=st.floats(1.0, 2.0),
    numbers=st.lists(st.floats(0, 1, exclude_max=True, width=32), min_size=4, max_size=4),
)
def test_crops_stay_inside_and_have_the_area_and_the_aspect_asked_for(low: float, ratio: float, numbers: list) -> None:
    how = Augmentation(scale=(low, low), ratio=(1 / ratio, ratio), flip=0.0)
    row = torch.tensor([numbers], dtype=torch.float32)
    out = crop(ramps(), 32, how, row)[0]  # where each place came from, as a share of the side
    across, down = out[0], out[1]
    assert bool(((out >= 0) & (out <= 1)).all())
    aspect = math.exp(-math.log(ratio) + 2 * math.log(ratio) * numbers[1])
    wide, tall = min(1.0, math.sqrt(low * aspect)), min(1.0, math.sqrt(low / aspect))
    # Between the centres of the first and the last column lie 31/32 of the crop; the edge of the picture repeats.
    assert float(across[0, -1] - across[0, 0]) == pytest.approx(wide * 31 / 32, abs=0.03)
    assert float(down[-1, 0] - down[0, 0]) == pytest.approx(tall * 31 / 32, abs=0.03)


def test_crops_reach_every_corner() -> None:
    how = Augmentation(scale=(0.25, 0.25), ratio=(1.0, 1.0), flip=0.0)
    out = crop(ramps().expand(4000, -1, -1, -1), 8, how, draws(4000)[:, :4])
    left, top = out[:, 0, 0, 0], out[:, 1, 0, 0]  # from 1/32 of the picture's side to 1/2 beyond
    for edge in (left, top):
        assert float(edge.min()) < 0.06
        assert float(edge.max()) > 0.5
    assert abs(float(torch.corrcoef(torch.stack([left, top]))[0, 1])) < 0.06  # one number places both


def test_jitter_with_all_numbers_in_the_middle_changes_nothing() -> None:
    x = pictures() / 255
    torch.testing.assert_close(color_jitter(x, 0.5, torch.full((3, 4), 0.5)), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(color_jitter(x, 0.0, torch.rand(3, 4)), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("which", "moved"), [(0, "brightness"), (1, "contrast"), (2, "saturation"), (3, "hue")], ids=lambda v: str(v)
)
def test_each_number_of_the_jitter_moves_one_thing(which: int, moved: str) -> None:
    x = 0.4 + 0.2 * pictures() / 255  # far from 0 and 1, where results are cut
    numbers = torch.full((3, 4), 0.5)
    numbers[:, which] = 0.75
    y = color_jitter(x, 0.5, numbers)
    luma, before = to_grayscale(y)[:, 0], to_grayscale(x)[:, 0]
    colour, colour_before = y - to_grayscale(y), x - to_grayscale(x)
    if moved == "brightness":
        torch.testing.assert_close(y, 1.2 * x)
    elif moved == "contrast":
        torch.testing.assert_close(luma.mean((-2, -1)), before.mean((-2, -1)))
        torch.testing.assert_close(luma.std((-2, -1)), 1.2 * before.std((-2, -1)))
    elif moved == "saturation":
        torch.testing.assert_close(luma, before)
        torch.testing.assert_close(colour, 1.2 * colour_before, atol=1e-5, rtol=1e-4)
    else:
        torch.testing.assert_close(luma, before, atol=2e-3, rtol=0)
        assert float((colour - colour_before).abs().max()) > 0.01


def test_grey_has_equal_channels() -> None:
    y = to_grayscale(pictures() / 255)
    assert bool((y == y[:, :1]).all())
    white = to_grayscale(torch.ones(1, 3, 2, 2))
    torch.testing.assert_close(white, torch.ones_like(white))


def test_blur_keeps_the_mean_of_what_lies_inside_and_sigma_0_keeps_everything() -> None:
    x = torch.zeros(2, 3, 31, 31)
    x[:, :, 15, 15] = 1
    y = gaussian_blur(x, torch.tensor([0.0, 1.5]))
    torch.testing.assert_close(y[0], x[0])
    torch.testing.assert_close(y[1].sum((-2, -1)), torch.ones(3))
    spread = (y[1, 0].sum(0) * (torch.arange(31.0) - 15) ** 2).sum().sqrt()
    assert float(spread) == pytest.approx(1.5, rel=0.02)  # nine taps hold 99 % of it
    flat = torch.full((1, 3, 9, 9), 0.3)
    torch.testing.assert_close(gaussian_blur(flat, torch.tensor([2.0])), flat)


@pytest.mark.parametrize("how", [STRONG, WEAK], ids=["strong", "weak"])
def test_a_picture_depends_on_its_own_numbers_alone(how: Augmentation) -> None:
    x, numbers = pictures(8), draws(8)
    together = augment(x, 16, how, numbers)
    alone = torch.cat([augment(x[i : i + 1], 16, how, numbers[i : i + 1]) for i in range(8)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    assert together.shape == (8, 3, 16, 16)
    assert bool(((together >= 0) & (together <= 1 + 1e-6)).all())


def test_the_strong_recipe_uses_its_chances() -> None:
    """With every probability 0 the strong recipe is its crop; with all draws below them, it is not."""
    x = pictures()
    never = Augmentation(color_p=0.0, gray_p=0.0, blur_p=0.0)
    torch.testing.assert_close(augment(x, 16, never, draws()), crop(x, 16, STRONG, draws()[:, :4]))
    always = augment(x, 16, Augmentation(gray_p=1.0), draws())
    torch.testing.assert_close(always[:, 0], always[:, 1])


def test_bands_are_masked_where_their_numbers_say() -> None:
    x = torch.ones(2, 1, 257, 501)
    draws = torch.tensor([[0.45, 0.5, 0.95, 0.999], [0.05, 0.5, 0.0, 0.0]])  # widths 4 and 9; none at all
    masked = mask_bands(x, draws)[:, 0] == 0
    rows, columns = (masked[0].all(dim=dim).nonzero().flatten().tolist() for dim in (1, 0))
    assert rows == [127, 128, 129, 130]
    assert columns == list(range(492, 501))
    assert not masked[1].any()
    assert bool((x == 1).all()), "the spectrograms that were given stay as they are"


def test_published_bands_start_along_the_wrong_axis() -> None:
    draws = torch.rand(400, 4, generator=torch.Generator().manual_seed(0))
    published = mask_bands(torch.ones(400, 1, 257, 501), draws, BAND_MASKING["published"])[:, 0] == 0
    mended = mask_bands(torch.ones(400, 1, 257, 501), draws)[:, 0] == 0
    assert not published[:, :, 266:].all(dim=1).any(), "the second half of the moments is never masked"
    assert mended[:, :, 266:].all(dim=1).any()
    with_rows = [float(masked.all(dim=2).any(dim=1).float().mean()) for masked in (published, mended)]
    assert abs(with_rows[0] - 0.9 * 257 / 501) < 0.08
    assert abs(with_rows[1] - 0.9) < 0.05


def test_bands_of_specaugment_are_wide_and_silent_and_not_of_every_sound() -> None:
    draws = torch.rand(400, 5, generator=torch.Generator().manual_seed(0))
    masked = mask_bands(torch.ones(400, 1, 257, 670), draws, BAND_MASKING["specaugment"], silence_value=-100.0)[:, 0]
    hit = masked == -100
    assert bool((masked[~hit] == 1).all())
    bins, frames = hit.all(dim=2).sum(dim=1), hit.all(dim=1).sum(dim=1)
    assert int(bins.max()) == 34
    assert 170 < int(frames.max()) <= 179
    assert float((bins + frames > 0).float().mean()) == pytest.approx(0.8, abs=0.06)
    assert not hit[draws[:, 4] >= 0.8].any()


def test_bands_wider_than_a_spectrogram_stay_inside() -> None:
    draws = torch.rand(50, 5, generator=torch.Generator().manual_seed(0))
    assert mask_bands(torch.ones(50, 1, 9, 7), draws, BAND_MASKING["specaugment"]).shape == (50, 1, 9, 7)


def test_a_crop_samples_where_an_affine_grid_would() -> None:
    x, row = pictures(1, 64), torch.tensor([[0.3, 0.5, 0.71, 0.0]])  # mirrored
    side = math.sqrt(0.8 + 0.2 * 0.3)
    across, down = math.floor(0.71 * 4096) / 4095, math.modf(0.71 * 4096)[0]
    theta = torch.tensor([[[-side, 0, (1 - side) * (2 * across - 1)], [0, side, (1 - side) * (2 * down - 1)]]])
    grid = F.affine_grid(theta, [1, 3, 48, 48], align_corners=False)
    expected = F.grid_sample(x / 255, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(crop(x, 48, WEAK, row), expected, atol=2e-3, rtol=0)

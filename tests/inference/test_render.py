"""Pictures of maps: the photograph stays where the map is low, lines run where regions end, text fits."""

import numpy as np
import pytest
from PIL import Image

from soundspot.inference import render


@pytest.fixture
def photo() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB."""
    linear = np.where(rgb / 255 <= 0.04045, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, 24389 / 27 * y)


def test_heat_rises_evenly_in_lightness():
    steps = np.diff(lightness(render.HEAT_COLORMAP[::16].astype(float)))
    assert steps.min() > 0
    assert steps.max() < 3 * steps.min()


def test_the_picture_is_untouched_where_the_map_is_low(photo):
    values = np.tile(np.linspace(0, 1, 90), (60, 1))
    before, after = (
        np.asarray(photo),
        np.asarray(render.overlay_heatmap(photo, values, opacity=0.6, transparent_below=0.2)),
    )
    low = values <= 0.2
    assert (after[low] == before[low]).all()
    assert np.abs(after[values > 0.9].astype(int) - before[values > 0.9]).mean() > 20


def test_full_opacity_shows_the_heat_alone(photo):
    drawn = render.overlay_heatmap(photo, np.ones((60, 90)), opacity=1.0)
    assert (np.asarray(drawn) == render.HEAT_COLORMAP[255]).all()


def test_an_outline_runs_inside_the_region_and_along_the_border():
    mask = np.zeros((40, 40), bool)
    mask[10:30, 20:] = True
    drawn = np.asarray(render.draw_outline(Image.new("RGB", (40, 40), (200, 200, 200)), mask, (0, 255, 0), width=2))
    line = (drawn == (0, 255, 0)).all(axis=-1)
    assert line[10:30, 20:22].all()
    assert line[10:12, 20:].all()
    assert line[10:30, 38:].all()
    assert not line[~mask].any()
    assert not line[14:26, 24:36].any()
    assert (drawn[0:8] == 200).all()


@pytest.mark.parametrize("share", [False, True])
def test_an_outline_of_nothing_is_nothing_and_of_all_is_the_border(share):
    grey = Image.new("RGB", (30, 20), (90, 90, 90))
    drawn = np.asarray(render.draw_outline(grey, np.full((5, 5), share), (255, 0, 0), width=1))
    line = (drawn == (255, 0, 0)).all(axis=-1)
    border = np.ones((20, 30), bool)
    border[1:-1, 1:-1] = False
    assert (line == (border & share)).all()


def test_a_sheet_holds_each_picture_at_one_height_and_leaves_them_alone(photo):
    before = photo.tobytes()
    sheet = render.make_contact_sheet(
        [[photo, photo.rotate(90, expand=True)], [photo]], [["a", "b"], ["long " * 90]], 120
    )
    wide = render.make_contact_sheet([[photo, photo]], height=120)
    narrow = photo.resize((60, 120))
    assert (
        render.make_contact_sheet([[narrow]], [["a"]], 120).height
        < render.make_contact_sheet([[photo]], [["a"]], 240).height - 120
    )
    assert photo.tobytes() == before
    assert sheet.height > 2 * 120
    assert wide.height < 150
    assert wide.width == 3 * 5 + 2 * 180

"""DINO's transformer: whole patches, positions that are interpolated for other grids."""

import pytest
import torch

from soundspot.errors import RecipeError
from soundspot.models.dino import DINO
from soundspot.models.encoders import build_encoder, output_grid

SMALL = {"encoder": "dino", "width": 12, "depth": 1, "heads": 2, "grid": 2}


@torch.no_grad()
def test_a_cell_is_a_patch_and_what_is_less_is_left_out() -> None:
    encoder = build_encoder(SMALL, 3).eval()
    images = torch.randn(1, 3, 31, 20)
    assert encoder(images).shape == (1, encoder.channels, *output_grid(encoder, (3, 31, 20))) == (1, 12, 3, 2)
    assert torch.equal(encoder(images), encoder(images[..., :24, :16]))


@torch.no_grad()
def test_positions_are_those_of_the_grid_and_interpolated_elsewhere() -> None:
    encoder = build_encoder(SMALL, 3)
    assert isinstance(encoder, DINO)
    own = encoder._positions(2, 2)
    assert own is encoder.pos_embed
    wide = encoder._positions(2, 6)[0]
    assert wide.shape == (13, 12)
    assert torch.equal(wide[0], own[0, 0])
    assert torch.allclose(wide[1], own[0, 1], atol=0.02)  # the left end of a row stays near its own


def test_images_smaller_than_a_patch_are_refused() -> None:
    from soundspot.config.frontend import ImageSpec

    with pytest.raises(RecipeError, match="found images of 7 pixels"):
        build_encoder(SMALL, 3).check_front_end(ImageSpec(7))

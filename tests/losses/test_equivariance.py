"""Moves: what turns, shrinks and mirrors does so about the centre, a map with its picture, and with gradients."""

import pytest
import torch

from soundspot.losses.equivariance import GeometricTransform, apply_transform, equivariance_loss, resize_maps

CANVAS = (33, 33)  # an odd side has a pixel in the middle, though a move turns about the point half a pixel beyond it


def still(n: int = 1, angle: float = 0.0, scale: float = 1.0, flip: bool = False) -> GeometricTransform:
    return GeometricTransform(torch.full((n,), angle), scale, flip)


def spot(row: int, column: int) -> torch.Tensor:
    x = torch.zeros(1, 1, *CANVAS)
    x[..., row, column] = 1
    return x


def where(x: torch.Tensor) -> list[int]:
    return [int(i) for i in torch.unravel_index(x[0, 0].argmax(), x.shape[-2:])]


def test_no_move_changes_nothing() -> None:
    x = torch.randn(2, 3, *CANVAS)
    torch.testing.assert_close(apply_transform(x, still(2), CANVAS), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("angle", "place"), [(90.0, [5, 16]), (180.0, [17, 5]), (-90.0, [28, 17])])
def test_positive_angles_turn_counter_clockwise(angle: float, place: list[int]) -> None:
    """A spot right of the centre goes up, to the left, or down."""
    assert where(apply_transform(spot(16, 28), still(angle=angle), CANVAS)) == place


def test_a_mirror_is_a_mirror() -> None:
    x = torch.randn(1, 2, *CANVAS)
    torch.testing.assert_close(apply_transform(x, still(flip=True), CANVAS), x.flip(-1), rtol=0, atol=1e-5)


def test_a_scale_counts_twice() -> None:
    """Of a canvas that is full, half the side is filled, on a canvas of half the side."""
    out = apply_transform(torch.ones(1, 1, 64, 64), still(scale=0.5), (64, 64))
    assert out.shape[-2:] == (32, 32)
    assert float(out.mean()) == pytest.approx(0.25, abs=0.02)
    assert float(out[..., 12:20, 12:20].min()) == pytest.approx(1)


def test_each_picture_turns_by_its_own_angle() -> None:
    x = torch.randn(3, 1, *CANVAS)
    angles = torch.tensor([0.0, 20.0, -7.0])
    together = apply_transform(x, GeometricTransform(angles, 0.5, True), CANVAS)
    alone = [apply_transform(x[i : i + 1], GeometricTransform(angles[i : i + 1], 0.5, True), CANVAS) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_map_moves_with_its_picture() -> None:
    """What is smooth can be pooled before it is moved or after."""
    across = torch.linspace(-1, 1, 224, dtype=torch.float64)
    picture = torch.exp(-12 * ((across - 0.3) ** 2 + (across[:, None] + 0.2) ** 2))[None, None]
    pool = torch.nn.AvgPool2d(16)
    move = GeometricTransform(torch.tensor([25.0], dtype=torch.float64), 1.0, True)
    seen, still = pool(apply_transform(picture, move, (224, 224))), pool(picture)
    along, behind = (float(equivariance_loss(still, one, move, (224, 224))) for one in (seen, still))
    assert along < 0.01 * behind


def test_maps_of_another_size_are_brought_to_that_of_the_moved_pictures() -> None:
    maps, of_moved, move = torch.randn(2, 1, 5, 5), torch.randn(2, 1, 3, 3), still(2, 10.0, 0.5)
    expected = (resize_maps(apply_transform(maps, move, CANVAS), (3, 3)) - of_moved).square().mean()
    torch.testing.assert_close(equivariance_loss(maps, of_moved, move, CANVAS), expected)
    assert apply_transform(maps[..., :1, :1], move, CANVAS).shape[-2:] == (1, 1)


@pytest.mark.parametrize(("scale", "flip"), [(1.0, False), (0.5, True)])
def test_gradients_reach_both_maps(scale: float, flip: bool) -> None:
    torch.manual_seed(0)
    move = GeometricTransform(torch.tensor([11.0, -29.0], dtype=torch.float64), scale, flip)
    side = int(4 * scale)
    maps, of_moved = (torch.randn(2, 2, n, n, dtype=torch.float64, requires_grad=True) for n in (4, side))
    assert torch.autograd.gradcheck(lambda m, o: equivariance_loss(m, o, move, (9, 9)), (maps, of_moved))

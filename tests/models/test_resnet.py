"""The encoder: public names, and the sizes the field speaks of."""

import pytest
import torch

from soundspot.errors import CheckpointError, RecipeError
from soundspot.models.encoders import build_encoder, load_public_weights
from soundspot.models.resnet import BasicBlock, ResNet, ThinConv2d


@pytest.mark.parametrize(("stride", "cells"), [(1, 14), (2, 7)])
def test_resnet18_answers_with_the_grid_the_papers_have(stride: int, cells: int) -> None:
    encoder = build_encoder({"encoder": "resnet18", "last_stride": stride}, 3)
    assert encoder(torch.zeros(1, 3, 224, 224)).shape == (1, 512, cells, cells)
    assert sum(p.numel() for p in encoder.parameters()) == 11_176_512  # torchvision's ResNet-18 less its classifier


def test_public_weights_load_by_name_and_a_spectrogram_stem_is_the_sum_of_three(tmp_path) -> None:
    theirs = ResNet(3)
    state = {**theirs.state_dict(), "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "resnet18.pth")
    sound = build_encoder({"encoder": "resnet18", "weights": str(tmp_path / "resnet18.pth")}, 1)
    torch.testing.assert_close(sound.conv1.weight, theirs.conv1.weight.sum(1, keepdim=True))
    assert torch.equal(sound.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    torch.save(ResNet(3, width=32).state_dict(), tmp_path / "thin.pth")
    with pytest.raises(CheckpointError, match="of another shape"):
        load_public_weights(ResNet(3), str(tmp_path / "thin.pth"))
    with pytest.raises(CheckpointError, match="no such file"):
        load_public_weights(ResNet(3), str(tmp_path / "none.pth"))


def test_measures_that_do_not_fit_are_told() -> None:
    with pytest.raises(RecipeError, match="3 stages by `blocks`"):
        build_encoder({"encoder": "resnet", "blocks": [1, 1, 1], "strides": [1, 2]}, 3)
    with pytest.raises(RecipeError, match="Did you mean 'resnet18'"):
        build_encoder({"encoder": "resnet19"}, 3)
    with pytest.raises(RecipeError, match=r"encoder 'resnet' has no option 'wdth'\. Did you mean 'width'"):
        build_encoder({"encoder": "resnet", "wdth": 3}, 3)


@pytest.mark.parametrize("inside", [4, 16])
def test_a_thin_shortcut_is_the_same_convolution(inside: int) -> None:
    torch.manual_seed(0)
    block = BasicBlock(inside, 2 * inside, 2)
    assert block.downsample is not None
    conv, x = block.downsample[0], torch.randn(2, inside, 9, 12)
    assert isinstance(conv, ThinConv2d) == (inside < 16)
    plain = torch.nn.functional.conv2d(x, conv.weight, stride=2)
    torch.testing.assert_close(conv(x), plain)

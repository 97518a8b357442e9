"""Folding for inference: the same features from fewer steps, in encoders of stages alone."""

import pytest
import torch
from torch import Tensor, nn

import soundspot
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.schema import FrontEndConfig
from soundspot.models.encoders import build_encoder
from soundspot.models.folding import fold_batch_norms, prepare_for_inference

pytestmark = pytest.mark.usefixtures("one_thread")

INPUTS = {"efficientnet_lite0": (3, 65, 64), "aisfx": (1, 96, 130)}


def randomize_norms(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.get_buffer("running_mean").normal_(0, 0.1)
            module.get_buffer("running_var").uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_(0, 0.1)


@pytest.mark.parametrize("name", INPUTS)
def test_features_stay_the_same_within_rounding(name: str) -> None:
    torch.manual_seed(0)
    encoder = build_encoder({"encoder": name, "width": 8}, INPUTS[name][0])
    randomize_norms(encoder)
    encoder.eval()
    x = torch.rand(2, *INPUTS[name])
    with torch.no_grad():
        before = encoder(x)
        prepare_for_inference(encoder)
        after = encoder(x)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in encoder.modules())
    assert not any(module.training for module in encoder.modules())
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()


def test_a_norm_that_follows_no_convolution_stays() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    fold_batch_norms(network)
    assert [isinstance(module, nn.BatchNorm2d) for module in network] == [True, False, False, True]


def test_networks_of_other_classes_stay_as_they_are() -> None:
    encoder = build_encoder({"encoder": "resnet18", "width": 4}, 3).eval()
    names = list(encoder.state_dict())
    prepare_for_inference(encoder)
    assert list(encoder.state_dict()) == names


def test_a_loaded_model_is_folded_and_locates_as_before(tmp_path: pytest.TempPathFactory) -> None:
    torch.manual_seed(0)
    method = soundspot.create(
        "ezvsl",
        image={"encoder": "efficientnet_lite0", "layers": ["block10"], "width": 8},
        audio={"encoder": "aisfx", "width": 8},
        front_end=FrontEndConfig("efficientnet_lite0+aisfx", size=64, seconds=2.4).build(),
    )
    randomize_norms(method)
    save_checkpoint(method, f"{tmp_path}/model.safetensors", video_size=32)
    localizer = soundspot.load(f"{tmp_path}/model.safetensors")

    def encoded(network: nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            return network.eval()(x)

    assert localizer.video_size == 32
    x = torch.rand(1, *INPUTS["efficientnet_lite0"])
    assert not any(isinstance(module, nn.BatchNorm2d) for module in localizer.method.image_encoder.modules())
    assert torch.allclose(encoded(localizer.method.image_encoder, x), encoded(method.image_encoder, x), atol=1e-5)

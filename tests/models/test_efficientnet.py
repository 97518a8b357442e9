"""EfficientNet-Lite0: cells of any size, the padding of TensorFlow, and numbers of the released weights."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from soundspot.config.frontend import PRESETS
from soundspot.errors import RecipeError
from soundspot.methods import create
from soundspot.models.efficientnet import EfficientNetLite0, SameConv2d, relu6_
from soundspot.models.encoders import build_encoder, output_grid

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL_AUDIO = {"encoder": "resnet", "blocks": [1], "strides": [2], "width": 4}

# The package efficientnet-lite-pytorch 0.1.0 with the released weights, on `probe`: five values, evenly apart, and the
# mean of all magnitudes.
RELEASED = {
    (64, "block10"): ([1.18975, -9.52131, -0.62041, 1.64059, 11.99032], 4.834645),
    (64, "block15"): ([3.30153, -6.72375, 3.34172, 2.2219, 0.30046], 2.724023),
    (64, "head"): ([0.0, 5.02852, 0.0, 0.0, 0.82449], 0.791137),
    (75, "block10"): ([-6.37046, -6.44639, 12.35038, -4.29171, 11.69584], 5.177615),
    (75, "block15"): ([0.95228, -6.08354, 1.60292, -2.69894, -0.15774], 2.174801),
    (75, "head"): ([0.0, 2.78173, 0.0, 2.28708, 0.0], 0.424201),
}


def probe(size: int) -> Tensor:
    n = torch.arange(3 * size * size, dtype=torch.float64)
    return ((torch.sin(0.37 * n) + torch.cos(0.011 * n)) / 2).float().reshape(1, 3, size, size)


@pytest.mark.parametrize(("size", "layer"), RELEASED)
@torch.no_grad()
def test_released_weights_give_the_released_numbers(size: int, layer: str) -> None:
    if not EfficientNetLite0.public.path.is_file():
        pytest.skip("the weights are absent: `soundspot models fetch efficientnet_lite0`")
    options = {"encoder": "efficientnet_lite0", "weights": "pretrained", "layers": [layer], "trained": 0, "width": None}
    features = build_encoder(options, 3).train()(probe(size))
    values, mean = RELEASED[size, layer]
    flat = features.flatten()
    torch.testing.assert_close(flat[:: len(flat) // 5][:5], torch.tensor(values), rtol=0, atol=1e-4)
    assert float(flat.abs().mean()) == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize(
    ("layer", "channels", "stride"), [("block10", 112, 16), ("block15", 320, 32), ("head", 1280, 32)]
)
@torch.no_grad()
def test_cells_of_any_size(layer: str, channels: int, stride: int) -> None:
    encoder = EfficientNetLite0(layers=[layer], width=None).eval()
    assert encoder.channels == channels
    for height, width in ((64, 64), (70, 97), (33, 128), (10, 300)):
        cells = -(-height // stride), -(-width // stride)
        assert encoder(torch.randn(1, 3, height, width)).shape == (1, channels, *cells)
        assert output_grid(encoder, (3, height, width)) == cells


def test_it_has_the_parameters_of_the_release() -> None:
    encoder = EfficientNetLite0(width=None)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 3_371_008
    assert len(encoder.state_dict()) == 294  # 296 less the classifier's two


@torch.no_grad()
def test_several_layers_are_joined_on_the_finest_grid() -> None:
    joined = EfficientNetLite0(layers=["head", "block10"], width=None).eval()
    x = torch.randn(1, 3, 70, 97)
    y, outputs = x, {}
    for name, stage in joined.stages.items():
        y = outputs[name] = stage(y)
    fine, coarse = outputs["block10"], outputs["head"]
    expected = torch.cat([fine, F.interpolate(coarse, fine.shape[-2:], mode="bilinear")], dim=1)
    torch.testing.assert_close(joined(x), expected)
    assert joined(x).shape == (1, 1392, 5, 7)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [6, 7])
def test_padding_written_out(kernel: int, size: int) -> None:
    """TensorFlow's `same`: ceil(size / 2) outputs, the odd zero at the end."""
    convolution = SameConv2d(1, 1, kernel, 2)
    x = torch.randn(1, 1, 5, size)
    cells = (size + 1) // 2
    total = (cells - 1) * 2 + kernel - size
    row = [0.0] * (total // 2) + x[0, 0, 2].tolist() + [0.0] * (total - total // 2)
    middle = torch.zeros_like(x)
    middle[0, 0, 2] = x[0, 0, 2]
    weight = convolution.weight[0, 0, kernel // 2].tolist()  # row 2 lies below the middle of the kernel of output 1
    expected = [sum(w * row[2 * i + k] for k, w in enumerate(weight)) for i in range(cells)]
    assert convolution(middle)[0, 0, 1].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [(5, 8), (8, 5), (7, 9), (6, 10), (1, 2)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_depthwise_kernels_pad_as_inputs_do(kernel: int, size: tuple[int, int]) -> None:
    depthwise, x = SameConv2d(2, 2, kernel, 2, groups=2), torch.randn(1, 2, *size)
    for channel in (0, 1):
        alone = SameConv2d(1, 1, kernel, 2)
        alone.weight = torch.nn.Parameter(depthwise.weight[[channel]])
        torch.testing.assert_close(depthwise(x)[:, [channel]], alone(x[:, [channel]]))


def test_relu6_of_all_numbers_of_half_the_bits() -> None:
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.bfloat16)
    numbers = bits[~bits.isnan()]
    with torch.no_grad():
        assert torch.equal(relu6_(numbers.clone()), F.relu6(numbers))
        assert torch.equal(relu6_(numbers.float()), F.relu6(numbers.float()))
    leaf = numbers[numbers.isfinite()].requires_grad_()
    relu6_(leaf * 1).sum().backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, ((leaf > 0) & (leaf < 6)).to(leaf.dtype))


def test_its_front_end_is_127_128() -> None:
    spec = PRESETS["efficientnet_lite0"].image
    for mean, std in zip(spec.mean, spec.std, strict=True):
        for value in (0, 127, 255):
            assert (value / 255 - mean) / std == pytest.approx((value - 127) / 128, abs=1e-12)
    image = {"encoder": "efficientnet_lite0", "width": 32}
    with pytest.raises(RecipeError, match=r"'efficientnet_lite0': found images with mean \(0.485.*preset 'eff"):
        create("ezvsl", image=image, audio=SMALL_AUDIO)
    front_end = replace(PRESETS["ezvsl"], image=replace(spec, size=96))
    method = create("ezvsl", image=image, audio=SMALL_AUDIO, front_end=front_end)
    assert method.maps(torch.randn(2, 3, 96, 96), torch.randn(2, 1, 257, 64)).shape == (2, 3, 3)


def test_what_it_cannot_take() -> None:
    with pytest.raises(RecipeError, match="takes images and was given for audio"):
        build_encoder({"encoder": "efficientnet_lite0"}, 1)
    with pytest.raises(RecipeError, match="found a batch of one image of 32 x 20 pixels, which is one cell"):
        EfficientNetLite0().train()(torch.randn(1, 3, 32, 20))
    assert EfficientNetLite0(trained=0).train()(torch.randn(1, 3, 32, 20)).shape == (1, 512, 1, 1)

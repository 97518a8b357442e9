"""SAM 2 with tiny random weights: what goes in, what comes out, and that prompts matter."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from soundspot.errors import InputError, RecipeError
from soundspot.inference.contours import sam2 as sam2_module
from soundspot.inference.contours.load_segmenter import SEGMENTERS, load_segmenter
from soundspot.inference.contours.sam2 import MEAN, STD, Sam2Segmenter, enlarge_logits, preprocess_image
from soundspot.inference.contours.segmenters import Click, Segmenter
from soundspot.inference.contours.trace import FOLLOWERS, ContourTracer, RegionSegmenter
from soundspot.types import Box
from soundspot.utils import device as device_module
from soundspot.utils.hash_rng import make_generator
from tiny_sam2 import SIDE, make_model


@pytest.fixture
def sam2() -> Sam2Segmenter:
    return Sam2Segmenter(model=make_model())


@pytest.mark.slow
def test_clicks_and_boxes_go_through_the_network(sam2: Sam2Segmenter) -> None:
    image = Image.fromarray(make_generator(0).integers(0, 255, (60, 90, 3)).astype(np.uint8))
    prompts: list[tuple[list[Click], Box | None]] = [
        ([Click(40, 30)], None),
        ([Click(40, 30), Click(5, 5, False)], None),
        ([], Box(20.0, 10.0, 60.0, 50.0)),
        ([Click(40, 30)], Box(20.0, 10.0, 60.0, 50.0)),
    ]
    assert isinstance(sam2, Segmenter)
    for clicks, box in prompts:
        first, second = (sam2.segment(image, clicks, box) for _ in range(2))
        assert (first.shape, first.dtype) == ((60, 90), bool)
        assert (first == second).all()
    assert not sam2.segment(image, [Click(5, 5, False)], None).any()
    boxes = [(20, 10, 60, 50), (0, 0, 30, 30), (50, 20, 90, 60)]
    alone = [sam2.segment(image.copy(), (), Box(*map(float, box))) for box in boxes]
    assert all((a == b).mean() > 0.999 for a, b in zip(alone, sam2.segment_regions(image, boxes), strict=True))


class FakeModel:
    """Notes what it is asked; its mask is the whole image."""

    config = SimpleNamespace(prompt_encoder_config=SimpleNamespace(image_size=SIDE))

    def __init__(self) -> None:
        self.asked: dict = {}
        self.encoded: list = []

    def eval(self) -> "FakeModel":
        return self

    def to(self, device: str) -> "FakeModel":
        self.device = device
        return self

    def get_image_embeddings(self, pixels: torch.Tensor) -> torch.Tensor:
        self.encoded.append(pixels)
        return pixels

    def __call__(self, **options: object) -> SimpleNamespace:
        self.asked = options
        count = options["input_boxes"].shape[1] if "input_boxes" in options else 1
        return SimpleNamespace(pred_masks=torch.ones(1, count, 1, 32, 32))


def test_prompts_are_scaled_to_the_square_input() -> None:
    model = FakeModel()
    sam2 = Sam2Segmenter(model=model)
    mask = sam2.segment(Image.new("RGB", (256, 64)), [Click(128, 32), Click(0, 0, False)], Box(64.0, 16.0, 256.0, 64.0))
    assert mask.all()
    asked = model.asked
    assert asked["image_embeddings"].shape == (1, 3, SIDE, SIDE)
    assert asked["input_points"].tolist() == [[[[64, 64], [0, 0]]]]
    assert asked["input_labels"].tolist() == [[[1, 0]]]
    assert asked["input_boxes"].tolist() == [[[32, 32, 128, 128]]]


def test_an_image_is_encoded_once_for_all_its_regions_sounds_and_clicks() -> None:
    model, images = FakeModel(), [Image.new("RGB", (256, 64)) for _ in range(2)]
    sam2 = Sam2Segmenter(model=model, device="cpu")
    masks = sam2.segment_regions(images[0], [(0, 0, 64, 16), (64, 16, 256, 64)])
    assert (len(masks), masks[0].shape) == (2, (64, 256))
    assert model.asked["input_boxes"].tolist() == [[[0, 0, 32, 32], [32, 32, 128, 128]]]
    sam2.segment(images[0], [Click(1, 1)], None)
    assert sam2.segment_regions(images[0], []) == []
    assert len(model.encoded) == 1
    sam2.segment(images[1], [Click(1, 1)], None)
    assert len(model.encoded) == 2
    assert isinstance(sam2, RegionSegmenter)


def test_the_network_lies_on_the_device_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setitem(
        SEGMENTERS, "sam2", lambda *arguments: made.append(arguments) or Sam2Segmenter(model=FakeModel())
    )
    monkeypatch.setitem(FOLLOWERS, "sam2", lambda *arguments: made.append(arguments))
    load_segmenter.cache_clear()
    ContourTracer("sam2:w", device="cuda:1")
    ContourTracer("sam2", is_video=True, device="mps")
    assert made == [("w", "cuda:1"), ("", "mps")]
    load_segmenter.cache_clear()
    model = FakeModel()
    Sam2Segmenter(model=model, device="cpu")
    assert model.device == "cpu"


def test_a_page_takes_the_best_device(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = []
    segmenter = Sam2Segmenter(model=FakeModel())
    monkeypatch.setattr(sam2_module, "Sam2Segmenter", lambda _, device: devices.append(device) or segmenter)
    monkeypatch.setattr(device_module, "select_best_device", lambda: torch.device("meta"))
    load_segmenter.cache_clear()
    for name in ({}, {"device": "cpu"}):
        load_segmenter("sam2", **name)
    assert devices == ["meta", "cpu"]
    load_segmenter.cache_clear()


def test_pixels_are_normalized_and_logits_enlarged() -> None:
    pixels = preprocess_image(Image.new("RGB", (10, 20), (255, 0, 124)), 8)
    assert pixels[0, :, 3, 3].tolist() == pytest.approx(
        [(1 - 0.485) / 0.229, -0.456 / 0.224, (124 / 255 - 0.406) / 0.225]
    )
    mask = enlarge_logits(torch.tensor([[-1.0, 1.0]]), (8, 4))
    assert mask.shape == (4, 8)
    assert mask[0].tolist() == [False] * 4 + [True] * 4


def test_pixels_are_resized_as_bytes() -> None:
    """Golden values of `Sam2ImageProcessor` (examples/compare_sam2.py); rounded floats differ in five of 12."""
    image = Image.fromarray((np.arange(27).reshape(3, 3, 3) * 3).astype(np.uint8))
    mean, std = (255 * torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    levels = preprocess_image(image, 2)[0] * std + mean
    expected = [[[13, 25], [47, 59]], [[16, 28], [50, 62]], [[19, 31], [53, 65]]]
    assert levels.numpy() == pytest.approx(np.array(expected), abs=1e-3)


@pytest.mark.slow
def test_weights_that_are_not_there_are_named(tmp_path) -> None:
    with pytest.raises(InputError, match="expected weights of SAM 2"):
        load_segmenter(f"sam2:{tmp_path}")


def test_without_a_network_the_message_names_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is absent: SAM 2 is not tested")

    class Offline:
        @staticmethod
        def from_pretrained(name: str) -> None:
            raise OSError("no network")

    for name in ("Sam2Model", "Sam2VideoModel"):
        monkeypatch.setattr(transformers, name, Offline)
    for is_video in (False, True):
        with pytest.raises(InputError, match=r"hf download facebook/sam2.*and name the folder: sam2:FOLDER"):
            ContourTracer("sam2", is_video)


def test_only_sam2_has_weights() -> None:
    with pytest.raises(RecipeError, match="unknown segmenter 'grabcut:x'"):
        load_segmenter("grabcut:x")

"""The constants of the published rules: what no map can exceed on each test list, and what a centered box scores."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from conftest import ROOT
from soundspot.data.datasets.registry import open_dataset
from soundspot.evaluation import functional as F
from soundspot.evaluation.engine.baselines import centered_box, oracle_maps
from soundspot.evaluation.protocols.presets import get_protocol

SIDE = 158  # of the square that fills half of 224 x 224
CEILINGS = {  # ciou and auc
    "VGG-SS, 5158": (50.5, 49.5),
    "IS3": (58.5, 55.5),
    "AVSBench S4": (58.9, 53.8),
    "AVSBench MS3": (52.5, 48.1),
    "VPO-SS": (43.3, 39.5),
    "VPO-MS": (38.9, 38.3),
}
SQUARES = {
    "VGG-SS, 5158": (31.7, 36.9),
    "IS3": (31.9, 39.0),
    "AVSBench S4": (39.5, 39.8),
    "AVSBench MS3": (25.0, 32.2),
}
EXACTLY_HALF = {"IS3": (58.6, 55.5), "VPO-MS": (39.2, 38.3)}  # were the pixel at the threshold kept as well


@pytest.fixture(scope="module")
def ceilings() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ceilings", ROOT / "examples" / "ceilings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measures(ceilings: ModuleType, annotations: Path) -> dict:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # many small operations
    try:
        return ceilings.score_lists(annotations)
    finally:
        torch.set_num_threads(before)


def test_the_ceilings(measures: dict) -> None:
    for title, expected in CEILINGS.items():
        assert measures[title].percent("ceiling")[:2] == pytest.approx(expected, abs=0.051), title
    assert measures["VGG-SS, 5158"].percent("centered box")[:2] == pytest.approx((31.8, 36.9), abs=0.051)


def test_the_page_is_up_to_date(ceilings: ModuleType, measures: dict) -> None:
    assert ceilings.PAGE.read_text(encoding="utf-8").startswith(ceilings.render_lists(measures))


@pytest.mark.slow
def test_so_is_its_part_on_the_rules(ceilings: ModuleType, annotations: Path) -> None:
    assert ceilings.PAGE.read_text(encoding="utf-8").endswith(
        ceilings.render_protocols(ceilings.score_protocols(annotations))
    )


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("title", ["VGG-SS, 5158", "IS3", "AVSBench MS3"])
def test_the_counts_are_what_the_protocol_itself_says(
    ceilings: ModuleType, measures: dict, annotations: Path, title
) -> None:
    """The oracle and the centered box through the protocol `alignment`, on every 40th item and every odd one."""
    name, options = ceilings.LISTS[title]
    data = open_dataset(name, annotations, missing="ignore", **options)
    area = measures[title].rows["whole image"][0]
    odd = ((area == 0) | (area == 1)).nonzero()[:, 0]
    some = torch.cat([torch.arange(0, len(data), 40), odd]).unique()
    truths = torch.stack([data.ground_truth(index).to_map(224, 224) for index in some.tolist()]) > 0
    for row, maps in (("ceiling", oracle_maps(truths)), ("centered box", centered_box(224, 224).expand(truths.shape))):
        for found, expected in zip(
            get_protocol("alignment").compute_iou(maps, truths), measures[title].rows[row], strict=True
        ):
            assert torch.allclose(found.double(), expected[some], atol=1e-9, equal_nan=True), row


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("title", SQUARES)
def test_a_centred_square(ceilings: ModuleType, annotations: Path, title: str) -> None:
    """A prediction that knows nothing at all: the square of half the picture's area, in its middle."""
    name, options = ceilings.LISTS[title]
    begin = (224 - SIDE) // 2
    square = torch.zeros(224, 224, dtype=torch.bool)
    square[begin : begin + SIDE, begin : begin + SIDE] = True
    values = []
    for objects in ceilings.iter_targets(open_dataset(name, annotations, missing="ignore", **options)):
        hit = (objects @ square.flatten().float()).double()
        values.append(hit / (objects.sum(dim=1) + SIDE**2 - hit))
    iou = torch.cat(values)
    scores = [100 * float(score) for score in (F.success_rate(iou), F.auc(iou, "float"))]
    assert scores == pytest.approx(SQUARES[title], abs=0.1)


@pytest.mark.parametrize("title", EXACTLY_HALF)
def test_the_strict_threshold_costs_the_boxes_that_fill_the_picture(measures: dict, title: str) -> None:
    """With 25,088 of 50,176 pixels a whole picture is met by exactly 0.5, with the published 25,087 it is not."""
    area = measures[title].rows["whole image"][0] * 224 * 224
    half = torch.tensor(224 * 224 / 2, dtype=torch.float64)
    iou = torch.minimum(area, half) / torch.maximum(area, half)
    scores = [100 * float(score) for score in (F.success_rate(iou), F.auc(iou, "float"))]
    assert scores == pytest.approx(EXACTLY_HALF[title], abs=0.051)
    assert int((area == 224 * 224).sum()) == {"IS3": 8, "VPO-MS": 6}[title]

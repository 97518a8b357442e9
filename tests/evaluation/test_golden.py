"""The published protocols agree with the released evaluators, case by case and in their aggregates."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import READOUTS, expected, folders, sets
from whence.evaluation import functional as F
from whence.evaluation.metrics import LocalisationScores
from whence.evaluation.protocols import PROTOCOLS, Protocol

# The golden values of the alignment evaluator were made with the plain min-max; the released loop mirrors it.
ALIGNMENT = replace(PROTOCOLS["alignment"], scaling="forward")
COLUMNS = {
    "iou_gt": (ALIGNMENT, 0),
    "iou_adap_gt": (ALIGNMENT, 1),
    "iou_ge": (PROTOCOLS["ezvsl"], 0),
    "iou_lvs": (PROTOCOLS["lvs"], 0),
    "iou_slavc_relative": (PROTOCOLS["slavc"], 0),
    "iou_slavc_absolute": (PROTOCOLS["slavc-absolute"], 0),
}


@pytest.fixture(scope="module")
def metrics(golden: Path) -> list[Path]:
    found = folders(golden)
    if not found:
        pytest.skip(f"golden metrics are absent below {golden}")
    return found


@pytest.mark.parametrize("upsampling", READOUTS)
@pytest.mark.parametrize("column", COLUMNS)
def test_iou_of_every_case(metrics: list[Path], column: str, upsampling: str) -> None:
    """Exactly where pixels are repeated; by the pixels near the threshold where the resizing rounds differently."""
    named, which = COLUMNS[column]
    protocol = replace(named, readout=READOUTS[upsampling])
    for some in (some for folder in metrics for some in sets(folder)):
        if upsampling not in some.cases[0]["expected"]:
            continue
        for kind, truths in some.truths.items():
            found = protocol.score(some.maps, truths)[which].tolist()
            for case, truth, got in zip(some.cases, truths, found, strict=True):
                wanted = case["expected"][upsampling]
                assert truth.double().sum() == case["gt_sum"][kind]
                if column in wanted[kind]:
                    slack = _slack(wanted["n_near_threshold"], case["gt_sum"][kind], upsampling, column)
                    number = pytest.approx(_number(wanted[kind][column]), abs=slack, rel=0, nan_ok=True)
                    assert got == number, f"{case['name']} {kind}"


def _slack(near: int, area: float, upsampling: str, column: str) -> float:
    """How far an IoU may be off where `near` pixels (and two more) could fall on either side of the threshold."""
    smallest_union = max(area, 1 if column == "iou_adap_gt" else 25087)
    return 0.0 if upsampling == "kron" else (2 * near + 2) / smallest_union


def test_confidence_of_every_case(metrics: list[Path]) -> None:
    for some in (some for folder in metrics for some in sets(folder)):
        for upsampling in some.cases[0]["expected"]:
            protocol = replace(PROTOCOLS["slavc"], readout=READOUTS[upsampling])
            got = F.confidence(protocol.read_out(some.maps)).tolist()
            wanted = [case["expected"][upsampling]["confidence_slavc"] for case in some.cases]
            assert got == pytest.approx(wanted, abs=1e-6)


def test_a_batch_scores_as_its_samples_do(metrics: list[Path]) -> None:
    some = sets(metrics[0])[0]
    maps, truths = some.maps[::3], some.truths["mask"][::3]
    for protocol in (PROTOCOLS["corrected"], ALIGNMENT):
        together = torch.stack(protocol.score(maps, truths))
        pairs = zip(maps.split(1), truths.split(1), strict=True)
        alone = torch.cat([torch.stack(protocol.score(*pair)) for pair in pairs], dim=1)
        torch.testing.assert_close(together, alone, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("kind", ["vggss", "flickr", "mask"])
@pytest.mark.parametrize("released", ["alignment", "ezvsl", "lvs"])
def test_aggregates(metrics: list[Path], released: str, kind: str) -> None:
    seen = False
    for folder in metrics:
        wanted = expected(folder).get("aggregates", {}).get("kron", {}).get(f"{released}_{kind}")
        if wanted is None:
            continue
        seen = True
        protocol: Protocol = ALIGNMENT if released == "alignment" else PROTOCOLS[released]
        scores = LocalisationScores(replace(protocol, readout=READOUTS["kron"]))
        for some in sets(folder):
            scores.update(some.maps, some.truths[kind], [_group(case["name"]) for case in some.cases])
        _agree({key: value.item() for key, value in scores.compute().items()}, wanted)
    if not seen:
        pytest.skip(f"no aggregates of {released} on {kind} in these golden cases")


def test_group_and_area_lists(metrics: list[Path]) -> None:
    """Lists of given IoU, some exactly on the thresholds of the areas, where 0.05 * k errs."""
    for folder in metrics:
        for given in expected(folder)["iiou_lists"]:
            names = [_group(name) for name, *_ in given["items"]]
            groups = torch.tensor([sorted(set(names)).index(name) for name in names])
            got = {}
            for column, suffix in ((1, ""), (2, "_adaptive")):
                iou = torch.tensor([item[column] for item in given["items"]], dtype=torch.float64)
                worst = F.worst_of_groups(iou, groups)
                got |= {
                    f"ciou{suffix}": F.success_rate(iou).item(),
                    f"auc{suffix}": F.auc(iou, "float").item(),
                    f"iiou{suffix}": F.group_success(worst).mean().item(),
                    f"iauc{suffix}": F.group_auc_terms(worst, "float").mean().item(),
                }
            _agree(got, given)


def test_retrieval(metrics: list[Path]) -> None:
    for folder in metrics:
        with np.load(folder / "retrieval.npz") as arrays:
            image, audio = (torch.from_numpy(arrays[key]).double() for key in ("image", "audio"))
        image, audio = (x / x.norm(dim=1, keepdim=True) for x in (image, audio))
        wanted = expected(folder)["derived_retrieval"]
        for k in (1, 5, 10):
            assert F.recall_at(audio @ image.T, k=k).item() == wanted["audio_to_image"][f"R@{k}"]
            assert F.recall_at(image @ audio.T, k=k).item() == wanted["image_to_audio"][f"R@{k}"]


KEYS = {
    "cIoU": "ciou",
    "cIoU_adap": "ciou_adaptive",
    "AUC": "auc",
    "AUC_adap": "auc_adaptive",
    "IIoU": "iiou",
    "IIoU_adap": "iiou_adaptive",
    "IAUC": "iauc",
    "IAUC_adap": "iauc_adaptive",
    "mean_IoU": "mean_iou",
}


def _agree(got: dict[str, float], wanted: dict[str, float]) -> None:
    for theirs, ours in KEYS.items():
        if theirs in wanted:
            assert got[ours] == pytest.approx(_number(wanted[theirs]), abs=1e-12, nan_ok=True), theirs


def _group(name: str) -> str:
    return name.rpartition("_")[0]


def _number(value: float | None) -> float:
    return math.nan if value is None else value

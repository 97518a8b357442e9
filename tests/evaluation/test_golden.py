"""The published protocols agree with the released evaluators, case by case and in their aggregates.

`kron` repeats pixels and is exact. Where maps were resized, the pixels that the golden file counts near the threshold
may fall on either side.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
import torch
from inputs import score_columns
from torch import Tensor

from golden import READOUTS, Set, expected, having, listed, number, sets
from soundspot.evaluation import functional as F
from soundspot.evaluation.protocols.presets import PROTOCOLS, Protocol, compute_columns
from soundspot.evaluation.protocols.thresholding import scale_maps

# The golden values of the alignment evaluator were made with the plain min-max; the released loop mirrors it.
PLAIN = replace(PROTOCOLS["alignment"], scaling="forward")
COLUMNS = {
    "iou_gt": (PLAIN, 0),
    "iou_adap_gt": (PLAIN, 1),
    "iou_ge": (PROTOCOLS["ezvsl"], 0),
    "iou_lvs": (PROTOCOLS["lvs"], 0),
    "iou_slavc_relative": (PROTOCOLS["slavc"], 0),
    "iou_slavc_absolute": (PROTOCOLS["slavc-absolute"], 0),
}
# The float32 of 1 - minmax(-x) is coarser near 0 than that of minmax(x). Where the truth is the whole picture, all but
# the lowest pixel should be kept; a blob's far tail, distinct in the plain form, ties with it if mirrored and is lost.
MIRRORED = {("img_007_b", "kron"), ("img_007_b", "cv2")}
SEED = 20240611  # of the golden cases that hold these
Scored: TypeAlias = tuple[dict, str, float, Tensor]


@pytest.mark.parametrize("upsampling", READOUTS)
@pytest.mark.parametrize("column", COLUMNS)
def test_iou_of_every_case(metrics: list[Path], column: str, upsampling: str) -> None:
    protocol, which = COLUMNS[column]
    compared = 0
    for case, kind, got, _ in _scored(metrics, protocol, which, upsampling):
        wanted = case["expected"][upsampling]
        if column in wanted[kind]:
            compared += 1
            slack = _slack(case, kind, upsampling, column)
            same = pytest.approx(number(wanted[kind][column]), abs=slack, rel=0, nan_ok=True)
            assert got == same, f"{case['name']} {kind}"
    assert compared


@pytest.mark.parametrize("upsampling", READOUTS)
@pytest.mark.parametrize("column", ["iou_gt", "iou_adap_gt"])
@pytest.mark.parametrize("name", ["alignment", "alignment-vggss"])
def test_the_shipped_presets_mirror_the_min_max(metrics: list[Path], name: str, column: str, upsampling: str) -> None:
    """They equal the golden values but for the cases named above, or in other golden sets where values ran together."""
    compared, different = 0, set()
    for case, kind, got, values in _scored(metrics, PROTOCOLS[name], COLUMNS[column][1], upsampling):
        wanted = number(case["expected"][upsampling][kind][column])
        slack = _slack(case, kind, upsampling, column)
        if got == pytest.approx(wanted, abs=slack, rel=0, nan_ok=True):
            compared += 1
        else:
            levels = [len(scale_maps(values[None], form).unique()) for form in ("mirrored", "forward")]
            assert levels[0] < levels[1], f"{case['name']} {kind}"
            different.add((case["name"], upsampling))
    assert compared > 10 * len(different)
    if all(expected(folder)["seed"] == SEED for folder in metrics):
        assert different == {key for key in MIRRORED if column == "iou_adap_gt" and key[1] == upsampling}


def test_the_presets_resize_as_the_golden_values_were() -> None:
    """So that the columns above, read with an upsampling by name, are those of the presets."""
    assert PROTOCOLS["alignment-vggss"].upsampling == READOUTS["cv2"]
    assert PROTOCOLS["alignment"].upsampling == PROTOCOLS["ezvsl"].upsampling == READOUTS["torch"]


def test_confidence_of_every_case(metrics: list[Path]) -> None:
    compared = 0
    for some in (some for folder in metrics for some in sets(folder)):
        for upsampling in some.cases[0]["expected"]:
            protocol = replace(PROTOCOLS["slavc"], upsampling=READOUTS[upsampling])
            got = F.confidence(protocol.upsample(some.maps)).tolist()
            wanted = [case["expected"][upsampling]["confidence_slavc"] for case in some.cases]
            assert got == pytest.approx(wanted, abs=1e-6)
            compared += len(got)
    assert compared


def test_a_batch_scores_as_its_samples_do(metrics: list[Path]) -> None:
    some = sets(metrics[0])[0]
    maps, truths = some.maps[::3], some.truths["mask"][::3]
    for protocol in (PROTOCOLS["corrected"], PLAIN):
        together = torch.stack(protocol.compute_iou(maps, truths))
        pairs = zip(maps.split(1), truths.split(1), strict=True)
        alone = torch.cat([torch.stack(protocol.compute_iou(*pair)) for pair in pairs], dim=1)
        torch.testing.assert_close(together, alone, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("released", "kind"),
    [("alignment", "mask"), *((r, k) for r in ("alignment", "ezvsl", "lvs") for k in ("vggss", "flickr"))],
)
def test_aggregates_of_maps(metrics: list[Path], released: str, kind: str) -> None:
    """From the repeated pixels to the numbers of a table."""
    for folder, wanted in having(metrics, "aggregates", "kron", f"{released}_{kind}"):
        protocol: Protocol = PLAIN if released == "alignment" else PROTOCOLS[released]
        protocol = replace(protocol, upsampling=READOUTS["kron"])
        batches = [
            compute_columns([protocol], protocol.upsample(some.maps), some.truths[kind])[0] for some in sets(folder)
        ]
        columns = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
        names = [_group(case["name"]) for some in sets(folder) for case in some.cases]
        scores = score_columns(protocol, columns, torch.tensor([sorted(set(names)).index(name) for name in names]))
        _agree({key: score.value for key, score in scores.items()}, wanted)


@pytest.mark.parametrize("upsampling", READOUTS)
@pytest.mark.parametrize("kind", ["vggss", "flickr", "mask"])
def test_aggregates_of_numbers(metrics: list[Path], kind: str, upsampling: str) -> None:
    """From the golden IoU of each case to those of the table, exact for every upsampling."""
    for folder, wanted in having(metrics, "aggregates", upsampling):
        names = [_group(case["name"]) for case in expected(folder)["cases"]]
        iou = listed(folder, upsampling, kind, "iou_gt")
        _agree(_scores(iou, listed(folder, upsampling, kind, "iou_adap_gt"), names), wanted[f"alignment_{kind}"])
        for released, column in (("ezvsl", "iou_ge"), ("lvs", "iou_lvs")) if kind != "mask" else ():
            iou = listed(folder, upsampling, kind, column)
            _agree(_scores(iou, iou, names), wanted[f"{released}_{kind}"])


def test_group_and_area_lists(metrics: list[Path]) -> None:
    """Lists of given IoU, some exactly on the thresholds of the areas, where 0.05 * k errs."""
    for _, lists in having(metrics, "iiou_lists"):
        for given in lists:
            names = [_group(name) for name, *_ in given["items"]]
            iou, adaptive = torch.tensor([item[1:] for item in given["items"]], dtype=torch.float64).T
            assert _agree(_scores(iou, adaptive, names), given) == 8


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


def _agree(got: dict[str, float], wanted: dict[str, float]) -> int:
    """How many numbers were compared: all that the golden values have, and some."""
    shared = [key for key in wanted if key in KEYS]
    assert shared
    for theirs in shared:
        assert got[KEYS[theirs]] == pytest.approx(number(wanted[theirs]), abs=1e-12, nan_ok=True), theirs
    return len(shared)


def _scores(iou: Tensor, adaptive: Tensor, names: list[str]) -> dict[str, float]:
    groups = torch.tensor([sorted(set(names)).index(name) for name in names])
    found = {"mean_iou": F.mean_iou(iou).item()}
    for suffix, values in {"": iou, "_adaptive": adaptive}.items():
        worst = F.worst_of_groups(values, groups)
        found |= {
            f"ciou{suffix}": F.success_rate(values).item(),
            f"auc{suffix}": F.auc(values, "float").item(),
            f"iiou{suffix}": F.group_success(worst).mean().item(),
            f"iauc{suffix}": F.group_auc_terms(worst, "float").mean().item(),
        }
    return found


def _scored(metrics: list[Path], named: Protocol, which: int, upsampling: str) -> Iterator[Scored]:
    """Each case that has the upsampling, with a kind of truth, its IoU (`which` 0) or adaptive IoU (1), and its map."""
    protocol = replace(named, upsampling=READOUTS[upsampling])
    chosen: list[Set] = [some for folder in metrics for some in sets(folder) if upsampling in some.cases[0]["expected"]]
    if not chosen:
        pytest.skip(f"no case of these golden metrics was resized by {upsampling}")
    for some in chosen:
        for kind, truths in some.truths.items():
            maps = protocol.upsample(some.maps)
            found = protocol.compute_iou(some.maps, truths)[which].tolist()
            for case, truth, got, values in zip(some.cases, truths, found, maps, strict=True):
                assert truth.double().sum() == case["gt_sum"][kind]
                assert int((truth != 0).sum()) == case["gt_nonzero"][kind]
                yield case, kind, got, values


def _slack(case: dict, kind: str, upsampling: str, column: str) -> float:
    """How far an IoU may be off where the pixels near the threshold (and two more) could fall on either side."""
    near = case["expected"][upsampling]["n_near_threshold"]
    smallest_union = max(case["gt_sum"][kind], 1 if column == "iou_adap_gt" else 25087)
    return 0.0 if upsampling == "kron" else (2 * near + 2) / smallest_union


def _group(name: str) -> str:
    return name.rpartition("_")[0]

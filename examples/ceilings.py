"""Writes docs/ceilings.md: what no map can exceed on each public test list, and what answers without a sound score.

python examples/ceilings.py [FOLDER]     # of the authors' annotation files; by default ../shared/annotations

Under the published rule "the top half of the map, pixels above the threshold" every map predicts N / 2 - 1 of its N
pixels, so an object of another size cannot be met. Pixels of an oracle and of the centered box never tie, so their
overlaps follow from counts alone; tests/data/datasets/test_ceilings.py compares them with the protocol `alignment`.
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from soundspot.data.datasets.registry import open_dataset
from soundspot.evaluation import functional as F
from soundspot.evaluation.engine.baselines import centered_box
from soundspot.evaluation.engine.evaluate import evaluate_maps
from soundspot.evaluation.engine.predictions import write_maps
from soundspot.evaluation.report.tables import LOGIT_PROTOCOLS, format_markdown_table
from soundspot.types import AudioVisualDataset

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "ceilings.md"
SIZE, PIXELS = 224, 224 * 224
KEPT = PIXELS - PIXELS // 2 - 1  # pixels strictly above the one that stands at N // 2 in ascending order
SQUARE = 158  # 224 / sqrt(2), rounded
ANSWERS = ("ceiling", "centered box", "centred square", "whole image")
LISTS: dict[str, tuple[str, dict[str, object]]] = {
    "VGG-SS, 5158": ("vggss", {"list": "5158"}),
    "VGG-SS, 4655": ("vggss", {"list": "4655"}),
    "VGG-SS, heard classes": ("vggss", {"list": "heard"}),
    "VGG-SS, unheard classes": ("vggss", {"list": "unheard"}),
    "IS3": ("is3", {}),
    "VPO-SS": ("vpo_ss", {}),
    "VPO-MS": ("vpo_ms", {}),
    "AVSBench S4": ("avsbench_s4", {}),
    "AVSBench MS3": ("avsbench_ms3", {}),
}
RULES = """
## One answer, every rule

The same blob in the middle of every picture of VGG-SS (a 14 x 14 map from 1 in the middle to -1 in the corners, in no
need of a model, a picture or a sound), scored under the rules of each released evaluator ([the rules](protocols.md)).
What papers call cIoU moves from {low} to {high} by the rules alone (acl and avsbench take maps as
logits and stand apart).

"""
HEAD = """# Ceilings

What the published rules let any map reach on the public test lists, computed from the authors' boxes (all of them,
squashed to 224 x 224). *ciou* and *auc* keep the top half of a map, pixels strictly above the threshold (protocol
`alignment`); the adaptive columns keep as many pixels as the object has. *ceiling*: an oracle that ranks the object's
pixels first. *centered box*: a map that falls from the middle outwards and hears nothing. *centred square*: 158 x 158
pixels, about half of them, and *whole image*: all of them, both under no threshold. A published number says what it is
worth between these and the first. Written by `examples/ceilings.py`.

The strict threshold keeps 25,087 of 50,176 pixels, so a box that fills the picture (8 of IS3, 6 of VPO-MS, 3 of VGG-
SS) is missed by one pixel; where the pixel at the threshold is kept too (`ezvsl`), the ceilings of IS3 and VPO-MS are
58.6 and 39.2.

"""


@dataclass(frozen=True)
class Overlaps:
    """IoU and adaptive IoU of each item for the three answers, (n,) float64 each."""

    rows: dict[str, tuple[Tensor, Tensor]]

    @property
    def n(self) -> int:
        return len(self.rows["ceiling"][0])

    def percent(self, row: str) -> tuple[float, float, float, float]:
        """ciou, auc, ciou_adaptive, auc_adaptive."""
        half, adaptive = self.rows[row]
        scores = (F.success_rate(half), F.auc(half, "float"), F.success_rate(adaptive), F.auc(adaptive, "float"))
        first, second, third, fourth = (100 * float(score) for score in scores)
        return first, second, third, fourth


def truths(data: AudioVisualDataset, batch: int = 64) -> Iterator[Tensor]:
    """(b, 224 * 224) of 0 and 1, float32, batch by batch."""
    for start in range(0, len(data), batch):
        stop = min(start + batch, len(data))
        yield torch.stack([data.ground_truth(index).to_map(SIZE, SIZE).flatten() for index in range(start, stop)])


def overlaps(data: AudioVisualDataset) -> Overlaps:
    """By counts: how many pixels each answer keeps, and how many of those are the object's."""
    rank = torch.empty(PIXELS)  # 0 for the innermost pixel; whole numbers, exact in float32
    rank[centered_box(SIZE, SIZE).flatten().argsort(descending=True)] = torch.arange(PIXELS).float()
    square = torch.zeros(SIZE, SIZE)
    square[(SIZE - SQUARE) // 2 : (SIZE + SQUARE) // 2, (SIZE - SQUARE) // 2 : (SIZE + SQUARE) // 2] = 1
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in ANSWERS}
    for objects in truths(data):
        area = objects.sum(dim=1)
        half = torch.full_like(area, KEPT)
        # As many as the object has, less the one that the strict threshold costs; of an object of no pixel, half.
        share = torch.where(area > 0, area - 1, KEPT)
        within = (rank < share[:, None]).float()
        inside = (objects @ (rank < KEPT).float(), torch.einsum("bn,bn->b", objects, within))
        for name, hits in (("ceiling", (area.minimum(half), area.minimum(share))), ("centered box", inside)):
            parts[name].append((_iou(hits[0], half, area), _iou(hits[1], share, area)))
        in_square = _iou(objects @ square.flatten(), torch.full_like(area, SQUARE**2), area)
        parts["centred square"].append((in_square, in_square))
        parts["whole image"].append((area.double() / PIXELS, area.double() / PIXELS))
    return Overlaps(
        {name: (torch.cat([p[0] for p in of]), torch.cat([p[1] for p in of])) for name, of in parts.items()}
    )


def _iou(hit: Tensor, kept: Tensor, area: Tensor) -> Tensor:
    return hit.double() / (area + kept - hit)


def measured(annotations: Path) -> dict[str, Overlaps]:
    """Title -> overlaps, for each of LISTS; the lists of VGG-SS are parts of one."""
    whole = open_dataset("vggss", annotations, missing="ignore")
    found = overlaps(whole)
    place = {whole.id(index): index for index in range(len(whole))}
    measures = {}
    for title, (name, options) in LISTS.items():
        data = open_dataset(name, annotations, missing="ignore", **options)
        if name == "vggss":
            at = torch.tensor([place[data.id(index)] for index in range(len(data))])
            measures[title] = Overlaps({row: (a[at], b[at]) for row, (a, b) in found.rows.items()})
        else:
            measures[title] = overlaps(data)
    return measures


def blob(side: int = 14) -> Tensor:
    """(side, side): from 1 in the middle to -1 in the corners."""
    place = (torch.arange(side) + 0.5) / side * 2 - 1
    far = torch.sqrt(place[:, None] ** 2 + place**2)
    return 1 - 2 * far / far.max()


def under_every_rule(annotations: Path) -> dict[str, dict[str, float]]:
    """Protocol -> scores of the blob as the answer to every item of VGG-SS, as `soundspot score` has them."""
    data = open_dataset("vggss", annotations, missing="ignore")
    maps = {data.id(index): blob().numpy() for index in range(len(data))}
    with tempfile.TemporaryDirectory() as folder:
        write_maps(Path(folder), maps, {"model": "blob"})
        return evaluate_maps(folder, data, protocol="all", bootstraps=0).scores_by_protocol()


def by_rules(spread: dict[str, dict[str, float]]) -> str:
    """The section on one answer under every rule."""
    keys = ("ciou", "auc", "mean_iou", "ciou_adaptive", "auc_adaptive")
    lines = [["protocol", *keys]]
    for name, found in spread.items():
        lines.append([name, *(f"{100 * found[key]:.1f}" if key in found else "-" for key in keys)])
    found = sorted(100 * scores["ciou"] for name, scores in spread.items() if name not in LOGIT_PROTOCOLS)
    return RULES.format(low=f"{found[0]:.1f}", high=f"{found[-1]:.1f}") + format_markdown_table(lines) + "\n"


def page(measures: dict[str, Overlaps]) -> str:
    """The first part of docs/ceilings.md."""
    lines = [
        "| list | n | answer | ciou | auc | ciou_adaptive | auc_adaptive |",
        "| --- | ---: | --- |" + " ---: |" * 4,
    ]
    for title, found in measures.items():
        for row in found.rows:
            numbers = " | ".join(f"{score:.1f}" for score in found.percent(row))
            head = f"{title} | {found.n}" if row == "ceiling" else " | "
            lines.append(f"| {head} | {row} | {numbers} |")
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    annotations = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "annotations"
    torch.set_num_threads(1)  # many small operations
    PAGE.write_text(page(measured(annotations)) + by_rules(under_every_rule(annotations)), encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()

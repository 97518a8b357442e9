"""Write docs/ceilings.md: the scores that no map can exceed on each public test list, and those without audio.

python examples/ceilings.py [FOLDER]     # of the authors' annotation files; by default ../shared/annotations

Under the published rule "the top half of the map, pixels above the threshold" every map predicts N / 2 - 1 of its N
pixels, so no map reaches an object of another size. Pixels of an oracle and of the centered box never tie, so their
IoU follows from counts alone; tests/data/datasets/test_ceilings.py compares them with the protocol `alignment`.
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
NUM_SELECTED = PIXELS - PIXELS // 2 - 1  # pixels strictly above the one that stands at N // 2 in ascending order
SQUARE = 158  # 224 / sqrt(2), rounded
ANSWERS = ("ceiling", "centered box", "centered square", "whole image")
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

The same blob in the middle of every image of VGG-SS (a 14 x 14 map from 1 in the middle to -1 in the corners, made
without a model, an image or audio), scored under the rules of each released evaluator ([the rules](protocols.md)).
What papers call cIoU moves from {low} to {high} by the rules alone (acl and avsbench take maps as
logits and are not comparable).

"""
HEAD = """# Ceilings

The highest scores that the published rules allow on the public test lists, computed from the authors' boxes (all of
them, squashed to 224 x 224). *ciou* and *auc* select the top half of a map, pixels strictly above the threshold
(protocol `alignment`); the adaptive columns select as many pixels as the object has. *ceiling*: an oracle that ranks
the object's pixels first. *centered box*: a map that falls from the middle outwards, without audio. *centered square*:
158 x 158 pixels, about half of them, and *whole image*: all of them, both under no threshold. A published number is to
be read between these and the first. Written by `examples/ceilings.py`.

The strict threshold selects 25,087 of 50,176 pixels, so a box that fills the image (8 of IS3, 6 of VPO-MS, 3 of VGG-
SS) is missed by one pixel; where the pixel at the threshold is selected too (`ezvsl`), the ceilings of IS3 and VPO-MS
are 58.6 and 39.2.

"""


@dataclass(frozen=True)
class CeilingScores:
    """IoU and adaptive IoU of each sample for each of `ANSWERS`, (n,) float64 each."""

    rows: dict[str, tuple[Tensor, Tensor]]

    @property
    def n(self) -> int:
        return len(self.rows["ceiling"][0])

    def percent(self, row: str) -> tuple[float, float, float, float]:
        """Return ciou, auc, ciou_adaptive and auc_adaptive in percent."""
        half, adaptive = self.rows[row]
        scores = (F.success_rate(half), F.auc(half, "float"), F.success_rate(adaptive), F.auc(adaptive, "float"))
        first, second, third, fourth = (100 * float(score) for score in scores)
        return first, second, third, fourth


def iter_targets(data: AudioVisualDataset, batch_size: int = 64) -> Iterator[Tensor]:
    """Yield the ground truth (b, 224 * 224) of 0 and 1, float32, batch by batch."""
    for start in range(0, len(data), batch_size):
        stop = min(start + batch_size, len(data))
        yield torch.stack([data.ground_truth(index).to_map(SIZE, SIZE).flatten() for index in range(start, stop)])


def compute_scores(data: AudioVisualDataset) -> CeilingScores:
    """Compute IoU from counts: the pixels that each answer selects, and those of them that are the object's."""
    rank = torch.empty(PIXELS)  # 0 for the innermost pixel; whole numbers, exact in float32
    rank[centered_box(SIZE, SIZE).flatten().argsort(descending=True)] = torch.arange(PIXELS).float()
    square = torch.zeros(SIZE, SIZE)
    square[(SIZE - SQUARE) // 2 : (SIZE + SQUARE) // 2, (SIZE - SQUARE) // 2 : (SIZE + SQUARE) // 2] = 1
    batches: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in ANSWERS}
    for target in iter_targets(data):
        area = target.sum(dim=1)
        half = torch.full_like(area, NUM_SELECTED)
        # As many as the object has, less the one that the strict threshold costs; of an object of no pixel, half.
        adaptive = torch.where(area > 0, area - 1, NUM_SELECTED)
        in_adaptive = (rank < adaptive[:, None]).float()
        in_box = (target @ (rank < NUM_SELECTED).float(), torch.einsum("bn,bn->b", target, in_adaptive))
        for name, hits in (("ceiling", (area.minimum(half), area.minimum(adaptive))), ("centered box", in_box)):
            batches[name].append((_iou(hits[0], half, area), _iou(hits[1], adaptive, area)))
        in_square = _iou(target @ square.flatten(), torch.full_like(area, SQUARE**2), area)
        batches["centered square"].append((in_square, in_square))
        batches["whole image"].append((area.double() / PIXELS, area.double() / PIXELS))
    return CeilingScores(
        {name: (torch.cat([b[0] for b in pairs]), torch.cat([b[1] for b in pairs])) for name, pairs in batches.items()}
    )


def _iou(intersection: Tensor, pred_area: Tensor, target_area: Tensor) -> Tensor:
    return intersection.double() / (target_area + pred_area - intersection)


def score_lists(annotations: Path) -> dict[str, CeilingScores]:
    """Compute the scores of each of LISTS, by title; the lists of VGG-SS are subsets of one."""
    vggss = open_dataset("vggss", annotations, missing="ignore")
    vggss_scores = compute_scores(vggss)
    index_of = {vggss.id(index): index for index in range(len(vggss))}
    scores = {}
    for title, (name, options) in LISTS.items():
        data = open_dataset(name, annotations, missing="ignore", **options)
        if name == "vggss":
            rows = torch.tensor([index_of[data.id(index)] for index in range(len(data))])
            scores[title] = CeilingScores({row: (a[rows], b[rows]) for row, (a, b) in vggss_scores.rows.items()})
        else:
            scores[title] = compute_scores(data)
    return scores


def make_blob(side: int = 14) -> Tensor:
    """Make a map (side, side) from 1 in the middle to -1 in the corners."""
    position = (torch.arange(side) + 0.5) / side * 2 - 1
    distance = torch.sqrt(position[:, None] ** 2 + position**2)
    return 1 - 2 * distance / distance.max()


def score_protocols(annotations: Path) -> dict[str, dict[str, float]]:
    """Score the blob as the map of every sample of VGG-SS, as `soundspot evaluate-maps` does: protocol -> scores."""
    data = open_dataset("vggss", annotations, missing="ignore")
    maps = {data.id(index): make_blob().numpy() for index in range(len(data))}
    with tempfile.TemporaryDirectory() as folder:
        write_maps(Path(folder), maps, {"model": "blob"})
        return evaluate_maps(folder, data, protocol="all", bootstraps=0).scores_by_protocol()


def render_protocols(scores: dict[str, dict[str, float]]) -> str:
    """Render the section on one answer under every rule."""
    keys = ("ciou", "auc", "mean_iou", "ciou_adaptive", "auc_adaptive")
    lines = [["protocol", *keys]]
    for name, values in scores.items():
        lines.append([name, *(f"{100 * values[key]:.1f}" if key in values else "-" for key in keys)])
    ciou = sorted(100 * values["ciou"] for name, values in scores.items() if name not in LOGIT_PROTOCOLS)
    return RULES.format(low=f"{ciou[0]:.1f}", high=f"{ciou[-1]:.1f}") + format_markdown_table(lines) + "\n"


def render_lists(scores: dict[str, CeilingScores]) -> str:
    """Render the first part of docs/ceilings.md."""
    lines = [
        "| list | n | answer | ciou | auc | ciou_adaptive | auc_adaptive |",
        "| --- | ---: | --- |" + " ---: |" * 4,
    ]
    for title, list_scores in scores.items():
        for row in list_scores.rows:
            numbers = " | ".join(f"{score:.1f}" for score in list_scores.percent(row))
            head = f"{title} | {list_scores.n}" if row == "ceiling" else " | "
            lines.append(f"| {head} | {row} | {numbers} |")
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    annotations = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "annotations"
    torch.set_num_threads(1)  # many small operations
    text = render_lists(score_lists(annotations)) + render_protocols(score_protocols(annotations))
    PAGE.write_text(text, encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()

"""What makes the printed form of s_L localise or not: trains small variants alike and draws docs/ablations/*.

make ablations            # about half an hour on two cores; a variant that is already there is not trained again
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

from soundspot.config.load import read_recipe
from soundspot.data.datasets.registry import open_dataset
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.inference.localizer import Localizer
from soundspot.inference.render import draw_outline, make_contact_sheet
from soundspot.training.fit import train
from soundspot.types import AudioVisualDataset

STEPS = 400
FOLDER = Path("runs/ablations")
DOCS = Path("docs/ablations")

# Three measures of the picture encoder on 128 pixels, all with 16 x 16 cells: what one cell sees.
VIEWS = {
    "51 px": ["--image.blocks", "[1,1]", "--image.strides", "[1,2]", "--image.width", "32"],
    "83 px": ["--image.blocks", "[1,1,1]", "--image.strides", "[1,2,1]", "--image.width", "16"],
    "147 px": ["--image.blocks", "[1,2,2]", "--image.strides", "[1,2,1]"],
}
MEAN = ["--method.reducer", "mean"]
COLD = ["--method.tau", "0.01"]
VARIANTS: dict[str, list[str]] = {
    "mean, tau 0.07 (as printed), sees 147 px": [*MEAN, *VIEWS["147 px"]],
    "mean, tau 0.07, sees 83 px": [*MEAN, *VIEWS["83 px"]],
    "mean, tau 0.07, sees 51 px": [*MEAN, *VIEWS["51 px"]],
    "mean, tau 0.01, sees 83 px": [*MEAN, *COLD, *VIEWS["83 px"]],
    "mean, tau 0.01, sees 51 px": [*MEAN, *COLD, *VIEWS["51 px"]],
    "max, tau 0.07, sees 83 px": ["--method.reducer", "max", *VIEWS["83 px"]],
    "softmax 5, tau 0.07, sees 83 px": VIEWS["83 px"],
    "softmax 5, tau 0.07, sees 147 px": VIEWS["147 px"],
}


def main() -> None:
    test = open_dataset("scenes-interactive", length=100, size=128, seconds=1.0, seed=2002)
    results, sheets = {}, {}
    for name, overrides in VARIANTS.items():
        run = FOLDER / "".join(c if c.isalnum() else "-" for c in name)
        epochs = ["--train.epochs", str(STEPS / 100), "--validation.data", "null", "--data.options.length", "6400"]
        best = run / "best.safetensors"
        if not best.exists():
            train(read_recipe("alignment/scenes", [*overrides, *epochs]), run, overwrite=True, progress=False)
        localizer = Localizer.load(best)
        report = evaluate(localizer, test)
        results[name] = {k: vars(v) for k, v in report.model.metrics.items() if k in ("ciou_adaptive", "iiou_adaptive")}
        print(name, {k: round(v["value"], 3) for k, v in results[name].items()}, flush=True)
        sheets[name] = [shown(localizer, test, index) for index in (0, 1, 6, 7)]
    blind = {
        row.name: row.metrics["ciou_adaptive"].value
        for row in report.rows
        if row.kind != "model" and "ciou_adaptive" in row.metrics
    }
    draw(results, sheets, blind)


def shown(localizer: Localizer, test: AudioVisualDataset, index: int) -> Image.Image:
    """The map over the picture, with the outline of the truth."""
    found = localizer.locate(test.read_image(index), test.read_audio(index))
    return draw_outline(found.overlay(), test.ground_truth(index).to_map(128, 128).numpy() > 0)


def draw(results: dict[str, dict], sheets: dict[str, list[Image.Image]], blind: dict[str, float]) -> None:
    """The bars, the maps and the table."""
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / "results.json").write_text(
        json.dumps({"steps": STEPS, "results": results, "blind": blind}, indent=1) + "\n"
    )
    names = list(results)
    figure, axis = plt.subplots(figsize=(9, 4.6), layout="constrained")
    for offset, (key, colour) in enumerate((("ciou_adaptive", "#2b6cb0"), ("iiou_adaptive", "#dd6b20"))):
        found = [results[n][key] for n in names]
        values = [f["value"] for f in found]
        ends = [[max(0.0, f["value"] - f["low"]) for f in found], [max(0.0, f["high"] - f["value"]) for f in found]]
        rows = [i + 0.38 * offset for i in range(len(names))]
        axis.barh(rows, values, 0.36, xerr=ends, color=colour, label=key, error_kw={"lw": 0.8})
    axis.set_yticks([i + 0.19 for i in range(len(names))], names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel(f"share of samples (groups) with IoU of at least 0.5, after {STEPS} steps; 95 % intervals")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(DOCS / "bars.png", dpi=110)
    captions = [
        [name.split(" (")[0].split(",")[0], *name.split(", ")[1:], "", ""][: len(row)] for name, row in sheets.items()
    ]
    make_contact_sheet(list(sheets.values()), captions, height=128).save(DOCS / "maps.jpg", quality=88)
    head = "| variant | ciou_adaptive | iiou_adaptive |\n| --- | --- | --- |\n"
    cell = "{value:.1%} ({low:.1%} to {high:.1%})"
    lines = [
        f"| {n} | {cell.format(**r['ciou_adaptive'])} | {cell.format(**r['iiou_adaptive'])} |"
        for n, r in results.items()
    ]
    (DOCS / "table.md").write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""The demonstration: scenes with nothing to download, the alignment method trained on them, scored, and shown."""

import shutil
from collections.abc import Callable
from pathlib import Path

from whence.errors import OutputError

UNSEEN = 2002  # the test's seed; training has 0 and the probe 1001


def demo(
    output: Path, overwrite: bool = False, overrides: tuple[str, ...] = (), say: Callable[[str], None] = lambda _: None
) -> Path:
    """Trains on procedural scenes, scores on scenes of an unseen seed, and writes a page with pictures.

    Args:
        output: folder for `best.safetensors`, `report.html`, `report.json` and pictures.
        overwrite: replace what is there.
        overrides: of the recipe, as on the command line.
        say: told of each stage.

    Returns:
        The page, `report.html`.
    """
    from whence.data.datasets import open_dataset
    from whence.evaluation.curves import find_curves
    from whence.evaluation.evaluate import evaluate
    from whence.evaluation.html import write_html
    from whence.inference.localizer import Localizer
    from whence.recipe import read_recipe
    from whence.training.run import train

    if output.exists() and not overwrite:
        raise OutputError(f"{output}: already exists; replace it by --overwrite, or name another folder with --output")
    recipe = read_recipe("alignment/scenes", overrides)
    say("composing scenes and training the alignment method on them (about four minutes on two cores)")
    best = train(recipe, output, overwrite=overwrite)
    localizer = Localizer.load(best)

    say("scoring on scenes of an unseen seed")
    spec = localizer.method.front_end
    size, seconds = spec.image.size, spec.audio.seconds
    data = open_dataset("scenes-interactive", length=250, size=size, seconds=seconds, seed=UNSEEN)
    report = evaluate(localizer, data)
    report.save(output / "report", overwrite=True)
    for name in ("report.json", "samples.csv"):
        shutil.copyfile(output / "report" / name, output / name)
    write_html(report, output / "report.html", data, curves=find_curves(best), title="whence demo")
    say(report.table())

    for index in range(2):
        example = localizer.locate(data.read_image(index), data.read_sound(index))
        example.save(output / f"example-{index}.png")
    return output / "report.html"

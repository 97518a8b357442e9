"""The demonstration: scenes with nothing to download, the alignment method trained on them, scored, and shown."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from whence.errors import OutputError
from whence.types import AudioVisualDataset

if TYPE_CHECKING:
    from whence.inference.localizer import Localizer

# Seeds of scenes: training has 0, the probe 1001, and the recipe was chosen on 2002 (docs/findings.md).
UNSEEN = 3003  # the test
HELD_OUT = 4004  # what the threshold is fitted on


def demo(
    output: Path,
    overwrite: bool = False,
    overrides: tuple[str, ...] = (),
    pictures: int = 250,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Trains on procedural scenes, fits a threshold, scores on scenes of an unseen seed, writes a page with pictures.

    Args:
        output: folder for `best.safetensors`, `report.html`, `report.json` and pictures.
        overwrite: replace what is there.
        overrides: of the recipe, as on the command line.
        pictures: in the test, each asked with two sounds.
        say: told of each stage.

    Returns:
        The page, `report.html`.
    """
    from whence.checkpoint import amend, identity
    from whence.data.datasets import open_dataset, scoring_options
    from whence.evaluation.calibrate import calibrate
    from whence.evaluation.curves import find_curves
    from whence.evaluation.evaluate import evaluate
    from whence.evaluation.html import write_html
    from whence.inference.localizer import Localizer
    from whence.recipe import read_recipe
    from whence.training.run import train

    if output.exists() and not overwrite:
        raise OutputError(f"{output}: already exists; replace it by --overwrite, or name another folder with --output")
    recipe = read_recipe("alignment/scenes", overrides)
    say("composing scenes and training the alignment method on them (two minutes or so on two cores)")
    best = train(recipe, output, overwrite=overwrite)
    localizer = Localizer.load(best)
    options = scoring_options("scenes-interactive", localizer.method.front_end) | {"length": pictures}

    say("fitting the threshold from which a source counts as present, on scenes of another seed")
    held_out = open_dataset("scenes-interactive", **options, seed=HELD_OUT)
    fitted = calibrate(localizer, held_out)
    say(fitted.in_words())
    amend(best, threshold=fitted.threshold, calibration=fitted.as_dict())
    localizer = Localizer.load(best)

    say("scoring on scenes of an unseen seed")
    data = open_dataset("scenes-interactive", **options, seed=UNSEEN)
    source = {**identity(best), "data": "scenes-interactive", "options": options | {"seed": UNSEEN}}
    report = evaluate(localizer, data, protocol="all", source=source)
    report.save(output / "report", overwrite=True)
    for name in ("report.json", "samples.csv"):
        shutil.copyfile(output / "report" / name, output / name)
    write_html(report, output / "report.html", data, curves=find_curves(best), title="whence demo")
    say(report.table())

    leave_examples(localizer, data, output)
    return output / "report.html"


def leave_examples(localizer: "Localizer", data: AudioVisualDataset, output: Path, pictures: int = 3) -> None:
    """A picture and its sounds, and a clip of moving objects, as files to ask the model with; a strip of maps of
    the first few pictures."""
    import soundfile

    from whence.inference.render import contact_sheet, outline
    from whence.output import whole_file
    from whence.scenes.moving import MovingScene

    rows, captions = [], []
    for first in range(0, 2 * pictures, 2):
        picture = data.read_image(first)
        code, row, names = localizer.encode_image(picture), [picture], ["the picture"]
        for index in (first, first + 1):
            truth = data.truth(index).map(picture.height, picture.width).numpy() > 0
            row.append(outline(localizer.hear(code, data.read_sound(index)).overlay(), truth))
            names.append(f"asked with {data.category(index)}")
        rows.append(row)
        captions.append(names)
    with whole_file(output / "strip.jpg") as draft:
        contact_sheet(rows, captions, height=200).save(draft, quality=90)
    data.read_image(0).save(output / "example.png")
    for index, name in enumerate(("example.wav", "other.wav")):
        sound = data.read_sound(index)
        soundfile.write(output / name, sound.waveform.numpy(), sound.rate)
    plan = ((0.0, 0), (5.0, 1), (10.0, None))
    MovingScene(("red disc", "green star"), plan, 12.0).write(output / "example.mp4")

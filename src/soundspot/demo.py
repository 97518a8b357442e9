"""The demonstration: scenes with nothing to download, the alignment method trained on them, scored, and shown."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from soundspot.errors import OutputError
from soundspot.types import AudioVisualDataset

if TYPE_CHECKING:
    from soundspot.inference.localizer import Localizer

# Seeds of scenes: training has 0, the probe 1001, and the recipe was chosen on 2002 (docs/ablations.md).
TEST_SEED = 3003  # the test
CALIBRATION_SEED = 4004  # what the threshold is fitted on


def demo(
    output: Path,
    overwrite: bool = False,
    overrides: tuple[str, ...] = (),
    num_images: int = 250,
    log: Callable[[str], None] = lambda _: None,
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
    from soundspot.config.checkpoint import describe_checkpoint, update_header
    from soundspot.config.load import read_recipe
    from soundspot.data.datasets.registry import open_dataset, scoring_options
    from soundspot.evaluation.engine.calibrate import calibrate
    from soundspot.evaluation.engine.evaluate import evaluate
    from soundspot.evaluation.report.html import write_html
    from soundspot.evaluation.report.training_curves import find_train_logs
    from soundspot.inference.localizer import Localizer
    from soundspot.training.fit import train

    if output.exists() and not overwrite:
        raise OutputError(f"{output}: already exists; replace it by --overwrite, or name another folder with --output")
    recipe = read_recipe("alignment/scenes", overrides)
    log("composing scenes and training the alignment method on them (two minutes or so on two cores)")
    best = train(recipe, output, overwrite=overwrite)
    localizer = Localizer.load(best)
    options = scoring_options("scenes-interactive", localizer.method.front_end) | {"length": num_images}

    log("fitting the threshold from which a source counts as present, on scenes of another seed")
    held_out = open_dataset("scenes-interactive", **options, seed=CALIBRATION_SEED)
    fitted = calibrate(localizer, held_out)
    log(fitted.format_summary())
    update_header(best, threshold=fitted.threshold, calibration=fitted.as_dict())
    localizer = Localizer.load(best)

    log("scoring on scenes of an unseen seed")
    data = open_dataset("scenes-interactive", **options, seed=TEST_SEED)
    source = {**describe_checkpoint(best), "data": "scenes-interactive", "options": options | {"seed": TEST_SEED}}
    report = evaluate(localizer, data, protocol="all", source=source)
    report.save(output / "report", overwrite=True)
    for name in ("report.json", "samples.csv"):
        shutil.copyfile(output / "report" / name, output / name)
    write_html(report, output / "report.html", data, train_logs=find_train_logs(best), title="soundspot demo")
    log(report.table())

    write_examples(localizer, data, output)
    return output / "report.html"


def write_examples(localizer: "Localizer", data: AudioVisualDataset, output: Path, pictures: int = 3) -> None:
    """A picture and its sounds, and a clip of moving objects, as files to ask the model with; a strip of maps of
    the first few pictures."""
    import soundfile

    from soundspot.inference.render import draw_outline, make_contact_sheet
    from soundspot.scenes.video_scene import VideoScene
    from soundspot.utils.atomic_io import atomic_write

    rows, captions = [], []
    for first in range(0, 2 * pictures, 2):
        picture = data.read_image(first)
        code, row, names = localizer.encode_image(picture), [picture], ["the picture"]
        for index in (first, first + 1):
            truth = data.ground_truth(index).to_map(picture.height, picture.width).numpy() > 0
            row.append(draw_outline(localizer.predict(code, data.read_audio(index)).overlay(), truth))
            names.append(f"asked with {data.category(index)}")
        rows.append(row)
        captions.append(names)
    with atomic_write(output / "strip.jpg") as draft:
        make_contact_sheet(rows, captions, height=200).save(draft, quality=90)
    data.read_image(0).save(output / "example.png")
    for index, name in enumerate(("example.wav", "other.wav")):
        sound = data.read_audio(index)
        soundfile.write(output / name, sound.waveform.numpy(), sound.rate)
    plan = ((0.0, 0), (5.0, 1), (10.0, None))
    VideoScene(("red disc", "green star"), plan, 12.0).write(output / "example.mp4")

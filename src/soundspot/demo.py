"""The demo: locate real sounds with the starter model, then train a method on scenes, score it, and write a page."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from soundspot.errors import OutputError
from soundspot.types import AudioVisualDataset

if TYPE_CHECKING:
    from soundspot.inference.localizer import Localizer

PRESENCE = {True: "present", False: "not in the image", None: "presence unknown"}

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
    """Locate the examples of the package with the starter model, then train, calibrate and score on procedural scenes.

    Args:
        output: folder for `real` (see `locate_examples`), and for `best.safetensors`, `report.html`, `report.json`,
            `samples.csv` and examples of the model that is trained.
        overwrite: whether an existing folder may be replaced.
        overrides: flags that replace values of the recipe, such as ("--train.epochs", "5").
        num_images: number of test images, each located with two sounds.
        log: function that is called with one line of text at each stage.

    Returns:
        Path of the page, `report.html`.

    Raises:
        OutputError: the folder exists already and `overwrite` is False.
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
    from soundspot.training.run_folder import check_run_dir, prepare_run_dir

    if output.exists() and not overwrite:
        raise OutputError(f"{output}: already exists; replace it by --overwrite, or name another folder with --output")
    recipe = read_recipe("alignment/scenes", overrides)
    check_run_dir(output, recipe, resume=False, overwrite=overwrite)
    prepare_run_dir(output, recipe, resume=False)
    log("locating the sounds of photographs and of a clip with the starter model")
    locate_examples(Localizer.load(), output / "real", log)

    log("composing drawn scenes and training the alignment method on them, to see how training goes (two minutes)")
    best = train(recipe, output, overwrite=True)
    localizer = Localizer.load(best)
    options = scoring_options("scenes-interactive", localizer.front_end) | {"length": num_images}

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


def locate_examples(localizer: "Localizer", output: Path, log: Callable[[str], None] = lambda _: None) -> None:
    """Locate sounds in the photographs and in the clip of the package (`soundspot.examples`), and write what is found.

    The files are photographs.jpg (each with the map of its own sound, and of one that is not visible), clip.mp4 (the
    overlay) and clip.jpg (its contact sheet). Existing files are replaced.

    Args:
        localizer: localizer of a model that knows real things.
        output: folder of the files; it is made where it does not exist.
        log: function that is called with one line of text for each result.
    """
    from soundspot.examples import CLIP, OFFSCREEN, PAIRS, example_path
    from soundspot.inference.render import make_contact_sheet
    from soundspot.utils.atomic_io import atomic_write

    output.mkdir(parents=True, exist_ok=True)
    columns = []
    for image, audio in PAIRS.values():
        encoded = localizer.encode_image(example_path(image))
        columns.append([(encoded.image, image)])
        for name in (audio, OFFSCREEN):
            result = localizer.predict(encoded, example_path(name))
            columns[-1].append((result.overlay(), f"{name}: {PRESENCE[result.present]}"))
            log(f"  {name} in {image}: {PRESENCE[result.present]}, peak {result.peak:.3f} at {result.peak_at}")
    rows = [*zip(*columns, strict=True)]  # photographs; maps of their own sounds; of the other
    drawings, captions = [[cell[0] for cell in row] for row in rows], [[cell[1] for cell in row] for row in rows]
    with atomic_write(output / "photographs.jpg") as draft:
        make_contact_sheet(drawings, captions).save(draft, quality=88)
    video = localizer.locate_video(example_path(CLIP))
    summary = video.save(output / CLIP, contact_sheet=output / "clip.jpg")
    share = "" if summary.num_absent is None else f"; nothing here in {summary.num_absent / summary.num_frames:.0%}"
    log(f"  {CLIP}: {summary.num_frames} frames{share}")
    log(f"look at {output / 'photographs.jpg'} and {output / CLIP}")


def write_examples(localizer: "Localizer", data: AudioVisualDataset, output: Path, num_images: int = 3) -> None:
    """Write examples of a trained model into a folder: an image with two sounds, a video, and a contact sheet of maps.

    The files are example.png, example.wav and other.wav (the two sounds of the first image), example.mp4 (12 s) and
    strip.jpg (each image with the overlays of its two sounds, the ground truth outlined). Existing files are replaced.

    Args:
        localizer: localizer of the trained model.
        data: interactive scenes; samples 2i and 2i + 1 share an image.
        output: existing folder of the files.
        num_images: number of rows of the contact sheet.
    """
    from soundspot.data.media.audio_writer import write_audio
    from soundspot.inference.render import draw_outline, make_contact_sheet
    from soundspot.scenes.video_scene import VideoScene
    from soundspot.utils.atomic_io import atomic_write

    rows, captions = [], []
    for first in range(0, 2 * num_images, 2):
        image = data.read_image(first)
        encoded, row, titles = localizer.encode_image(image), [image], ["the image"]
        for index in (first, first + 1):
            mask = data.ground_truth(index).to_map(image.height, image.width).numpy() > 0
            overlay = localizer.predict(encoded, data.read_audio(index)).overlay()
            row.append(draw_outline(overlay, mask))
            titles.append(f"located: {data.category(index)}")
        rows.append(row)
        captions.append(titles)
    with atomic_write(output / "strip.jpg") as draft:
        make_contact_sheet(rows, captions, height=200).save(draft, quality=90)
    data.read_image(0).save(output / "example.png")
    for index, name in enumerate(("example.wav", "other.wav")):
        write_audio(output / name, data.read_audio(index))
    schedule = ((0.0, 0), (5.0, 1), (10.0, None))  # seconds from which the disc, the star, and nothing sounds
    VideoScene(("red disc", "green star"), schedule, 12.0).write(output / "example.mp4")

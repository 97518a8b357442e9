"""`soundspot benchmark`: make an interactive test set step by step, and release it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from soundspot.cli.serve_page import serve_page
from soundspot.errors import InputError

if TYPE_CHECKING:
    from soundspot.benchmark.image_folder import ImageSummary
    from soundspot.benchmark.project import Project


def plan(
    project: Path,
    categories: list[str] | None = None,
    pairs: Literal["all", "balanced", "single"] = "all",
    num_pairs: int | None = None,
    images_per_pair: int = 3,
    prompts: list[str] | None = None,
    seed: int = 0,
    title: str | None = None,
) -> None:
    """Plan a benchmark, or print the plan of one.

    Args:
        project: folder of the project; it is made.
        categories: names of the things that sound, or one text file with a name a line; without them the plan is
            printed.
        pairs: all pairs of categories; balanced: drawn so that each category stands equally often; single: each
            category by itself.
        num_pairs: number of pairs to draw, with `balanced`.
        images_per_pair: images of each pair.
        prompts: for a text-to-image model, with {first} and {second}; three of the library by default.
        seed: of all draws.
        title: name of the benchmark; by default the folder's.

    Examples:
        soundspot benchmark plan MYSET --categories dog cat "church bell" --images-per-pair 20
    """
    from soundspot.benchmark.plan import make_plan
    from soundspot.benchmark.project import Project, create_project

    if categories:
        names = _read_lines(categories)
        planned = make_plan(title or project.resolve().name, names, pairs, num_pairs, images_per_pair, prompts, seed)
        opened = create_project(project, planned)
    else:
        opened = Project(project)
    uses = opened.plan.count_uses().values()
    print(
        f"{project}: {len(opened.plan.categories)} categories, {len(opened.plan.groups)} pairs, "
        f"{len(opened.plan)} images, each category in {min(uses)} to {max(uses)}; seed {opened.plan.seed}"
    )


def images(
    project: Path,
    folder: Path | None = None,
    cutouts: Path | None = None,
    generator: str | None = None,
    split: Literal["train", "val", "test"] = "test",
    licenses: list[str] | None = None,
    size: int | None = None,
    license: str = "",
    author: str = "",
    steps: int | None = None,
    batch_size: int = 4,
    device: str = "cpu",
) -> None:
    """Add the images that the plan asks for; continues a stopped run.

    Args:
        project: folder of the project.
        folder: your own images, in subfolders `dog+cat` (or `dog`, for a plan of single categories); a file sources.csv
            in it names file, license, author and origin of each.
        cutouts: a catalog with masks: its objects are composed on its backgrounds, with exact masks.
        generator: name of a text-to-image pipeline on the hub, or its folder (extra `generate`).
        split: of the catalog.
        licenses: of the catalog's entries to use, by their names without version.
        size: side of an image in pixels; 320 for cut-outs, of a pipeline its default.
        license: license of images that state none.
        author: author of these images.
        steps: denoising steps of the pipeline.
        batch_size: images that the pipeline makes at a time.
        device: of the pipeline: `cpu`, `cuda`...

    Examples:
        soundspot benchmark images MYSET --cutouts CATALOG --licenses CC0 "CC BY"
    """
    from soundspot.benchmark.compose import compose_images
    from soundspot.benchmark.generate import DiffusersGenerator, generate_images
    from soundspot.benchmark.image_folder import add_image_folder

    opened = _open(project)
    if [folder, cutouts, generator].count(None) != 2:
        raise InputError("`soundspot benchmark images` takes one of --folder, --cutouts and --generator. Give one.")
    if folder is not None:
        summary = add_image_folder(opened, folder, license, author)
    elif cutouts is not None:
        summary = compose_images(
            opened, cutouts, split=split, licenses=licenses, size=size or 320, license=license, author=author
        )
    else:
        assert generator is not None
        model = DiffusersGenerator(generator, device, steps, size)
        summary = generate_images(opened, model, license=license, author=author, batch_size=batch_size)
    _print_images(project, summary)


def select(
    project: Path,
    annotator: str | None = None,
    decisions: Path | None = None,
    resolve: bool = False,
) -> None:
    """Print how far the selection is and how far annotators agree; or record the decisions of a table.

    Args:
        project: folder of the project.
        annotator: name of the annotator of the table.
        decisions: a CSV file with the columns image, choice (keep or drop) and reason.
        resolve: the table decides where annotators disagree.

    Examples:
        soundspot benchmark select MYSET --annotator ann --decisions ann.csv
    """
    from soundspot.benchmark.selection import (
        import_decisions,
        list_disagreements,
        measure_agreement,
        read_progress,
        read_statuses,
    )

    opened = _open(project)
    if decisions is not None:
        step = "resolve" if resolve else "select"
        count = import_decisions(opened, _check_named(annotator), decisions, step)
        print(f"{decisions}: {count} decisions by {annotator}")
    total = opened.journal.count_rows()["images"]
    for progress in read_progress(opened):
        rate = "" if progress.per_hour != progress.per_hour else f", {progress.per_hour:.0f} an hour"
        print(f"{progress.annotator}: {progress.num_decided} of {total} images{rate}")
    for agreement in measure_agreement(opened):
        print(agreement)
    statuses = list(read_statuses(opened).values())
    print(f"{statuses.count('keep')} kept, {statuses.count('drop')} dropped, {statuses.count('disagree')} to resolve")
    for record, _ in list_disagreements(opened, 10):
        print(f"  {Path(record.file).name}")


def audio(
    project: Path,
    root: Path,
    layout: Literal["catalog", "vggsound", "folder"] = "catalog",
    seconds: float = 10.0,
    rate: int | None = None,
    table: Path | None = None,
    license: str = "",
    author: str = "",
) -> None:
    """Match a sound to each thing in the images that are kept, by category, each used once; continues a stopped run.

    Args:
        project: folder of the project.
        root: folder of the sounds.
        layout: catalog (its test split); vggsound: files by clip id and VGGSound's table; or folder: a subfolder for
            each category.
        seconds: longest duration; of longer sounds the loudest window is used.
        rate: sample rate in Hz; by default that of each file.
        table: VGGSound's own table of clips and labels.
        license: license of sounds that state none.
        author: author of these sounds.

    Examples:
        soundspot benchmark audio MYSET CATALOG
    """
    from soundspot.benchmark.audio import match_audio

    summary = match_audio(
        _open(project), root, layout, seconds=seconds, rate=rate, table=table, license=license, author=author
    )
    print(f"{project}: {summary.num_matched} things got a sound")
    for category, count in sorted(summary.num_missing.items()):
        print(f"  {category}: {count} lack one; give more sounds, and run this again")
    for message in summary.messages:
        print(f"  {message}")


def annotate(
    project: Path,
    annotator: str | None = None,
    masks: Path | None = None,
    export: Path | None = None,
    polygons: bool = False,
    segmenter: str = "grabcut",
) -> None:
    """Print how many masks there are and how far annotators agree; or exchange masks with CVAT and others.

    Args:
        project: folder of the project.
        annotator: name of the annotator of the masks that are imported or exported.
        masks: file of masks to import: XML of *CVAT for images 1.1*, or COCO JSON; clicks and boxes become masks.
        export: folder to create, with the images that are kept, annotations.xml for CVAT and coco.json.
        polygons: export COCO's masks as polygons.
        segmenter: makes masks of clicks and boxes.

    Examples:
        soundspot benchmark annotate MYSET --masks annotations.xml --annotator ann
    """
    from functools import partial

    from soundspot.benchmark.annotation import measure_mask_agreement
    from soundspot.benchmark.mask_files import count_masks, export_task, import_masks
    from soundspot.benchmark.selection import selected_images
    from soundspot.inference.contours.load_segmenter import load_segmenter

    opened = _open(project)
    if masks is not None:
        count = import_masks(opened, masks, _check_named(annotator), partial(load_segmenter, segmenter))
        print(f"{masks}: {count} masks by {annotator}")
    if export is not None:
        print(f"{export}: {export_task(opened, export, annotator or '', polygons)} images")
    done, total = count_masks(opened, selected_images(opened))
    print(f"{project}: {done} of {total} things have a mask")
    for agreement in measure_mask_agreement(opened):
        print(f"{agreement.first} and {agreement.second}: mean IoU {agreement.mean_iou:.3f} of {agreement.num_masks}")
        for file, category in agreement.low[:10]:
            print(f"  look again at {category} in {Path(file).name}")


def release(
    project: Path,
    output: Path,
    train_list: list[Path] | None = None,
    audio_format: Literal["wav", "flac"] = "wav",
    notes: list[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the benchmark to hand on: IS3's layout, catalog, COCO, statistics, ceilings, licenses, card and checksum.

    Args:
        project: folder of the project.
        output: folder to create.
        train_list: lists of ids that models were trained on, in which all origins are looked for.
        audio_format: of the sounds.
        notes: sentences for the card.
        overwrite: replace an earlier release.

    Examples:
        soundspot benchmark release MYSET RELEASED --audio-format flac
    """
    from soundspot.benchmark.release import write_release

    summary = write_release(
        _open(project),
        output,
        train_lists=train_list or (),
        audio_format=audio_format,
        notes=notes or (),
        overwrite=overwrite,
    )
    print(f"{output}: {summary.num_images} images, {summary.num_instances} things that sound")
    for first, second in summary.near_duplicates[:10]:
        print(f"  look alike: {first} and {second}")
    for file, id, name in summary.leaks[:10]:
        print(f"  in a training list: {file} ({id} in {name})")
    print(f"checksum {summary.checksum}")


def verify(folder: Path, checksum: str = "") -> None:
    """Verify that a benchmark is what was released: no file is missing, changed or added.

    Args:
        folder: folder of the release.
        checksum: checksum of the whole that its keeper published, or the first digits of it.

    Examples:
        soundspot benchmark verify RELEASED
    """
    from soundspot.benchmark.verify import verify_checksums

    print(f"{folder}: as released, checksum {verify_checksums(folder, checksum)}")


def app(project: Path, host: str = "127.0.0.1", port: int = 7861, segmenter: str = "grabcut") -> None:
    """Open the web page of a project: selection by keys, sounds to listen to, masks by clicks, release.

    Args:
        project: folder of the project.
        host: address to listen at; 0.0.0.0 opens the page to everybody on the network.
        port: number to listen at; 0 takes a free one.
        segmenter: makes masks of clicks and boxes.

    Examples:
        soundspot benchmark app MYSET
    """
    from soundspot.app.limits import Limits
    from soundspot.benchmark.page.server import open_project_page
    from soundspot.inference.contours.load_segmenter import load_segmenter

    opened = _open(project)
    load_segmenter(segmenter)  # a missing extra is an error before the page, not on it
    serve_page(lambda: open_project_page(opened, host, segmenter), host, port, Limits())


def _open(folder: Path) -> "Project":
    from soundspot.benchmark.project import Project

    return Project(folder)


def _check_named(annotator: str | None) -> str:
    if annotator is None:
        raise InputError("the annotator is not named: give --annotator NAME, which the journal stores.")
    return annotator


def _read_lines(names: Sequence[str]) -> list[str]:
    """Return names; of a single text file its lines."""
    if len(names) == 1 and Path(names[0]).is_file():
        lines = Path(names[0]).read_text(encoding="utf-8-sig").splitlines()
        return [line.strip() for line in lines if line.strip()]
    return list(names)


def _print_images(project: Path, summary: "ImageSummary") -> None:
    print(f"{project}: {summary.num_added} images added, {summary.num_missing} missing")
    for message in summary.messages:
        print(f"  {message}")

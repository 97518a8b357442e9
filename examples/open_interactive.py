"""Make the data set `open-interactive` of the package, with the library's own tools.

python examples/open_interactive.py [PROJECT]     # a folder; SOUNDSPOT_REALSET2 names the catalog

Two things that sound in each image: cut-outs composed by `soundspot benchmark`. From the test split of the catalog,
files of its part `train-ok` alone (the others are GPL), whose license allows it and, where that is CC BY or CC BY-SA,
whose author is named: so the one photograph there that shows two things, of Flickr, is left out. No person annotated
anything: masks are exact, and the clicks of the annotator `simulated clicks` are placed by them, to say how far a
clicked mask agrees.
"""

import os
import sys
from collections import Counter
from pathlib import Path

from soundspot.benchmark.annotation import save_annotation
from soundspot.benchmark.attribution import read_attributions
from soundspot.benchmark.audio import describe_audio_problem, list_unmatched, match_audio
from soundspot.benchmark.compose import compose_images
from soundspot.benchmark.licenses import describe_problem
from soundspot.benchmark.plan import BenchmarkPlan, draw_pairs
from soundspot.benchmark.project import COMPOSER, Project, create_project
from soundspot.benchmark.records import Source
from soundspot.benchmark.release import write_release
from soundspot.benchmark.selection import decide, selected_images
from soundspot.benchmark.simulate import simulate_annotator
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.catalog_format import ImageEntry
from soundspot.data.media.audio import read_audio
from soundspot.data.media.rle import decode_mask
from soundspot.inference.contours.load_segmenter import load_segmenter

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "src" / "soundspot" / "data" / "datasets" / "open_interactive"
CATALOG = Path(os.environ.get("SOUNDSPOT_REALSET2", ROOT.parent / "shared" / "realset2"))
MAX_USES = 11  # of a category
SEED, SIZE, RATE, SECONDS = 2026, 320, 16_000, 5
KEEPER = "keeper"  # who looked at contact sheets
UNNAMED = "see origin"  # in the attribution of photographs whose author must be looked up
TRAINED_ON = ROOT / "src" / "soundspot" / "pretrained" / "starter-sources.csv"
LEFT_OUT = {  # files whose cut-outs do not show what they should, seen on contact sheets
    "images/violin/oc_uccello_bianco_e_nero_ar_01.jpg": "shows a bird",
    "images/pig/oc_skoynk_peterm.jpg": "shows another animal, and letters",
    "images/car/coco_000000183709.jpg": "shows a piece of a car",
    "images/car/c101_car_side_0041.jpg": "a ragged mask",
    "images/guitar/c101_electric_guitar_0063.jpg": "the mask holds what is around it",
    "images/accordion/c101_accordion_0048.jpg": "the mask holds the player",
    "images/big_cat/c101_Leopards_0023.jpg": "a ragged mask",
    "images/saxophone/c101_saxophone_0011.jpg": "the mask holds what is around it",
    "images/telephone/c101_cellphone_0041.jpg": "the mask holds a hand",
    "images/telephone/c101_cellphone_0055.jpg": "shows a face",
}
NOTES = (
    "Composed by a program: an image shows a cut-out drawing (Twemoji, OpenMoji, Fluent Emoji, Open Clip Art) or a "
    "cut-out photograph for each thing, on a background of the same sources; `NOTICE` says which.",
    "Most photographs are of Caltech 101, a collection that was made with a web image search and published under CC BY "
    "4.0, whose single photographs nobody cleared.",
    "No person annotated it. Masks are those of the composition, exact to the pixel; those of the sources come from "
    "transparency (drawings) or from a program. The annotator `simulated clicks` is a program that places a box and up "
    "to three clicks by the exact mask: its masks are not used, and their IoU below says what clicks would do.",
    "Nobody listened to the sounds; their categories are those of the sources.",
)


def is_left_out(file: str, part: str, sources: dict[str, Source]) -> bool:
    """Return True for a file that may not be handed on, or does not show what it should."""
    source = sources[file]
    is_nameless = UNNAMED in source.author or bool(describe_problem(source.license, source.author))
    return file in LEFT_OUT or part != "train-ok" or is_nameless


def main(folder: Path) -> None:
    """Make the project in a folder, continue it where it was stopped, and release it into the package."""
    sources = read_attributions(CATALOG)
    parts = {file: str(source.details.get("part")) for file, source in sources.items()}

    def exclude(entry: ImageEntry) -> bool:
        return is_left_out(entry.file, parts[entry.file], sources)

    def exclude_audio(source: Source) -> bool:
        return source.details.get("part") != "train-ok" or bool(describe_problem(source.license, source.author))

    project = create_project(folder, make_plan_of_sounds(sources, parts))
    compose_images(project, CATALOG, size=SIZE, exclude=exclude)
    for record in project.journal.read_images():
        decide(project, KEEPER, record.id, "keep")
    match_audio(project, CATALOG, seconds=SECONDS, rate=RATE, exclude=exclude_audio)
    for record, category in list_unmatched(project, selected_images(project)):
        decide(project, KEEPER, record.id, "drop", f"no sound of {category} is left")
    simulate_clicks(project)
    summary = write_release(project, OUTPUT, train_lists=[TRAINED_ON], audio_format="flac", notes=NOTES, overwrite=True)
    size = sum(path.stat().st_size for path in OUTPUT.rglob("*") if path.is_file())
    print(f"{summary.num_images} images, {summary.num_instances} things, {size / 1e6:.1f} MB, {summary.checksum}")


def make_plan_of_sounds(sources: dict[str, Source], parts: dict[str, str]) -> BenchmarkPlan:
    """Plan as many pairs as there are sounds, of categories that have both sounds and masks."""
    catalog = Catalog(CATALOG, "test")
    usable = Counter(
        entry.category
        for entry in catalog.audio
        if not is_left_out(entry.file, parts[entry.file], sources)
        and not describe_audio_problem(read_audio(CATALOG / entry.file))
    )
    drawn = {
        image.category
        for image in catalog.images
        if image.mask and not is_left_out(image.file, parts[image.file], sources)
    }
    counts = {category: min(MAX_USES, count) for category, count in sorted(usable.items()) if category in drawn}
    if sum(counts.values()) % 2:
        counts[max(counts, key=lambda category: counts[category])] -= 1
    groups = draw_pairs({name: count for name, count in counts.items() if count}, SEED)
    return BenchmarkPlan("open-interactive", tuple(counts), tuple(groups), 1, (), SEED)


def simulate_clicks(project: Project) -> None:
    """Store the masks of a simulated annotator of a box and up to three clicks, for things that have none by it yet."""
    done = {(a.image, a.category) for a in project.journal.read_annotations() if a.annotator == "simulated clicks"}
    records = {record.id: record for record in selected_images(project)}
    for annotation in project.journal.read_annotations():
        record = records.get(annotation.image)
        if annotation.annotator != COMPOSER or record is None or (annotation.image, annotation.category) in done:
            continue
        target = decode_mask(annotation.mask)
        result = simulate_annotator(project.read_image(record), target, load_segmenter("grabcut"))[-1]
        if result.mask.any():
            save_annotation(
                project, "simulated clicks", record, annotation.category, result.mask, result.actions, "grabcut"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("open-interactive-project"))

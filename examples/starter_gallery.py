"""Tries the starter on photographs and clips of no training list: docs/starter.md, its pictures, docs/readme/strip.jpg.

python examples/starter_gallery.py REALSET2
"""

import sys
import tempfile
from pathlib import Path

from packaged_examples import PhotographScene
from PIL import Image

import soundspot
from marks import Marks
from soundspot.demo import PRESENCE
from soundspot.examples import CLIP
from soundspot.inference.render import make_contact_sheet

ROOT = Path(__file__).resolve().parent.parent
DOCS, PAGE = ROOT / "docs", ROOT / "docs" / "starter.md"
MARKS = Marks("gallery", "starter_gallery")
GULL, TOWER = "images/bird/coco_000000126107.jpg", "images/clock/coco_000000000626.jpg"
TICKING = "audio/clock/esc10_1-21934-A.flac"
PHOTOGRAPHS = (  # of the package, or of the catalog; with a sound of what it shows, and one of something else
    ("cat.jpg", "cat.flac", "dog.flac"),
    ("eagle.jpg", "crow.flac", "helicopter.flac"),
    ("helicopter.jpg", "helicopter.flac", "crow.flac"),
    (GULL, "crow.flac", "cat.flac"),
    (TOWER, TICKING, "dog.flac"),
)
STRIP = (("cat.jpg", "cat.flac", "dog.flac"), ("helicopter.jpg", "helicopter.flac"))


def locate(localizer: soundspot.Localizer, catalog: Path, image: str, *audios: str) -> list[tuple[Image.Image, str]]:
    """The photograph and the map of each sound, with captions."""
    encoded = localizer.encode_image(find(catalog, image))
    cells = [(encoded.image, title(image))]
    for audio in audios:
        result = localizer.predict(encoded, find(catalog, audio))
        cells.append((result.overlay(), f"{title(audio)}: {PRESENCE[result.present]}"))
    return cells


def find(catalog: Path, name: str) -> Path:
    """A file of the catalog, or of the package."""
    return catalog / name if "/" in name else soundspot.example_path(name)


def title(name: str) -> str:
    """What a reader is shown of a file of the catalog."""
    return {GULL: "gull.jpg", TOWER: "clock_tower.jpg", TICKING: "ticking.flac"}.get(name, name)


def write(rows: list[list[tuple[Image.Image, str]]], path: Path, height: int) -> None:
    """Writes rows of captioned images."""
    path.parent.mkdir(exist_ok=True)
    images, captions = ([[cell[n] for cell in row] for row in rows] for n in (0, 1))
    make_contact_sheet(images, captions, height).save(path, quality=88)


def main() -> None:
    """Writes the pictures and what was found."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    catalog = Path(sys.argv[1])
    localizer = soundspot.load()
    write([[cell for row in STRIP for cell in locate(localizer, catalog, *row)]], DOCS / "readme" / "strip.jpg", 200)
    columns = [locate(localizer, catalog, *row) for row in PHOTOGRAPHS]
    write([list(row) for row in zip(*columns, strict=True)], DOCS / "starter" / "photographs.jpg", 190)
    lines = ["| photograph | its own sound | another |", "| --- | --- | --- |"]
    lines += [f"| {' | '.join(cell[1] for cell in column)} |" for column in columns]
    schedule = ((0.0, "crow.flac"), (4.5, str(catalog / TICKING)), (8.5, "cat.flac"))
    places = (str(catalog / GULL), str(catalog / TOWER))
    with tempfile.TemporaryDirectory() as scratch:
        second = PhotographScene(places, schedule, seconds=12.0, fps=10).write(Path(scratch) / "second.mp4")
        lines += ["", "| clip | frames | nothing here |", "| --- | ---: | ---: |"]
        for number, path in enumerate((soundspot.example_path(CLIP), second), 1):
            summary = localizer.locate_video(path).save(contact_sheet=DOCS / "starter" / f"clip{number}.jpg")
            absent = "unknown" if summary.num_absent is None else f"{summary.num_absent / summary.num_frames:.0%}"
            lines.append(f"| {number} | {summary.num_frames} | {absent} |")
    MARKS.fill(PAGE, "\n".join(lines))


if __name__ == "__main__":
    main()

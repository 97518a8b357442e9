"""Images come from folders or cut-outs; what is killed goes on, what shows nothing is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soundspot.benchmark.annotation import read_masks
from soundspot.benchmark.compose import compose_images
from soundspot.benchmark.image_folder import add_image_folder
from soundspot.benchmark.journal import COMPOSER
from soundspot.benchmark.plan import make_plan
from soundspot.benchmark.project import Project, add_image, check_files, create_project
from soundspot.benchmark.records import Source
from soundspot.data.media.rle import decode_mask
from soundspot.errors import DataError


def paint(path: Path, color: tuple[int, int, int], **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((60, 80, 3), color, np.uint8)
    pixels[10:30, 20:50] += 50
    Image.fromarray(pixels).save(path, **options)


def test_compositions_have_exact_masks_and_one_license(project: Project) -> None:
    records = project.journal.read_images()
    assert len(records) == len(project.plan) == 6
    for record in records:
        masks = read_masks(project, record)
        assert [[a.annotator for a in drawn] for drawn in masks.values()] == [[COMPOSER], [COMPOSER]]
        first, second = (decode_mask(drawn[0].mask) for drawn in masks.values())
        assert not (first & second).any()
        image = np.asarray(project.read_image(record)).astype(int)
        assert image.shape == (96, 96, 3)
        assert abs(image[first].mean(axis=0) - image[second].mean(axis=0)).max() > 2
        assert (record.source.license, record.source.author) == ("CC0 1.0", "nobody")
        assert [entry["role"] for entry in record.source.details["images"]] == ["object", "object", "background"]


def test_a_composition_that_was_stopped_goes_on_alike(project: Project, catalog: Path, tmp_path: Path) -> None:
    other = create_project(tmp_path / "other", project.plan)

    class StoppedError(Exception):
        pass

    def stop() -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        compose_images(other, catalog, size=96, on_image=stop)
    assert compose_images(other, catalog, size=96).num_added == 5
    assert compose_images(other, catalog, size=96).num_added == 0
    before, after = project.journal.read_images(), other.journal.read_images()
    assert [record.sha256 for record in before] == [record.sha256 for record in after]


def test_licenses_that_do_not_fit_are_not_in_one_image(catalog: Path, tmp_path: Path) -> None:
    root = tmp_path / "catalog"
    root.mkdir()
    for name in ("images", "masks", "audio"):
        (root / name).symlink_to(catalog / name)
    document = json.loads((catalog / "annotations.json").read_text())
    for entry in document["images"]:
        entry["licence"] = "GPL-2" if entry["category"] == document["images"][0]["category"] else "CC BY-SA 4.0"
    (root / "annotations.json").write_text(json.dumps(document))
    names = sorted({entry["category"] for entry in document["images"]})
    project = create_project(tmp_path / "p", make_plan("mixed", names))
    with pytest.raises(DataError, match="expected licenses that fit together"):
        compose_images(project, root, size=64)


def test_folders_are_named_by_categories(tmp_path: Path) -> None:
    for n in range(3):
        paint(tmp_path / f"own/dog+cat/{n}.png", (10 * n, 40, 60))
    paint(tmp_path / "own/Cow+Dog/a.jpg", (200, 40, 60))
    (tmp_path / "own/dog+cat/0-broken.png").write_bytes(b"no image")
    Image.new("RGB", (50, 50)).save(tmp_path / "own/dog+cat/0-black.png")
    (tmp_path / "own/sources.csv").write_text(
        "file,license,author,origin\ndog+cat/0.png,CC BY 4.0,Ann,https://example.org/1\n"
    )
    project = create_project(tmp_path / "p", make_plan("mine", ["dog", "cat", "cow"], images_per_pair=2))
    summary = add_image_folder(project, tmp_path / "own", license="CC0 1.0")
    assert (summary.num_added, summary.num_missing) == (3, 3)
    messages = "\n".join(summary.messages)
    assert "0-broken.png: found a file of no known image format" in messages
    assert "0-black.png: found an image that is black all over" in messages
    assert "2.png: the plan asks for no more images of cat and dog" in messages
    first = project.journal.read_images("categories LIKE '%cat%'")[0]
    assert (first.source.license, first.source.author, first.source.origin) == (
        "CC BY 4.0",
        "Ann",
        "https://example.org/1",
    )
    assert {record.categories for record in project.journal.read_images()} == {("dog", "cow"), ("dog", "cat")}
    assert add_image_folder(project, tmp_path / "own").num_added == 0


def test_an_image_is_added_once(tmp_path: Path) -> None:
    paint(tmp_path / "own/dog/a.png", (9, 9, 9))
    (tmp_path / "own/dog/b.png").write_bytes((tmp_path / "own/dog/a.png").read_bytes())
    project = create_project(tmp_path / "p", make_plan("mine", ["dog"], pairs="single", images_per_pair=3))
    summary = add_image_folder(project, tmp_path / "own")
    assert summary.num_added == 1
    assert "has the content of images/dog_00000.jpg" in summary.messages[0]


def test_a_folder_of_an_unknown_name_is_refused(tmp_path: Path) -> None:
    paint(tmp_path / "own/dgo/a.png", (9, 9, 9))
    project = create_project(tmp_path / "p", make_plan("mine", ["dog"], pairs="single"))
    with pytest.raises(DataError, match=r"is named by no categories that the plan has together\. Did you mean 'dog'"):
        add_image_folder(project, tmp_path / "own")


def test_metadata_of_a_photograph_stays_at_home(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home, second floor"
    paint(tmp_path / "own/dog/a.jpg", (9, 99, 9), exif=exif)
    project = create_project(tmp_path / "p", make_plan("mine", ["dog"], pairs="single"))
    add_image_folder(project, tmp_path / "own")
    assert b"second floor" not in (project.folder / "images/dog_00000.jpg").read_bytes()


def test_an_image_that_vanishes_or_changes_is_named(project: Project) -> None:
    first, second, *_ = project.journal.read_images()
    project.image_path(first).unlink()
    Image.new("RGB", (96, 96), "red").save(project.image_path(second))
    messages = check_files(project, project.journal.read_images())
    assert len(messages) == 2
    assert "cannot be read" in messages[0]
    assert "was changed since it was added" in messages[1]
    with pytest.raises(DataError, match="was changed"):
        project.read_image(second)


def test_who_is_second_gets_the_image_of_the_first(project: Project) -> None:
    image = Image.new("RGB", (96, 96), "blue")
    record = add_image(project, project.plan.image(0), image, Source("folder"))
    assert record == project.journal.read_images()[0]


@pytest.mark.parametrize(
    ("size", "color", "message"), [((96, 96), "black", "black all over"), ((8, 90), "red", "8 x 90")]
)
def test_what_shows_nothing_is_no_image(project: Project, size, color, message) -> None:
    with pytest.raises(DataError, match=message):
        add_image(project, project.plan.image(0), Image.new("RGB", size, color), Source("folder"))

"""A release is read by `is3` and `catalog`, says what it is, and is verified to the byte."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from schemas import check_output
from soundspot.benchmark import gallery
from soundspot.benchmark.coco import read_coco
from soundspot.benchmark.duplicates import find_leaks, find_near_duplicates, hash_image
from soundspot.benchmark.licenses import combine_licenses, describe_problem, normalize_license
from soundspot.benchmark.plan import make_slug
from soundspot.benchmark.project import Project
from soundspot.benchmark.records import Source
from soundspot.benchmark.release import write_release
from soundspot.benchmark.release_items import collect_items
from soundspot.benchmark.selection import decide
from soundspot.benchmark.statistics import compute_statistics
from soundspot.benchmark.verify import verify_checksums
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.media.image import read_image
from soundspot.errors import DataError, OutputError


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, _matched: Path) -> Path:
    folder = tmp_path_factory.mktemp("released")
    (folder / "train.txt").write_text("nothing_of_ours\ncutouts_leaked\n")
    project = Project(shutil.copytree(_matched, folder / "project"))
    write_release(project, folder / "set", train_lists=[folder / "train.txt"], notes=["Drawn by <code>."])
    return folder / "set"


def test_the_reader_of_is3_reads_it(released: Path, matched: Project) -> None:
    data = open_dataset("is3", released, ground_truth="masks")
    boxes = open_dataset("is3", released)
    items = collect_items(matched)
    assert len(data) == len(boxes) == 12
    for index, item in enumerate(items):
        assert data.id(index) == item.stem
        assert data.group(index) == Path(item.record.file).stem
        assert data.category(index) == make_slug(item.category)
        mask = data.ground_truth(index).mask
        assert mask is not None
        assert (mask.numpy() == item.mask).all()
        assert data.read_image(index).size == (96, 96)
        assert data.read_audio(index).seconds == pytest.approx(0.5)
        box = boxes.ground_truth(index).to_map(96, 96).bool().numpy()
        assert box[item.mask].all()


def test_it_is_a_catalog_too(released: Path) -> None:
    check_output(json.loads((released / "annotations.json").read_text()), "annotations")
    catalog = Catalog(released, "test")
    assert len(catalog) == 12
    assert len({catalog.group(index) for index in range(12)}) == 6
    assert all(image.license == "CC0 1.0" for image in catalog.images)
    assert {audio.license for audio in catalog.audio} == {"CC BY 4.0"}


def test_coco_has_the_same_masks(released: Path, matched: Project) -> None:
    check_output(json.loads((released / "coco.json").read_text()), "coco-masks")
    images = read_coco(released / "coco.json")
    masks = [thing.mask for image in images for thing in image.objects]
    assert all((a == item.mask).all() for a, item in zip(masks, collect_items(matched), strict=True))


def test_the_gallery_shows_each_thing_with_its_outline_and_sound(released: Path, matched: Project) -> None:
    page = (released / "gallery.html").read_text()
    assert "All 6 images" in page
    files = re.findall(r'src="([^"]+)"', page)
    assert len([file for file in files if file.startswith("audio_wav/")]) == 12
    assert all((released / file).is_file() for file in files)
    for item in collect_items(matched):
        assert re.search(rf'aria-label="{item.category}"', page)
    assert len(re.findall(r'<path class="c[01]" d="M', page)) == 12


def test_an_outline_runs_along_the_edges_of_pixels() -> None:
    mask = np.ones((3, 4), bool)
    mask[1, 1] = mask[0, 3] = False  # a hole, and a corner
    data = gallery.format_outline(mask)
    assert data.startswith("M0,0H3M1,1H2M3,1H4M1,2H2M0,3H4")
    assert data.endswith("M0,0V3M1,1V2M2,1V2M3,0V1M4,1V3")


def test_a_gallery_of_many_images_has_evenly_spaced_ones(matched: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "MAX_IMAGES", 3)
    items = collect_items(matched)
    page = gallery.render_gallery("<b>", items, "flac")
    assert "&lt;b&gt;" in page
    assert "3 of 6 images, evenly spaced," in page
    assert page.count("<figure>") == 3
    assert f"images/{items[0].stem}.jpg" in page
    assert f"images/{items[10].stem}.jpg" in page


def test_the_card_says_what_it_is(released: Path) -> None:
    card = (released / "README.md").read_text()
    assert "Drawn by &lt;code&gt;." in card
    assert "| 6 | 3 | 12 | 12 | 12 |" in card
    assert "0 files have an origin that is in a training list given." in card
    assert "| ceiling |" in card
    statistics = json.loads((released / "statistics.json").read_text())
    check_output(statistics, "benchmark-statistics")
    assert (statistics["images"], statistics["classes"], statistics["instances"]) == (6, 3, 12)
    ceilings = json.loads((released / "ceilings.json").read_text())
    check_output(ceilings, "benchmark-ceilings")
    assert ceilings["corrected"]["ceiling"]["iiou_adaptive"] == 1
    assert ceilings["corrected"]["whole image"]["ciou"] < 0.5
    notice = (released / "NOTICE").read_text()
    assert notice.count("images/") == 12 * 4  # each copy with two objects and a background
    assert "== CC BY 4.0 ==" in notice


@pytest.mark.parametrize("change", ["missing", "changed", "added", "none"])
def test_a_changed_release_is_noticed(released: Path, tmp_path: Path, change: str) -> None:
    folder = Path(shutil.copytree(released, tmp_path / "copy"))
    mask = min((folder / "gt_segmentation").iterdir())
    if change == "none":
        digest = verify_checksums(folder)
        assert verify_checksums(folder, digest[:12]) == digest
        with pytest.raises(DataError, match="the checksum of the whole is"):
            verify_checksums(folder, "0000")
        return
    if change == "missing":
        mask.unlink()
    elif change == "changed":
        mask.write_bytes(mask.read_bytes() + b"\0")
    else:
        (folder / "more.txt").write_text("")
    with pytest.raises(DataError, match=rf"(png|txt) (is|was) {change}"):
        verify_checksums(folder)


def test_a_release_is_the_same_each_time(released: Path, matched: Project, tmp_path: Path) -> None:
    summary = write_release(matched, tmp_path / "again", train_lists=[], notes=["Drawn by <code>."])
    assert summary.checksum == verify_checksums(released)
    with pytest.raises(OutputError, match="exists already"):
        write_release(matched, tmp_path / "again")


def test_flac_is_read_as_well(matched: Project, tmp_path: Path) -> None:
    for record in matched.journal.read_images()[1:]:
        decide(matched, "ann", record.id, "drop", "looks unnatural")
    write_release(matched, tmp_path / "set", audio_format="flac")
    data = open_dataset("is3", tmp_path / "set")
    assert len(data) == 2
    assert data.read_audio(0).seconds == pytest.approx(0.5)


def test_what_is_not_ready_is_listed(project: Project, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image is kept"):
        write_release(project, tmp_path / "set")
    first, second, third, *_ = project.journal.read_images()
    for record in (first, second, third):
        decide(project, "ann", record.id, "keep")
    decide(project, "bob", third.id, "drop")
    project.image_path(second).unlink()
    with pytest.raises(DataError) as error:
        write_release(project, tmp_path / "set")
    for text in ("annotators disagree about 1 images", "cannot be read", "has no sound. Match one"):
        assert text in str(error.value)
    assert not (tmp_path / "set").exists()


def test_licenses_keep_a_release_back(matched: Project, tmp_path: Path) -> None:
    record = matched.journal.read_images()[0]
    key = matched.journal.read_audio()[0].key
    with matched.journal.connect(write=True) as connection:
        connection.execute("DROP TRIGGER no_update_of_images")
        connection.execute("DROP TRIGGER no_update_of_audio")
        connection.execute("UPDATE images SET source = ? WHERE id = 1", (Source("folder").to_json(),))
        source = Source("catalog", "CC BY 3.0", "https://freesound.org/s/1 (mirror)").to_json()
        connection.execute("UPDATE audio SET source = ? WHERE id = 1", (source,))
    with pytest.raises(DataError) as error:
        write_release(matched, tmp_path / "set")
    assert f"{Path(record.file).name}: its license is not known" in str(error.value)
    assert f"{key}, the sound of" in str(error.value)
    assert "CC BY 3.0 asks for the author's name" in str(error.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CC BY-SA 3.0 (photographs)", ("cc by-sa", "3.0")),
        ("cc-by-4.0", ("cc by", "4.0")),
        ("CC0 1.0", ("cc0", "1.0")),
        ("Public domain (dedication)", ("public domain", "")),
        ("CC BY-NC-SA 4.0", ("cc by-nc-sa", "4.0")),
        ("GPL-2", ("gpl", "2")),
        ("MIT", ("mit", "")),
        ("", ("", "")),
    ],
)
def test_licenses_are_recognized(text: str, name: tuple[str, str]) -> None:
    assert normalize_license(text) == name


@pytest.mark.parametrize(
    ("license", "author", "problem"),
    [
        ("CC0 1.0", "", ""),
        ("CC BY 4.0", "Ann", ""),
        ("CC BY 4.0", "", "asks for the author's name"),
        ("CC BY-ND 4.0", "Ann", "allows no derived works"),
        ("all rights reserved", "Ann", "is not known to allow copies"),
        ("", "Ann", "is not known"),
    ],
)
def test_some_licenses_allow_to_hand_on(license: str, author: str, problem: str) -> None:
    assert problem in describe_problem(license, author)
    assert bool(problem) == bool(describe_problem(license, author))


@pytest.mark.parametrize(
    ("licenses", "combined"),
    [
        (["CC0 1.0", "MIT", "CC BY 2.0", "CC BY 4.0"], "CC BY 4.0"),
        (["CC BY 4.0", "CC BY-SA 3.0", "CC BY-SA 4.0"], "CC BY-SA 4.0"),
        (["CC0 1.0", "GPL-2"], "GPL-2"),
        (["CC BY-SA 4.0", "GPL-2"], None),
        (["CC BY-SA 4.0", "CC BY-NC 4.0"], None),
        (["CC0 1.0", "CC BY-ND 4.0"], None),
        ([], None),
    ],
)
def test_licenses_of_one_work(licenses: list[str], combined: str | None) -> None:
    if combined is None:
        with pytest.raises((DataError, ValueError)):
            combine_licenses(licenses)
    else:
        assert combine_licenses(licenses) == combined


def test_scaled_copies_are_near_duplicates(matched: Project) -> None:
    images = {record.file: matched.read_image(record) for record in matched.journal.read_images()}
    hashes = {name: hash_image(image) for name, image in images.items()}
    name, image = next(iter(images.items()))
    hashes["copy"] = hash_image(image.resize((70, 70)).point(lambda value: min(255, value + 5)))
    pairs = find_near_duplicates(hashes)
    assert (name, "copy") in pairs
    assert len(pairs) < 4


def test_leaks_are_found_by_origin_and_group(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("abcdefghijk_000030\nphotos/dog_12.jpg\nother\n")
    sources = {
        "a": [Source("vggsound", origin="x", group="abcdefghijk_000030")],
        "b": [Source("catalog", origin="set, images/dog/dog_12.png")],
        "c": [Source("composed", details={"images": [{"file": "images/other.jpg", "group": "g"}]})],
        "d": [Source("folder", origin="nothing.jpg")],
    }
    leaks = find_leaks(sources, [tmp_path / "train.txt"])
    assert [(file, id) for file, id, _ in leaks] == [("a", "abcdefghijk_000030"), ("b", "dog_12"), ("c", "other")]


def test_statistics_count_and_measure() -> None:
    mask = np.zeros((64, 64), bool)
    mask[:32, :32] = True
    statistics = compute_statistics(1, ["dog", "cat"], [mask, ~mask], [1.0, 3.0])
    assert statistics.counts == {"cat": 1, "dog": 1}
    assert statistics.areas.tolist() == [0.25, 0.75]
    assert (statistics.positions == 0.5).all()


def test_boxes_are_of_the_squashed_image(matched: Project, released: Path) -> None:
    entries = json.loads((released / "IS3_annotation.json").read_text())
    check_output(entries, "is3")
    entry = entries[0]
    item = collect_items(matched)[0]
    rows = np.flatnonzero(item.mask.any(1))
    assert entry["gt_box"][1] == np.floor(rows[0] * 224 / 96)
    assert all(value == round(value) and 0 <= value <= 224 for value in entry["gt_box"])
    assert read_image(released / entry["image"]).size == (96, 96)
    assert soundfile.info(released / entry["audio"]).subtype == "PCM_16"

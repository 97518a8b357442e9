"""Formats by name and ending, and what a file of theirs is to readers that are not ours, where these are installed."""

import csv
import html
import io
import json
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from made_events import VIDEO, event, other_video, table
from soundspot.errors import OutputError
from soundspot.inference.events.event import EventTable
from soundspot.inference.events.exports.formats import FORMATS, choose_format, write_events
from soundspot.inference.events.video_events import VideoEvents, merge_events

NASTY = 'a, "b" <i>c</i> & d'


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("a.CSV", "csv"),
        ("a.json", "json"),
        ("a.coco.json", "coco"),
        ("a.txt", "audacity"),
        ("a.Table.1.selections.txt", "raven"),
        ("a.raven.txt", "raven"),
        ("a.eaf", "elan"),
        ("a.srt", "srt"),
        ("a.vtt", "webvtt"),
        ("a.rttm", "rttm"),
    ],
)
def test_the_ending_names_the_format(name: str, file_format: str) -> None:
    assert choose_format(Path(name)) is FORMATS[file_format]


def test_a_format_that_is_unknown_is_answered_with_one_that_is() -> None:
    with pytest.raises(OutputError, match=r"called 'audacty'\. Did you mean 'audacity'\?"):
        choose_format(Path("a.txt"), "audacty")
    with pytest.raises(OutputError, match=r"a\.xlsx: no format of events ends so; expected \.csv, \.json"):
        choose_format(Path("a.xlsx"))
    with pytest.raises(OutputError, match=r"describes one video\. For a folder use csv, json, coco, raven, rttm"):
        choose_format(Path("a.srt"), several=True)


@pytest.fixture(scope="module")
def many() -> EventTable:
    base = event(0.0, 0.1, NASTY)
    return table(*(replace(base, start=n / 4, end=n / 4 + 1) for n in range(10_000)))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_no_event_and_ten_thousand(name: str, many: EventTable) -> None:
    chosen = FORMATS[name]
    assert isinstance(chosen.to_text(table()), str)
    begun = time.process_time()
    assert chosen.to_text(many)
    assert time.process_time() - begun < 5


def test_events_are_written_in_order_whatever_order_they_come_in(tmp_path: Path) -> None:
    first, second = VideoEvents((VIDEO,), (event(0, 1),)), table(event(3, 4), event(1, 2))
    merged = merge_events([first, replace(second, videos=second.videos)])
    assert [row.start for row in merged] == [0, 1, 3]
    merged.save(path := tmp_path / "all.csv")
    assert len(path.read_text().splitlines()) == 4
    with pytest.raises(OutputError, match="exists already"):
        merged.save(path, overwrite=False)
    with pytest.raises(OutputError, match="no format of events ends so"):
        merged.save(tmp_path / "all.doc")


def test_events_at_a_time_are_those_in_progress() -> None:
    events = VideoEvents((VIDEO,), (event(0, 2), event(1, 3, identity=2)))
    assert [(row.identity, index) for row, index in events.at(1.55)] == [(1, 15), (2, 5)]
    assert events.at(5.0) == []


def overlapping() -> EventTable:
    return table(event(0.5, 1.25, "dog"), event(1.0, 3.0, NASTY), event(1.001, 1.9996, "dog"))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    for name, chosen in FORMATS.items():
        write_events(tmp_path / f"clip{chosen.suffixes[0]}", overlapping(), name)
    return tmp_path


def test_pympi_reads_the_eaf(written: Path) -> None:
    elan = pytest.importorskip("pympi").Elan
    eaf = elan.Eaf(str(written / "clip.eaf"))
    assert sorted(eaf.get_tier_names()) == sorted(["dog", "dog (2)", NASTY])
    assert eaf.get_annotation_data_for_tier("dog")[0][:3] == (500, 1250, "dog 0.90")
    assert eaf.get_annotation_data_for_tier(NASTY)[0][:3] == (1000, 3000, f"{NASTY} 0.90")
    assert eaf.get_linked_files()[0]["RELATIVE_MEDIA_URL"] == "./clip.mp4"


def test_webvtt_py_reads_the_cues(written: Path) -> None:
    captions = pytest.importorskip("webvtt").read(str(written / "clip.vtt")).captions
    times = [(row.start_time.in_milliseconds(), row.end_time.in_milliseconds()) for row in captions]
    assert times == [(500, 1250), (1000, 3000), (1001, 2000)]
    assert [html.unescape(row.text) for row in captions] == ["dog 0.90", f"{NASTY} 0.90", "dog 0.90"]


def test_pysrt_reads_the_cues(written: Path) -> None:
    cues = pytest.importorskip("pysrt").open(str(written / "clip.srt"), encoding="utf-8")
    assert [(cue.start.ordinal, cue.end.ordinal) for cue in cues] == [(500, 1250), (1000, 3000), (1001, 2000)]
    assert [cue.text for cue in cues] == ["dog 0.90", 'a, "b" ‹i›c‹/i› & d 0.90', "dog 0.90"]


def test_pycocotools_scores_the_tracks_as_their_own_truth(written: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    path = written / "clip.coco.json"
    truth = coco.COCO(str(path))
    results = truth.loadRes([dict(row) for row in json.loads(path.read_text())["annotations"]])
    evaluation = cocoeval.COCOeval(truth, results, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore")
def test_crowsetta_reads_audacity_and_raven(written: Path) -> None:
    crowsetta = pytest.importorskip("crowsetta")
    labels = crowsetta.formats.by_name("aud-seq").from_file(written / "clip.txt")
    assert labels.start_times.tolist() == [0.5, 1.0, 1.001]
    boxes = crowsetta.formats.by_name("raven").from_file(written / "clip.raven.txt", annot_col="Annotation").to_bbox()
    assert (boxes[0].onset, boxes[0].offset, boxes[0].high_freq) == (0.5, 1.25, 8000.0)
    assert boxes[1].label == NASTY.replace('"', "'")


@pytest.mark.filterwarnings("ignore")
def test_pyannote_reads_the_rttm(written: Path) -> None:
    util = pytest.importorskip("pyannote.database.util")
    annotation = util.load_rttm(written / "clip.rttm")["clip"]
    rows = [(round(s.start, 3), round(s.end, 3), label) for s, _, label in annotation.itertracks(yield_label=True)]
    assert rows[0] == (0.5, 1.25, "dog")
    assert len(rows) == 3


def test_names_of_files_and_labels_stay_in_their_fields() -> None:
    """Commas, quotes and HTML, read by parsers of Python's own library where there are any."""
    video = other_video(f"{NASTY.replace('/', '')}.mp4")
    made = table(event(0.5, 1.25, NASTY, video=video), event(2.0, 3.0, "dog", video=video), videos=(video,))
    text = {name: chosen.to_text(made) for name, chosen in FORMATS.items()}
    rows = [*csv.DictReader(io.StringIO(text["csv"], newline=""))]
    assert [(row["video"], row["label"]) for row in rows] == [(video.path.name, NASTY), (video.path.name, "dog")]
    assert [row["label"] for row in json.loads(text["json"])["events"]] == [NASTY, "dog"]
    coco = json.loads(text["coco"])
    assert {row["name"] for row in coco["categories"]} == {NASTY, "dog"}
    assert all(row["file_name"].startswith(video.path.stem) for row in coco["images"])
    assert [line.split("\t")[2] for line in text["audacity"].splitlines()] == [NASTY, "dog"]
    raven = [*csv.DictReader(io.StringIO(text["raven"], newline=""), delimiter="\t")]
    assert [row["Annotation"] for row in raven] == [NASTY.replace('"', "'"), "dog"]
    assert {row["Begin File"] for row in raven} == {video.path.name.replace('"', "'")}
    elan = ET.fromstring(text["elan"].encode())
    assert {tier.get("TIER_ID") for tier in elan.iter("TIER")} == {NASTY, "dog"}
    assert [len(cue.splitlines()) for cue in text["srt"].strip().split("\n\n")] == [3, 3]
    assert NASTY in html.unescape(text["webvtt"])
    assert "<i>" not in text["webvtt"] + text["srt"]
    assert {len(line.split(" ")) for line in text["rttm"].splitlines()} == {10}


def test_supervision_takes_the_boxes_of_a_moment() -> None:
    pytest.importorskip("supervision")
    events = VideoEvents((VIDEO,), (event(0, 2, "dog"), event(1, 3, identity=2)))
    detections = events.to_supervision(1.5)
    assert detections.xyxy.tolist() == [[15, 2, 23, 12], [5, 2, 13, 12]]
    assert (detections.tracker_id.tolist(), detections.data["label"].tolist()) == ([1, 2], ["dog", "source 2"])
    assert len(events.to_supervision(7.0)) == 0


def test_two_videos_of_one_name_in_two_folders_stay_two() -> None:
    videos = other_video("a/clip.mp4"), other_video("b/clip.mp4")
    both = table(event(0, 1, video=videos[0]), event(0, 1, video=videos[1]), videos=videos)
    content = json.loads(FORMATS["coco"].to_text(both))
    assert len({line.split(" ")[1] for line in FORMATS["rttm"].to_text(both).splitlines()}) == 2
    assert len({row["file_name"] for row in content["images"]}) == len(content["images"])

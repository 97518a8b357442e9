"""Maps that anyone has written into a folder: scored like a model's own, and refused where they are wrong."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import ROOT
from fake import Batched, Squares, listener
from schemas import check_output
from soundspot.errors import DataError, InputError, OutputError, SoundspotError
from soundspot.evaluation import functional as F
from soundspot.evaluation.engine.evaluate import evaluate, evaluate_maps
from soundspot.evaluation.engine.predict import make_silence
from soundspot.evaluation.engine.predictions import Predictions, write_maps
from soundspot.evaluation.metrics.inputs import select_best_threshold
from soundspot.evaluation.metrics.registry import NEGATIVES
from soundspot.evaluation.protocols.presets import PROTOCOLS, compute_columns
from soundspot.types import Box, GroundTruth
from soundspot.utils.atomic_io import DiskFullError

DATA = Squares()
IDS = [DATA.id(i) for i in range(len(DATA))]
LOCALISATION = ("ciou", "auc", "ciou_adaptive", "auc_adaptive", "mean_iou", "iiou", "iauc", "cap", "piap", "fscore")


def write(folder: Path, maps: dict[str, np.ndarray], **meta: object) -> Path:
    folder.mkdir(parents=True)
    write_maps(folder, maps, meta)
    return folder


@pytest.fixture
def maps() -> dict[str, np.ndarray]:
    return {id: listener(DATA.read_image(i), DATA.read_audio(i)).numpy() for i, id in enumerate(IDS)}


@pytest.mark.parametrize("size", [0, 500, 3000])
def test_an_evaluation_on_a_full_disk_ends_in_our_error(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files may not grow beyond `size`: the system says so as it says that a disk is full."""
    monkeypatch.setattr("soundspot.evaluation.engine.disk_tensor.MAX_MEMORY_BYTES", 100)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"soundspot-.*could not be written") as info:
            evaluate(Batched(), DATA, bootstraps=20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert isinstance(info.value, DiskFullError) or not size  # without any room there is no folder for temporary files


def test_pixels_are_sorted_only_for_scores_that_are_wanted(
    tmp_path: Path, maps, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "maps", maps)
    every = evaluate_maps(folder, DATA, bootstraps=0).model.metrics
    assert evaluate_maps(folder, DATA, bootstraps=0, metrics=["cap"]).model.metrics == {"cap": every["cap"]}
    calls = []
    monkeypatch.setattr(F, "source_ap", lambda *arguments: calls.append(arguments))
    assert evaluate_maps(folder, DATA, bootstraps=0, metrics=["auc"]).model.metrics["auc"] == every["auc"]
    assert not calls


def test_a_folder_scores_as_the_model_that_wrote_it(tmp_path: Path) -> None:
    report = evaluate(Batched(), DATA, protocol="all", output=tmp_path / "run", bootstraps=50)
    again = evaluate_maps(tmp_path / "run" / "maps", DATA, protocol="all", bootstraps=50)
    assert again.model.name == "listener"
    for key in LOCALISATION:
        assert again.model.metrics[key] == report.model.metrics[key]
    ours = [line.protocol["name"] for line in report.other_protocols]
    assert [other.rows[0] for other in again.other_protocols] == [other.rows[0] for other in report.other_protocols]
    assert ours == [line.protocol["name"] for line in again.other_protocols]
    beside = {row.name: row for row in report.rows}
    assert all(beside[row.name].metrics == row.metrics for row in again.rows[1:])
    assert {row.name for row in again.rows[1:]} == {"whole image", "centered box", "ceiling"}


def test_half_precision_other_sizes_and_shards_are_read(tmp_path: Path, maps: dict[str, np.ndarray]) -> None:
    whole = evaluate_maps(write(tmp_path / "whole", maps), DATA, bootstraps=0)
    folder = tmp_path / "parts"
    folder.mkdir()
    half = {id: one.astype(np.float16) for id, one in maps.items()}
    for number, ids in enumerate((IDS[:5], IDS[5:])):
        np.savez_compressed(folder / f"maps-{number}.npz", **{id: half[id] for id in ids})
    (folder / "meta.json").write_text('\ufeff{"unknown": [1, 2]}', encoding="utf-8")
    assert str(evaluate_maps(folder, DATA, bootstraps=0).samples) == str(whole.samples)
    mixed = {id: one.repeat(2, 0).repeat(2, 1) if i % 2 else one for i, (id, one) in enumerate(maps.items())}
    found = evaluate_maps(write(tmp_path / "mixed", mixed), DATA, batch_size=3, bootstraps=0)
    assert [sample["peak_own"] for sample in found.samples] == [sample["peak_own"] for sample in whole.samples]


def test_folders_of_negatives_tell_whether_it_listens(tmp_path: Path, maps: dict[str, np.ndarray]) -> None:
    folder = write(tmp_path / "mine", maps, threshold=0.5)
    quiet = {id: listener(DATA.read_image(i), make_silence()).numpy() for i, id in enumerate(IDS)}
    for kind in NEGATIVES:
        write(folder / kind, quiet)
    write(folder / "saliency", {id: np.ones((4, 4), np.float32) for id in IDS})
    report = evaluate_maps(folder, DATA, bootstraps=50)
    assert report.sound_sensitivity is not None
    assert report.sound_sensitivity.is_sensitive
    assert [one.audio for one in report.sound_sensitivity.conditions] == ["own", "muted", "noise", "swapped audio"]
    assert report["pia_silence"] == report["pia_noise"] == 0
    assert report["f_loc"] > 0.6
    assert report.source["threshold"] == 0.5
    deaf = write(tmp_path / "deaf", maps)
    for kind in NEGATIVES:
        write(deaf / kind, maps)
    heard = evaluate_maps(deaf, DATA, bootstraps=50).sound_sensitivity
    assert heard is not None
    assert not heard.is_sensitive
    assert "cannot be said to listen" in heard.verdict
    assert all(one.overlap is not None and one.overlap.value == 1 for one in heard.conditions[1:])


def test_missing_maps_are_listed_or_count_as_failures(tmp_path: Path, maps: dict[str, np.ndarray]) -> None:
    whole = evaluate_maps(write(tmp_path / "whole", maps), DATA, bootstraps=0)
    gone = dict(list(maps.items())[2:]) | {"stranger": maps[IDS[0]]}
    folder = write(tmp_path / "gone", gone)
    with pytest.raises(DataError, match=f"2 of 12 samples have no map \\({IDS[0]}, {IDS[1]}\\).*--allow-missing"):
        evaluate_maps(folder, DATA)
    report = evaluate_maps(folder, DATA, allow_missing=True, bootstraps=0)
    assert report.n == 12
    assert any("2 samples have no map and count as failures" in note for note in report.notes)
    assert report["mean_iou"] == pytest.approx(whole["mean_iou"] - sum(s["iou"] for s in whole.samples[:2]) / 12)
    assert [sample["iou"] for sample in report.samples[:2]] == [0, 0]
    # a rule that keeps all of a constant map must not turn a missing map into a success
    keeping = evaluate_maps(folder, DATA, protocol="ezvsl", allow_missing=True, bootstraps=0)
    assert [sample["iou"] for sample in keeping.samples[:2]] == [0, 0]
    with pytest.raises(DataError, match="no map of any of the 12 samples"):
        evaluate_maps(write(tmp_path / "other", {"x": maps[IDS[0]]}), DATA, allow_missing=True)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (np.full((4, 4), np.nan, np.float32), "16 values that are not finite"),
        (np.ones((2, 4, 4), np.float32), r"shape \(2, 4, 4\)"),
        (np.ones((0, 4), np.float32), r"shape \(0, 4\)"),
        (np.array([["a", "b"]]), "expected an array of numbers"),
    ],
)
def test_a_wrong_map_is_named(tmp_path: Path, maps: dict[str, np.ndarray], broken: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=f"map of sample {IDS[3]}.*{said}"):
        evaluate_maps(write(tmp_path / "mine", maps | {IDS[3]: broken}), DATA)


def test_a_wrong_folder_is_told(tmp_path: Path, maps: dict[str, np.ndarray]) -> None:
    with pytest.raises(DataError, match=r"no such folder"):
        evaluate_maps(tmp_path / "none", DATA)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no maps\*.npz"):
        evaluate_maps(tmp_path / "empty", DATA)
    folder = write(tmp_path / "mine", maps)
    (folder / "meta.json").write_text("[1]")
    with pytest.raises(DataError, match=r"meta.json: cannot be read .*not an object"):
        evaluate_maps(folder, DATA)
    (folder / "meta.json").unlink()
    with pytest.raises(DataError, match=r"meta.json: cannot be read"):
        evaluate_maps(folder, DATA)
    (folder / "meta.json").write_text("{}")
    np.savez(folder / "maps-1.npz", **{IDS[0]: maps[IDS[0]]})
    with pytest.raises(DataError, match=f"{IDS[0]}.*two shards"):
        evaluate_maps(folder, DATA)
    (folder / "maps-1.npz").write_bytes((folder / "maps.npz").read_bytes()[:200])
    with pytest.raises(DataError, match=r"maps-1.npz is no readable .npz"):
        evaluate_maps(folder, DATA)
    (folder / "maps-1.npz").unlink()
    np.savez(folder / "maps-2.npz", **{"evil": np.array([{}], dtype=object)})
    assert read_pickles(folder)


def read_pickles(folder: Path) -> bool:
    """Whether an array of Python objects, which only a pickle can hold, is refused."""
    try:
        Predictions(folder).maps["evil"]
    except SoundspotError as error:
        return "evil" in str(error)
    return False


def test_the_example_is_twenty_lines_of_numpy_and_scores(tmp_path: Path) -> None:
    example = ROOT / "examples" / "write_predictions.py"
    code = example.read_text(encoding="utf-8")
    assert len(code.splitlines()) <= 20
    assert "soundspot" not in "".join(line for line in code.split('"""')[2].splitlines() if "import" in line)
    subprocess.run([sys.executable, example, tmp_path / "predictions"], check=True)
    meta = json.loads((tmp_path / "predictions" / "meta.json").read_text())
    check_output(meta, "predictions")
    report = evaluate_maps(tmp_path / "predictions", _scenes(), bootstraps=0)
    assert report.model.name == meta["model"]
    assert report.n == 100


def _scenes() -> object:
    from soundspot.data.datasets.registry import open_dataset

    return open_dataset("scenes-interactive", length=50, size=128, seconds=2.0)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("alignment", "ezvsl", "acl")]


@pytest.mark.parametrize("protocol", ["corrected", "avsbench", *SLOW])
def test_leaving_out_never_helps(tmp_path: Path, protocol: str) -> None:
    data = Squares(pictures=4, silence=True)
    ids = [data.id(i) for i in range(len(data))]
    rng = np.random.default_rng(0)
    drawn = {id: rng.normal(size=(8, 8)).astype(np.float32) for id in ids}
    negatives = {kind: {id: rng.normal(size=(8, 8)).astype(np.float32) for id in ids} for kind in NEGATIVES}

    def scored(name: str, left: list[str]) -> dict[str, float]:
        folder = write(tmp_path / name, {id: drawn[id] for id in left}, threshold=0.5)
        for kind, maps in negatives.items():
            write(folder / kind, {id: maps[id] for id in left})
        report = evaluate_maps(folder, data, protocol=protocol, allow_missing=True, bootstraps=0)
        return {key: found.value for key, found in report.model.metrics.items()}

    whole = scored("whole", ids)
    assert {"ap", "presence_auroc", "f_loc", "cap", "fscore", "pia_noise"} <= whole.keys()
    for number, lost in enumerate([[id] for id in ids] + [ids[:3], ids[1::2], ids[:-1]]):
        part = scored(f"part {number}", [id for id in ids if id not in lost])
        negatives_alone = {key for key in whole if key.startswith(("peak_", "presence_auroc_"))}  # of what has maps
        assert part.keys() - negatives_alone == whole.keys() - negatives_alone
        for key in part.keys() - {key for key in whole if key.startswith("peak_")}:  # a magnitude is no score
            worse = -1 if key.startswith("pia_") else 1
            assert worse * part[key] <= worse * whole[key] + 1e-9, (lost, key)


def test_folders_beside_must_be_whole_and_strangers_are_told(tmp_path: Path, maps: dict[str, np.ndarray]) -> None:
    folder = write(tmp_path / "mine", maps | {"stranger": maps[IDS[0]]})
    write(folder / "slience", maps)
    notes = " ".join(evaluate_maps(folder, DATA, bootstraps=0).notes)
    assert "1 maps are of no sample of this set and are ignored: stranger" in notes
    assert "unknown folders are ignored: slience (known: silence" in notes
    write(folder / "silence", dict(list(maps.items())[1:]))
    with pytest.raises(DataError, match=f"silence: 1 of 12 samples have no map \\({IDS[0]}\\)"):
        evaluate_maps(folder, DATA)


@pytest.mark.parametrize("threshold", ["0.5", float("nan"), True])
def test_a_threshold_that_is_no_number_is_refused(
    tmp_path: Path, maps: dict[str, np.ndarray], threshold: object
) -> None:
    folder = write(tmp_path / "mine", maps, threshold=threshold)
    with pytest.raises(DataError, match=r"found the threshold .*, expected a finite number"):
        evaluate_maps(folder, DATA)


def test_only_some_negatives_leave_out_what_is_of_all(tmp_path: Path, maps: dict[str, np.ndarray]) -> None:
    folder = write(tmp_path / "mine", maps, threshold=0.5)
    write(folder / "noise", maps)
    report = evaluate_maps(folder, DATA, bootstraps=0)
    assert "pia_noise" in report.model.metrics
    assert "f_loc" not in report.model.metrics
    assert any("asked with silence and offscreen, so F-LOC and F-AUC" in note for note in report.notes)


def test_one_of_three_annotators_is_not_one_of_one() -> None:
    boxes = (Box(0.0, 0.0, 64.0, 64.0, 1), Box(0.0, 0.0, 64.0, 32.0, 1))
    for annotators, wanted in ((None, 1.0), (1, 1.0), (3, 0.5)):
        truth = GroundTruth(128, 128, boxes, rule="consensus", num_annotators=annotators)
        assert truth.to_map(128, 128, by_annotator=True).max() == wanted
    assert truth.to_map(128, 128)[:32, :64].eq(1).all()  # as published, two boxes agree whoever drew them


@pytest.mark.parametrize("name", ["acl", "joint_slots"])
def test_fixed_thresholds_by_their_formulas(name: str) -> None:
    rng = np.random.default_rng(0)
    maps = torch.from_numpy(rng.normal(size=(30, 224, 224)).astype(np.float32))
    truths = torch.from_numpy(rng.random((30, 224, 224)) > 0.7)
    protocol = PROTOCOLS[name]
    plain = (
        maps.sigmoid()
        if name == "acl"
        else (maps - maps.amin((1, 2), True)) / (maps.amax((1, 2), True) - maps.amin((1, 2), True))
    )
    thresholds = [k / 20 for k in range(1, 20)] if name == "acl" else [0.6]
    found = []
    for at in thresholds:
        kept = plain >= at
        found.append(((kept & truths).sum((1, 2)) / (kept | truths).sum((1, 2))).double())
    wanted = max(found, key=lambda ious: F.auc(ious, "float").item())
    columns = select_best_threshold(
        compute_columns([protocol], protocol.upsample(maps), truths)[0], protocol, torch.ones(30, dtype=torch.bool)
    )
    assert torch.allclose(columns["iou"], wanted, atol=1e-7)

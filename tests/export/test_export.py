"""Exported models answer as torch does; what cannot be exported is refused before any work."""

import json
import resource
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import soundspot
from schemas import check_output
from soundspot.cli.main import main
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.frontend import PRESETS
from soundspot.data.datasets.registry import open_dataset
from soundspot.errors import CheckpointError, InputError, OutputError
from soundspot.export import OnnxLocalizer, export_model
from soundspot.export.convert import KEY, to_onnx
from soundspot.export.graph import AudioGraph, ImageGraph, MapGraph, example_inputs, freeze_switches
from soundspot.inference.localizer import Localizer
from soundspot.methods import METHODS, Method, create
from soundspot.types import Audio
from soundspot.utils.atomic_io import DiskFullError
from tiny import DENSEAV, denseav_front_end
from toys import TINY, toy

ort = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
pytest.importorskip("onnxscript", reason="the extra `export` is not installed")


@pytest.fixture(scope="module")
def model(localizer: Localizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    export_model(localizer, path, source={"checkpoint": "best.safetensors"})
    return path


def test_maps_and_codes_are_torchs(localizer: Localizer, model: Path) -> None:
    same(localizer.method, model.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_maps_and_codes_of_every_method_are_torchs(name: str) -> None:
    method = toy(name).eval()
    if name == "dsol":
        method.stage.fill_(2)  # the frozen first stage answers then: a branch that a value decides
    same(method, to_onnx(method).SerializeToString())


@pytest.mark.slow
def test_maps_and_codes_of_denseav_are_torchs() -> None:
    pytest.importorskip("transformers", reason="the extra `hub` is not installed")
    torch.manual_seed(0)
    method = create("denseav", front_end=denseav_front_end(), **DENSEAV | {"heads": 2, "class_token": True}).eval()
    same(method, to_onnx(method).SerializeToString())


def test_inputs_without_a_fixed_size_are_not_exported(localizer: Localizer, tmp_path: Path) -> None:
    one, other = Localizer(deepcopy(localizer.method)), Localizer(deepcopy(localizer.method))
    one.method.front_end = PRESETS["denseav@demo"]
    with pytest.raises(InputError, match=r"leaves the length of a sound or the shape of an image as it is"):
        export_model(one, tmp_path / "a.onnx")
    other.method.front_end = PRESETS["denseav"]
    with pytest.raises(InputError, match=r"a web page repeats short sounds .* Export it as .onnx"):
        export_model(other, tmp_path / "a.html")


def same(method: Method, content: bytes) -> None:
    """Of one and of several, the last sound being silence: maps to 1e-4, codes to 1e-4 of their largest number."""
    session, copy = ort.InferenceSession(content), freeze_switches(method)
    for b in (1, 4):
        picture, sound = example_inputs(copy, b)
        found = session.run(
            ["map", "encoded_image", "encoded_audio"], {"image": picture.numpy(), "audio": sound.numpy()}
        )
        with torch.no_grad():
            codes = ImageGraph(copy)(picture), AudioGraph(copy)(sound)
            truth = (MapGraph(copy)(*codes), *codes)
        sizes = (1.0, *(float(one.abs().max()) for one in codes))
        for ours, theirs, size in zip(found, truth, sizes, strict=True):
            assert np.isfinite(ours).all()
            np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4 * size, rtol=0)


def test_a_graph_answers_as_the_localizer_and_is_scored_alike(localizer: Localizer, model: Path) -> None:
    exported = OnnxLocalizer.load(model)
    scenes = open_dataset("scenes-interactive", length=4, size=128, seed=7007)
    ours, theirs = (
        exported(scenes.read_image(0), scenes.read_audio(0)),
        localizer(scenes.read_image(0), scenes.read_audio(0)),
    )
    torch.testing.assert_close(ours.scores, theirs.scores, atol=1e-4, rtol=0)
    assert (ours.threshold, ours.size, ours.region) == (theirs.threshold, theirs.size, theirs.region)
    reports = [soundspot.evaluate(one, scenes, negatives=(), bootstraps=0) for one in (exported, localizer)]
    first, second = ({name: one.value for name, one in report.rows[0].metrics.items()} for report in reports)
    assert first["iiou_adaptive"] == pytest.approx(second["iiou_adaptive"], abs=1e-3)
    assert reports[0].front_end == reports[1].front_end


def test_a_model_says_what_it_is(localizer: Localizer, model: Path, tmp_path: Path) -> None:
    import onnx

    told = json.loads(next(one.value for one in onnx.load(model).metadata_props if one.key == KEY))
    spec = localizer.method.front_end
    assert told["method"] == "alignment"
    assert told["front_end"]["audio"]["hop"] == spec.audio.hop
    assert (told["samples"], told["channels"], told["threshold"]) == (16000, 3, localizer.threshold)
    assert told["source"] == {"checkpoint": "best.safetensors"}
    export_model(localizer, tmp_path / "parts")
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == [
        "audio.onnx",
        "image.onnx",
        "map.onnx",
        "model.json",
    ]
    check_output(json.loads((tmp_path / "parts" / "model.json").read_text()), "exported-model")
    again = OnnxLocalizer.load(tmp_path / "parts", threads=1)
    assert again.front_end == spec
    assert again.metadata == told | {"source": {}}


def test_eight_bits_are_smaller_and_nearly_as_good(localizer: Localizer, model: Path, tmp_path: Path) -> None:
    calibration = open_dataset("scenes-interactive", length=4, size=128, seed=6006)
    export_model(localizer, tmp_path / "int8.onnx", int8=True, calibration=calibration)
    assert (tmp_path / "int8.onnx").stat().st_size < model.stat().st_size
    small = OnnxLocalizer.load(tmp_path / "int8.onnx")
    assert small.metadata["weights"] == "int8"
    picture, sound = calibration.read_image(0), calibration.read_audio(0)
    apart = small(picture, sound).scores - localizer(picture, sound).scores
    assert 0 < float(apart.abs().max()) < 0.2


def own_rate() -> Localizer:
    """Of a front end that resamples nothing."""
    spec = PRESETS["alignment"]
    return Localizer(toy("alignment", front_end=replace(spec, audio=replace(spec.audio, rate=None))))


def of_vectors() -> Localizer:
    """Hears vectors of 16 numbers."""
    return Localizer(create("attention10k", image=TINY, audio={"encoder": "vectors", "width": 16}))


def test_what_cannot_be_exported_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundspot.export.write.to_onnx", lambda _: pytest.fail("work was begun"))
    flow = Localizer(toy("heartheflow"))
    refined = Localizer(toy("joint_slots"), refine="iqr")
    for localizer, options, words in (
        (own_rate(), {}, "each file's own rate"),
        (refined, {}, "refined maps are not exported"),
        (flow, {"int8": True}, "takes optical flow"),
        (of_vectors(), {"int8": True}, "takes audio embeddings"),
    ):
        with pytest.raises(InputError, match=words):
            export_model(localizer, tmp_path / "model.onnx", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="takes optical flow"):
        export_model(flow, tmp_path / "page.html")
    with pytest.raises(InputError, match="takes audio embeddings"):
        export_model(of_vectors(), tmp_path / "page", page=True)
    monkeypatch.setattr("soundspot.export.graph.MAX_BYTES", 1000)
    with pytest.raises(InputError, match="an ONNX file holds"):
        export_model(Localizer(toy("alignment")), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written(localizer: Localizer, tmp_path: Path) -> None:
    (tmp_path / "there.onnx").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    for path, words in (
        (tmp_path / "there.onnx", "exists already"),
        (tmp_path / "nowhere" / "model.onnx", "does not exist"),
        (tmp_path / "model.pt", r"cannot write .pt; use .onnx, .html"),
    ):
        with pytest.raises(OutputError, match=words):
            export_model(localizer, path)
    with pytest.raises(OutputError, match="holds something else"):
        export_model(localizer, tmp_path / "folder", overwrite=True)
    with pytest.raises(OutputError, match="--page goes with a folder"):
        export_model(localizer, tmp_path / "model.onnx", page=True)


@pytest.mark.parametrize("name", ["m.onnx", "parts"])
def test_a_full_disk_is_told_and_leaves_nothing(name: str, localizer: Localizer, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(DiskFullError, match=name):
            export_model(localizer, tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_what_is_no_exported_model_is_told(model: Path, tmp_path: Path) -> None:
    import onnx

    (tmp_path / "damaged.onnx").write_bytes(model.read_bytes()[:1000])
    foreign = onnx.load(model)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    (tmp_path / "empty").mkdir()
    hollow = onnx.load(model)
    hollow.metadata_props[0].value = "{}"
    onnx.save(hollow, tmp_path / "hollow.onnx")
    for name, words in (
        ("missing.onnx", "no such file"),
        ("damaged.onnx", r"damaged\.onnx: cannot be read"),
        ("foreign.onnx", "not one that `soundspot export"),
        ("empty", r"empty: cannot be read .*model\.json"),
        ("hollow.onnx", "expected metadata of soundspot"),
    ):
        with pytest.raises(CheckpointError, match=words):
            OnnxLocalizer.load(tmp_path / name)


def test_a_model_opens_no_other_file_and_what_it_cannot_run_is_our_error(model: Path, tmp_path: Path) -> None:
    import onnx

    changed = onnx.load(model)
    tensor = next(x for x in changed.graph.initializer if x.name)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secret"
    tensor.ClearField("raw_data")
    (tmp_path / "secret").write_bytes(bytes(10**6))
    (tmp_path / "m.onnx").write_bytes(changed.SerializeToString())
    with pytest.raises(CheckpointError, match="lies in another file, which is not opened"):
        OnnxLocalizer.load(tmp_path / "m.onnx")
    metadata = json.loads(onnx.load(model).metadata_props[0].value)
    for name, value in (("threshold", "x"), ("front_end", [[]]), ("upsampling", {"mode": 3})):
        changed = onnx.load(model)
        changed.metadata_props[0].value = json.dumps(metadata | {name: value})
        (tmp_path / "m.onnx").write_bytes(changed.SerializeToString())
        with pytest.raises(CheckpointError, match=r"m\.onnx: cannot be read"):
            OnnxLocalizer.load(tmp_path / "m.onnx")
    with pytest.raises(CheckpointError, match="subgraph map of the exported model: cannot be read"):
        OnnxLocalizer.load(model).run("map", torch.zeros(1, 1), torch.zeros(2, 1))


def test_a_method_that_torch_cannot_follow_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    localizer = Localizer(toy("lvs").eval())

    def by_value(image_codes: Any, sound_codes: Any) -> Any:
        return image_codes.sum(1) if bool(sound_codes.sum() > 0) else image_codes.amax(1)

    monkeypatch.setattr(localizer.method, "similarity_map", by_value)
    with pytest.raises(InputError, match=r"torch's exporter does not follow it \(Could not guard on data"):
        export_model(localizer, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_told_before_the_page_is_fetched(
    localizer: Localizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundspot.export.write.assets", lambda _: pytest.fail("the page was fetched"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(InputError, match="export needs onnxscript; install it"):
        export_model(localizer, tmp_path / "page.html")


def test_distances_of_another_norm_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    localizer = Localizer(toy("lvs").eval())

    def apart(image_codes: Any, sound_codes: Any) -> Any:
        return torch.cdist(image_codes.flatten(2).mT, sound_codes.flatten(1)[:, None], p=1)

    monkeypatch.setattr(localizer.method, "similarity_map", apart)
    with pytest.raises(InputError, match=r"torch.cdist is exported with p = 2 only, and here p = 1"):
        export_model(localizer, tmp_path / "model.onnx")


def test_a_vector_in_place_of_a_sound(tmp_path: Path) -> None:
    localizer = of_vectors()
    export_model(localizer, tmp_path / "model.onnx")
    picture, vector = np.zeros((64, 64, 3), np.uint8), torch.linspace(-1, 1, 16)
    ours, theirs = OnnxLocalizer.load(tmp_path / "model.onnx")(picture, vector), localizer(picture, vector)
    torch.testing.assert_close(ours.scores, theirs.scores, atol=1e-4, rtol=0)


def test_the_command(localizer: Localizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(localizer.method, tmp_path / "best.safetensors", threshold=0.3)
    assert (
        main(["export", "--model", str(tmp_path / "best.safetensors"), "--output", str(tmp_path / "model.onnx")]) == 0
    )
    assert "image (b, 3, 96, 96) in [0, 1], audio (b, 16000)" in capsys.readouterr().out
    found = OnnxLocalizer.load(tmp_path / "model.onnx")
    assert found.threshold == 0.3
    assert found.metadata["source"]["checkpoint"] == "best.safetensors"
    found.locate(np.zeros((40, 50, 3), np.uint8), Audio(torch.zeros(8000), 8000)).save(tmp_path / "out.png")
    assert (
        main(["export", "--model", str(tmp_path / "best.safetensors"), "--output", str(tmp_path / "model.onnx")]) == 2
    )
    assert "exists already" in capsys.readouterr().err

"""What a file of weights is: named from names and shapes alone, and nothing in it is run."""

import argparse
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import soundspot
from conftest import ROOT, golden_root
from released import shaped
from soundspot.cli.main import main
from soundspot.config.checkpoint import load_checkpoint, read_header, save_checkpoint
from soundspot.errors import CheckpointError
from soundspot.importers import IMPORTERS, import_checkpoint
from soundspot.methods import create
from soundspot.models.encoders import ENCODERS, build_encoder

LISTS = sorted({*golden_root().glob("*/keys.json"), *(ROOT / "tests" / "golden").glob("*/keys.json")})
EZVSL, LVS = ("ezvsl", "fnac", "marginnce"), ("alignment", "lvs")  # releases of one set of names and shapes each
SHARED = {name: some for some in (EZVSL, LVS) for name in some}
CLASSIFIER = "resnet18"
State = dict[str, torch.Tensor]


def of(keys: Path) -> str:
    """The method that a list belongs to, `CLASSIFIER`, or the folder's name where it is neither."""
    case = keys.with_name("case.json")
    name = json.loads(case.read_text())["method"] if case.is_file() else keys.parent.name
    return {"ogl": CLASSIFIER}.get(name, name)


def state_in(keys: Path) -> State:
    """Entries of those names and shapes, all zero and without a byte of their own."""
    return shaped(json.loads(keys.read_text()))


def named(keys: Path) -> str:
    return f"{keys.parent.name} {'here' if keys.is_relative_to(ROOT / 'tests') else 'there'}"


KNOWN = [keys for keys in LISTS if of(keys) in {*IMPORTERS, CLASSIFIER}]


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """put(content) -> a torch file of it."""

    def write(content: object, name: str = "weights.pth", **options: bool) -> Path:
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    return write


# Released weights.


def test_there_are_lists_of_every_importer_but_those_that_share_anothers() -> None:
    assert {of(keys) for keys in LISTS} >= set(IMPORTERS) - {"marginnce"}
    assert {of(keys) for keys in LISTS} <= {*IMPORTERS, CLASSIFIER}


@pytest.mark.parametrize("keys", LISTS, ids=named)
def test_every_list_of_names_is_named(keys: Path, put) -> None:
    state, name = state_in(keys), of(keys)
    found = soundspot.inspect_checkpoint(put({"model": state, "epoch": 3}))
    assert (found.nesting, found.other_keys, found.num_tensors) == (("model",), ("epoch",), len(state))
    assert found.prefix == ("module." if all(key.startswith("module.") for key in state) else "")
    assert name in found.methods
    assert found.kind == ("public" if name == CLASSIFIER else "release")
    assert found.is_usable


@pytest.mark.parametrize("keys", KNOWN, ids=named)
@pytest.mark.parametrize("damage", ["missing", "unknown", "of another shape"])
def test_one_name_that_does_not_fit_is_told(keys: Path, damage: str, put) -> None:
    state, name = state_in(keys), of(keys)
    prefix = "module." if all(key.startswith("module.") for key in state) else ""
    unused = () if name == CLASSIFIER else IMPORTERS[name].unused_prefixes
    at = next(
        key
        for key in state
        if key.endswith(("conv2.weight", "fc2.weight", "layer2.weight"))
        and not key.removeprefix(prefix).startswith(unused)
    )
    plain = at.removeprefix(prefix).replace("base_model.model.", "")  # of LoRA, which is merged
    if damage == "missing":
        del state[at]
    elif damage == "unknown":
        plain = "zebra.weight"
        state[prefix + plain] = torch.zeros(1)
    else:
        state[at] = torch.zeros(1, 2)
    path = put(state)
    found = soundspot.inspect_checkpoint(path)
    assert found.kind == "unknown"
    assert name in found.methods
    assert found.fit is not None
    assert found.fit.num_mismatched == 1
    assert f"1 {damage}; the first: {plain}" in found.format_summary()
    if name == CLASSIFIER:
        with pytest.raises(CheckpointError, match=rf"1 {damage} \(first: {plain}\)"):
            build_encoder({"weights": str(path)}, 3)
        return
    with pytest.raises(CheckpointError, match=rf"1 {damage} \(first: {plain}\)") as error:
        import_checkpoint(path, name)
    assert f"`soundspot checkpoint inspect {path}` says what it holds" in str(error.value)


@pytest.mark.parametrize("name", IMPORTERS)
def test_releases_that_share_their_names_are_all_named(name: str, put) -> None:
    keys = next((keys for keys in KNOWN if of(keys) in SHARED.get(name, [name])), None)
    assert keys is not None
    path = put(state_in(keys))
    found = soundspot.inspect_checkpoint(path)
    assert set(found.methods) == set(SHARED.get(name, [name]))
    told = found.format_summary()
    assert ("does not tell which of them it is" in told) == (name in SHARED)
    assert all(f"  soundspot checkpoint import {path} {name}" in told for name in found.methods)


NESTINGS = [(), ("model",), ("state_dict",), ("model_state_dict",), ("state_dict", "model")]


@pytest.mark.parametrize(
    ("suffix", "nesting"), [*((".pth", nesting) for nesting in NESTINGS), (".safetensors", ()), (".bin", ())], ids=str
)
@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
def test_nesting_and_prefix_are_found(nesting, prefix: str, suffix: str, tmp_path: Path) -> None:
    content: dict = {prefix + key: value for key, value in state_in(KNOWN[0]).items()}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        for key in reversed(nesting):
            content = {"best": np.float64(0.5), "count": np.int32(3), key: content}
        torch.save(content, path)
    else:
        save_file({key: value.contiguous() for key, value in content.items()}, path)
    found = soundspot.inspect_checkpoint(path)
    assert (found.nesting, found.prefix) == (nesting, prefix)
    assert of(KNOWN[0]) in found.methods
    assert found.num_bytes == path.stat().st_size


def test_the_public_classifier_is_no_localiser_but_an_encoders_beginning(put) -> None:
    state = build_encoder({"last_stride": 2}, 3).state_dict() | {"fc.weight": torch.zeros(1000, 512)}
    path = put(state | {"fc.bias": torch.zeros(1000)})
    found = soundspot.inspect_checkpoint(path)
    assert (found.kind, found.num_parameters) == ("public", 11_689_512)
    assert f"--image.weights {path}" in found.format_summary()
    with pytest.raises(CheckpointError, match="public file of an encoder: give it as the `weights` of 'resnet18'"):
        import_checkpoint(path, "ezvsl")


@pytest.mark.parametrize(
    ("encoder", "side"), [("vgg16", "image"), ("vggish", "audio"), ("efficientnet_lite0", "image"), ("aisfx", "audio")]
)
def test_public_files_of_other_encoders_are_named(encoder: str, side: str, put) -> None:
    with torch.device("meta"):
        network = ENCODERS[encoder](1 if side == "audio" else 3)
        names = getattr(network, "stages", network).state_dict()
    state = shaped([[name, list(value.shape), "float32"] for name, value in names.items()])
    if encoder == "vgg16":
        state |= shaped([["classifier.0.weight", [4096, 25088], "float32"]])
    path = put(state)
    found = soundspot.inspect_checkpoint(path)
    assert (found.kind, found.methods, found.is_usable) == ("public", (encoder,), True)
    assert f"--{side}.encoder {encoder} --{side}.weights {path}" in found.format_summary()
    with pytest.raises(CheckpointError, match=f"give it as the `weights` of '{encoder}'"):
        import_checkpoint(path, "sspl")


@pytest.mark.parametrize("method", ["sspl", "sspl_pcm"])
def test_each_of_several_files_of_a_release_is_named(method: str, put) -> None:
    keys = next(keys for keys in KNOWN if of(keys) == method)
    for part, file in IMPORTERS[method].files:
        state = {n.partition("/")[2]: v for n, v in state_in(keys).items() if n.startswith(f"{part}/")}
        path = put(state, file)
        found = soundspot.inspect_checkpoint(path)
        assert (found.kind, found.is_usable) == ("part", False)
        assert f"{method}: {file}" in found.methods
        assert len(found.methods) == (1 if part == "pcm" else 2)
        assert f"  soundspot checkpoint import FOLDER {method}" in found.format_summary()
        with pytest.raises(CheckpointError, match=r"one file of several .*: import the folder that holds them all"):
            import_checkpoint(path, method)


def test_what_nothing_here_knows(put) -> None:
    found = soundspot.inspect_checkpoint(put({"a.weight": torch.zeros(2, 3)}))
    assert (found.kind, found.methods, found.num_parameters) == ("unknown", (), 6)
    assert "No method here has any of its names" in found.format_summary()


# Files that are refused.


class Call:
    """What a pickle of it calls when it is opened."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def pickled(content: object, path: Path) -> None:
    with path.open("wb") as file:
        pickle.dump(content, file)


@pytest.mark.parametrize("way", ["zip", "legacy", "plain pickle"])
@pytest.mark.parametrize(
    "read", [soundspot.inspect_checkpoint, lambda p: import_checkpoint(p, "alignment")], ids=["inspect", "import"]
)
def test_a_pickle_with_code_is_refused_by_the_name_of_what_it_calls(way: str, read, tmp_path: Path) -> None:
    path, ran = tmp_path / "bomb.pth", tmp_path / "ran"
    calls = {f"{os.mkdir.__module__}.mkdir": Call(os.mkdir, str(ran)), "eval": Call(eval, f"open({str(ran)!r}, 'w')")}
    for name, call in calls.items():
        content = {"model": {"x": torch.zeros(1) if way != "plain pickle" else 1}, "args": call}
        if way == "plain pickle":
            pickled(content, path)
        else:
            torch.save(content, path, _use_new_zipfile_serialization=way == "zip")
        with pytest.raises(
            CheckpointError, match=rf"bomb.pth: opening it would call (builtins\.)?{name}, which .* refused"
        ):
            read(path)
    assert not ran.exists()


def test_options_of_a_script_beside_the_weights_are_refused_by_name(put) -> None:
    with pytest.raises(CheckpointError, match=r"would call argparse.Namespace, .* save its state dict"):
        soundspot.inspect_checkpoint(put({"args": argparse.Namespace(lr=1), "model": {"x": torch.zeros(1)}}))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"", r"the file is empty \(0 bytes\); fetch it again"),
        (b"hello, this is no checkpoint at all", "cannot be .* as"),
    ],
    ids=["missing", "empty", "text"],
)
def test_what_is_no_file_of_weights(content: bytes | None, said: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    if content is not None:
        path.write_bytes(content)
    for read in (soundspot.inspect_checkpoint, lambda path: import_checkpoint(path, "ezvsl")):
        with pytest.raises(CheckpointError, match=rf"{re.escape(str(path))}: {said}"):
            read(path)


@pytest.mark.parametrize("way", ["zip", "legacy", "safetensors"])
def test_a_file_cut_short(way: str, tmp_path: Path) -> None:
    path = tmp_path / ("x.safetensors" if way == "safetensors" else "x.pth")
    state = {"x": torch.zeros(1000)}
    if way == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=way == "zip")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match=r"cannot be .* If it was cut short, (copy or )?fetch it again"):
        soundspot.inspect_checkpoint(path)


def test_what_is_no_dict_of_tensors(put, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a list, expected a dict of tensors"):
        soundspot.inspect_checkpoint(put([1, 2]))
    with pytest.raises(
        CheckpointError, match=r"expected a dict of tensors, or one under .* found that 'net' is a dict"
    ):
        soundspot.inspect_checkpoint(put({"net": {"x": torch.zeros(1)}}))
    with pytest.raises(CheckpointError, match="is a folder"):
        soundspot.inspect_checkpoint(tmp_path)


def test_names_that_are_no_names(put) -> None:
    with pytest.raises(CheckpointError, match="expected a dict of tensors by name; found the key 0"):
        soundspot.inspect_checkpoint(put({0: torch.zeros(1)}))


def test_released_weights_become_a_checkpoint_that_commands_take(put, tmp_path: Path, capsys) -> None:
    torch.manual_seed(0)
    release, out = IMPORTERS["ezvsl"], tmp_path / "ours.safetensors"
    method = create("ezvsl").eval()
    path = put(
        {"model": {f"module.{release.to_released_name(key)}": value for key, value in method.state_dict().items()}}
    )
    assert main(["checkpoint", "import", str(path), "ezvsl", "-o", str(out)]) == 0
    again, header = load_checkpoint(out)
    assert (again.front_end, again.upsampling, header["source"]) == (method.front_end, method.upsampling, path.name)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in method.state_dict().items())
    assert main(["checkpoint", "import", str(path), "ezvsl", "-o", str(out)]) == 2
    assert "exists already. Pass --overwrite" in capsys.readouterr().err


# Our own checkpoints.


def test_our_own_files_are_no_released_weights(put, tmp_path: Path, tiny) -> None:
    save_checkpoint(tiny, tmp_path / "best.safetensors")
    with pytest.raises(
        CheckpointError, match=r"a checkpoint of soundspot and no released weights; soundspot.load opens it"
    ):
        import_checkpoint(tmp_path / "best.safetensors", "alignment")
    training = {"pytorch-lightning_version": "2.6", "state_dict": {"method.x": torch.zeros(1)}}
    with pytest.raises(
        CheckpointError, match=r"the training state of a soundspot run; its weights are in best.safetensors"
    ):
        soundspot.inspect_checkpoint(put(training))


def test_our_own_checkpoint_says_what_its_header_says(tmp_path: Path, tiny) -> None:
    path = tmp_path / "best.safetensors"
    recipe = {"data": {"name": "scenes"}, "train": {"epochs": 2.0, "batch_size": 8, "seed": 1, "workers": 4}}
    calibration = {"rule": "q3", "dataset": "scenes-interactive", "ids": ["0a"]}
    save_checkpoint(tiny, path, recipe=recipe, step=7, threshold=0.25, calibration=calibration)
    found = soundspot.inspect_checkpoint(path)
    assert (found.kind, found.methods, found.is_usable) == ("checkpoint", ("alignment",), True)
    assert found.num_tensors == len(tiny.state_dict())
    assert found.num_parameters == sum(p.numel() for p in tiny.parameters())
    about = found.header_summary
    assert about is not None
    assert about["encoders"]["image"]["width"] == 4
    assert about["recipe"]["data"] == "scenes"
    assert about["calibration"] == {"rule": "q3", "dataset": "scenes-interactive"}
    words = found.format_summary()
    for line in ("alignment (tau 0.1)", "32 x 32, squash", "0.2500, q3 of the peaks over", "scenes, 2 epochs", "257 x"):
        assert line in words
    save_checkpoint(tiny, path, recipe=recipe | {"train": recipe["train"] | {"workers": 0}})
    again = soundspot.inspect_checkpoint(path).header_summary
    assert again is not None
    assert again["recipe"]["id"] == about["recipe"]["id"], "workers move no number"
    assert "none (`soundspot calibrate` fits one)" in soundspot.inspect_checkpoint(path).format_summary()


def test_our_own_checkpoint_whose_weights_do_not_fit_or_whose_method_is_unknown(tmp_path: Path, tiny) -> None:
    path = tmp_path / "best.safetensors"
    save_checkpoint(tiny, path)
    header = read_header(path)
    save_file({"x": torch.zeros(1)}, path, metadata={"soundspot": json.dumps(header)})
    found = soundspot.inspect_checkpoint(path)
    assert not found.is_usable
    assert "1 unknown (first: x)" in found.format_summary()
    save_file({"x": torch.zeros(1)}, path, metadata={"soundspot": json.dumps(header | {"method": "of tomorrow"})})
    assert "this version cannot build its method" in soundspot.inspect_checkpoint(path).format_summary()


@pytest.fixture
def tiny():
    from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec

    small = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
    front_end = InputSpec(ImageSpec(32), AudioSpec(16000, 0.5))
    return create("alignment", image=small, audio=small, front_end=front_end, tau=0.1)

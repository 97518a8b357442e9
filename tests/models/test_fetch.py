"""Weights of wheels: checked by their hashes, read without running anything in them, in the cache or not there."""

import errno
import hashlib
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from soundspot.errors import CheckpointError, InputError, OutputError
from soundspot.models.aisfx import AISFX
from soundspot.models.encoders import build_encoder
from soundspot.models.fetch import FETCHABLE, fetch_weights


def released_state() -> dict[str, Tensor]:
    """Random weights of aiSFX under the released names, with a classifier."""
    torch.manual_seed(0)
    state = {f"embedding_net.conv_{key}": value for key, value in AISFX(width=None).stages.state_dict().items()}
    return {**state, "fc.0.0.weight": torch.zeros(2, 2)}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOUNDSPOT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel like that of aisfx, with hashes to match; pip would put it into the folder that it is given."""
    weights = FETCHABLE["aisfx"]
    file, wheel = tmp_path / "checkpoint.pth", tmp_path / "aisfx-0.1.2-py3-none-any.whl"
    torch.save((released_state(), {"ucs": (np.int64(0), 78)}), file)
    with ZipFile(wheel, "w") as archive:
        archive.write(file, weights.member)
    fake = replace(weights, wheel_sha256=sha256(wheel), sha256=sha256(file))
    monkeypatch.setitem(FETCHABLE, "aisfx", fake)
    monkeypatch.setattr(AISFX, "public", fake)
    return wheel


def set_pip(monkeypatch: pytest.MonkeyPatch, wheel: Path | None, error: str = "") -> list[list[str]]:
    """Replace pip by a copy of `wheel`, or by this error; return its command lines."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess:
        commands.append(command)
        if wheel:
            shutil.copy(wheel, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, int(not wheel), "", error)

    monkeypatch.setattr("soundspot.models.fetch.subprocess.run", run)
    return commands


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() or path.name.startswith("."))


def test_pip_downloads_the_pinned_version_once(wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = set_pip(monkeypatch, wheel)
    path = fetch_weights("aisfx")
    assert fetch_weights("aisfx") == path
    (command,) = commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary", "aisfx==0.1.2"} <= set(command)
    assert files(cache) == [path.name]
    with safe_open(path, "pt") as file:
        assert file.metadata()["license"] == "CC BY 4.0"
        assert "A. B. Ma and A. Lerch" in file.metadata()["attribution"]
        assert "block1.conv1.weight" in file.keys()  # noqa: SIM118
    encoder = build_encoder({"encoder": "aisfx", "weights": "pretrained"}, 1)
    theirs = released_state()["embedding_net.conv_block4.conv2.weight"]
    assert torch.equal(encoder.get_parameter("stages.block4.conv2.weight"), theirs)


@pytest.mark.parametrize("name", ["aisfx-0.1.2-py3-none-any.whl", "checkpoint.pth"])
def test_a_wheel_or_the_file_in_it_needs_no_pip(
    name: str, wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = set_pip(monkeypatch, None)
    path = fetch_weights("aisfx", wheel.with_name(name))
    assert files(cache) == [path.name]
    assert not commands


def test_the_released_file_and_the_converted_one_are_weights_too(wheel: Path, cache: Path) -> None:
    path = fetch_weights("aisfx", wheel)
    encoders = [
        build_encoder({"encoder": "aisfx", "weights": str(file), "width": None}, 1)
        for file in (path, wheel.with_name("checkpoint.pth"))
    ]
    first, second = (encoder.state_dict() for encoder in encoders)
    assert all(torch.equal(first[key], second[key]) for key in second)


def test_two_at_once_write_the_same_file(wheel: Path, cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        (path,) = {*pool.map(lambda _: fetch_weights("aisfx", wheel), range(4))}
    assert files(cache) == [path.name]
    assert build_encoder({"encoder": "aisfx", "weights": "pretrained"}, 1).channels == 512


def test_weights_in_half_precision_are_loaded_into_float32(wheel: Path, cache: Path, tmp_path: Path) -> None:
    state = load_file(fetch_weights("aisfx", wheel))
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file(half, tmp_path / "half.safetensors")
    encoder = build_encoder({"encoder": "aisfx", "weights": str(tmp_path / "half.safetensors")}, 1)
    weight = encoder.get_parameter("stages.block2.conv1.weight")
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, state["block2.conv1.weight"], rtol=1e-3, atol=1e-6)


def test_a_damaged_file_in_the_cache_is_fetched_again(
    wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch_weights("aisfx", wheel)
    size = path.stat().st_size
    os.truncate(path, size // 2)
    with pytest.raises(CheckpointError, match="cut short, fetch it again"):
        build_encoder({"encoder": "aisfx", "weights": "pretrained"}, 1)
    set_pip(monkeypatch, wheel)
    assert fetch_weights("aisfx").stat().st_size == size


@pytest.mark.parametrize(
    "error",
    [
        "WARNING: Retrying\nERROR: No matching distribution found for aisfx==0.1.2\n",
        "/usr/bin/python: No module named pip\n",
    ],
)
def test_without_network_or_pip_the_remedy_is_named(
    error: str, wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pip(monkeypatch, None, error)
    with pytest.raises(CheckpointError) as raised:
        fetch_weights("aisfx")
    message = str(raised.value)
    assert f"`pip download --no-deps aisfx==0.1.2` failed ({error.splitlines()[-1]})" in message
    assert message.endswith("give the wheel: `soundspot models fetch aisfx --from WHEEL`")
    assert not files(cache)


def test_a_cut_download_is_refused(wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = FETCHABLE["aisfx"]
    os.truncate(wheel, 1000)
    set_pip(monkeypatch, wheel)
    with pytest.raises(CheckpointError) as raised:
        fetch_weights("aisfx")
    assert f"found 1000 bytes with SHA-256 {sha256(wheel)}, expected {expected.wheel_sha256} (the wheel" in str(
        raised.value
    )
    assert f"{expected.sha256} (aisfx/models/checkpoint.pth in it)" in str(raised.value)
    assert not files(cache)


def test_a_wheel_with_another_file_in_it_is_refused(wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FETCHABLE, "aisfx", replace(FETCHABLE["aisfx"], sha256="0" * 64))
    with pytest.raises(CheckpointError, match=f"expected {sha256(wheel)} .* or {'0' * 64}"):
        fetch_weights("aisfx", wheel)
    assert not files(cache)


class Marker:
    """Unpickling this object makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_is_run(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the hash is the expected one."""
    file, marker = tmp_path / "checkpoint.pth", tmp_path / "marker"
    torch.save((released_state(), Marker(marker)), file)
    monkeypatch.setitem(FETCHABLE, "aisfx", replace(FETCHABLE["aisfx"], sha256=sha256(file)))
    with pytest.raises(CheckpointError, match=r"opening it would call \S*mkdir"):
        fetch_weights("aisfx", file)
    assert not files(cache)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Marker(marker)))
    assert marker.exists(), "the marker does mark"


def test_what_is_no_dict_of_tensors_is_refused(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "checkpoint.pth"
    for values in ([torch.zeros(1)], {"weights": 1}, ()):
        torch.save(values, file)
        with pytest.raises(CheckpointError, match="holds no dict of tensors, expected the weights of aisfx"):
            build_encoder({"encoder": "aisfx", "weights": str(file)}, 1)
    torch.save(dict(list(released_state().items())[1:]), file)
    with pytest.raises(CheckpointError, match=r"1 missing \(first: block1.conv1.weight\)"):
        build_encoder({"encoder": "aisfx", "weights": str(file)}, 1)


def test_a_cache_that_cannot_be_written(wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = set_pip(monkeypatch, wheel)
    cache.write_text("a file in the place of the folder")
    with pytest.raises(
        OutputError, match=r"could not be written .* or set SOUNDSPOT_CACHE to a folder that can be wri"
    ):
        fetch_weights("aisfx")
    assert not commands, "found before the download"


def test_a_read_only_cache_is_read(wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch_weights("aisfx", wheel)

    def refuse(folder: object, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder))

    monkeypatch.setattr(os, "mkdir", refuse)
    assert fetch_weights("aisfx") == path
    assert build_encoder({"encoder": "aisfx", "weights": "pretrained"}, 1).channels == 512
    path.unlink()
    with pytest.raises(OutputError, match=r"Read-only file system.*; or set SOUNDSPOT_CACHE to a folder"):
        fetch_weights("aisfx", wheel)
    assert not files(cache)


def test_names_and_paths_that_do_not_exist(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(
        InputError, match=r"no weights of 'efficientnet' can be fetched\. Did you mean 'efficientnet_lit"
    ):
        fetch_weights("efficientnet")
    with pytest.raises(
        InputError, match=r"none.whl: cannot be read .* Give the wheel of aisfx 0.1.2, or the file check"
    ):
        fetch_weights("aisfx", tmp_path / "none.whl")


@pytest.mark.parametrize("name", sorted(FETCHABLE))
def test_a_file_fits_its_encoder_alone(name: str, wheel: Path, cache: Path) -> None:
    path = fetch_weights("aisfx", wheel)
    if name == "aisfx":
        assert build_encoder({"encoder": name, "weights": str(path)}, 1).channels == 512
        return
    with pytest.raises(CheckpointError, match=r"of its weights \d+ missing"):
        build_encoder({"encoder": name, "weights": str(path)}, 3)

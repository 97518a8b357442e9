"""Released weights of a code base: its parameter names, and their translation to ours by prefixes."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from soundspot.errors import RecipeError
from soundspot.methods import create
from soundspot.methods.base import Method
from soundspot.models.weights import (
    Shape,
    WeightMatch,
    check_match,
    load_strict,
    match_weights,
    weight_shapes,
    without_initialization,
)


@dataclass(frozen=True)
class Release:
    """Parameter names of one published code base.

    Attributes:
        method: name of the method in this library.
        prefixes: (released prefix, local prefix) of parameter names; the first that matches is replaced.
        unused_prefixes: prefixes of names that the published forward never uses, which are dropped. All other names
            must be known.
        options: (name, value) of options with which the method is built.
        marker_prefixes: further unused prefixes, which identify this release among others of the same network: each
            must occur.
        infer_options: function from the weights to further options of the method.
        read_config: function from the released configuration to options that weights do not tell; None: there are none.
        prepare: function from the weights, and the name of their file, to those by the names of this release.
        files: (prefix, file name) of each file, where a release has several in a folder; empty: a single file.
    """

    method: str
    prefixes: tuple[tuple[str, str], ...]
    unused_prefixes: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    marker_prefixes: tuple[str, ...] = ()
    infer_options: Callable[[Mapping[str, Tensor]], dict[str, Any]] = lambda state: {}
    read_config: Callable[[Mapping[str, Any], str], dict[str, Any]] | None = None
    prepare: Callable[[Mapping[str, Tensor], str], Mapping[str, Tensor]] = lambda state, source: state
    files: tuple[tuple[str, str], ...] = ()

    def to_local_name(self, name: str) -> str:
        """Translate a released name to ours; names without a matching prefix are unchanged.

        Args:
            name: parameter name in the released file.

        Returns:
            Parameter name in the method.
        """
        released, local = next((pair for pair in self.prefixes if name.startswith(pair[0])), ("", ""))
        return local + name.removeprefix(released)

    def to_released_name(self, name: str) -> str:
        """Translate one of our names to the released one; names without a matching prefix are unchanged.

        Args:
            name: parameter name in the method.

        Returns:
            Parameter name in the released file, by the longest matching local prefix.
        """
        matching = [pair for pair in self.prefixes if name.startswith(pair[1])]
        released, local = max(matching, key=lambda pair: len(pair[1]), default=("", ""))
        return released + name.removeprefix(local)

    def expected_weights(self, state: Mapping[str, Tensor] | None = None) -> dict[str, Shape]:
        """Return names and shapes of the weights that the method has; nothing is allocated.

        Args:
            state: released parameter name -> weight, which may tell options of the method; None, or weights whose sizes
                do not go together: its defaults.

        Returns:
            Released parameter name -> shape.
        """
        try:
            shapes = _shapes(self.method, json.dumps(self._options(state or {})))
        except RecipeError:  # no network has the sizes of these weights
            shapes = _shapes(self.method, json.dumps(dict(self.options)))
        return {self.to_released_name(name): shape for name, shape in shapes}

    def match(self, state: Mapping[str, Tensor], file: str = "") -> WeightMatch:
        """Compare names and shapes of weights with those of this release; nothing is loaded or computed.

        Args:
            state: released parameter name -> weight.
            file: prefix, in `files`, of the single file that the weights are from; its names may lack `module.`. Empty:
                the weights are those of all files.

        Returns:
            Number of names with equal shapes, and the names that are missing, unknown or of another shape.
        """
        state = self.prepare(state, "the file")
        expected = self.expected_weights(state)
        if file:
            start = f"{file}/"
            names = (name for name in expected if name.startswith(start))
            expected = {name.removeprefix(start).removeprefix("module."): expected[name] for name in names}
        match = match_weights(expected, weight_shapes(self._used(state)))
        absent = (marker for marker in self.marker_prefixes if not any(name.startswith(marker) for name in state))
        return replace(match, missing=match.missing + tuple(f"{marker}*" for marker in absent))

    def may_match(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether any name begins as those of this release do, without building its method.

        Args:
            state: released parameter name -> weight.

        Returns:
            False where `match` would match no name.
        """
        return any(name.startswith(tuple(prefix for prefix, _ in self.prefixes)) for name in state)

    def __call__(self, state: Mapping[str, Tensor], source: str, config: Mapping[str, Any] | None = None) -> Method:
        """Build the method and load these weights into it.

        Args:
            state: released parameter name -> weight.
            source: name of the file for messages.
            config: released configuration, name -> value; None: there is none.

        Returns:
            The method in training mode, on the CPU.

        Raises:
            CheckpointError: a weight is missing, unknown or of another shape, or `read_config` needs a configuration
                that is missing or of another network.
        """
        state = self.prepare(state, source)
        check_match(self.match(state), source)  # before a network is built and filled
        options = self._options(state) | (self.read_config(config or {}, source) if self.read_config else {})
        with without_initialization():
            method = create(self.method, **options)
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

"""Renaming: the names of a released state dict to ours, by their beginnings."""

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


def _nothing(_: Mapping[str, Tensor]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Release:
    """One published code base's names.

    Attributes:
        method: ours; options: that it is created with.
        parts: beginnings of names, theirs to ours; the first that fits is replaced.
        unused: beginnings of names that the published forward never reads: dropped. All others must be known.
        own: further such beginnings, which every file of this release has and no other of the same network.
        measured: further options, read off the weights.
        files: where a release is several files in a folder: what each is called before its names, and its own name.
    """

    method: str
    prefixes: tuple[tuple[str, str], ...]
    unused_prefixes: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    marker_prefixes: tuple[str, ...] = ()
    infer_options: Callable[[Mapping[str, Tensor]], dict[str, Any]] = _nothing
    files: tuple[tuple[str, str], ...] = ()

    def to_local_name(self, name: str) -> str:
        """Our name of one of theirs; what no part fits stays as it is."""
        theirs, mine = next((pair for pair in self.prefixes if name.startswith(pair[0])), ("", ""))
        return mine + name.removeprefix(theirs)

    def to_released_name(self, name: str) -> str:
        """Their name of one of ours; what no part fits stays as it is."""
        fitting = [pair for pair in self.prefixes if name.startswith(pair[1])]
        theirs, mine = max(fitting, key=lambda pair: len(pair[1]), default=("", ""))
        return theirs + name.removeprefix(mine)

    def match(self, state: Mapping[str, Tensor]) -> WeightMatch:
        """How weights stand to those of this release, by their names and shapes; nothing is filled, or computed."""
        expected = _shapes(self.method, json.dumps(self._options(state)))
        fit = match_weights(
            {self.to_released_name(name): shape for name, shape in expected}, weight_shapes(self._used(state))
        )
        lacking = tuple(f"{mark}*" for mark in self.marker_prefixes if not any(name.startswith(mark) for name in state))
        return replace(fit, missing=fit.missing + lacking)

    def match_file(self, part: str, state: Mapping[str, Tensor]) -> WeightMatch:
        """The same of one of its files, where a release is several; `module.` may be before its names or not."""
        whole = {
            self.to_released_name(name): shape for name, shape in _shapes(self.method, json.dumps(dict(self.options)))
        }
        own = {name.removeprefix(f"{part}/"): shape for name, shape in whole.items() if name.startswith(f"{part}/")}
        return match_weights({name.removeprefix("module."): shape for name, shape in own.items()}, weight_shapes(state))

    def __call__(self, state: Mapping[str, Tensor], source: str) -> Method:
        """The method with these weights; CheckpointError where one is missing, unknown or of another shape."""
        check_match(self.match(state), source)  # before a network is made and filled
        method = create(self.method, **self._options(state))
        load_strict(method, self._used(state), source, rename=self.to_released_name)
        return method

    def _options(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        return dict(self.options) | self.infer_options(state)

    def _used(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: value
            for name, value in state.items()
            if not name.startswith(self.unused_prefixes + self.marker_prefixes)
        }


@cache
def _shapes(method: str, options: str) -> tuple[tuple[str, Shape], ...]:
    """Names and shapes of a method's weights; its options as JSON, which can be remembered."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        return tuple(weight_shapes(create(method, **json.loads(options)).state_dict()).items())

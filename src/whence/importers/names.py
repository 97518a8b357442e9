"""Renaming: the names of a released state dict to ours, by their beginnings."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from whence.methods import create
from whence.methods.base import Method
from whence.models.weights import Fit, Shape, fit_of, load_exactly, refuse_misfit, shapes


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
    parts: tuple[tuple[str, str], ...]
    unused: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    own: tuple[str, ...] = ()
    measured: Callable[[Mapping[str, Tensor]], dict[str, Any]] = _nothing
    files: tuple[tuple[str, str], ...] = ()

    def ours(self, name: str) -> str:
        """Our name of one of theirs; what no part fits stays as it is."""
        theirs, mine = next((pair for pair in self.parts if name.startswith(pair[0])), ("", ""))
        return mine + name.removeprefix(theirs)

    def theirs(self, name: str) -> str:
        """Their name of one of ours; what no part fits stays as it is."""
        fitting = [pair for pair in self.parts if name.startswith(pair[1])]
        theirs, mine = max(fitting, key=lambda pair: len(pair[1]), default=("", ""))
        return theirs + name.removeprefix(mine)

    def fit(self, state: Mapping[str, Tensor]) -> Fit:
        """How weights stand to those of this release, by their names and shapes; nothing is filled, or computed."""
        expected = _shapes(self.method, json.dumps(self._options(state)))
        fit = fit_of({self.theirs(name): shape for name, shape in expected}, shapes(self._used(state)))
        lacking = tuple(f"{mark}*" for mark in self.own if not any(name.startswith(mark) for name in state))
        return replace(fit, missing=fit.missing + lacking)

    def fit_of_file(self, part: str, state: Mapping[str, Tensor]) -> Fit:
        """The same of one of its files, where a release is several; `module.` may be before its names or not."""
        whole = {self.theirs(name): shape for name, shape in _shapes(self.method, json.dumps(dict(self.options)))}
        own = {name.removeprefix(f"{part}/"): shape for name, shape in whole.items() if name.startswith(f"{part}/")}
        return fit_of({name.removeprefix("module."): shape for name, shape in own.items()}, shapes(state))

    def __call__(self, state: Mapping[str, Tensor], what: str) -> Method:
        """The method with these weights; CheckpointError where one is missing, unknown or of another shape."""
        refuse_misfit(self.fit(state), what)  # before a network is made and filled
        method = create(self.method, **self._options(state))
        load_exactly(method, self._used(state), what, called=self.theirs)
        return method

    def _options(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        return dict(self.options) | self.measured(state)

    def _used(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: value for name, value in state.items() if not name.startswith(self.unused + self.own)}


@cache
def _shapes(method: str, options: str) -> tuple[tuple[str, Shape], ...]:
    """Names and shapes of a method's weights; its options as JSON, which can be remembered."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        return tuple(shapes(create(method, **json.loads(options)).state_dict()).items())

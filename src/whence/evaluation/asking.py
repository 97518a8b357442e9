"""Asks a localizer about every item of a data set: pictures and sounds in, raw maps out, whatever the localizer is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from whence.errors import InputError
from whence.randomness import uniform
from whence.types import AudioVisualDataset, Sound

Localizer = Callable[[Image.Image, Sound], Any]


@runtime_checkable
class BatchedLocalizer(Protocol):
    """What a localizer offers to be asked in batches, each picture and each sound being encoded once.

    Optional beside it: `saliency(image_codes) -> (b, h, w)`, maps that heard nothing; `embed_images(pictures)` and
    `embed_sounds(sounds)` -> (b, d) unit-norm vectors for retrieval.
    """

    def encode_images(self, pictures: Sequence[Image.Image]) -> Tensor: ...
    def encode_sounds(self, sounds: Sequence[Sound]) -> Tensor: ...
    def maps(self, image_codes: Tensor, sound_codes: Tensor) -> Float[Tensor, "b h w"]: ...


@dataclass(frozen=True)
class Items:
    """What the items of a data set are, without their content.

    Attributes:
        group: (n,) number of the picture each item shows.
        first: for each picture, one item that shows it.
        foreign: for each item, another whose sound has nothing to do with its picture; -1 where there is none.
    """

    ids: list[str]
    groups: list[str]
    categories: list[str]
    present: list[bool]
    group: Int[Tensor, " n"]
    first: list[int]
    foreign: list[int]


@dataclass
class Answers:
    """The answers about some items, and what came along. Maps are raw, float32, each (h, w)."""

    items: list[int]
    maps: list[Float[Tensor, "h w"]]
    foreign: dict[int, float] = field(default_factory=dict)
    saliency: list[Float[Tensor, "h w"]] | None = None


@dataclass
class Embedded:
    """Unit-norm vectors of each picture (in the order of `Items.first`) and each sound, and which sounds are silent."""

    images: list[Tensor] = field(default_factory=list)
    sounds: list[Tensor] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)


def describe(data: AudioVisualDataset, present: list[bool], seed: int) -> Items:
    """The items of `data`; `seed` decides which foreign sound each is asked with."""
    n = len(data)
    groups = [data.group(i) for i in range(n)]
    categories = [data.category(i) for i in range(n)]
    number = {name: at for at, name in enumerate(dict.fromkeys(groups))}
    group = torch.tensor([number[name] for name in groups], dtype=torch.int64)
    first = np.unique(group.numpy(), return_index=True)[1].tolist()
    ids = [data.id(i) for i in range(n)]
    return Items(ids, groups, categories, present, group, first, foreign_sounds(group, categories, present, seed))


def foreign_sounds(group: Int[Tensor, " n"], categories: list[str], present: list[bool], seed: int = 0) -> list[int]:
    """For each item another of the `present` ones, of other category and picture, drawn by chance; -1 where none is."""
    sounding = np.flatnonzero(present)
    if not len(sounding):
        return [-1] * len(categories)
    names, kind = np.unique(categories, return_inverse=True)
    of_picture = np.zeros((int(group.max()) + 1, len(names)), bool)  # what can be heard of each picture
    of_picture[group.numpy(), kind] = True
    tries = 32  # of a draw that fails even nine times in ten, all fail once in thirty items
    draws = sounding[(uniform((seed, "foreign"), np.arange(len(kind)), tries) * len(sounding)).astype(np.int64)]
    fits = ~of_picture[group.numpy()[:, None], kind[draws]]
    chosen = draws[np.arange(len(draws)), fits.argmax(axis=1)]
    for i in np.flatnonzero(~fits.any(axis=1)):
        left = sounding[~of_picture[group[i], kind[sounding]]]
        chosen[i] = left[draws[i, 0] % len(left)] if len(left) else -1
    return chosen.tolist()


def ask(
    localizer: Any, data: AudioVisualDataset, items: Items, batch_size: int, embedded: Embedded
) -> Iterator[Answers]:
    """Answers about all items, picture by picture; `embedded` is filled on the way."""
    if isinstance(localizer, BatchedLocalizer):
        yield from _ask_in_batches(localizer, data, items, batch_size, embedded)
    elif callable(localizer):
        yield from _ask_one_by_one(localizer, data, items, batch_size, embedded)
    else:
        raise InputError(
            f"cannot evaluate a {type(localizer).__name__}; give a callable (picture, Sound) -> map, or a localizer."
        )


def _ask_one_by_one(
    localizer: Localizer, data: AudioVisualDataset, items: Items, batch_size: int, embedded: Embedded
) -> Iterator[Answers]:
    shown = -1
    for start in range(0, len(order := items.group.argsort(stable=True).tolist()), batch_size):
        answers = Answers(order[start : start + batch_size], [])
        for i in answers.items:
            if shown != items.group[i]:
                shown, picture = int(items.group[i]), data.read_image(i)
            sound = data.read_sound(i)
            if sound.is_silent:
                embedded.silent.append(i)
            answers.maps.append(_scores(localizer(picture, sound), items.ids[i]))
            if items.foreign[i] >= 0:
                other = localizer(picture, data.read_sound(items.foreign[i]))
                answers.foreign[i] = float(_scores(other, items.ids[i]).max())
        yield answers


def _ask_in_batches(
    localizer: BatchedLocalizer, data: AudioVisualDataset, items: Items, batch_size: int, embedded: Embedded
) -> Iterator[Answers]:
    codes = []
    for some in _batches(list(range(len(items.ids))), batch_size):
        sounds = [data.read_sound(i) for i in some]
        embedded.silent += [i for i, sound in zip(some, sounds, strict=True) if sound.is_silent]
        codes.append(localizer.encode_sounds(sounds))
        if embed := getattr(localizer, "embed_sounds", None):
            embedded.sounds.append(embed(sounds))
    sound_codes = torch.cat(codes)
    members: list[list[int]] = [[] for _ in items.first]
    for i, group in enumerate(items.group.tolist()):
        members[group].append(i)
    for some in _batches(list(range(len(items.first))), batch_size):
        pictures = [data.read_image(items.first[group]) for group in some]
        image_codes = localizer.encode_images(pictures)
        if embed := getattr(localizer, "embed_images", None):
            embedded.images.append(embed(pictures))
        saliency = localizer.saliency(image_codes) if hasattr(localizer, "saliency") else None
        asked = [(at, i) for at, group in enumerate(some) for i in members[group]]
        for few in _batches(asked, batch_size):
            at, own = (torch.tensor(column) for column in zip(*few, strict=True))
            answers = Answers(own.tolist(), _checked(localizer.maps(image_codes[at], sound_codes[own]), own, items))
            if saliency is not None:
                answers.saliency = _checked(saliency[at], own, items)
            foreign = torch.tensor([items.foreign[i] for i in answers.items])
            if bool((found := foreign >= 0).any()):
                peaks = localizer.maps(image_codes[at[found]], sound_codes[foreign[found]]).flatten(1).amax(dim=1)
                answers.foreign = dict(zip(own[found].tolist(), peaks.tolist(), strict=True))
            yield answers


def _checked(maps: Float[Tensor, "b h w"], own: Int[Tensor, " b"], items: Items) -> list[Tensor]:
    return [_scores(one, items.ids[i]) for one, i in zip(maps, own.tolist(), strict=True)]


def _scores(answer: Any, id: str) -> Float[Tensor, "h w"]:
    """The map of an answer: its `scores`, or the array it is."""
    scores = torch.as_tensor(getattr(answer, "scores", answer)).detach().float().cpu()
    if scores.ndim != 2 or not scores.numel():
        raise InputError(f"the map of item {id} has shape {tuple(scores.shape)}; expected (h, w).")
    if not bool(scores.isfinite().all()):
        raise InputError(f"the map of item {id} holds values that are not finite; check the model's weights.")
    return scores


def _batches(things: list[Any], size: int) -> Iterator[list[Any]]:
    return (things[start : start + size] for start in range(0, len(things), size))

"""Asks a localizer about every item of a data set: pictures and sounds in, raw maps out, whatever the localizer is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from whence.data.audio import mixture
from whence.data.beside import heard_by, shown_to
from whence.errors import InputError, RecipeError
from whence.randomness import generator, uniform
from whence.types import AudioVisualDataset, Sound

T = TypeVar("T")
Localizer = Callable[[Image.Image, Sound], Any]

SILENCE, NOISE, OFFSCREEN = "silence", "noise", "offscreen"
NEGATIVES = (SILENCE, NOISE, OFFSCREEN)  # what each picture is asked with besides its own sound
NOISES = 8  # recordings of noise, shared by the items


@runtime_checkable
class BatchedLocalizer(Protocol):
    """What a localizer offers to be asked in batches, each picture and each sound being encoded once.

    Optional beside it: `saliency(image_codes) -> (b, h, w)`, maps that heard nothing; `embed_images(pictures)` and
    `embed_sounds(sounds)` -> (b, d) unit-norm vectors for retrieval; `source_maps(image_codes, sound_codes)`, a map for
    each source of a mixture (b, k, h, w) and which of them are heard (b, k), for scores of several sources;
    `read_picture(data, index)` and `read_sound(data, index)`, what of a clip it wants to be given, where that is not
    its picture and its sound; `hears_recordings`, False where there is neither silence, noise nor a mixture to ask it
    with.
    """

    def encode_images(self, pictures: Sequence[Any]) -> Tensor: ...
    def encode_sounds(self, sounds: Sequence[Any]) -> Tensor: ...
    def maps(self, image_codes: Tensor, sound_codes: Tensor) -> Float[Tensor, "b h w"]: ...


@dataclass(frozen=True)
class Items:
    """What the items of a data set are, without their content.

    Attributes:
        group: (n,) number of the picture each item shows.
        first: for each picture, one item that shows it.
        foreign: for each item, another whose sound has nothing to do with its picture; -1 where there is none.
        noise: which of the noises it is asked with.
    """

    ids: list[str]
    groups: list[str]
    categories: list[str]
    present: list[bool]
    group: Int[Tensor, " n"]
    first: list[int]
    foreign: list[int]
    noise: list[int]

    @cached_property
    def of_pictures(self) -> list[list[int]]:
        """The items that show each picture."""
        members: list[list[int]] = [[] for _ in self.first]
        for i, group in enumerate(self.group.tolist()):
            members[group].append(i)
        return members

    @cached_property
    def of_mixtures(self) -> dict[int, list[int]]:
        """By its number, each picture with two sources or more, and the items that ask for them."""
        sources = {at: [i for i in some if self.present[i]] for at, some in enumerate(self.of_pictures)}
        return {at: some for at, some in sources.items() if len(some) > 1}


@dataclass
class Answers:
    """The answers about some items. Maps are raw, float32, each (h, w).

    Attributes:
        items: their numbers.
        maps: with the own sound of each; of items that were not answered any map.
        unanswered: the items among them that have no answer, which counts as a failure.
        negatives: by kind of negative sound, the maps of the items that were asked with one.
        saliency: maps that heard nothing, where the localizer has them.
        mixtures: by number, the pictures that were asked with all of their sources at once: a map of each heard one.
    """

    items: list[int]
    maps: list[Tensor]
    negatives: dict[str, dict[int, Tensor]] = field(default_factory=dict)
    saliency: list[Tensor] | None = None
    unanswered: frozenset[int] = frozenset()
    mixtures: dict[int, list[Tensor]] = field(default_factory=dict)


@dataclass
class Embedded:
    """Unit-norm vectors of each picture (in the order of `Items.first`) and each sound, and which sounds are silent."""

    images: list[Tensor] = field(default_factory=list)
    sounds: list[Tensor] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)


def describe(data: AudioVisualDataset, present: list[bool], seed: int) -> Items:
    """The items of `data`; `seed` decides which foreign sound and which noise each is asked with.

    Where nobody said what sounds (category ""), every other picture's sound is taken for foreign.
    """
    n = len(data)
    groups = [data.group(i) for i in range(n)]
    categories = [data.category(i) for i in range(n)]
    kinds = [category or f"of {group}" for category, group in zip(categories, groups, strict=True)]
    number = {name: at for at, name in enumerate(dict.fromkeys(groups))}
    group = torch.tensor([number[name] for name in groups], dtype=torch.int64)
    first = np.unique(group.numpy(), return_index=True)[1].tolist()
    ids = [data.id(i) for i in range(n)]
    noise = (uniform((seed, "noise"), np.arange(n))[:, 0] * NOISES).astype(np.int64).tolist()
    return Items(ids, groups, categories, present, group, first, foreign_sounds(group, kinds, present, seed), noise)


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
    localizer: Any,
    data: AudioVisualDataset,
    items: Items,
    batch_size: int,
    embedded: Embedded,
    negatives: Sequence[str] = NEGATIVES,
) -> Iterator[Answers]:
    """Answers about all items, picture by picture; `embedded` is filled on the way."""
    if isinstance(localizer, BatchedLocalizer):
        yield from _ask_in_batches(localizer, data, items, batch_size, embedded, negatives)
    elif callable(localizer):
        yield from _ask_one_by_one(localizer, data, items, batch_size, embedded, negatives)
    else:
        raise InputError(
            f"cannot evaluate a {type(localizer).__name__}; give a callable (picture, Sound) -> map, or a localizer."
        )


def refuse_counts(batch_size: int = 1, bootstraps: int = 0) -> None:
    """Raise RecipeError where a number of things at a time, or of draws, is out of range."""
    if batch_size < 1 or bootstraps < 0:
        raise RecipeError(
            f"found batch_size {batch_size} and bootstraps {bootstraps}, expected at least 1 and 0. Correct them."
        )


def silence(seconds: float = 10.0, rate: int = 16000) -> Sound:
    """What a muted picture is asked with."""
    return Sound(torch.zeros(round(seconds * rate)), rate)


def noises(seconds: float = 10.0, rate: int = 16000) -> list[Sound]:
    """White noise of unit variance, as xavijuanola/vssl_eval asks with; the same ones always."""
    drawn = generator("noise", 0).standard_normal((NOISES, round(seconds * rate)), dtype=np.float32)
    return [Sound(torch.from_numpy(one), rate) for one in drawn]


def _ask_one_by_one(
    localizer: Localizer,
    data: AudioVisualDataset,
    items: Items,
    batch_size: int,
    embedded: Embedded,
    negatives: Sequence[str],
) -> Iterator[Answers]:
    shown, quiet, noisy = -1, silence(), noises()
    for some in packed(items.of_pictures, batch_size):
        answers = Answers(some, [], {kind: {} for kind in negatives})
        for i in some:
            if shown != items.group[i]:
                shown, picture = int(items.group[i]), data.read_image(i)
            sound = data.read_sound(i)
            if sound.is_silent:
                embedded.silent.append(i)
            answers.maps.append(_scores(localizer(picture, sound), items.ids[i]))
            for kind in negatives if items.present[i] else ():
                if kind == OFFSCREEN and items.foreign[i] < 0:
                    continue
                other = quiet if kind == SILENCE else noisy[items.noise[i]]
                other = data.read_sound(items.foreign[i]) if kind == OFFSCREEN else other
                answers.negatives[kind][i] = _scores(localizer(picture, other), items.ids[i])
        yield answers


def _ask_in_batches(
    localizer: BatchedLocalizer,
    data: AudioVisualDataset,
    items: Items,
    batch_size: int,
    embedded: Embedded,
    negatives: Sequence[str],
) -> Iterator[Answers]:
    recordings = getattr(localizer, "hears_recordings", True)
    codes, mixed, order, mixing = [], [], [], recordings and hasattr(localizer, "source_maps")
    for some in packed(items.of_pictures, batch_size):
        sounds = {i: heard_by(localizer, data, i) for i in some}
        embedded.silent += [i for i, one in sounds.items() if isinstance(one, Sound) and one.is_silent]
        codes.append(localizer.encode_sounds([*sounds.values()]))
        if embed := getattr(localizer, "embed_sounds", None):
            embedded.sounds.append(embed([*sounds.values()]))
        order += some
        together = [items.of_mixtures.get(at, []) for at in dict.fromkeys(items.group[some].tolist())]
        if mixing and (mixtures := [mixture([sounds[i] for i in those]) for those in together if those]):
            mixed.append(localizer.encode_sounds(mixtures))
    place = torch.tensor(order).argsort()  # sounds come picture by picture, and are wanted in their own order
    codes = [torch.cat(codes)[place]]
    embedded.sounds = [torch.cat(embedded.sounds)[place]] if embedded.sounds else []
    if recordings:
        codes.append(localizer.encode_sounds([silence(), *noises()]))  # the last ones: after those of the items
    else:
        negatives = [kind for kind in negatives if kind == OFFSCREEN]
    heard = {SILENCE: [len(items.ids)] * len(items.ids), NOISE: [len(items.ids) + 1 + which for which in items.noise]}
    heard[OFFSCREEN] = items.foreign
    asked_with = {kind: torch.tensor(heard[kind]) for kind in negatives}
    sound_codes, present = torch.cat(codes), torch.tensor(items.present)
    mixture_codes = dict(zip(items.of_mixtures, torch.cat(mixed), strict=True)) if mixed else {}
    for some in _batches(list(range(len(items.first))), batch_size):
        pictures = [shown_to(localizer, data, items.first[group]) for group in some]
        image_codes = localizer.encode_images(pictures)
        if embed := getattr(localizer, "embed_images", None):
            embedded.images.append(embed(pictures))
        saliency = localizer.saliency(image_codes) if hasattr(localizer, "saliency") else None
        sources = _sources(localizer, image_codes, some, mixture_codes, items)
        for few in packed([[(at, i) for i in items.of_pictures[group]] for at, group in enumerate(some)], batch_size):
            at, own = (torch.tensor(column) for column in zip(*few, strict=True))
            answers = Answers(own.tolist(), _checked(localizer.maps(image_codes[at], sound_codes[own]), own, items))
            if saliency is not None:
                answers.saliency = _checked(saliency[at], own, items)
            shown = {some[which] for which in at.tolist()}
            answers.mixtures = {group: maps for group, maps in sources.items() if group in shown}
            for kind, codes_of in asked_with.items():
                some_have = present[own] & (codes_of[own] >= 0)
                where, which = at[some_have], own[some_have]
                answers.negatives[kind] = {}
                if len(which):
                    maps = localizer.maps(image_codes[where], sound_codes[codes_of[which]])
                    answers.negatives[kind] = dict(zip(which.tolist(), _checked(maps, which, items), strict=True))
            yield answers


def _sources(
    localizer: Any, image_codes: Any, pictures: list[int], mixture_codes: dict[int, Tensor], items: Items
) -> dict[int, list[Tensor]]:
    """By the numbers of those of the pictures that have a mixture, a map of each source that is heard in it."""
    mixing = [(at, group) for at, group in enumerate(pictures) if group in mixture_codes]
    if not mixing:
        return {}
    at = torch.tensor([at for at, _ in mixing])
    maps, heard = localizer.source_maps(image_codes[at], torch.stack([mixture_codes[group] for _, group in mixing]))
    return {
        group: [_scores(one, items.ids[items.first[group]]) for one in every[told.bool()]]
        for (_, group), every, told in zip(mixing, maps, heard, strict=True)
    }


def _checked(maps: Float[Tensor, "b h w"], own: Int[Tensor, " b"], items: Items) -> list[Tensor]:
    return [_scores(one, items.ids[i]) for one, i in zip(maps, own.tolist(), strict=True)]


def _scores(answer: Any, id: str) -> Float[Tensor, "h w"]:
    """The map of an answer: its `scores`, or the array it is."""
    return checked_map(getattr(answer, "scores", answer), id, "the localizer")


def checked_map(answer: Any, id: str, where: str) -> Float[Tensor, "h w"]:
    """A map as (h, w) float32 on the CPU.

    Raises:
        InputError: it is no array of numbers, has another shape, or holds values that are not finite.
    """
    try:
        plain = answer.detach().float().cpu().numpy() if isinstance(answer, Tensor) else answer
        scores = np.asarray(plain)  # NumPy, as these are many small steps
        if scores.dtype.kind not in "buif":
            raise TypeError(scores.dtype)
        scores = scores.astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        found = getattr(answer, "dtype", type(answer).__name__)
        raise InputError(f"{where}: the map of item {id} is {found}, expected an array of numbers (h, w).") from error
    if scores.ndim != 2 or not scores.size:
        raise InputError(f"{where}: the map of item {id} has shape {scores.shape}; expected (h, w).")
    if not (finite := np.isfinite(scores)).all():
        bad = f"{(~finite).sum()} values that are not finite"
        raise InputError(f"{where}: the map of item {id} holds {bad}; mend what made it.")
    return torch.from_numpy(scores if scores.flags.writeable else scores.copy())


def packed(groups: Iterable[list[T]], size: int) -> Iterator[list[T]]:
    """Groups put together to batches of `size` at most, none of them divided; one that is larger is its own batch."""
    batch: list[T] = []
    for group in groups:
        if batch and len(batch) + len(group) > size:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch


def _batches(things: list[Any], size: int) -> Iterator[list[Any]]:
    return (things[start : start + size] for start in range(0, len(things), size))

"""Asks a localizer about every item of a data set: pictures and sounds in, raw maps out, whatever the localizer is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from soundspot.data.datasets.auxiliary import read_model_audio, read_model_image
from soundspot.data.media.audio import mix_audio
from soundspot.errors import InputError, RecipeError
from soundspot.evaluation.engine.disk_tensor import DiskTensor
from soundspot.evaluation.engine.distributed import SINGLE_PROCESS, RankShard
from soundspot.evaluation.engine.items import NUM_NOISES, SampleIndex
from soundspot.types import Audio, AudioVisualDataset
from soundspot.utils.hash_rng import make_generator

T = TypeVar("T")
Localizer = Callable[[Image.Image, Audio], Any]

SILENCE, NOISE, OFFSCREEN = "silence", "noise", "offscreen"
NEGATIVES = (SILENCE, NOISE, OFFSCREEN)  # what each picture is asked with besides its own sound


@runtime_checkable
class BatchedLocalizer(Protocol):
    """What a localizer offers to be asked in batches, each picture and each sound being encoded once.

    Optional beside it: `saliency(image_codes) -> (b, h, w)`, maps that heard nothing; `embed_images(pictures)` and
    `embed_audio(sounds)` -> (b, d) unit-norm vectors for retrieval; `source_maps(image_codes, sound_codes)`, a map for
    each source of a mixture (b, k, h, w) and which of them are heard (b, k), for scores of several sources;
    `read_image(data, index)` and `read_audio(data, index)`, what of a clip it wants to be given, where that is not
    its picture and its sound; `takes_waveforms`, False where there is neither silence, noise nor a mixture to ask it
    with.
    """

    def encode_images(self, images: Sequence[Any]) -> Tensor: ...
    def encode_audio(self, audio: Sequence[Any]) -> Tensor: ...
    def maps(self, encoded_images: Tensor, encoded_audio: Tensor) -> Float[Tensor, "b h w"]: ...


@dataclass
class PredictionBatch:
    """The answers about some items. Maps are raw, float32, each (h, w).

    Attributes:
        items: their numbers.
        maps: with the own sound of each; of items that were not answered any map.
        unanswered: the items among them that have no answer, which counts as a failure.
        negatives: by kind of negative sound, the maps of the items that were asked with one.
        saliency: maps that heard nothing, where the localizer has them.
        mixtures: by number, the pictures that were asked with all of their sources at once: a map of each heard one.
    """

    indices: list[int]
    maps: list[Tensor]
    negatives: dict[str, dict[int, Tensor]] = field(default_factory=dict)
    saliency: list[Tensor] | None = None
    missing: frozenset[int] = frozenset()
    mixtures: dict[int, list[Tensor]] = field(default_factory=dict)


@dataclass
class Embeddings:
    """Unit-norm vectors of each picture (in the order of `Items.first`) and each sound, and which sounds are silent.

    Attributes:
        sounds: in the order in which they were heard; that of item i is row `place[i]`.
    """

    images: DiskTensor = field(default_factory=DiskTensor)
    audio: DiskTensor = field(default_factory=DiskTensor)
    audio_rows: Int[Tensor, " n"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    silent_indices: list[int] = field(default_factory=list)


def iter_predictions(
    localizer: Any,
    data: AudioVisualDataset,
    samples: SampleIndex,
    batch_size: int,
    embeddings: Embeddings,
    negatives: Sequence[str] = NEGATIVES,
    shard: RankShard = SINGLE_PROCESS,
) -> Iterator[PredictionBatch]:
    """Answers about all items of a share, picture by picture; `embedded` is filled on the way, with those of all."""
    if isinstance(localizer, BatchedLocalizer):
        yield from _ask_inbatches(localizer, data, samples, batch_size, embeddings, negatives, shard)
    elif callable(localizer):
        yield from _ask_one_by_one(localizer, data, samples, batch_size, embeddings, negatives, shard)
    else:
        raise InputError(
            f"cannot evaluate a {type(localizer).__name__}; give a callable (picture, Sound) -> map, or a localizer."
        )


def check_counts(batch_size: int = 1, bootstraps: int = 0) -> None:
    """Raise RecipeError where a number of things at a time, or of draws, is out of range."""
    if batch_size < 1 or bootstraps < 0:
        raise RecipeError(
            f"found batch_size {batch_size} and bootstraps {bootstraps}, expected at least 1 and 0. Correct them."
        )


def make_silence(seconds: float = 10.0, rate: int = 16000) -> Audio:
    """What a muted picture is asked with."""
    return Audio(torch.zeros(round(seconds * rate)), rate)


def make_noises(seconds: float = 10.0, rate: int = 16000) -> list[Audio]:
    """White noise of unit variance, as xavijuanola/vssl_eval asks with; the same ones always."""
    drawn = make_generator("noise", 0).standard_normal((NUM_NOISES, round(seconds * rate)), dtype=np.float32)
    return [Audio(torch.from_numpy(one), rate) for one in drawn]


def _ask_one_by_one(
    localizer: Localizer,
    data: AudioVisualDataset,
    items: SampleIndex,
    batch_size: int,
    embedded: Embeddings,
    negatives: Sequence[str],
    share: RankShard,
) -> Iterator[PredictionBatch]:
    shown, quiet, noisy = -1, make_silence(), make_noises()
    for some in share.select([*pack_groups(items.samples_by_group, batch_size)]):
        answers = PredictionBatch(some, [], {kind: {} for kind in negatives})
        for i in some:
            if shown != items.group_index[i]:
                shown, picture = int(items.group_index[i]), data.read_image(i)
            sound = data.read_audio(i)
            if sound.is_silent:
                embedded.silent_indices.append(i)
            answers.maps.append(_scores(localizer(picture, sound), items.ids[i]))
            for kind in negatives if items.present[i] else ():
                if kind == OFFSCREEN and items.offscreen_index[i] < 0:
                    continue
                other = quiet if kind == SILENCE else noisy[items.noise_index[i]]
                other = data.read_audio(items.offscreen_index[i]) if kind == OFFSCREEN else other
                answers.negatives[kind][i] = _scores(localizer(picture, other), items.ids[i])
        yield answers
    embedded.silent_indices = [i for some in share.all_gather(embedded.silent_indices) for i in some]


def _ask_inbatches(
    localizer: BatchedLocalizer,
    data: AudioVisualDataset,
    items: SampleIndex,
    batch_size: int,
    embedded: Embeddings,
    negatives: Sequence[str],
    share: RankShard,
) -> Iterator[PredictionBatch]:
    heard = _heard(localizer, data, items, batch_size, embedded, share)
    at_sound = {
        SILENCE: [len(items.ids)] * len(items.ids),
        NOISE: [len(items.ids) + 1 + one for one in items.noise_index],
    }
    at_sound[OFFSCREEN] = items.offscreen_index
    asked_with = {kind: torch.tensor(at_sound[kind]) for kind in negatives if heard.recordings or kind == OFFSCREEN}
    present = torch.tensor(items.present)
    for some in share.select([*iter_batches(list(range(len(items.group_first))), batch_size)]):
        pictures = [read_model_image(localizer, data, items.group_first[group]) for group in some]
        image_codes = localizer.encode_images(pictures)
        if embed := getattr(localizer, "embed_images", None):
            embedded.images.append(embed(pictures))
        saliency = localizer.saliency(image_codes) if hasattr(localizer, "saliency") else None
        sources = _sources(localizer, image_codes, some, heard, items)
        for few in pack_groups(
            [[(at, i) for i in items.samples_by_group[group]] for at, group in enumerate(some)], batch_size
        ):
            at, own = (torch.tensor(column) for column in zip(*few, strict=True))
            answers = PredictionBatch(
                own.tolist(), _checked(localizer.maps(image_codes[at], heard.codes(own)), own, items)
            )
            if saliency is not None:
                answers.saliency = _checked(saliency[at], own, items)
            shown = {some[which] for which in at.tolist()}
            answers.mixtures = {group: maps for group, maps in sources.items() if group in shown}
            for kind, codes_of in asked_with.items():
                some_have = present[own] & (codes_of[own] >= 0)
                where, which = at[some_have], own[some_have]
                answers.negatives[kind] = {}
                if len(which):
                    maps = localizer.maps(image_codes[where], heard.codes(codes_of[which]))
                    answers.negatives[kind] = dict(zip(which.tolist(), _checked(maps, which, items), strict=True))
            yield answers
    embedded.images = all_gather_rows(embedded.images, share)


@dataclass(frozen=True)
class _Heard:
    """Codes of sounds: of the items in the order in which they were heard, then of silence and the noises; of mixtures.

    Attributes:
        place: (n,) where the code of each item's sound is.
        mixed: the number of a picture with a mixture -> where the code of that is.
    """

    sounds: DiskTensor
    place: Int[Tensor, " m"]
    mixtures: DiskTensor
    mixed: dict[int, int]
    recordings: bool

    def codes(self, which: Int[Tensor, " b"]) -> Tensor:
        """By numbers of items; from their number on of silence and the noises."""
        return self.sounds[self.place[which]]


def _heard(
    localizer: Any,
    data: AudioVisualDataset,
    items: SampleIndex,
    batch_size: int,
    embedded: Embeddings,
    share: RankShard,
) -> _Heard:
    """Every sound encoded once, each process its share; all have the codes of all."""
    recordings = getattr(localizer, "takes_waveforms", True)
    codes, vectors, mixed, mixing = (
        DiskTensor(),
        DiskTensor(),
        DiskTensor(),
        recordings and hasattr(localizer, "source_maps"),
    )
    batches = [*pack_groups(items.samples_by_group, batch_size)]
    for some in share.select(batches):
        sounds = {i: read_model_audio(localizer, data, i) for i in some}
        embedded.silent_indices += [i for i, one in sounds.items() if isinstance(one, Audio) and one.is_silent]
        codes.append(localizer.encode_audio([*sounds.values()]))
        if embed := getattr(localizer, "embed_audio", None):
            vectors.append(embed([*sounds.values()]))
        together = [items.sources_by_group.get(at, []) for at in dict.fromkeys(items.group_index[some].tolist())]
        if mixing and (mixtures := [mix_audio([sounds[i] for i in those]) for those in together if those]):
            mixed.append(localizer.encode_audio(mixtures))
    embedded.silent_indices = [i for some in share.all_gather(embedded.silent_indices) for i in some]
    codes, embedded.audio, mixed = (all_gather_rows(rows, share) for rows in (codes, vectors, mixed))
    order = torch.tensor([i for some in batches for i in some], dtype=torch.int64)
    embedded.audio_rows = order.argsort()  # sounds come picture by picture, and are wanted by the numbers of items
    if recordings:
        codes.append(localizer.encode_audio([make_silence(), *make_noises()]))
    place = torch.cat([embedded.audio_rows, torch.arange(len(order), len(codes))])
    numbers = {picture: at for at, picture in enumerate(items.sources_by_group)} if len(mixed) else {}
    return _Heard(codes, place, mixed, numbers, recordings)


def _sources(
    localizer: Any, image_codes: Any, pictures: list[int], heard: _Heard, items: SampleIndex
) -> dict[int, list[Tensor]]:
    """By the numbers of those of the pictures that have a mixture, a map of each source that is heard in it."""
    mixing = [(at, group) for at, group in enumerate(pictures) if group in heard.mixed]
    if not mixing:
        return {}
    at = torch.tensor([at for at, _ in mixing])
    codes = heard.mixtures[torch.tensor([heard.mixed[group] for _, group in mixing])]
    maps, told = localizer.source_maps(image_codes[at], codes)
    return {
        group: [_scores(one, items.ids[items.group_first[group]]) for one in every[some.bool()]]
        for (_, group), every, some in zip(mixing, maps, told, strict=True)
    }


def _checked(maps: Float[Tensor, "b h w"], own: Int[Tensor, " b"], items: SampleIndex) -> list[Tensor]:
    return [_scores(one, items.ids[i]) for one, i in zip(maps, own.tolist(), strict=True)]


def _scores(answer: Any, id: str) -> Float[Tensor, "h w"]:
    """The map of an answer: its `scores`, or the array it is."""
    return check_map(getattr(answer, "scores", answer), id, "the localizer")


def check_map(prediction: Any, id: str, origin: str) -> Float[Tensor, "h w"]:
    """A map as (h, w) float32 on the CPU.

    Raises:
        InputError: it is no array of numbers, has another shape, or holds values that are not finite.
    """
    try:
        plain = prediction.detach().float().cpu().numpy() if isinstance(prediction, Tensor) else prediction
        scores = np.asarray(plain)  # NumPy, as these are many small steps
        if scores.dtype.kind not in "buif":
            raise TypeError(scores.dtype)
        scores = scores.astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        found = getattr(prediction, "dtype", type(prediction).__name__)
        raise InputError(f"{origin}: the map of item {id} is {found}, expected an array of numbers (h, w).") from error
    if scores.ndim != 2 or not scores.size:
        raise InputError(f"{origin}: the map of item {id} has shape {scores.shape}; expected (h, w).")
    if not (finite := np.isfinite(scores)).all():
        bad = f"{(~finite).sum()} values that are not finite"
        raise InputError(f"{origin}: the map of item {id} holds {bad}; mend what made it.")
    return torch.from_numpy(scores if scores.flags.writeable else scores.copy())


def pack_groups(groups: Iterable[list[T]], size: int) -> Iterator[list[T]]:
    """Groups put together to batches of `size` at most, none of them divided; one that is larger is its own batch."""
    batch: list[T] = []
    for group in groups:
        if batch and len(batch) + len(group) > size:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch


def all_gather_rows(rows: DiskTensor, shard: RankShard) -> DiskTensor:
    """The rows of all processes, those of the first one first."""
    if shard.world_size == 1:
        return rows
    every = DiskTensor()
    for some in shard.iter_gathered(rows.iter_blocks()):
        every.append(some)
    every.device = rows.device
    return every


def iter_batches(items: list[T], size: int) -> Iterator[list[T]]:
    """All things in their order, `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))

"""Tables of neighbours of a whole data set: embedded, searched and written some rows at a time.

What is made lies in a draft beside the output until it is whole, so a run that is killed goes on where it was, to the
same bytes.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from whence.data.ann import PROBES, Approximate, import_faiss, recall
from whence.data.beside import heard_by, shown_to
from whence.data.exact import ROWS, Exact, refuse_too_many
from whence.data.neighbours import IDS, META, Neighbours, fingerprint
from whence.data.rowfile import RowFile, width_of
from whence.data.sieve import blocks
from whence.errors import DataError, RecipeError
from whence.inference.earlier import Earlier
from whence.inference.embed import Embedder, encode_batch, same_length, weights_of
from whence.output import kept_folder
from whence.types import AudioVisualDataset

Index = Literal["exact", "ivf", "ivfpq"]
Modality = Literal["images", "sounds"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
Vectors: TypeAlias = Callable[[Modality, Path, "Earlier | None"], Float32[np.ndarray, "n d"]]
"""The vectors of a modality, kept in the folder if they are made, those of an earlier table taken over."""


@dataclass(frozen=True)
class Mining:
    """How a table is made.

    Attributes:
        k: neighbours of each sample.
        index: `exact`, or FAISS's `ivf` or `ivfpq` for millions of samples (extra `ann`).
        probes: cells that FAISS looks into; more find more and take longer.
        batch_size: samples that are embedded at once.
        keep_vectors: whether the vectors stay beside the table, so that it can be extended.
        extend: a table, with its vectors, of a part of the data set by the same encoder. Its vectors are taken over,
            and its rows merged with the new samples; the result is that of mining anew.
    """

    k: int = 1000
    index: Index = "exact"
    probes: int = PROBES
    batch_size: int = 64
    keep_vectors: bool = False
    extend: Path | None = None

    def __post_init__(self) -> None:
        for name in ("k", "probes", "batch_size"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name}: found {getattr(self, name)}, expected 1 or more")


@dataclass(frozen=True)
class Encoder:
    """Who made the vectors: a name for people, and 16 hexadecimal digits that stand for the weights or the files."""

    name: str
    weights: str = ""
    device: str = "cpu"


def mine(
    embedder: Embedder,
    data: AudioVisualDataset,
    output: Path,
    how: Mining = Mining(),
    overwrite: bool = False,
    progress: bool = False,
) -> Neighbours:
    """The k nearest neighbours of every sample, in each modality by itself.

    Samples that show the same picture or come from one recording (`group`) are no neighbours of each other.

    Args:
        output: folder of the table. Until it is whole its draft lies beside it, as `.NAME.part`.
        overwrite: whether a table that is there, or the draft of another one, is replaced.

    Raises:
        DataError: too few samples for k, or `how.extend` is not of a part of the data set by this encoder. OutputError:
            something is in the way, or the disk is full. RecipeError: FAISS is not installed.
    """
    asked = {
        "images": partial(encode_batch, partial(shown_to, embedder, data), embedder.embed_images, how.batch_size),
        "sounds": partial(encode_batch, partial(heard_by, embedder, data), embedder.embed_sounds, how.batch_size),
    }

    def vectors(modality: Modality, folder: Path, earlier: Earlier | None) -> Float32[np.ndarray, "n d"]:
        known = None if earlier is None else earlier.vectors(modality)
        file = folder / f"{modality}.vectors.npy"
        made = embed_to(file, asked[modality], len(data), how.batch_size, earlier, known, progress)
        look_over(made, modality, data)
        return made

    encoder = Encoder(embedder.name, weights_of(embedder), str(getattr(embedder, "device", "cpu")))
    return _tables(vectors, data, encoder, output, how, overwrite, progress)


def table_of(
    pictures: Float[Tensor, "n d"],
    sounds: Float[Tensor, "n e"],
    data: AudioVisualDataset,
    encoder: Encoder,
    output: Path,
    how: Mining = Mining(),
    overwrite: bool = False,
    progress: bool = False,
) -> Neighbours:
    """The same from embeddings that are there already, in the order of the data set."""
    same_length(pictures, sounds, len(data))
    if how.keep_vectors or how.extend:
        raise RecipeError("vectors of your own are neither kept beside the table nor extended; they are yours already")
    given = {"images": pictures.float().numpy(), "sounds": sounds.float().numpy()}
    for modality, rows in given.items():
        look_over(rows, modality, data)
    return _tables(lambda modality, *_: given[modality], data, encoder, output, how, overwrite, progress)


def embed_to(
    file: Path,
    encode: Callable[[NDArray[np.int64]], Float32[Tensor, "b d"]],
    n: int,
    batch_size: int,
    earlier: Earlier | None,
    known: Float32[np.ndarray, "o d"] | None,
    progress: bool,
) -> Float32[np.ndarray, "n d"]:
    """The vectors of a data set as a memory map: those that are known already, the others embedded in batches.

    Each batch is written with the known vectors before it, so what a stopped run has written ends at some batch.
    """
    fresh = np.arange(n) if earlier is None else earlier.fresh
    batches = np.split(fresh, range(batch_size, len(fresh), batch_size))
    ends = [int(batch[-1]) + 1 for batch in batches[:-1]] + [n]
    width = width_of(file) if known is None else known.shape[1]
    ahead = [] if width else [encode(batches[0]).numpy()]  # what tells the width
    with RowFile(file, n, width or ahead[0].shape[1], np.float32) as rows:
        past = int(np.searchsorted(ends, rows.done, side="right"))
        rows.cut(ends[past - 1] if past else 0)
        for batch in track(batches[past:], file.name.partition(".")[0], disable=not progress):
            made = ahead.pop() if ahead else encode(batch).numpy() if len(batch) else np.empty((0, rows.width))
            end = ends[past]
            for some in blocks(end - rows.done):
                at = np.arange(some.start, some.stop) + rows.done - some.start
                new = np.isin(at, batch)
                part = np.empty((len(at), rows.width), np.float32)
                part[new] = made[np.searchsorted(batch, at[new])]
                if earlier is not None and known is not None:
                    part[~new] = known[earlier.position[at[~new]]]
                rows.append(part)
            past += 1
    return _opened(file)


def look_over(vectors: Float32[np.ndarray, "n d"], modality: str, data: AudioVisualDataset) -> None:
    """Warns of vectors that are all zero, whose neighbours mean nothing.

    Raises:
        DataError: one is not finite.
    """
    length = np.concatenate([np.linalg.norm(vectors[some.start : some.stop], axis=1) for some in blocks(len(vectors))])
    for bad, told in ((~np.isfinite(length), "not finite"), (length == 0, "all zero")):
        if not bad.any():
            continue
        first = data.id(int(bad.argmax()))
        told = f"{modality}: {int(bad.sum())} of {len(vectors)} vectors are {told} (first: {first})"
        if not np.isfinite(length).all():
            raise DataError(f"{told}, expected numbers. Mend the encoder, or the file")
        warnings.warn(f"{told}; their neighbours mean nothing. Look at the encoder", stacklevel=3)


def _opened(file: Path) -> Any:
    return np.load(file, mmap_mode="c")  # private: torch takes no array that cannot be written to


def _tables(
    vectors: Vectors,
    data: AudioVisualDataset,
    encoder: Encoder,
    output: Path,
    how: Mining,
    overwrite: bool,
    progress: bool,
) -> Neighbours:
    ids, groups = ([ask(i) for i in range(len(data))] for ask in (data.id, data.group))
    refuse_too_many(how.k, len(data), groups)
    if how.index != "exact":
        import_faiss()
    meta: dict[str, Any] = {
        "data": fingerprint(ids),
        "groups": fingerprint(groups),
        "encoder": encoder.name,
        "weights": encoder.weights,
        "n": len(ids),
        "k": how.k,
        "index": how.index,
    }
    if how.index != "exact":
        meta["probes"] = how.probes
    earlier = None if how.extend is None else Earlier.of(how.extend, ids, groups, encoder.name, encoder.weights)
    rest = {key: value for key, value in asdict(how).items() if key not in meta}
    plan = {**meta, **rest, "device": encoder.device, "extend": earlier and earlier.meta}
    with kept_folder(output, plan, overwrite, holds=META) as new:
        home = new if how.keep_vectors else new.parent
        made = {modality: vectors(modality, home, earlier) for modality in MODALITIES}
        found = {}
        for modality in MODALITIES:
            given = made.pop(modality)
            _write(new / f"{modality}.npy", modality, given, groups, encoder.device, how, earlier, progress)
            if how.index != "exact":
                found[modality] = recall(np.load(new / f"{modality}.npy", mmap_mode="r"), given, groups)
        (new / IDS).write_text("\n".join(ids), encoding="utf-8")
        (new / META).write_text(json.dumps(meta | ({"recall": found} if found else {})), encoding="utf-8")
    return Neighbours.load(output, meta["data"])


def _write(
    file: Path,
    modality: Modality,
    vectors: Float32[np.ndarray, "n d"],
    groups: list[str],
    device: str,
    how: Mining,
    earlier: Earlier | None,
    progress: bool,
) -> None:
    """The table of one modality, from where a stopped run was."""
    n = len(vectors)
    with RowFile(file, n, how.k, np.int32) as table:
        if table.done == n:
            return
        left = torch.arange(table.done, n).split(ROWS)
        search: Exact | Approximate
        if how.index == "exact":
            place = torch.device(device if device.startswith("cuda") else "cpu")  # others have no float64
            search = Exact(torch.from_numpy(vectors).to(place), how.k, groups)
        else:
            search = Approximate(
                vectors, how.k, groups, how.index, file.parent.parent / f"{modality}.index", how.probes
            )
        of: Callable[[Int64[Tensor, " r"]], NDArray[np.int32]] = search
        if isinstance(search, Exact) and earlier is not None and earlier.useful(how.k):
            of = partial(earlier.rows, search, modality)
        for rows in track(left, f"neighbours of {modality}", disable=not progress):
            table.append(of(rows))

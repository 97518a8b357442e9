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

from soundspot.data.datasets.auxiliary import read_model_audio, read_model_image
from soundspot.data.neighbors.candidate_filter import row_blocks
from soundspot.data.neighbors.exact_knn import ROWS, ExactSearch, check_num_neighbors
from soundspot.data.neighbors.faiss import PROBES, ApproximateSearch, import_faiss, measure_recall
from soundspot.data.neighbors.table import IDS_FILE, META_FILE, NeighborTable, fingerprint_ids
from soundspot.errors import DataError, RecipeError
from soundspot.inference.mining.embed import Embedder, check_num_embeddings, compute_weights_digest, encode_batch
from soundspot.inference.mining.incremental import PreviousTable
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import resumable_folder
from soundspot.utils.npy_writer import NpyWriter, read_npy_width

Index = Literal["exact", "ivf", "ivfpq"]
Modality = Literal["images", "sounds"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
Vectors: TypeAlias = Callable[[Modality, Path, "PreviousTable | None"], Float32[np.ndarray, "n d"]]
"""The vectors of a modality, kept in the folder if they are made, those of an earlier table taken over."""


@dataclass(frozen=True)
class MiningOptions:
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
    index_type: Index = "exact"
    probes: int = PROBES
    batch_size: int = 64
    keep_vectors: bool = False
    extend: Path | None = None

    def __post_init__(self) -> None:
        for name in ("k", "probes", "batch_size"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name}: found {getattr(self, name)}, expected 1 or more")


@dataclass(frozen=True)
class EncoderInfo:
    """Who made the vectors: a name for people, and 16 hexadecimal digits that stand for the weights or the files."""

    name: str
    weights_digest: str = ""
    device: str = "cpu"


def mine_neighbors(
    embedder: Embedder,
    data: AudioVisualDataset,
    output: Path,
    options: MiningOptions = MiningOptions(),
    overwrite: bool = False,
    progress: bool = False,
) -> NeighborTable:
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
        "images": partial(
            encode_batch, partial(read_model_image, embedder, data), embedder.embed_images, options.batch_size
        ),
        "sounds": partial(
            encode_batch, partial(read_model_audio, embedder, data), embedder.embed_audio, options.batch_size
        ),
    }

    def vectors(modality: Modality, folder: Path, earlier: PreviousTable | None) -> Float32[np.ndarray, "n d"]:
        known = None if earlier is None else earlier.vectors(modality)
        file = folder / f"{modality}.vectors.npy"
        made = embed_to(file, asked[modality], len(data), options.batch_size, earlier, known, progress)
        check_embeddings(made, modality, data)
        return made

    encoder = EncoderInfo(embedder.name, compute_weights_digest(embedder), str(getattr(embedder, "device", "cpu")))
    return _tables(vectors, data, encoder, output, options, overwrite, progress)


def mine_from_embeddings(
    image_embeddings: Float[Tensor, "n d"],
    audio_embeddings: Float[Tensor, "n e"],
    data: AudioVisualDataset,
    encoder: EncoderInfo,
    output: Path,
    options: MiningOptions = MiningOptions(),
    overwrite: bool = False,
    progress: bool = False,
) -> NeighborTable:
    """The same from embeddings that are there already, in the order of the data set."""
    check_num_embeddings(image_embeddings, audio_embeddings, len(data))
    if options.keep_vectors or options.extend:
        raise RecipeError("vectors of your own are neither kept beside the table nor extended; they are yours already")
    given = {"images": image_embeddings.float().numpy(), "sounds": audio_embeddings.float().numpy()}
    for modality, rows in given.items():
        check_embeddings(rows, modality, data)
    return _tables(lambda modality, *_: given[modality], data, encoder, output, options, overwrite, progress)


def embed_to(
    file: Path,
    encode: Callable[[NDArray[np.int64]], Float32[Tensor, "b d"]],
    n: int,
    batch_size: int,
    earlier: PreviousTable | None,
    known: Float32[np.ndarray, "o d"] | None,
    progress: bool,
) -> Float32[np.ndarray, "n d"]:
    """The vectors of a data set as a memory map: those that are known already, the others embedded in batches.

    Each batch is written with the known vectors before it, so what a stopped run has written ends at some batch.
    """
    fresh = np.arange(n) if earlier is None else earlier.fresh
    batches = np.split(fresh, range(batch_size, len(fresh), batch_size))
    ends = [int(batch[-1]) + 1 for batch in batches[:-1]] + [n]
    width = read_npy_width(file) if known is None else known.shape[1]
    ahead = [] if width else [encode(batches[0]).numpy()]  # what tells the width
    with NpyWriter(file, n, width or ahead[0].shape[1], np.float32) as rows:
        past = int(np.searchsorted(ends, rows.num_written, side="right"))
        rows.truncate(ends[past - 1] if past else 0)
        for batch in track(batches[past:], file.name.partition(".")[0], disable=not progress):
            made = ahead.pop() if ahead else encode(batch).numpy() if len(batch) else np.empty((0, rows.width))
            end = ends[past]
            for some in row_blocks(end - rows.num_written):
                at = np.arange(some.start, some.stop) + rows.num_written - some.start
                new = np.isin(at, batch)
                part = np.empty((len(at), rows.width), np.float32)
                part[new] = made[np.searchsorted(batch, at[new])]
                if earlier is not None and known is not None:
                    part[~new] = known[earlier.position[at[~new]]]
                rows.append(part)
            past += 1
    return _opened(file)


def check_embeddings(vectors: Float32[np.ndarray, "n d"], modality: str, data: AudioVisualDataset) -> None:
    """Warns of vectors that are all zero, whose neighbours mean nothing.

    Raises:
        DataError: one is not finite.
    """
    length = np.concatenate(
        [np.linalg.norm(vectors[some.start : some.stop], axis=1) for some in row_blocks(len(vectors))]
    )
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
    encoder: EncoderInfo,
    output: Path,
    how: MiningOptions,
    overwrite: bool,
    progress: bool,
) -> NeighborTable:
    ids, groups = ([ask(i) for i in range(len(data))] for ask in (data.id, data.group))
    check_num_neighbors(how.k, len(data), groups)
    if how.index_type != "exact":
        import_faiss()
    meta: dict[str, Any] = {
        "data": fingerprint_ids(ids),
        "groups": fingerprint_ids(groups),
        "encoder": encoder.name,
        "weights": encoder.weights_digest,
        "n": len(ids),
        "k": how.k,
        "index": how.index_type,
    }
    if how.index_type != "exact":
        meta["probes"] = how.probes
    earlier = (
        None if how.extend is None else PreviousTable.of(how.extend, ids, groups, encoder.name, encoder.weights_digest)
    )
    rest = {key: value for key, value in asdict(how).items() if key not in meta}
    plan = {**meta, **rest, "device": encoder.device, "extend": earlier and earlier.meta}
    with resumable_folder(output, plan, overwrite, marker_file=META_FILE) as new:
        home = new if how.keep_vectors else new.parent
        made = {modality: vectors(modality, home, earlier) for modality in MODALITIES}
        found = {}
        for modality in MODALITIES:
            given = made.pop(modality)
            _write(new / f"{modality}.npy", modality, given, groups, encoder.device, how, earlier, progress)
            if how.index_type != "exact":
                found[modality] = measure_recall(np.load(new / f"{modality}.npy", mmap_mode="r"), given, groups)
        (new / IDS_FILE).write_text("\n".join(ids), encoding="utf-8")
        (new / META_FILE).write_text(json.dumps(meta | ({"recall": found} if found else {})), encoding="utf-8")
    return NeighborTable.load(output, meta["data"])


def _write(
    file: Path,
    modality: Modality,
    vectors: Float32[np.ndarray, "n d"],
    groups: list[str],
    device: str,
    how: MiningOptions,
    earlier: PreviousTable | None,
    progress: bool,
) -> None:
    """The table of one modality, from where a stopped run was."""
    n = len(vectors)
    with NpyWriter(file, n, how.k, np.int32) as table:
        if table.num_written == n:
            return
        left = torch.arange(table.num_written, n).split(ROWS)
        search: ExactSearch | ApproximateSearch
        if how.index_type == "exact":
            place = torch.device(device if device.startswith("cuda") else "cpu")  # others have no float64
            search = ExactSearch(torch.from_numpy(vectors).to(place), how.k, groups)
        else:
            search = ApproximateSearch(
                vectors, how.k, groups, how.index_type, file.parent.parent / f"{modality}.index", how.probes
            )
        of: Callable[[Int64[Tensor, " r"]], NDArray[np.int32]] = search
        if isinstance(search, ExactSearch) and earlier is not None and earlier.useful(how.k):
            of = partial(earlier.rows, search, modality)
        for rows in track(left, f"neighbours of {modality}", disable=not progress):
            table.append(of(rows))

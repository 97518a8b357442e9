"""Neighbor tables of a whole data set: embedded, searched and written a block of rows at a time.

The draft lies beside the output until it is complete, so a run that is killed is continued, to the same bytes.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from soundspot.data.datasets.auxiliary import read_model_audio, read_model_image
from soundspot.data.neighbors.candidate_filter import row_blocks
from soundspot.data.neighbors.exact_knn import ROWS_PER_BLOCK, ExactSearch, check_num_neighbors
from soundspot.data.neighbors.faiss import NUM_PROBES, ApproximateSearch, import_faiss, measure_recall
from soundspot.data.neighbors.table import IDS_FILE, META_FILE, MODALITIES, Modality, NeighborTable, fingerprint_ids
from soundspot.errors import DataError, RecipeError
from soundspot.inference.localizer import Localizer
from soundspot.inference.mining.embed import Embedder, compute_weights_digest, embed_batch
from soundspot.inference.mining.incremental import PreviousTable
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import resumable_folder
from soundspot.utils.npy_writer import RowWriter, read_npy_width
from soundspot.utils.progress import track

Embeddings: TypeAlias = Float32[np.ndarray, "n d"]


@dataclass(frozen=True)
class MiningOptions:
    """Options of `mine_neighbors`.

    Attributes:
        k: number of neighbors of each sample, at least 1.
        index_type: `exact`, or FAISS's `ivf` (approximate) for millions of samples (extra `ann`).
        num_probes: number of cells of the inverted file that are searched; more find more and take longer.
        batch_size: number of samples embedded at once.
        keep_embeddings: whether to keep the embeddings beside the table, so that it can be extended.
        extend: folder of a table, with its embeddings, of a part of the data set by the same encoder. Only the other
            samples are embedded; the result is that of mining anew.
        overwrite: whether an existing table, or the draft of another table, may be replaced.
        progress: whether to show a progress bar.

    Raises:
        RecipeError: `k`, `num_probes` or `batch_size` is less than 1.
    """

    k: int = 1000
    index_type: Literal["exact", "ivf"] = "exact"
    num_probes: int = NUM_PROBES
    batch_size: int = 64
    keep_embeddings: bool = False
    extend: Path | None = None
    overwrite: bool = False
    progress: bool = False

    def __post_init__(self) -> None:
        for name in ("k", "num_probes", "batch_size"):
            if vars(self)[name] < 1:
                raise RecipeError(f"{name}: found {vars(self)[name]}, expected 1 or more")


@dataclass(frozen=True, eq=False)
class SampleEmbeddings:
    """Embeddings that another program computed, in the order of a data set of n samples.

    Attributes:
        images: (n, d) embeddings of the images.
        audio: (n, e) embeddings of the audio.
        name: name of their encoder, for people.
        weights_digest: hexadecimal digits that identify the encoder.
        device: device on which neighbors are searched, such as `cpu` or `cuda`.
    """

    images: Float[Tensor, "n d"]
    audio: Float[Tensor, "n e"]
    name: str
    weights_digest: str = ""
    device: str = "cpu"

    def get(self, modality: Modality, data: AudioVisualDataset) -> Embeddings:
        """Return the embeddings of a modality, checked against a data set.

        Args:
            modality: `images` or `audio`.
            data: data set of the same n samples.

        Returns:
            (n, d) float32.

        Raises:
            DataError: the numbers of embeddings and of samples differ, or an embedding is not finite.
        """
        if {len(self.images), len(self.audio)} != {len(data)}:
            raise DataError(
                f"there are {len(self.images)} image and {len(self.audio)} audio embeddings for a data set of "
                f"{len(data)} samples; expected one row of each for every sample, in the order of the data set"
            )
        embeddings = (self.images if modality == "images" else self.audio).float().numpy()
        check_embeddings(embeddings, modality, data)
        return embeddings


def mine_neighbors(
    embedder: Embedder | Localizer | SampleEmbeddings,
    data: AudioVisualDataset,
    output: Path,
    options: MiningOptions = MiningOptions(),
) -> NeighborTable:
    """Find the k nearest neighbors of every sample of a data set, in each modality, by cosine.

    Samples with the same image or from one recording (`group`) are no neighbors of each other. A stopped run is
    continued by the next run with the same options.

    Args:
        embedder: encoder of images and audio, or embeddings that were computed elsewhere.
        data: data set of n samples.
        output: folder of the table; its draft lies beside it, as `.NAME.part`.
        options: number of neighbors, index, batch size...

    Returns:
        The table: (n, k) positions of neighbors, nearest first, of each modality.

    Raises:
        DataError: too few samples for k, an embedding is not finite, or `options.extend` is not of a part of the data
            set by this encoder.
        OutputError: something lies at the output, or the disk is full.
        RecipeError: FAISS is not installed, or `keep_embeddings` or `extend` is set for precomputed embeddings.
    """
    given: dict[Modality, Embeddings] = {}
    if isinstance(embedder, SampleEmbeddings):
        if options.keep_embeddings or options.extend:
            raise RecipeError(
                "embeddings of your own are neither kept beside the table nor extended; you have them already"
            )
        given = {modality: embedder.get(modality, data) for modality in MODALITIES}
    ids, groups = ([get(i) for i in range(len(data))] for get in (data.id, data.group))
    check_num_neighbors(options.k, len(data), groups)
    digest = compute_weights_digest(embedder) if isinstance(embedder, Localizer) else embedder.weights_digest
    device = str(embedder.device)
    meta: dict[str, Any] = {
        "data_fingerprint": fingerprint_ids(ids),
        "groups": fingerprint_ids(groups),
        "encoder": embedder.name,
        "weights_digest": digest,
        "n": len(ids),
        "k": options.k,
        "index_type": options.index_type,
    }
    if options.index_type == "ivf":
        import_faiss()
        meta["num_probes"] = options.num_probes
    previous = None
    if options.extend is not None:
        previous = PreviousTable.load(options.extend, ids, groups, (embedder.name, digest))
    settings = {name: vars(options)[name] for name in ("batch_size", "keep_embeddings")}
    settings |= meta | {"device": device, "extend": previous and previous.meta}
    with resumable_folder(output, settings, options.overwrite, marker_file=META_FILE) as new:
        if not isinstance(embedder, SampleEmbeddings):
            given = {name: _embed_dataset(embedder, data, name, new, previous, options) for name in MODALITIES}
        recall = {}
        for modality, embeddings in given.items():
            _write_table(new / f"{modality}.npy", embeddings, groups, device, options)
            if options.index_type == "ivf":
                table = np.load(new / f"{modality}.npy", mmap_mode="r")
                recall[modality] = measure_recall(table, embeddings, groups)
        (new / IDS_FILE).write_text("\n".join(ids), encoding="utf-8")
        (new / META_FILE).write_text(json.dumps(meta | ({"recall": recall} if recall else {})), encoding="utf-8")
    return NeighborTable.load(output, meta["data_fingerprint"])


def _embed_dataset(
    embedder: Embedder | Localizer,
    data: AudioVisualDataset,
    modality: Modality,
    output: Path,
    previous: PreviousTable | None,
    options: MiningOptions,
) -> Embeddings:
    """Embed a modality of a data set into a file of the output or beside it, reusing those of a previous table."""
    is_image = modality == "images"
    read = partial(read_model_image if is_image else read_model_audio, embedder, data)
    embed = embedder.embed_images if is_image else embedder.embed_audio
    encode = partial(embed_batch, read, embed, options.batch_size)
    file = (output if options.keep_embeddings else output.parent) / f"{modality}.embeddings.npy"
    indices = np.arange(len(data))
    if previous is None:
        embeddings = embed_to_file(file, encode, indices, options)
    else:
        new, width = np.setdiff1d(indices, previous.indices), previous.open_embeddings(modality).shape[1]
        draft = output.parent / f"{modality}.new.npy"
        previous.merge(file, modality, embed_to_file(draft, encode, new, options, width))
        embeddings = _open_embeddings(file)
    check_embeddings(embeddings, modality, data)
    return embeddings


def embed_to_file(
    file: Path,
    encode: Callable[[NDArray[np.int64]], Float32[Tensor, "b d"]],
    indices: Int64[np.ndarray, " n"],
    options: MiningOptions,
    width: int | None = None,
) -> Embeddings:
    """Embed samples in batches into an .npy file, continuing what a stopped run has written.

    Args:
        file: path of the .npy file.
        encode: function from the indices (b,) of a batch to its embeddings (b, d).
        indices: (n,) indices of the samples, in the order of the rows.
        options: batch size and progress bar.
        width: d, if known; None: that of the existing file, or of the first batch.

    Returns:
        (n, d) float32, a memory map of the file; writing to it does not change the file.

    Raises:
        OutputError: the file cannot be written.
    """
    batch_size, width = options.batch_size, width or read_npy_width(file)
    first = [] if width else [encode(indices[:batch_size])]  # shows the width
    width = width or first[0].shape[1]
    with RowWriter(file, width, num_rows=len(indices)) as writer:
        starts = range(writer.num_written, len(indices), batch_size)
        for start in track(starts, file.name.partition(".")[0], enabled=options.progress):
            writer.append((first.pop() if first else encode(indices[start : start + batch_size])).numpy())
    return _open_embeddings(file)


def check_embeddings(embeddings: Embeddings, modality: str, data: AudioVisualDataset) -> None:
    """Check that embeddings are finite; warn where some are all zero, as their neighbors are arbitrary.

    Args:
        embeddings: (n, d) embeddings.
        modality: name of the modality, for messages.
        data: data set of the n samples, for their ids.

    Raises:
        DataError: an embedding is not finite.
    """
    norms = np.concatenate([np.linalg.norm(embeddings[block], axis=1) for block in row_blocks(len(embeddings))])
    for bad, finding in ((~np.isfinite(norms), "not finite"), (norms == 0, "all zero")):
        if not bad.any():
            continue
        first = data.id(int(bad.argmax()))
        message = f"{modality}: {int(bad.sum())} of {len(norms)} embeddings are {finding} (first: {first})"
        if finding == "not finite":
            raise DataError(f"{message}, expected numbers. Mend the encoder, or the file")
        warnings.warn(f"{message}; their neighbors are arbitrary. Check the encoder", stacklevel=3)


def _open_embeddings(file: Path) -> Any:
    return np.load(file, mmap_mode="c")  # private: torch takes no array that cannot be written to


def _write_table(file: Path, embeddings: Embeddings, groups: list[str], device: str, options: MiningOptions) -> None:
    """Write the neighbors of all rows, continuing what a stopped run has written."""
    n = len(embeddings)
    with RowWriter(file, options.k, np.int32, n) as table:
        if table.num_written == n:
            return
        search: ExactSearch | ApproximateSearch
        if options.index_type == "exact":
            search_device = torch.device(device if device.startswith("cuda") else "cpu")  # others have no float64
            search = ExactSearch(torch.from_numpy(embeddings).to(search_device), options.k, groups)
        else:
            index_file = file.parent.parent / f"{file.stem}.index"
            search = ApproximateSearch(embeddings, options.k, groups, index_file, options.num_probes)
        blocks = torch.arange(table.num_written, n).split(ROWS_PER_BLOCK)
        for rows in track(blocks, f"neighbors of {file.stem}", enabled=options.progress):
            table.append(search(rows))

"""Embeddings of an earlier neighbor table, reused when samples were added to its data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from soundspot.data.neighbors.candidate_filter import row_blocks
from soundspot.data.neighbors.table import IDS_FILE, META_FILE, MODALITIES, Modality, NeighborTable, fingerprint_ids
from soundspot.errors import DataError
from soundspot.utils.npy_writer import RowWriter
from soundspot.utils.safe_read import convert_read_errors, load_npy, read_json_object


@dataclass(frozen=True)
class PreviousTable:
    """Embeddings of a part of a data set by the same encoder.

    Attributes:
        folder: folder of the table.
        indices: (o,) position of each of its o samples in the data set, increasing.
        meta: content of the table's meta.json.
    """

    folder: Path
    indices: Int64[np.ndarray, " o"]
    meta: dict[str, Any]

    @classmethod
    def load(cls, folder: Path, ids: list[str], groups: list[str], encoder: tuple[str, str]) -> "PreviousTable":
        """Open a table that was made before samples were added.

        Args:
            folder: folder of the table.
            ids: ids of the n samples of the data set.
            groups: group of each of the n samples.
            encoder: name and weights digest of the encoder.

        Returns:
            The table, with the positions of its samples in the data set.

        Raises:
            DataError: another encoder made it, its samples are not a part of the data set in the same order and of the
                same groups, or it was made without `keep_embeddings`.
        """
        with convert_read_errors(folder, "expected a table by `soundspot neighbors mine --keep-embeddings`. Mine anew"):
            return cls._read(folder, ids, groups, encoder)

    @classmethod
    def _read(cls, folder: Path, ids: list[str], groups: list[str], encoder: tuple[str, str]) -> "PreviousTable":
        NeighborTable.load(folder)
        meta = read_json_object(folder / META_FILE, "mine anew")
        made_by = (meta["encoder"], meta["weights_digest"])
        if made_by != encoder:
            raise DataError(
                f"{folder}: its embeddings were made by {' '.join(made_by)}, expected {' '.join(encoder)}. Extend with "
                "the same encoder, or mine anew"
            )
        positions = {id: i for i, id in enumerate(ids)}
        old_ids = (folder / IDS_FILE).read_text(encoding="utf-8").split("\n")
        gone = [id for id in old_ids if id not in positions]
        if gone:
            raise DataError(
                f"{folder}: {len(gone)} of its {len(old_ids)} samples are not in the data set (first: {gone[0]!r}), "
                "expected a part of it. Extend by additions only, or mine anew"
            )
        previous = cls(folder, np.array([positions[id] for id in old_ids], np.int64), meta)
        if (np.diff(previous.indices) <= 0).any():
            raise DataError(f"{folder}: its samples stand in another order than in the data set; mine anew")
        if meta["groups"] != fingerprint_ids([groups[i] for i in previous.indices]):
            raise DataError(f"{folder}: its samples belong to other groups than in the data set; mine anew")
        for modality in MODALITIES:
            previous.open_embeddings(modality)
        return previous

    def open_embeddings(self, modality: Modality) -> Float32[np.ndarray, "o d"]:
        """Map the embeddings of a modality into memory, read-only.

        Args:
            modality: `images` or `audio`.

        Returns:
            (o, d) float32.

        Raises:
            DataError: the file is missing, cannot be read, or has another shape or type.
        """
        file = self.folder / f"{modality}.embeddings.npy"
        try:
            embeddings: Any = load_npy(file, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise DataError(
                f"{file}: cannot be read ({error}), so the table cannot be extended; mine anew with --keep-embeddings"
            ) from error
        if embeddings.ndim != 2 or len(embeddings) != len(self.indices) or embeddings.dtype != np.float32:
            raise DataError(
                f"{file}: holds {embeddings.dtype} of shape {embeddings.shape}, expected float32 of "
                f"{len(self.indices)} samples; mine anew"
            )
        return embeddings

    def merge(self, file: Path, modality: Modality, new: Float32[np.ndarray, "m d"]) -> None:
        """Write the embeddings of the whole data set: rows of the table at its positions, the new rows at all others.

        Args:
            file: path of the .npy file of (o + m, d); an existing file is overwritten.
            modality: `images` or `audio`.
            new: (m, d) embeddings of the samples that the table lacks, in the order of the data set.

        Raises:
            DataError: the table's embeddings cannot be read.
            OutputError: the file cannot be written.
        """
        old, n = self.open_embeddings(modality), len(self.indices) + len(new)
        is_new = np.ones(n, bool)
        is_new[self.indices] = False
        source = np.where(is_new, is_new.cumsum(), (~is_new).cumsum()) - 1
        with RowWriter(file, old.shape[1], num_rows=n) as writer:
            writer.truncate(0)
            for block in row_blocks(n):
                rows = np.empty((block.stop - block.start, old.shape[1]), np.float32)
                rows[is_new[block]] = new[source[block][is_new[block]]]
                rows[~is_new[block]] = old[source[block][~is_new[block]]]
                writer.append(rows)

"""What was found in each picture of a video, as files that grow picture by picture: JSON, and maps as arrays."""

import json
import shutil
import zipfile
from array import array
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from soundspot.inference.result import MaskThreshold
from soundspot.inference.video.writer import FrameWriter
from soundspot.utils.npy_writer import make_npy_header

if TYPE_CHECKING:
    from soundspot.inference.video.predictor import FrameResult, LocatedVideo


def encode_rle(mask: Bool[np.ndarray, "h w"]) -> list[int]:
    """COCO's run lengths, not compressed: pixels column by column, how many are not set, then how many are, and so on.

    Beside the mask's size, [height, width], that is what pycocotools calls an uncompressed RLE.
    """
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths


class FrameRecordWriter(FrameWriter):
    """Writes JSON: the video, its notes, and `frames`, one line for each picture, with a mask in run lengths.

    A picture without a source of the sound has no box and an empty mask.
    """

    def __init__(self, path: Path, video: "LocatedVideo", rule: MaskThreshold) -> None:
        self._path, self._video, self._rule = path, video, rule
        self._file: IO[str] | None = None

    def abort(self) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, moment: "FrameResult") -> None:
        """Write a picture's line."""
        line = json.dumps(self._line(moment), separators=(", ", ":"))
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8")
            told = {
                "video": self._video.path.name,
                "model": self._video.localizer.title,
                "size": list(moment.map.size),
                "threshold": moment.map.threshold,
                "rule": self._rule,
            }
            self._file.write(json.dumps(told)[:-1] + ', "frames": [\n' + line)
        else:
            self._file.write(",\n" + line)

    def close(self, notes: tuple[str, ...]) -> None:
        """Finish the file."""
        assert self._file is not None, "a video has at least one picture"
        self._file.write(f'\n], "notes": {json.dumps(list(notes))}}}\n')
        self._file.close()

    def _line(self, moment: "FrameResult") -> dict[str, Any]:
        found = moment.map
        there = found.present is not False
        mask = found.mask(self._rule).numpy() if there else np.zeros(found.size, bool)
        return {
            "time": round(moment.time, 4),
            "present": found.present,
            "peak": round(found.peak, 5),
            "confidence": round(found.confidence, 5),
            "peak_at": list(found.peak_at),
            "boxes": [list(box) for box in found.boxes(self._rule)] if there else [],
            "mask": {"size": list(found.size), "counts": encode_rle(mask)},
        }


class VideoMapWriter(FrameWriter):
    """Writes an .npz: `scores` (n, h, w) float32, raw; `times` (n,) seconds; `present` (n,), 1, 0, or -1 where that is
    not known; `size` (height, width) and `region` of the pictures, as `SoundMap` has them."""

    def __init__(self, path: Path, video: "LocatedVideo") -> None:
        self._path, self._rows = path, path.with_name("scores")
        self._file: IO[bytes] | None = None
        self._times, self._present = array("d"), array("b")

    def abort(self) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, moment: "FrameResult") -> None:
        """Keep a map."""
        if self._file is None:
            self._file = self._rows.open("wb")
            self._first = moment.map
        self._file.write(moment.map.scores.numpy().astype("<f4").tobytes())
        self._times.append(moment.time)
        self._present.append(-1 if moment.map.present is None else int(moment.map.present))

    def close(self, notes: tuple[str, ...]) -> None:
        """Put them together."""
        assert self._file is not None, "a video has at least one picture"
        self._file.close()
        shape = (len(self._times), *self._first.scores.shape)
        others = {
            "times": np.array(self._times),
            "present": np.array(self._present),
            "size": np.array(self._first.size),
            "region": np.array(self._first.region),
        }
        with zipfile.ZipFile(self._path, "w") as whole:
            with self._rows.open("rb") as rows, whole.open("scores.npy", "w", force_zip64=True) as entry:
                entry.write(make_npy_header(shape, np.dtype("<f4")))
                shutil.copyfileobj(rows, entry)
            for name, values in others.items():
                with whole.open(f"{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, values, allow_pickle=False)
        self._rows.unlink()

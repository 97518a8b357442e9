"""VGGSounder's labels of VGGSound's test clips: what is heard and what is visible, and what kind of clip it is.

Zverev et al., "VGGSounder: Audio-Visual Evaluations for Foundation Models", ICCV 2025; read from the CSV files of the
package `vggsounder` (Apache-2.0), which need not be installed: `pip download vggsounder --no-deps` fetches its wheel.
"""

import csv
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from soundspot.errors import DataError
from soundspot.utils.safe_read import convert_read_errors

CSV_FILE = "vggsounder+background-music.csv"  # vggsounder.csv lacks every clip with background music
MODALITY, UNKNOWN, UNLABELED = "modality", "unknown", "not labeled"
FLAGS = ("background_music", "static_image", "voice_over")
COLUMNS = ("video_id", "label", MODALITY, *FLAGS)
_VALUES = {MODALITY: ("A", "V", "AV"), **dict.fromkeys(FLAGS, ("True", "False"))}
MAX_BYTES = 64 * 2**20  # of the table; that of version 1.0 has 2.2 MB
_HINT = "Fetch it by `pip download vggsounder --no-deps`, and name the wheel"


def read_vggsounder(path: str | os.PathLike[str]) -> dict[str, dict[str, dict[str, str]]]:
    """Read the labels of all clips.

    Args:
        path: the package's wheel, its folder `data`, or a CSV file of its columns.

    Returns:
        Clip id -> label -> attributes: `modality` is `A` (heard alone), `V` (visible alone) or `AV`;
        `background_music`, `static_image` and `voice_over` are `yes` or `no`, the same for all labels of a clip.

    Raises:
        DataError: the file is missing, or is none of these.
    """
    path = Path(path)
    with convert_read_errors(path, f"expected the table of VGGSounder. {_HINT}"):
        lines = csv.DictReader(io.StringIO(_read_text(path), newline=""))
        missing = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
        if missing:
            raise DataError(f"{path}: found no column {' or '.join(missing)}, expected {', '.join(COLUMNS)}. {_HINT}")
        clips: dict[str, dict[str, dict[str, str]]] = {}
        for line in lines:
            for name, values in _VALUES.items():
                if line[name] not in values:
                    value = "nothing" if line[name] is None else f"{line[name]!r:.40}"
                    line_name = f"{path}: line {lines.line_num}"
                    raise DataError(f"{line_name}: found {value} as {name}, expected {' or '.join(values)}. {_HINT}")
            flags = {name: {"True": "yes", "False": "no"}[line[name]] for name in FLAGS}
            clips.setdefault(line["video_id"], {})[line["label"]] = {MODALITY: line[MODALITY], **flags}
    return clips


def clip_attributes(clips: Mapping[str, Mapping[str, Mapping[str, str]]], id: str, category: str) -> dict[str, str]:
    """Return the attributes of a clip, for the sound of a category.

    Args:
        clips: labels of all clips (`read_vggsounder`).
        id: id of the clip.
        category: category whose modality counts.

    Returns:
        Name -> value: `modality` is `not labeled` where the clip lacks the category, and all are `unknown` where the
        clip is not in the table.
    """
    labels = clips.get(id)
    if not labels:
        return dict.fromkeys((MODALITY, *FLAGS), UNKNOWN)
    any_label = next(iter(labels.values()))
    return dict(labels.get(category) or {**any_label, MODALITY: UNLABELED})


def _read_text(path: Path) -> str:
    if path.is_dir():
        path = path / CSV_FILE
    if path.suffix != ".whl":
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"found {path.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}")
        return path.read_text(encoding="utf-8-sig")
    with zipfile.ZipFile(path) as wheel:
        table = wheel.getinfo(f"vggsounder/data/{CSV_FILE}")
        if table.file_size > MAX_BYTES:
            raise ValueError(f"found {CSV_FILE} of {table.file_size:,} bytes, expected at most {MAX_BYTES:,}")
        return wheel.read(table).decode("utf-8")

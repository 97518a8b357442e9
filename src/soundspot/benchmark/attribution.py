"""Licenses, authors and origins of the files of a catalog, from keys that the catalog format leaves free."""

from pathlib import Path
from typing import Any

from soundspot.benchmark.records import Source
from soundspot.data.datasets.catalog_format import ANNOTATIONS_FILE
from soundspot.utils.safe_read import read_json_object


def read_attributions(root: Path, license: str = "", author: str = "") -> dict[str, Source]:
    """Read the origin of each file of a catalog.

    The keys `attribution` (author), `origin` and `source` of an entry are read beside `licence` and `group`.

    Args:
        root: folder of the catalog.
        license: license of entries that state none.
        author: author of entries that name none and take that license.

    Returns:
        File -> source, of images and of recordings; an entry marked `unstated` or `non_commercial` has no license.
    """
    document = read_json_object(root / ANNOTATIONS_FILE, "expected a catalog. Check it: `soundspot data check`")
    entries = [*document.get("images", ()), *document.get("audio", ())]
    return {entry["file"]: _to_source(entry, license, author) for entry in entries if isinstance(entry, dict)}


def _to_source(entry: dict[str, Any], license: str, author: str) -> Source:
    stated = str(entry.get("licence") or "")
    if entry.get("unstated") or entry.get("non_commercial"):
        stated, license = "", ""
    named = str(entry.get("attribution") or "") or (author if not stated else "")
    origin = ", ".join(str(entry[key]) for key in ("source", "origin", "file") if entry.get(key))
    details = {key: entry[key] for key in ("style", "rights", "part", "annotation") if entry.get(key)}
    return Source("catalog", stated or license, named, origin, str(entry.get("group") or ""), details)

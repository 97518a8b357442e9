"""Licenses of files: which may be handed on, and which license a work made of several has."""

import re
from collections.abc import Iterable

from soundspot.errors import DataError

# Licenses under which a file may be handed on, by the beginning of their normalized name.
_PERMISSIVE = ("cc0", "public domain", "no known copyright", "mit", "apache", "bsd", "unlicense", "own work")
_ATTRIBUTION = ("cc by",)
NEEDS_AUTHOR = ("cc by", "cc by-sa", "cc by-nc", "cc by-nc-sa")
_ADDRESS = re.compile(r"(?:https?://)?[\w-]+(?:\.[\w-]+)+/\S*(?:\s*\([^)]*\))?")  # no name of anybody
_VERSION = re.compile(r"(\d+(?:\.\d+)?)")


def normalize_license(text: str) -> tuple[str, str]:
    """Split a license into its name and version.

    Args:
        text: license as a source states it, such as `CC BY-SA 3.0 (photographs)` or `cc-by-4.0`.

    Returns:
        Name in lower case without remarks, such as `cc by-sa`; version, empty where none is given.
    """
    plain_text = text.partition("(")[0].strip().lower().replace("creative commons attribution", "cc by")
    plain_text = re.sub(r"^cc[ -](by|0|zero)", lambda match: {"by": "cc by"}.get(match[1], "cc0"), plain_text)
    plain_text = re.sub(r"[ -](sa|nc|nd)\b", r"-\1", plain_text)
    version = _VERSION.search(plain_text.removeprefix("cc0"))
    if plain_text.startswith("cc0"):
        return "cc0", version[1] if version else ""
    name = _VERSION.sub("", plain_text).strip(" -")
    return ("public domain" if name.startswith("public domain") else name), version[1] if version else ""


def describe_problem(license: str, author: str) -> str:
    """Describe what keeps a file from being handed on.

    Args:
        license: license of the file; empty where it is not known.
        author: name of its author; empty where it is not known.

    Returns:
        A phrase; empty where nothing does.
    """
    name, _ = normalize_license(license)
    if not name:
        return "its license is not known"
    if "-nd" in name:
        return f"{license} allows no derived works"
    if not name.startswith((*_PERMISSIVE, *_ATTRIBUTION, "gpl")):
        return f"the license {license!r} is not known to allow copies"
    if name in NEEDS_AUTHOR and (not author.strip() or _ADDRESS.fullmatch(author.strip())):
        return f"{license} asks for the author's name, found {author.strip() or 'none'}"
    return ""


def combine_licenses(licenses: Iterable[str]) -> str:
    """Return the license of a work that is made of several.

    Args:
        licenses: licenses of its parts.

    Returns:
        The license that asks for most: share-alike before attribution before permissive; the latest version.

    Raises:
        DataError: two of them cannot be in one work: share-alike with non-commercial or GPL, or no derived works.
    """
    names = {text: normalize_license(text) for text in licenses}
    strict = {name for name, _ in names.values() if name.startswith("gpl") or "-sa" in name}
    non_commercial = {name for name, _ in names.values() if "-nc" in name}
    is_mixed = len(strict) > 1 or (strict and non_commercial - strict)
    if is_mixed or any("-nd" in name or not name for name, _ in names.values()):
        raise DataError(
            f"found {', '.join(sorted(names)) or 'no license'} in one work, expected licenses that fit together. "
            "Choose others (`--licenses`)"
        )

    def rank(text: str) -> tuple[int, float, str]:
        name, version = names[text]
        level = 3 if name in strict else 2 if name in non_commercial else 1 if name.startswith(_ATTRIBUTION) else 0
        return level, float(version or 0), text

    return max(names, key=rank)

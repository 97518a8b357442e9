"""Folder of files that are fetched once and used by all projects of a user."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of the user's cache; it need not exist.

    Returns:
        `$SOUNDSPOT_CACHE`, else `$XDG_CACHE_HOME/soundspot`, else `~/.cache/soundspot`; empty variables count as unset.
    """
    if folder := os.environ.get("SOUNDSPOT_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "soundspot"

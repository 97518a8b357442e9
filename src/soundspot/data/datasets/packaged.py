"""The test set that lies in the package: `open-interactive`, made by examples/open_interactive.py."""

import os
from pathlib import Path

from soundspot.data.datasets.catalog import Catalog

OPEN_INTERACTIVE = Path(__file__).parent / "open_interactive"


def open_packaged(name: str, root: str | os.PathLike[str] | None = None) -> Catalog:
    """Open the test set of the package.

    Args:
        name: `open-interactive`.
        root: folder of another release of it; None: that of the package.

    Returns:
        The samples, two for each image, with masks.

    Raises:
        DataError: there is no release in the folder.
    """
    catalog = Catalog(root or OPEN_INTERACTIVE, "test")
    catalog.name = name
    return catalog

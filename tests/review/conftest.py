"""A folder of results to review."""

from pathlib import Path

import numpy as np
import pytest

from review_results import make_results


@pytest.fixture
def located(tmp_path: Path) -> Path:
    """120 results whose peaks lie evenly between 0 and 1; their media are not there."""
    return make_results(tmp_path, np.linspace(0, 1, 120), media=False)

from pathlib import Path

import pytest
import torch

from golden import folders


@pytest.fixture(autouse=True)
def _one_thread():
    """Many small tensors: threads that wait for each other cost more than they save, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def metrics(golden: Path) -> list[Path]:
    """Every folder of golden metrics."""
    found = folders(golden)
    if not found:
        pytest.skip(f"golden metrics are absent below {golden}")
    return found

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """Many small tensors: threads that wait for each other cost more than they save, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

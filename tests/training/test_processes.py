"""Several processes learn what one does: the same gradient, of the same negatives."""

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from halves import CASES, batch, gradients, made, means

Found = list[tuple[dict[str, Tensor], int, int]]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Found:
    if not dist.is_available():
        pytest.skip("this torch has no torch.distributed")
    folder = tmp_path_factory.mktemp("halves")
    return means(str(folder / "meet"), str(folder / "found.pt"))


@pytest.mark.parametrize(
    "case", range(len(CASES)), ids=[f"{name}-{mode}-{n}" for n, (name, mode, _) in enumerate(CASES)]
)
def test_two_halves_have_the_gradient_of_the_whole(case: int, together: Found, one_thread: None) -> None:
    name, mode, options = CASES[case]
    wanted = gradients(made(name, mode, options), batch(name, mode))
    found, sent, places = together[case]
    assert found.keys() == wanted.keys()
    near = {"rtol": 1e-4, "atol": 1e-6} if mode == "second" else {"rtol": 1e-9, "atol": 1e-11}
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, **near, msg=lambda told, key=key: f"{key}: {told}")
    assert mode == "train" or sent < places, "what is as large as a picture's places was sent to the other processes"

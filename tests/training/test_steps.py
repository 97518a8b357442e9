"""One step of the optimizer: of several batches, of compiled encoders."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import soundspot
from soundspot.config.load import read_recipe
from soundspot.training.clip_reader import ClipReader
from soundspot.training.fit import build_method, open_recipe_dataset
from soundspot.training.lightning_module import OPTIMIZERS, build_batch, should_compile
from soundspot.training.sample_order import ResumableBatchSampler

pytestmark = pytest.mark.usefixtures("one_thread")

CLIPS = ["--data.options", '{"length": 16, "size": 64, "seconds": 1.0, "regenerate": false}', "--train.batch_size", "8"]
STEP = [*CLIPS, "--train.epochs", "1", "--train.warmup", "0", "--train.schedule", "constant"]
STEP += ["--train.precision", "fp32", "--train.optimizer", "sgd"]


def trained(folder: Path, *more: str) -> dict[str, Tensor]:
    soundspot.train(read_recipe("ezvsl/debug", [*STEP, *more]), folder, progress=False)
    return load_file(folder / "last.safetensors")


def test_a_step_of_two_batches_takes_the_mean_of_their_gradients(tmp_path: Path) -> None:
    found = trained(tmp_path / "run", "--train.accumulate", "2")
    recipe = read_recipe("ezvsl/debug", [*STEP, "--train.accumulate", "2"])
    data = open_recipe_dataset(recipe.data)
    torch.manual_seed(recipe.train.seed)
    method = build_method(recipe, 0)
    clips, stream = (
        ClipReader(data, method.front_end, recipe.views, recipe.train.seed),
        ResumableBatchSampler(len(data), recipe, 1, lambda: 0, lambda: None),
    )
    for tickets in stream:
        raw = clips.read(tickets)
        loss = method.losses(build_batch(raw, method.front_end, recipe.views, recipe.train.seed))["contrast"]
        (loss / 2).backward()
    optimizer = OPTIMIZERS["sgd"](method.parameters(), lr=recipe.train.lr, weight_decay=recipe.train.weight_decay)
    optimizer.step()
    for name, weight in method.named_parameters():
        assert weight.grad is not None
        # In single precision a maximum may be taken at another of two places that are all but the same.
        near = 0.02 * recipe.train.lr * float(weight.grad.abs().max())
        torch.testing.assert_close(found[name], weight.detach(), rtol=0, atol=near + 1e-7)


def test_it_is_compiled_where_that_pays_or_when_it_is_asked_for() -> None:
    assert should_compile("always")
    assert not should_compile("never")
    assert should_compile("auto") <= torch.cuda.is_available()


def test_each_encoder_is_compiled_and_then_cut_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, sizes = trained(tmp_path / "plain", "--train.grad_cache_size", "4"), set()

    def compiled(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            sizes.add((x.shape[1], len(x)))
            return function(x)

        return forward

    monkeypatch.setattr(torch, "compile", compiled)
    found = trained(tmp_path / "compiled", "--train.compile", "always", "--train.grad_cache_size", "4")
    assert sizes == {(3, 4), (1, 4)}
    assert all(torch.equal(found[name], weight) for name, weight in plain.items())


@pytest.mark.slow
def test_compiled_for_this_machine_it_learns_the_same(tmp_path: Path) -> None:
    """In processes of their own, where no annotation is checked: a compiler cannot read the checks."""
    for how in ("never", "always"):
        command = [
            sys.executable,
            "-m",
            "soundspot",
            "train",
            "ezvsl/debug",
            "-o",
            str(tmp_path / how),
            "--quiet",
            *STEP,
        ]
        subprocess.run([*command, "--train.compile", how], check=True)
    plain, compiled = (load_file(tmp_path / how / "last.safetensors") for how in ("never", "always"))
    for name, weight in plain.items():
        torch.testing.assert_close(compiled[name], weight, rtol=1e-3, atol=1e-4)

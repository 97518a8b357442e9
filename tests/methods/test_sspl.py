"""SSPL without predictive coding against the released networks, and what a reader would doubt."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from released import filled, inputs_of
from whence.data.spectrogram import spectrogram
from whence.errors import CheckpointError
from whence.frontend import PRESETS
from whence.importers import IMPORTERS, import_checkpoint
from whence.losses.siamese import attended_sum
from whence.methods import Method, create
from whence.methods.sspl import SSPL
from whence.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]
GRADIENTS = (
    "sound/module.fc.0",
    "sound/module.fc.2",
    "ssl_head/module.projector.layer1.0",
    "ssl_head/module.predictor.layer2",
)


# The released code.


@pytest.fixture(scope="module")
def case(golden: Path) -> Path:
    if not (golden / "sspl" / "keys.json").is_file():
        pytest.skip(f"golden/sspl is absent below {golden}")
    return golden / "sspl"


@pytest.fixture(scope="module")
def theirs(case: Path) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value) for name, value in np.load(case / "io.npz").items()}


@pytest.fixture(scope="module")
def released(case: Path) -> SSPL:
    keys = json.loads((case / "keys.json").read_text())
    method = import_checkpoint({name: filled(name, *rest) for name, *rest in keys}, "sspl")
    assert isinstance(method, SSPL)
    return method


def batch_of(b: int, four: str = "") -> Batch:
    """Two views of each picture, and its sound: patches (b, 3, 1, time, frequency) as one spectrogram."""
    views = [inputs_of({"x": [name + four, [b, 3, 224, 224]]})["x"] for name in ("image", "image_view2")]
    patches = inputs_of({"x": ["audio" + four, [b, 3, 1, 96, 64]]})["x"]
    return Batch(torch.stack(views), patches[:, :, 0].flatten(1, 2).mT[None, :, None], torch.arange(b))


def near(ours: Tensor, theirs: Tensor, within: float) -> None:
    """Within a share of the largest value."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=within * max(1.0, theirs.abs().max().item()))


@torch.no_grad()
def test_evaluation(released: SSPL, theirs: dict[str, Tensor]) -> None:
    released.eval()
    batch = batch_of(2)
    maps = released.maps(batch.images[0], batch.sounds[0])
    near(maps, theirs["map"], 2e-5)
    near(released.hear(batch.sounds[0]), theirs["audio_embedding"], 2e-5)
    attended = attended_sum(released.image_encoder(batch.images[0]), maps)
    near(attended, theirs["fav1"], 2e-5)
    projected, predicted = released.head(attended)
    near(projected, theirs["z1"], 2e-4)
    near(predicted, theirs["p1"], 2e-4)
    assert released.losses(batch)["predict"].item() == pytest.approx(theirs["loss_eval"].item(), abs=1e-5)


def test_training(released: SSPL, theirs: dict[str, Tensor]) -> None:
    """Batch norm over four clips; single precision itself is 3.5e-3 off in the gradients, as the case says."""
    released.train()
    state = {name: value.clone() for name, value in released.state_dict().items() if "running" in name}
    batch = batch_of(4, "4")
    loss = released.losses(batch)["predict"]
    loss.backward()
    assert loss.item() == pytest.approx(theirs["train_loss"].item(), abs=2e-5)
    ours = IMPORTERS["sspl"].ours
    norms = [released.get_parameter(ours(f"{name}.weight")).grad.norm().item() for name in GRADIENTS]  # type: ignore[union-attr]
    assert norms == pytest.approx(theirs["grad_norms"].tolist(), rel=5e-3)
    assert all(one.grad is None for one in released.image_encoder.parameters())
    assert all(one.grad is None for one in released.audio_encoder.parameters())
    with torch.no_grad():
        near(released.maps(batch.images[0], batch.sounds[0]), theirs["train_map"], 2e-5)
    released.load_state_dict(state, strict=False)
    released.zero_grad()
    released.eval()


def test_a_folder_of_its_files_is_read(released: SSPL, tmp_path: Path) -> None:
    release = IMPORTERS["sspl"]
    small = create("sspl", image={"width": 2}, audio={"width": 2, "hidden": 8}, width=16)
    state = {release.theirs(name): value for name, value in small.state_dict().items()}
    for part, file in release.files:
        torch.save({n.partition("/")[2]: v for n, v in state.items() if n.startswith(f"{part}/")}, tmp_path / file)
    with pytest.raises(
        CheckpointError, match=r"frame/feat_extractor.0.weight is \[2, 3, 3, 3\], expected \[64, 3, 3, 3\]"
    ):
        import_checkpoint(tmp_path, "sspl")
    (tmp_path / "sound_best.pth").unlink()
    with pytest.raises(CheckpointError, match=r"sound_best\.pth: no such file"):
        import_checkpoint(tmp_path, "sspl")


# What holds of it anywhere.


def test_the_front_end_stretches_a_window_by_its_own_range() -> None:
    spec = PRESETS["sspl"].audio
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((1, 48000)))
    above = x - x.min()
    plain = spectrogram((above / (above.max() + 1e-3) - 0.5) * 2, PRESETS["vggish"].audio, 16000)
    torch.testing.assert_close(spectrogram(x, spec, 16000), plain)
    assert spectrogram(torch.zeros(1, 48000), spec, 16000).isfinite().all()


def test_a_view_more_of_a_sound_is_a_term_more(toy: Toy, clips: Clips) -> None:
    one = clips(views=2)
    method = toy("sspl", width=16).eval()
    both = method.losses(one)["predict"].item()
    each = [method.losses(Batch(one.images, one.sounds[u : u + 1], one.index))["predict"].item() for u in range(2)]
    assert both == pytest.approx(sum(each), rel=1e-5)


def test_the_defaults_are_frozen_and_what_is_asked_of_them_learns() -> None:
    method = create("sspl", image={"width": 2}, audio={"width": 2, "hidden": 8}, width=16)
    frozen = {name.partition(".")[0] for name, one in method.named_parameters() if not one.requires_grad}
    assert frozen == {"image_encoder", "audio_encoder"}
    learned = {name.partition(".")[0] for name, one in method.named_parameters() if one.requires_grad}
    assert learned == {"query", "head"}

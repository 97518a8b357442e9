"""SSPL without and with predictive coding against the released networks, and what a reader would doubt."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from released import Case, golden_case, inputs_of
from soundspot.config.frontend import PRESETS
from soundspot.data.transforms.spectrogram import spectrogram
from soundspot.errors import CheckpointError, RecipeError
from soundspot.importers import IMPORTERS, import_checkpoint
from soundspot.losses.siamese import attention_weighted_sum
from soundspot.methods import Method, create
from soundspot.methods.sspl_base import SSPLBase
from soundspot.methods.sspl_pcm import SSPLPCM
from soundspot.models.heads import mean_pool
from soundspot.models.pcm import PredictiveCoding
from soundspot.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]
BOTH = ("sspl", "sspl_pcm")
GRADIENTS = (
    "sound/module.fc.0.weight",
    "sound/module.fc.2.weight",
    "ssl_head/module.projector.layer1.0.weight",
    "ssl_head/module.predictor.layer2.weight",
    "pcm/module.PredProcess.1.conv2d.weight",
    "pcm/module.ErrorProcess.1.weight",
    "pcm/module.a0.0",
    "pcm/module.b0.2",
)


# The released code.


@pytest.fixture(scope="module", params=BOTH)
def case(golden: Path, request: pytest.FixtureRequest) -> Case:
    return golden_case(golden, request.param)


def batch_of(b: int, four: str = "") -> Batch:
    """Two views of each picture, and its sound: patches (b, 3, 1, time, frequency) as one spectrogram."""
    views = [inputs_of({"x": [name + four, [b, 3, 224, 224]]})["x"] for name in ("image", "image_view2")]
    patches = inputs_of({"x": ["audio" + four, [b, 3, 1, 96, 64]]})["x"]
    return Batch(torch.stack(views), patches[:, :, 0].flatten(1, 2).mT[None, :, None], torch.arange(b))


def near(ours: Tensor, theirs: Tensor, within: float) -> None:
    """Within a share of the largest value."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=within * max(1.0, theirs.abs().max().item()))


@torch.no_grad()
def test_evaluation(released: SSPLBase, theirs: dict[str, Tensor]) -> None:
    released.eval()
    batch = batch_of(2)
    grids, patches = released.image_encoder(batch.images[0]), released.patch_embeddings(batch.audio[0])
    codes = released.encode_audio(batch.audio[0])
    maps = released.maps(batch.images[0], batch.audio[0])
    near(maps, theirs["map"], 2e-5)
    near(released.query_audio(patches), theirs["audio_embedding"], 2e-5)
    near(F.normalize(patches.mean(1)), theirs["audio_vggish_unit"], 2e-5)
    seen = released.attended_features(grids, codes)
    for name, ours in (("visual_features", grids), ("pcm_features", seen)):  # the copies here hold fewer channels
        if name in theirs:
            near(ours[:1, : theirs[name].shape[1]], theirs[name], 2e-5)
    if isinstance(released, SSPLPCM):
        near(codes[:, 512:], theirs["audio_vggish_unit"], 2e-5)
    attended = attention_weighted_sum(seen, maps)
    near(attended, theirs["fav1"], 2e-5)
    projected, predicted = released.head(attended)
    near(projected, theirs["z1"], 2e-4)
    near(predicted, theirs["p1"], 2e-4)
    assert released.losses(batch)["predict"].item() == pytest.approx(theirs["loss_eval"].item(), abs=1e-5)


def test_training(released: SSPLBase, theirs: dict[str, Tensor]) -> None:
    """Batch norm over four clips; single precision itself is 3.5e-3 off in the gradients, as the cases say."""
    released.train()
    state = {name: value.clone() for name, value in released.state_dict().items() if "running" in name}
    batch = batch_of(4, "4")
    loss = released.losses(batch)["predict"]
    loss.backward()
    assert loss.item() == pytest.approx(theirs["train_loss"].item(), abs=2e-5)
    ours, wanted = IMPORTERS[released.name].to_local_name, theirs["grad_norms"].tolist()
    found = [released.get_parameter(ours(name)).grad.norm().item() for name in GRADIENTS[: len(wanted)]]  # type: ignore[union-attr]
    assert found == pytest.approx(wanted, rel=5e-3)
    assert all(one.grad is None for one in released.image_encoder.parameters())
    assert all(one.grad is None for one in released.audio_encoder.parameters())
    with torch.no_grad():
        near(released.maps(batch.images[0], batch.audio[0]), theirs["train_map"], 2e-5)
    released.load_state_dict(state, strict=False)
    released.zero_grad()
    released.eval()


@pytest.mark.parametrize("name", BOTH)
def test_a_folder_of_its_files_is_read(name: str, tmp_path: Path) -> None:
    release = IMPORTERS[name]
    small = create(name, image={"width": 2}, audio={"width": 2, "hidden": 8}, width=16)
    state = {release.to_released_name(name): value for name, value in small.state_dict().items()}
    for part, file in release.files:
        torch.save({n.partition("/")[2]: v for n, v in state.items() if n.startswith(f"{part}/")}, tmp_path / file)
    with pytest.raises(
        CheckpointError, match=r"frame/feat_extractor.0.weight is \[2, 3, 3, 3\], expected \[64, 3, 3, 3\]"
    ):
        import_checkpoint(tmp_path, name)
    last = release.files[-1][1]
    (tmp_path / last).unlink()
    with pytest.raises(CheckpointError, match=rf"{last}: no such file"):
        import_checkpoint(tmp_path, name)


# What holds of it anywhere.


def test_the_front_end_stretches_a_window_by_its_own_range() -> None:
    spec = PRESETS["sspl"].audio
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((1, 48000)))
    above = x - x.min()
    plain = spectrogram((above / (above.max() + 1e-3) - 0.5) * 2, PRESETS["vggish"].audio, 16000)
    torch.testing.assert_close(spectrogram(x, spec, 16000), plain)
    assert spectrogram(torch.zeros(1, 48000), spec, 16000).isfinite().all()


@pytest.mark.parametrize("name", BOTH)
def test_a_view_more_of_a_sound_is_a_term_more(name: str, toy: Toy, clips: Clips) -> None:
    one = clips(views=2)
    method = toy(name, width=16).eval()
    both = method.losses(one)["predict"].item()
    each = [method.losses(Batch(one.images, one.audio[u : u + 1], one.index))["predict"].item() for u in range(2)]
    assert both == pytest.approx(sum(each), rel=1e-5)


@pytest.mark.parametrize("name", BOTH)
def test_the_defaults_are_frozen_and_what_is_asked_of_them_learns(name: str) -> None:
    method = create(name, image={"width": 2}, audio={"width": 2, "hidden": 8}, width=16)
    frozen = {name.partition(".")[0] for name, one in method.named_parameters() if not one.requires_grad}
    assert frozen == {"image_encoder", "audio_encoder"}
    learned = {name.partition(".")[0] for name, one in method.named_parameters() if one.requires_grad}
    assert learned == {"query", "head", *(["pcm"] if name == "sspl_pcm" else [])}


# Predictive coding.


def by_hand(pcm: PredictiveCoding, grids: Tensor, sounds: Tensor) -> Tensor:
    """The module written out, level by level."""
    gelu, pool = F.gelu, nn.MaxPool2d(2)
    a, b = ([F.relu(gate) for gate in gates] for gates in (pcm.gates.a, pcm.gates.b))

    def correct(low: Tensor, middle: Tensor, high: Tensor, below: tuple[Tensor, Tensor], norms: nn.Module) -> list:
        error = (sounds - gelu(pcm.predict_audio(low)).mean((2, 3)))[:, :, None, None].expand(-1, -1, *low.shape[2:])
        low = gelu(norms[0](low + a[0] * pcm.up[0](error)))  # type: ignore[index]
        doubled = pcm.up[1](low - below[0])[..., : middle.shape[2], : middle.shape[3]]
        middle = gelu(norms[1](middle + a[1] * doubled))  # type: ignore[index]
        wide = nn.Upsample(high.shape[2:], mode="bilinear", align_corners=True)(middle - below[1])
        return [low, middle, gelu(norms[2](high + a[2] * pcm.up[2](wide)))]  # type: ignore[index]

    middle = gelu(pcm.down_norms[0][1](pool(pcm.down[1](grids))))  # type: ignore[index]
    low = gelu(pcm.down_norms[0][0](pool(pcm.down[0](middle))))  # type: ignore[index]
    levels = correct(low, middle, grids, (low, middle), pcm.up_norms[0])
    for down, up in list(zip(pcm.down_norms, pcm.up_norms, strict=True))[1:]:
        high = gelu((1 - b[2]) * levels[2] + b[2] * grids)
        to_middle = pool(pcm.down[1](high))
        middle = gelu(down[1]((1 - b[1]) * levels[1] + b[1] * to_middle))  # type: ignore[index]
        to_low = pool(pcm.down[0](middle))
        low = gelu(down[0]((1 - b[0]) * levels[0] + b[0] * to_low))  # type: ignore[index]
        levels = correct(low, middle, high, (to_low, to_middle), up)
    return pcm.output(levels[2])


@torch.no_grad()
@pytest.mark.parametrize("size", [(14, 14), (16, 16), (5, 10), (4, 7)])
@pytest.mark.parametrize("cycles", [0, 1, 3])
def test_predictive_coding_is_what_is_written_out(cycles: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    pcm = PredictiveCoding(6, 5, cycles).double()
    for parameter in pcm.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    grids, sounds = torch.randn(3, 6, *size).double(), torch.randn(3, 5).double()
    torch.testing.assert_close(pcm(grids, sounds), by_hand(pcm, grids, sounds))
    assert pcm.eval()(grids, sounds).shape == grids.shape


@torch.no_grad()
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (14, 14), (16, 6)])
def test_predictive_coding_takes_grids_of_any_size_from_four_cells_on(size: tuple[int, int]) -> None:
    pcm = PredictiveCoding(6, 5)
    assert pcm(torch.randn(2, 6, *size), torch.randn(2, 5)).shape == (2, 6, *size)
    with pytest.raises(RecipeError, match=r"found features of 3 x 9 cells.*expected 4 or more"):
        pcm(torch.randn(2, 6, 3, 9), torch.randn(2, 5))
    with pytest.raises(RecipeError, match=r"train\.batch_size: .* Raise it"):
        pcm(torch.randn(1, 6, 4, 4), torch.randn(1, 5))


@torch.no_grad()
def test_a_sound_that_is_predicted_right_corrects_nothing() -> None:
    """No sound at all is taken for what the picture predicts, pass by pass; without cycles that is one sound."""
    torch.manual_seed(0)
    pcm = PredictiveCoding(6, 5, cycles=0).eval()
    grids = torch.randn(3, 6, 8, 8)
    low = grids
    for level in (1, 0):
        low = F.gelu(pcm.down_norms[0][level](F.max_pool2d(pcm.down[level](low), 2)))  # type: ignore[index]
    predicted = mean_pool(F.gelu(pcm.predict_audio(low)))
    torch.testing.assert_close(pcm(grids), pcm(grids, predicted))
    assert (pcm(grids) - pcm(grids, predicted + 1)).abs().max() > 1e-3


@torch.no_grad()
def test_predictive_coding_in_mixed_precision() -> None:
    torch.manual_seed(0)
    pcm = PredictiveCoding(6, 5).eval()
    grids, sounds = torch.randn(3, 6, 8, 8), torch.randn(3, 5)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = pcm(grids, sounds)
    near(mixed.float(), pcm(grids, sounds), 0.05)


def test_gradients_of_predictive_coding() -> None:
    torch.manual_seed(0)
    pcm = PredictiveCoding(2, 3, cycles=1).double().eval()
    grids, sounds = torch.randn(2, 2, 5, 4).double().requires_grad_(), torch.randn(2, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(pcm, (grids, sounds), eps=1e-5, atol=1e-4)


@torch.no_grad()
def test_the_map_of_a_picture_rests_on_what_its_sound_is_besides_what_it_asks_for(toy: Toy, clips: Clips) -> None:
    method, batch = toy("sspl_pcm", width=16).eval(), clips()
    assert isinstance(method, SSPLPCM)
    pictures, codes = method.encode_images(batch.images[0]), method.encode_audio(batch.audio[0])
    other = torch.cat([codes[:, :8], codes.roll(1, 0)[:, 8:]], dim=1)
    assert (method.similarity_map(pictures, codes) - method.similarity_map(pictures, other)).abs().max() > 1e-4
    everything = method.all_maps(batch.images[0], batch.audio[0])
    torch.testing.assert_close(everything[2, 1], method.maps(batch.images[0][2:3], batch.audio[0][1:2])[0])
    with pytest.raises(RecipeError, match=r"method\.cycles: found -1, expected 0 or more"):
        create("sspl_pcm", image={"width": 2}, audio={"width": 2, "hidden": 8}, cycles=-1)

"""HearTheFlow against the released network, and what a reader would doubt."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from released import filled, inputs_of, shaped
from soundspot.config.checkpoint import load_checkpoint, save_checkpoint
from soundspot.config.frontend import PRESETS, InputSpec
from soundspot.config.inspect_checkpoint import inspect_checkpoint
from soundspot.errors import RecipeError
from soundspot.importers import IMPORTERS, import_checkpoint
from soundspot.losses.contrastive import info_nce, unit_norm
from soundspot.methods import Method, create
from soundspot.methods.heartheflow import CrossAttention, HearTheFlow, cross_attention
from soundspot.models.encoders import build_encoder
from soundspot.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]
TINY = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 4}
GRADIENTS = ("audnet.conv1", "flownet.conv1", "flowatt.query_conv", "flowatt.key_conv", "flowatt.value_conv")


# The released code.


@pytest.fixture(scope="module")
def case(golden: Path) -> Path:
    if not (golden / "heartheflow" / "keys.json").is_file():
        pytest.skip(f"golden/heartheflow is absent below {golden}")
    return golden / "heartheflow"


@pytest.fixture(scope="module")
def theirs(case: Path) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value) for name, value in np.load(case / "io.npz").items()}


@pytest.fixture(scope="module")
def released(case: Path) -> HearTheFlow:
    keys = json.loads((case / "keys.json").read_text())
    method = import_checkpoint({"model": {name: filled(name, *rest) for name, *rest in keys}}, "heartheflow")
    assert isinstance(method, HearTheFlow)
    return method


def batch_of(b: int, four: str = "") -> Batch:
    shapes = {"image": [b, 3, 224, 224], "flow": [b, 2, 224, 224], "audio": [b, 1, 257, 276]}
    x = inputs_of({name: [name + four, shape] for name, shape in shapes.items()})
    return Batch(torch.cat([x["image"], x["flow"]], dim=1)[None], x["audio"][None], torch.arange(b))


def near(ours: Tensor, theirs: Tensor, within: float) -> None:
    """Within a share of the largest value; of grids the case holds the first samples and channels."""
    ours = ours[tuple(slice(n) for n in theirs.shape)]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=within * max(1.0, theirs.abs().max().item()))


@torch.no_grad()
def test_evaluation(released: HearTheFlow, theirs: dict[str, Tensor]) -> None:
    released.eval()
    batch = batch_of(2)
    images, sounds = batch.images[0], batch.audio[0]
    grid = released.image_encoder(images[:, :3])
    flow = released.flow_features(images[:, 3:], grid.shape[-2:])
    near(grid, theirs["image_features"], 2e-5)
    near(flow, theirs["flow_features"], 2e-5)
    near(released.attention(grid, flow), theirs["attended"], 2e-5)
    near(released.encode_audio(sounds), theirs["audio_embedding"], 2e-5)
    near(released.maps(images, sounds), theirs["map"], 2e-5)
    assert released.losses(batch)["contrast"].item() == pytest.approx(theirs["loss_eval"].item(), rel=1e-4)


def test_training(released: HearTheFlow, theirs: dict[str, Tensor]) -> None:
    """The picture's encoder has no gradient and its batch norm sees the batch; one backward from the filled state."""
    state = {name: value.clone() for name, value in released.state_dict().items()}
    released.train()
    batch = batch_of(4, "4")
    loss = released.losses(batch)["contrast"]
    loss.backward()
    assert loss.item() == pytest.approx(theirs["train_loss"].item(), rel=1e-4)
    ours = IMPORTERS["heartheflow"].to_local_name
    norms = [released.get_parameter(ours(f"{name}.weight")).grad.norm().item() for name in GRADIENTS]  # type: ignore[union-attr]
    assert norms == pytest.approx(theirs["grad_norms"].tolist(), rel=1e-3)
    assert all(one.grad is None for one in released.image_encoder.parameters())
    after = released.state_dict()
    assert not torch.equal(after["image_encoder.bn1.running_mean"], state["image_encoder.bn1.running_mean"])
    with torch.no_grad():
        near(released.maps(batch.images[0], batch.audio[0]), theirs["train_map"], 2e-5)
    released.load_state_dict(state)
    released.zero_grad()
    released.eval()


def test_the_loss_by_itself(theirs: dict[str, Tensor], toy: Toy) -> None:
    method = toy("heartheflow")
    assert isinstance(method, HearTheFlow)
    visual, audio = theirs["syn_visual"], theirs["syn_audio"]
    similarity, behind = method.responses(visual[None], audio[None])
    loss = info_nce(similarity, method.tau, hard_negatives=behind)
    assert loss.item() == pytest.approx(theirs["syn_loss"].item(), rel=1e-4)
    torch.testing.assert_close(method.similarity_map(visual, audio), theirs["syn_map"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("form", ["pth", "ckpt"])
def test_its_files_are_known(case: Path, tmp_path: Path, form: str) -> None:
    state = {name: value.contiguous() for name, value in shaped(json.loads((case / "keys.json").read_text())).items()}
    if form == "ckpt":
        torch.save({"epoch": 3, "state_dict": {f"model.{name}": x for name, x in state.items()}}, tmp_path / "one")
    else:
        torch.save({"model": state}, tmp_path / "one")
    found = inspect_checkpoint(tmp_path / "one")
    assert (found.kind, found.methods, found.is_usable) == ("release", ("heartheflow",), True)
    assert found.prefix == ("model." if form == "ckpt" else "")


# What holds of it anywhere.


def test_attention_is_its_formula() -> None:
    torch.manual_seed(0)
    net, grid, flow = CrossAttention(16, 5), torch.randn(2, 16, 3, 4), torch.randn(2, 5, 3, 4)
    found = net(grid, flow)
    for b in range(2):
        query, key, value = (
            f(x[b : b + 1]).flatten(2)[0] for f, x in ((net.query, grid), (net.key, flow), (net.value, grid))
        )
        weights = torch.stack([torch.softmax((query[:, p] @ key) / 2**0.5, dim=-1) for p in range(12)])
        torch.testing.assert_close(found[b].flatten(1), value @ weights.T, rtol=1e-4, atol=1e-5)


def test_gradients_of_the_attention_and_of_the_loss(toy: Toy) -> None:
    torch.manual_seed(0)
    few = [torch.randn(2, *shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 2), (4, 2), (4, 5))]
    assert torch.autograd.gradcheck(cross_attention, few)
    method = toy("heartheflow", sigmoid_width=0.3).double()
    assert isinstance(method, HearTheFlow)

    def loss(grid: Tensor, flow: Tensor, heard: Tensor) -> Tensor:
        seen = unit_norm(grid + method.attention(grid, flow), dim=1)
        similarity, behind = method.responses(seen[None], unit_norm(heard)[None])
        return info_nce(similarity, method.tau, hard_negatives=behind)

    c = method.attention.value.weight.shape[0]
    given = [torch.randn(3, *s, dtype=torch.float64, requires_grad=True) for s in ((c, 2, 2), (c, 2, 2), (c,))]
    assert torch.autograd.gradcheck(loss, given)


def test_flow_moves_the_map_and_its_absence_is_no_motion(toy: Toy, clips: Clips) -> None:
    method, batch = toy("heartheflow").eval(), clips()
    pictures, sounds = batch.images[0], batch.audio[0]
    with torch.no_grad():
        still = method.maps(pictures, sounds)
        zero = method.maps(torch.cat([pictures, torch.zeros(4, 2, 32, 32)], dim=1), sounds)
        moved = method.maps(torch.cat([pictures, torch.rand(4, 2, 32, 32)], dim=1), sounds)
    assert torch.equal(still, zero)
    assert (still - moved).abs().max() > 1e-3


def test_what_learns_and_what_it_begins_with(tmp_path: Path) -> None:
    torch.manual_seed(0)
    body = build_encoder({"width": 4, "last_stride": 2}, 3)
    torch.save(body.state_dict(), tmp_path / "body.pt")
    given = {"encoder": "resnet18", "width": 4, "weights": str(tmp_path / "body.pt")}
    method = create("heartheflow", image=given, audio={"width": 4}, flow=given)
    assert isinstance(method, HearTheFlow)
    assert method.flow_encoder is not None
    frozen = {name.partition(".")[0] for name, one in method.named_parameters() if not one.requires_grad}
    assert frozen == {"image_encoder"}
    flow, fresh = method.flow_encoder.state_dict(), body.state_dict()
    assert flow["conv1.weight"].shape[1] == 2
    assert all(torch.equal(flow[name], fresh[name]) for name in fresh if name != "conv1.weight")
    save_checkpoint(method, tmp_path / "one.safetensors")
    (tmp_path / "body.pt").unlink()
    assert load_checkpoint(tmp_path / "one.safetensors")[0].config["flow"]["width"] == 4
    assert all(one.requires_grad for one in create("heartheflow", image=TINY, audio=TINY, frozen=False).parameters())


def test_it_looks_at_flow_whatever_front_end_it_is_given(toy: Toy) -> None:
    plain = PRESETS["alignment"]
    assert not plain.image.flow
    assert toy("heartheflow", front_end=plain).front_end == InputSpec(replace(plain.image, flow=True), plain.audio)


def test_a_flow_of_another_grid_is_brought_to_the_pictures(toy: Toy, clips: Clips) -> None:
    method = toy("heartheflow", flow={**TINY, "blocks": [1], "strides": [1]})
    assert method.maps(clips().images[0], clips().audio[0]).shape == (4, 4, 4)


def test_what_learns_of_the_picture_encoder_is_said_once() -> None:
    small = {"encoder": "vgg16", "width": 2}
    learns = {(None, True): 0, (0, True): 0, (0, False): 0, (1, False): 2, (None, False): 26}  # parameters of 26
    for (trained, frozen), expected in learns.items():
        image = small if trained is None else {**small, "trained": trained}
        made = create("heartheflow", image=image, audio=small, frozen=frozen)
        assert sum(one.requires_grad for one in made.image_encoder.parameters()) == expected
    with pytest.raises(RecipeError, match=r"image\.trained: found 1, and method\.frozen is true"):
        create("heartheflow", image={**small, "trained": 1}, audio=small)

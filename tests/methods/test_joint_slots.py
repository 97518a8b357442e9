"""Joint slot attention against the published class, array by array, and what a reader would doubt."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from released import Case, inputs_of
from soundspot.config.schema import FrontEndConfig
from soundspot.errors import CheckpointError, RecipeError
from soundspot.importers import import_checkpoint
from soundspot.importers.releases import JOINT_SLOTS
from soundspot.losses.contrastive import embedding_similarity, info_nce, unit_norm
from soundspot.losses.slots import divergence_loss, reciprocal_neighbors
from soundspot.methods import create
from soundspot.methods.joint_slots import JointSlots
from soundspot.models.slots import attend
from soundspot.types import Batch

GOLDEN, METHOD = "jsa", "joint_slots"
SMALL = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 8}


def small(**options: Any) -> JointSlots:
    torch.manual_seed(0)
    front_end = FrontEndConfig("joint_slots", size=64, seconds=0.5).build()
    options = {"width": 16, "k": 2, **options}
    method = create("joint_slots", image=SMALL, audio=SMALL, front_end=front_end, **options)
    assert isinstance(method, JointSlots)
    return method


def batch(b: int = 4, **changes: Any) -> Batch:
    torch.manual_seed(1)
    values = {"images": torch.randn(1, b, 3, 64, 64), "audio": torch.randn(1, b, 1, 257, 51), "index": torch.arange(b)}
    return Batch(**values | changes)


# The published class.


@pytest.fixture
def published(case: Case) -> JointSlots:
    """Afresh, as training moves its statistics; the published case has k 2."""
    method = import_checkpoint(case.state(), case.method)
    assert isinstance(method, JointSlots)
    method.k = 2
    return method


def close(ours: Tensor, theirs: Tensor, atol: float = 0.0, rtol: float = 0.0) -> None:
    torch.testing.assert_close(ours.reshape(theirs.shape), theirs, atol=atol, rtol=rtol, check_dtype=False)


@torch.no_grad()
def test_every_array_of_the_published_class(case: Case, released: JointSlots, theirs: dict[str, Tensor]) -> None:
    x = inputs_of(case.read("case.json")["inputs"])
    grid, moments = released.image_features(x["image"]), released.audio_tokens(x["audio"])
    for ours, name in ((grid[:1], "image_features"), (moments.transpose(1, 2), "audio_features")):
        if name in theirs:  # the trimmed copy beside the tests has neither features nor reconstructions
            close(ours, theirs[name], atol=1e-5 * float(theirs[name].abs().max()))
    seen, heard = released.attend_image(grid.flatten(2).transpose(1, 2)), released.attend_audio(moments)
    close(seen.slots, theirs["image_slots"], atol=1e-4)
    close(heard.slots, theirs["audio_slots"], atol=1e-4)
    for queries, q in ((seen.queries, "imgq"), (heard.queries, "audq")):
        for keys, k in ((seen.keys, "imgk"), (heard.keys, "audk")):
            close(attend(queries, keys), theirs[f"attn_{q}_{k}"], atol=2e-7)
    for ours, name in ((released.image_decoder(seen.slots), "image"), (released.audio_decoder(heard.slots), "audio")):
        if f"{name}_recon" in theirs:
            wanted = theirs[f"{name}_recon"]
            close(ours, wanted, atol=1e-5 * float(wanted.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize(("factor", "name"), [(0.1, ""), (1.0, "_sharp1")])
def test_maps_and_the_pictures_own(
    case: Case, released: JointSlots, theirs: dict[str, Tensor], factor: float, name: str
) -> None:
    x = inputs_of(case.read("case.json")["inputs"])
    assert released.logit_scale == 0.1, "what the released test script always passes"
    released.logit_scale = factor
    codes = released.encode_images(x["image"])
    close(released.similarity_map(codes, released.encode_audio(x["audio"])), theirs[f"map_audio{name}"], atol=2e-7)
    close(released.saliency(codes), theirs[f"map_image{name}"], atol=2e-7)
    released.logit_scale = 0.1


@torch.no_grad()
def test_retrieval_is_by_target_slots(case: Case, released: JointSlots, theirs: dict[str, Tensor]) -> None:
    x = inputs_of(case.read("case.json")["inputs"])
    close(released.embed_images(x["image"]), unit_norm(theirs["image_slots"][:, 0]), atol=2e-5)
    close(released.embed_audio(x["audio"]), unit_norm(theirs["audio_slots"][:, 0]), atol=2e-5)


def published_batch() -> Batch:
    x = inputs_of({"image": ["image4", [4, 3, 224, 224]], "audio": ["audio4", [4, 1, 257, 501]]})
    return Batch(x["image"][None], x["audio"][None], torch.arange(4))


LOSSES = ("contrast", "reconstruction", "divergence", "matching")
WEIGHTS = torch.tensor([1.0, 0.1, 0.1, 100.0])


def test_training_losses_gradients_and_statistics(published: JointSlots, theirs: dict[str, Tensor]) -> None:
    masked: Iterator[Tensor] = iter([theirs["image4_uniform"][..., 0] < 0.1, theirs["audio4_uniform"][..., 0] < 0.1])
    published.draw_mask = lambda tokens: next(masked)  # type: ignore[method-assign]
    terms = published.train().losses(published_batch())
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    found = torch.stack([*(terms[name] for name in LOSSES)]).detach() / WEIGHTS
    close(torch.cat([found, total.detach()[None]]), theirs["train_losses"], rtol=1e-4)
    gradients = [
        published.image_encoder.conv1.weight,
        published.audio_encoder.conv1.weight,
        published.slots,
        published.image_slots.gru.weight_ih,
        published.audio_slots.to_q.weight,
        published.image_decoder.mlp[6].weight,
        published.image_slots.mask_token,
        published.audio_decoder.columns,
    ]
    norms = torch.stack([parameter.grad.norm() for parameter in gradients])
    close(norms, theirs["grad_norms"], rtol=1e-3)
    close(published.image_encoder.bn1.running_mean, theirs["imgnet_bn1_running_mean_after_train"], atol=1e-6)


@torch.no_grad()
def test_losses_in_evaluation_mode_mask_nothing(published: JointSlots, theirs: dict[str, Tensor]) -> None:
    given = published_batch()
    terms = published.losses(given)
    close(torch.stack([terms[name] for name in LOSSES]) / WEIGHTS, theirs["eval_bn_losses"], rtol=1e-4)
    target = published.embed_images(given.images[0]), published.embed_audio(given.audio[0])
    assert (~reciprocal_neighbors(*target, 2) == theirs["eval_bn_keep"].bool()).all()


def test_contrast_exclusion_and_divergence_by_themselves(theirs: dict[str, Tensor]) -> None:
    v, a = theirs["syn_image_slots"], theirs["syn_audio_slots"]
    similarity = embedding_similarity(v[None, :, 0], a[None, :, 0])
    for at, k in enumerate(theirs["syn_k"].tolist()):
        alike = reciprocal_neighbors(v[:, 0], a[:, 0], k)
        assert (~alike == theirs["syn_keep"][at].bool()).all()
        close(info_nce(similarity, 0.03, alike, symmetric=True), theirs["syn_info"].flatten()[at], atol=1e-6, rtol=1e-4)
    both = divergence_loss(v) + divergence_loss(a)
    close(both.expand_as(theirs["syn_div"]), theirs["syn_div"], rtol=1e-4)


# Importing.


def theirs() -> dict[str, Tensor]:
    """The released names, from our own fresh weights."""
    return {JOINT_SLOTS.to_released_name(name): value for name, value in create("joint_slots").state_dict().items()}


def test_a_released_checkpoint_has_307_entries_and_errors_name_theirs_that_do_not_fit() -> None:
    state = theirs()
    assert len(state) == 307
    wrapped = {"model": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}
    method = import_checkpoint(wrapped, "joint_slots")
    assert not method.training
    assert torch.equal(method.slots, state["slot_attn.slots"])
    lacking = {name: value for name, value in state.items() if name != "slot_attn.aud_gru.bias_hh"}
    with pytest.raises(CheckpointError, match=r"1 missing \(first: slot_attn.aud_gru.bias_hh\)"):
        import_checkpoint(lacking, "joint_slots")
    with pytest.raises(CheckpointError, match=r"1 unknown \(first: slot_attn.lidar_gru\)"):
        import_checkpoint({**state, "slot_attn.lidar_gru": torch.zeros(1)}, "joint_slots")
    small = torch.zeros(9, 256)
    with pytest.raises(CheckpointError, match=r"row_embed.weight is \[9, 256\], expected \[7, 256\]"):
        import_checkpoint({**state, "img_decoder.pos_emb.row_embed.weight": small}, "joint_slots")


# What a reader would doubt.


@torch.no_grad()
def test_a_picture_is_encoded_once_and_asked_with_many_sounds() -> None:
    method, x = small().eval(), batch(3)
    images, sounds = x.images[0], torch.randn(5, 1, 257, 51)
    every = method.all_maps(images, sounds)
    assert every.shape[:2] == (3, 5)
    torch.testing.assert_close(every[:, 2], method.maps(images, sounds[2].expand(3, -1, -1, -1)))
    torch.testing.assert_close(every.sum(dim=(-2, -1)), torch.ones(3, 5))
    embedded = method.embed_images(images), method.embed_audio(sounds)
    for vectors in embedded:
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(vectors)))


def test_masking_happens_in_training_alone_and_at_its_ratio() -> None:
    method = small(mask_ratio=0.25)
    share = method.draw_mask(torch.zeros(100, 100, 16)).float().mean()
    assert abs(float(share) - 0.25) < 0.02
    assert method.eval().draw_mask(torch.zeros(2, 3, 16)) is None
    assert small(mask_ratio=0.0).draw_mask(torch.zeros(2, 3, 16)) is None


@pytest.mark.parametrize("degenerate", ["constant pictures", "silent sounds", "both", "all alike"])
def test_degenerate_batches_have_finite_losses_and_gradients(degenerate: str) -> None:
    x = batch()
    images = torch.zeros_like(x.images) if degenerate in ("constant pictures", "both") else x.images
    silence = torch.full_like(x.audio, np.log(1e-7) / 12)
    sounds = silence if degenerate in ("silent sounds", "both") else x.audio
    alike = torch.ones(4, 4, dtype=torch.bool) if degenerate == "all alike" else None
    method = small()
    terms = method.losses(Batch(images, sounds, x.index, alike))
    torch.stack(list(terms.values())).sum().backward()
    assert all(bool(value.isfinite()) for value in terms.values())
    for name, parameter in method.named_parameters():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all()), name
    if degenerate == "all alike":
        assert float(terms["contrast"].detach()) == pytest.approx(0.0, abs=1e-6)


def test_batches_that_leave_no_negatives_and_more_views_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"with 20 reciprocal neighbors .* batch of 4 .*raise train.batch_size above"):
        small(k=20).losses(batch(4))
    with pytest.raises(RecipeError, match="a batch of 1 may"):
        small(k=1).losses(batch(1))
    with pytest.raises(RecipeError, match="one view of each sample, and the recipe makes 2 of images and 1 of audio"):
        small().losses(batch(images=torch.zeros(2, 4, 3, 64, 64)))
    for options in ({"slots": 1}, {"iterations": 0}, {"k": 0}, {"width": 15}):
        with pytest.raises(RecipeError, match=f"method.{next(iter(options))}: found {next(iter(options.values()))}"):
            small(**options)


def test_a_term_of_no_weight_is_left_out() -> None:
    terms = small(reconstruction=0.0, matching=0.0).losses(batch())
    assert set(terms) == {"contrast", "divergence"}


@torch.no_grad()
@pytest.mark.parametrize("weight", ["reconstruction", "divergence", "matching"])
def test_a_weight_is_that_of_its_own_term(weight: str) -> None:
    weights = {"reconstruction": 1.0, "divergence": 1.0, "matching": 1.0}
    once, thrice = (small(**weights | {weight: w}).eval().losses(batch()) for w in (1.0, 3.0))
    for name in LOSSES:
        torch.testing.assert_close(thrice[name], (3.0 if name == weight else 1.0) * once[name])


@torch.no_grad()
@pytest.mark.parametrize(("tau", "k"), [(0.03, 1), (0.2, 1), (0.2, 3)])
def test_the_contrast_has_its_temperature_and_its_neighbours(tau: float, k: int) -> None:
    method, x = small(tau=tau, k=k).eval(), batch()
    v, a = method.embed_images(x.images[0]), method.embed_audio(x.audio[0])
    alike = reciprocal_neighbors(v, a, k)
    assert bool(alike.any()) == (k > 1)
    cosines = (v @ a.T / tau).exp()
    powers = cosines.where(~alike, 0.0)
    expected = -sum(torch.log(cosines.diagonal() / powers.sum(dim=dim)).mean() for dim in (0, 1))
    torch.testing.assert_close(method.losses(x)["contrast"], expected)


@torch.no_grad()
def test_slots_iterations_width_and_factor_are_what_they_are_called() -> None:
    method, x = small(slots=3, iterations=2, width=24, logit_scale=0.7).eval(), batch()
    tokens = method.audio_tokens(x.audio[0])
    queries, codes = method.encode_audio(x.audio[0]), method.encode_images(x.images[0])
    assert queries.shape == (4, 3, 24)
    torch.testing.assert_close(queries, method.audio_slots(tokens, method.slots, 2).queries)
    keys = codes.flatten(2).transpose(1, 2)[..., :-1]
    torch.testing.assert_close(
        keys, method.attend_image(method.image_features(x.images[0]).flatten(2).transpose(1, 2)).keys
    )
    maps = method.similarity_map(codes, queries)
    torch.testing.assert_close(maps.flatten(1), attend(queries, keys, 0.7)[:, 0])
    assert not torch.equal(maps.flatten(1), attend(queries, keys)[:, 0])


def test_clips_known_to_be_alike_are_no_negatives() -> None:
    """With reciprocal neighbours of k 1 nobody is excluded but whom the batch names."""
    alike = torch.eye(4, dtype=torch.bool)
    alike[0, 1] = alike[1, 0] = True
    one, two = (small(k=1).eval().losses(batch(false_negatives=mask))["contrast"] for mask in (None, alike))
    assert float(two.detach()) < float(one.detach())


def test_under_autocast_the_slots_stay_in_full_precision() -> None:
    method = small()
    with torch.autocast("cpu", torch.bfloat16):
        codes = method.encode_images(torch.randn(2, 3, 64, 64))
        queries = method.encode_audio(torch.randn(2, 1, 257, 51))
        assert method.similarity_map(codes, queries).dtype == codes.dtype == queries.dtype == torch.float32

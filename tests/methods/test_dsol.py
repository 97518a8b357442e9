"""DSOL against its facts written out in loops, its two stages, and what travels with its weights."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from soundspot.config.checkpoint import load_checkpoint, save_checkpoint
from soundspot.errors import RecipeError
from soundspot.methods import Method
from soundspot.methods.dsol import DSOL, dilate
from soundspot.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]
CLASSES = 3


@pytest.fixture
def dsol(toy: Toy) -> Callable[..., DSOL]:
    """A toy in a stage of its life, with weights that are no longer those of its start."""

    def build(stage: int = 0, **options: float) -> DSOL:
        method = toy("dsol", **options)
        assert isinstance(method, DSOL)
        torch.manual_seed(2)
        if stage:
            method.set_cluster_centers(torch.rand(CLASSES, 8))
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        if stage == 2:
            method.on_train_step_start(progress=1.0)
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter) * parameter.requires_grad)
        return method.eval()

    return build


def reference(method: DSOL, picture: Tensor, sound: Tensor) -> dict[str, Tensor]:
    """One picture with one sound, a place at a time."""
    plain = method.image_encoder(picture[None])[0]
    heard = method.audio_encoder(sound[None])[0].flatten(1).max(dim=1).values
    a = method.audio_projection[2](torch.relu(method.audio_projection[0](heard)))
    h, w = plain.shape[1:]
    logits, classes = torch.zeros(h, w), torch.zeros(CLASSES, h, w)
    for y in range(h):
        for x in range(w):
            first = torch.relu(
                method.image_projection[0].weight[:, :, 0, 0] @ plain[:, y, x] + method.image_projection[0].bias
            )
            v = method.image_projection[2].weight[:, :, 0, 0] @ first + method.image_projection[2].bias
            logits[y, x] = method.sharpness * (v @ a) / (v.norm() * a.norm())
            for k in range(CLASSES):
                fit = method.affine[0] * (plain[:, y, x] @ method.dictionary[k]) + method.affine[1]
                classes[k, y, x] = fit * torch.sigmoid(logits[y, x])
    return {"plain": plain, "audio_classes": heard, "logits": logits, "classes": classes}


def entropy(logits: Tensor, name: int) -> float:
    return float(torch.logsumexp(logits, 0) - logits[name])


def bce(logit: Tensor, right: bool) -> float:
    probable = float(torch.sigmoid(logit))
    return -math.log(probable if right else 1 - probable)


@torch.no_grad()
@pytest.mark.parametrize("stage", [0, 1])
def test_the_first_stage_written_out(stage: int, dsol: Callable[..., DSOL], clips: Clips) -> None:
    batch, method = clips(b=3), dsol(stage)
    cases = {(i, j): reference(method, batch.images[0, i], batch.audio[0, j]) for i in range(3) for j in range(3)}
    positive = sum(bce(cases[i, i]["logits"].max(), True) for i in range(3)) / 3
    negative = sum(bce(one["logits"].max(), False) for (i, j), one in cases.items() if i != j) / 6
    terms = method.losses(batch)
    assert terms["location"].item() == pytest.approx((positive + negative) / 2, rel=1e-4)
    assert set(terms) == ({"location", "image_classes", "audio_classes"} if stage else {"location"})
    if stage:
        seen = sum(entropy(method.image_classifier(cases[i, i]["plain"].mean(dim=(1, 2))), i % 2) for i in range(3)) / 3
        heard = sum(entropy(method.audio_classifier(cases[i, i]["audio_classes"]), i % 2) for i in range(3)) / 3
        assert terms["image_classes"].item() == pytest.approx(seen, rel=1e-4)
        assert terms["audio_classes"].item() == pytest.approx(heard, rel=1e-4)


@torch.no_grad()
def test_the_second_stage_written_out(dsol: Callable[..., DSOL], clips: Clips) -> None:
    batch, method = clips(b=3), dsol(2)
    cases = {(i, j): reference(method, batch.images[0, i], batch.audio[0, j]) for i in range(3) for j in range(3)}
    positive = sum(bce(cases[i, i]["logits"].max(), True) for i in range(3)) / 3
    negative = 0.0
    for (i, j), one in cases.items():
        if i != j:
            h, w = one["logits"].shape
            parts = [one["logits"][y : y + h // 2, x : x + w // 2].max() for y in (0, h // 2) for x in (0, w // 2)]
            negative += sum(bce(part, False) for part in parts) / 4 / 6
    terms = method.losses(batch)
    assert set(terms) == {"location", "classes"}
    assert terms["location"].item() == pytest.approx(0.5 * 0.5 * (positive + negative), rel=1e-4)
    divergence = 0.0
    teacher = dict(method.teacher.named_children())
    for i in range(3):
        heard = teacher["audio_encoder"](batch.audio[0, i][None])[0].flatten(1).max(dim=1).values
        goal = torch.softmax(teacher["audio_classifier"](heard), 0)
        seen = torch.log_softmax(cases[i, i]["classes"].mean(dim=(1, 2)), 0)
        divergence += float((goal * (goal.log() - seen)).sum()) / CLASSES / 3
    assert terms["classes"].item() == pytest.approx(divergence, rel=1e-3)


@torch.no_grad()
def test_maps_objects_and_sources_written_out(dsol: Callable[..., DSOL], clips: Clips) -> None:
    batch, method = clips(b=2), dsol(2, audible_threshold=0.3)
    cases = [reference(method, batch.images[0, i], batch.audio[0, i]) for i in range(2)]
    codes = method.encode_images(batch.images[0]), method.encode_audio(batch.audio[0])
    maps, heard = method.locate_sources(*codes)
    between = method.similarity_map(*codes).flatten(1).sort().values
    method.object_threshold = float(between[:, -1].min() + between[:, -2].min()) / 2
    objects = method.object_embedding(batch.images[0], batch.audio[0])
    teacher = dict(method.teacher.named_children())
    shown: list[float] = []
    for i, case in enumerate(cases):
        torch.testing.assert_close(
            method.similarity_map(*codes)[i], torch.sigmoid(case["logits"]), rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(maps[i], torch.softmax(3 * case["classes"], 0), rtol=1e-4, atol=1e-5)
        mask = torch.sigmoid(case["logits"]) > method.object_threshold
        wider = mask.clone()
        h, w = mask.shape
        for y in range(h):
            for x in range(w):
                near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                wider[y, x] |= any(mask[a, b] for a, b in near if 0 <= a < h and 0 <= b < w)
        torch.testing.assert_close(objects[i], (case["plain"] * wider).sum(dim=(1, 2)) / (h * w), rtol=1e-4, atol=1e-5)
        vector = teacher["audio_encoder"](batch.audio[0, i][None])[0].flatten(1).max(dim=1).values
        shown.append(float(wider.float().mean()))
        probable = torch.softmax(teacher["audio_classifier"](vector), 0)
        assert heard[i].tolist() == [bool(p > 0.3 or p == probable.max()) for p in probable]
    assert 0 < min(shown) < 1, "the case tells nothing"


def test_a_mask_grows_to_four_sides() -> None:
    mask = torch.zeros(1, 4, 5, dtype=torch.bool)
    mask[0, 0, 0] = mask[0, 2, 3] = True
    assert dilate(mask)[0].int().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 0, 0, 1, 0],
        [0, 0, 1, 1, 1],
        [0, 0, 0, 1, 0],
    ]


@torch.no_grad()
def test_before_there_are_clusters_a_mixture_is_one_source(dsol: Callable[..., DSOL], clips: Clips) -> None:
    batch, method = clips(b=2), dsol(0)
    codes = method.encode_images(batch.images[0]), method.encode_audio(batch.audio[0])
    maps, heard = method.locate_sources(*codes)
    torch.testing.assert_close(maps[:, 0], method.similarity_map(*codes))
    assert heard.tolist() == [[True], [True]]


def test_the_second_stage_waits_for_its_share_and_for_clusters(dsol: Callable[..., DSOL]) -> None:
    method = dsol(0, second_stage_start=0.6)
    method.on_train_step_start(0.9)
    assert method.stage == 0, "there is no dictionary yet"
    method.set_cluster_centers(torch.rand(CLASSES, 8) * 10)
    assert not any(p.any() for head in (method.image_classifier, method.audio_classifier) for p in head.parameters())
    method.on_train_step_start(0.5)
    assert method.stage == 1
    with torch.no_grad():
        method.audio_classifier.weight.fill_(0.5)
    method.on_train_step_start(0.6)
    assert method.stage == 2
    taught = dict(method.teacher.named_children())
    assert torch.equal(taught["audio_classifier"].weight, method.audio_classifier.weight)
    assert float(method.affine.detach()[0] * method.dictionary.square().sum(1).max()) == pytest.approx(1)
    with torch.no_grad():
        method.audio_classifier.weight.fill_(0.7)
    method.on_train_step_start(0.7)
    assert float(taught["audio_classifier"].weight.detach()[0, 0]) == 0.5, "the teacher stands still"
    with pytest.raises(RecipeError, match=r"labels\.cluster_schedule: clusters are made after the second stage begins"):
        method.set_cluster_centers(torch.rand(CLASSES, 8))


def test_the_teacher_neither_learns_nor_counts_what_it_hears(dsol: Callable[..., DSOL], clips: Clips) -> None:
    method = dsol(2).train()
    before = {name: value.clone() for name, value in method.teacher.state_dict().items()}
    torch.stack([*method.losses(clips()).values()]).sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in method.teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in method.teacher.state_dict().items())
    assert method.affine.grad is not None
    assert method.affine.grad.any()


@torch.no_grad()
def test_an_evaluation_needs_no_word_about_the_stage(dsol: Callable[..., DSOL], clips: Clips, tmp_path: Path) -> None:
    batch = clips()
    for stage in (0, 1, 2):
        method = dsol(stage)
        save_checkpoint(method, tmp_path / "one.safetensors")
        again, _ = load_checkpoint(tmp_path / "one.safetensors")
        asked = (batch.images[0], batch.audio[0])
        for one, other in zip(
            *(m.locate_sources(m.encode_images(asked[0]), m.encode_audio(asked[1])) for m in (method, again)),
            strict=True,
        ):
            assert torch.equal(one, other)


def test_without_labels_there_are_no_classes_to_learn(dsol: Callable[..., DSOL], clips: Clips) -> None:
    assert set(dsol(1).losses(replace(clips(), labels=None))) == {"location"}

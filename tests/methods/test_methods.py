"""What holds for every method: its toy recipe learns, odd batches give defined losses, names and files are told."""

import csv
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

import soundspot
from conftest import ROOT
from soundspot.config.checkpoint import load_checkpoint, save_checkpoint
from soundspot.config.load import find_yaml, read_recipe
from soundspot.errors import RecipeError
from soundspot.methods import METHODS, Method
from soundspot.models.base import Encoder
from soundspot.models.reuse import reuse_outputs
from soundspot.scenes.dataset import SceneDataset
from soundspot.training.fit import open_recipe_dataset
from soundspot.types import Audio, Batch

NAMES = sorted(METHODS)
Toy, Clips = Callable[..., Method], Callable[..., Batch]


def total(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(terms.values())).sum()


@pytest.fixture(scope="module")
def composed_once() -> Iterator[None]:
    """Scenes that recipes share are composed once; composing costs most of their training."""
    images: dict[object, Image.Image] = {}
    sounds: dict[object, Audio] = {}

    def key(data: SceneDataset, index: int) -> object:
        values = data.size, data.seconds, data.rate, data.distractors, data.object_size, data.motion
        return data.id(index), data.kind, data.categories, values

    def memoize(read: Callable[[SceneDataset, int], Any], memory: dict[object, Any]) -> Callable[..., Any]:
        def recall(data: SceneDataset, index: int) -> Any:
            at = key(data, index)
            return memory[at] if at in memory else memory.setdefault(at, read(data, index))

        return recall

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SceneDataset, "read_image", memoize(SceneDataset.read_image, images))
        patch.setattr(SceneDataset, "read_audio", memoize(SceneDataset.read_audio, sounds))
        yield


@pytest.mark.parametrize("name", NAMES)
def test_the_debug_recipe_learns(name: str, tmp_path: Path, one_thread: None, composed_once: None) -> None:
    """A few dozen steps on scenes: the loss of the last epoch is clearly below the first's."""
    recipe = read_recipe(f"{name}/debug")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained = soundspot.train(recipe, tmp_path, progress=False)
    with (tmp_path / "logs" / "attempt-0" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    losses = [float(row["train/loss"]) for row in rows]
    named = [key for key in rows[0] if key.startswith("train/") and key != "train/loss"]
    terms = [[float(row[key]) for key in named if row[key]] for row in rows]  # stages have terms of their own
    assert losses == pytest.approx([sum(one) for one in terms], rel=1e-4)
    stages = [[*stage] for _, stage in groupby(range(len(rows)), lambda i: {key for key in named if rows[i][key]})]
    first, *_, last = max(stages, key=len)  # with the same terms: another stage's are not comparable
    assert losses[first] - losses[last] > max(0.01 * abs(losses[first]), 1e-3), losses  # cosines end below 0
    data, localizer = open_recipe_dataset(recipe.data), soundspot.load(trained)
    picture = localizer.encode_images([localizer.read_image(data, 0)])
    assert localizer.maps(picture, localizer.encode_audio([data.read_audio(0)])).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_page_and_a_recipe_of_every_kind(name: str) -> None:
    page = (ROOT / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")
    for part in ("**Idea.**", "**Equation", "**What alone differs**", "**Paper against code.**"):
        assert part in page, part
    for kind in ("debug", "scenes", "vggsound144k", "flickr144k"):
        recipe = read_recipe(f"{name}/{kind}")
        assert recipe.method["name"] == name
        excluded = recipe.data.options.get("exclude", ())
        assert {"vggsound144k": "vggss", "flickr144k": "flickr"}.get(kind) in (None, *excluded)


@pytest.mark.parametrize("name", NAMES)
def test_encoding_and_embedding_share_one_run_of_an_encoder(name: str, toy: Toy, clips: Clips) -> None:
    method, batch, runs = toy(name).eval(), clips(b=3), Counter[int]()
    for encoder in [module for module in method.modules() if isinstance(module, Encoder)]:
        for first in [module for module in encoder.modules() if isinstance(module, nn.Conv2d)][:1]:
            first.register_forward_pre_hook(lambda layer, _: runs.update([id(layer)]))
    images, audio = batch.images[0], batch.audio[0]
    if method.front_end.image.flow:
        images = torch.cat([images, images[:, :2].abs()], dim=1)

    def compute() -> list[torch.Tensor]:
        encode = method.encode_images, method.embed_images, method.encode_audio, method.embed_audio
        return [function(x) for function, x in zip(encode, (images, images, audio, audio), strict=True)]

    with torch.inference_mode():
        expected, most = compute(), max(runs.values())
        runs.clear()
        with reuse_outputs(method):
            shared = compute()
    assert all(map(torch.equal, shared, expected))
    assert (most, max(runs.values())) == (2, 1)
    assert all("forward" not in vars(module) for module in method.modules())


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_encoded_audio_has_vectors_that_events_compare(name: str, toy: Toy, clips: Clips) -> None:
    method = toy(name).eval()
    encoded = method.encode_audio(clips(b=3).audio[0])
    assert torch.equal(method.pool_audio(encoded), encoded.flatten(1))


TOO_SMALL = {  # projections normalise over the batch; a loss compares two sounds; k neighbours are no negatives
    "one clip": {"alignment", "attention10k", "dmc", "joint_slots", "nowhere", "sspl", "sspl_pcm"},
    "k clips": {"joint_slots"},
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("odd", ["one clip", "k clips", "one picture", "silence", "no variation at all"])
@pytest.mark.parametrize("name", NAMES)
def test_odd_batches_give_defined_losses_and_gradients_or_are_refused(
    name: str, odd: str, precision: str, toy: Toy, clips: Clips
) -> None:
    batch = clips(b={"one clip": 1, "k clips": 2}.get(odd, 4))
    if odd in ("one picture", "no variation at all"):
        batch = replace(batch, images=torch.full_like(batch.images, 0.5))
    if odd in ("silence", "no variation at all"):
        batch = replace(batch, audio=torch.full_like(batch.audio, math.log(1e-7) / 12))
    method = toy(name).train()
    method.on_train_step_start(progress=1.0)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        if name in TOO_SMALL.get(odd, ()):
            with pytest.raises(RecipeError, match=r"[Rr]aise.*train.batch_size|train.batch_size: .* Raise"):
                method.losses(batch)
            return
        terms = method.losses(batch)
    total(terms).backward()
    assert all(bool(torch.isfinite(term)) for term in terms.values()), terms
    gradients = [p.grad for p in method.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(g).all()) for g in gradients)


def test_one_clip_is_enough_where_nothing_normalises_over_the_batch(toy: Toy, clips: Clips) -> None:
    """Without batch norm between its layers, or in evaluation, alignment has a loss: nothing to tell apart."""
    for method in (toy("alignment", projection_depth=1).train(), toy("alignment").eval()):
        assert total(method.losses(clips(b=1))).item() == 0
    with pytest.raises(RecipeError, match="batch of one sample of 8 x 8, which is one cell of the encoder's 8"):
        toy("lvs").train().image_encoder(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("name", NAMES)
def test_maps_are_cosines_and_embeddings_unit(name: str, toy: Toy, clips: Clips) -> None:
    method, batch = toy(name).eval(), clips()
    with torch.no_grad():
        maps = method.all_maps(batch.images[0], batch.audio[0])
        own = method.maps(batch.images[0], batch.audio[0])
        vectors = method.embed_images(batch.images[0]), method.embed_audio(batch.audio[0])
    assert maps.abs().max() <= 1 + 1e-5
    torch.testing.assert_close(maps.diagonal(dim1=0, dim2=1).movedim(-1, 0), own, rtol=0, atol=1e-6)
    for one in vectors:
        torch.testing.assert_close(one.norm(dim=-1), torch.ones(4), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("sspl", "sspl_pcm", "lcbm")])  # which have none
def test_alike_clips_are_no_negatives(name: str, toy: Toy, clips: Clips) -> None:
    """Where every sound would do for every picture, the others cost nothing."""
    batch = clips()
    method = toy(name).eval()
    with torch.no_grad():
        strict = total(method.losses(batch))
        lenient = total(method.losses(replace(batch, false_negatives=torch.ones(4, 4, dtype=torch.bool))))
    assert lenient < strict


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_brings_the_method_back(name: str, tmp_path: Path, toy: Toy, clips: Clips) -> None:
    batch, method = clips(), toy(name).eval()
    save_checkpoint(method, tmp_path / "one.safetensors")
    again, _ = load_checkpoint(tmp_path / "one.safetensors")
    assert again.config == method.config
    assert (again.front_end, again.upsampling) == (method.front_end, method.upsampling)
    with torch.no_grad():
        assert torch.equal(again.maps(batch.images[0], batch.audio[0]), method.maps(batch.images[0], batch.audio[0]))


def test_every_method_is_listed_with_a_line() -> None:
    assert all(soundspot.list_methods()[name] for name in NAMES)


@pytest.mark.parametrize("kind", ["vggsound144k", "flickr144k"])
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("alignment", "joint_slots")])
def test_the_numbers_to_expect_are_the_published_ones(name: str, kind: str) -> None:
    """Every percentage in the recipe's header is a row of table II or IV, and II's cIoU is among them if it has one."""
    header = [line for line in find_yaml(f"{name}/{kind}").read_text().splitlines() if line.startswith("#")]
    shown = set(re.findall(r"\b\d\d\.\d\d\b", " ".join(header)))
    known = [r for r in published_rows() if (r["method"], r["train"]) == (name, kind)]
    rows = [r for r in known if r["table"] == "II"]
    guided = "ogl" if all(r["setting"] for r in rows) else ""  # of some there are numbers with object guidance alone
    rows = [r for r in rows if r["setting"] == guided]
    printed = {r["percent_or_value"] for r in rows if r["test"] in ("vggss", "flickr")}
    assert shown <= printed | {r["percent_or_value"] for r in known if r["table"] == "IV"}
    assert {r["percent_or_value"] for r in rows if r["metric"] == "ciou" and not r["variant"]} <= shown


def published_rows() -> list[dict[str, str]]:
    path = ROOT / "src" / "soundspot" / "evaluation" / "report" / "published.csv"
    return [*csv.DictReader(line for line in path.read_text().splitlines() if not line.startswith("#"))]

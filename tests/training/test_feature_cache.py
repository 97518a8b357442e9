"""Features of frozen stages, computed once: the same learning, resumed, checked, and refused where they are not apt."""

import json
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import soundspot
from schemas import check_output
from soundspot.config.load import read_recipe
from soundspot.config.schema import (
    DataConfig,
    FeatureCacheConfig,
    FrontEndConfig,
    LabelsConfig,
    NegativesConfig,
    NeighborsConfig,
    Recipe,
    TrainConfig,
    ValidationConfig,
    ViewsConfig,
)
from soundspot.data.transforms.augment import NUM_DRAWS, augment
from soundspot.errors import DataError, OutputError, RecipeError
from soundspot.methods import METHODS, Method, method_options
from soundspot.models.staged import StagedEncoder
from soundspot.training import feature_cache, feature_fill
from soundspot.training.clip_reader import ClipReader, SampleRequest
from soundspot.training.datamodule import build_batch, build_dataloader, build_images, uses_ground_truth
from soundspot.training.feature_cache import cache_features, plan_features
from soundspot.training.feature_embedder import FeatureEmbedder
from soundspot.training.feature_fill import fill_features, is_complete
from soundspot.training.feature_plan import FeaturePlan, RepeatedEpochs
from soundspot.training.feature_reader import FeatureBatch, FeatureReader, build_feature_batch
from soundspot.training.fit import build_method, open_recipe_dataset
from soundspot.training.lightning_module import LocalizationModule
from soundspot.training.sample_order import ResumableBatchSampler
from soundspot.training.schedule import make_localizer
from soundspot.types import Batch
from soundspot.utils.atomic_io import DiskFullError
from soundspot.utils.hash_rng import hash_key, uniform
from toys import STAGED, TINY

pytestmark = pytest.mark.usefixtures("one_thread", "tiny_staged")

PLAIN = ViewsConfig(multi_view=False, semantic=False, base_view="unaugmented")
NUM_CLASSES = 3


def recipe(folder: Path | str | None, **changes: Any) -> Recipe:
    """EZ-VSL on fixed scenes of 32 pixels, both encoders frozen."""
    values: dict[str, Any] = {
        "method": {"name": "ezvsl", "width": 8, "tau": 0.5},
        "image": STAGED,
        "audio": STAGED,
        "front_end": FrontEndConfig("ezvsl", size=32, seconds=0.5),
        "data": scenes(regenerate=False),
        "views": PLAIN,
        "train": TrainConfig(epochs=2.0, batch_size=4, workers=0, precision="fp32", lr=0.01),
        "feature_cache": FeatureCacheConfig(None if folder is None else str(folder), augmentations=2, epochs=2),
    }
    return Recipe(**{**values, **changes})


def scenes(**options: Any) -> DataConfig:
    return DataConfig("scenes", None, {"length": 12, "size": 32, "seconds": 1.0, "categories": 6, **options})


def write_pairs(root: Path, count: int = 6) -> DataConfig:
    """Images and sounds in files."""
    rng = np.random.default_rng(0)
    for folder in ("frames", "audio"):
        (root / folder).mkdir(parents=True)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(root / "frames" / f"{i}.jpg")
        soundfile.write(root / "audio" / f"{i}.wav", rng.uniform(-0.5, 0.5, 12000), 16000)
    return DataConfig("pairs", str(root))


def prepare(values: Recipe) -> tuple[Method, ClipReader]:
    """The method with its fresh weights, and a reader of the training set."""
    data = RepeatedEpochs(open_recipe_dataset(values.data), values.feature_cache.epochs)
    torch.manual_seed(values.train.seed)
    method = build_method(values, 0)
    for module in method.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.get_buffer("running_mean").normal_(0, 0.1)
    return method, ClipReader(data, method.front_end, values.views, values.train.seed, uses_ground_truth(method, data))


def cached(values: Recipe) -> tuple[Method, FeatureReader]:
    method, reader = prepare(values)
    return method, cache_features(method, reader, values, progress=False)


def plans(values: Recipe) -> list[FeaturePlan]:
    return plan_features(*prepare(values), values)


def requests(count: int = 4, epoch: int = 0) -> list[SampleRequest]:
    return [SampleRequest(epoch, i, (i + 1) % count, (i + 2) % count) for i in range(count)]


def read(reader: ClipReader, values: Recipe, epoch: int = 0) -> Batch:
    options = reader.front_end, values.views, values.train.seed
    raw = reader.read(requests(epoch=epoch))
    if isinstance(raw, FeatureBatch):
        return build_feature_batch(raw, *options)
    return build_batch(raw, *options)


def step(method: Method, batch: Batch) -> dict[str, Tensor]:
    """The loss and all gradients."""
    method.zero_grad()
    loss = torch.stack(list(method.losses(batch).values())).sum()
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), **gradients}


def check_same_step(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 0.02) -> None:
    assert found.keys() == expected.keys()
    torch.testing.assert_close(found["loss"], expected["loss"], rtol=tolerance, atol=1e-3)
    # Of all weights together: in half precision a maximum may be taken at another of two places that are all but equal.
    ours, theirs = (torch.cat([x.flatten() for x in values.values()][1:]) for values in (found, expected))
    assert float((ours - theirs).norm()) <= tolerance * float(theirs.norm()) + 1e-5


def feature_bytes(folder: Path) -> dict[str, bytes]:
    """Features of each modality; keys without hashes."""
    return {f"{path.parent.name[:5]}/{path.name}": path.read_bytes() for path in folder.glob("*/*.npy")}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("trained", [(0, 0), (1, 0), (1, 1)])
def test_a_step_from_stored_features_is_the_step_itself(
    tmp_path: Path, trained: tuple[int, int], precision: str
) -> None:
    encoders = ({**STAGED, "trained": count} for count in trained)
    train = TrainConfig(batch_size=4, workers=0, precision=precision)  # type: ignore[arg-type]
    values = recipe(tmp_path, train=train, **dict(zip(("image", "audio"), encoders, strict=True)))
    method, reader = prepare(values)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    with autocast:
        expected = step(method, read(reader, values))
    feature_reader = cache_features(method, reader, values, progress=False)
    batch = read(feature_reader, values)
    assert batch.images.dtype == batch.audio.dtype == torch.float16
    assert feature_reader.read(requests()).images.numel() == 0
    with autocast:
        found = step(method, batch)
    # In bf16 a folded batch norm rounds elsewhere, and random weights make much of it.
    check_same_step(found, expected, tolerance=0.3 if precision == "bf16" else 0.05)


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_one_encoder_may_be_frozen_and_the_other_read_as_before(tmp_path: Path, modality: str) -> None:
    values = recipe(tmp_path, **{modality: {**TINY, "width": 4}})
    method, reader = prepare(values)
    expected = step(method, read(reader, values))
    assert len(plan_features(method, reader, values)) == 1
    features = cache_features(method, reader, values, progress=False)
    assert features.reads_media
    batch = read(features, values)
    assert {batch.images.dtype, batch.audio.dtype} == {torch.float16, torch.float32}
    check_same_step(step(method, batch), expected)


def test_with_a_stage_that_learns_its_input_is_stored(tmp_path: Path) -> None:
    last = {**STAGED, "layers": ["second"]}
    all_frozen, one_learns = (recipe(tmp_path, image={**last, "trained": trained}) for trained in (0, 1))
    assert plans(all_frozen)[0].shapes == ((6, 4, 4),)
    assert plans(one_learns)[0].shapes == ((4, 8, 8),)
    assert plans(recipe(tmp_path, image={**STAGED, "trained": 1}))[0].shapes == ((4, 8, 8),)


def test_augmented_variants_are_keyed_by_image_and_number(tmp_path: Path) -> None:
    values = recipe(tmp_path, views=replace(PLAIN, multi_view=True))
    method, reader = prepare(values)
    feature_reader = cache_features(method, reader, values, progress=False)
    store = feature_reader.image
    assert store is not None
    assert store.ranges == {"plain": range(1), "augmented": range(1, 3)}
    encoder = method.image_encoder
    assert isinstance(encoder, StagedEncoder)
    raw = reader.read(requests(1))
    for variant in (1, 2):
        draws = uniform((0, variant, "augment", "plain"), [int(hash_key(reader.data.group(0)))], NUM_DRAWS)
        image = augment(raw.images[0], 32, values.views.augmentation, torch.from_numpy(draws))
        mean, std = (torch.tensor(x)[:, None, None] for x in (reader.front_end.image.mean, reader.front_end.image.std))
        expected = torch.cat([x.flatten(1) for x in encoder.forward_frozen((image - mean) / std)], dim=1)
        found = store.read(np.array([variant])).flatten(1)[:, : expected.shape[1]]
        torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=2e-3)
    assert not torch.equal(store.read(np.array([1])), store.read(np.array([2])))


def test_variants_are_drawn_by_seed_epoch_sample_and_view(tmp_path: Path) -> None:
    values = recipe(tmp_path, views=replace(PLAIN, multi_view=True), feature_cache=FeatureCacheConfig(str(tmp_path), 4))
    _, reader = cached(values)
    store, index = reader.image, list(range(12))
    assert store is not None
    rows = [store.rows("augmented", seed, epoch, index, index) for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert (rows[0] == rows[1]).all()
    assert (rows[0] != rows[2]).any()
    assert (rows[0] != rows[3]).any()
    assert (rows[0][3:5] == store.rows("augmented", 0, 0, [3, 4], [3, 4])).all()
    assert {int(row) % 5 for row in np.concatenate(rows)} == {1, 2, 3, 4}
    assert (store.rows("plain", 0, 0, index, index) == np.arange(12) * 5).all()


def test_a_neighbor_is_another_image_and_a_window_of_another_sound(tmp_path: Path) -> None:
    views = replace(PLAIN, semantic=True)
    values = recipe(tmp_path, views=views, neighbors=NeighborsConfig(sampling="anchor"))
    method, reader = cached(values)
    batch = read(reader, values)
    assert torch.equal(batch.images[1, 0], batch.images[0, 1])
    step(method, batch)
    plain_batch = read(prepare(values)[1], values)
    assert batch.images.shape[:2] == plain_batch.images.shape[:2]
    assert batch.audio.shape[:2] == plain_batch.audio.shape[:2]


def test_composed_scenes_repeat_after_the_stored_epochs(tmp_path: Path) -> None:
    values = recipe(tmp_path, data=scenes())
    _, reader = cached(values)
    assert reader.image is not None
    assert reader.image.positions.shape == (2, 12)
    first, second, third = (read(reader, values, epoch) for epoch in (0, 1, 2))
    assert torch.equal(first.images, third.images)
    assert torch.equal(first.audio, third.audio)
    assert not torch.equal(first.images, second.images)
    assert [reader.data.at_epoch(epoch).category(5) for epoch in (0, 1)] == [
        reader.data.at_epoch(epoch).category(5) for epoch in (2, 3)
    ]


def test_a_fill_that_was_killed_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_fill, "BLOCK_SIZE", 4)
    cached(recipe(tmp_path / "undisturbed"))
    encode, blocks = feature_fill.encode_block, []

    def killed(*arguments: Any) -> Any:
        blocks.append(1)
        if len(blocks) == 2:
            raise KeyboardInterrupt
        return encode(*arguments)

    monkeypatch.setattr(feature_fill, "encode_block", killed)
    values = recipe(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        cached(values)
    features = plans(values)[0].folder / feature_fill.FEATURES
    with features.open("ab") as file:
        file.write(b"half a row")
    cached(values)
    assert len(blocks) == 2 + 2 + 3  # the first of six was there
    assert feature_bytes(tmp_path / "broken") == feature_bytes(tmp_path / "undisturbed")
    cached(values)
    assert len(blocks) == 7
    check_output(json.loads((plans(values)[0].folder / "meta.json").read_text()), "feature-cache")


@pytest.mark.parametrize("damage", ["cut", "garbled", "no header"])
def test_damaged_features_are_computed_again(tmp_path: Path, damage: str) -> None:
    values = recipe(tmp_path)
    cached(values)
    expected, path = feature_bytes(tmp_path), plans(values)[0].folder / feature_fill.FEATURES
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:-50] + bytes(50) if damage == "garbled" else b"x" * len(content))
    with pytest.warns(UserWarning, match=path.parent.name):
        cached(values)
    assert feature_bytes(tmp_path) == expected


def other_weights(method: Method) -> None:
    stage = method.image_encoder.get_submodule("stages.first.0")
    stage.get_parameter("weight").data += 0.01


CHANGES: dict[str, dict[str, Any]] = {
    "encoder": {"image": {**STAGED, "layers": ["first"]}},
    "front end": {"front_end": FrontEndConfig("ezvsl", size=48, seconds=0.5)},
    "data": {"data": scenes(regenerate=False, seed=1)},
    "length": {"data": scenes(regenerate=False, length=13)},
    "views": {"views": replace(PLAIN, base_view="weak")},
    "seed": {"train": TrainConfig(batch_size=4, workers=0, precision="fp32", seed=1)},
    "precision": {"train": TrainConfig(batch_size=4, workers=0, precision="bf16")},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_key_is_another_folder(tmp_path: Path, change: str) -> None:
    assert plans(recipe(tmp_path))[0].folder != plans(recipe(tmp_path, **CHANGES[change]))[0].folder


def test_the_key_is_of_the_frozen_weights_and_not_of_what_learns(tmp_path: Path) -> None:
    method, reader = prepare(recipe(tmp_path))
    before = plan_features(method, reader, recipe(tmp_path))
    method.image_encoder.get_parameter("neck.weight").data += 1
    same = {"image": {**STAGED, "width": 12}, "train": TrainConfig(batch_size=6, workers=0, precision="fp32", lr=1.0)}
    assert plan_features(method, reader, recipe(tmp_path))[0].folder == before[0].folder
    assert (
        plans(recipe(tmp_path, **same, method={"name": "ezvsl", "width": 4}))[0].dependencies["encoder"]
        == (before[0].dependencies["encoder"])
    )
    other_weights(method)
    image, audio = plan_features(method, reader, recipe(tmp_path))
    assert image.folder != before[0].folder
    assert audio.folder == before[1].folder


def test_data_that_changed_are_noticed_and_files_that_were_touched_are_not(tmp_path: Path) -> None:
    values = recipe(tmp_path / "features", data=write_pairs(tmp_path / "data"))
    cached(values)
    content = (tmp_path / "data" / "audio" / "3.wav").read_bytes()
    (tmp_path / "data" / "audio" / "3.wav").write_bytes(content)
    cached(values)
    (tmp_path / "data" / "audio" / "3.wav").write_bytes(content[:-4000])
    with pytest.raises(DataError, match=r"audio-\w+: the audio 3 has changed .*Delete this folder"):
        cached(values)


def test_data_without_files_are_read_again_here_and_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = recipe(tmp_path)
    cached(values)
    monkeypatch.setattr(ClipReader, "read_image", lambda self, data, index, out: out.fill(7))
    with pytest.raises(DataError, match=r"the image .* has changed"):
        cached(values)


def test_more_than_the_limit_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    values = recipe(tmp_path / "features", feature_cache=FeatureCacheConfig(str(tmp_path / "features"), max_gb=1e-5))
    with pytest.raises(RecipeError, match=r"12 images x 1 variants.*feature_cache.augmentations.*max_gb"):
        cached(values)
    assert not (tmp_path / "features").exists()
    planned = sum(plan.num_bytes for plan in plans(recipe(tmp_path / "features")))
    cached(recipe(tmp_path / "features"))
    written = sum(len(np.load(path).tobytes()) for path in (tmp_path / "features").glob("*/features.npy"))
    assert written == planned


def test_a_disk_without_room_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 100

    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda path: Usage())
    with pytest.raises(DiskFullError, match=r"100 bytes free.*another disk"):
        cached(recipe(tmp_path / "features"))


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        cached(recipe(tmp_path / "file"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": {**STAGED, "trained": "all"}, "audio": {**TINY, "width": 4}}, "no encoder with frozen stages"),
        ({"method": {"name": "ssltie"}}, "'ssltie' transforms images in its losses.*image.trained: all"),
        ({"method": {"name": "heartheflow"}}, "'heartheflow' reads optical flow.*image.trained: all"),
        ({"views": replace(PLAIN, multi_view=True)}, "augmentations: found 0, and the augmented view of images"),
        ({"views": replace(PLAIN, base_audio_window="random")}, "augmentations: found 0, and the plain view of audios"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        cached(recipe(tmp_path, **changes, feature_cache=FeatureCacheConfig(str(tmp_path), augmentations=0)))


def test_features_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    method, reader = prepare(recipe(tmp_path))
    method.image_encoder.get_submodule("stages.first.0").get_parameter("bias").data += 1e6
    with pytest.raises(DataError, match="65504"):
        cache_features(method, reader, recipe(tmp_path), progress=False)


def test_ground_truth_is_stored_beside_the_images(tmp_path: Path) -> None:
    data = scenes(regenerate=False, train_ground_truth="own", train_ground_truth_fraction=0.5)
    values = recipe(tmp_path, data=data, method={"name": "attention10k"})
    method, reader = prepare(values)
    expected = read(reader, values)
    feature_reader = cache_features(method, reader, values, progress=False)
    batch = read(feature_reader, values)
    assert expected.ground_truth is not None
    assert batch.ground_truth is not None
    assert bool(expected.ground_truth.isnan().any())
    reduced = torch.nn.functional.adaptive_avg_pool2d(expected.ground_truth, 8)
    torch.testing.assert_close(batch.ground_truth, reduced, rtol=0, atol=1 / 254, equal_nan=True)
    check_same_step(step(method, batch), step(method, expected))


FIRST = ("alignment", "slavc")


@pytest.mark.parametrize(
    "name",
    [
        *FIRST,
        *(pytest.param(name, marks=pytest.mark.slow) for name in sorted({*METHODS} - {*FIRST, "heartheflow", "ezvsl"})),
    ],
)
def test_every_method_that_trains_heads_learns_from_features(tmp_path: Path, name: str) -> None:
    options: dict[str, Any] = {"classes": NUM_CLASSES} if "classes" in method_options(METHODS[name]) else {}
    options |= {"joint_slots": {"k": 2, "width": 16}, "dmc": {"width": 16}, "ssltie": {"weights": [1, 0, 0]}}.get(
        name, {}
    )
    values = recipe(tmp_path, method={"name": name, **options})
    method, reader = prepare(values)
    labels = torch.eye(NUM_CLASSES)[torch.arange(4) % NUM_CLASSES].expand(2, -1, -1)
    expected = replace(read(reader, values), labels=labels)
    batch = replace(read(cache_features(method, reader, values, progress=False), values), labels=labels)
    method.on_train_step_start(progress=0.0)
    state = {key: value.clone() for key, value in method.state_dict().items()}
    results = []
    for inputs in (expected, batch):
        method.load_state_dict(state)
        torch.manual_seed(0)
        results.append(step(method, inputs))
    torch.testing.assert_close(results[1]["loss"], results[0]["loss"], rtol=2e-2, atol=1e-3)
    assert results[1].keys() == results[0].keys()


def test_training_resumes_bit_for_bit_and_validates_on_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings.simplefilter("ignore")
    values = recipe(
        tmp_path / "features",
        data=scenes(),
        views=replace(PLAIN, multi_view=True, base_audio_window="random"),
        validation=ValidationConfig(scenes(regenerate=False, seed=9, length=4)),
        train=TrainConfig(epochs=3.0, batch_size=4, workers=0, precision="fp32", checkpoint_every_n_steps=2),
    )
    soundspot.train(values, tmp_path / "undisturbed", progress=False)
    training_step, steps = LocalizationModule.training_step, []

    def stopped(self: LocalizationModule, raw: FeatureBatch, batch_idx: int) -> Tensor:
        assert isinstance(raw, FeatureBatch)
        steps.append(self.global_step)
        if len(steps) == 6:
            raise RecipeError("stopped")
        return training_step(self, raw, batch_idx)

    monkeypatch.setattr(LocalizationModule, "training_step", stopped)
    with pytest.raises(RecipeError, match="stopped"):
        soundspot.train(values, tmp_path / "broken", progress=False)
    soundspot.train(values, tmp_path / "broken", resume=True, progress=False)
    assert steps == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9]
    for name in ("last", "best"):
        ours, theirs = (load_file(tmp_path / run / f"{name}.safetensors") for run in ("broken", "undisturbed"))
        assert all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_no_process_is_started_to_read_features_alone(tmp_path: Path) -> None:
    method, reader = prepare(values := recipe(tmp_path))
    features = cache_features(method, reader, values, progress=False)
    sampler = ResumableBatchSampler(len(features), values, 1, lambda: 0, lambda: None)
    workers = [build_dataloader(x, sampler, num_workers=2).num_workers for x in (reader, features)]
    assert workers == [2, 0]


def test_labels_and_mined_neighbors_work_on_stored_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings.simplefilter("ignore")
    values = recipe(
        tmp_path / "features",
        data=scenes(),
        method={"name": "alignment"},
        views=replace(PLAIN, semantic=True),
        labels=LabelsConfig("category"),
        neighbors=NeighborsConfig(mining_schedule=(0.5,), k=3),
        feature_cache=FeatureCacheConfig(str(tmp_path / "features"), augmentations=1, epochs=1),
    )
    inputs = []
    compute = StagedEncoder.forward_frozen
    monkeypatch.setattr(StagedEncoder, "forward_frozen", lambda self, x: inputs.append(len(x)) or compute(self, x))
    for run in ("run", "again"):
        inputs.clear()
        soundspot.train(values, tmp_path / run, progress=False)
        assert list((tmp_path / run).glob("neighbors-*"))
    assert sum(inputs) <= 2, "shapes are probed, and no sample is encoded again, to mine neighbors neither"


def test_whole_samples_are_embedded_from_features_as_they_are_otherwise(tmp_path: Path) -> None:
    values = recipe(tmp_path / "features", data=scenes(), method={"name": "dsol"}, views=PLAIN)
    method = build_method(values, NUM_CLASSES).eval()
    data = open_recipe_dataset(values.data)
    reader = ClipReader(data, method.front_end, values.views, 0, False)
    images, audio = data.read_image(1), data.read_audio(1)
    expected = make_localizer(method)
    wanted = expected.embed_images([images]), expected.embed_audio([audio]), expected.embed_objects([images], [audio])
    embedder = FeatureEmbedder(method, cache_features(method, reader, values, progress=False))
    image, sound = embedder.read_image(data, 1), embedder.read_audio(data, 1)
    ours = embedder.embed_images([image]), embedder.embed_audio([sound]), embedder.embed_objects([image], [sound])
    for embedding, reference in zip(ours, wanted, strict=True):
        torch.testing.assert_close(embedding, reference, atol=2e-3, rtol=0)  # features are stored in half precision


def test_silence_and_noise_are_encoded_beside_stored_sounds(tmp_path: Path) -> None:
    warnings.simplefilter("ignore")
    values = recipe(tmp_path / "features", negatives=NegativesConfig(silence=True, noise=True, offscreen=1))
    soundspot.train(values, tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_the_command_line_takes_the_folder() -> None:
    values = read_recipe("ezvsl/debug", ["--feature_cache.folder", "features", "--feature_cache.max_gb", "2"])
    assert values.feature_cache == FeatureCacheConfig("features", max_gb=2.0)


def test_the_size_is_printed_first(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    values = recipe(tmp_path)
    cache_features(*prepare(values), values, progress=True)
    assert "12 images x 1 variants, 8.5 kB, in" in capsys.readouterr().err


def test_a_folder_in_use_is_waited_for(tmp_path: Path) -> None:
    from soundspot.utils.atomic_io import lock_folder

    (plan, _) = plans(recipe(tmp_path))
    plan.folder.mkdir(parents=True)
    second = threading.Thread(target=fill_features, args=(plan, torch.device("cpu")))
    with lock_folder(plan.folder):
        second.start()
        second.join(0.2)
        assert second.is_alive()
        assert not is_complete(plan.folder)
    second.join()
    assert is_complete(plan.folder)
    for content in ("[]", "{}", '{"complete": 1}', "[" * 100_000):  # somebody else's
        (plan.folder / "meta.json").write_text(content)
        assert not is_complete(plan.folder)


def test_base_view_of_a_variant_is_made_as_the_view_is(tmp_path: Path) -> None:
    """A weak first view is drawn, so it has variants too, and none of them is the image itself."""
    values = recipe(tmp_path, views=replace(PLAIN, base_view="weak"))
    method, reader = prepare(values)
    store = cache_features(method, reader, values, progress=False).image
    assert store is not None
    assert store.ranges == {"plain": range(2)}
    raw = replace(reader.read(requests(1)), index=torch.tensor([int(hash_key(reader.data.group(0)))]))
    encoder = method.image_encoder
    assert isinstance(encoder, StagedEncoder)
    for variant in (0, 1):
        (image,), _ = build_images(replace(raw, epoch=variant), reader.front_end.image, values.views, 0)
        expected = torch.cat([x.flatten(1) for x in encoder.forward_frozen(image)], dim=1)
        found = store.read(np.array([variant])).flatten(1)[:, : expected.shape[1]]
        torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=2e-3)

"""What lies beside pictures and sounds, in training and after it: planes move with their picture, truths teach."""

import csv
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import soundspot
from soundspot.config.augmentation import STRONG, WEAK
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.config.load import read_recipe
from soundspot.config.schema import DataConfig, FrontEndConfig, Recipe, TrainConfig, ViewsConfig
from soundspot.data.datasets.auxiliary import AuxiliaryDataset, read_image_with_flow
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.transforms.augment import augment
from soundspot.errors import DataError, InputError, RecipeError
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.inference.localizer import Localizer
from soundspot.methods import create
from soundspot.training.clip_reader import ClipReader, SampleRequest
from soundspot.training.datamodule import build_batch
from soundspot.types import ImageWithFlow

TINY = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 4}
SMALL = {"length": 8, "size": 32, "seconds": 0.5, "regenerate": False}
AUDIO = AudioSpec(seconds=0.25)


# Planes.


def test_planes_are_cropped_and_mirrored_with_their_picture_and_not_coloured() -> None:
    torch.manual_seed(0)
    grey = torch.randint(0, 256, (6, 1, 24, 24), dtype=torch.uint8)
    draws = torch.rand(6, 12)
    together = augment(grey.expand(-1, 6, -1, -1).contiguous(), 16, STRONG, draws)
    alone = augment(grey.expand(-1, 3, -1, -1).contiguous(), 16, STRONG, draws)
    assert torch.equal(together[:, :3], alone)
    assert torch.equal(together[:, 3], together[:, 5])
    assert (together[:, 3] - together[:, 0]).abs().max() > 0.05  # jitter, which the planes do not see
    plain = augment(grey.expand(-1, 4, -1, -1).contiguous(), 16, WEAK, draws)
    assert torch.equal(plain[:, 0], plain[:, 3])


def batch_of(data: Any, spec: InputSpec, views: ViewsConfig, truths: bool = False) -> Any:
    clips = ClipReader(data, spec, views, seed=0, with_ground_truth=truths)
    tickets = [SampleRequest(0, i, (i + 1) % 8, (i + 1) % 8) for i in range(8)]
    return build_batch(clips.read(tickets), spec, views, seed=0)


def test_the_flow_of_a_batch_is_the_scenes() -> None:
    data = open_dataset("scenes", motion=6, **SMALL)
    spec = InputSpec(ImageSpec(size=32, flow=True), AUDIO)
    batch = batch_of(data, spec, ViewsConfig(multi_view=False, semantic=False, base_view="unaugmented"))
    assert batch.images.shape == (1, 8, 5, 32, 32)
    assert batch.ground_truth is None
    for i in range(8):
        expected = data.read_flow(i).clamp(min=0) / 255  # type: ignore[attr-defined]
        torch.testing.assert_close(batch.images[0, i, 3:], expected)
    still = batch_of(
        data,
        InputSpec(ImageSpec(size=32), AUDIO),
        ViewsConfig(multi_view=False, semantic=False, base_view="unaugmented"),
    )
    assert torch.equal(still.images, batch.images[:, :, :3])


@pytest.mark.parametrize("views", [ViewsConfig(), ViewsConfig(multi_view=False, semantic=False)])
def test_truths_move_with_their_pictures(views: ViewsConfig) -> None:
    """A picture that is its own truth stays so, whatever crop and mirror; nobody's stay unknown in every view."""
    data = open_dataset("scenes", train_ground_truth="own", train_ground_truth_fraction=0.5, **SMALL)
    shown = [data.read_train_ground_truth(i) for i in range(8)]

    class Told(AuxiliaryDataset):
        """Pictures that show nothing but where their source is."""

        def read_image(self, index: int) -> Any:
            where = self.ground_truth(index).to_map(36, 36).numpy()
            return Image.fromarray((where * 255).astype(np.uint8)).convert("RGB")

        def read_train_ground_truth(self, index: int) -> Any:
            return None if shown[index] is None else self.ground_truth(index)

    spec = InputSpec(ImageSpec(size=32, mean=(0.0,) * 3, std=(1.0,) * 3), AUDIO)
    batch = batch_of(Told(data, train_ground_truth="own"), spec, views, truths=True)
    assert batch.images.shape[2] == 3
    marked = torch.tensor([one is not None for one in shown])
    assert 0 < marked.sum() < 8
    for at, view in enumerate(views.view_names("image")):
        known = marked.roll(-1) if view == "neighbour" else marked
        assert torch.equal(batch.ground_truth[at].isnan().flatten(1).all(1), ~known)
        assert not batch.ground_truth[at][known].isnan().any()
        if view != "augmented":  # which is coloured
            torch.testing.assert_close(batch.ground_truth[at][known], batch.images[at, known, 0], rtol=0, atol=0.02)


# Truths teach.


def taught(tmp_path: Path, *more: str) -> tuple[Path, list[dict[str, str]]]:
    small = ["--data.options", str({**SMALL, "length": 64, "categories": 4}), "--front_end.size", "32"]
    recipe = read_recipe("attention10k/debug", [*small, "--train.epochs", "10", "--train.batch_size", "16", *more])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best = soundspot.train(recipe, tmp_path, progress=False)
    with (tmp_path / "logs" / "attempt-0" / "metrics.csv").open() as file:
        return best, [row for row in csv.DictReader(file) if row["train/loss"]]


def test_attention10k_learns_semi_supervised_from_a_recipe(tmp_path: Path, one_thread: None) -> None:
    _, plain = taught(tmp_path / "plain")
    _, rows = taught(
        tmp_path / "taught",
        "--data.options.train_ground_truth",
        "own",
        "--data.options.train_ground_truth_fraction",
        "0.3",
    )
    assert "train/supervised" not in plain[0]
    losses = [float(row["train/supervised"]) for row in rows]
    assert all(np.isfinite(losses))
    assert losses[-1] < losses[0] - 0.01


def test_a_method_that_cannot_be_taught_is_not(tmp_path: Path) -> None:
    recipe = read_recipe("lvs/debug", ["--data.options.train_ground_truth", "own"])
    with pytest.raises(
        RecipeError, match=r"data.options.train_ground_truth: method 'lvs' cannot learn from ground truth"
    ):
        soundspot.train(recipe, tmp_path / "run", progress=False)


# Vectors.


def with_vectors(folder: Path, data: Any, width: int = 6) -> Path:
    """What is heard of each category, and some noise, as another network would tell it."""
    rng = np.random.RandomState(0)
    means: dict[str, Any] = {}
    folder.mkdir()
    for i in range(len(data)):
        mean = means.setdefault(data.category(i), rng.randn(width))
        np.save(folder / f"{data.id(i)}.npy", (mean + 0.1 * rng.randn(width)).astype(np.float32))
    return folder


def test_vectors_are_trained_with_and_evaluated(tmp_path: Path, one_thread: None) -> None:
    options = {"length": 64, "size": 32, "seconds": 0.5, "categories": 4, "regenerate": False}
    folder = with_vectors(tmp_path / "vectors", open_dataset("scenes", **options))
    recipe = Recipe(
        method={"name": "attention10k", "sharpness": 10.0},
        image=TINY,
        audio={"encoder": "vectors", "width": 6},
        data=DataConfig("scenes", None, {**options, "audio_embeddings": str(folder)}),
        views=ViewsConfig(semantic=False),
        front_end=FrontEndConfig("attention10k", size=32),
        train=TrainConfig(epochs=2.0, batch_size=16, workers=0, lr=1e-3),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best = soundspot.train(recipe, tmp_path / "run", progress=False)
    localizer = Localizer.load(best)
    assert localizer.method.front_end.audio.embedding_dim == 6
    test = {"length": 6, "size": 32, "seconds": 0.5, "categories": 4}
    heard = with_vectors(tmp_path / "test", open_dataset("scenes-interactive", **test))
    data = open_dataset("scenes-interactive", audio_embeddings=heard, **test)
    report = evaluate(localizer, data, bootstraps=0)
    names = [row.name for row in report.rows]
    assert 0 <= report.model.metrics["ciou_adaptive"].value <= 1
    assert any("swapped" in name for name in names)
    assert not {"muted", "noise"} & set(names)  # nobody made vectors of those
    one = localizer.locate(data.read_image(0), data.read_audio_embedding(0))  # type: ignore[attr-defined]
    assert one.scores.shape == (4, 4)
    with pytest.raises(
        InputError, match=r"found a recording, expected a vector of 6 numbers that another network made"
    ):
        localizer.locate(data.read_image(0), data.read_audio(0))
    with pytest.raises(InputError, match=r"found a recording, expected a vector of 6 numbers"):
        localizer.encode_audio([data.read_audio_embedding(0), data.read_audio(0)])  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"found numbers of shape \(5,\), expected a vector of 6"):
        localizer.locate(data.read_image(0), np.zeros(5))
    with pytest.raises(DataError, match=r"has no embeddings of audio"):
        evaluate(localizer, open_dataset("scenes-single", **test), bootstraps=0)
    with pytest.raises(RecipeError, match=r"views.spec_augment: found 'mended' where sounds are embeddings"):
        ClipReader(data, localizer.method.front_end, ViewsConfig(spec_augment="mended"), seed=0)


# Flow, asked for.


@pytest.fixture
def looking() -> Localizer:
    torch.manual_seed(0)
    return Localizer(create("heartheflow", image=TINY, audio=TINY, sigmoid_width=0.1))


def test_a_picture_is_asked_with_its_flow_or_its_next_frame(looking: Localizer) -> None:
    data = open_dataset("scenes", motion=8, **SMALL)
    picture, sound, flow = data.read_image(0), data.read_audio(0), data.read_flow(0)  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match="No optical flow was given"):
        still = looking.locate(picture, sound)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(looking.locate(picture, sound).scores, still.scores)  # told once
        zero = looking.locate(picture, sound, flow=np.zeros((2, 32, 32)))
        moved = looking.locate(picture, sound, flow=flow * 20)
        nothing = looking.locate(picture, sound, next_frame=picture)
    assert torch.equal(zero.scores, still.scores)
    assert torch.equal(nothing.scores, still.scores)
    assert (moved.scores - still.scores).abs().max() > 1e-5  # an untrained network's
    assert any("No optical flow" in note for note in still.notes)
    assert not any("No optical flow" in note for note in zero.notes)
    batched = looking.maps(looking.encode_images([ImageWithFlow(picture, flow * 20)]), looking.encode_audio([sound]))[0]
    torch.testing.assert_close(batched, moved.scores)
    with pytest.raises(InputError, match=r"expected finite numbers \(2, h, w\)"):
        looking.locate(picture, sound, flow=np.zeros((32, 32, 2)))


def test_evaluation_shows_the_flow_of_the_data_set(looking: Localizer) -> None:
    options = {"length": 4, "size": 32, "seconds": 0.5}
    data = open_dataset("scenes-interactive", motion=8, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate(looking, data, bootstraps=0)
    first = looking.maps(
        looking.encode_images([read_image_with_flow(data, 0)]), looking.encode_audio([data.read_audio(0)])
    )[0]
    torch.testing.assert_close(torch.as_tensor(report.maps[data.id(0)]), first, rtol=0, atol=1e-5)
    without = evaluate(looking, open_dataset("scenes-interactive", **options), bootstraps=0)
    assert np.abs(report.maps[data.id(0)] - without.maps[data.id(0)]).max() > 1e-6

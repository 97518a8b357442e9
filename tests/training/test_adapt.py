"""Own things are learned from a folder of them, and what was known before is not forgotten."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import soundspot
from own_things import NEW, OLD, write_base, write_things
from soundspot.config.checkpoint import load_checkpoint, read_header, read_statistics, save_checkpoint
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.category_folders import write_category_catalog
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import read_image
from soundspot.errors import CheckpointError, DataError, OutputError
from soundspot.inference.localizer import Localizer
from soundspot.training.adapt import STEPS, adapt, measure_peaks
from soundspot.training.projection_inputs import read_inputs
from soundspot.training.retention import (
    extend_retention,
    output_change,
    read_retention,
    stack_weights,
)
from toys import STAGED


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that keeps what it knows of red bricks and blue lakes."""
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, header: header.pop("retained"),
        lambda tensors, header: header.update(retained=["a", "b", "c"]),
        lambda tensors, header: header.update(retained=[1, 2]),
        lambda tensors, header: tensors.update(unknown=torch.ones(1)),
        lambda tensors, header: tensors.update(image_moments=torch.ones(2, 3)),
        lambda tensors, header: tensors.update(absent_peaks=torch.ones(0)),
    ],
)
def test_damaged_statistics_are_told(base: Path, tmp_path: Path, change: Callable[..., object]) -> None:
    method, header = load_checkpoint(base)
    tensors = read_statistics(base)
    change(tensors, header)
    fields = {name: header[name] for name in ("retained",) if name in header}
    save_checkpoint(method, tmp_path / "x.safetensors", statistics=tensors, **fields)
    with pytest.raises(CheckpointError, match=r"x\.safetensors: cannot be read .* expected statistics"):
        read_retention(tmp_path / "x.safetensors")


def test_statistics_of_another_network_are_told(base: Path, tmp_path: Path) -> None:
    tensors = read_statistics(base) | {"image_moments": torch.eye(4)}
    save_checkpoint(load_checkpoint(base)[0], tmp_path / "x.safetensors", statistics=tensors, retained=list(OLD))
    with pytest.raises(CheckpointError, match="statistics of another network"):
        adapt(write_things(tmp_path / "mine", NEW), tmp_path / "y.safetensors", tmp_path / "x.safetensors")


def test_new_things_are_told_apart_and_the_old_ones_stay(base: Path, tmp_path: Path) -> None:
    things = write_things(tmp_path / "mine", NEW)
    report = adapt(things, tmp_path / "mine.safetensors", base)
    assert [row.category for row in report.categories] == ["leaf", "snow"]
    assert {(row.num_images, row.num_audio, row.is_known) for row in report.categories} == {(3, 3, False)}
    assert report.image_change < 0.2
    assert report.audio_change < 0.2
    before, after = soundspot.load(base), soundspot.load(tmp_path / "mine.safetensors")
    picture, sound = things / "leaf/0.png", things / "leaf/0.wav"
    other = things / "snow/0.wav"
    gain = [x.locate(picture, sound).peak - x.locate(picture, other).peak for x in (before, after)]
    assert gain[1] > gain[0]
    assert after.threshold == pytest.approx(report.threshold)
    header = read_header(tmp_path / "mine.safetensors")
    assert header["retained"] == ["brick", "lake", "leaf", "snow"]
    assert header["adapted"]["num_old"] == 2
    assert header["card"]["categories"] == header["retained"]
    assert header["card"]["summary"].endswith("taught leaf, snow")
    assert header["video_size"] == 48
    assert header["calibration"]["threshold"] == report.threshold
    assert after.calibration.kind == "logistic"
    maps = sorted((after.locate(picture, audio) for audio in (sound, other)), key=lambda found: found.peak)
    assert maps[0].presence_probability < maps[1].presence_probability
    assert "leaf: 3 images, 3 sounds; of those held out" in report.format_summary()


@pytest.mark.usefixtures("tiny_staged")
def test_what_retrieves_apart_from_maps_learns_too(tmp_path: Path) -> None:
    """`nowhere` on frozen encoders retrieves by projections of its own."""
    base = write_base(tmp_path / "base", "nowhere", STAGED)
    things = write_things(tmp_path / "mine", NEW)
    adapt(things, tmp_path / "mine.safetensors", base)
    retention = read_retention(tmp_path / "mine.safetensors")
    assert retention is not None
    assert retention.retrieval is not None
    assert len(retention.retrieval.image_prototypes) == len(retention.categories) == 4
    before, after = (
        [compute_margin(soundspot.load(path), folder) for folder in (tmp_path / "base/old", things)]
        for path in (base, tmp_path / "mine.safetensors")
    )
    assert after[1] > before[1] + 0.05
    assert after[0] > before[0] - 0.01
    tensors = {name: x for name, x in read_statistics(base).items() if not name.startswith("retrieval")}
    save_checkpoint(load_checkpoint(base)[0], tmp_path / "x.safetensors", statistics=tensors, retained=list(OLD))
    with pytest.raises(CheckpointError, match="statistics of another network"):
        adapt(things, tmp_path / "y.safetensors", tmp_path / "x.safetensors")


def compute_margin(localizer: Localizer, folder: Path) -> float:
    """By how much images of two things are nearer to their own sounds than to those of the other.

    In cosines of the projections for retrieval, which are the first half of the embeddings.
    """
    files = [(name, number) for name in sorted(path.name for path in folder.iterdir()) for number in range(4)]
    images = localizer.embed_images([read_image(folder / name / f"{number}.png") for name, number in files])
    audio = localizer.embed_audio([read_audio(folder / name / f"{number}.wav") for name, number in files])
    half = images.shape[1] // 2
    cosines = (2 * images[:, :half] @ audio[:, :half].T).unflatten(0, (2, 4)).unflatten(2, (2, 4)).mean((1, 3))
    return float((cosines.diag() - cosines.fliplr().diag()).mean())


def test_an_adapted_model_can_be_taught_again_and_known_things_are_named(base: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    soundspot.adapt(
        write_things(tmp_path / "one", NEW),
        tmp_path / "one.safetensors",
        base,
        on_progress=lambda *numbers: calls.append(numbers),
    )
    assert [done for done, total in calls if total == STEPS] == [*range(1, STEPS + 1)]
    encoded = calls[:-STEPS]
    assert [done for done, _ in encoded] == sorted({done for done, _ in encoded})
    assert encoded[-1] == (6 * 4 + 6 + 2 + 2, 6 * 4 + 6 + 2 + 2)  # views and sounds to learn from, and those held out
    report = adapt(
        write_things(tmp_path / "two", {"leaf": ("green", 700)}),
        tmp_path / "two.safetensors",
        tmp_path / "one.safetensors",
    )
    assert report.categories[0].is_known
    assert "known before" in report.format_summary()
    assert read_header(tmp_path / "two.safetensors")["retained"] == ["brick", "lake", "snow", "leaf"]


def test_a_model_that_keeps_nothing_is_refused(base: Path, tmp_path: Path) -> None:
    method = soundspot.load(base).method
    save_checkpoint(method, tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="would forget"):
        adapt(write_things(tmp_path / "mine", NEW), tmp_path / "x.safetensors", tmp_path / "plain.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_a_released_model_of_the_hub_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
    localizer = Localizer(soundspot.create("alignment", image=tiny, audio=tiny))
    localizer.checkpoint = "hub:owner/name"  # no file
    monkeypatch.setattr(Localizer, "load", lambda model: localizer)
    with pytest.raises(CheckpointError, match=r"hub:owner/name: keeps nothing .* would forget"):
        adapt(write_things(tmp_path / "mine", NEW), tmp_path / "x.safetensors", "denseav-sound")


def test_an_existing_file_is_not_replaced(base: Path, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"mine")
    with pytest.raises(DataError, match="found no such folder"):  # a wrong folder is named first
        adapt(tmp_path / "none", tmp_path / "x.safetensors", base)
    (tmp_path / "things" / "kettle").mkdir(parents=True)
    with pytest.raises(OutputError, match="exists"):
        adapt(tmp_path / "things", tmp_path / "x.safetensors", base)
    assert (tmp_path / "x.safetensors").read_bytes() == b"mine"


def test_the_change_of_outputs_needs_no_data() -> None:
    """Second moments tell the mean square change over the very data they were made of."""
    torch.manual_seed(1)
    layer, x = torch.nn.Linear(5, 3), torch.randn(100, 5)
    old, before = stack_weights(layer).detach().clone(), layer(x)
    with torch.no_grad():
        layer.weight += 0.1 * torch.randn(3, 5)
        layer.bias += 0.2
    inputs = torch.cat([x, torch.ones(100, 1)], dim=1)
    expected = (layer(x) - before).square().sum() / before.square().sum()
    assert output_change(layer, old, inputs.T @ inputs / 100).item() == pytest.approx(expected.item(), rel=1e-4)


def test_peaks_of_other_sounds_do_not_count_a_category_of_the_same_name(base: Path, tmp_path: Path) -> None:
    method, retention = soundspot.load(base).method, read_retention(base)
    assert retention is not None
    write_category_catalog(write_things(tmp_path / "mine", {"brick": ("red", 200)}), tmp_path / "catalog")
    inputs = read_inputs(method, Catalog(tmp_path / "catalog", "val"), ("brick",))
    present, absent = measure_peaks(method, retention, ("brick",), inputs)
    assert len(present[0]) == inputs[0].images.shape[1] * len(inputs[0].audio)
    assert len(absent[0]) == inputs[0].images.shape[1]  # the lake alone


def test_categories_of_one_name_are_kept_once(base: Path) -> None:
    retention = read_retention(base)
    assert retention is not None
    twice = extend_retention(retention, retention)
    assert twice.categories == retention.categories
    assert torch.allclose(twice.maps.image_moments, retention.maps.image_moments)

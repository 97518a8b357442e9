"""Pictures asked with all of their sources at once: what is mixed, who has such scores, and what they are."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from fake import COLOURS, NAMES, SIDE, Squares, listener, seen
from soundspot.config.upsampling import Upsampling
from soundspot.errors import InputError
from soundspot.evaluation import functional as F
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.evaluation.engine.items import NUM_NOISES
from soundspot.evaluation.protocols.presets import PROTOCOLS
from soundspot.evaluation.report.report import Report, load_report
from soundspot.types import Audio, AudioVisualDataset, GroundTruth

RATE = 8000
SHARP = replace(PROTOCOLS["corrected"], size=SIDE, upsampling=Upsampling("nearest"))
KEYS = ("ciou_mixture_adaptive", "ciou_mixture", "ciou_mixture@0.3", "cap_mixture", "piap_mixture")


@dataclass(frozen=True)
class Tones(Squares):
    """The same squares, where the sound of a colour is a pitch of its own, some of them short and quiet."""

    def read_audio(self, index: int) -> Audio:
        category = self.category(index)
        if category not in NAMES:
            return Audio(torch.zeros(RATE), RATE)
        which = NAMES.index(category)
        samples = RATE if which % 2 else RATE // 2
        pitch = 2 * torch.pi * 400 * (1 + which) * torch.arange(samples) / RATE
        return Audio(0.5**which * torch.sin(pitch), RATE)


@dataclass(frozen=True)
class Shuffled(AudioVisualDataset):
    """The same items, those of a picture far from each other."""

    inner: Tones
    order: tuple[int, ...]
    name: str = "squares"

    def __len__(self) -> int:
        return len(self.order)

    def at_epoch(self, epoch: int) -> "Shuffled":
        return self

    def id(self, index: int) -> str:
        return self.inner.id(self.order[index])

    def group(self, index: int) -> str:
        return self.inner.group(self.order[index])

    def category(self, index: int) -> str:
        return self.inner.category(self.order[index])

    def read_image(self, index: int) -> Image.Image:
        return self.inner.read_image(self.order[index])

    def read_audio(self, index: int) -> Audio:
        return self.inner.read_audio(self.order[index])

    def ground_truth(self, index: int) -> GroundTruth:
        return self.inner.ground_truth(self.order[index])


class Separator:
    """Hears which pitches there are, and gives a map for each colour; `most` of those that are heard are told."""

    name = "separator"

    def __init__(self, most: int = 4, mixes: bool = True) -> None:
        self.most = most
        self.asked: list[list[str]] = []
        self.pictures = 0
        if mixes:
            self.source_maps = self._source_maps

    def encode_images(self, pictures: list[Image.Image]) -> Tensor:
        self.pictures += len(pictures)
        return torch.stack([seen(picture) for picture in pictures])

    def encode_audio(self, sounds: list[Audio]) -> Tensor:
        codes = torch.stack([pitches(sound) for sound in sounds])
        self.asked += [[name for name, one in zip(NAMES, code, strict=True) if one] for code in codes]
        return codes

    def maps(self, image_codes: Tensor, sound_codes: Tensor) -> Tensor:
        return (self._of_colours(image_codes) * sound_codes[..., None, None]).amax(dim=1)

    def _source_maps(self, image_codes: Tensor, sound_codes: Tensor) -> tuple[Tensor, Tensor]:
        told = sound_codes.bool() & (sound_codes.cumsum(dim=1) <= self.most)
        return self._of_colours(image_codes), told

    def saliency(self, image_codes: Tensor) -> Tensor:
        return image_codes.amax(dim=1)

    def _of_colours(self, image_codes: Tensor) -> Tensor:
        colours = torch.tensor([COLOURS[name] for name in NAMES])[None, :, :, None, None] / 255
        return ((image_codes[:, None] - colours).abs().sum(dim=2) < 0.1).float()


def pitches(sound: Audio) -> Tensor:
    """Which of the four are in a sound, as strong as the strongest of them."""
    power = torch.fft.rfft(sound.waveform, n=RATE).abs()
    found = torch.stack([power[400 * (1 + which)] for which in range(4)])
    return ((found > 0.8 * found.max()) & (found > 200)).float()


def row(report: Report, name: str) -> dict[str, float]:
    return {key: cell.value for row in report.rows if row.name == name for key, cell in row.metrics.items()}


@pytest.fixture(scope="module")
def report() -> Report:
    return evaluate(Separator(), Tones(), protocol=SHARP, bootstraps=200)


def test_who_tells_all_sources_apart_has_full_scores(report: Report) -> None:
    for key in KEYS:
        assert report[key] == pytest.approx(1)
        assert row(report, "centered box")[key] < 1
        # one map of both squares, for each source: it tells none from another, which a low threshold does not see
        assert (row(report, "object saliency")[key] == 1) == (key in ("piap_mixture", "ciou_mixture@0.3"))
        assert report.model.metrics[key].low <= 1 <= report.model.metrics[key].high


def test_the_ceiling_is_that_of_graded_maps(report: Report) -> None:
    """Half of the picture is kept under the published cut, though an object covers less."""
    data, ceiling = Tones(), row(report, "ceiling")
    truths = torch.stack([data.ground_truth(i).to_map(SIDE, SIDE) for i in range(len(data))]).bool()
    half = SIDE * SIDE // 2
    either = truths.view(-1, 2, SIDE, SIDE).any(dim=1)
    area = either.sum(dim=(1, 2)) / half
    assert ceiling["ciou_mixture_adaptive"] == 1
    assert 0 < ceiling["ciou_mixture@0.3"] < 1
    assert 0 < ceiling["cap_mixture"] < 1
    assert ceiling["piap_mixture"] == pytest.approx(area.mean().item(), rel=0.02)  # precision of the half kept


def test_a_model_with_one_map_of_a_mixture_of_two_finds_one_at_most() -> None:
    found = evaluate(Separator(most=1), Tones(), protocol=SHARP, bootstraps=0)
    assert found["ciou_mixture_adaptive"] == found["ciou_mixture"] == found["cap_mixture"] == pytest.approx(0.5)
    assert found["piap_mixture"] < 1


def test_scores_are_those_of_the_functions_picture_by_picture() -> None:
    class Blurred(Separator):
        def _of_colours(self, image_codes: Tensor) -> Tensor:
            maps = super()._of_colours(image_codes)
            return torch.nn.functional.avg_pool2d(maps, 9, 1, 4) + 0.3 * torch.roll(maps, 5, dims=-1)

    data, model = Tones(5), Blurred()
    found = evaluate(model, data, protocol=SHARP, bootstraps=0)
    own, iou, cap, piap = [], [], [], []
    for picture in range(5):
        items = [2 * picture, 2 * picture + 1]
        codes = model.encode_images([data.read_image(items[0])])
        told = torch.stack([pitches(data.read_audio(i)) for i in items]).amax(dim=0).bool()
        truths = torch.stack([data.ground_truth(i).to_map(SIDE, SIDE) for i in items]).bool()
        got = F.matched_sources(model._of_colours(codes)[:, told], truths[None], shared_image=True)
        own += F.assigned_sources(model._of_colours(codes)[:, told], truths[None])[0].tolist()
        iou += got.iou[got.valid].tolist()
        cap += got.cap[got.valid].tolist()
        piap += got.piap.tolist()
        summed, either = model._of_colours(codes)[0, told].sum(dim=0), truths.any(dim=0)
        alone = F.matched_sources(summed[None, None], either[None, None])  # one map, one truth: no reading but one
        assert piap[-1] == pytest.approx(alone.piap.item())
    assert found["ciou_mixture_adaptive"] == pytest.approx(sum(one >= 0.5 for one in own) / len(own))
    assert found["ciou_mixture"] == pytest.approx(sum(one >= 0.5 for one in iou) / len(iou))
    assert found["ciou_mixture@0.3"] == pytest.approx(sum(one >= 0.3 for one in iou) / len(iou))
    assert found["cap_mixture"] == pytest.approx(sum(cap) / len(cap))
    assert found["piap_mixture"] == pytest.approx(sum(piap) / len(piap))
    assert 0 < found["cap_mixture"] < 1


def test_neither_batches_nor_the_order_of_the_items_moves_a_number(report: Report) -> None:
    for size in (1, 5):
        assert evaluate(Separator(), Tones(), protocol=SHARP, batch_size=size, bootstraps=200) == report
    mixed = Shuffled(Tones(), (3, 8, 0, 11, 5, 2, 10, 7, 1, 4, 9, 6))
    found = evaluate(Separator(), mixed, protocol=SHARP, bootstraps=0, batch_size=3)
    for key, cell in report.model.metrics.items():
        if not key.startswith(("aucn", "pia")):  # foreign sounds are drawn by the items' numbers
            assert found[key] == pytest.approx(cell.value), key


def test_each_mixture_is_encoded_once_and_holds_the_picture_s_present_sources() -> None:
    model, data = Separator(), Tones(4, silence=True)
    evaluate(model, data, protocol=SHARP, bootstraps=0, batch_size=6)
    assert model.pictures == 4
    assert len(model.asked) == len(data) + 4 + 1 + NUM_NOISES
    wanted = [{data.category(3 * picture), data.category(3 * picture + 1)} for picture in range(4)]
    assert [set(one) for one in model.asked if len(one) > 1] == wanted


def test_who_has_no_such_scores() -> None:
    class Single(Tones):
        def group(self, index: int) -> str:
            return str(index)

    class Consensus(Tones):
        def ground_truth(self, index: int) -> GroundTruth:
            return replace(super().ground_truth(index), rule="consensus", boxes=(), mask=None)

    for model, data in (
        (listener, Tones()),
        (Separator(mixes=False), Tones()),
        (Separator(), Single()),
        (Separator(), Consensus()),
    ):
        found = evaluate(model, data, protocol=SHARP, bootstraps=0)
        assert not any("mixture" in key for row in found.rows for key in row.metrics)


def test_a_mixture_in_which_nothing_is_heard_is_a_failure() -> None:
    found = evaluate(Separator(most=0), Tones(), protocol=SHARP, bootstraps=0)
    assert [found[key] for key in KEYS] == [0] * len(KEYS)


def test_maps_that_are_no_numbers_are_refused_by_the_picture_s_first_item() -> None:
    class Broken(Separator):
        def _source_maps(self, image_codes: Tensor, sound_codes: Tensor) -> tuple[Tensor, Tensor]:
            maps, told = super()._source_maps(image_codes, sound_codes)
            return maps / 0, told

    with pytest.raises(InputError, match=r"picture/0-0 holds \d+ values that are not finite"):
        evaluate(Broken(), Tones(), protocol=SHARP, bootstraps=0)


def test_they_are_saved_printed_and_read_back(report: Report, tmp_path: Any) -> None:
    report.save(tmp_path / "one")
    again = load_report(tmp_path / "one")
    assert {key: again[key] for key in KEYS} == {key: report[key] for key in KEYS}
    for name in ("CAP, mixture", "PIAP, mixture", "cIoU, mixture", "cIoU, mixture, adaptive"):
        assert name in report.table()
    others = evaluate(Separator(), Tones(), protocol=[SHARP, "ezvsl"], bootstraps=0).other_protocols
    assert not any("mixture" in key for other in others for row in other.rows for key in row.metrics)

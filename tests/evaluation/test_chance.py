"""Models that cannot know: deaf (the sound is ignored), blind (the picture is), constant (both). All have chance.

What chance is, by family of scores:

    Where, Listening, Segments  the rows of the same pictures with silence and noise, to the bit; of a blind model that
                                knows the center, the row `centered box`; of a constant map, what a share of all pixels
                                scores (a / (1 + a) of an object of share a where half is kept, a / (2 - a) adaptively)
    CAP, PIAP                   of a constant map the share of the pixels that are of the source
    Mixtures                    every map is the same, so the rows that ignore the sound too
    Presence                    AUROC 1/2; AP, max F1 and LocAcc of a detector that fires on every sample
    Negatives                   pIA is the area that is predicted with the own sound; F-LOC and F-AUC follow from it
    Retrieval                   the row `chance`, exactly where the items asked for are all alike or each query has as
                                many; else in the mean over models (`test_in_the_mean_over_models`)
    Embedding                   the row `chance`: pairs put together at random
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from fake import Squares
from soundspot import evaluate
from soundspot.data.datasets.registry import open_dataset
from soundspot.evaluation import functional as F
from soundspot.evaluation.engine.baselines import centered_box
from soundspot.evaluation.engine.items import index_samples
from soundspot.evaluation.metrics.presence import Detections, PresenceSamples, ap, presence_auroc
from soundspot.evaluation.metrics.registry import METRICS
from soundspot.evaluation.protocols.presets import get_protocol
from soundspot.evaluation.report.report import Report
from soundspot.scenes import open_scenes, write_catalog
from soundspot.types import Audio, AudioVisualDataset, GroundTruth

LAYOUTS = ("scenes-single", "scenes-interactive", "scenes-extended", "catalog", "avsbench_s4")
MODELS = ("deaf", "blind", "constant")
SCENES = {"size": 64, "seconds": 0.25, "categories": 4}
THRESHOLD = 0.25


def write_s4(root: Path, recordings: int = 4) -> None:
    """AVSBench S4: five frames of one recording each, in two categories; masks of different sizes."""
    rng, entries = np.random.default_rng(0), []
    for number in range(recordings):
        category, clip = ("cat", "dog")[number % 2], f"{number:011d}"
        folders = [root / kind / "test" / category for kind in ("audio_wav", "visual_frames", "gt_masks")]
        for folder in (folders[0], folders[1] / clip, folders[2] / clip):
            folder.mkdir(parents=True, exist_ok=True)
        audio = folders[0] / f"{clip}.wav"
        soundfile.write(audio, 0.5 * np.sin(np.arange(4000) / 8000 * 6.28 * (300 + 200 * number)), 8000)
        for second in range(1, 6):
            image, mask = (folder / clip / f"{clip}_{second}.png" for folder in folders[1:])
            Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(image)
            pixels = np.zeros((64, 64), np.uint8)
            pixels[8 : 24 + 4 * second, 16 : 32 + 4 * number] = 255
            Image.fromarray(pixels).save(mask)
            paths = {"image": image, "audio": audio, "gt_box": mask}
            entries.append({key: f"/{path.relative_to(root.parent).as_posix()}" for key, path in paths.items()})
    (root / "s4_seg.json").write_text(json.dumps(entries))


def open_layout(layout: str, folder: Path) -> AudioVisualDataset:
    if layout == "catalog":
        write_catalog(open_scenes("scenes-single", length=12, **SCENES), folder / "catalog")
        return open_dataset("catalog", folder / "catalog", split="test")
    if layout == "avsbench_s4":
        write_s4(folder / "s4")
        return open_dataset("avsbench_s4", folder / "s4", ground_truth="masks")
    return open_scenes(layout, length=24 if layout == "scenes-extended" else 12, **SCENES)


def unit(vectors: Tensor) -> Tensor:
    """Unit vectors with the rounding of their batch."""
    noise = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(len(vectors)))
    return torch.nn.functional.normalize(vectors + 1e-8 * noise, dim=1)


@dataclass(frozen=True)
class Ignorant:
    """A localizer that ignores the sound (deaf), the picture (blind), or both (constant), in maps and embeddings."""

    kind: str

    @property
    def name(self) -> str:
        return self.kind

    def encode_images(self, images: list[Image.Image]) -> Tensor:
        gray = [np.asarray(image.convert("L").resize((9, 9)), np.float32) / 255 for image in images]
        return torch.from_numpy(np.stack(gray))

    def encode_audio(self, sounds: list[Audio]) -> Tensor:
        spectra = [np.abs(np.fft.rfft(sound.waveform[:2000].numpy(), 2000))[1:800] for sound in sounds]
        return torch.from_numpy(np.stack([s.reshape(17, 47).sum(axis=1) for s in spectra]).astype(np.float32))

    def maps(self, images: Tensor, sounds: Tensor) -> Tensor:
        return self.saliency(images)

    def saliency(self, images: Tensor) -> Tensor:
        if self.kind == "deaf":
            return images
        alike = centered_box(224, 224) if self.kind == "blind" else torch.full((9, 9), 0.3)
        return alike.expand(len(images), -1, -1)

    def source_maps(self, images: Tensor, sounds: Tensor) -> tuple[Tensor, Tensor]:
        return self.saliency(images)[:, None].expand(-1, 2, -1, -1), torch.ones(len(images), 2, dtype=torch.bool)

    def embed_images(self, images: list[Image.Image]) -> Tensor:
        return unit(
            self.encode_images(images).flatten(1)[:, :17] if self.kind == "deaf" else torch.ones(len(images), 17)
        )

    def embed_audio(self, sounds: list[Audio]) -> Tensor:
        return unit(self.encode_audio(sounds) if self.kind == "blind" else torch.ones(len(sounds), 17))


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AudioVisualDataset:
    return open_layout(request.param, tmp_path_factory.mktemp("layout"))


@pytest.fixture(scope="module")
def reports(layout: AudioVisualDataset) -> dict[str, Report]:
    """The report of each model, in batches of five, the last of which is smaller."""
    return {kind: evaluate(Ignorant(kind), layout, threshold=THRESHOLD, batch_size=5, bootstraps=20) for kind in MODELS}


def scores(report: Report, name: str) -> dict[str, float]:
    return {key: of.value for row in report.rows if row.name == name for key, of in row.metrics.items()}


def family(key: str) -> str:
    return max((metric for metric in METRICS.values() if key.startswith(metric.key)), key=lambda m: len(m.key)).family


def column(report: Report, name: str, scored: bool = True) -> np.ndarray:
    """Numbers of the samples that are scored."""
    rows = [sample for sample in report.samples if not scored or not np.isnan(sample["iou"])]
    return np.array([sample[name] for sample in rows])


@pytest.mark.parametrize("kind", MODELS)
def test_where_and_listening(reports: dict[str, Report], kind: str) -> None:
    """Silence and noise give the very same numbers, saliency too; and the report says that nothing is heard."""
    report = reports[kind]
    own = scores(report, kind)
    for name in ("muted", "noise", "object saliency"):
        row = scores(report, name)
        assert {*row} >= {key for key in own if family(key) in ("Where", "Listening", "Segments")} - {"cap", "piap"}
        assert {key: own[key] for key in row} == row
    if kind == "blind":
        box = scores(report, "centered box")
        assert {key: own[key] for key in box} == box
    assert report.sound_sensitivity is not None
    assert not report.sound_sensitivity.is_sensitive
    for condition in report.sound_sensitivity.conditions[1:]:
        assert condition.score.value == report.sound_sensitivity.conditions[0].score.value
        assert condition.overlap.value == 1


def test_a_constant_map_is_a_share_of_all_pixels(reports: dict[str, Report]) -> None:
    report = reports["constant"]
    own, area = scores(report, "constant"), column(report, "area")
    np.testing.assert_allclose(column(report, "iou"), area / (1 + area), rtol=1e-9)
    np.testing.assert_allclose(column(report, "iou_adaptive"), area / (2 - area), rtol=1e-9)
    assert own["ciou"] == own["ciou_adaptive"] == 0
    assert own["mean_iou"] == pytest.approx((area / (1 + area)).mean())
    if "fscore" in own:
        assert own["fscore"] == pytest.approx((1.3 * area * 0.5 / (0.3 * area + 0.5)).mean())
        assert own["fscore_adaptive"] == pytest.approx(area.mean())
    for key in {"iiou", "iiou_adaptive"} & {*own}:
        assert own[key] == 0
    for key in {"cap", "piap"} & {*own}:  # every image has as many sources
        assert own[key] == pytest.approx(area.mean())
    assert column(report, "confidence", scored=False) == pytest.approx(0.3, rel=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_mixtures(reports: dict[str, Report], kind: str) -> None:
    """Two equal maps find no more than those of the rows that ignore the sound, which are as many."""
    own = {key: value for key, value in scores(reports[kind], kind).items() if family(key) == "Mixtures"}
    if kind == "constant" and own:
        area = column(reports[kind], "area").mean()
        assert own["ciou_mixture_adaptive"] == 0
        assert own["piap_mixture"] == pytest.approx(2 * area, rel=0.01)  # all pixels: the share of both sources
    for name in ("object saliency", *(["centered box"] if kind == "blind" else [])):
        row = scores(reports[kind], name)
        assert own == {key: row[key] for key in own}
    assert bool(own) == any(len(members) > 1 for members in groups(reports[kind]).values())


def groups(report: Report) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for sample in report.samples:
        members.setdefault(sample.group, []).append(sample.id)
    return members


@pytest.mark.parametrize("kind", MODELS)
def test_presence(reports: dict[str, Report], kind: str) -> None:
    report = reports[kind]
    own = scores(report, kind)
    present = torch.tensor([sample.present for sample in report.samples])
    assert ("presence_auroc" in own) == (not bool(present.all()))
    if "presence_auroc" not in own:
        return
    confidence = torch.tensor([sample["confidence"] for sample in report.samples], dtype=torch.float64)
    n, sources = len(present), int(present.sum())
    for suffix in ("", "_adaptive"):
        iou = torch.tensor([sample[f"iou{suffix}"] for sample in report.samples], dtype=torch.float64)
        located = int((iou[present] >= 0.5).sum())
        assert own[f"loc_acc{suffix}"] == pytest.approx(located / sources)
        if kind != "deaf":  # all maps are alike: the detector fires on all or on none
            assert own["presence_auroc"] == 0.5
            assert own[f"ap{suffix}"] == pytest.approx(located / sources * located / n)
            assert own[f"max_f1{suffix}"] == pytest.approx(2 * located / (n + sources))
            continue
        draws = [torch.randperm(n, generator=torch.Generator().manual_seed(seed)) for seed in range(300)]
        for key, function in (("ap", F.average_precision), ("max_f1", F.max_f1)):
            random = torch.stack([function(confidence[order], iou, present) for order in draws])
            assert abs(own[key + suffix] - random.mean()) <= 3 * random.std() + 1e-12
        assert abs(own["presence_auroc"] - 0.5) <= 3 * ((n + 1) / (12 * sources * (n - sources))) ** 0.5


@pytest.mark.parametrize("kind", MODELS)
def test_negatives(reports: dict[str, Report], kind: str) -> None:
    """As much is predicted under silence, noise and another's sound as with the own one."""
    report = reports[kind]
    own = scores(report, kind)
    kinds = [name for name in ("silence", "noise", "offscreen") if f"pia_{name}" in own]
    assert len(kinds) >= 2
    assert len({own[f"pia_{name}"] for name in kinds}) == len({own[f"aucn_{name}"] for name in kinds}) == 1
    pia = own[f"pia_{kinds[0]}"]
    if kind == "constant":
        assert pia == 1
        assert own["aucn_silence"] == pytest.approx(0.025)
        assert own.get("f_loc", 0) == 0
        assert own["mean_iou_universal"] == pytest.approx(column(report, "area").mean())
    if "f_loc" in own:
        wanted = F.harmonic_mean(*torch.tensor([own["mean_iou_universal"], 1 - pia])).item()
        assert own["f_loc"] == pytest.approx(wanted, abs=1e-6)
        wanted = F.harmonic_mean(*torch.tensor([own["auc_universal"], own["aucn_silence"]])).item()
        assert own["f_auc"] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_retrieval_and_embedding(reports: dict[str, Report], kind: str) -> None:
    own, chance = (scores(reports[kind], name) for name in (kind, "chance"))
    of_distributions = {"separability", "modality_gap", "centroid_distance"}  # no chance by the layout alone
    assert {*chance} == {key for key in own if family(key) in ("Retrieval", "Embedding")} - of_distributions
    assert len(chance) >= 4
    exact = {
        "deaf": lambda key: key.startswith(("recall_i2a", "recall_a2i@")),
        "blind": lambda key: key.startswith("recall_a2i"),
        "constant": lambda key: True,
    }[kind]
    for key, value in chance.items():
        if exact(key) or family(key) == "Embedding":
            assert own[key] == pytest.approx(value, abs=1e-6), key


def test_chance_is_of_the_very_layout(tmp_path: Path) -> None:
    """Ten frames of two recordings, each an item; by recording five of them answer."""
    write_s4(tmp_path / "s4", recordings=2)
    data = open_dataset("avsbench_s4", tmp_path / "s4", ground_truth="masks")
    report = evaluate(Ignorant("constant"), data, bootstraps=0)
    for way in ("a2i", "i2a"):
        for name in ("constant", "chance"):
            of = scores(report, name)
            got = [of[f"recall_{way}{by}@{k}"] for by in ("", "_recording") for k in (1, 5)]
            assert got == pytest.approx([0.1, 0.5, 0.5, 1 - 1 / 252])
            assert f"recall_{way}@10" not in of


def test_frames_of_one_recording_are_not_off_screen_for_each_other(tmp_path: Path) -> None:
    """Without categories too, where every sound of another picture used to be taken for foreign."""
    write_s4(tmp_path / "s4", recordings=3)
    data = open_dataset("avsbench_s4", tmp_path / "s4", ground_truth="masks")
    bare = index_samples(Unnamed(data, tuple(range(15))), 0)
    assert bare.audio_index.tolist() == [i // 5 for i in range(15)]
    assert all(other >= 0 and other // 5 != i // 5 for i, other in enumerate(bare.offscreen_index))
    order = tuple(reversed(range(15)))
    turned = index_samples(Unnamed(data, order), 0)
    assert [14 - other for other in reversed(turned.offscreen_index)] == bare.offscreen_index
    assert turned.noise_index[::-1] == bare.noise_index


def test_the_rounding_of_a_batch_ranks_no_confidence() -> None:
    alike = torch.full((40,), 0.3, dtype=torch.float64)
    noisy = alike + 1e-9 * torch.arange(40)
    present, groups = torch.arange(40) < 20, torch.arange(40)
    maps = [PresenceSamples(values, present, groups) for values in (alike, noisy)]
    assert [presence_auroc(samples).value for samples in maps] == [0.5, 0.5]
    detections = [Detections(values, torch.ones(40), present, groups, False) for values in (alike, noisy)]
    assert [ap(samples).value for samples in detections] == [0.5, 0.5]
    published = [ap(samples._replace(published=True)).value for samples in detections]
    assert published[0] != published[1]  # as released: to the bit


@pytest.mark.parametrize("value", [0.1, 0.3, 1 / 3, -0.7, 3.3])
def test_a_constant_map_stays_constant(value: float) -> None:
    """Interpolation rounds some of its pixels otherwise; a map beside it in the batch is left as it is."""
    for side in (7, 9, 14, 16, 28):
        maps = torch.stack([torch.full((side, side), value), torch.eye(side)])
        got = get_protocol("corrected").upsample(maps)
        assert (got[0] == torch.tensor(value)).all()
        assert torch.equal(got[1], get_protocol("corrected").upsampling.upsample(maps, 224, 224)[1])


def test_in_the_mean_over_models() -> None:
    """Pictures in one order for all sounds: whose category comes first is luck, and the mean of it is chance."""
    labels = torch.arange(24) % 5
    relevant = labels[:, None] == labels
    for k in (1, 5, 10):
        got = [
            F.expected_recall(F.embedding_ranks(torch.ones(24, 8), torch.randn(24, 8, generator=draw), relevant), k)
            for draw in (torch.Generator().manual_seed(seed) for seed in range(400))
        ]
        mean = torch.stack(got).mean(dim=0)
        torch.testing.assert_close(mean, F.chance_recall(relevant.sum(dim=1), 24, k), atol=0.09, rtol=0)


@dataclass(frozen=True)
class Reordered(AudioVisualDataset):
    """The samples of another data set in another order."""

    data: AudioVisualDataset
    order: tuple[int, ...]
    name: str = "reordered"

    def __len__(self) -> int:
        return len(self.order)

    def id(self, index: int) -> str:
        return self.data.id(self.order[index])

    def group(self, index: int) -> str:
        return self.data.group(self.order[index])

    def audio_id(self, index: int) -> str:
        return self.data.category(self.order[index])  # one recording of each colour

    def category(self, index: int) -> str:
        return self.data.category(self.order[index])

    def read_image(self, index: int) -> Image.Image:
        return self.data.read_image(self.order[index])

    def read_audio(self, index: int) -> Audio:
        return self.data.read_audio(self.order[index])

    def ground_truth(self, index: int) -> GroundTruth:
        return self.data.ground_truth(self.order[index])


class Unnamed(Reordered):
    """The same without categories."""

    def audio_id(self, index: int) -> str:
        return self.data.audio_id(self.order[index])

    def category(self, index: int) -> str:
        return ""


class Guesser(Ignorant):
    """Maps and embeddings of few different values, so that nearly everything ties; they follow picture and sound."""

    def maps(self, images: Tensor, sounds: Tensor) -> Tensor:
        loudness = (sounds.sum(dim=1) / 100).round().clamp(0, 2)
        return (images * 3).round() * loudness[:, None, None] / 3

    def embed_images(self, images: list[Image.Image]) -> Tensor:
        return torch.nn.functional.normalize(
            (self.encode_images(images)[:, ::4, ::4].flatten(1) * 2).round() + 1, dim=1
        )

    def embed_audio(self, sounds: list[Audio]) -> Tensor:
        codes = (self.encode_audio(sounds)[:, :9] / 40).round().clamp(0, 2)
        return torch.nn.functional.normalize(codes + 1, dim=1)


def by_row(report: Report) -> dict[tuple[str, str, str], float]:
    rows: dict[str, Any] = {"": report.rows} | {of.protocol["name"]: of.rows for of in report.other_protocols}
    return {(name, r.name, key): of.value for name, rs in rows.items() for r in rs for key, of in r.metrics.items()}


@cache
def guess(order: tuple[int, ...], batch_size: int) -> Report:
    data = Reordered(Squares(silence=True), order)
    return evaluate(Guesser("guesser"), data, protocol="all", threshold=THRESHOLD, batch_size=batch_size, bootstraps=0)


@settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.permutations(range(18)), st.integers(1, 7))
def test_the_order_of_samples_changes_no_score(order: list[int], batch_size: int) -> None:
    """Each score of each row and sample, under every protocol; what is drawn for a sample goes with its id."""
    reports = guess(tuple(range(18)), 18), guess(tuple(order), batch_size)
    first, second = map(by_row, reports)
    assert len(first) > 300
    assert second == pytest.approx(first, rel=1e-9, abs=1e-12)
    samples = [{sample.id: sample.values for sample in report.samples} for report in reports]
    for id, values in samples[0].items():
        assert samples[1][id] == pytest.approx(values, rel=1e-6, abs=1e-9, nan_ok=True)
    verdicts = [report.sound_sensitivity.verdict for report in reports if report.sound_sensitivity]
    assert verdicts == [verdicts[0]] * 2


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 30))
def test_the_order_of_samples_changes_no_function(seed: int, n: int) -> None:
    """Detection and pixel AP on numbers that tie often; equal confidences are one threshold, AUROC counts halves."""
    draw = torch.Generator().manual_seed(seed)
    confidence = torch.randint(0, 4, (n,), generator=draw).double() / 4
    iou, present = torch.rand(n, generator=draw).double(), torch.rand(n, generator=draw) < 0.7
    order = torch.randperm(n, generator=draw)
    for function in (F.average_precision, F.max_f1, F.f1_at):
        for published in (True, False):
            got, again = (
                function(confidence[at], iou[at], present[at], published=published) for at in (slice(None), order)
            )
            torch.testing.assert_close(got, again, equal_nan=True)
    constant, located = torch.full((n,), 0.3).double(), torch.ones(n).double()
    if bool(present.any()):
        prevalence = present.double().mean()
        torch.testing.assert_close(F.average_precision(constant, located, present), prevalence)
        torch.testing.assert_close(F.max_f1(constant, located, present), 2 * prevalence / (1 + prevalence))
        torch.testing.assert_close(F.pixel_ap(constant[None], present[None])[0], prevalence)
        torch.testing.assert_close(
            F.pixel_ap(confidence[None], present[None]), F.pixel_ap(confidence[order][None], present[order][None])
        )

"""Teach a model things of your own from a few images and recordings of each, without forgetting those that it knows.

Encoders stay as they are, so everything is encoded once; the two linear maps into the joint space learn, and the last
ones into that of retrieval where it is another, held by `soundspot.training.retention`.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soundspot.config.checkpoint import load_checkpoint, save_checkpoint
from soundspot.config.named_models import DEFAULT_MODEL
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.category_folders import FolderSummary, list_categories, write_category_catalog
from soundspot.errors import CheckpointError
from soundspot.evaluation.functional import fit_presence, universal_threshold
from soundspot.inference.localizer import Localizer
from soundspot.losses.contrastive import reduce_maps, unit_norm
from soundspot.methods.ezvsl_base import EZVSLBase
from soundspot.training.adapt_report import AdaptReport, CategoryResult
from soundspot.training.projection_inputs import ProjectionInputs, read_inputs
from soundspot.training.retention import (
    Retention,
    SpaceStatistics,
    extend_retention,
    fits_method,
    measure_retention,
    output_change,
    read_retention,
    stack_weights,
)
from soundspot.utils.atomic_io import check_output

NUM_VIEWS = 4  # of each image: one as it is, the others augmented
NUM_WINDOWS = 3  # of each recording that is longer than one by half a second
STEPS = 300
LEARNING_RATE = 1e-3
RETENTION_WEIGHT = 30.0  # of the relative change of old outputs, against InfoNCE


def adapt(
    folder: str | Path,
    output: str | Path,
    model: str | Path | None = None,
    overwrite: bool = False,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> AdaptReport:
    """Teach a model things of your own, in minutes; it goes on knowing those that it knows.

    Args:
        folder: folder with a subfolder for each thing, named by it, of images and recordings or of videos. A quarter of
            the files, at least one of each kind, is held out for the threshold and the report.
        output: path of the checkpoint to write. It can be taught again.
        model: name or path of a model that keeps what it needs for this, as the starter does; None: the starter.
        overwrite: whether an existing file is replaced.
        seed: seed of the augmented views and of their order.
        on_progress: function that is called with the numbers of images and recordings that are encoded, and of all,
            and then with those of training steps.

    Returns:
        What was learned, and what it did to the things known before.

    Raises:
        CheckpointError: the model cannot be taught in this way.
        DataError: a subfolder has too little to learn from.
        OutputError: the output exists and `overwrite` is False, or cannot be written.
    """
    output = Path(output)
    list_categories(folder)  # a wrong folder is named before the output
    check_output(output, overwrite, (".safetensors",))
    localizer, encoders = _load_base(model)
    method, header = load_checkpoint(localizer.checkpoint)
    retention = read_retention(localizer.checkpoint)
    if retention is None or not isinstance(method, EZVSLBase):
        raise _forgetting_error(localizer)
    if not fits_method(retention, method):
        raise CheckpointError(
            f"{localizer.checkpoint}: found statistics of another network, expected those of its own. Copy it again, "
            "or train it anew"
        )
    folder_summary, train, val = _encode_folder(folder, encoders, seed, on_progress)
    names = tuple(folder_summary.counts)
    image_change, audio_change = train_projections(method, retention, names, train, seed, on_progress)
    present, absent = measure_peaks(method, retention, names, val)
    new = measure_retention(method, train, names, torch.cat(present), torch.cat(absent))
    extended = extend_retention(retention, new)
    rule = (header.get("calibration") or {}).get("rule", "q3")
    threshold = float(universal_threshold(extended.absent_peaks, rule))
    if (old_threshold := header.get("threshold")) is not None:  # it was fitted on more, such as sounds after codecs
        threshold += old_threshold - float(universal_threshold(retention.absent_peaks, rule))
    categories = tuple(
        CategoryResult(
            name,
            train[n].images.shape[1],
            len(train[n].audio),
            name in retention.categories,
            float((present[n] >= threshold).float().mean()),
            float((absent[n] < threshold).float().mean()),
        )
        for n, name in enumerate(names)
    )
    report = AdaptReport(
        str(model or DEFAULT_MODEL),
        categories,
        len(retention.categories),
        image_change,
        audio_change,
        old_threshold,
        threshold,
        folder_summary.skipped,
        folder_summary.passed_over,
    )
    kind = localizer.calibration.kind if localizer.calibration else "logistic"
    presence = fit_presence(extended.present_peaks, extended.absent_peaks, kind).as_dict()
    save_checkpoint(
        method,
        output,
        half_precision=True,
        statistics=extended.tensors(),
        **_extend_header(header, report, extended.categories),
        calibration=_extend_calibration(header, report) | {"presence": presence, "rule": rule},
        retained=list(extended.categories),
        threshold=threshold,
        adapted=asdict(report),
    )
    return report


def _load_base(model: str | Path | None) -> tuple[Localizer, EZVSLBase]:
    """Load a model, whose method is folded, so that it encodes in half the time, and cannot be written."""
    localizer = Localizer.load(model)
    if not isinstance(localizer.method, EZVSLBase):
        raise _forgetting_error(localizer)
    return localizer, localizer.method


def _forgetting_error(localizer: Localizer) -> CheckpointError:
    return CheckpointError(
        f"{localizer.checkpoint}: keeps nothing of what it learned from and would forget it, expected the starter, or "
        "a model adapted from it. Leave the model out, or train on all data by a recipe"
    )


def _encode_folder(
    folder: str | Path, encoders: EZVSLBase, seed: int, on_progress: Callable[[int, int], None]
) -> tuple[FolderSummary, tuple[ProjectionInputs, ...], tuple[ProjectionInputs, ...]]:
    """Return what a folder holds, and the inputs of the projections for each category, to train on and held out."""
    with tempfile.TemporaryDirectory() as scratch:
        folder_summary = write_category_catalog(folder, Path(scratch) / "catalog")
        names = tuple(folder_summary.counts)
        catalogs = [(Catalog(Path(scratch) / "catalog", split), n) for split, n in (("train", NUM_VIEWS), ("val", 1))]
        total = sum(n * len(catalog.images) + sum(len(catalog.audio_of(x)) for x in names) for catalog, n in catalogs)
        num_encoded = 0

        def on_encoded(count: int) -> None:
            nonlocal num_encoded
            num_encoded += count
            on_progress(num_encoded, total)

        train, val = (
            read_inputs(encoders, catalog, names, n, NUM_WINDOWS, seed, on_encoded) for catalog, n in catalogs
        )
    return folder_summary, train, val


def _extend_header(header: dict[str, Any], report: AdaptReport, categories: Sequence[str]) -> dict[str, Any]:
    """Return what an adapted checkpoint takes over from its base, with a card that names what it was taught."""
    copied: dict[str, Any] = {key: header[key] for key in ("recipe", "step", "video_size") if key in header}
    license = {key: value for key, value in (header.get("card") or {}).items() if key == "license"}
    summary = f"{report.base}, taught {', '.join(row.category for row in report.categories)}"
    return {**copied, "card": {**license, "summary": summary, "categories": list(categories)}}


def _extend_calibration(header: dict[str, Any], report: AdaptReport) -> dict[str, Any]:
    """Return the calibration of an adapted checkpoint, without the probability and the rule."""
    calibration, names = header.get("calibration") or {}, ", ".join(row.category for row in report.categories)
    return {
        **{key: calibration[key] for key in ("codec_spread", "refinement") if key in calibration},
        "threshold": report.threshold,
        "dataset": f"what {report.base} was fitted on, and held-out files of {names}",
    }


def train_projections(
    method: EZVSLBase,
    retention: Retention,
    names: Sequence[str],
    inputs: Sequence[ProjectionInputs],
    seed: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, float]:
    """Train the projections of a method on new categories, in place.

    InfoNCE in both directions over the new images and sounds, with those of one category as positives and the
    prototypes of old ones as further negatives; the change of old outputs is penalized.

    Args:
        method: method that has learned the old categories.
        retention: statistics of what it learned from.
        names: names of the k new categories.
        inputs: inputs of the projections for each of them.
        seed: seed of the order of the views.
        on_progress: function that is called with the numbers of steps that are done, and of all.

    Returns:
        Root mean square change of the old outputs, as a fraction of theirs, of images and of audio.
    """
    image_labels, audio_labels = (
        torch.cat([torch.full((count(x),), n) for n, x in enumerate(inputs)])
        for count in (lambda x: x.images.shape[1], lambda x: len(x.audio))
    )
    matches = image_labels[:, None] == audio_labels
    is_same = torch.tensor([[old == name for old in retention.categories] for name in names])
    spaces = _list_spaces(method, retention, inputs)
    generator, rows = torch.Generator().manual_seed(seed), torch.arange(len(image_labels))
    optimizer = torch.optim.Adam([x for space in spaces for x in space.parameters()], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        views = torch.randint(len(inputs[0].images), rows.shape, generator=generator)
        loss = torch.zeros(())
        for space in spaces:
            features, embeddings = space.project_images(space.images[views, rows]), space.project_audio(space.audio)
            own = space.similarity(features, embeddings)
            from_images = space.similarity(features, space.statistics.audio_prototypes)
            from_audio = embeddings @ space.statistics.image_prototypes.T
            loss = loss + _nce(own, from_images.masked_fill(is_same[image_labels], -1), matches, method.tau)
            loss = loss + _nce(own.T, from_audio.masked_fill(is_same[audio_labels], -1), matches.T, method.tau)
            loss = loss + RETENTION_WEIGHT * torch.stack(space.output_changes()).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        on_progress(step + 1, STEPS)
    with torch.no_grad():
        image_change, audio_change = spaces[0].output_changes()
    return float(image_change.sqrt()), float(audio_change.sqrt())


@dataclass(eq=False)
class _Space:
    """A space that images and audio are projected to by linear layers that learn, and what holds them.

    Attributes:
        statistics: statistics of what was learned before.
        layers: the linear layers of images and of audio.
        images: (v, n, ...) inputs of the layer of images in v views.
        audio: (m, e) inputs of the layer of audio.
        project_images, project_audio: from inputs to the space, of unit norm.
        similarity: similarity (n, m) of projected images and audio.
        before: weights of the layers before they learn.
    """

    statistics: SpaceStatistics
    layers: tuple[nn.Linear | nn.Conv2d, nn.Linear]
    images: Tensor
    audio: Tensor
    project_images: Callable[[Tensor], Tensor]
    project_audio: Callable[[Tensor], Tensor]
    similarity: Callable[[Tensor, Tensor], Tensor]
    before: tuple[Tensor, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        image, audio = self.layers
        self.before = stack_weights(image).detach(), stack_weights(audio).detach()

    def parameters(self) -> list[nn.Parameter]:
        """Return the weights that learn."""
        return [x for layer in self.layers for x in layer.parameters()]

    def output_changes(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Return the relative mean square change of the old outputs, of images and of audio."""
        return (
            output_change(self.layers[0], self.before[0], self.statistics.image_moments),
            output_change(self.layers[1], self.before[1], self.statistics.audio_moments),
        )


def _list_spaces(method: EZVSLBase, retention: Retention, inputs: Sequence[ProjectionInputs]) -> list[_Space]:
    """List the space of maps, and that of retrieval where it is another one."""
    space = method.space
    spaces = [
        _Space(
            retention.maps,
            (space.image, space.audio),
            torch.cat([x.images for x in inputs], dim=1),
            torch.cat([x.audio for x in inputs]),
            method.project_images,
            method.project_audio,
            partial(_similarity, method),
        )
    ]
    if retention.retrieval and method.retrieval_layers:
        image, audio = method.retrieval_layers
        spaces.append(
            _Space(
                retention.retrieval,
                (image, audio),
                torch.cat([x.hidden_images for x in inputs if x.hidden_images is not None], dim=1),
                torch.cat([x.hidden_audio for x in inputs if x.hidden_audio is not None]),
                lambda x: unit_norm(image(x)),
                lambda x: unit_norm(audio(x)),
                lambda x, y: x @ y.T,
            )
        )
    return spaces


def measure_peaks(
    method: EZVSLBase, retention: Retention, names: Sequence[str], inputs: Sequence[ProjectionInputs]
) -> tuple[list[Float[Tensor, " n"]], list[Float[Tensor, " m"]]]:
    """Measure the peaks of the maps of held-out images with sounds of their own category, and with others.

    Args:
        method: method that has learned the new categories.
        retention: statistics of the old ones.
        names: names of the new categories.
        inputs: inputs of the projections for each of them, unaugmented.

    Returns:
        For each category the peaks with its own sounds; and with those of the other new categories and the prototypes
        of old ones of other names.
    """
    with torch.inference_mode():
        embeddings = [method.project_audio(x.audio) for x in inputs]
        present: list[Tensor] = []
        absent: list[Tensor] = []
        for n, (name, x) in enumerate(zip(names, inputs, strict=True)):
            features = method.project_images(x.images[0])
            is_other = torch.tensor([old != name for old in retention.categories])
            others = [*embeddings[:n], *embeddings[n + 1 :], retention.maps.audio_prototypes[is_other]]
            for peaks, audio in ((present, embeddings[n]), (absent, torch.cat(others))):
                peaks.append(torch.einsum("nchw,mc->nmhw", features, audio).amax(dim=(-2, -1)).flatten())
    return present, absent


def _similarity(
    method: EZVSLBase, features: Float[Tensor, "n c h w"], embeddings: Float[Tensor, "m c"]
) -> Float[Tensor, "n m"]:
    """Reduce the map of each image with each audio, as the method does in training."""
    return reduce_maps(torch.einsum("nchw,mc->nmhw", features, embeddings).flatten(2), method.reducer, method.sharpness)


def _nce(
    own: Float[Tensor, "n m"], others: Float[Tensor, "n k"], matches: Bool[Tensor, "n m"], tau: float
) -> Float[Tensor, ""]:
    """Return InfoNCE with several positives in a row: the mean over them, each against the same negatives."""
    negatives = torch.cat([own.masked_fill(matches, -1e4), others], dim=1) / tau
    losses = F.softplus(negatives.logsumexp(dim=1, keepdim=True) - own / tau)
    return (losses * matches / matches.sum(dim=1, keepdim=True)).sum(dim=1).mean()

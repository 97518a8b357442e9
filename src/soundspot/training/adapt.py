"""Teach a model things of your own from a few images and recordings of each, without forgetting those that it knows.

Encoders stay as they are, so everything is encoded once; the two linear maps into the joint space learn, held by
`soundspot.training.retention`.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.config.checkpoint import read_header, read_retention, save_checkpoint
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.category_folders import FolderSummary, write_category_catalog
from soundspot.data.media.audio import crop_or_tile, resample
from soundspot.data.media.image import fast_squash, normalize
from soundspot.data.transforms.augment import NUM_DRAWS, Augmentation, iter_augmented
from soundspot.data.transforms.spectrogram import spectrogram
from soundspot.errors import CheckpointError
from soundspot.evaluation.functional import universal_threshold
from soundspot.inference.localizer import Localizer
from soundspot.losses.contrastive import info_nce, map_similarity, unit_norm
from soundspot.methods.ezvsl_base import EZVSLBase
from soundspot.models.heads import max_pool
from soundspot.training.retention import Retention, extend_retention, output_change, stack_weights
from soundspot.utils.atomic_io import check_output
from soundspot.utils.hash_rng import Key, uniform

NUM_VIEWS = 4  # of each image: one as it is, the others augmented
NUM_WINDOWS = 3  # of each recording
STEPS = 300
LEARNING_RATE = 1e-3
RETENTION_WEIGHT = 30.0  # of the relative change of old outputs, against InfoNCE
AUGMENTATION = Augmentation(scale=(0.5, 1.0), color=0.3, gray_p=0.1, blur_p=0.1)


@dataclass(frozen=True)
class CategoryScores:
    """Scores of one new category on its held-out files.

    Attributes:
        category: name of the category.
        images, audio: numbers of images and recordings that were learned from.
        is_known: whether the model knew a category of this name before.
        present: share of held-out pairs of it that are told present at the new threshold.
        absent: share of pairs of its held-out images with other sounds that are told absent: those of the other new
            categories, and the mean of each old one.
    """

    category: str
    images: int
    audio: int
    is_known: bool
    present: float
    absent: float


@dataclass(frozen=True)
class AdaptReport:
    """Result of teaching a model new categories.

    Attributes:
        base: name or path of the model that was taught.
        summary: what became of the files.
        scores: one entry for each new category.
        old_categories: number of categories that the model knew.
        image_change, audio_change: mean squared change of the outputs over the data that the model learned from before,
            as a fraction of their mean square: 0 is as before.
        old_threshold, threshold: peak from which a source counts as present, before and after; None: never fitted.
    """

    base: str
    summary: FolderSummary
    scores: tuple[CategoryScores, ...]
    old_categories: int
    image_change: float
    audio_change: float
    old_threshold: float | None
    threshold: float

    def format_summary(self) -> str:
        """Format the report for the terminal.

        Returns:
            A line for each new category, one for the old ones, and one for each file that was left out.
        """
        lines = []
        for row in self.scores:
            known = " (known before; your files are added)" if row.is_known else ""
            lines.append(
                f"{row.category}{known}: learned from {row.images} images and {row.audio} recordings; of those held out "
                f"{100 * row.present:.0f} % of its sounds are told present, {100 * row.absent:.0f} % of others absent"
            )
        lines.append(
            f"{self.old_categories} things known before: outputs change by {100 * self.image_change**0.5:.1f} % (images) "
            f"and {100 * self.audio_change**0.5:.1f} % (audio)"
        )
        before = "" if self.old_threshold is None else f" (before: {self.old_threshold:.3f})"
        lines.append(f"present from a peak of {self.threshold:.3f} on{before}")
        lines += [f"left out: {message}" for message in self.summary.skipped]
        return "\n".join([*lines, *([self.summary.passed_over] if self.summary.passed_over else [])])


@dataclass(frozen=True, eq=False)
class ProjectionInputs:
    """Inputs of the projections of one split: what frozen encoders make of its images and recordings.

    Attributes:
        images: (v, n, c, h, w) features of n images in v views, the first unaugmented.
        image_labels: for each image, the index of its category.
        audio: (m, e) features of m windows of recordings.
        audio_labels: for each window, the index of its category.
    """

    images: Float[Tensor, "v n c h w"]
    image_labels: Int[Tensor, " n"]
    audio: Float[Tensor, "m e"]
    audio_labels: Int[Tensor, " m"]


def adapt(
    folder: str | Path, output: str | Path, model: str | Path | None = None, overwrite: bool = False, seed: int = 0
) -> AdaptReport:
    """Teach a model things of your own.

    Args:
        folder: folder with a subfolder for each thing, named by it, with images and recordings or videos of it.
        output: path of the checkpoint to write.
        model: name or path of a model that keeps what it needs for this, as the starter does; None: the starter.
        overwrite: whether an existing file is replaced.
        seed: seed of the views and of their order.

    Returns:
        What was learned and what it did to the things known before. The checkpoint keeps what it needs to be taught
        again.

    Raises:
        CheckpointError: the model cannot be taught in this way.
        DataError: a subfolder has too little to learn from.
        OutputError: the output exists and `overwrite` is False, or cannot be written.
    """
    output = Path(output)
    check_output(output, overwrite, (".safetensors",))
    localizer = Localizer.load(model)
    method, retention = localizer.method, read_retention(localizer.checkpoint)
    if retention is None or not isinstance(method, EZVSLBase):
        raise CheckpointError(
            f"{localizer.checkpoint}: keeps nothing of what it learned from, so that it would forget it; expected the "
            "starter, or a model adapted from it. Leave --model out, or train on all data by a recipe"
        )
    with tempfile.TemporaryDirectory() as scratch:
        summary = write_category_catalog(folder, Path(scratch) / "catalog")
        names = tuple(summary.counts)
        train, val = (read_inputs(method, Catalog(Path(scratch) / "catalog", s), names, seed) for s in ("train", "val"))
    image_change, audio_change = fit(method, retention, names, train, seed)
    header = read_header(localizer.checkpoint)
    peaks = measure_peaks(method, retention, names, val)
    threshold = choose_threshold(retention, peaks)
    scores = tuple(
        CategoryScores(
            name,
            int((train.image_labels == n).sum()),
            int((train.audio_labels == n).sum()),
            name in retention.categories,
            share(peaks.own[n] >= threshold),
            share(peaks.other[n] < threshold),
        )
        for n, name in enumerate(names)
    )
    base = str(model or "starter")
    report = AdaptReport(
        base, summary, scores, len(retention.categories), image_change, audio_change, header.get("threshold"), threshold
    )
    ...


def read_inputs(method: EZVSLBase, catalog: Catalog, names: Sequence[str], seed: int) -> ProjectionInputs:
    """Encode the images and recordings of a catalog by the encoders of a method.

    Args:
        method: method whose encoders stay as they are.
        catalog: catalog of one split.
        names: all categories; labels count in this order.
        seed: seed of the augmented views.

    Returns:
        The inputs of the method's projections.
    """
    spec, audio_spec = method.front_end.image, method.front_end.audio
    side = round(spec.size * 1.125)
    squashed = [torch.from_numpy(fast_squash(catalog.read_image(i), side)) for i in range(len(catalog))]
    images = torch.stack(squashed).permute(0, 3, 1, 2).contiguous()
    views = []
    with torch.inference_mode():
        for view in range(NUM_VIEWS if catalog.split == "train" else 1):
            draws = torch.from_numpy(uniform((seed, Key.AUGMENTATION, view), list(range(len(images))), NUM_DRAWS))
            augmentation = AUGMENTATION if view else None
            chunks = [
                method.image_encoder(normalize(planes, spec))
                for _, planes in iter_augmented(images, spec.size, augmentation, draws)
            ]
            views.append(torch.cat(chunks))
        windows, labels = [], []
        for entry in catalog.audio:
            audio = resample(catalog.read_recording(entry), audio_spec.rate)
            slack = max(0.0, audio.seconds - audio_spec.seconds)
            starts = [slack * n / (NUM_WINDOWS - 1) for n in range(NUM_WINDOWS if slack > 0.5 else 1)]
            waveforms = torch.stack([crop_or_tile(audio, audio_spec.seconds, start) for start in starts])
            windows.append(max_pool(method.audio_encoder(spectrogram(waveforms, audio_spec, audio.rate))))
            labels += [names.index(entry.category)] * len(starts)
    image_labels = torch.tensor([names.index(image.category) for image in catalog.images])
    return ProjectionInputs(torch.stack(views), image_labels, torch.cat(windows), torch.tensor(labels))


def fit(
    method: EZVSLBase, retention: Retention, names: Sequence[str], inputs: ProjectionInputs, seed: int
) -> tuple[float, float]:
    """Train the projections of a method on new categories, in place.

    InfoNCE in both directions over the new images and recordings, with those of one category as positives and the
    prototypes of old ones as further negatives, and the change of old outputs as a penalty.

    Args:
        method: method that has learned the old categories.
        retention: statistics of what it learned from.
        names: names of the new categories.
        inputs: inputs of the projections.
        seed: seed of the order of views and windows.

    Returns:
        Relative mean squared change of the old outputs, of images and of audio.
    """
    image, audio = method.space.image, method.space.audio
    before = [stack_weights(layer).detach().clone() for layer in (image, audio)]
    moments = (retention.image_moments, retention.audio_moments)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(method.space.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    rows = torch.arange(len(inputs.image_labels))
    matches = inputs.image_labels[:, None] == inputs.audio_labels
    is_other = ~torch.tensor([[old == name for old in retention.categories] for name in names])  # (new, old)
    for _ in range(STEPS):
        views = torch.randint(len(inputs.images), rows.shape, generator=generator)
        features = unit_norm(image(inputs.images[views, rows]), dim=1)
        embeddings = unit_norm(audio(inputs.audio))
        to_old = similarity(features, retention.audio_prototypes, method).masked_fill(~is_other[inputs.image_labels], -1)
        from_old = (embeddings @ retention.image_prototypes.T).masked_fill(~is_other[inputs.audio_labels], -1)
        own = similarity(features, embeddings, method)
        loss = positive_nce(own, to_old, matches, method.tau) + positive_nce(own.T, from_old, matches.T, method.tau)
        changes = [output_change(*each) for each in zip((image, audio), before, moments, strict=True)]
        optimizer.zero_grad()
        (loss + RETENTION_WEIGHT * (changes[0] + changes[1])).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        image_change, audio_change = (
            float(output_change(*each)) for each in zip((image, audio), before, moments, strict=True)
        )
    return image_change, audio_change


def similarity(
    features: Float[Tensor, "n c h w"], embeddings: Float[Tensor, "m c"], method: EZVSLBase
) -> Float[Tensor, "n m"]:
    """Reduce the map of each image with each audio to a number, as the method does in training."""
    maps = torch.einsum("nchw,mc->nmhw", features, embeddings).flatten(2)
    return reduce_maps(maps, method.reducer, method.sharpness)


def positive_nce(
    own: Float[Tensor, "n m"], others: Float[Tensor, "n k"], matches: Bool[Tensor, "n m"], tau: float
) -> Float[Tensor, ""]:
    """Compute InfoNCE with several positives in each row: the mean over them, each against all negatives."""
    negatives = torch.cat([own.masked_fill(matches, -1e4), others], dim=1) / tau
    losses = F.softplus(negatives.logsumexp(dim=1, keepdim=True) - own / tau)
    return (losses * matches / matches.sum(dim=1, keepdim=True)).sum(dim=1).mean()

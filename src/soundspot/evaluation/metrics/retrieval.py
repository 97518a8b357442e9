"""Metrics of embeddings: retrieval both ways, and how near matched pairs are."""

from collections.abc import Callable, Iterator

from torch import Tensor

from soundspot.evaluation import functional as F
from soundspot.evaluation.metrics.bootstrap import GroupedMean, PointEstimate, Scores
from soundspot.evaluation.metrics.inputs import MetricInputs
from soundspot.evaluation.metrics.registry import metric_inputs, register_metric
from soundspot.evaluation.metrics.relevance import RECALL_KS, RetrievalInputs, recall_ks

OF_RECALLS = {
    f"{suffix}@{k}": (f" @{k}{words}", f"{relevant} is among the {k} nearest")
    for suffix, words, relevant in (
        ("", "", "the one that belongs to it"),
        ("_recording", ", by recording", "one of its recording"),
        ("_category", ", by category", "one of its category"),
    )
    for k in RECALL_KS
}


@metric_inputs("retrieval", OF_RECALLS)
def retrieval_ranks(inputs: MetricInputs) -> Iterator[tuple[str, tuple[RetrievalInputs, int]]]:
    """Yield the embeddings once for each relevance.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        Suffix of the metric key ("", "_recording" or "_category"), and the embeddings with the index of that relevance;
        nothing without embeddings.
    """
    if inputs.retrieval:
        for index, suffix in enumerate(inputs.retrieval.relevance):
            yield suffix, (inputs.retrieval, index)


@metric_inputs("embeddings")
def matched_pairs(inputs: MetricInputs) -> Iterator[tuple[str, RetrievalInputs]]:
    """Yield the embeddings where images and audio share a space.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        The empty suffix and the embeddings; nothing where there are none or their sizes differ.
    """
    if inputs.retrieval and inputs.retrieval.paired_images is not None:
        yield "", inputs.retrieval


def _recalls(ranks: F.TiedRanks, num_items: int, groups: Tensor) -> Scores:
    return {f"@{k}": GroupedMean(F.expected_recall(ranks, k), groups) for k in recall_ks(num_items)}


@register_metric("recall_a2i", "Retrieval", "recall audio → image", "images found by audio: {}", "retrieval", {"@1": 8})
def recall_a2i(view: tuple[RetrievalInputs, int]) -> Scores:
    """Compute recall@k of images retrieved by audio, over the whole set, in expectation over equal images.

    Args:
        view: embeddings, and the index of the relevance.

    Returns:
        Suffix "@k" -> share of audio clips with a relevant image among the k nearest, for each k of 1, 5, 10 below the
        number of images.
    """
    inputs, index = view
    return _recalls(inputs.image_ranks[index], len(inputs.images), inputs.audio_groups)


@register_metric("recall_i2a", "Retrieval", "recall image → audio", "audio found by images: {}", "retrieval")
def recall_i2a(view: tuple[RetrievalInputs, int]) -> Scores:
    """Compute recall@k of audio retrieved by images, over the whole set, in expectation over equal audio clips.

    Args:
        view: embeddings, and the index of the relevance.

    Returns:
        Suffix "@k" -> share of images with a relevant audio clip among the k nearest, for each k of 1, 5, 10 below the
        number of audio clips.
    """
    inputs, index = view
    return _recalls(inputs.audio_ranks[index], len(inputs.audio), inputs.image_groups)


@register_metric("alignment", "Embedding", "alignment", "mean cosine of matched pairs", "embeddings", is_fraction=False)
def alignment(inputs: RetrievalInputs) -> GroupedMean:
    """Compute the mean cosine of matched pairs.

    Args:
        inputs: unit-norm embeddings, images and audio of one space.

    Returns:
        The mean over audio clips.
    """
    return GroupedMean(inputs.pair_statistics[0], inputs.audio_groups)


@register_metric(
    *("magnitude", "Embedding", "magnitude", "mean distance of matched pairs", "embeddings"),
    is_fraction=False,
    higher_is_better=False,
)
def magnitude(inputs: RetrievalInputs) -> GroupedMean:
    """Compute the mean Euclidean distance of matched pairs.

    Args:
        inputs: unit-norm embeddings, images and audio of one space.

    Returns:
        The mean over audio clips.
    """
    return GroupedMean(inputs.pair_statistics[1], inputs.audio_groups)


@register_metric(
    *("separability", "Embedding", "separability", "lower quartile of matched cosines minus upper of others"),
    "embeddings",
    is_fraction=False,
)
def separability(inputs: RetrievalInputs) -> PointEstimate | None:
    """Compute separability: the first quartile of matched cosines minus the third of those of all other combinations.

    Args:
        inputs: unit-norm embeddings, images and audio of one space.

    Returns:
        The score over up to 4,096 pairs; None for a single pair.
    """
    return _of_pairs(F.separability, inputs)


@register_metric(
    *("modality_gap", "Embedding", "modality gap", "dissimilarity of matched pairs relative to that within a modality"),
    "embeddings",
    is_fraction=False,
    higher_is_better=False,
)
def modality_gap(inputs: RetrievalInputs) -> PointEstimate | None:
    """Compute the relative modality gap: 0 where pairs coincide, 1/2 where they are as far apart as any two images.

    Args:
        inputs: unit-norm embeddings, images and audio of one space.

    Returns:
        The score over up to 4,096 pairs; None for a single pair.
    """
    return _of_pairs(F.modality_gap, inputs)


@register_metric(
    *("centroid_distance", "Embedding", "centroid distance", "distance of the mean image and the mean audio embedding"),
    "embeddings",
    is_fraction=False,
    higher_is_better=False,
)
def centroid_distance(inputs: RetrievalInputs) -> PointEstimate | None:
    """Compute the Euclidean distance between the mean image embedding and the mean audio embedding.

    Args:
        inputs: unit-norm embeddings, images and audio of one space.

    Returns:
        The score over up to 4,096 pairs; None for a single pair.
    """
    return _of_pairs(F.centroid_distance, inputs)


def _of_pairs(statistic: Callable[[Tensor, Tensor], Tensor], inputs: RetrievalInputs) -> PointEstimate | None:
    images, audio = inputs.pair_sample
    return PointEstimate(float(statistic(images, audio))) if len(images) > 1 else None

"""What a model keeps of the data it learned from, so that it can learn more and forget nothing.

Two linear maps project both modalities into one space. If such a map W of inputs x becomes W + D, its outputs over the
old data change by E|Dx|^2 = tr(D M D') with the second moments M = E[xx'], exactly and without any of the data. As long
as they hardly change, the mean embeddings of old categories (prototypes) remain what they were, and serve as negatives.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.config.checkpoint import read_header, read_statistics
from soundspot.errors import CheckpointError
from soundspot.losses.contrastive import unit_norm
from soundspot.methods.ezvsl_base import EZVSLBase
from soundspot.training.projection_inputs import ProjectionInputs
from soundspot.utils.safe_read import convert_read_errors

RETRIEVAL = "retrieval_"  # before the names of tensors of the space for retrieval


@dataclass(frozen=True, eq=False)
class SpaceStatistics:
    """Statistics of one space, and of the inputs of the two linear maps into it.

    Attributes:
        image_prototypes: (k, d) unit-norm mean over the images of each of k categories of their embedding; in the space
            of maps of their feature at the map's peak.
        audio_prototypes: (k, d) unit-norm mean of the audio embeddings of a category.
        image_moments: (c + 1, c + 1) mean of x x' over images and locations, with x the input of the linear map of
            images and a 1.
        audio_moments: (e + 1, e + 1) likewise for audio.
    """

    image_prototypes: Float[Tensor, "k d"]
    audio_prototypes: Float[Tensor, "k d"]
    image_moments: Float[Tensor, "c1 c1"]
    audio_moments: Float[Tensor, "e1 e1"]


@dataclass(frozen=True, eq=False)
class Retention:
    """Statistics of the data that a model learned from.

    Attributes:
        categories: names of the k categories.
        maps: statistics of the space whose cosines are maps.
        retrieval: statistics of the space of `retrieval_layers`; None where the method has none.
        present_peaks, absent_peaks: peaks of maps on held-out data with a sound whose source is in the image, and with
            others.
    """

    categories: tuple[str, ...]
    maps: SpaceStatistics
    retrieval: SpaceStatistics | None
    present_peaks: Float[Tensor, " n"]
    absent_peaks: Float[Tensor, " m"]

    def tensors(self) -> dict[str, Tensor]:
        """Return the statistics for a checkpoint (`soundspot.config.checkpoint.save_checkpoint`).

        Returns:
            Name -> tensor; prototypes and peaks in half precision, which moves a cosine by 0.0005 at most.
        """
        retrieval = {} if self.retrieval is None else vars(self.retrieval)
        tensors = {
            **vars(self.maps),
            **{RETRIEVAL + name: value for name, value in retrieval.items()},
            "present_peaks": self.present_peaks,
            "absent_peaks": self.absent_peaks,
        }
        return {name: x.float() if name.endswith("moments") else x.half() for name, x in tensors.items()}


def read_retention(path: str | Path) -> Retention | None:
    """Read the statistics of a checkpoint.

    Args:
        path: path of the checkpoint.

    Returns:
        The statistics, in single precision; None where it keeps none.

    Raises:
        CheckpointError: the file is missing, cut short, or no checkpoint of this library.
    """
    tensors = read_statistics(path)
    if not tensors:
        return None
    with convert_read_errors(path, "expected statistics of its data. Train the checkpoint anew", CheckpointError):
        values = {name: x.float() for name, x in tensors.items()}
        apart = {name: values.pop(name) for name in tensors if name.startswith(RETRIEVAL)}
        peaks = {name: values.pop(name) for name in tensors if name.endswith("_peaks")}
        retrieval = {name.removeprefix(RETRIEVAL): x for name, x in apart.items()}
        retention = Retention(
            tuple(read_header(path)["retained"]),
            SpaceStatistics(**values),
            SpaceStatistics(**retrieval) if retrieval else None,
            peaks["present_peaks"],
            peaks["absent_peaks"],
        )
        _check_shapes(retention)
        return retention


def _check_shapes(retention: Retention) -> None:
    """Raise ValueError where statistics of a file do not fit each other."""
    names = retention.categories
    for space in (retention.maps, retention.retrieval):
        if space is not None:
            images, audio = space.image_prototypes, space.audio_prototypes
            are_prototypes = images.ndim == 2 and images.shape == audio.shape and len(images) == len(names)
            moments = space.image_moments, space.audio_moments
            if not (are_prototypes and all(x.ndim == 2 and x.shape[0] == x.shape[1] for x in moments)):
                raise ValueError("shapes of its statistics do not fit each other")
    if not all(x.ndim == 1 and len(x) for x in (retention.present_peaks, retention.absent_peaks)):
        raise ValueError("its peaks are no list")
    if not all(isinstance(name, str) for name in names):
        raise ValueError("its categories are no names")


def fits_method(retention: Retention, method: EZVSLBase) -> bool:
    """Return whether statistics are those of a method's projections, by their shapes.

    Args:
        retention: statistics of a file.
        method: method of the same file.

    Returns:
        True where embeddings and the inputs of all projections are as wide.
    """
    layers, space = method.retrieval_layers, retention.retrieval
    is_alike = (layers is None) == (space is None) and _fits(retention.maps, method.space.image, method.space.audio)
    return is_alike and (layers is None or space is None or _fits(space, *layers))


def _fits(space: SpaceStatistics, image: nn.Linear | nn.Conv2d, audio: nn.Linear | nn.Conv2d) -> bool:
    (d, c), (_, e) = stack_weights(image).shape, stack_weights(audio).shape
    return (space.image_prototypes.shape[1], len(space.image_moments), len(space.audio_moments)) == (d, c, e)


def measure_retention(
    method: EZVSLBase,
    inputs: Sequence[ProjectionInputs],
    categories: Sequence[str],
    present_peaks: Float[Tensor, " p"],
    absent_peaks: Float[Tensor, " q"],
) -> Retention:
    """Measure the statistics of a method over images and audio.

    Args:
        method: method with a joint space.
        inputs: inputs of its projections for each of k categories; of images the first view counts.
        categories: names of the k categories.
        present_peaks, absent_peaks: peaks on held-out data with a sound whose source is in the image, and with others.

    Returns:
        The statistics, in single precision.
    """
    image_prototypes, audio_prototypes = [], []
    with torch.no_grad():
        for x in inputs:
            prototype = unit_norm(method.project_audio(x.audio).mean(dim=0))
            audio_prototypes.append(prototype)
            features = method.project_images(x.images[0]).flatten(2)
            peaks = torch.einsum("ncp,c->np", features, prototype).argmax(dim=1)
            at_peak = features.gather(2, peaks[:, None, None].expand(-1, features.shape[1], 1))[:, :, 0]
            image_prototypes.append(unit_norm(at_peak.mean(dim=0)))
    maps = SpaceStatistics(
        torch.stack(image_prototypes),
        torch.stack(audio_prototypes),
        second_moments(x.images[0].movedim(1, -1).flatten(0, 2) for x in inputs),
        second_moments(x.audio for x in inputs),
    )
    return Retention(tuple(categories), maps, _measure_retrieval(method, inputs), present_peaks, absent_peaks)


@torch.no_grad()
def _measure_retrieval(method: EZVSLBase, inputs: Sequence[ProjectionInputs]) -> SpaceStatistics | None:
    """Return the statistics of the space for retrieval, where it is another one."""
    if method.retrieval_layers is None:
        return None
    hidden = [x.hidden_images[0] for x in inputs if x.hidden_images is not None]
    spaces = hidden, [x.hidden_audio for x in inputs if x.hidden_audio is not None]
    image_prototypes, audio_prototypes = (
        torch.stack([unit_norm(unit_norm(layer(x)).mean(dim=0)) for x in chunks])
        for layer, chunks in zip(method.retrieval_layers, spaces, strict=True)
    )
    return SpaceStatistics(image_prototypes, audio_prototypes, *map(second_moments, spaces))


def extend_retention(old: Retention, new: Retention) -> Retention:
    """Add the statistics of new categories, in which every category counts alike.

    Args:
        old: statistics of what was learned first.
        new: statistics of new categories by the same method; the prototypes of one of an old name are averaged with
            the old ones.

    Returns:
        Statistics of both.
    """
    stay = [row for row, name in enumerate(old.categories) if name not in new.categories]
    again = [(n, old.categories.index(name)) for n, name in enumerate(new.categories) if name in old.categories]

    def extend(first: SpaceStatistics, second: SpaceStatistics) -> SpaceStatistics:
        prototypes = []
        for before, after in (
            (first.image_prototypes, second.image_prototypes.clone()),
            (first.audio_prototypes, second.audio_prototypes.clone()),
        ):
            for n, row in again:
                after[n] = unit_norm(before[row] + after[n])
            prototypes.append(torch.cat([before[stay], after]))
        share = len(new.categories) / (len(new.categories) + len(stay))
        moments = (first.image_moments, second.image_moments), (first.audio_moments, second.audio_moments)
        return SpaceStatistics(*prototypes, *(before.lerp(after, share) for before, after in moments))

    return Retention(
        (*(old.categories[row] for row in stay), *new.categories),
        extend(old.maps, new.maps),
        extend(old.retrieval, new.retrieval) if old.retrieval and new.retrieval else None,
        torch.cat([old.present_peaks, new.present_peaks]),
        torch.cat([old.absent_peaks, new.absent_peaks]),
    )


def second_moments(inputs: Iterable[Float[Tensor, "_n c"]]) -> Float[Tensor, "c1 c1"]:
    """Compute the second moments of vectors, each with a 1 appended for the bias.

    Args:
        inputs: chunks of vectors.

    Returns:
        Mean of x x' over all vectors.
    """
    total, count = torch.zeros(1), 0
    for chunk in inputs:
        x = torch.cat([chunk.float(), chunk.new_ones(len(chunk), 1)], dim=1)
        total, count = total + x.mT @ x, count + len(x)
    return total / count


def output_change(
    layer: nn.Linear | nn.Conv2d, old: Float[Tensor, "d c1"], moments: Float[Tensor, "c1 c1"]
) -> Float[Tensor, ""]:
    """Compute how far the outputs of a linear layer have moved over the data of `moments`.

    Args:
        layer: linear layer or 1 x 1 convolution, as it is now.
        old: weights and bias of the layer as it was (`stack_weights`).
        moments: second moments of its inputs.

    Returns:
        Scalar, with gradient: E|new output - old output|^2 / E|old output|^2.
    """
    change = stack_weights(layer) - old
    return ((change @ moments) * change).sum() / ((old @ moments) * old).sum()


def stack_weights(layer: nn.Linear | nn.Conv2d) -> Float[Tensor, "d c1"]:
    """Return the weights of a linear layer, or a 1 x 1 convolution, with its bias as the last column.

    Args:
        layer: layer with a bias.

    Returns:
        (d, c + 1) weights.
    """
    assert layer.bias is not None
    return torch.cat([layer.weight.flatten(1), layer.bias[:, None]], dim=1)

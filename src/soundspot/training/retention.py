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
from soundspot.utils.safe_read import convert_read_errors


@dataclass(frozen=True, eq=False)
class Retention:
    """Statistics of the data that a model learned from.

    Attributes:
        categories: names of the k categories.
        image_prototypes: (k, d) unit-norm mean over the images of a category of their feature at the map's peak.
        audio_prototypes: (k, d) unit-norm mean of the audio embeddings of a category.
        image_moments: (c + 1, c + 1) mean of x x' over images and locations, with x the input of the projection of
            images and a 1.
        audio_moments: (e + 1, e + 1) likewise for audio.
        present_peaks, absent_peaks: peaks of maps on held-out data with a sound whose source is in the image, and with
            others.
    """

    categories: tuple[str, ...]
    image_prototypes: Float[Tensor, "k d"]
    audio_prototypes: Float[Tensor, "k d"]
    image_moments: Float[Tensor, "c1 c1"]
    audio_moments: Float[Tensor, "e1 e1"]
    present_peaks: Float[Tensor, " n"]
    absent_peaks: Float[Tensor, " m"]

    def tensors(self) -> dict[str, Tensor]:
        """Return the statistics for a checkpoint (`soundspot.config.checkpoint.save_checkpoint`).

        Returns:
            Attribute -> tensor; prototypes and peaks in half precision, which moves a cosine by 0.0005 at most.
        """
        return {
            name: value.float() if name.endswith("moments") else value.half()
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }


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
        retention = Retention(tuple(read_header(path)["retained"]), **{name: x.float() for name, x in tensors.items()})
        _check_shapes(retention)
        return retention


def _check_shapes(retention: Retention) -> None:
    """Raise ValueError where statistics of a file do not fit each other."""
    names, images, audio = retention.categories, retention.image_prototypes, retention.audio_prototypes
    moments = retention.image_moments, retention.audio_moments
    peaks = retention.present_peaks, retention.absent_peaks
    are_prototypes = images.ndim == 2 and images.shape == audio.shape and len(images) == len(names)
    are_moments = all(x.ndim == 2 and x.shape[0] == x.shape[1] for x in moments)
    if not (are_prototypes and are_moments and all(x.ndim == 1 and len(x) for x in peaks)):
        raise ValueError("shapes of its statistics do not fit each other")
    if not all(isinstance(name, str) for name in names):
        raise ValueError("its categories are no names")


def fits_method(retention: Retention, method: EZVSLBase) -> bool:
    """Return whether statistics are those of a method's projections, by their shapes.

    Args:
        retention: statistics of a file.
        method: method of the same file.

    Returns:
        True where embeddings and the inputs of both projections are as wide.
    """
    (d, c), (_, e) = (stack_weights(layer).shape for layer in (method.space.image, method.space.audio))
    images, moments = retention.image_prototypes, (retention.image_moments, retention.audio_moments)
    return (images.shape[1], *map(len, moments)) == (d, c, e)


def measure_retention(
    method: EZVSLBase,
    image_inputs: Sequence[Float[Tensor, "_n c h w"]],
    audio_inputs: Sequence[Float[Tensor, "_m e"]],
    categories: Sequence[str],
    present_peaks: Float[Tensor, " p"],
    absent_peaks: Float[Tensor, " q"],
) -> Retention:
    """Measure the statistics of a method over images and audio.

    Args:
        method: method with a joint space.
        image_inputs: for each of k categories the inputs of the projection of its images, (n, c, h, w).
        audio_inputs: for each category the inputs of the projection of its audio, (m, e).
        categories: names of the k categories.
        present_peaks, absent_peaks: peaks on held-out data with a sound whose source is in the image, and with others.

    Returns:
        The statistics, in single precision.
    """
    image_prototypes, audio_prototypes = [], []
    with torch.no_grad():
        for images, audio in zip(image_inputs, audio_inputs, strict=True):
            prototype = unit_norm(unit_norm(method.space.audio(audio)).mean(dim=0))
            audio_prototypes.append(prototype)
            features = unit_norm(method.space.image(images), dim=1).flatten(2)
            peaks = torch.einsum("ncp,c->np", features, prototype).argmax(dim=1)
            at_peak = features.gather(2, peaks[:, None, None].expand(-1, features.shape[1], 1))[:, :, 0]
            image_prototypes.append(unit_norm(at_peak.mean(dim=0)))
    return Retention(
        tuple(categories),
        torch.stack(image_prototypes),
        torch.stack(audio_prototypes),
        second_moments(images.movedim(1, -1).flatten(0, 2) for images in image_inputs),
        second_moments(audio_inputs),
        present_peaks,
        absent_peaks,
    )


def extend_retention(old: Retention, new: Retention) -> Retention:
    """Add the statistics of new categories, in which every category counts alike.

    Args:
        old: statistics of what was learned first.
        new: statistics of new categories by the same method; the prototypes of one of an old name are averaged with
            the old ones.

    Returns:
        Statistics of both.
    """
    is_old = torch.tensor([name not in new.categories for name in old.categories])
    image_prototypes, audio_prototypes = new.image_prototypes.clone(), new.audio_prototypes.clone()
    for n, name in enumerate(new.categories):
        if name in old.categories:
            row = old.categories.index(name)
            image_prototypes[n] = unit_norm(old.image_prototypes[row] + new.image_prototypes[n])
            audio_prototypes[n] = unit_norm(old.audio_prototypes[row] + new.audio_prototypes[n])
    share = len(new.categories) / (len(new.categories) + int(is_old.sum()))
    return Retention(
        (*(name for name in old.categories if name not in new.categories), *new.categories),
        torch.cat([old.image_prototypes[is_old], image_prototypes]),
        torch.cat([old.audio_prototypes[is_old], audio_prototypes]),
        old.image_moments.lerp(new.image_moments, share),
        old.audio_moments.lerp(new.audio_moments, share),
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

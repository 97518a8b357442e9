"""Projection heads and poolings of feature maps."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.errors import RecipeError
from soundspot.models.base import Encoder
from soundspot.models.staged import StagedEncoder


def max_pool(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """Return the maximum of each channel over all locations, as this field pools spectrograms.

    Args:
        features: (b, c, h, w) feature map.

    Returns:
        (b, c) maxima.
    """
    return features.amax(dim=(-2, -1))


def mean_pool(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """Return the mean of each channel over all locations.

    Args:
        features: (b, c, h, w) feature map.

    Returns:
        (b, c) means.
    """
    return features.mean(dim=(-2, -1))


class Projection(nn.Sequential):
    """Linear layers with batch norm between them."""

    def forward(self, embeddings: Float[Tensor, "b c"]) -> Float[Tensor, "b d"]:
        """Project embeddings.

        Args:
            embeddings: (b, c) embeddings.

        Returns:
            (b, d) projections, not normalized.

        Raises:
            RecipeError: the batch is a single sample in training mode, and the head has batch norm.
        """
        if self.training and len(self) > 1 and len(embeddings) < 2:
            raise RecipeError(
                "train.batch_size: found a batch of one sample, and projections normalize over the batch; expected 2 "
                "or more in training. Raise it, or leave these out (`nowhere`: `method.alignment: false`) or their "
                "batch norm (others: `method.projection_depth: 1`)"
            )
        return super().forward(embeddings)

    @property
    def last_layer(self) -> nn.Linear:
        """The last layer."""
        last = self[-1]
        assert isinstance(last, nn.Linear)
        return last

    def compute_hidden(self, embeddings: Float[Tensor, "b c"]) -> Float[Tensor, "b h"]:
        """Compute what the last layer reads.

        Args:
            embeddings: (b, c) embeddings.

        Returns:
            (b, h) hidden values.
        """
        for layer in [*self][:-1]:
            embeddings = layer(embeddings)
        return embeddings


def pool_outputs(encoder: Encoder, x: Float[Tensor, "b i H W"]) -> Float[Tensor, "b d"]:
    """Return the maximum of each channel of what an encoder gives; of a frozen one, before the layers that learn.

    Args:
        encoder: encoder of images or of audio.
        x: (b, i, H, W) inputs of it, or their stored features.

    Returns:
        (b, d) maxima over all locations, with d = `encoder.channels`; of a frozen encoder those of each output of its
        stages side by side, with d = `encoder.frozen_channels`.
    """
    if not encoder.frozen_channels:
        return max_pool(encoder(x))
    assert isinstance(encoder, StagedEncoder)
    maps = [y.movedim(-3, 1).flatten(2) for y in encoder.read_frozen(x)]  # (b, c, n), of blocks of a recording too
    return torch.cat([y.amax(dim=-1) for y in maps], dim=1)


def build_projection(
    channels: int, width: int, depth: int = 2, hidden_width: int | None = None, standardize: bool = False
) -> Projection:
    """Build a projection head as in SimCLR: linear layers with batch norm and relu between them.

    Args:
        channels: dimension of the input.
        width: dimension of the output.
        depth: number of linear layers; with 1 there is no batch norm between them.
        hidden_width: dimension of the layers before the last; None: `width`.
        standardize: bring each channel of the input to zero mean and unit variance first, by a batch norm.

    Returns:
        The head, with random weights.
    """
    widths = [channels, *[hidden_width or width] * (depth - 1), width]
    layers: list[nn.Module] = [nn.BatchNorm1d(channels, affine=False)] if standardize else []
    for n in range(depth):
        is_last = n == depth - 1
        layers.append(nn.Linear(widths[n], widths[n + 1], bias=is_last))
        if not is_last:
            layers += [nn.BatchNorm1d(widths[n + 1]), nn.ReLU(inplace=True)]
    return Projection(*layers)


class SimSiamHead(nn.Module):
    """SimSiam's head (Chen and He, CVPR 2021): three layers with batch norm project, two predict the other view's.

    Args:
        channels: dimension of the input.
        width: dimension of projection and prediction; the bottleneck of the prediction is a quarter of it.
    """

    def __init__(self, channels: int, width: int = 2048) -> None:
        super().__init__()
        self.projector = nn.Sequential(
            *_linear_norm(channels, width), *_linear_norm(width, width), *_linear_norm(width, width, is_last=True)
        )
        self.predictor = nn.Sequential(*_linear_norm(width, width // 4), nn.Linear(width // 4, width))

    def forward(self, embeddings: Float[Tensor, "b c"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """Project embeddings and predict from the projections.

        Args:
            embeddings: (b, c) embeddings of one view.

        Returns:
            (b, d) projections and (b, d) predictions, with d = `width`, not normalized.

        Raises:
            RecipeError: the batch is a single sample in training mode.
        """
        if self.training and len(embeddings) < 2:
            raise RecipeError(
                "train.batch_size: found a batch of one sample, and SimSiam's layers normalize over the batch; "
                "expected 2 or more in training. Raise it"
            )
        projected = self.projector(embeddings)
        return projected, self.predictor(projected)


def _linear_norm(in_width: int, out_width: int, is_last: bool = False) -> list[nn.Module]:
    layers: list[nn.Module] = [
        nn.Linear(in_width, out_width, bias=False),
        nn.BatchNorm1d(out_width, affine=not is_last),
    ]
    return layers if is_last else [*layers, nn.ReLU(inplace=True)]


class JointProjection(nn.Module):
    """Linear projections of both modalities into one space: a 1 x 1 convolution for images, a layer for audio.

    Args:
        image_channels: number of channels of the image features.
        audio_channels: dimension of the audio embeddings.
        width: dimension of the joint space.
    """

    def __init__(self, image_channels: int, audio_channels: int, width: int) -> None:
        super().__init__()
        self.image = nn.Conv2d(image_channels, width, 1)
        self.audio = nn.Linear(audio_channels, width)


class ClassPooling(nn.Module):
    """Class logits, and features pooled by the activation map of each class.

    Args:
        channels: number of channels of the features.
        classes: number of classes, scored by a 1 x 1 convolution without bias.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.scores = nn.Conv2d(channels, classes, 1, bias=False)

    def forward(self, features: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k c"]]:
        """Classify features and pool them by class.

        Args:
            features: (b, c, h, w) feature map.

        Returns:
            (b, k) logits, the mean class scores over locations, and (b, k, c) mean features over locations, weighted by
            the positive part of the class score, which gets no gradient; 0 where no score is positive.
        """
        scores = self.scores(features).flatten(2)
        activation = scores.detach().clamp(min=0)
        weights = activation / (activation.sum(dim=-1, keepdim=True) + 1e-10)
        return scores.mean(dim=-1), weights @ features.flatten(2).mT.to(weights.dtype)


class PairHead(nn.Module):
    """Classifier of matching pairs: two layers on the concatenated embeddings of an image and an audio clip.

    The first layer of two concatenated embeddings is a sum of one layer of each, so pairs are never concatenated.

    Args:
        image_channels: dimension of the image embeddings.
        audio_channels: dimension of the audio embeddings.
        width: dimension of the hidden layer.
    """

    def __init__(self, image_channels: int, audio_channels: int, width: int) -> None:
        super().__init__()
        self.image, self.audio = nn.Linear(image_channels, width), nn.Linear(audio_channels, width, bias=False)
        self.classifier = nn.Linear(width, 2)

    def forward(
        self, image_embeddings: Float[Tensor, "v b c"], audio_embeddings: Float[Tensor, "u m d"]
    ) -> Float[Tensor, "v u b m"]:
        """Classify all pairs at once.

        Args:
            image_embeddings: (v, b, c) embeddings of b images in v views.
            audio_embeddings: (u, m, d) embeddings of m audio clips in u views.

        Returns:
            (v, u, b, m) logits; the sigmoid of entry [v, u, i, j] is the probability that image i and audio j match.
        """
        hidden = self.image(image_embeddings)[:, None, :, None] + self.audio(audio_embeddings)[None, :, None]
        no, yes = self.classifier(hidden.relu()).unbind(dim=-1)
        return yes - no

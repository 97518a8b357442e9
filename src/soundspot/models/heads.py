"""Projection heads and poolings on top of an encoder's grid."""

from jaxtyping import Float
from torch import Tensor, nn

from soundspot.errors import RecipeError


def max_pool(grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """The largest value of each channel over all places: how this field makes one vector of a spectrogram."""
    return grid.amax(dim=(-2, -1))


def mean_pool(grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """The mean of each channel over all places."""
    return grid.mean(dim=(-2, -1))


class Projection(nn.Sequential):
    """Linear layers with batch norm between them; RecipeError where that has a single vector to learn from."""

    def forward(self, embeddings: Float[Tensor, "b c"]) -> Float[Tensor, "b d"]:
        if self.training and len(self) > 1 and len(embeddings) < 2:
            raise RecipeError(
                "train.batch_size: found a batch of one clip, and projections normalise over the batch; expected 2 or "
                "more in training. Raise it, or leave the batch norm out by `method.projection_depth: 1`"
            )
        return super().forward(embeddings)


def build_projection(channels: int, width: int, depth: int = 2) -> Projection:
    """`depth` linear layers to `width`, batch norm and relu between them (SimCLR's head)."""
    layers: list[nn.Module] = []
    for n in range(depth):
        last = n == depth - 1
        layers.append(nn.Linear(channels if n == 0 else width, width, bias=last))
        if not last:
            layers += [nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
    return Projection(*layers)


class SimSiamHead(nn.Module):
    """SimSiam's head (Chen and He, CVPR 2021): three layers with batch norm project, two predict the other view's.

    Args:
        channels: of the vectors. width: of the projection; the prediction's bottleneck is a quarter of it.
    """

    def __init__(self, channels: int, width: int = 2048) -> None:
        super().__init__()
        self.projector = nn.Sequential(
            *_normed(channels, width), *_normed(width, width), *_normed(width, width, last=True)
        )
        self.predictor = nn.Sequential(*_normed(width, width // 4), nn.Linear(width // 4, width))

    def forward(self, embeddings: Float[Tensor, "b c"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """The projection of each vector, and what is predicted from it."""
        if self.training and len(embeddings) < 2:
            raise RecipeError(
                "train.batch_size: found a batch of one clip, and SimSiam's layers normalise over the batch; expected "
                "2 or more in training. Raise it"
            )
        projected = self.projector(embeddings)
        return projected, self.predictor(projected)


def _normed(inside: int, outside: int, last: bool = False) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Linear(inside, outside, bias=False), nn.BatchNorm1d(outside, affine=not last)]
    return layers if last else [*layers, nn.ReLU(inplace=True)]


class JointProjection(nn.Module):
    """Two linear maps into one space: a 1 x 1 convolution for the places of a picture, a layer for a sound's vector."""

    def __init__(self, image_channels: int, audio_channels: int, width: int) -> None:
        super().__init__()
        self.image = nn.Conv2d(image_channels, width, 1)
        self.audio = nn.Linear(audio_channels, width)


class ClassPooling(nn.Module):
    """Class scores of each place, their mean as the logits, and features pooled by each class' activation map.

    Args:
        channels: of the grid. classes: how many; the scores have no bias.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.scores = nn.Conv2d(channels, classes, 1, bias=False)

    def forward(self, grid: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k c"]]:
        """Logits; and the mean over places weighted by the positive part of a class' score, which gets no gradient."""
        scores = self.scores(grid).flatten(2)
        active = scores.detach().clamp(min=0)
        shares = active / (active.sum(dim=-1, keepdim=True) + 1e-10)
        return scores.mean(dim=-1), shares @ grid.flatten(2).mT.to(shares.dtype)


class PairHead(nn.Module):
    """Whether a picture and a sound belong together: two layers of both vectors side by side, for all pairs at once.

    The first layer of two vectors side by side is a sum of one layer of each, so pairs are never written out.
    """

    def __init__(self, image_channels: int, audio_channels: int, width: int) -> None:
        super().__init__()
        self.image, self.audio = nn.Linear(image_channels, width), nn.Linear(audio_channels, width, bias=False)
        self.classifier = nn.Linear(width, 2)

    def forward(
        self, image_embeddings: Float[Tensor, "v b c"], audio_embeddings: Float[Tensor, "u m d"]
    ) -> Float[Tensor, "v u b m"]:
        """Logit that picture i and sound j do, of a softmax over yes and no."""
        hidden = self.image(image_embeddings)[:, None, :, None] + self.audio(audio_embeddings)[None, :, None]
        no, yes = self.classifier(hidden.relu()).unbind(dim=-1)
        return yes - no

"""The predictive coding module of SSPL: a picture's features predict its sound, and what they get wrong corrects them.

Song et al., "Self-Supervised Predictive Learning", CVPR 2022, Sec. 3.3, with the arithmetic of the released code
(zjsong/SSPL, commit d1af4c7a, `sspl_w_pcm/models/pc_net.py`).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.errors import RecipeError

LEVELS = 3  # the picture's own grid, and half and a quarter of it


class PredictiveCoding(nn.Module):
    """Features of a picture, corrected by what they fail to predict of its sound; the grid stays the same.

    Three levels, the lowest a quarter of the grid. *Down*: each level predicts the one below, the lowest the sound's
    vector. *Up*: what a level holds beyond what was predicted of it corrects the level above. A first pass sets the
    levels, and every cycle revises them; a cycle has batch norms of its own, all else is shared.

    Args:
        seen: channels of the picture's features, and of all levels. heard: numbers of the sound's vector.
        cycles: after the first pass; 4 as released.
    """

    def __init__(self, image_channels: int, audio_channels: int, cycles: int = 4) -> None:
        super().__init__()
        self.predict_audio = nn.Conv2d(image_channels, audio_channels, 1)
        self.down = nn.ModuleList(
            nn.Conv2d(image_channels, image_channels, 3, padding=1, bias=False) for _ in range(LEVELS - 1)
        )
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(audio_channels, image_channels, 1, bias=False),
                nn.ConvTranspose2d(image_channels, image_channels, 3, stride=2, bias=False),
                nn.ConvTranspose2d(image_channels, image_channels, 3, padding=1, bias=False),
            ]
        )
        self.output = nn.ConvTranspose2d(image_channels, image_channels, 1)
        self.gates = Gates(image_channels)
        passes = range(1 + cycles)
        self.down_norms = nn.ModuleList(_norms(image_channels, LEVELS - 1) for _ in passes)
        self.up_norms = nn.ModuleList(_norms(image_channels, LEVELS) for _ in passes)

    def forward(
        self, image_features: Float[Tensor, "b c h w"], audio_embeddings: Float[Tensor, "b d"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Features that have heard the sound.

        Args:
            grids: of 4 x 4 cells at least.
            sounds: None where there is none: what the picture predicts is then taken for right, and nothing corrects.

        Raises:
            RecipeError: grids too small, or a single clip whose lowest level is one cell, in training.
        """
        self._refuse(image_features)
        predicted = [image_features]
        for level in reversed(range(LEVELS - 1)):
            below = F.max_pool2d(self.down[level](predicted[0]), 2)
            predicted.insert(0, F.gelu(self.down_norms[0][level](below)))  # type: ignore[index]
        levels = self._corrected(predicted, predicted, audio_embeddings, self.up_norms[0])
        for down_norms, up_norms in zip(self.down_norms[1:], self.up_norms[1:], strict=True):
            levels[-1] = F.gelu(torch.lerp(levels[-1], image_features.to(levels[-1].dtype), self.gates.mix(LEVELS - 1)))
            for level in reversed(range(LEVELS - 1)):
                predicted[level] = F.max_pool2d(self.down[level](levels[level + 1]), 2)
                mixed = torch.lerp(levels[level], predicted[level].to(levels[level].dtype), self.gates.mix(level))
                levels[level] = F.gelu(down_norms[level](mixed))  # type: ignore[index]
            levels = self._corrected(levels, predicted, audio_embeddings, up_norms)
        return self.output(levels[-1])

    def _corrected(
        self, levels: Sequence[Tensor], predicted: Sequence[Tensor], audio_embeddings: Tensor | None, norms: nn.Module
    ) -> list[Tensor]:
        """All levels, from the lowest up, each corrected by what was wrong below it."""
        found: list[Tensor] = []
        for level in range(LEVELS):
            size = levels[level].shape[-2:]
            if level == 0:
                told = F.gelu(self.predict_audio(levels[0])).mean(dim=(-2, -1))
                wrong = (torch.zeros_like(told) if audio_embeddings is None else audio_embeddings - told)[
                    ..., None, None
                ]
            else:
                wrong = found[-1] - predicted[level - 1]
            if level == 2:
                wrong = F.interpolate(wrong, size, mode="bilinear", align_corners=True)
            correction = self.up[level](wrong)
            if level == 1:
                correction = correction[..., : size[0], : size[1]]  # one cell too many where the size is even
            found.append(F.gelu(norms[level](levels[level] + self.gates.gain(level) * correction)))  # type: ignore[index]
        return found

    def _refuse(self, image_features: Tensor) -> None:
        side = min(image_features.shape[-2:])
        if side < 4:
            raise RecipeError(
                f"method: found grids of {image_features.shape[-2]} x {image_features.shape[-1]} cells, and predictive coding halves "
                "them twice; expected 4 or more on each side. Raise front_end.size, or lower the encoder's strides"
            )
        if self.training and len(image_features) == 1 and max(image_features.shape[-2:]) < 8:
            raise RecipeError(
                "train.batch_size: found a batch of one clip whose lowest level is one cell, and batch norm needs two "
                "in training. Raise it"
            )


class Gates(nn.Module):
    """Two numbers of each channel at each level, cut at 0: how far a correction goes (`a`), and a prediction (`b`)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = nn.ParameterList(nn.Parameter(torch.full((1, channels, 1, 1), 1.0)) for _ in range(LEVELS))
        self.b = nn.ParameterList(nn.Parameter(torch.full((1, channels, 1, 1), 0.5)) for _ in range(LEVELS))

    def gain(self, level: int) -> Float[Tensor, "1 c 1 1"]:
        """Of the correction from below."""
        return F.relu(self.a[level])

    def mix(self, level: int) -> Float[Tensor, "1 c 1 1"]:
        """Share of the prediction from above."""
        return F.relu(self.b[level])


def _norms(channels: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(count))

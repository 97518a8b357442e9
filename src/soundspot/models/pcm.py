"""The predictive coding module of SSPL: image features predict the audio, and the prediction error corrects them.

Song et al., "Self-Supervised Predictive Learning", CVPR 2022, Sec. 3.3, with the arithmetic of the released code
(zjsong/SSPL, commit d1af4c7a, `sspl_w_pcm/models/pc_net.py`).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.errors import RecipeError

LEVELS = 3  # the image's own resolution, and half and a quarter of it


class PredictiveCoding(nn.Module):
    """Image features, corrected by their error in predicting the audio; the resolution stays the same.

    Three levels, the lowest at a quarter of the resolution. *Down*: each level predicts the one below, the lowest the
    audio embedding. *Up*: the difference of a level from its prediction corrects the level above. A first pass sets the
    levels, and every cycle updates them; a cycle has batch norms of its own, all else is shared.

    Args:
        image_channels: number of channels of the image features, and of all levels.
        audio_channels: dimension of the audio embeddings.
        cycles: number of cycles after the first pass; 4 as released.
    """

    def __init__(self, image_channels: int, audio_channels: int, cycles: int = 4) -> None:
        super().__init__()
        c, d = image_channels, audio_channels
        self.predict_audio = nn.Conv2d(c, d, 1)
        self.down = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1, bias=False) for _ in range(LEVELS - 1))
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(d, c, 1, bias=False),
                nn.ConvTranspose2d(c, c, 3, stride=2, bias=False),
                nn.ConvTranspose2d(c, c, 3, padding=1, bias=False),
            ]
        )
        self.output = nn.ConvTranspose2d(c, c, 1)
        self.gates = Gates(c)
        self.down_norms = nn.ModuleList(_norms(c, LEVELS - 1) for _ in range(1 + cycles))
        self.up_norms = nn.ModuleList(_norms(c, LEVELS) for _ in range(1 + cycles))

    def forward(
        self, image_features: Float[Tensor, "b c h w"], audio_embeddings: Float[Tensor, "b d"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Correct image features by the audio.

        Args:
            image_features: (b, c, h, w) features with h and w of 4 or more.
            audio_embeddings: (b, d) embeddings; None: the error in predicting the audio is taken as 0.

        Returns:
            (b, c, h, w) corrected features, of the input's size.

        Raises:
            RecipeError: h or w is below 4; in training mode also a single sample whose lowest level is one cell (h and
                w below 8).
        """
        self._check_input(image_features)
        image_features = image_features.contiguous(memory_format=torch.channels_last)  # pooled sooner
        predicted = [image_features]
        for level in reversed(range(LEVELS - 1)):
            below = F.max_pool2d(self.down[level](predicted[0]), 2)
            predicted.insert(0, F.gelu(self.down_norms[0][level](below)))  # type: ignore[index]
        levels = self._correct(predicted, predicted, audio_embeddings, self.up_norms[0])
        for down_norms, up_norms in zip(self.down_norms[1:], self.up_norms[1:], strict=True):
            top = levels[-1]
            levels[-1] = F.gelu(torch.lerp(top, image_features.to(top.dtype), self.gates.prediction(LEVELS - 1)))
            for level in reversed(range(LEVELS - 1)):
                predicted[level] = F.max_pool2d(self.down[level](levels[level + 1]), 2)
                current = levels[level]
                mixed = torch.lerp(current, predicted[level].to(current.dtype), self.gates.prediction(level))
                levels[level] = F.gelu(down_norms[level](mixed))  # type: ignore[index]
            levels = self._correct(levels, predicted, audio_embeddings, up_norms)
        return self.output(levels[-1])

    def _correct(
        self, levels: Sequence[Tensor], predicted: Sequence[Tensor], audio: Tensor | None, norms: nn.Module
    ) -> list[Tensor]:
        """Correct all levels, from the lowest up, by the error below each."""
        corrected: list[Tensor] = []
        for level in range(LEVELS):
            size = levels[level].shape[-2:]
            weight = self.up[level].weight * self.gates.correction(level)  # type: ignore[operator]
            if level == 0:
                prediction = F.gelu(self.predict_audio(levels[0])).mean(dim=(-2, -1))
                error = (torch.zeros_like(prediction) if audio is None else audio - prediction)[..., None, None]
            else:
                error = corrected[-1] - predicted[level - 1]
            if level == 2:
                correction = _convolve_upsampled(error, weight, size)
            else:
                correction = F.conv_transpose2d(error, weight, stride=1 + level)
                correction = correction[..., : size[0], : size[1]]  # one cell too many where level 1 is even
            total = levels[level] + correction.to(weight.dtype)  # full precision under autocast
            corrected.append(F.gelu(norms[level](total)))  # type: ignore[index]
        return corrected

    def _check_input(self, image_features: Tensor) -> None:
        h, w = image_features.shape[-2:]
        if min(h, w) < 4:
            raise RecipeError(
                f"method: found features of {h} x {w} cells, and predictive coding halves them twice; expected 4 or "
                "more on each side. Raise front_end.size, or lower the encoder's strides"
            )
        if self.training and len(image_features) == 1 and max(h, w) < 8:
            raise RecipeError(
                "train.batch_size: found a batch of one sample whose lowest level is one cell, and batch norm needs "
                "two in training. Raise it"
            )


class Gates(nn.Module):
    """Two learned gates per channel and level, relu-clipped: of the correction (`a`) and of the prediction (`b`).

    Args:
        channels: number of channels of all levels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = nn.ParameterList(nn.Parameter(torch.full((1, channels, 1, 1), 1.0)) for _ in range(LEVELS))
        self.b = nn.ParameterList(nn.Parameter(torch.full((1, channels, 1, 1), 0.5)) for _ in range(LEVELS))

    def correction(self, level: int) -> Float[Tensor, "1 c 1 1"]:
        """Return the gain of the correction from the level below.

        Args:
            level: number of the level, from 0 (lowest) to 2.

        Returns:
            (1, c, 1, 1) gains, 0 or more.
        """
        return F.relu(self.a[level])

    def prediction(self, level: int) -> Float[Tensor, "1 c 1 1"]:
        """Return the mixing weight of the prediction from the level above.

        Args:
            level: number of the level, from 0 (lowest) to 2.

        Returns:
            (1, c, 1, 1) weights, 0 or more: the level becomes (1 - weight) * level + weight * prediction.
        """
        return F.relu(self.b[level])


def _norms(channels: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(count))


def _convolve_upsampled(
    error: Float[Tensor, "b c h w"], weight: Float[Tensor, "c d 3 3"], size: Sequence[int]
) -> Float[Tensor, "b d H W"]:
    """Upsample to `size`, bilinear with corners aligned, and convolve as `ConvTranspose2d(c, d, 3, padding=1)` does.

    Both are linear, so channels are mixed first, tap by tap, where there are a quarter of the cells.
    """
    (b, c, h, w), d = error.shape, weight.shape[1]
    rows, columns = (_tap_matrix(n, m, weight) for n, m in zip((h, w), size, strict=True))
    taps = error.permute(0, 2, 3, 1).reshape(-1, c) @ weight.permute(0, 3, 2, 1).reshape(c, -1)
    wide = (columns @ taps.view(b * h, w * 3, 3 * d)).view(b, h, -1, 3, d)
    high = rows @ wide.transpose(2, 3).reshape(b, h * 3, -1)
    return high.view(b, *size, d).permute(0, 3, 1, 2)


def _tap_matrix(n: int, m: int, like: Tensor) -> Float[Tensor, "m k"]:
    """Return what each of m cells has of 3 taps at each of n cells: tap k is of the upsampled cell 1 - k beside it."""
    cells = torch.eye(n, dtype=like.dtype, device=like.device)
    upsampled = F.interpolate(cells[None], m, mode="linear", align_corners=True)[0].T
    return F.pad(upsampled, (0, 0, 1, 1)).unfold(0, 3, 1).flip(2).flatten(1)

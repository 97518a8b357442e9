"""Augmentations of batches of images and spectrograms, on the device of the batch.

Every function takes one row of uniform numbers per image in place of drawing them, so an augmented image depends on
nothing but that row (see `soundspot.utils.hash_rng`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from soundspot.config.augmentation import Augmentation

NUM_DRAWS = 12  # uniform numbers that `augment` uses for each image
_CPU_CHUNK = 4  # images at a time: intermediates of more do not stay in a CPU's caches, and take three times as long


def augment(
    images: UInt8[Tensor, "n i s s"], size: int, augmentation: Augmentation | None, draws: Float[Tensor, "n d"]
) -> Float[Tensor, "n i h w"]:
    """Augment square images, each by its row of `draws`: crop and flip, then color jitter, grayscale and blur.

    Args:
        images: (n, i, s, s) uint8. Channels after the three of color are only cropped and flipped with them.
        size: side of the result in pixels; crops are sampled bilinearly.
        augmentation: parameters; None: images are only resized.
        draws: (n, NUM_DRAWS) uniform numbers in [0, 1), on the device of the images.

    Returns:
        (n, i, size, size) float32 in [0, 1].
    """
    return torch.cat([chunk for _, chunk in iter_augmented(images, size, augmentation, draws)])


def iter_augmented(
    images: UInt8[Tensor, "n i s s"], size: int, augmentation: Augmentation | None, draws: Float[Tensor, "n d"]
) -> Iterator[tuple[slice, Float[Tensor, "k i h w"]]]:
    """Augment square images in chunks: on a CPU of four images, which stay in its caches, elsewhere all at once.

    Args:
        images: (n, i, s, s) uint8.
        size: side of the result in pixels.
        augmentation: parameters; None: images are only resized.
        draws: (n, NUM_DRAWS) uniform numbers in [0, 1).

    Yields:
        Slice of the rows, and these images augmented: (k, i, size, size) float32 in [0, 1].
    """
    columns, rows = (None, None) if augmentation is None else crop_coordinates(size, augmentation, draws[:, :4])
    step = _CPU_CHUNK if images.device.type == "cpu" else len(images)
    for chunk in (slice(first, first + step) for first in range(0, len(images), step)):
        if augmentation is None or columns is None or rows is None:
            yield chunk, resize(images[chunk], size)
        else:
            cropped = crop(images[chunk], columns[chunk], rows[chunk])
            _jitter(cropped[:, :3], augmentation, draws[chunk])
            yield chunk, cropped


def _jitter(x: Float[Tensor, "n 3 h w"], augmentation: Augmentation, draws: Float[Tensor, "n d"]) -> None:
    """Apply color jitter, grayscale and blur in place, each to the images for which it is drawn."""
    if augmentation.color and len(rows := _select(draws[:, 8], augmentation.color_p)):
        x[rows] = color_jitter(x[rows], augmentation.color, draws[rows, 4:8])
    if augmentation.gray_p and len(rows := _select(draws[:, 9], augmentation.gray_p)):
        x[rows] = to_grayscale(x[rows])
    if augmentation.blur_p and len(rows := _select(draws[:, 11], augmentation.blur_p)):
        low, high = augmentation.blur
        x[rows] = gaussian_blur(x[rows], x.shape[-1] * (low + (high - low) * draws[rows, 10]))


def _select(draws: Float[Tensor, " n"], p: float) -> Int[Tensor, " k"]:
    """Return the rows for which an event of probability `p` is drawn."""
    return (draws < p).nonzero().flatten()


def resize(images: UInt8[Tensor, "n i s s"], size: int) -> Float[Tensor, "n i h w"]:
    """Resize square uint8 images bilinearly with antialiasing, and scale them to [0, 1].

    Args:
        images: (n, i, s, s) uint8.
        size: side of the result in pixels.

    Returns:
        (n, i, size, size) float32.
    """
    x = images.float() / 255
    if x.shape[-1] != size:
        x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return x


def crop_coordinates(
    size: int, augmentation: Augmentation, draws: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, "n size"], Float[Tensor, "n size"]]:
    """Compute the sampling positions of random crops, in the coordinates of `grid_sample` (align_corners=False).

    Args:
        size: side of a crop after resampling, in pixels.
        augmentation: ranges of area and aspect ratio, and probability of a flip.
        draws: (n, 4) uniform numbers in [0, 1): area, aspect ratio, position, flip.

    Returns:
        (n, size) x of the columns and (n, size) y of the rows of each crop, from -1 to 1; x falls in flipped crops.
    """
    low, high = augmentation.scale
    area = low + (high - low) * draws[:, 0]
    aspect = torch.exp(
        math.log(augmentation.ratio[0])
        + (math.log(augmentation.ratio[1]) - math.log(augmentation.ratio[0])) * draws[:, 1]
    )
    wide, tall = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    # One number places both axes: its leading bits the column, the rest the row.
    scaled = draws[:, 2] * 4096
    across, down = scaled.floor() / 4095, scaled.frac()
    steps = (2 * torch.arange(size, device=draws.device) + 1) / size - 1  # centers of pixels
    reach = torch.where(draws[:, 3] < augmentation.flip, -wide, wide)
    columns = torch.addcmul(((1 - wide) * (2 * across.clamp(max=1) - 1))[:, None], reach[:, None], steps)
    rows = torch.addcmul(((1 - tall) * (2 * down - 1))[:, None], tall[:, None], steps)
    return columns, rows


def crop(
    images: UInt8[Tensor, "n i s s"], columns: Float[Tensor, "n w"], rows: Float[Tensor, "n h"]
) -> Float[Tensor, "n i h w"]:
    """Crop and resize each image in a single bilinear resampling without antialiasing.

    Args:
        images: (n, i, s, s) uint8.
        columns, rows: (n, w) x of the columns and (n, h) y of the rows, from -1 to 1 (`crop_coordinates`); positions
            outside take the value at the border.

    Returns:
        (n, i, h, w) float32 in [0, 1].
    """
    # The grid is each of them broadcast over the other; `affine_grid` would multiply.
    grid = torch.stack(torch.broadcast_tensors(columns[:, None], rows[:, :, None]), dim=-1)
    return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False).div_(255)


_LUMA = (0.299, 0.587, 0.114)


def to_grayscale(x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Replace the colors of each image by their luma, 0.299 R + 0.587 G + 0.114 B, in all three channels.

    Args:
        x: (n, 3, h, w) RGB images.

    Returns:
        (n, 3, h, w) gray images in the same range; a view whose channels share memory.
    """
    return torch.einsum("nchw,c->nhw", x, x.new_tensor(_LUMA))[:, None].expand_as(x)


def color_jitter(x: Float[Tensor, "n 3 h w"], strength: float, draws: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 h w"]:
    """Change brightness, contrast and saturation within 1 +- 0.8 x strength, and hue within 0.2 x strength of a circle.

    All four are affine in the color (the hue rotates in the YIQ plane), so together they are one 3 x 3 matrix and one
    shift per image: a single pass over the pixels, clipped to [0, 1] once at the end.

    Args:
        x: (n, 3, h, w) RGB images in [0, 1].
        strength: strength of the jitter, 0 or more; 1 is the strongest that SimCLR uses.
        draws: (n, 4) uniform numbers in [0, 1): brightness, contrast, saturation, hue.

    Returns:
        (n, 3, h, w) in [0, 1].
    """
    gains = (1 + 0.8 * strength * (2 * draws[:, :3] - 1)).clamp(min=0)
    brightness, contrast, saturation = (g[:, None, None] for g in gains.T)
    luma, eye = x.new_tensor(_LUMA), torch.eye(3, device=x.device)
    angle = 2 * math.pi * 0.2 * strength * (2 * draws[:, 3] - 1)
    to_yiq = torch.stack([luma, x.new_tensor((0.5959, -0.2746, -0.3213)), x.new_tensor((0.2115, -0.5227, 0.3112))])
    turn = torch.zeros(len(x), 3, 3, device=x.device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = torch.cos(angle)
    turn[:, 1, 2], turn[:, 2, 1] = -torch.sin(angle), torch.sin(angle)
    matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq @ (saturation * eye + (1 - saturation) * luma.expand(3, 3))
    mean = brightness[:, 0] * (x.mean(dim=(-2, -1)) @ luma)[:, None]  # the fixed point of contrast
    shift = (matrix @ ((1 - contrast[:, 0]) * mean).expand(-1, 3)[..., None]).squeeze(-1)
    mixed = torch.baddbmm(shift[..., None], matrix * (brightness * contrast), x.flatten(2))
    return mixed.view_as(x).clamp_(0, 1)


def gaussian_blur(x: Float[Tensor, "n 3 h w"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n 3 h w"]:
    """Blur each image by its own Gaussian, separable with nine taps; borders are reflected.

    Args:
        x: (n, 3, h, w) images, more than 4 pixels high and wide.
        sigma: (n,) standard deviations in pixels; 0 leaves an image unchanged. The kernel ends at 4 pixels.

    Returns:
        (n, 3, h, w) blurred images.
    """
    taps = torch.arange(-4, 5, device=x.device)
    kernel = torch.exp(-0.5 * (taps / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)[:, None]
    n, _, height, width = x.shape
    flat = F.pad(x.reshape(1, 3 * n, height, width), (4, 4, 4, 4), mode="reflect")
    flat = F.conv2d(flat, kernel[:, :, None, :], groups=3 * n)
    return F.conv2d(flat, kernel[..., None], groups=3 * n).reshape(n, 3, height, width)


@dataclass(frozen=True)
class BandMasking:
    """Parameters of SpecAugment's masks, a frequency band and a time band; the defaults are joint slot attention's.

    Attributes:
        max_width: maximum width of the bands, in bins and in frames; all whole widths from 0 on are equally likely.
        p: probability that a spectrogram is masked.
        fill_silence: whether masked values become silence; else 0, which is not silence after a logarithm.
        swap_axes: whether each start is drawn along the other axis, as InhoKim429/JSA does: of 257 x 501 about half of
            the frequency bands fall outside and mask nothing, and only the first half of the times is ever masked.
    """

    max_width: tuple[int, int] = (9, 9)
    p: float = 1.0
    fill_silence: bool = False
    swap_axes: bool = False


BAND_MASKING = {
    "mended": BandMasking(),
    "published": BandMasking(swap_axes=True),
    # SSL-TIE masks power before its logarithm; its torchaudio rounds widths below 35 bins and 180 frames down.
    "specaugment": BandMasking(max_width=(34, 179), p=0.8, fill_silence=True),
}


def mask_bands(
    spectrograms: Float[Tensor, "n 1 f t"],
    draws: Float[Tensor, "n d"],
    masking: BandMasking = BAND_MASKING["mended"],
    silence_value: float = 0.0,
) -> Float[Tensor, "n 1 f t"]:
    """Mask a frequency band and a time band of each scaled spectrogram, by its row of `draws`.

    Args:
        spectrograms: (n, 1, f, t) scaled spectrograms; not changed.
        draws: (n, 5) uniform numbers in [0, 1): width and start of the frequency band, then of the time band; then
            whether the spectrogram is masked, used where `masking.p` is below 1.
        masking: widths and fill of the masks.
        silence_value: value where the power is 0 (`soundspot.data.transforms.spectrogram.silence_value`), used where
            `masking.fill_silence` is True.

    Returns:
        (n, 1, f, t) masked spectrograms.
    """
    height, width = spectrograms.shape[-2:]
    fill = silence_value if masking.fill_silence else 0.0
    masked = spectrograms
    for axis, (size, other_size) in enumerate(((height, width), (width, height))):
        band = (draws[:, 2 * axis] * (masking.max_width[axis] + 1)).floor()
        range_size = other_size if masking.swap_axes else (size - band + 1).clamp(min=1)
        start = (draws[:, 2 * axis + 1] * range_size).floor()
        position = torch.arange(size, device=spectrograms.device)
        inside = (position >= start[:, None]) & (position < (start + band)[:, None])  # (n, size)
        if masking.p < 1:
            inside &= draws[:, 4:5] < masking.p
        masked = masked.masked_fill(inside[:, None, :, None] if axis == 0 else inside[:, None, None], fill)
    return masked

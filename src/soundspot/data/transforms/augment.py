"""Augmentations of whole batches, on whichever device the batch is; the numbers that drive them are given, not drawn.

Every function takes one row of uniform numbers for each picture, so what a picture looks like depends on nothing but
that row (see `soundspot.utils.hash_rng`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

NUM_DRAWS = 12  # uniform numbers that `augment` uses for each picture
_AT_ONCE = 4  # pictures at a time on a CPU: what becomes of more does not stay in its caches, and takes thrice as long


@dataclass(frozen=True)
class Augmentation:
    """A recipe of augmentation; the defaults are SimCLR's (Chen et al., ICML 2020) but for the crop.

    Attributes:
        scale: share of the picture's area that a crop keeps, least and most. SimCLR keeps 0.08 at least, for pictures
            that show one thing; here the source must stay in view.
        ratio: aspect of the crop, least and most.
        flip: probability of a mirror image.
        colour: strength of brightness, contrast, saturation (0.8 x) and hue (0.2 x) jitter; 0: none.
        colour_p, grey_p, blur_p: probabilities of jitter, of grey, of Gaussian blur.
        blur: least and most sigma, in shares of the picture's side.
    """

    scale: tuple[float, float] = (0.3, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    color: float = 0.5
    color_p: float = 0.8
    gray_p: float = 0.2
    blur_p: float = 0.5
    blur: tuple[float, float] = (0.0005, 0.01)


STRONG = Augmentation()
WEAK = Augmentation(scale=(0.8, 1.0), ratio=(1.0, 1.0), color=0.0, gray_p=0.0, blur_p=0.0)
"""A crop and a flip: what the field's loaders do to every training picture (246 pixels, crop of 224, mirror)."""


def augment(
    images: UInt8[Tensor, "n i s s"], size: int, augmentation: Augmentation | None, draws: Float[Tensor, "n d"]
) -> Float[Tensor, "n i h w"]:
    """Pictures of `size` x `size` in [0, 1], each augmented by its row of `draws`; `how` None only resizes.

    Planes after the three of colour are cropped and mirrored with them and otherwise left alone.
    """
    return torch.cat([planes for _, planes in iter_augmented(images, size, augmentation, draws)])


def iter_augmented(
    images: UInt8[Tensor, "n i s s"], size: int, augmentation: Augmentation | None, draws: Float[Tensor, "n d"]
) -> Iterator[tuple[slice, Float[Tensor, "k i h w"]]]:
    """The same in parts, and which pictures each part is: on a CPU a few, to be used while they are in its caches."""
    columns, rows = (None, None) if augmentation is None else crop_coordinates(size, augmentation, draws[:, :4])
    at_once = _AT_ONCE if images.device.type == "cpu" else len(images)
    for part in (slice(first, first + at_once) for first in range(0, len(images), at_once)):
        if augmentation is None or columns is None or rows is None:
            yield part, resize(images[part], size)
        else:
            planes = crop(images[part], columns[part], rows[part])
            _recolour(planes[:, :3], augmentation, draws[part])
            yield part, planes


def _recolour(x: Float[Tensor, "n 3 h w"], how: Augmentation, draws: Float[Tensor, "n d"]) -> None:
    """Jitter, grey and blur, in place, each only where it is drawn: the rest of the batch is not touched."""
    if how.color and len(some := _drawn(draws[:, 8], how.color_p)):
        x[some] = color_jitter(x[some], how.color, draws[some, 4:8])
    if how.gray_p and len(some := _drawn(draws[:, 9], how.gray_p)):
        x[some] = to_grayscale(x[some])
    if how.blur_p and len(some := _drawn(draws[:, 11], how.blur_p)):
        sigma = x.shape[-1] * (how.blur[0] + (how.blur[1] - how.blur[0]) * draws[some, 10])
        x[some] = gaussian_blur(x[some], sigma)


def _drawn(draws: Float[Tensor, " n"], p: float) -> Int[Tensor, " some"]:
    """Which pictures something of probability `p` happens to."""
    return (draws < p).nonzero().flatten()


def resize(images: UInt8[Tensor, "n i s s"], size: int) -> Float[Tensor, "n i h w"]:
    """The whole picture, in [0, 1]."""
    x = images.float() / 255
    if x.shape[-1] != size:
        x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return x


def crop_coordinates(
    size: int, augmentation: Augmentation, draws: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, "n size"], Float[Tensor, "n size"]]:
    """Where in each picture the columns and the rows of its crop lie, from -1 to 1; a mirrored one's go backwards."""
    low, high = augmentation.scale
    area = low + (high - low) * draws[:, 0]
    aspect = torch.exp(
        math.log(augmentation.ratio[0])
        + (math.log(augmentation.ratio[1]) - math.log(augmentation.ratio[0])) * draws[:, 1]
    )
    wide, tall = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    # One number places both axes: its leading bits the column, the rest the row.
    place = draws[:, 2] * 4096
    across, down = place.floor() / 4095, place.frac()
    steps = (2 * torch.arange(size, device=draws.device) + 1) / size - 1  # centres of pixels
    reach = torch.where(draws[:, 3] < augmentation.flip, -wide, wide)
    columns = torch.addcmul(((1 - wide) * (2 * across.clamp(max=1) - 1))[:, None], reach[:, None], steps)
    rows = torch.addcmul(((1 - tall) * (2 * down - 1))[:, None], tall[:, None], steps)
    return columns, rows


def crop(
    images: UInt8[Tensor, "n i s s"], columns: Float[Tensor, "n w"], rows: Float[Tensor, "n h"]
) -> Float[Tensor, "n i h w"]:
    """A rectangle of each picture by its `crop_lines`, in [0, 1], in one resampling."""
    # The grid is each of them spread over the other; `affine_grid` would multiply.
    grid = torch.stack(torch.broadcast_tensors(columns[:, None], rows[:, :, None]), dim=-1)
    return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False).div_(255)


_LUMA = (0.299, 0.587, 0.114)


def to_grayscale(x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Luma in all three channels."""
    return torch.einsum("nchw,c->nhw", x, x.new_tensor(_LUMA))[:, None].expand_as(x)


def color_jitter(x: Float[Tensor, "n 3 h w"], strength: float, draws: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 h w"]:
    """Brightness, contrast and saturation within 0.8 x strength of 1, hue turned within 0.2 x strength of a circle.

    All four are affine in the colour (the hue turns in the YIQ plane), so together they are one 3 x 3 matrix and one
    shift for each picture: a single pass over the pixels, cut to [0, 1] once at the end.
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
    colour = torch.linalg.inv(to_yiq) @ turn @ to_yiq @ (saturation * eye + (1 - saturation) * luma.expand(3, 3))
    mean = brightness[:, 0] * (x.mean(dim=(-2, -1)) @ luma)[:, None]  # what contrast leaves where it is
    shift = (colour @ ((1 - contrast[:, 0]) * mean).expand(-1, 3)[..., None]).squeeze(-1)
    mixed = torch.baddbmm(shift[..., None], colour * (brightness * contrast), x.flatten(2))
    return mixed.view_as(x).clamp_(0, 1)


def gaussian_blur(x: Float[Tensor, "n 3 h w"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n 3 h w"]:
    """Each picture blurred by its own sigma in pixels; 0 leaves it as it is. Separable, nine taps."""
    taps = torch.arange(-4, 5, device=x.device)
    kernel = torch.exp(-0.5 * (taps / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)[:, None]
    n, _, height, width = x.shape
    flat = F.pad(x.reshape(1, 3 * n, height, width), (4, 4, 4, 4), mode="reflect")
    flat = F.conv2d(flat, kernel[:, :, None, :], groups=3 * n)
    return F.conv2d(flat, kernel[..., None], groups=3 * n).reshape(n, 3, height, width)


@dataclass(frozen=True)
class BandMasking:
    """One band of frequencies and one of moments of a spectrogram are masked; the defaults are joint slot attention's.

    Attributes:
        widest: bins and frames that a band has at most; each width from 0 on is as likely.
        p: probability that a sound is masked.
        silent: what is masked becomes silence; else 0, which is none where a logarithm was taken.
        crossed: draw each start along the other axis, as InhoKim429/JSA does: of 257 x 501 about half of the frequency
            bands fall outside and mask nothing, and only the first half of the moments is ever masked.
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
    """Each scaled spectrogram with one band of frequencies and one of moments masked, by its row of `draws`.

    Args:
        draws: uniform numbers: width and start of the band of frequencies, then of moments; last, where `p` is below 1,
            whether there are any.
        silence: value of no power at all (`soundspot.data.transforms.spectrogram.silence`).
    """
    tall, wide = spectrograms.shape[-2:]
    fill = silence_value if masking.fill_silence else 0.0
    masked = spectrograms
    for at, (size, other) in enumerate(((tall, wide), (wide, tall))):
        width = (draws[:, 2 * at] * (masking.max_width[at] + 1)).floor()
        room = other if masking.swap_axes else (size - width + 1).clamp(min=1)
        start = (draws[:, 2 * at + 1] * room).floor()
        place = torch.arange(size, device=spectrograms.device)
        inside = (place >= start[:, None]) & (place < (start + width)[:, None])  # (n, size)
        if masking.p < 1:
            inside &= draws[:, 4:5] < masking.p
        masked = masked.masked_fill(inside[:, None, :, None] if at == 0 else inside[:, None, None], fill)
    return masked

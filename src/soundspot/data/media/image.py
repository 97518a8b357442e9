"""Pictures: read, resized, normalised, and back. Pillow decodes; what leaves here is RGB."""

import io
import os
import re
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from soundspot.config.frontend import ImageSpec
from soundspot.data.media.file_types import check_readable
from soundspot.errors import InputError

MAX_PIXELS = 80_000_000
ImageLike = str | os.PathLike[str] | Image.Image | NDArray | Tensor

T = TypeVar("T")
_LOSSY = ("JPEG", "MPO")
_ORIENTATION = 0x0112  # the EXIF tag that says how the camera was held
_REMEDY = "Open it in an image viewer to see whether it is whole, and save it again as JPEG or PNG"


def read_image(path: str | os.PathLike[str], min_side: int | None = None, content: bytes | None = None) -> Image.Image:
    """The picture in a file: RGB, upright (EXIF orientation applied), transparency laid on white.

    Args:
        path: any format Pillow reads; of an animation the first frame.
        at_least: pixels the shorter side must keep. A JPEG is then decoded at a half, a quarter or an eighth of its
            size where that is enough, several times faster and a little softer than a full decode.
        content: the bytes of the file, where they were read from elsewhere; `path` is what messages call it then.

    Raises:
        InputError: missing, empty, cut short, not an image, or of more than 80 megapixels (told from the header,
            before anything is decoded).
    """

    def decode(image: Image.Image) -> Image.Image:
        if min_side is not None:
            image.draft(None, (min_side, min_side))
        return _upright_rgb(image)

    return _decoded(Path(path), decode, content)


def read_mask(path: str | os.PathLike[str], content: bytes | None = None) -> Bool[Tensor, "h w"]:
    """True where the mask in a file shows the object, upright.

    Any pixel that is not 0 is object: grey, colour, or index of a palette, so masks of 0 and 1, of 0 and 255 and of
    numbered objects read alike. A JPEG's noise is no object: there a pixel must be brighter than 127.

    Raises:
        InputError: as `read_image`.
    """
    return _decoded(Path(path), _mask, content)


def as_image(image: ImageLike | object) -> Image.Image:
    """An upright RGB picture from a path, a PIL image, an (h, w, 3) array or a (3, h, w) tensor.

    Arrays and tensors hold uint8, or floats in [0, 1].
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if isinstance(image, Image.Image):
        _refuse_bomb(image, "the image")
        return _upright_rgb(image)
    if isinstance(image, Tensor):
        array, layout = image.detach().cpu().numpy(), "(3, h, w)"
        shape = array.shape
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    else:
        array, layout = np.asarray(image), "(h, w, 3)"
        shape = array.shape
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InputError(
            f"found an image of shape {shape}, expected {layout} for a {type(image).__name__}: "
            "arrays have channels last, tensors first. Transpose it, or pass a path or a PIL image."
        )
    if array.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(array))
    if array.dtype.kind != "f" or not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise InputError(
            f"found image values of {array.dtype} from {array.min()} to {array.max()}, expected uint8 or floats in "
            "[0, 1]. Divide by the largest value there can be, or undo the normalisation (`denormalise`)."
        )
    return Image.fromarray((array * 255).round().astype(np.uint8))


def squash(image: Image.Image, size: int) -> UInt8[Tensor, "3 size size"]:
    """An RGB picture made size x size by PIL's bicubic filter; the aspect ratio is not kept."""
    return _to_tensor(image.resize((size, size), Image.Resampling.BICUBIC))


def fast_squash(image: Image.Image, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """An RGB picture made size x size as `squash` does it, channels last; as it is where it has that size.

    Torch's bicubic filter for bytes, four times as fast as PIL's and a level of 255 or so beside it: for training.
    Released front ends name PIL.
    """
    if image.size == (size, size):
        return np.asarray(image)
    planes = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    return F.interpolate(planes, (size, size), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()


def preprocess_images(
    images: Sequence[Image.Image], spec: ImageSpec, flows: Sequence[Image.Image] = ()
) -> Float[Tensor, "b i size size"]:
    """RGB pictures of any sizes, as the network of `spec` takes them: resized and normalised, float32.

    Args:
        flows: optical flow of each as a picture (`soundspot.data.media.optical_flow.flow_picture`), where `spec` has it.

    Returns:
        Three channels; where `spec` has flow, five.
    """
    planes = _resized(images, spec)
    if spec.flow:
        planes = torch.cat([planes, _resized(flows, spec)[:, :2]], dim=1)
    return normalize(planes, spec)


def _resized(
    images: Sequence[Image.Image], spec: ImageSpec
) -> UInt8[Tensor, "b 3 size size"] | Float[Tensor, "b 3 size size"]:
    if spec.resize == "squash":
        return torch.stack([squash(image, spec.size) for image in images])
    if spec.resize == "crop":
        return torch.stack([_crop(image, spec.size) for image in images])
    antialias = spec.resize == "squash-tensor-antialias"
    resized = [
        F.interpolate(_to_tensor(image)[None] / 255, (spec.size, spec.size), mode="bicubic", antialias=antialias)
        for image in images
    ]
    return torch.cat(resized)  # bicubic overshoots [0, 1]; not clamped, as in the releases


def normalize(
    images: UInt8[Tensor, "*b i h w"] | Float[Tensor, "*b i h w"],
    spec: ImageSpec,
    out: Float[Tensor, "*b i h w"] | None = None,
) -> Float[Tensor, "*b i h w"]:
    """Pictures in uint8, or floats in [0, 1], less the mean and over the standard deviation of each channel.

    Planes after the third are scaled to [0, 1] alone. `out` is written into, where it is given.
    """
    scaled = images.float() / 255 if images.dtype == torch.uint8 else images
    mean, std = _mean_and_std(spec, images.shape[-3] - 3, scaled.dtype, scaled.device)
    return torch.sub(scaled, mean, out=out).div_(std)


@lru_cache
def _mean_and_std(
    spec: ImageSpec, more: int, dtype: torch.dtype, device: torch.device
) -> tuple[Float[Tensor, "i 1 1"], Float[Tensor, "i 1 1"]]:
    values = torch.tensor([spec.mean + (0.0,) * more, spec.std + (1.0,) * more], dtype=dtype, device=device)
    return values[0, :, None, None], values[1, :, None, None]


def denormalize(images: Float[Tensor, "*b 3 h w"], spec: ImageSpec) -> Float[Tensor, "*b 3 h w"]:
    """What `normalise` was given, as floats, cut to [0, 1] for showing."""
    mean, std = (images.new_tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    return (images * std + mean).clamp(0, 1)


def _decoded(path: Path, decode: Callable[[Image.Image], T], content: bytes | None = None) -> T:
    """What `decode` makes of the opened file; whatever goes wrong is an InputError that says what was found."""
    if content is None:
        check_readable(path, "an image file such as JPEG or PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about bombs and odd metadata: what matters of it is raised below
        try:
            with Image.open(path if content is None else io.BytesIO(content)) as image:
                _refuse_bomb(image, path)
                return decode(image)
        except InputError:
            raise
        except Image.DecompressionBombError as error:
            pixels = int(re.findall(r"\d+", str(error))[0])  # Pillow itself gave up, and says the size in words
            raise InputError(_bomb(path, f"{pixels / 1e6:.0f} megapixels")) from error
        except Exception as error:  # decoders of broken files raise anything, from OSError to KeyError
            raise InputError(f"{path}: found {_words(error)}, expected a whole image. {_REMEDY}.") from error


def _mask(image: Image.Image) -> Bool[Tensor, "h w"]:
    lossy = image.format in _LOSSY
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if lossy:
        return torch.from_numpy(np.asarray(image.convert("L")) > 127)
    there = np.asarray(image) != 0
    if there.ndim == 3:
        colours = 3 if there.shape[2] > 2 else 1  # what is left is transparency
        there = np.logical_or.reduce(there[..., :colours], axis=2)
    return torch.from_numpy(there)


def _upright_rgb(image: Image.Image) -> Image.Image:
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == "RGB":
        image.load()  # what is lazily opened must not need its file any more
        return image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode == "I" or image.mode.startswith("I;16"):  # Pillow would cut 16-bit grey at 255
        grey = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        return as_image(np.asarray(image)[..., None].repeat(3, axis=-1))
    return image.convert("RGB")


def _to_tensor(image: Image.Image) -> UInt8[Tensor, "3 h w"]:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _crop(image: Image.Image, size: int) -> UInt8[Tensor, "3 size size"]:
    """Shorter side to `size` (the longer one rounded down), then the middle, as torchvision's Resize and CenterCrop."""
    width, height = image.size
    short = min(width, height)
    width, height = int(size * width / short), int(size * height / short)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    return _to_tensor(resized.crop((left, top, left + size, top + size)))


def visible_region(size: tuple[int, int], spec: ImageSpec) -> tuple[float, float, float, float]:
    """The part of a picture of `size` (width, height) that reaches the network: x0, y0, x1, y1 as fractions."""
    if spec.resize != "crop":
        return (0.0, 0.0, 1.0, 1.0)
    resized = [int(spec.size * side / min(size)) for side in size]  # as `prepare_images` does it, in its pixels
    near = [round((side - spec.size) / 2) for side in resized]
    x0, y0, x1, y1 = (*near, *(at + spec.size for at in near))
    return (x0 / resized[0], y0 / resized[1], x1 / resized[0], y1 / resized[1])


def _refuse_bomb(image: Image.Image, path: Path | str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(_bomb(path, f"{width} x {height} pixels ({width * height / 1e6:.0f} megapixels)"))


def _bomb(path: Path | str, found: str) -> str:
    return f"{path}: found {found}, expected at most {MAX_PIXELS // 1_000_000} megapixels. Make it smaller first."


def _words(error: Exception) -> str:
    """What the decoder says, without the path that PIL repeats."""
    if isinstance(error, UnidentifiedImageError):
        return "a file of no known image format"
    return f"a broken or truncated image ({error or type(error).__name__})"

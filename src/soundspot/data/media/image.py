"""Images: read, resized, normalized, and back. Pillow decodes; results are RGB."""

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
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from soundspot.config.frontend import ImageSpec
from soundspot.data.media.file_types import check_readable, detect_file_type
from soundspot.errors import InputError

MAX_PIXELS = 80_000_000
PATCH = 8  # pixels of which `shortest-edge` has a whole number
ImageLike = str | os.PathLike[str] | Image.Image | NDArray | Tensor

T = TypeVar("T")
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_HEIF_HEAD = 64  # bytes: of the box `ftyp`, which lists the brands of a file
_ORIENTATION = 0x0112  # the EXIF tag of the camera's orientation
_OTHER_TYPES = {
    "audio": "It is a sound: the image comes first, sounds after it",
    "video": "It is a video: `soundspot locate VIDEO` alone, in Python `locate_video`",
}
_PIL_FILTERS = {
    "squash": Image.Resampling.BICUBIC,
    "squash-bilinear": Image.Resampling.BILINEAR,
    "crop": Image.Resampling.BICUBIC,
    "crop-bilinear": Image.Resampling.BILINEAR,
}
_REMEDY = "Open it in an image viewer to see whether it is whole, and save it again as JPEG or PNG"


def read_image(path: str | os.PathLike[str], content: bytes | None = None) -> Image.Image:
    """Read an image: RGB, upright (EXIF orientation applied), transparency laid on white.

    Args:
        path: path of a file in any format that Pillow reads; of an animation the first frame is used.
        content: bytes of the file, where they were read from elsewhere; `path` is then its name in messages.

    Returns:
        The decoded image, independent of the file.

    Raises:
        InputError: missing, empty, cut short, not an image, or of more than 80 megapixels (seen in the header, before
            anything is decoded).
    """
    return decode_image(Path(path), _upright_rgb, content)


def as_image(image: ImageLike | object) -> Image.Image:
    """Return an upright RGB image from a path, a PIL image, an array or a tensor.

    Args:
        image: path of an image file, PIL image of any mode, (h, w, 3) array or (3, h, w) tensor; arrays and tensors
            hold uint8, or floats in [0, 1].

    Returns:
        RGB image of the same size.

    Raises:
        InputError: `image` is none of these, has values out of range, has more than 80 megapixels, or the file cannot
            be read.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if isinstance(image, Image.Image):
        _check_size(image, "the image")
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
            "[0, 1]. Divide by the largest value there can be, or undo the normalization (`denormalize`)."
        )
    return Image.fromarray((array * 255).round().astype(np.uint8))


def squash(
    image: Image.Image, size: int, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> UInt8[Tensor, "3 size size"]:
    """Resize an RGB image to a square by a filter of PIL; the aspect ratio is not kept.

    Args:
        image: RGB image of any size.
        size: side of the square in pixels.
        resample: filter.

    Returns:
        (3, size, size) uint8.
    """
    return _to_tensor(image.resize((size, size), resample))


def fast_squash(image: Image.Image, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Resize an RGB image to a square by torch's bicubic filter with antialiasing, for training.

    It is four times as fast as PIL's filter (`squash`), from which it differs by about one level of 255. Released front
    ends use PIL.

    Args:
        image: RGB image of any size; one of `size` x `size` is unchanged.
        size: side of the square in pixels.

    Returns:
        (size, size, 3) uint8.
    """
    if image.size == (size, size):
        return np.asarray(image)
    planes = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    return F.interpolate(planes, (size, size), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()


def preprocess_images(
    images: Sequence[Image.Image], spec: ImageSpec, flows: Sequence[Image.Image] = ()
) -> Float[Tensor, "b i h w"]:
    """Resize and normalize RGB images of any sizes for the network of `spec`.

    Args:
        images: b RGB images.
        spec: image front end, which says how they are resized.
        flows: optical flow of each image as an RGB image (`soundspot.data.media.optical_flow.flow_to_image`); used and
            required where `spec.flow` is True.

    Returns:
        (b, 3, h, w) float32; with flow (b, 5, h, w), whose last two channels are in [0, 1]. h and w are `spec.size`,
        unless `spec.resize` is `shortest-edge`.

    Raises:
        InputError: `spec.resize` is `shortest-edge`, and the images have different shapes.
    """
    channels = _resize(images, spec)
    if spec.flow:
        channels = torch.cat([channels, _resize(flows, spec)[:, :2]], dim=1)
    return normalize(channels, spec)


def _resize(images: Sequence[Image.Image], spec: ImageSpec) -> UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]:
    if spec.resize == "shortest-edge":
        resized = [_shortest_edge(image, spec.size) for image in images]
        if len(shapes := {tuple(image.shape[1:]) for image in resized}) > 1:
            raise InputError(
                f"found images that become {len(shapes)} shapes in one batch, expected one: this front end keeps the "
                "aspect ratio. Give them one by one, or choose a front end that crops or squashes."
            )
        return torch.stack(resized)
    if spec.resize in _PIL_FILTERS:
        fit = _crop if spec.resize.startswith("crop") else squash
        return torch.stack([fit(image, spec.size, _PIL_FILTERS[spec.resize]) for image in images])
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
    """Subtract the mean and divide by the standard deviation of each channel.

    Args:
        images: (..., i, h, w) uint8, which is divided by 255, or floats in [0, 1]; i >= 3. Channels after the third are
            only scaled to [0, 1].
        spec: image front end with mean and standard deviation.
        out: tensor to write the result to, of the same shape; None: a new tensor.

    Returns:
        (..., i, h, w), float32 for uint8 images, else of the type of the images.
    """
    scaled = images.float() / 255 if images.dtype == torch.uint8 else images
    mean, std = _mean_and_std(spec, images.shape[-3] - 3, scaled.dtype, scaled.device)
    return torch.sub(scaled, mean, out=out).div_(std)


@lru_cache
def _mean_and_std(
    spec: ImageSpec, num_extra: int, dtype: torch.dtype, device: torch.device
) -> tuple[Float[Tensor, "i 1 1"], Float[Tensor, "i 1 1"]]:
    values = torch.tensor([spec.mean + (0.0,) * num_extra, spec.std + (1.0,) * num_extra], dtype=dtype, device=device)
    return values[0, :, None, None], values[1, :, None, None]


def denormalize(images: Float[Tensor, "*b 3 h w"], spec: ImageSpec) -> Float[Tensor, "*b 3 h w"]:
    """Undo `normalize`, for display.

    Args:
        images: (..., 3, h, w) normalized images, without further channels.
        spec: image front end with mean and standard deviation.

    Returns:
        (..., 3, h, w) floats, clipped to [0, 1].
    """
    mean, std = (images.new_tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    return (images * std + mean).clamp(0, 1)


def decode_image(path: Path, decode: Callable[[Image.Image], T], content: bytes | None = None) -> T:
    """Open an image file and decode it.

    Args:
        path: path of the file.
        decode: function that is called with the image as Pillow opened it, before the file is closed.
        content: bytes of the file, where they were read from elsewhere; `path` is then its name in messages.

    Returns:
        What `decode` returns.

    Raises:
        InputError: missing, empty, cut short, not an image, or of more than 80 megapixels.
    """
    if content is None:
        check_readable(path, "an image file such as JPEG or PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bombs and odd metadata: what matters is raised below
        try:
            with _open_file(path, content) as file, _open(path, file) as image:
                _check_size(image, path)
                return decode(image)
        except InputError:
            raise
        except Image.DecompressionBombError as error:
            pixels = int(re.findall(r"\d+", str(error))[0])  # Pillow itself gave up, and gives the size in its message
            raise _size_error(path, f"{pixels / 1e6:.0f} megapixels") from error
        except Exception as error:  # decoders of broken files raise anything, from OSError to KeyError
            problem = f"a broken or truncated image ({error or type(error).__name__})"
            if isinstance(error, UnidentifiedImageError):  # its message repeats the path
                problem = "a file of no known image format"
            other = _OTHER_TYPES.get(detect_file_type(os.fsencode(path)) or "")
            raise InputError(f"{path}: found {problem}, expected a whole image. {other or _REMEDY}.") from error


class _BoundedFile(io.BufferedReader):
    """File of which no more bytes are asked for than it has, whatever the lengths in it say: each read allocates."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None else min(size, os.fstat(self.fileno()).st_size))


def _open_file(path: Path, content: bytes | None) -> io.BufferedReader | io.BytesIO:
    return _BoundedFile(io.FileIO(path)) if content is None else io.BytesIO(content)


def _open(path: Path, file: io.BufferedReader | io.BytesIO) -> Image.Image:
    """Open an image file; HEIF, which Pillow does not know, by the decoder of the extra `heic`."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        file.seek(0)
        head = file.read(_HEIF_HEAD)
        if head[4:8] != b"ftyp" or not _HEIF_BRANDS & {head[at : at + 4] for at in range(8, len(head) - 3, 4)}:
            raise
        try:
            from pi_heif import register_heif_opener
        except ImportError as error:
            raise InputError(
                f"{path}: found a HEIC photograph, which needs a decoder that is not installed. Install it: "
                'pip install "soundspot[heic]", or save the photograph as JPEG.',
                "no decoder",
            ) from error
        register_heif_opener()
        file.seek(0)
        return Image.open(file)


def turn_upright(image: Image.Image) -> Image.Image:
    """Apply the orientation of an image's EXIF data.

    Args:
        image: image of any mode, as Pillow opened it.

    Returns:
        The image as a viewer shows it.
    """
    return image if image.getexif().get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)


def _upright_rgb(image: Image.Image) -> Image.Image:
    image = turn_upright(image)
    if image.mode == "RGB":
        image.load()  # the result must not need its file any more
        return image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode == "I" or image.mode.startswith("I;16"):  # Pillow would clip 16-bit gray at 255
        gray = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
        return Image.fromarray(gray.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        return as_image(np.asarray(image)[..., None].repeat(3, axis=-1))
    return image.convert("RGB")


def _to_tensor(image: Image.Image) -> UInt8[Tensor, "3 h w"]:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _short_side(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Return (width, height) scaled so that the shorter is `short`; the longer is rounded down, as in torchvision."""
    return int(short * size[0] / min(size)), int(short * size[1] / min(size))


def _shortest_edge(image: Image.Image, size: int) -> UInt8[Tensor, "3 h w"]:
    width, height = _short_side(image.size, size)
    resized = F.interpolate(_to_tensor(image)[None], (height, width), mode="bilinear", antialias=True)[0]
    return resized[:, : height // PATCH * PATCH, : width // PATCH * PATCH]


def _crop(image: Image.Image, size: int, resample: Image.Resampling) -> UInt8[Tensor, "3 size size"]:
    """Resize the shorter side to `size` (the longer one rounded down) and crop the middle, as torchvision does."""
    width, height = _short_side(image.size, size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), resample)
    return _to_tensor(resized.crop((left, top, left + size, top + size)))


def visible_region(size: tuple[int, int], spec: ImageSpec) -> tuple[float, float, float, float]:
    """Return the region of an image that reaches the network.

    Args:
        size: (width, height) of the image in pixels.
        spec: image front end.

    Returns:
        x0, y0, x1, y1 as fractions of the image's width and height; (0, 0, 1, 1) where `spec.resize` squashes.
    """
    if spec.resize.startswith("squash"):
        return (0.0, 0.0, 1.0, 1.0)
    resized = _short_side(size, spec.size)  # as `preprocess_images` does, in its pixels
    if spec.resize == "shortest-edge":
        return (0.0, 0.0, *(side // PATCH * PATCH / side for side in resized))  # type: ignore[return-value]
    x0, y0 = (round((side - spec.size) / 2) for side in resized)
    x1, y1 = x0 + spec.size, y0 + spec.size
    return (x0 / resized[0], y0 / resized[1], x1 / resized[0], y1 / resized[1])


def _check_size(image: Image.Image, path: Path | str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _size_error(path, f"{width} x {height} pixels ({width * height / 1e6:.0f} megapixels)")


def _size_error(path: Path | str, size: str) -> InputError:
    return InputError(
        f"{path}: found {size}, expected at most {MAX_PIXELS // 1_000_000} megapixels. Make it smaller first."
    )

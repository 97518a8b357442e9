"""Optical flow: how far each pixel moves from one frame to the next, and the 8-bit form in which folders store it.

HearTheFlow (denfed/heartheflow, commit 60ed54d8) stores Farnebäck's flow of two consecutive frames, in pixels of the
video, as two gray images, `flow_x/ID.jpg` and `flow_y/ID.jpg`, which OpenCV rounds and clips to 0..255: one step is
one pixel a frame, to the right and down; motion to the left or up is stored as 0, like no motion. The network's input
is these numbers divided by 255. That is what its code does with Flickr-SoundNet. How VGGSound was prepared was not
released; we take it to be the same. The form is kept, so that folders and weights of theirs fit; files of ours are
PNG, which loses nothing more.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from soundspot.data.datasets.clip_ids import replace_dots
from soundspot.data.media.file_types import DirectoryIndex
from soundspot.data.media.image import read_image
from soundspot.errors import DataError, InputError, RecipeError, did_you_mean
from soundspot.utils.atomic_io import atomic_write_bytes

FLOW_ALGORITHMS = ("farneback", "dis")
FLOW_FOLDERS = ("flow_x", "flow_y")
FLOW_SUFFIXES = (".png", ".jpg", ".jpeg")


def compute_optical_flow(
    before: Image.Image, after: Image.Image, algorithm: str = "farneback"
) -> Float[Tensor, "2 h w"]:
    """Compute the displacement in pixels of each pixel of `before` until `after`: x to the right, then y down.

    Args:
        before, after: two RGB frames of the same size. The same frame twice gives exactly 0.
        algorithm: `farneback` with HearTheFlow's settings (pyramid of 3 by halves, window 15, 3 iterations, polynomials
            over 5 pixels of sigma 1.2), or `dis`, dense inverse search, OpenCV's medium preset.

    Returns:
        (2, h, w) float32, in pixels per frame.

    Raises:
        InputError: the frames differ in size.
        RecipeError: an unknown algorithm, or OpenCV is not installed.
    """
    if algorithm not in FLOW_ALGORITHMS:
        raise RecipeError(f"algorithm: unknown optical flow {algorithm!r}{did_you_mean(algorithm, FLOW_ALGORITHMS)}")
    if before.size != after.size:
        raise InputError(f"found frames of {before.size} and {after.size}, expected one size. Resize one of them.")
    cv2 = import_opencv()
    first, second = (cv2.cvtColor(np.asarray(frame.convert("RGB")), cv2.COLOR_RGB2GRAY) for frame in (before, after))
    if np.array_equal(first, second):
        return torch.zeros(2, *first.shape)
    if algorithm == "farneback":
        flow = cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    else:
        flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(first, second, None)
    return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)))


def import_opencv() -> Any:
    """Import OpenCV, which is an optional dependency.

    Returns:
        The module `cv2`.

    Raises:
        RecipeError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise RecipeError(
            "optical flow is computed by OpenCV, which is not installed; `pip install 'soundspot[flow]'`, or give flow "
            "that is there already (the data set's option `flow`)"
        ) from error
    return cv2


def as_flow(flow: Any) -> Float[Tensor, "2 h w"]:
    """Return optical flow as a float32 tensor after checking it.

    Args:
        flow: (2, h, w) array, tensor or nested sequence of finite numbers: displacement to the right and down in pixels
            per frame.

    Returns:
        (2, h, w) float32 tensor on the CPU, with the same values.

    Raises:
        InputError: `flow` has another shape, is empty, or has values that are no finite numbers.
    """
    try:
        values = torch.as_tensor(np.asarray(flow.detach().cpu() if isinstance(flow, Tensor) else flow)).float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"found a {type(flow).__name__} for optical flow, expected numbers (2, h, w).") from error
    if values.ndim != 3 or len(values) != 2 or 0 in values.shape or not values.isfinite().all():
        raise InputError(
            f"found optical flow of shape {tuple(values.shape)}, expected finite numbers (2, h, w): pixels to the "
            "right, then down. Transpose it, or compute it anew (`compute_optical_flow`)."
        )
    return values


def quantize_flow(flow: Float[Tensor, "2 h w"]) -> UInt8[Tensor, "2 h w"]:
    """Convert flow to its 8-bit form: rounded (halves to even) and clipped to 0..255, as in the release's files.

    Args:
        flow: (2, h, w) displacement in pixels per frame; negative values become 0.

    Returns:
        (2, h, w) uint8, one step per pixel of displacement.
    """
    return flow.round().clamp(0, 255).to(torch.uint8)


def encode_flow(flow: Float[Tensor, "2 h w"]) -> dict[str, bytes]:
    """Encode flow in its 8-bit form (rounded, clipped to 0..255) as two gray PNG files.

    Args:
        flow: (2, h, w) displacement in pixels per frame.

    Returns:
        Bytes of each file by its folder, `flow_x` and `flow_y`.
    """
    files = {}
    for folder, channel in zip(FLOW_FOLDERS, quantize_flow(flow), strict=True):
        content = io.BytesIO()
        Image.fromarray(channel.numpy()).save(content, format="PNG")
        files[folder] = content.getvalue()
    return files


def flow_to_image(flow: Float[Tensor, "2 h w"]) -> Image.Image:
    """Convert flow to its 8-bit form as an RGB image, so that it can be resized like an image.

    Args:
        flow: (2, h, w) displacement in pixels per frame, rounded and clipped to 0..255.

    Returns:
        RGB image of the same size: x in its first channel, y in its second, 0 in its third.
    """
    x, y = (Image.fromarray(channel.numpy()) for channel in quantize_flow(flow))
    return Image.merge("RGB", (x, y, Image.new("L", x.size)))


class FlowFolder:
    """Optical flow of clips by name: `flow_x/NAME.png` and `flow_y/NAME.png` (or .jpg, .jpeg) in one folder.

    Names may have folders in them; a dot in a name may have become `_`, as `soundspot data flow` writes them.

    Args:
        root: path of the folder.

    Raises:
        DataError: the folder, or its `flow_x` or `flow_y`, is missing.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not all((self.root / folder).is_dir() for folder in FLOW_FOLDERS):
            raise DataError(
                f"{self.root}: found no folders flow_x and flow_y, expected both. `soundspot data flow VIDEOS -o "
                f"{self.root}` makes them"
            )
        self._files = DirectoryIndex(self.root)

    def find_files(self, name: str) -> tuple[Path, Path] | None:
        """Find both files of a clip; png is preferred to jpg, and the name as given to the name without dots.

        Args:
            name: name of the clip without suffix.

        Returns:
            Paths of the x file and the y file; None where either is missing.
        """
        for key in dict.fromkeys((name, replace_dots(name))):
            candidates = [[f"{folder}/{key}{suffix}" for suffix in FLOW_SUFFIXES] for folder in FLOW_FOLDERS]
            x, y = (next((file for file in files if file in self._files), None) for files in candidates)
            if x and y:
                return self.root / x, self.root / y
        return None

    def read(self, name: str) -> Float[Tensor, "2 h w"]:
        """Read the flow of a clip.

        Args:
            name: name of the clip without suffix.

        Returns:
            (2, h, w) float32, whole numbers from 0 to 255 in pixels per frame: to the right, then down.

        Raises:
            InputError: a file is broken.
            DataError: a file is missing, or both differ in size.
        """
        files = self.find_files(name)
        if files is None:
            raise DataError(f"{self.root}: found no flow_x/{name}.png and flow_y/{name}.png, expected both")
        x, y = (read_image(file).convert("L") for file in files)
        if x.size != y.size:
            raise DataError(f"{files[0]}: is {x.size} and {files[1]} is {y.size}, expected one size. Make them again")
        return torch.from_numpy(np.stack([np.asarray(x), np.asarray(y)])).float()

    def write(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write the files of a clip as .png, each of them complete or not at all; existing files are replaced.

        Args:
            name: name of the clip without suffix.
            files: bytes of each PNG file by its folder, as `encode_flow` returns them.
        """
        for folder, content in files.items():
            file = self.root / folder / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(file, content)

"""Optical flow: how far each pixel moves from one frame to the next, and the 8-bit form in which it lies in folders.

HearTheFlow (denfed/heartheflow, commit 60ed54d8) stores Farnebäck's flow of two frames in a row, in pixels of the
video, as two grey pictures, `flow_x/ID.jpg` and `flow_y/ID.jpg`, which OpenCV rounds and cuts to 0..255: one step is
one pixel a frame, to the right and down; what moves to the left or up is stored as 0, as is what stands still. The
network sees these numbers over 255. That is what its code does with Flickr-SoundNet. How VGGSound was prepared was not
released; we take it to be the same. The form is kept, so that folders and weights of theirs fit; files of ours are
PNG, which loses nothing more.
"""

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
from soundspot.utils.atomic_io import atomic_write

FLOW_ALGORITHMS = ("farneback", "dis")
FLOW_FOLDERS = ("flow_x", "flow_y")
FLOW_SUFFIXES = (".png", ".jpg", ".jpeg")
STILL = 0  # the 8-bit value of what does not move


def compute_optical_flow(
    before: Image.Image, after: Image.Image, algorithm: str = "farneback"
) -> Float[Tensor, "2 h w"]:
    """Pixels that each place of `before` moves by on its way to `after`: x to the right, then y down.

    Args:
        before, after: two RGB frames of one size. The same frame twice gives exactly 0.
        how: `farneback` with HearTheFlow's settings (pyramid of 3 by halves, window 15, 3 iterations, polynomials over
            5 pixels of sigma 1.2), or `dis`, dense inverse search, OpenCV's medium preset.

    Raises:
        InputError: frames of two sizes. RecipeError: an unknown way, or OpenCV is not there.
    """
    if algorithm not in FLOW_ALGORITHMS:
        raise RecipeError(f"how: unknown optical flow {algorithm!r}{did_you_mean(algorithm, FLOW_ALGORITHMS)}")
    if before.size != after.size:
        raise InputError(f"found frames of {before.size} and {after.size}, expected one size. Resize one of them.")
    cv2 = import_opencv()
    one, two = (cv2.cvtColor(np.asarray(frame.convert("RGB")), cv2.COLOR_RGB2GRAY) for frame in (before, after))
    if np.array_equal(one, two):
        return torch.zeros(2, *one.shape)
    if algorithm == "farneback":
        found = cv2.calcOpticalFlowFarneback(one, two, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    else:
        found = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(one, two, None)
    return torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1)))


def import_opencv() -> Any:
    """The module `cv2`; RecipeError where it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise RecipeError(
            "optical flow is computed by OpenCV, which is not installed; `pip install 'soundspot[flow]'`, or give flow "
            "that is there already (the data set's option `flow`)"
        ) from error
    return cv2


def as_flow(flow: Any) -> Float[Tensor, "2 h w"]:
    """Flow in pixels a frame from an array or tensor (2, h, w); InputError where it is none."""
    try:
        found = torch.as_tensor(np.asarray(flow.detach().cpu() if isinstance(flow, Tensor) else flow)).float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"found a {type(flow).__name__} for optical flow, expected numbers (2, h, w).") from error
    if found.ndim != 3 or len(found) != 2 or 0 in found.shape or not found.isfinite().all():
        raise InputError(
            f"found optical flow of shape {tuple(found.shape)}, expected finite numbers (2, h, w): pixels to the "
            "right, then down. Transpose it, or compute it anew (`soundspot.data.media.optical_flow.optical_flow`)."
        )
    return found


def quantize_flow(flow: Float[Tensor, "2 h w"]) -> UInt8[Tensor, "2 h w"]:
    """The 8-bit form: rounded (halves to even) and cut to 0..255, as the release's files have it."""
    return flow.round().clamp(0, 255).to(torch.uint8)


def flow_to_image(flow: Float[Tensor, "2 h w"]) -> Image.Image:
    """The 8-bit form as a picture, x in its first channel and y in its second, to be resized as pictures are."""
    x, y = (Image.fromarray(plane.numpy()) for plane in quantize_flow(flow))
    return Image.merge("RGB", (x, y, Image.new("L", x.size)))


class FlowFolder:
    """Flow of clips by their names: `flow_x/NAME.png` and `flow_y/NAME.png` (or .jpg) in one folder.

    Names may have folders in them; a dot in one may have become `_`, as `soundspot data flow` writes them.

    Raises:
        DataError: there is no such folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not all((self.root / part).is_dir() for part in FLOW_FOLDERS):
            raise DataError(
                f"{self.root}: found no folders flow_x and flow_y, expected both. `soundspot data flow VIDEOS -o "
                f"{self.root}` makes them"
            )
        self._files = DirectoryIndex(self.root)

    def find_files(self, name: str) -> tuple[Path, Path] | None:
        """Both files of a clip, or None."""
        for key in dict.fromkeys((name, replace_dots(name))):
            x, y = (
                next((f"{p}/{key}{end}" for end in FLOW_SUFFIXES if f"{p}/{key}{end}" in self._files), "")
                for p in FLOW_FOLDERS
            )
            if x and y:
                return self.root / x, self.root / y
        return None

    def read(self, name: str) -> Float[Tensor, "2 h w"]:
        """The flow of a clip, in pixels a frame.

        Raises:
            InputError: a file is broken. DataError: it is not there, or both differ in size.
        """
        files = self.find_files(name)
        if files is None:
            raise DataError(f"{self.root}: found no flow_x/{name}.png and flow_y/{name}.png, expected both")
        x, y = (read_image(file).convert("L") for file in files)
        if x.size != y.size:
            raise DataError(f"{files[0]}: is {x.size} and {files[1]} is {y.size}, expected one size. Make them again")
        return torch.from_numpy(np.stack([np.asarray(x), np.asarray(y)])).float()

    def write(self, name: str, flow: Float[Tensor, "2 h w"]) -> None:
        """Both files of a clip, each whole or not at all."""
        for part, plane in zip(FLOW_FOLDERS, quantize_flow(flow), strict=True):
            file = self.root / part / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file) as draft:
                Image.fromarray(plane.numpy()).save(draft, format="PNG")

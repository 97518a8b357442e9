"""SAM 2 as a segmenter: `Sam2Model` of transformers (extra `hub`), with a front end of our own.

Its processors need torchvision, which does not load beside every build of torch. What they do is little: the image is
squashed to a square (bilinear, antialiased) and normalized, positions are scaled alike, and logits are enlarged
bilinearly to the image and cut at 0; `examples/compare_sam2.py` keeps that equal to the processors. (Ravi et al., "SAM
2: Segment Anything in Images and Videos", 2024.)
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from soundspot.errors import InputError
from soundspot.inference.connected_components import BoxXYXY
from soundspot.inference.contours.segmenters import Click
from soundspot.types import Box
from soundspot.utils.safe_read import convert_read_errors

DEFAULT_NAME = "facebook/sam2.1-hiera-tiny"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@cache
def load_model(name: str, device: str, is_video: bool = False) -> Any:
    """Load SAM 2 from the hub or from a folder, once.

    Args:
        name: name of the weights on the hub, or their folder.
        device: device of the network, such as `cuda`.
        is_video: whether it is a `Sam2VideoModel`; False: a `Sam2Model`.

    Returns:
        The model on the device.

    Raises:
        InputError: transformers is not installed, or there are no such weights.
    """
    try:
        from transformers import Sam2Model, Sam2VideoModel
    except ImportError as error:
        raise InputError(
            'sam2 needs transformers, which is not installed. Install it: pip install "soundspot[hub]"'
        ) from error
    expected = (
        "expected weights of SAM 2. Check the name and the network; without one, fetch them elsewhere (`hf download "
        f"{DEFAULT_NAME} --local-dir FOLDER`) and name the folder: sam2:FOLDER"
    )
    with convert_read_errors(name, expected, InputError):
        model = (Sam2VideoModel if is_video else Sam2Model).from_pretrained(name)
    return model.to(device)


class Sam2Segmenter:
    """SAM 2, asked with the clicks and the box of one object, or with the boxes of several.

    The image before is kept with its features, so that another click, sound or region costs the small decoder alone.

    Args:
        name: name of the weights on the hub, or their folder.
        model: a `Sam2Model` that is loaded already; None: it is loaded by name.
        device: device of the network, such as `cuda`.

    Raises:
        InputError: transformers is not installed, or there are no such weights.
    """

    name = "sam2"

    def __init__(self, name: str = DEFAULT_NAME, model: Any = None, device: str = "cpu") -> None:
        self._model = (load_model(name, device) if model is None else model.to(device)).eval()
        self._device = device
        self._encoded: tuple[Image.Image | None, Any] = None, None
        self._side = int(model.config.prompt_encoder_config.image_size)

    def segment(self, image: Image.Image, clicks: Sequence[Click], box: Box | None) -> Bool[np.ndarray, "h w"]:
        """Segment an object from clicks and a box.

        Args:
            image: RGB image of w x h pixels.
            clicks: clicks on the object and on the background.
            box: box around the object in pixels of the image; None: no box.

        Returns:
            (h, w) bool mask; empty without a box and without a click on the object.
        """
        if box is None and not any(click.is_object for click in clicks):
            return np.zeros((image.height, image.width), bool)
        scale = torch.tensor([self._side / image.width, self._side / image.height])
        prompts: dict[str, Tensor] = {}
        if clicks:
            points = torch.tensor([[float(click.x), float(click.y)] for click in clicks]) * scale
            labels = torch.tensor([int(click.is_object) for click in clicks])
            prompts |= {"input_points": points[None, None], "input_labels": labels[None, None]}
        if box is not None:
            corners = torch.tensor([[box.x0, box.y0], [box.x1, box.y1]], dtype=torch.float32) * scale
            prompts["input_boxes"] = corners.flatten()[None, None]
        return self._decode(image, prompts)[0]

    def segment_regions(self, image: Image.Image, boxes: Sequence[BoxXYXY]) -> list[Bool[np.ndarray, "h w"]]:
        """Segment the object in each box, of an image that is encoded once.

        Args:
            image: RGB image of w x h pixels.
            boxes: n boxes x0, y0, x1, y1 in pixels.

        Returns:
            n masks (h, w); those of nothing are empty.
        """
        if not boxes:
            return []
        scale = torch.tensor([self._side / image.width, self._side / image.height]).repeat(2)
        return self._decode(image, {"input_boxes": (torch.tensor(boxes) * scale)[None]})

    def _decode(self, image: Image.Image, prompts: dict[str, Tensor]) -> list[Bool[np.ndarray, "h w"]]:
        """Return the masks of n prompts (1, n, ...) in an image."""
        prompts = {name: prompt.to(self._device) for name, prompt in prompts.items()}
        with torch.inference_mode():
            encoded, features = self._encoded
            if encoded is not image:
                pixels = preprocess_image(image, self._side).to(self._device)
                features = self._model.get_image_embeddings(pixels)
                self._encoded = image, features
            output = self._model(image_embeddings=features, multimask_output=False, **prompts)
        return [enlarge_logits(logits, image.size) for logits in output.pred_masks[0, :, 0].cpu()]


def preprocess_image(image: Image.Image, side: int) -> Float[Tensor, "1 3 side side"]:
    """Squash and normalize an image as SAM 2 expects it.

    Args:
        image: RGB image of any size.
        side: side of the network's square input in pixels.

    Returns:
        (1, 3, side, side) normalized pixels.
    """
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None]
    squashed = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)  # of bytes, as the processors do it
    mean, std = (255 * torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (squashed - mean) / std


def enlarge_logits(logits: Float[Tensor, "y x"], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Enlarge the logits of a mask to an image, and cut them at 0.

    Args:
        logits: (y, x) logits.
        size: (width, height) of the image.

    Returns:
        (height, width) bool mask.
    """
    enlarged = F.interpolate(logits[None, None].float(), (size[1], size[0]), mode="bilinear", align_corners=False)
    return np.asarray((enlarged[0, 0] > 0).numpy())

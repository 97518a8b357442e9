"""SAM 2 through a video: `Sam2VideoModel` of transformers (extra `hub`), frame by frame, in the memory of a few frames.

A region that begins is prompted by its box, and followed by the network's memory of the frames before; each frame tells
which regions are still there. Of its processors nothing is used (`soundspot.inference.contours.sam2`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from soundspot.errors import InputError
from soundspot.inference.connected_components import BoxXYXY
from soundspot.inference.contours.sam2 import DEFAULT_NAME, enlarge_logits, preprocess_image
from soundspot.inference.events.regions import link_boxes
from soundspot.utils.safe_read import convert_read_errors

MEMORY = 16  # frames whose outputs the network looks back on
BOX_LABELS = ((2, 3),)  # of the corners of a box, as points


@dataclass(eq=False)
class _Source:
    """A source that is followed: its session, number of frames, and box of its region in the last one."""

    session: Any
    box: BoxXYXY
    num_frames: int = 0


class Sam2Follower:
    """Masks of the regions of the frames of a video, which must come in order.

    A source whose region is gone is forgotten. Where its mask no longer meets its region, it is prompted anew, so that
    contours cannot drift away from the sound.

    Args:
        name: name of the weights on the hub, or their folder.
        model: a `Sam2VideoModel` that is loaded already; None: it is loaded by name.

    Raises:
        InputError: transformers is not installed, or there are no such weights.
    """

    def __init__(self, name: str = DEFAULT_NAME, model: Any = None) -> None:
        try:
            from transformers import Sam2VideoInferenceSession, Sam2VideoModel
        except ImportError as error:
            raise InputError(
                'sam2 needs transformers, which is not installed. Install it: pip install "soundspot[hub]"'
            ) from error
        if model is None:
            with convert_read_errors(name, "expected weights of SAM 2. Check the name and the network", InputError):
                model = Sam2VideoModel.from_pretrained(name)
        self._model, self._session_class = model.eval(), Sam2VideoInferenceSession
        self._side = int(model.config.prompt_encoder_config.image_size)
        self._sources: list[_Source] = []

    def segment_regions(self, image: Image.Image, boxes: Sequence[BoxXYXY]) -> list[Bool[np.ndarray, "h w"]]:
        """Segment the object in each box of the next frame.

        Args:
            image: RGB frame of w x h pixels.
            boxes: n boxes of regions, x0, y0, x1, y1 in pixels.

        Returns:
            n masks (h, w); those of nothing are empty.
        """
        if not boxes:
            self._sources = []
            return []
        pixels = preprocess_image(image, self._side)
        links = link_boxes([source.box for source in self._sources], [*boxes])
        sources, masks = [], []
        for index, box in enumerate(boxes):
            mask, source = None, self._sources[links[index]] if index in links else None
            if source is not None:
                source.box = box
                mask = self._step(source, pixels, image.size)
                x0, y0, x1, y1 = box
                mask = mask if mask[y0:y1, x0:x1].any() else None
            if source is None or mask is None:
                source = self._begin(box, image.size)
                mask = self._step(source, pixels, image.size)
            sources.append(source)
            masks.append(mask)
        self._sources = sources
        return masks

    def _begin(self, box: BoxXYXY, size: tuple[int, int]) -> _Source:
        """Prompt a source in the frame that comes next."""
        session = self._session_class(video_height=size[1], video_width=size[0], dtype=torch.float32)
        scale = torch.tensor([self._side / size[0], self._side / size[1]])
        corners = torch.tensor(box, dtype=torch.float32).view(1, 1, 2, 2) * scale
        index = session.obj_id_to_idx(1)
        labels = torch.tensor(BOX_LABELS, dtype=torch.int32)[None]
        session.add_point_inputs(index, 0, {"point_coords": corners, "point_labels": labels})
        session.obj_with_new_inputs = [1]
        return _Source(session, box)

    def _step(
        self, source: _Source, pixels: Float[Tensor, "1 3 side side"], size: tuple[int, int]
    ) -> Bool[np.ndarray, "h w"]:
        """Segment a source in the next frame, and forget what the network will not look back on."""
        number, session = source.num_frames, source.session
        with torch.inference_mode():
            logits = self._model(inference_session=session, frame_idx=number, frame=pixels).pred_masks
        source.num_frames += 1
        session.processed_frames[number] = torch.empty(0)  # counted by the network, not read again
        for outputs in session.output_dict_per_obj.values():
            outputs["non_cond_frame_outputs"].pop(number - MEMORY, None)
        return enlarge_logits(logits[0, 0], size)

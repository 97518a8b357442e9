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

from soundspot.inference.connected_components import BoxXYXY
from soundspot.inference.contours.sam2 import DEFAULT_NAME, enlarge_logits, load_model, preprocess_image
from soundspot.inference.events.regions import link_boxes

MEMORY = 16  # frames whose outputs the network looks back on
BOX_LABELS = ((2, 3),)  # of the corners of a box, as points


@dataclass(eq=False)
class _Source:
    """A source that is followed: its session, number of frames, and box of its region in the last one."""

    session: Any
    box: BoxXYXY
    num_frames: int = 0


@dataclass(frozen=True, eq=False)
class _Frame:
    """A frame that is encoded, for all sources: input, features by name as a session caches them, (width, height)."""

    pixels: Float[Tensor, "1 3 side side"]
    features: dict[str, Any]
    size: tuple[int, int]


class Sam2Follower:
    """Masks of the regions of the frames of a video, which must come in order.

    A source whose region is gone is forgotten. Where its mask no longer meets its region, it is prompted anew, so that
    contours cannot drift away from the sound.

    Args:
        name: name of the weights on the hub, or their folder.
        model: a `Sam2VideoModel` that is loaded already; None: it is loaded by name.
        device: device of the network, such as `cuda`.

    Raises:
        InputError: transformers is not installed, or there are no such weights.
    """

    def __init__(self, name: str = DEFAULT_NAME, model: Any = None, device: str = "cpu") -> None:
        self._model = (load_model(name, device, is_video=True) if model is None else model.to(device)).eval()
        self._device = device
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
        frame = self._encode(image)
        links = link_boxes([source.box for source in self._sources], [*boxes])
        sources, masks = [], []
        for index, box in enumerate(boxes):
            mask, source = None, self._sources[links[index]] if index in links else None
            if source is not None:
                source.box = box
                mask = self._step(source, frame)
                x0, y0, x1, y1 = box
                mask = mask if mask[y0:y1, x0:x1].any() else None
            if source is None or mask is None:
                source = self._begin(box, image.size)
                mask = self._step(source, frame)
            sources.append(source)
            masks.append(mask)
        self._sources = sources
        return masks

    def _encode(self, image: Image.Image) -> _Frame:
        """Encode a frame once for all sources."""
        pixels = preprocess_image(image, self._side).to(self._device)
        with torch.inference_mode():
            output = self._model.get_image_features(pixels, return_dict=True)
        names = {"vision_feats": output.fpn_hidden_states, "vision_pos_embeds": output.fpn_position_encoding}
        return _Frame(pixels, names, image.size)

    def _begin(self, box: BoxXYXY, size: tuple[int, int]) -> _Source:
        """Prompt a source in the frame that comes next."""
        from transformers import Sam2VideoInferenceSession

        devices = dict.fromkeys(("inference_device", "inference_state_device", "video_storage_device"), self._device)
        session = Sam2VideoInferenceSession(video_height=size[1], video_width=size[0], dtype=torch.float32, **devices)
        scale = torch.tensor([self._side / size[0], self._side / size[1]])
        corners = torch.tensor(box, dtype=torch.float32).view(1, 1, 2, 2) * scale
        index = session.obj_id_to_idx(1)
        labels = torch.tensor(BOX_LABELS, dtype=torch.int32)[None]
        session.add_point_inputs(index, 0, {"point_coords": corners, "point_labels": labels})
        session.obj_with_new_inputs = [1]
        return _Source(session, box)

    def _step(self, source: _Source, frame: _Frame) -> Bool[np.ndarray, "h w"]:
        """Segment a source in the next frame, and forget what the network will not look back on."""
        number, session = source.num_frames, source.session
        with torch.inference_mode():
            session.cache.cache_vision_features(number, frame.features)
            logits = self._model(inference_session=session, frame_idx=number, frame=frame.pixels).pred_masks
        source.num_frames += 1
        session.processed_frames[number] = torch.empty(0)  # counted by the network, not read again
        for outputs in session.output_dict_per_obj.values():
            outputs["non_cond_frame_outputs"].pop(number - MEMORY, None)
        return enlarge_logits(logits[0, 0].cpu(), frame.size)

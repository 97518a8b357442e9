"""Compares our front end of SAM 2 with the processors of transformers: ENVIRONMENT/bin/python examples/compare_sam2.py

The processors need torchvision, which soundspot does without. Build an environment for them outside the repository:
`python -m venv ENVIRONMENT`, `ENVIRONMENT/bin/pip install -e ".[hub]"`, and `ENVIRONMENT/bin/pip install --no-deps
torchvision==0.28.0` (for torch 2.13). Its compiled operators need not load beside that torch: nothing here calls them,
and an empty module stands for the one that declares their shapes.

Networks are tiny and their weights random; pixels are compared at the released size (1024) too.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")
from transformers import Sam2ImageProcessor, Sam2Processor, Sam2VideoProcessor, Sam2VideoVideoProcessor  # noqa: E402

from soundspot.inference.contours.sam2 import Sam2Segmenter, preprocess_image  # noqa: E402
from soundspot.inference.contours.sam2_video import Sam2Follower  # noqa: E402
from soundspot.inference.contours.segmenters import Click  # noqa: E402
from soundspot.types import Box  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from tiny_sam2 import SIDE, make_model  # noqa: E402

SIZES = (640, 480), (333, 517), (1500, 900), (1024, 1024), (48, 37)  # width, height
NUM_FRAMES = 24  # more than the network looks back on
CLICKS = (0.3, 0.4, True), (0.55, 0.5, True), (0.9, 0.1, False)  # x and y in widths and heights
BOX = 0.2, 0.25, 0.7, 0.8
PROMPTS = {"clicks": (3, False), "a box": (0, True), "clicks and a box": (3, True)}
INPUTS = "pixel_values", "input_points", "input_labels", "input_boxes"


def make_image(size: tuple[int, int], seed: int) -> Image.Image:
    """Noise over a gradient: every value of a channel, and edges that a resize could shift."""
    rng, (width, height) = np.random.default_rng(seed), size
    ramp = np.linspace(0, 255, width)[None, :, None] + np.linspace(-128, 128, height)[:, None, None]
    return Image.fromarray((ramp + rng.normal(0, 60, (height, width, 3))).clip(0, 255).astype(np.uint8))


def make_processor() -> Sam2Processor:
    return Sam2Processor(Sam2ImageProcessor(size={"height": SIDE, "width": SIDE}))


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference of two tensors of one shape."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return (ours.double() - theirs.double()).abs().max().item()


def capture_inputs(model: Any) -> list[dict[str, Tensor]]:
    """What the network is called with, call by call."""
    calls: list[dict[str, Tensor]] = []

    def keep(_: Any, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        calls.append(dict(zip(INPUTS, args, strict=False)) | {name: kwargs[name] for name in INPUTS if name in kwargs})

    model.register_forward_pre_hook(keep, with_kwargs=True)
    return calls


@torch.inference_mode()
def compare_images() -> dict[str, float]:
    """Pixel values, coordinates of prompts, and pixels of masks that differ, over sizes and prompts."""
    model, processor, released = make_model(), make_processor(), Sam2ImageProcessor()
    segmenter, calls = Sam2Segmenter(model=model), capture_inputs(model)
    rows: dict[str, float] = {}
    for seed, (width, height) in enumerate(SIZES):
        image = make_image((width, height), seed)
        theirs = released(image, return_tensors="pt").pixel_values
        note(rows, "image, 1024: pixel_values", difference(preprocess_image(image, 1024), theirs))
        clicks = [Click(x * width, y * height, is_object) for x, y, is_object in CLICKS]
        x0, y0, x1, y1 = np.array(BOX) * (width, height, width, height)
        for count, has_box in PROMPTS.values():
            prompts: dict[str, Any] = {"input_boxes": [[[x0, y0, x1, y1]]]} if has_box else {}
            if count:
                prompts["input_points"] = [[[[click.x, click.y] for click in clicks[:count]]]]
                prompts["input_labels"] = [[[int(click.is_object) for click in clicks[:count]]]]
            encoded = processor(images=image, return_tensors="pt", **prompts)
            sizes = encoded.pop("original_sizes")
            output = model(**encoded, multimask_output=False)
            mask = processor.post_process_masks(output.pred_masks, sizes)[0][0, 0]
            ours = segmenter.segment(image, clicks[:count], Box(x0, y0, x1, y1) if has_box else None)
            assert calls[-1].keys() == calls[-2].keys()
            for name, value in calls[-1].items():
                note(rows, f"image, {SIDE}: {name}", difference(value, calls[-2][name]))
            note(rows, f"image, {SIDE}: pixels of masks", int((torch.from_numpy(ours) != mask).sum()))
            assert 0 < mask.double().mean() < 1
    return rows


@torch.inference_mode()
def compare_video() -> dict[str, float]:
    """Pixels of the masks of each frame that differ, from frames given one by one and all at once."""
    rows: dict[str, float] = {}
    model = make_model(is_video=True)
    size = {"height": SIDE, "width": SIDE}
    processor = Sam2VideoProcessor(Sam2ImageProcessor(size=size), Sam2VideoVideoProcessor(size=size), target_size=SIDE)
    for seed, (width, height) in enumerate(SIZES[:2]):
        frames = [make_image((width, height), 100 * seed + number) for number in range(NUM_FRAMES)]
        box = tuple(int(value) for value in np.array(BOX) * (width, height, width, height))
        follower = Sam2Follower(model=model)
        ours = [follower.segment_regions(frame, [box])[0] for frame in frames]
        for name, video in {"frame by frame": None, "all at once": [np.asarray(frame) for frame in frames]}.items():
            session = processor.init_video_session(video=video)
            if video is not None:
                note(rows, f"video, {SIDE}: pixel_values", max(
                    difference(preprocess_image(frame, SIDE)[0], theirs)
                    for frame, theirs in zip(frames, session.processed_frames.values(), strict=True)
                ))  # fmt: skip
            processor.add_inputs_to_inference_session(
                session, frame_idx=0, obj_ids=1, input_boxes=[[[*box]]], original_size=(height, width)
            )
            for number, frame in enumerate(frames):
                pixels = processor(images=frame, return_tensors="pt").pixel_values[0] if video is None else None
                given = {"frame": pixels} if video is None else {"frame_idx": number}
                logits = model(inference_session=session, **given).pred_masks
                mask = processor.post_process_masks([logits], [(height, width)])[0][0, 0]
                count = int((torch.from_numpy(ours[number]) != mask).sum())
                note(rows, f"video, {SIDE}: pixels of masks, {name}", count)
                assert 0 < mask.double().mean() < 1
    return rows


def note(rows: dict[str, float], name: str, value: float) -> None:
    rows[name] = max(rows.get(name, 0.0), value)


if __name__ == "__main__":
    for name, value in (compare_images() | compare_video()).items():
        print(f"{name:50} {value:.3g}")

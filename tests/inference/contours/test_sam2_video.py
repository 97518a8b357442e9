"""SAM 2 through a video: the sources that are followed, and what is forgotten."""

import numpy as np
import pytest
import torch
from PIL import Image

from soundspot.errors import InputError
from soundspot.inference.contours.sam2_video import MEMORY, Sam2Follower
from soundspot.utils.hash_rng import make_generator
from tiny_sam2 import make_model

LEFT, RIGHT = (5, 10, 35, 50), (50, 10, 85, 50)


class CountingFollower(Sam2Follower):
    """Its mask is what the test says, and it counts how often a source is prompted."""

    def __init__(self, mask: np.ndarray) -> None:
        super().__init__(model=make_model(is_video=True))
        self.mask, self.num_prompts = mask, 0

    def _begin(self, box, size):
        self.num_prompts += 1
        return super()._begin(box, size)

    def _step(self, source, frame):
        source.num_frames += 1
        return self.mask


def random_frame(seed: int) -> Image.Image:
    return Image.fromarray(make_generator(seed).integers(0, 255, (60, 90, 3)).astype(np.uint8))


@pytest.mark.slow
def test_a_source_is_prompted_once_and_followed_in_bounded_memory() -> None:
    follower = Sam2Follower(model=make_model(is_video=True))
    masks = [follower.segment_regions(random_frame(n), [LEFT])[0] for n in range(MEMORY + 4)]
    assert {(mask.shape, mask.dtype) for mask in masks} == {((60, 90), np.dtype(bool))}
    (source,) = follower._sources
    assert source.num_frames == len(masks)
    assert all(0 < mask.mean() < 1 for mask in masks)
    assert len(source.session.processed_frames) == source.num_frames
    assert sum(frame.numel() for frame in source.session.processed_frames.values()) == 0
    assert all(len(out["non_cond_frame_outputs"]) <= MEMORY for out in source.session.output_dict_per_obj.values())
    again = Sam2Follower(model=make_model(is_video=True))
    assert (again.segment_regions(random_frame(0), [LEFT])[0] == masks[0]).all()


@pytest.mark.slow
def test_the_first_mask_is_that_of_the_model_asked_with_the_box() -> None:
    """Prompt and scale are those of the session's own whole-video way."""
    from transformers import Sam2VideoInferenceSession

    from soundspot.inference.contours.sam2 import enlarge_logits, preprocess_image

    model, images = make_model(is_video=True), [random_frame(n) for n in range(3)]
    video = torch.cat([preprocess_image(image, 128) for image in images])
    session = Sam2VideoInferenceSession(video=video, video_height=60, video_width=90, dtype=torch.float32)
    corners = torch.tensor([[[[5 * 128 / 90, 10 * 128 / 60], [35 * 128 / 90, 50 * 128 / 60]]]])
    inputs = {"point_coords": corners, "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32)}
    session.add_point_inputs(session.obj_id_to_idx(1), 0, inputs)
    session.obj_with_new_inputs = [1]
    with torch.inference_mode():
        expected = [model(inference_session=session, frame_idx=n).pred_masks[0, 0] for n in range(3)]
    follower = Sam2Follower(model=model)
    source = follower._begin(LEFT, (90, 60))
    for image, logits in zip(images, expected, strict=True):
        mask = follower._step(source, follower._encode(image))
        assert mask.any()
        assert (mask == enlarge_logits(logits, (90, 60))).all()


@pytest.mark.slow
def test_sources_that_are_gone_are_forgotten_and_drifting_masks_prompted_anew() -> None:
    left = np.zeros((60, 90), bool)
    left[20:40, 10:30] = True
    follower = CountingFollower(left)
    for boxes in ([LEFT], [LEFT], [LEFT]):
        follower.segment_regions(random_frame(0), boxes)
    assert follower.num_prompts == 1
    follower.segment_regions(random_frame(0), [LEFT, RIGHT])
    assert follower.num_prompts == 2
    follower.segment_regions(random_frame(0), [RIGHT])  # its mask does not meet its region
    assert follower.num_prompts == 3
    assert follower.segment_regions(random_frame(0), []) == []
    follower.segment_regions(random_frame(0), [LEFT])
    assert follower.num_prompts == 4


@pytest.mark.slow
def test_a_frame_is_encoded_once_for_all_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(is_video=True)
    alone = [Sam2Follower(model=model).segment_regions(random_frame(0), [box])[0] for box in (LEFT, RIGHT)]
    frames, encode = [], model.vision_encoder.forward
    monkeypatch.setattr(model.vision_encoder, "forward", lambda *a, **k: frames.append(1) or encode(*a, **k))
    follower = Sam2Follower(model=model)
    masks = follower.segment_regions(random_frame(0), [LEFT, RIGHT])
    assert all((a == b).all() for a, b in zip(masks, alone, strict=True))
    follower.segment_regions(random_frame(1), [LEFT, RIGHT])
    assert len(frames) == 2


@pytest.mark.slow
def test_weights_that_are_not_there_are_named(tmp_path) -> None:
    with pytest.raises(InputError, match="expected weights of SAM 2"):
        Sam2Follower(str(tmp_path))

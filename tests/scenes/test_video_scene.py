"""The clip with a known answer: who sounds is where it is said to be, and the file shows and plays that."""

from pathlib import Path

import numpy as np
import pytest

from soundspot.data.media.video import Video, open_video
from soundspot.errors import RecipeError
from soundspot.scenes.video_scene import VideoScene

PLAN = ((0.0, 0), (0.6, 1), (1.0, None))


@pytest.fixture(scope="module")
def scene() -> VideoScene:
    return VideoScene(("red disc", "green star"), PLAN, 1.4, 10, (160, 90))


def test_the_plan_says_who_sounds(scene: VideoScene) -> None:
    assert [scene.sounding_object(moment) for moment in (0, 0.59, 0.6, 0.99, 1.2)] == [0, 0, 1, 1, None]


def test_masks_are_of_what_sounds_and_nothing_else(scene: VideoScene) -> None:
    """Without the object the picture is another one exactly there."""
    ground = scene._background
    for moment in (0.0, 0.3, 0.8):
        truth, which = scene.ground_truth(moment), scene.sounding_object(moment)
        changed = (np.asarray(scene.render(moment)) != ground).any(axis=-1)
        other = scene.box(moment, 1 - which)
        changed[int(other.y0) : int(other.y1), int(other.x0) : int(other.x1)] = False
        assert truth.mask.numpy()[changed].all()
        assert changed.sum() > 0.9 * truth.mask.sum()
    assert not scene.ground_truth(1.2).present


def test_objects_never_touch_nor_leave_the_picture() -> None:
    scene = VideoScene(("red disc", "green star"))
    for moment in np.arange(0, 12, 0.1):
        one, two = (scene.box(float(moment), which) for which in (0, 1))
        assert one.x1 <= two.x0 or two.x1 <= one.x0 or one.y1 <= two.y0 or two.y1 <= one.y0
        assert min(one.x0, one.y0) >= 0
        assert one.x1 <= 640
        assert one.y1 <= 360


def test_sounds_last_as_long_as_the_clip(scene: VideoScene) -> None:
    sounds = list(scene.iter_audio())
    assert sum(len(sound.waveform) for sound in sounds) == round(1.4 * scene.sample_rate)
    assert [sound.is_silent for sound in sounds] == [False, False, True]


def test_an_off_screen_sound_is_audible_and_nothing_visible_makes_it() -> None:
    scene = VideoScene(("red disc", "green star"), ((0.0, "yellow ring"), (0.5, 1)), 1.0, 10, (160, 90))
    offscreen, own = scene.iter_audio()
    assert scene.sounding_object(0.2) is None
    assert not scene.ground_truth(0.2).present
    assert not offscreen.is_silent
    assert (offscreen.waveform[:4000] - own.waveform[:4000]).abs().max() > 0.1
    assert scene.sounding_object(0.6) == 1
    with pytest.raises(RecipeError, match="green star"):
        VideoScene(("red disc", "green star"), ((0.0, "green star"),))


def test_the_file_shows_and_plays_it(scene: VideoScene, tmp_path: Path) -> None:
    path = scene.write(tmp_path / "a.mp4")
    with open_video(path) as reel:
        frames = list(reel.frames())
    assert [moment for moment, _ in frames] == pytest.approx([n / 10 for n in range(14)], abs=1e-3)
    assert np.abs(np.asarray(frames[3][1], int) - np.asarray(scene.render(0.3), int)).mean() < 8
    with Video(path) as video:
        assert video.read_audio(0.2, 0.4, 16000).waveform.abs().max() > 0.1
        assert video.read_audio(1.15, 0.2, 16000).waveform.abs().max() < 0.02


@pytest.mark.parametrize("wrong", [{"schedule": ()}, {"schedule": ((1.0, 0),)}, {"object_size": 0.9}, {"fps": 0}])
def test_scenes_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(RecipeError):
        VideoScene(("red disc", "green star"), **wrong)

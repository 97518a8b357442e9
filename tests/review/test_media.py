"""Clips as files: a ring at the peak, an outline, sound and video around the moment, and sources that vanish."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clips import write_video
from review_results import IDENTITY, make_results
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import read_image
from soundspot.data.media.video import Video
from soundspot.errors import InputError
from soundspot.review.media import ClipCutter, draw_moment, open_source, read_mask, read_sound
from soundspot.review.review import Review


def test_an_image_has_a_ring_an_outline_and_its_sound(tmp_path: Path) -> None:
    review = Review(make_results(tmp_path, [0.5]))
    (clip,), cutter = review.clips, ClipCutter(review)
    drawing = np.asarray(draw_moment(review.folder, clip.moment))
    assert drawing[30, 20].tolist() == [221, 24, 68]  # the dot at the peak
    mask = read_mask(review.folder, clip.moment, (64, 48))
    assert mask is not None
    assert mask[:, 10:30].all()
    assert mask.sum() == 20 * 48
    assert (drawing[:, 10] == 255).all(axis=-1).mean() > 0.9  # the outline's left side
    assert np.asarray(read_image(cutter.cut(clip, "image"))).shape == (48, 64, 3)
    assert read_audio(cutter.cut(clip, "sound")).seconds == pytest.approx(1.0)
    assert cutter.cut(clip, "sound").stat().st_ino == cutter.cut(clip, "sound").stat().st_ino


def test_a_clip_plays_what_the_model_was_given_of_the_sound(tmp_path: Path) -> None:
    folder = make_results(tmp_path, [0.5])
    (tmp_path / "recordings" / "0.wav").unlink()
    soundfile.write(tmp_path / "recordings" / "0.wav", np.repeat([0.0, 0.5, 0.0], 8000), 4000)
    entry = json.loads((folder / "0.json").read_text())[0]
    for window, seconds, level in (([2.0, 2.0], 2.0, 0.5), ([4.5, 1.5], 1.5, 0.0), (None, 6.0, 0.0)):
        (folder / "0.json").write_text(json.dumps([entry | {"audio_window": window}]))
        audio = read_sound(folder, Review(folder).moments[0])
        assert audio.seconds == seconds
        assert audio.waveform.min().item() == pytest.approx(level, abs=1e-3)


@pytest.mark.parametrize("kind", ["image", "sound"])
def test_a_source_that_vanished_is_named(tmp_path: Path, kind: str) -> None:
    review = Review(make_results(tmp_path, [0.5]))
    for path in (tmp_path / "recordings").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"recordings/0\.\w+: found no such file, expected what was located"):
        ClipCutter(review).cut(review.clips[0], kind)


def test_a_video_is_cut_around_the_moment(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 9.0)
    (tmp_path / "located").mkdir()
    frames = [{"time": t / 2, "peak": 0.1 * t, "peak_at": [9, 9], "silent": False} for t in range(18)]
    facts = {"path": "a.mp4", "audio": "", "audio_track": None, "model": "m", "model_id": IDENTITY, "threshold": None}
    (tmp_path / "located" / "a.frames.json").write_text(json.dumps({**facts, "frames": frames}))
    review = Review(tmp_path / "located")
    clip = next(clip for clip in review.clips if clip.moment.time == 6.0)
    cutter = ClipCutter(review)
    with Video(cutter.cut(clip, "video")) as video:
        assert video.duration == pytest.approx(5.0, abs=0.15)
        assert video.audio.seconds == pytest.approx(5.0, abs=0.15)
        assert max(next(video.frames())[1].size) <= 480
    assert cutter.cut(clip, "image").is_file()


def test_no_file_is_opened_that_lies_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results may be somebody else's, and the page serves what they name."""
    (tmp_path / "theirs").mkdir()
    folder = make_results(tmp_path / "theirs", [0.25])
    (tmp_path / "secret.png").write_bytes((tmp_path / "theirs" / "recordings" / "0.png").read_bytes())
    monkeypatch.chdir(folder)
    for name in (str(tmp_path / "secret.png"), "../../secret.png", "secret.png"):
        with pytest.raises(InputError, match="as results of somebody else may name any file"):
            open_source(folder, name)
    assert open_source(folder, "recordings/0.png").is_file()
    monkeypatch.chdir(tmp_path)
    assert open_source(folder, str(tmp_path / "secret.png")).is_file()

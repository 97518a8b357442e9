"""What comes with the library to try it on: few, small, free, each named with its author."""

from pathlib import Path

import av
import numpy as np
import pytest

import soundspot
from conftest import ROOT
from soundspot.cli.main import main
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.demo import locate_examples
from soundspot.examples import CLIP, FOLDER, OFFSCREEN, PAIRS

TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}

MAX_BYTES = {".jpg": 60_000, ".flac": 130_000, ".mp4": 600_000, ".txt": 4_000}


def test_the_examples_are_small_and_each_is_named_with_its_author() -> None:
    readme, notice = (FOLDER / "README.txt").read_text(), (ROOT / "NOTICE").read_text()
    for name in soundspot.list_examples():
        path = soundspot.example_path(name)
        assert path.stat().st_size <= MAX_BYTES[path.suffix]
        if path.suffix in (".jpg", ".flac"):
            assert f"  {name} " in readme
            assert path.stem in notice
    assert {*sum(PAIRS.values(), ()), OFFSCREEN, CLIP, "README.txt"} <= {*soundspot.list_examples()}


def test_photographs_and_recordings_are_what_networks_take() -> None:
    for image, audio in PAIRS.values():
        assert 300 <= max(soundspot.read_image(soundspot.example_path(image)).size) <= 480
        recording = soundspot.read_audio(soundspot.example_path(audio))
        assert recording.rate == 16000
        assert 1 <= recording.seconds <= 6


def test_in_the_clip_each_thing_sounds_in_turn() -> None:
    with av.open(str(soundspot.example_path(CLIP))) as clip:
        assert (clip.streams.video[0].width, clip.streams.video[0].height) == (640, 360)
        assert float(clip.duration / av.time_base) == pytest.approx(12, abs=0.2)
    audio = soundspot.read_audio(soundspot.example_path(CLIP)).waveform.numpy()
    for start, end in ((0, 4.5), (4.5, 8.5), (8.5, 12)):
        assert np.abs(audio[round(16000 * start) : round(16000 * end)]).max() > 0.3


def test_an_unknown_example_is_told_with_the_known_ones() -> None:
    with pytest.raises(soundspot.InputError, match=r"no example 'cat\.png'. Did you mean 'cat\.jpg'"):
        soundspot.example_path("cat.png")


def test_the_command_copies_all_of_them_and_replaces_nothing_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "a" / "tries"
    assert main(["examples", "-o", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == soundspot.list_examples()
    assert "cat.jpg" in capsys.readouterr().out
    (folder / "cat.jpg").write_text("mine")
    (folder / "dog.flac").unlink()
    assert main(["examples", "-o", str(folder)]) == 2
    assert "README.txt exists already. Pass --overwrite" in capsys.readouterr().err
    assert (folder / "cat.jpg").read_text() == "mine"
    assert not (folder / "dog.flac").exists()
    assert main(["examples", "-o", str(folder), "--overwrite"]) == 0
    assert (folder / "cat.jpg").read_bytes() == (FOLDER / "cat.jpg").read_bytes()


def test_the_demo_locates_them_and_says_what_it_found(tmp_path: Path) -> None:
    front_end = InputSpec(ImageSpec(64), AudioSpec(16000, 0.5))
    method = soundspot.create("alignment", image=TINY, audio=TINY, front_end=front_end)
    lines: list[str] = []
    locate_examples(soundspot.Localizer(method, threshold=2.0), tmp_path / "real", lines.append)
    assert {path.name for path in (tmp_path / "real").iterdir()} == {"photographs.jpg", "clip.mp4", "clip.jpg"}
    assert lines[0].startswith("  cat.flac in cat.jpg: not in the image, peak ")
    assert lines[-2] == "  clip.mp4: 120 frames; nothing here in 100%"
    assert len(lines) == 2 * len(PAIRS) + 2


def test_the_starter_knows_them(tmp_path: Path) -> None:
    """What the README shows, and what no user should see fail on a first try."""
    localizer = soundspot.load()
    sounds = {*(audio for _, audio in PAIRS.values()), OFFSCREEN}
    for image, audio in PAIRS.values():
        encoded = localizer.encode_image(soundspot.example_path(image))
        results = {name: localizer.predict(encoded, soundspot.example_path(name)) for name in sounds}
        own = results.pop(audio)
        assert own.present
        for other in results.values():
            assert own.peak > other.peak
            assert not other.present or image == "eagle.jpg"  # gray: cat and dog lie just above the threshold
    left, top, right, bottom = (56.6, 68.1, 200.9, 173.7)  # the helicopter, as its catalog has it
    x, y = own.peak_at
    assert left <= x <= right
    assert top <= y <= bottom

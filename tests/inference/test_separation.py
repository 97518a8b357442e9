"""Several sounds in one picture: names that stay apart, colours that stand for sources, and who is not there."""

import numpy as np
import pytest
import torch
from PIL import Image

from whence.errors import InputError, OutputError
from whence.inference import render
from whence.inference.separation import NOWHERE, Separation, named
from whence.inference.soundmap import SoundMap


def found(left: float | int, right: float | int, threshold: float | None = None) -> SoundMap:
    """A map of two cells over a colourful picture of 80 x 40 pixels."""
    picture = Image.new("RGB", (80, 40), (40, 160, 90))
    return SoundMap(torch.tensor([[float(left), float(right)]]), (40, 80), picture=picture, threshold=threshold)


def nearest_source(pixel: np.ndarray) -> int:
    """Which of the colours of sources a pixel leans to, away from grey."""
    lean = pixel.astype(float) - pixel.mean()
    return int(np.argmax([lean @ (np.array(c, float) - np.mean(c)) / np.std(c) for c in render.SOURCES]))


def test_each_source_has_its_colour_where_its_map_is_high():
    drawn = np.asarray(Separation({"left": found(1, 0), "right": found(0, 1)}).combined(opacity=0.9, legend=False))
    assert nearest_source(drawn[20, 5]) == 0
    assert nearest_source(drawn[20, 75]) == 1


def test_the_order_of_sounds_moves_colours_and_nothing_else():
    one = Separation({"a": found(1, 0), "b": found(0, 1)}).combined(legend=False)
    other = Separation({"a": found(0, 1), "b": found(1, 0)}).combined(legend=False)
    mirrored = np.asarray(other)[:, ::-1]
    assert np.abs(np.asarray(one).astype(int) - mirrored).max() <= 2


def test_who_is_not_in_the_picture_is_not_drawn_and_is_told():
    both = {"here": found(0.9, 0.1, threshold=0.5), "gone": found(0.1, 0.4, threshold=0.5)}
    separation = Separation(both)
    assert separation.colours == {"here": render.SOURCES[0], "gone": NOWHERE}
    alone = Separation({"here": both["here"]})
    assert separation.combined(legend=False).tobytes() == alone.combined(legend=False).tobytes()
    nobody = Separation({"gone": both["gone"], "flat": found(0.7, 0.7)}).combined(legend=False)
    pixels = np.asarray(nobody)
    assert (pixels == pixels[..., :1]).all()  # the picture in grey
    assert separation.combined().height > 40  # a legend


def test_side_by_side_has_the_picture_each_map_and_all_in_one(tmp_path):
    two = Separation({"a": found(1, 0), "b": found(0, 1)})
    one = Separation({"a": found(1, 0)})
    assert two.side_by_side().width > 1.9 * one.side_by_side().width
    two.save(tmp_path / "both.png")
    with Image.open(tmp_path / "both.png") as drawn:
        assert drawn.size == two.side_by_side().size
    with pytest.raises(OutputError, match=r"cannot write \.mp3"):
        two.save(tmp_path / "both.mp3")
    with pytest.raises(OutputError, match="exists already"):
        two.save(tmp_path / "both.png", overwrite=False)


def test_sounds_keep_their_names_and_get_others():
    assert named({"dog": 1, "cat": 2}) == {"dog": 1, "cat": 2}
    assert named(["x/bark.wav", "y/bark.wav"]) == {"bark.wav": "x/bark.wav", "bark.wav (2)": "y/bark.wav"}
    tone = (np.zeros(8, np.float32), 8)
    assert list(named([tone, tone])) == ["sound 1", "sound 2"]
    with pytest.raises(InputError, match=r"one sound, bark\.wav, expected several in a list"):
        named("bark.wav")


def test_no_sound_and_no_picture_are_refused():
    with pytest.raises(InputError, match="no sound was given"):
        Separation({})
    with pytest.raises(InputError, match="came without a picture"):
        Separation({"a": SoundMap(torch.tensor([[0.0, 1.0]]), (4, 8))}).combined()

"""Several sounds in one picture: names that stay apart, colours that stand for sources, and who is not there."""

import numpy as np
import pytest
import torch
from PIL import Image

from soundspot.errors import InputError, OutputError
from soundspot.inference import render
from soundspot.inference.multi_sound import ABSENT_COLOR, MultiSoundResult, name_audios
from soundspot.inference.result import LocalizationMap


def found(left: float | int, right: float | int, threshold: float | None = None) -> LocalizationMap:
    """A map of two cells over a colourful picture of 80 x 40 pixels."""
    picture = Image.new("RGB", (80, 40), (40, 160, 90))
    return LocalizationMap(torch.tensor([[float(left), float(right)]]), (40, 80), image=picture, threshold=threshold)


def nearest_source(pixel: np.ndarray) -> int:
    """Which of the colours of sources a pixel leans to, away from grey."""
    lean = pixel.astype(float) - pixel.mean()
    return int(np.argmax([lean @ (np.array(c, float) - np.mean(c)) / np.std(c) for c in render.SOURCE_COLORS]))


def test_each_source_has_its_colour_where_its_map_is_high():
    drawn = np.asarray(
        MultiSoundResult({"left": found(1, 0), "right": found(0, 1)}).combined_overlay(opacity=0.9, legend=False)
    )
    assert nearest_source(drawn[20, 5]) == 0
    assert nearest_source(drawn[20, 75]) == 1


def test_the_order_of_sounds_moves_colours_and_nothing_else():
    one = MultiSoundResult({"a": found(1, 0), "b": found(0, 1)}).combined_overlay(legend=False)
    other = MultiSoundResult({"a": found(0, 1), "b": found(1, 0)}).combined_overlay(legend=False)
    mirrored = np.asarray(other)[:, ::-1]
    assert np.abs(np.asarray(one).astype(int) - mirrored).max() <= 2


def test_who_is_not_in_the_picture_is_not_drawn_and_is_told():
    both = {"here": found(0.9, 0.1, threshold=0.5), "gone": found(0.1, 0.4, threshold=0.5)}
    separation = MultiSoundResult(both)
    assert separation.colors == {"here": render.SOURCE_COLORS[0], "gone": ABSENT_COLOR}
    alone = MultiSoundResult({"here": both["here"]})
    assert separation.combined_overlay(legend=False).tobytes() == alone.combined_overlay(legend=False).tobytes()
    nobody = MultiSoundResult({"gone": both["gone"], "flat": found(0.7, 0.7)}).combined_overlay(legend=False)
    pixels = np.asarray(nobody)
    assert (pixels == pixels[..., :1]).all()  # the picture in grey
    assert separation.combined_overlay().height > 40  # a legend


def test_side_by_side_has_the_picture_each_map_and_all_in_one(tmp_path):
    two = MultiSoundResult({"a": found(1, 0), "b": found(0, 1)})
    one = MultiSoundResult({"a": found(1, 0)})
    assert two.side_by_side().width > 1.9 * one.side_by_side().width
    two.save(tmp_path / "both.png")
    with Image.open(tmp_path / "both.png") as drawn:
        assert drawn.size == two.side_by_side().size
    with pytest.raises(OutputError, match=r"cannot write \.mp3"):
        two.save(tmp_path / "both.mp3")
    with pytest.raises(OutputError, match="exists already"):
        two.save(tmp_path / "both.png", overwrite=False)


def test_sounds_keep_their_names_and_get_others():
    assert name_audios({"dog": 1, "cat": 2}) == {"dog": 1, "cat": 2}
    assert name_audios(["x/bark.wav", "y/bark.wav"]) == {"bark.wav": "x/bark.wav", "bark.wav (2)": "y/bark.wav"}
    tone = (np.zeros(8, np.float32), 8)
    assert list(name_audios([tone, tone])) == ["sound 1", "sound 2"]
    with pytest.raises(InputError, match=r"one sound, bark\.wav, expected several in a list"):
        name_audios("bark.wav")


def test_no_sound_and_no_picture_are_refused():
    with pytest.raises(InputError, match="found no sound to locate"):
        MultiSoundResult({})
    with pytest.raises(InputError, match="came without an image"):
        MultiSoundResult({"a": LocalizationMap(torch.tensor([[0.0, 1.0]]), (4, 8))}).combined_overlay()


def test_a_notebook_shows_all_sounds_and_a_line_of_each():
    page = MultiSoundResult(
        {"a<b": found(0.9, 0.1, threshold=0.5), "gone": found(0.1, 0.4, threshold=0.5)}
    )._repr_html_()
    assert page.count("<img") == 1
    assert "a&lt;b: present; peak 0.900" in page
    assert "gone: not in the image; peak 0.400" in page

"""One file never ends a run of all files, and what is read of a file is what there is in it."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from clips import write_video
from search_media import sound
from toys import TINY
from whence.data.audio import open_sound
from whence.errors import DataError, OutputError
from whence.inference.localizer import Localizer
from whence.methods import create
from whence.search import Index, making, reading
from whence.search.making import holds_index
from whence.search.reading import WINDOWS, Read, Reader
from whence.search.sheet import picture_of


def spoilt(path: Path, at: int, words: bytes) -> Path:
    content = bytearray(sound(path, 3).read_bytes())
    content[at : at + len(words)] = words
    path.write_bytes(content)
    return path


def test_a_wav_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    for size in (0xFFFFFFFF, 0x7FFFF000):
        path = spoilt(tmp_path / "pipe.wav", 40, struct.pack("<I", size))
        assert open_sound(path).seconds == 0.5


def test_files_that_decoders_stumble_over_are_kept_out_and_the_others_taken_in(
    index: Index, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, stereo = media / "odd.wav", media / "stereo.wav"
    odd.write_bytes(sound(odd, 1).read_bytes()[:-1])
    soundfile.write(stereo, torch.zeros(800, 2).numpy(), 8000)
    stereo.write_bytes(stereo.read_bytes()[:-2])
    spoilt(media / "still.wav", 24, struct.pack("<I", 0))
    sound(media / "good.wav", 5)
    sound(media / "worse.wav", 6)
    monkeypatch.setattr(Reader, "_sound", stumbling(Reader._sound))
    outcome = index.refresh(new=True)
    told = {one.path.name: one.told for one in outcome.failures}
    assert set(told) == {"odd.wav", "stereo.wav", "still.wav", "worse.wav"}
    assert "cut short" in told["odd.wav"]
    assert "cut short" in told["stereo.wav"]
    assert "could not be read (ZeroDivisionError: none)" in told["worse.wav"]
    assert (outcome.added, len(index)) == (1, 12)


def stumbling(read):
    def reading(self: Reader, path: Path, *rest):
        if path.name == "worse.wav":
            raise ZeroDivisionError("none")
        return read(self, path, *rest)

    return reading


def test_an_end_that_cannot_be_read_is_told_once(index: Index, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound(media / "longer.wav", 4, seconds=3 * 5 * WINDOWS)
    read = Reader._sound

    def torn(self: Reader, path: Path, first: int, digest: bytes):
        if first >= 2 * WINDOWS:
            raise ValueError("torn")
        return read(self, path, first, digest)

    monkeypatch.setattr(Reader, "_sound", torn)
    seen: list[tuple[int, int]] = []
    outcome = index.refresh(lambda done, of: seen.append((done, of)), new=True)
    assert outcome.odd == {"sound with an end that cannot be read": 1}
    assert seen[-1] == (1, 1)
    assert len(index.query(sound=media / "longer.wav", kinds=["sound"], k=99, every=True)) >= 2 * WINDOWS
    assert index.refresh(new=True).unchanged == 12


def test_a_copy_of_a_recording_is_of_the_kind_of_the_recording(index: Index, media: Path) -> None:
    write_video(media / "spoken.mp4", seconds=1, picture=False)
    index.add(media / "spoken.mp4")
    (media / "copy.mp4").write_bytes((media / "spoken.mp4").read_bytes())
    assert index.add(media / "copy.mp4").moved == 1
    hits = {hit.path.name: hit for hit in index.query(sound=media / "spoken.mp4", kinds=["sound"], k=99)}
    assert hits["copy.mp4"].kind == hits["spoken.mp4"].kind == "sound"
    assert picture_of(hits["copy.mp4"]).tobytes() == picture_of(hits["spoken.mp4"]).tobytes()


def test_two_that_make_an_index_at_once_make_one(
    media: Path, localizer: Localizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, weights_of = tmp_path / "index", making.weights_of

    def slow(localizer: Localizer):
        monkeypatch.setattr(making, "weights_of", weights_of)
        with Index.create(folder, localizer, media) as first:  # while the other looks at its weights
            first.add(media / "p0.png")
        return weights_of(localizer)

    monkeypatch.setattr(making, "weights_of", slow)
    with pytest.raises(OutputError, match="holds an index already"):
        Index.create(folder, localizer, media)
    with Index.open(folder, localizer) as index:
        assert (len(index), index.status().wrong) == (1, [])


def test_what_was_kept_beside_an_index_that_was_not_made_is_not_touched(
    media: Path, localizer: Localizer, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / "catalogue.sqlite").touch()
    kept = folder / "catalogue.sqlite.bak"
    kept.write_text("mine")
    with pytest.raises(OutputError, match="holds something else"):
        Index.create(folder, localizer, media)
    assert kept.read_text() == "mine"
    kept.unlink()
    Index.create(folder, localizer, media).close()
    assert holds_index(folder)


def test_weights_that_give_no_numbers_are_refused(media: Path, tmp_path: Path) -> None:
    broken = create("ezvsl", image=TINY, audio=TINY)
    with torch.no_grad():
        for weight in broken.parameters():
            weight.fill_(torch.nan)
    index = Index.create(tmp_path / "index", Localizer(broken), media)
    with pytest.raises(DataError, match="an embedding is not finite"):
        index.add(media / "p0.png")
    assert (len(index), index.status().vectors) == (0, 0)


def reader(media: Path, localizer: Localizer, every: float) -> Reader:
    return Reader(media, localizer.method.front_end, every)


@pytest.mark.parametrize(
    ("name", "opens"), [("v.mp4", "window_moments"), ("spoken.mp4", "open_sound"), ("s.ogg", "open_sound")]
)
def test_a_long_file_is_gone_through_once_for_all_its_windows(
    name: str, opens: str, media: Path, localizer: Localizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(media / "spoken.mp4", seconds=4, picture=False)
    sound(media / "s.ogg", 3, seconds=4)
    fresh = [reader(media, localizer, 0.1)(f"{first}:{name}") for first in (0, 16, 32)]
    times, opened = [], getattr(reading, opens)
    monkeypatch.setattr(reading, opens, lambda *what: (times.append(what), opened(*what))[1])
    again = reader(media, localizer, 0.1)
    assert [again(f"{first}:{name}").parts for first in (0, 16, 32)] == [one.parts for one in fresh]
    assert len(times) == 1
    again(f"0:{name}")  # from the beginning: anew
    assert len(times) == 2


def test_a_time_stamp_that_is_broken_makes_no_windows_of_nothing(tmp_path: Path, localizer: Localizer) -> None:
    day = 86400.0
    write_video(tmp_path / "torn.mkv", seconds=day, times=[*np.arange(0, 60, 0.5), day], sound=False)
    whole = Read.unpack(reader(tmp_path, localizer, 3.0)("0:torn.mkv"))
    assert whole.windows == 60 / 3 + 1 + 1
    last = Read.unpack(reader(tmp_path, localizer, 3.0)("16:torn.mkv"))
    assert last.times is not None
    assert last.times["picture"][-1] == pytest.approx(day, abs=3)


def test_a_picture_that_stands_still_keeps_the_windows_of_its_sound(tmp_path: Path, localizer: Localizer) -> None:
    write_video(tmp_path / "still.mkv", seconds=60, times=[0.0, 59.0])
    assert Read.unpack(reader(tmp_path, localizer, 1.0)("0:still.mkv")).windows == pytest.approx(60, abs=1)


def test_a_long_sound_that_is_cut_short_is_kept_out(tmp_path: Path, localizer: Localizer) -> None:
    path = sound(tmp_path / "cut.wav", 1, seconds=100)
    path.write_bytes(path.read_bytes()[:-2000])
    assert "cut short" in reader(tmp_path, localizer, 3.0)("0:cut.wav").told

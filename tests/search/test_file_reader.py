"""One file never ends a run of all files, and what is read of a file is what there is in it."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from clips import write_video
from search_media import write_audio
from soundspot.data.media.audio import open_audio
from soundspot.errors import DataError, OutputError
from soundspot.inference.localizer import Localizer
from soundspot.methods import create
from soundspot.search import Index, file_reader, store
from soundspot.search.contact_sheet import load_thumbnail
from soundspot.search.file_reader import WINDOWS_PER_READ, FileReader, FileWindows
from soundspot.search.store import is_index
from toys import TINY


def spoilt(path: Path, at: int, words: bytes) -> Path:
    content = bytearray(write_audio(path, 3).read_bytes())
    content[at : at + len(words)] = words
    path.write_bytes(content)
    return path


def test_a_wav_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    for size in (0xFFFFFFFF, 0x7FFFF000):
        path = spoilt(tmp_path / "pipe.wav", 40, struct.pack("<I", size))
        assert open_audio(path).seconds == 0.5


def test_files_that_decoders_stumble_over_are_kept_out_and_the_others_taken_in(
    index: Index, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, stereo = media / "odd.wav", media / "stereo.wav"
    odd.write_bytes(write_audio(odd, 1).read_bytes()[:-1])
    soundfile.write(stereo, torch.zeros(800, 2).numpy(), 8000)
    stereo.write_bytes(stereo.read_bytes()[:-2])
    spoilt(media / "still.wav", 24, struct.pack("<I", 0))
    write_audio(media / "good.wav", 5)
    write_audio(media / "worse.wav", 6)
    monkeypatch.setattr(FileReader, "_read_audio", stumbling(FileReader._read_audio))
    outcome = index.refresh(add_new=True)
    told = {one.path.name: one.message for one in outcome.failures}
    assert set(told) == {"still.wav", "worse.wav"}
    assert "could not be read (ZeroDivisionError: none)" in told["worse.wav"]
    assert outcome.warnings["audio cut short"] == 1, "odd.wav; stereo.wav is silent"
    assert (outcome.added, len(index)) == (3, 14)


def stumbling(read):
    def reading(self: FileReader, path: Path, *rest):
        if path.name == "worse.wav":
            raise ZeroDivisionError("none")
        return read(self, path, *rest)

    return reading


def test_an_end_that_cannot_be_read_is_told_once(index: Index, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_audio(media / "longer.wav", 4, seconds=3 * 5 * WINDOWS_PER_READ)
    read = FileReader._read_audio

    def torn(self: FileReader, path: Path, first: int):
        if first >= 2 * WINDOWS_PER_READ:
            raise ValueError("torn")
        return read(self, path, first)

    monkeypatch.setattr(FileReader, "_read_audio", torn)
    seen: list[tuple[int, int]] = []
    outcome = index.refresh(lambda done, of: seen.append((done, of)), add_new=True)
    assert outcome.warnings == {"audio with an end that cannot be read": 1}
    assert seen[-1] == (1, 1)
    assert (
        len(index.query(audio=media / "longer.wav", file_types=["audio"], k=99, per_window=True))
        >= 2 * WINDOWS_PER_READ
    )
    assert index.refresh(add_new=True).unchanged == 12


def test_a_copy_of_a_recording_is_of_the_kind_of_the_recording(index: Index, media: Path) -> None:
    write_video(media / "spoken.mp4", seconds=1, picture=False)
    index.add(media / "spoken.mp4")
    (media / "copy.mp4").write_bytes((media / "spoken.mp4").read_bytes())
    assert index.add(media / "copy.mp4").moved == 1
    hits = {hit.path.name: hit for hit in index.query(audio=media / "spoken.mp4", file_types=["audio"], k=99)}
    assert hits["copy.mp4"].file_type == hits["spoken.mp4"].file_type == "audio"
    assert load_thumbnail(hits["copy.mp4"]).tobytes() == load_thumbnail(hits["spoken.mp4"]).tobytes()


def test_two_that_make_an_index_at_once_make_one(
    media: Path, localizer: Localizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, digest = tmp_path / "index", store.compute_weights_digest

    def slow(localizer: Localizer):
        monkeypatch.setattr(store, "compute_weights_digest", digest)
        with Index.create(folder, localizer, media) as first:  # while the other looks at its weights
            first.add(media / "p0.png")
        return digest(localizer)

    monkeypatch.setattr(store, "compute_weights_digest", slow)
    with pytest.raises(OutputError, match="holds an index already"):
        Index.create(folder, localizer, media)
    with Index.open(folder, localizer) as index:
        assert (len(index), index.status().problems) == (1, [])


def test_what_was_kept_beside_an_index_that_was_not_made_is_not_touched(
    media: Path, localizer: Localizer, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / "index.sqlite").touch()
    kept = folder / "index.sqlite.bak"
    kept.write_text("mine")
    with pytest.raises(OutputError, match="holds something else"):
        Index.create(folder, localizer, media)
    assert kept.read_text() == "mine"
    kept.unlink()
    Index.create(folder, localizer, media).close()
    assert is_index(folder)


def test_weights_that_give_no_numbers_are_refused(media: Path, tmp_path: Path) -> None:
    broken = create("ezvsl", image=TINY, audio=TINY)
    with torch.no_grad():
        for weight in broken.parameters():
            weight.fill_(torch.nan)
    index = Index.create(tmp_path / "index", Localizer(broken), media)
    with pytest.raises(DataError, match="an embedding is not finite"):
        index.add(media / "p0.png")
    assert (len(index), index.status().num_vectors) == (0, 0)


def reader(media: Path, localizer: Localizer, every: float) -> FileReader:
    return FileReader(media, localizer.method.front_end, every)


@pytest.mark.parametrize(
    ("name", "opens"), [("v.mp4", "place_windows"), ("spoken.mp4", "open_windows"), ("s.ogg", "open_windows")]
)
def test_a_long_file_is_gone_through_once_for_all_its_windows(
    name: str, opens: str, media: Path, localizer: Localizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(media / "spoken.mp4", seconds=4, picture=False)
    write_audio(media / "s.ogg", 3, seconds=4)
    fresh = [reader(media, localizer, 0.1)(f"{first}:{name}") for first in (0, 16, 32)]
    times, opened = [], getattr(file_reader, opens)
    monkeypatch.setattr(file_reader, opens, lambda *what: (times.append(what), opened(*what))[1])
    again = reader(media, localizer, 0.1)
    for first, separate in zip((0, 16, 32), fresh, strict=True):
        windows = again(f"{first}:{name}")
        assert windows.times == separate.times
        for modality, inputs in windows.inputs.items():
            np.testing.assert_array_equal(inputs, separate.inputs[modality])
    assert len(times) == 1
    again(f"0:{name}")  # from the beginning: anew
    assert len(times) == 2


def test_a_time_stamp_that_is_broken_makes_no_windows_of_nothing(tmp_path: Path, localizer: Localizer) -> None:
    day = 86400.0
    write_video(tmp_path / "torn.mkv", seconds=day, times=[*np.arange(0, 60, 0.5), day], sound=False)
    whole = reader(tmp_path, localizer, 3.0)("0:torn.mkv")
    assert isinstance(whole, FileWindows)
    assert whole.num_windows == 60 / 3


def test_a_picture_that_stands_still_keeps_the_windows_of_its_sound(tmp_path: Path, localizer: Localizer) -> None:
    write_video(tmp_path / "still.mkv", seconds=60, times=[0.0, 59.0])
    assert reader(tmp_path, localizer, 1.0)("0:still.mkv").num_windows == pytest.approx(60, abs=1)


def test_a_long_sound_that_is_cut_short_is_read_as_far_as_it_goes(tmp_path: Path, localizer: Localizer) -> None:
    path = write_audio(tmp_path / "cut.wav", 1, seconds=100)
    path.write_bytes(path.read_bytes()[:-2000])
    windows = reader(tmp_path, localizer, 3.0)("0:cut.wav")
    assert windows.message == "cut short"
    assert len(windows.times["audio"]) == WINDOWS_PER_READ

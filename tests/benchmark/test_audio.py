"""Sounds: by category, each once, seeded; what is silent or clipped is not used."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from soundspot.benchmark.audio import cut_loudest, describe_audio_problem, drop_audio, list_unmatched, match_audio
from soundspot.benchmark.project import Project
from soundspot.benchmark.selection import decide, selected_images
from soundspot.data.media.audio import read_audio
from soundspot.errors import DataError
from soundspot.types import Audio


@pytest.fixture
def selected(project: Project) -> Project:
    for record in project.journal.read_images():
        decide(project, "ann", record.id, "keep")
    return project


def tone(seconds: float = 1.0, peak: float = 0.5, hertz: int = 300, rate: int = 8000) -> np.ndarray:
    return peak * np.sin(np.arange(round(seconds * rate)) / rate * 2 * np.pi * hertz)


def test_each_thing_gets_a_sound_of_its_category_once(selected: Project, catalog: Path) -> None:
    summary = match_audio(selected, catalog, license="CC0 1.0", author="nobody")
    assert (summary.num_matched, summary.num_missing) == (12, {})
    pairings = selected.journal.read_pairings()
    audio = {record.id: record for record in selected.journal.read_audio()}
    assert len(set(pairings.values())) == 12
    for (_, category), number in pairings.items():
        assert audio[number].category == category
        assert audio[number].source.license == "CC0 1.0"
        assert read_audio(selected.folder / audio[number].file).seconds == pytest.approx(0.5)
    assert match_audio(selected, catalog).num_matched == 0


def test_the_seed_decides_on_the_sounds(selected: Project, catalog: Path, tmp_path: Path) -> None:
    import shutil

    other = Project(shutil.copytree(selected.folder, tmp_path / "other"))
    for project in (selected, other):
        match_audio(project, catalog)
    keys = [[record.key for record in project.journal.read_audio()] for project in (selected, other)]
    assert keys[0] == keys[1]


def test_a_dropped_sound_is_replaced_by_another(selected: Project, catalog: Path) -> None:
    match_audio(selected, catalog)
    record = selected_images(selected)[0]
    category = record.categories[1]
    before = selected.journal.read_pairings()[record.id, category]
    drop_audio(selected, "ann", record.id, category, "a voice speaks over it")
    assert list_unmatched(selected, selected_images(selected)) == [(record, category)]
    assert match_audio(selected, catalog).num_matched in (0, 1)
    if (
        sum(entry["category"] == category for entry in json.loads((catalog / "annotations.json").read_text())["audio"])
        > 4
    ):
        assert selected.journal.read_pairings()[record.id, category] != before
    with pytest.raises(DataError, match="found no sound of 'nothing'"):
        drop_audio(selected, "ann", record.id, "nothing", "")


def test_sounds_of_a_folder_are_checked(selected: Project, tmp_path: Path) -> None:
    categories = selected.plan.categories
    for category in categories:
        (tmp_path / "sounds" / category).mkdir(parents=True)
        for n in range(3):
            soundfile.write(tmp_path / f"sounds/{category}/{n}.wav", tone(hertz=200 + 10 * n + len(category)), 8000)
    bad = tmp_path / "sounds" / categories[0]
    soundfile.write(bad / "silent.wav", np.zeros(8000), 8000)
    soundfile.write(bad / "clipped.wav", tone(peak=3).clip(-1, 1), 8000)
    soundfile.write(bad / "short.wav", tone(0.1), 8000)
    (bad / "broken.wav").write_bytes(b"RIFF no sound")
    (bad / "copy.wav").write_bytes((bad / "0.wav").read_bytes())
    summary = match_audio(selected, tmp_path / "sounds", "folder")
    assert summary.num_matched == 9
    assert summary.num_missing == dict.fromkeys(categories, 1)
    messages = "\n".join(summary.messages)
    for text in (
        "silent.wav: is silent",
        "clipped.wav: is clipped",
        "short.wav: lasts 0.10 s",
        "broken.wav",
        "has the content of",
    ):
        assert text in messages
    assert match_audio(selected, tmp_path / "sounds", "folder").messages == ()  # refused once


def test_a_category_without_a_sound_is_named(selected: Project, tmp_path: Path) -> None:
    category = selected.plan.categories[0]
    (tmp_path / category).mkdir()
    soundfile.write(tmp_path / category / "a.wav", tone(), 8000)
    with pytest.raises(DataError, match=f"found no sound of {', '.join(sorted(selected.plan.categories[1:]))}"):
        match_audio(selected, tmp_path, "folder")


def test_sounds_wait_for_the_selection(project: Project, catalog: Path) -> None:
    with pytest.raises(DataError, match="found no image that is kept"):
        match_audio(project, catalog)


def test_clips_of_vggsound_are_named_by_its_table(selected: Project, tmp_path: Path) -> None:
    rows = []
    for c, category in enumerate(selected.plan.categories):
        for n in range(4):
            name = f"abcdefghi{c}{n}"
            soundfile.write(tmp_path / f"{name}_{30 + n:06d}.wav", tone(hertz=100 * c + 10 * n + 50), 8000)
            rows.append(f"{name},{30 + n},{category},test\n")
    (tmp_path / "vggsound.csv").write_text("".join(rows))
    summary = match_audio(selected, tmp_path, "vggsound", table=tmp_path / "vggsound.csv")
    assert summary.num_matched == 12
    record = selected.journal.read_audio()[0]
    assert record.source.origin.startswith("https://www.youtube.com/watch?v=abcdefghi")
    assert record.source.group == record.key[:11]
    with pytest.raises(DataError, match="needs VGGSound's table"):
        match_audio(selected_again(selected), tmp_path, "vggsound")


def selected_again(project: Project) -> Project:
    """The project, with one sound dropped, so that there is something to do."""
    record = selected_images(project)[0]
    drop_audio(project, "ann", record.id, record.categories[0], "noise")
    return project


def test_the_loudest_window_is_cut_out() -> None:
    waveform = torch.from_numpy(np.concatenate([tone(2, 0.1), tone(1, 0.8), tone(2, 0.1)])).float()
    cut = cut_loudest(Audio(waveform, 8000), 1)
    assert cut.seconds == 1
    assert cut.waveform.abs().mean() > 0.45
    assert cut_loudest(cut, 3) is cut


@pytest.mark.parametrize(("hertz", "rate"), [(20, 48000), (300, 16000), (3000, 16000)])
def test_a_loud_pure_tone_is_not_clipped(hertz: int, rate: int) -> None:
    audio = Audio(torch.from_numpy(tone(1, 1.0, hertz, rate)).float(), rate)
    assert describe_audio_problem(audio) == ""

"""An index holds what its folder holds, whatever came between, and finds what a plain search in float64 finds."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from clips import write_video
from search_media import write_audio, write_image
from soundspot.config.checkpoint import save_checkpoint
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import read_image
from soundspot.errors import CheckpointError, DataError, InputError, OutputError, RecipeError
from soundspot.inference.localizer import Localizer
from soundspot.methods import create
from soundspot.search import Hit, Index
from soundspot.search.query import compose_query, default_modalities
from soundspot.utils.atomic_io import lock_folder
from tiny import DENSEAV, denseav_front_end
from toys import TINY


def plain(index: Index, query: torch.Tensor, k: int, modality: str) -> list[tuple[str, float]]:
    """Every file's best vector of a modality by a loop in float64."""
    now, best = index._current_snapshot(), {}
    names = {one.id: os.fsdecode(one.path) for one in index._store.list_files()}
    for n, row in enumerate(now.row):
        if ("image", "audio")[now.modality[n]] == modality:
            score = float(np.array(now.vectors[row], np.float64) @ query.numpy())
            name = names[int(now.file_id[n])]
            best[name] = max(best.get(name, -2.0), score)
    return sorted(best.items(), key=lambda one: (-one[1], one[0]))[:k]


def test_all_files_are_found_as_a_plain_search_finds_them(index: Index, media: Path, localizer: Localizer) -> None:
    assert len(index) == 11
    image, sound = media / "p2.png", media / "below" / "s1.wav"
    seen, heard = localizer.embed_images([read_image(image)])[0], localizer.embed_audio([read_audio(sound)])[0]
    for asked, query, modality in (
        ({"image": image}, compose_query(seen, None), "audio"),
        ({"audio": sound}, compose_query(None, heard), "image"),
        ({"image": image, "audio": sound, "image_weight": 0.3}, compose_query(seen, heard, 0.3), "image"),
    ):
        for k in (1, 3, 100):
            hits = index.query(localizer, k=k, **asked)
            assert [(str(hit.path.relative_to(media)), hit.score) for hit in hits] == plain(index, query, k, modality)


def test_a_picture_and_a_sound_find_themselves(index: Index, media: Path, localizer: Localizer) -> None:
    hit = index.query(localizer, image=media / "p3.png", modalities=["image"])[0]
    assert (hit.path.name, hit.file_type, hit.time, hit.modality) == ("p3.png", "image", None, "image")
    assert hit.score == pytest.approx(1, abs=1e-5)
    hit = index.query(localizer, audio=media / "below" / "s2.wav", file_types=["audio"])[0]
    assert (hit.path.name, hit.file_type, hit.time, hit.modality) == ("s2.wav", "audio", 0.0, "audio")
    assert hit.score == pytest.approx(1, abs=1e-5)


def test_kinds_and_windows(index: Index, media: Path, localizer: Localizer) -> None:
    every = index.query(localizer, image=media / "p0.png", k=99, per_window=True, file_types=["audio"])
    long = sorted(hit.time for hit in every if hit.path.name == "long.wav")
    assert long == pytest.approx([0, 3, 6, 9, 12, 15, 18, 19.5])  # one every three seconds, the last ends with it
    assert {hit.file_type for hit in index.query(localizer, audio=media / "long.wav", k=99)} == {"image", "video"}
    video = index.query(localizer, audio=media / "long.wav", file_types=["video"], modalities=["audio"])
    assert [(hit.file_type, hit.modality) for hit in video] == [("video", "audio")]


def test_what_a_query_is_compared_with() -> None:
    every = ("image", "audio", "video")
    assert default_modalities(False, True, every) == default_modalities(True, True, every) == ("image",)
    assert default_modalities(True, False, every) == ("audio",)
    assert default_modalities(False, True, ("audio",)) == ("audio",)
    assert default_modalities(True, False, ("image",)) == ("image",)


@given(st.integers(0, 10**6), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_a_mixture_is_the_unit_vector_between(seed: int, mix: float) -> None:
    v, a = (3 * torch.rand(2, 8, generator=torch.Generator().manual_seed(seed)) + 0.1).double()
    z = mix * v / v.norm() + (1 - mix) * a / a.norm()
    assert torch.allclose(compose_query(v, a, mix), z / z.norm(), atol=1e-7)


@pytest.mark.parametrize("mix", [-0.1, 1.1, float("nan")])
def test_a_mix_that_is_no_share_is_refused(mix: float, index: Index, media: Path, localizer: Localizer) -> None:
    with pytest.raises(RecipeError, match=r"image_weight: found .* expected a number from 0"):
        index.query(localizer, image=media / "p0.png", audio=media / "long.wav", image_weight=mix)


def test_opposites_leave_nothing_between() -> None:
    with pytest.raises(InputError, match="cancel each other out"):
        compose_query(torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0]), 0.5)


def test_queries_that_make_no_sense_are_told(index: Index, media: Path, localizer: Localizer) -> None:
    with pytest.raises(InputError, match="neither an image nor an audio"):
        index.query(localizer)
    with pytest.raises(RecipeError, match="k: found 0"):
        index.query(localizer, image=media / "p0.png", k=0)
    with pytest.raises(RecipeError, match="found text to search in, expected some of image"):
        index.query(localizer, image=media / "p0.png", file_types=["text"])


def test_an_empty_index_finds_nothing(tmp_path: Path, localizer: Localizer, media: Path) -> None:
    (tmp_path / "empty").mkdir()
    index = Index.create(tmp_path / "index", localizer, tmp_path / "empty")
    assert str(index.add(tmp_path / "empty")) == "nothing to do"
    assert index.query(localizer, audio=media / "long.wav") == []
    assert index.status().problems == []


# Changes.


def test_changed_gone_moved_and_new_files(index: Index, media: Path, localizer: Localizer) -> None:
    before = index.query(localizer, image=media / "p1.png", modalities=["image"], k=20)
    assert index.refresh().unchanged == 11
    (media / "p1.png").rename(media / "below" / "moved.png")
    (media / "p0.png").unlink()
    write_image(media / "p2.png", 77)
    write_image(media / "new.png", 78)
    outcome = index.add(media) + index.refresh()
    assert (outcome.added, outcome.changed, outcome.moved, outcome.removed) == (1, 1, 1, 2)
    hit = index.query(localizer, image=media / "below" / "moved.png", modalities=["image"])[0]
    assert (hit.path.name, hit.score) == ("moved.png", before[0].score)
    assert len(index) == 11


def test_two_files_that_change_places_change_vectors(index: Index, media: Path, localizer: Localizer) -> None:
    first, second = ((media / f"p{n}.png").read_bytes() for n in range(2))
    (media / "p0.png").write_bytes(second)
    (media / "p1.png").write_bytes(first)
    for name in ("p0.png", "p1.png"):
        os.utime(media / name, (1, 1))
    index.refresh()
    for name in ("p0.png", "p1.png"):
        hit = index.query(localizer, image=media / name, modalities=["image"])[0]
        assert (hit.path.name, hit.score) == (name, pytest.approx(1, abs=1e-5))


STEPS = st.sampled_from(["write", "delete", "remove", "add", "refresh"])


@given(steps=st.lists(st.tuples(STEPS, st.integers(0, 5)), max_size=12))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_index_is_what_a_dictionary_would_be(
    steps: list[tuple[str, int]], localizer: Localizer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("model")
    media, there, known, time = root / "media", {}, {}, 0
    media.mkdir()
    index = Index.create(root / "index", localizer, media)
    for step, n in steps:
        name, time = f"{n}.png", time + 1
        if step == "write":
            write_image(media / name, 10 * n + time % 3)
            os.utime(media / name, ns=(time, time))
            there[name] = (media / name).read_bytes()
        elif step == "delete" and name in there:
            (media / name).unlink()
            del there[name]
        elif step == "remove" and name in known:
            index.remove(media / name)
            del known[name]
        elif step == "add":
            index.add(media)
            known |= there
        elif step == "refresh":
            if known and not there:
                with pytest.raises(DataError, match="found nothing to index"):
                    index.refresh()
                continue
            index.refresh()
            known = {one: there[one] for one in known if one in there}
    with Index.open(root / "index", localizer) as again:
        found = {os.fsdecode(one.path) for one in again._store.list_files()}
        assert found == set(known)
        assert again.status().problems == []
        for name, content in known.items():
            (root / "asked.png").write_bytes(content)
            best = again.query(localizer, image=root / "asked.png", modalities=["image"], k=20)
            assert next(hit.score for hit in best if hit.path.name == name) == pytest.approx(1, abs=1e-5)


def test_an_index_made_in_pieces_answers_as_one_made_at_once(
    index: Index, media: Path, localizer: Localizer, tmp_path: Path
) -> None:
    pieces = Index.create(tmp_path / "pieces", localizer, media)
    for path in sorted(media.rglob("*.*"), reverse=True):
        pieces.add(path)
    asked = {"image": media / "p1.png", "audio": media / "long.wav", "k": 20, "per_window": True}
    assert pieces.query(localizer, **asked) == index.query(localizer, **asked)


def test_rows_that_belong_to_nothing_are_thrown_out(
    index: Index, media: Path, localizer: Localizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundspot.search.indexer.MAX_UNUSED_ROWS", 1)
    asker = Index.open(index.folder, localizer)
    asked = {"audio": media / "long.wav", "file_types": ["image"], "k": 20}
    before = asker.query(localizer, **asked)
    index.remove([media / "long.wav", media / "v.mp4"])
    status = index.status()
    assert (status.unused_rows, status.problems) == (0, [])
    assert not (index.folder / "vectors-0.f32").exists()
    assert (index.folder / "vectors-1.f32").stat().st_size == status.num_vectors * 4 * index._metadata["width"]
    assert asker.query(localizer, **asked) == before  # by one who had it open


# Bad files and bad indexes.


def test_what_cannot_be_read_is_named_and_kept_out(index: Index, media: Path) -> None:
    (media / "bad.jpg").write_text("no picture")
    (media / "empty.wav").touch()
    (media / "bad.mp4").write_text("no video")
    (media / "notes.txt").write_text("no file of ours")
    os.mkfifo(media / "pipe.png")
    shutil.copy(media / "p0.png", media.parent / "outside.png")
    (media / "out.png").symlink_to(media.parent / "outside.png")
    write_video(media / "mute.mp4", seconds=1, sound=False)
    outcome = index.add(media)
    found = {one.path.name: one.cause for one in outcome.failures}
    expected = {"bad.jpg": "unreadable", "empty.wav": "empty", "bad.mp4": "unreadable", "pipe.png": "no file"}
    assert found == {**expected, "out.png": "outside"}
    assert (outcome.added, outcome.skipped, outcome.warnings) == (1, {".txt": 1}, {"video without sound": 1})
    assert str(outcome).endswith("passed over 1 file: 1 .txt")
    assert {one.path.name for one in index.status().failures} == set(found)
    assert len(index.add(media).failures) == 5  # told again, not read again
    (media / "bad.jpg").write_bytes((media / "p0.png").read_bytes())
    assert index.refresh().moved == 1


@pytest.mark.parametrize(
    "name", [b"<script>alert(1)</script>.png", b"two\nlines.png", b"\xff\xfe.png", b"' OR 1=1.png"]
)
def test_odd_names_come_back_as_they_are(name: bytes, index: Index, media: Path, localizer: Localizer) -> None:
    odd = os.fsencode(media) + b"/" + name.replace(b"/", b"_")
    try:
        os.close(os.open(odd, os.O_CREAT | os.O_WRONLY))
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    shutil.copy(write_image(media.parent / "odd.png", 55), odd)
    index.add(media)
    hit = index.query(localizer, image=media.parent / "odd.png", modalities=["image"])[0]
    assert os.fsencode(hit.path) == odd
    index.refresh()
    assert index.remove(hit.path) == 1


def test_paths_outside_the_folder_are_refused(index: Index, media: Path, tmp_path: Path) -> None:
    shutil.copy(media / "p0.png", tmp_path / "outside.png")
    for work in (index.add, index.remove):
        for path in (tmp_path / "outside.png", media / ".." / "outside.png"):
            with pytest.raises(InputError, match="a path outside the folder"):
                work(path)
    with pytest.raises(InputError, match="no such file or folder"):
        index.add(media / "nowhere.png")
    with pytest.raises(InputError, match="is not in the index"):
        index.remove(media / "nowhere.png")


def test_another_checkpoint_is_refused(index: Index, media: Path) -> None:
    torch.manual_seed(5)
    other = Localizer(create("ezvsl", image=TINY, audio=TINY))
    with pytest.raises(CheckpointError, match=r"expected the same .*--index NAME"):
        index.query(other, image=media / "p0.png")
    with pytest.raises(CheckpointError, match="expected the same"):
        Index.open(index.folder, other).add(write_image(media / "new.png", 99))


def test_a_checkpoint_that_is_gone_is_told(index: Index, media: Path) -> None:
    with index._store.transaction():
        index._store.set_metadata(checkpoint="/nowhere/best.safetensors")
    with pytest.raises(CheckpointError, match=r"nowhere/best.safetensors, which is gone.*--model FILE"):
        Index.open(index.folder).query(image=media / "p0.png")


def test_methods_that_hear_vectors_are_refused(tmp_path: Path, localizer: Localizer) -> None:
    deaf = Localizer(localizer.method)
    spec = deaf.method.front_end
    deaf.method.front_end = replace(spec, audio=replace(spec.audio, embedding_dim=8))
    try:
        with pytest.raises(RecipeError, match="takes no waveforms"):
            Index.create(tmp_path / "index", deaf)
    finally:
        deaf.method.front_end = spec


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["denseav", "denseav@demo"])
def test_images_of_any_shape_are_indexed_by_denseav(tmp_path: Path, preset: str) -> None:
    pytest.importorskip("transformers", reason="the extra `hub` is not installed")
    (media := tmp_path / "media").mkdir()
    for seed, (name, size) in enumerate({"wide": (96, 48), "high": (48, 64), "square": (48, 48)}.items()):
        with Image.open(write_image(media / f"{name}.png", seed)) as image:
            image.resize(size).save(media / f"{name}.png")
    for seed, (name, seconds) in enumerate({"short": 0.4, "long": 1.5}.items()):
        write_audio(media / f"{name}.wav", seed, seconds)
    model = tmp_path / "model.safetensors"
    save_checkpoint(create("denseav", front_end=denseav_front_end(preset=preset), **DENSEAV), model)
    localizer = Localizer.load(model)
    with Index.create(tmp_path / "index", localizer, media) as index:
        index.add(media)
        assert len(index) == 5
        for name, query in (("wide.png", "image"), ("long.wav", "audio"), ("short.wav", "audio")):
            (hit, *_) = index.query(localizer, **{query: media / name}, modalities=[query])
            assert (hit.path.name, hit.score) == (name, pytest.approx(1, abs=0.01))


def test_one_writer_at_a_time(index: Index, media: Path, localizer: Localizer) -> None:
    with lock_folder(index.folder):
        with pytest.raises(OutputError, match="another run writes here now"):
            index.add(media)
        assert index.query(localizer, image=media / "p0.png", file_types=["image"])[0].path.name == "p0.png"


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: half(folder / "vectors-0.f32"), "vectors-0.f32: found .* bytes, expected"),
        (lambda folder: (folder / "vectors-0.f32").unlink(), "vectors-0.f32: found no such file"),
        (lambda folder: (folder / "index.sqlite").write_bytes(b"nonsense" * 999), "index.sqlite: is damaged"),
        (lambda folder: (folder / "index.sqlite").unlink(), "found no index of files"),
    ],
)
def test_damage_is_told_and_not_made_worse(
    spoil: Callable[[Path], object], told: str, index: Index, media: Path, localizer: Localizer
) -> None:
    index.close()
    spoil(index.folder)
    before = {path.name: path.read_bytes() for path in index.folder.iterdir()}
    with pytest.raises(DataError, match=told):
        Index.open(index.folder, localizer).query(image=media / "p0.png")
    with pytest.raises(DataError, match=told):
        Index.open(index.folder, localizer).add(media)
    assert before == {path.name: path.read_bytes() for path in index.folder.iterdir()}


def test_a_flipped_bit_is_found_by_status(index: Index, localizer: Localizer) -> None:
    path = index.folder / "vectors-0.f32"
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    assert "1 vectors are damaged (first: row 0)" in Index.open(index.folder, localizer).status().problems[0]


def test_an_index_is_not_made_over_something_else(media: Path, localizer: Localizer, index: Index) -> None:
    with pytest.raises(OutputError, match="holds an index already"):
        Index.create(index.folder, localizer, media)
    with pytest.raises(OutputError, match="holds something else"):
        Index.create(media, localizer)


def test_a_store_of_another_layout_is_refused(index: Index) -> None:
    index.close()
    with sqlite3.connect(index.folder / "index.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DataError, match="found the schema 99, expected 1"):
        Index.open(index.folder)


def test_hits_are_plain_values() -> None:
    told = Hit(Path("a"), "audio", 0.5, 3.0, "audio").to_dict()
    assert told == {"path": "a", "file_type": "audio", "score": 0.5, "time": 3.0, "modality": "audio"}


@pytest.mark.parametrize("path", [b"../secret.png", b"/etc/hostname", "secret.png"])
def test_an_index_of_somebody_else_leads_to_no_file_outside(index: Index, path: object) -> None:
    with sqlite3.connect(index.folder / "index.sqlite") as database:
        database.execute("UPDATE files SET path = ? WHERE id = (SELECT min(id) FROM files)", (path,))
    database.close()
    width = index._metadata["width"]
    query = torch.ones(width, dtype=torch.float64) / width**0.5
    for read in (lambda: index.query_vector(query, k=99, modalities=("image", "audio")), index.refresh):
        with pytest.raises(DataError, match=r"leads out of this folder|is damaged"):
            read()

"""`soundspot search`: the commands one after the other, what they print, and beyond exact search."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search_media import write_image
from soundspot.cli.main import main
from soundspot.data.neighbors.exact_knn import normalize_to_grid
from soundspot.inference.localizer import Localizer
from soundspot.search import Index
from soundspot.search.exact_search import RowFilter, dot_products, find_nearest_rows, float32_error_bound, quantize_unit
from soundspot.search.faiss_ivf import build_inverted_index, open_inverted_index
from soundspot.search.result import escape_unprintable
from soundspot.search.vector_store import VectorWriter, open_vectors


def test_index_query_status_remove_and_export(
    media: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (media / "bad\n<b>.jpg").write_text("no picture")
    assert main(["search", "index", "media"]) == 2
    assert "a new index needs a checkpoint" in capsys.readouterr().err
    assert main(["search", "index", "media", "--checkpoint", str(checkpoint)]) == 0
    said = capsys.readouterr().out
    assert "11 added, 1 kept out (1 unreadable)" in said
    assert r"bad\n<b>.jpg: found a file" in said
    assert main(["search", "index", "media", "--every", "1.5"]) == 2  # nothing is new, and yet
    assert "has a window every 3 s, expected one every 1.5" in capsys.readouterr().err
    write_image(media / "p9.png", 9)
    (media / "p0.png").unlink()
    assert main(["search", "index", "media", "--workers", "1"]) == 0  # what it was made by is known
    assert "1 added, 10 unchanged, 1 removed" in capsys.readouterr().out
    ask = ["search", "query", "--sound", "media/long.wav", "--image", "media/p1.png", "--mix", "0.25"]
    assert main([*ask, "--k", "100", "--sheet", "out.png", "--every"]) == 0
    told = capsys.readouterr().out
    assert "p9.png" in told
    assert "v.mp4" in told
    with Image.open("out.png") as drawn:
        assert drawn.width > 500
    assert main([*ask, "--json", "--kinds", "[video]"]) == 0
    assert [hit["kind"] for hit in json.loads(capsys.readouterr().out)] == ["video"]
    assert main([*ask, "--mix", "1.5"]) == 2
    assert main(["search", "query"]) == 2
    assert main(["search", "query", "--sound", "media/long.wav", "--index", "nowhere"]) == 2
    assert "found no index of files" in capsys.readouterr().err
    assert main(["search", "remove", "media/below"]) == 0
    assert "3 removed; 8 files are left" in capsys.readouterr().out
    assert main(["search", "status"]) == 0
    assert "whole: every vector" in capsys.readouterr().out
    assert main(["search", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == {"image": 6, "sound": 1, "video": 1}
    (tmp_path / "other").mkdir()
    assert main(["search", "index", "other"]) == 2
    assert "is of the folder" in capsys.readouterr().err
    media.rename(tmp_path / "moved")
    assert main(["search", "index", "moved", "--moved"]) == 0
    assert "8 unchanged" in capsys.readouterr().out.replace("3 added, ", "")


def test_parquet_holds_every_vector_and_what_it_is_of(
    index: Index, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    path = tmp_path / "vectors.parquet"
    assert index.to_parquet(path) == index.status().num_vectors
    table = parquet.read_table(path)
    assert table.schema.names == ["id", "path", "kind", "modality", "time", "vector"]
    rows = {row["id"]: row for row in table.to_pylist()}
    now = index._current_snapshot()
    for n, row in enumerate(table.to_pylist()):
        assert np.array_equal(np.float32(row["vector"]), now.vectors[now.entries.row[n]])
    assert {row["path"]: row["time"] for row in rows.values()}["p1.png"] is None
    monkeypatch.setattr("soundspot.search.writer.DEAD", 1)
    index.remove([media / "long.wav", media / "v.mp4"])
    fewer = index.to_parquet(path, overwrite=True)
    again = {row["id"]: row for row in parquet.read_table(path).to_pylist()}
    assert 0 < len(again) == fewer < len(rows)
    assert all(row == rows[id] for id, row in again.items()), "the same, though the rows were numbered anew"


@pytest.mark.parametrize("copies", [1, 50])
def test_near_ties_are_told_apart_and_ties_are_kept(copies: int) -> None:
    """Vectors that float32 cannot tell apart, and copies of one in masses."""
    chance = torch.Generator().manual_seed(0)
    base = torch.randn(64, generator=chance)
    close = base + 1e-6 * torch.randn(400, 64, generator=chance)
    vectors = quantize_unit(close).repeat(copies, axis=0)
    query = normalize_to_grid(torch.randn(1, 64, generator=chance))[0]
    exact = vectors.astype(np.float64) @ query.numpy()
    rows, scores = find_nearest_rows(vectors, query, RowFilter(np.arange(len(vectors)), len(vectors)), 7)
    best = sorted(range(len(vectors)), key=lambda n: (-exact[n], n))[:7]
    assert sorted(rows[np.argsort(-scores, kind="stable")][:7].tolist()) == sorted(best)
    assert np.abs(dot_products(vectors, query.float().numpy()) - exact).max() < float32_error_bound(64)


def test_beyond_exact_search_most_is_found_and_all_that_is_new(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="the extra `ann` is not installed")
    chance = torch.Generator().manual_seed(0)
    vectors = quantize_unit(torch.randn(5000, 16, generator=chance))
    path = tmp_path / "vectors-0.f32"
    with VectorWriter(path, 0, 16) as writer:
        writer.append(vectors[:4000])
        build_inverted_index(open_vectors(path, 4000, 16), tmp_path, 0, max_exact_rows=3000)
        writer.append(vectors[4000:])
    there = open_vectors(path, 5000, 16)
    found = open_inverted_index(there, tmp_path, 0)
    assert found is not None
    owners = RowFilter(np.where(np.arange(5000) % 2, np.arange(5000) // 4, -1), 1250)
    shares = []
    for query in normalize_to_grid(torch.randn(20, 16, generator=chance)):
        right, _ = find_nearest_rows(there, query, owners, 10)
        rows, scores = found.find_nearest_rows(there, query, owners, 10)
        assert (owners.file_index[rows] >= 0).all()
        assert np.allclose(scores, there[rows] @ query.numpy(), atol=1e-6)
        shares.append(np.isin(right, rows).mean())
        assert np.isin(right[right >= 4000], rows).all()
    assert np.mean(shares) > 0.6
    build_inverted_index(there, tmp_path, 0, max_exact_rows=3000)  # not yet
    assert [one.name for one in tmp_path.glob("*.faiss")] == ["inverted-0-4000.faiss"]


def test_names_stay_on_one_line() -> None:
    assert escape_unprintable("a\nb\x1b[31m\udcff.png") == "a\\nb\\x1b[31m\\xff.png"
    assert escape_unprintable("Käse 狗.png") == "Käse 狗.png"


def test_workers_read_what_this_process_reads(media: Path, localizer: Localizer, index: Index, tmp_path: Path) -> None:
    other = Index.create(tmp_path / "other", localizer, media)
    other.add(media, num_workers=1)
    asked = {"sound": media / "long.wav", "k": 99, "every": True, "against": ["picture", "sound"]}
    assert other.query(localizer, **asked) == index.query(localizer, **asked)

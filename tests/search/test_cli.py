"""`soundspot search`: the commands one after the other, what they print."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from schemas import check_output
from search_media import write_image
from soundspot.cli.main import main
from soundspot.data.neighbors.exact_knn import (
    find_nearest_rows,
    float32_error_bound,
    normalize_to_grid,
    quantize_unit,
)
from soundspot.inference.localizer import Localizer
from soundspot.search import Index
from soundspot.search.result import escape_unprintable


def test_index_query_status_remove_and_export(
    media: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (media / "bad\n<b>.jpg").write_text("no picture")
    assert main(["search", "index", "media", "--model", str(checkpoint)]) == 0
    said = capsys.readouterr().out
    assert "11 added, 1 failed (1 unreadable)" in said
    assert r"bad\n<b>.jpg: found a file" in said
    assert main(["search", "index", "media", "--stride", "1.5"]) == 2  # nothing is new, and yet
    assert "has a window every 3 s, expected one every 1.5" in capsys.readouterr().err
    write_image(media / "p9.png", 9)
    (media / "p0.png").unlink()
    assert main(["search", "index", "media", "--workers", "1"]) == 0  # what it was made by is known
    assert "1 added, 10 unchanged, 1 removed" in capsys.readouterr().out
    ask = ["search", "query", "--audio", "media/long.wav", "--image", "media/p1.png", "--image-weight", "0.25"]
    assert main([*ask, "--k", "100", "--contact-sheet", "out.png", "--per-window"]) == 0
    told = capsys.readouterr().out
    assert "p9.png" in told
    assert "v.mp4" in told
    with Image.open("out.png") as drawn:
        assert drawn.width > 500
    assert main([*ask, "--json", "--file-types", "video"]) == 0
    hits = json.loads(capsys.readouterr().out)
    check_output(hits, "search-hits")
    assert [hit["file_type"] for hit in hits] == ["video"]
    assert main([*ask, "--image-weight", "1.5"]) == 2
    assert main(["search", "query"]) == 2
    assert main(["search", "query", "--audio", "media/long.wav", "--index", "nowhere"]) == 2
    assert "found no index of files" in capsys.readouterr().err
    assert main(["search", "remove", "media/below"]) == 0
    assert "3 removed; 8 files are left" in capsys.readouterr().out
    assert main(["search", "status"]) == 0
    assert "healthy: every vector" in capsys.readouterr().out
    assert main(["search", "status", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    check_output(status, "search-status")
    assert status["files"] == {"image": 6, "audio": 1, "video": 1}
    (tmp_path / "other").mkdir()
    assert main(["search", "index", "other"]) == 2
    assert "is of the folder" in capsys.readouterr().err
    media.rename(tmp_path / "moved")
    assert main(["search", "index", "moved", "--relocate"]) == 0
    assert "8 unchanged" in capsys.readouterr().out.replace("3 added, ", "")


def test_parquet_holds_every_vector_and_what_it_is_of(
    index: Index, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    path = tmp_path / "vectors.parquet"
    assert index.to_parquet(path) == index.status().num_vectors
    table = parquet.read_table(path)
    assert table.schema.names == ["id", "path", "file_type", "modality", "time", "vector"]
    rows = {row["id"]: row for row in table.to_pylist()}
    now = index._current_snapshot()
    for n, row in enumerate(table.to_pylist()):
        assert np.array_equal(np.float32(row["vector"]), now.vectors[now.row[n]])
    assert {row["path"]: row["time"] for row in rows.values()}["p1.png"] is None
    monkeypatch.setattr("soundspot.search.indexer.MAX_UNUSED_ROWS", 1)
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
    rows, scores = find_nearest_rows(vectors, query, np.arange(len(vectors)), 7)
    best = sorted(range(len(vectors)), key=lambda n: (-exact[n], n))[:7]
    assert sorted(rows[np.argsort(-scores, kind="stable")][:7].tolist()) == sorted(best)
    assert np.abs(vectors @ query.float().numpy() - exact).max() < float32_error_bound(64)


def test_names_stay_on_one_line() -> None:
    assert escape_unprintable("a\nb\x1b[31m\udcff.png") == "a\\nb\\x1b[31m\\xff.png"
    assert escape_unprintable("Käse 狗.png") == "Käse 狗.png"


def test_workers_read_what_this_process_reads(media: Path, localizer: Localizer, index: Index, tmp_path: Path) -> None:
    other = Index.create(tmp_path / "other", localizer, media)
    other.add(media, num_workers=1)
    asked = {"audio": media / "long.wav", "k": 99, "per_window": True, "modalities": ["image", "audio"]}
    assert other.query(localizer, **asked) == index.query(localizer, **asked)

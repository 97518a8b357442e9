"""No reader runs code that a file carries: loaders in the source are safe ones, and files with a marker leave none."""

import ast
import json
import os
import re
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

import soundspot
from conftest import ROOT
from soundspot.cli.main import main
from soundspot.config.inspect_checkpoint import inspect_checkpoint
from soundspot.config.load import read_recipe
from soundspot.config.schema import FrontEndConfig
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.media.vectors import ArrayStore
from soundspot.data.neighbors.kmeans import Clusters
from soundspot.data.neighbors.table import NeighborTable
from soundspot.data.shards.format import write_shard_index
from soundspot.errors import SoundspotError
from soundspot.importers import import_checkpoint
from soundspot.inference.mining.embed import read_embeddings
from soundspot.methods import create
from soundspot.search import Index
from soundspot.training.run_folder import check_resume_file, check_run_dir
from soundspot.utils.outlines import read_outline
from toys import TINY

SOURCE = ROOT / "src" / "soundspot"
FORBIDDEN_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "runpy", "imp", "code"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_LOADERS = {"torch.jit.load", "torch.hub.load", "torch.package.PackageImporter", "torch.export.load"}
FORBIDDEN_LOADERS |= {"yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "importlib.util.spec_from_file_location"}
SAFE_VALUES = {"weights_only": True, "allow_pickle": False, "trust_remote_code": False}
IMPORTED_BY_NAME = {  # modules of the package alone, whose names stand in the source
    "__init__.py": "public names of the package",
    "cli/main.py": "the table of commands",
    "data/datasets/registry.py": "the table of data sets",
    "methods/__init__.py": "the files of the folder",
}
OUTLINES = "utils/outlines.py"  # executes definitions of the package's own source, without their code


LOADERS = r"\w+\.load\(|unsafe_load|full_load|load_all|PackageImporter|spec_from_file|load_state_dict_from"
SUSPECT = re.compile(
    rf"(import|from) ({'|'.join(FORBIDDEN_MODULES)})\b|(?<![.\w])({'|'.join(FORBIDDEN_CALLS)})\("
    rf"|import_module\(|{LOADERS}|{'|'.join(SAFE_VALUES)}"
)


def unsafe_loaders(source: str, file: str = "x.py") -> Iterator[str]:
    """Yield what in a module could run code of a file that it reads."""
    for node in ast.walk(ast.parse(source)) if SUSPECT.search(source) else ():
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            yield from (a.name for a in node.names if a.name != "UnpicklingError")
        elif isinstance(node, ast.Call):
            yield from unsafe_call(node, file)


def unsafe_call(node: ast.Call, file: str) -> Iterator[str]:
    name, keywords = ast.unparse(node.func), {k.arg: k.value for k in node.keywords}
    if file == OUTLINES and name in ("exec", "compile", "import_module"):
        return
    if name in FORBIDDEN_CALLS | FORBIDDEN_LOADERS or (name == "import_module" and file not in IMPORTED_BY_NAME):
        yield name
    if name in ("torch.load", "torch.hub.load_state_dict_from_url") and "weights_only" not in keywords:
        yield f"{name} without weights_only"
    if name == "yaml.load" and "SafeLoader" not in ast.unparse(node):
        yield "yaml.load without SafeLoader"
    for key, safe in SAFE_VALUES.items():
        if key in keywords and getattr(keywords[key], "value", None) is not safe:
            yield f"{name}({key}={ast.unparse(keywords[key])})"


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "trainer.fit(x, weights_only=False)",
        "torch.load(path, weights_only=not safe)",
        "import pickle",
        "from pickle import loads, UnpicklingError",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, yaml.Loader)",
        "eval(text)",
        "import_module(name)",
    ],
)
def test_the_rule_notices_a_loader_that_runs_code(source: str) -> None:
    assert list(unsafe_loaders(source))


def test_no_loader_of_the_library_can_run_code() -> None:
    found = {
        str(name): unsafe
        for path in sorted(SOURCE.rglob("*.py"))
        if (unsafe := list(unsafe_loaders(path.read_text("utf-8"), str(name := path.relative_to(SOURCE).as_posix()))))
    }
    assert not found


class Marker:
    """Unpickling this object makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_outlines_are_of_the_package_alone() -> None:
    with pytest.raises(ValueError, match="expected a module of soundspot"):
        read_outline("json", "loads")


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Marker]:
    yield Marker(tmp_path / "it-ran")
    assert not (tmp_path / "it-ran").exists()


def test_the_marker_works(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([Marker(tmp_path / "it-ran")]), allow_pickle=True)
    np.load(tmp_path / "x.npy", allow_pickle=True)
    assert (tmp_path / "it-ran").is_dir()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_runs_no_code(tmp_path: Path, marker: Marker, zipped: bool) -> None:
    path = tmp_path / "resume.ckpt"
    torch.save({"state_dict": {}, "callbacks": marker}, path, _use_new_zipfile_serialization=zipped)
    for read in (inspect_checkpoint, soundspot.load, lambda file: check_resume_file(file, {})):
        with pytest.raises(SoundspotError, match=r"resume\.ckpt"):
            read(path)
    with pytest.raises(SoundspotError, match=r"resume\.ckpt"):
        import_checkpoint(path, "ezvsl")


def test_a_recipe_runs_no_code(tmp_path: Path, marker: Marker) -> None:
    (tmp_path / "recipe.yaml").write_text(f"method: !!python/object/apply:os.mkdir [{marker.path}]\n")
    with pytest.raises(SoundspotError, match="no valid YAML"):
        read_recipe(tmp_path / "recipe.yaml")
    with pytest.raises(SoundspotError, match=r"recipe\.yaml: found no valid YAML"):  # of a run that is resumed
        check_run_dir(tmp_path, read_recipe("ezvsl/debug"), resume=True, overwrite=False)


def test_an_array_runs_no_code(tmp_path: Path, marker: Marker) -> None:
    """Whatever reads an .npy: embeddings, neighbor tables, clusters, vectors of a data set."""
    names = ("images", "audio", "assignments", "centers", "x")
    for name in names:
        np.save(tmp_path / f"{name}.npy", np.array([marker]), allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=np.array([marker]))
    (tmp_path / "meta.json").write_text(
        '{"n": 1, "k": 1, "data_fingerprint": "f", "encoder": "e", "weights_digest": "w"}'
    )
    store = ArrayStore(tmp_path / "x.npz")
    readers = (
        lambda: Clusters.load(tmp_path, "f"),
        lambda: NeighborTable.load(tmp_path),
        lambda: ArrayStore(tmp_path).read("x"),
        lambda: store.read("x"),
        lambda: read_embeddings(tmp_path / "x.npy"),
    )
    for read in readers:
        with pytest.raises(SoundspotError, match=str(tmp_path)):
            read()
    store._archive().close()


def test_a_shard_reaches_no_other_file(tmp_path: Path, marker: Marker) -> None:
    """Neither by names of its members, nor by links: a shard is never unpacked."""
    (tmp_path / "shards").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    path = tmp_path / "shards" / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("../it-ran/x.jpg", str(marker.path / "y.jpg"), "x.wav"):
            archive.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("z.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.jpg")
        archive.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    with suppress(SoundspotError):
        write_shard_index(path)
    with suppress(SoundspotError):
        data = open_dataset("shards", tmp_path / "shards")
        for i in range(len(data)):
            with pytest.raises(SoundspotError):
                data.read_image(i)
    assert {path.name for path in tmp_path.rglob("*")} - {path.name for path in before} <= {"a.index.json"}


def test_an_index_runs_no_code(tmp_path: Path, marker: Marker) -> None:
    """The checkpoint that it names may be any file."""
    torch.save(marker, tmp_path / "model.pth")
    method = create("alignment", image=TINY, audio=TINY, front_end=FrontEndConfig("ezvsl", 32, seconds=0.5).build())
    (tmp_path / "media").mkdir()
    Index.create(tmp_path / "index", soundspot.Localizer(method.eval()), tmp_path / "media").close()
    with sqlite3.connect(tmp_path / "index" / "index.sqlite") as database:
        values = (str(tmp_path / "model.pth"),)
        database.execute("UPDATE metadata SET value = ? WHERE name = 'checkpoint'", values)
    database.close()
    with Index.open(tmp_path / "index") as index, pytest.raises(SoundspotError):
        assert index.localizer


def test_a_report_runs_no_code_in_a_page_and_reaches_no_file(tmp_path: Path, marker: Marker) -> None:
    rng = np.random.default_rng(0)
    data = open_dataset("scenes", length=2, size=32, seconds=0.5)
    soundspot.evaluate(lambda image, audio: rng.random((4, 4), np.float32), data, bootstraps=5).save(tmp_path / "a")
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    script = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    names = [report] + [value for value in report.values() if isinstance(value, dict)]
    for values in names:
        values.update({key: script for key, value in values.items() if isinstance(value, str) and key != "version"})
    (tmp_path / "a" / "report.json").write_text(json.dumps(report))
    np.savez(tmp_path / "a" / "maps" / "maps.npz", **{"../../it-ran/x": np.array([marker])})
    page = tmp_path / "page.html"
    code = main(["compare", str(tmp_path / "a"), str(tmp_path / "a"), "--output", str(page)])
    assert code == 2 or not any(text in page.read_text() for text in ("<script>alert", "<img src=x"))

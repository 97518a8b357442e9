"""The shape of the library: imports go one way, what is heavy comes late, what must not be there is not."""

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import soundspot
from conftest import ROOT

SOURCE = ROOT / "src" / "soundspot"
FILES = sorted(SOURCE.rglob("*.py"))

# A part imports from itself and from earlier rows alone; the members of one row know nothing of each other. A folder
# that holds things of several rows (config, utils) is named by its modules.
LAYERS = (
    {"_version", "utils.renamed"},
    {"errors"},
    {"types", "utils"},
    {
        "config.augmentation",
        "config.frontend",
        "config.upsampling",
        "config.refinement",
        "config.presence_calibration",
        "examples",
    },
    {"data", "models", "losses"},
    {"scenes", "methods", "config.schema"},
    {"importers", "config.checkpoint", "config.load"},
    {"config.named_models", "config.recording_calibration"},
    {"inference", "config.inspect_checkpoint"},
    {"evaluation", "search", "export"},
    {"training", "review"},
    {"demo", "app", "study"},
    {"benchmark"},
    {"cli"},
)
RANK = {part: rank for rank, row in enumerate(LAYERS) for part in row}
BLIND = {"losses": {"types"}, "methods": {"data"}, "evaluation": {"methods", "models", "losses", "config.checkpoint"}}
BACKWARDS: dict[tuple[str, str], str] = {}

FORBIDDEN = {"torchvision", "torchaudio", "timm", "open_clip", "open-clip-torch", "litdata"}
HEAVY = {
    "lightning",
    "pytorch_lightning",
    "matplotlib",
    "av",
    "gradio",
    "transformers",
    "diffusers",
    "torchmetrics",
    "jsonargparse",
    "sklearn",
    "cv2",
    "ray",
    "faiss",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyarrow",
}


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports anywhere in it, functions and TYPE_CHECKING blocks included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str:
    """Return the row entry of a module: `data` of `soundspot.data.media.audio`; empty for the package itself."""
    names = module.split(".")[1:]
    return next((part for part in (".".join(names[:2]), ".".join(names[:1])) if part in RANK), "")


def imports_between_parts() -> set[tuple[str, str]]:
    """(module that imports, part that it imports) wherever the two lie in different parts."""
    found = set()
    for file in FILES:
        name = module_name(file)
        for module in imported(file):
            if module.startswith("soundspot.") and part_of(module) not in ("", part_of(name)):
                found.add((name, part_of(module)))
    return found


def test_every_part_has_its_layer() -> None:
    parts = {
        part_of(module_name(file))
        for file in FILES
        if file.parent != SOURCE or file.stem not in ("__init__", "__main__")
    }
    assert parts - {""} == set(RANK)
    assert [module_name(file) for file in FILES if not part_of(module_name(file))] == [
        "soundspot",
        "soundspot.__main__",
        "soundspot.config",
    ]


def test_imports_go_one_way() -> None:
    backwards = {
        (name, part) for name, part in imports_between_parts() if part_of(name) and RANK[part] >= RANK[part_of(name)]
    }
    assert backwards == set(BACKWARDS), "an import against the arrows of LAYERS (or an exception no longer needed)"


@pytest.mark.parametrize("part", BLIND)
def test_a_part_does_not_know_what_it_must_not(part: str) -> None:
    """A loss sees tensors alone, a method no data set, a score no network."""
    known = {other for name, other in imports_between_parts() if part_of(name) == part}
    assert not known & BLIND[part]


def test_nothing_imports_what_breaks_other_peoples_torch() -> None:
    found = {(file.name, module) for file in FILES for module in imported(file) if module.split(".")[0] in FORBIDDEN}
    assert not found


def test_nothing_that_is_installed_for_soundspot_needs_torchvision_or_torchaudio() -> None:
    """Every requirement of every requirement, with all extras of ours, as far as it is installed here."""
    extras = soundspot_extras()
    seen: set[tuple[str, str]] = set()
    queue = [("soundspot", extra) for extra in ("", *extras)]
    while queue:
        name, extra = queue.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            needs = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue
        for need in needs:
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                canonical = re.sub(r"[-_.]+", "-", need.name).lower()
                queue += [(canonical, wanted) for wanted in ("", *need.extras)]
    names = {name for name, _ in seen}
    assert {"torch", "lightning", "numpy"} <= names
    assert not names & {re.sub(r"[-_.]+", "-", name) for name in FORBIDDEN}


def soundspot_extras() -> set[str]:
    return set(re.findall(r"extra == ['\"](\w+)['\"]", "\n".join(requires("soundspot") or ())))


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `code`."""
    code += "; import json, sys; print(json.dumps(list(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(json.loads(said))


def test_importing_soundspot_imports_next_to_nothing() -> None:
    assert not ({"torch", "numpy"} | HEAVY) & loaded_by("import soundspot")


def test_loading_imports_no_trainer_no_plots_and_no_compiler() -> None:
    code = "import soundspot; soundspot.load(), soundspot.create, soundspot.import_checkpoint"
    assert not (HEAVY | {"torch._dynamo"}) & loaded_by(code)


def public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes of a module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_every_public_name_and_every_file_says_what_it_is(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    mute = [node.name for node in public(tree) if not ast.get_docstring(node)]
    assert not mute, f"without a docstring: {mute}"
    assert not tree.body or ast.get_docstring(tree), "the file has no docstring"


def lines_of_code(file: Path) -> int:
    """Return the number of lines that are neither docstring, comment nor blank."""
    source = file.read_text(encoding="utf-8")
    docstrings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    layout = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {line for t in tokens if t.type not in layout for line in range(t.start[0], t.end[0] + 1)}
    return len(code - docstrings)


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_files_are_small(file: Path) -> None:
    assert lines_of_code(file) <= 300


def test_the_public_names_are_there() -> None:
    for name in soundspot.__all__:
        assert getattr(soundspot, name) is not None
    assert dir(soundspot) == sorted(soundspot.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        soundspot.lode  # noqa: B018


def test_type_checkers_see_every_public_name() -> None:
    text = (SOURCE / "__init__.py").read_text(encoding="utf-8")
    assert set(re.findall(r"import \w+ as (\w+)", text)) == set(soundspot.__all__)


def test_the_readme_shows_names_that_exist() -> None:
    """Every Python example of the README parses and calls what soundspot has."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert examples, "the README has no example in Python"
    for example in examples:
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "soundspot":
                assert hasattr(soundspot, node.attr), f"soundspot.{node.attr}"


def test_no_method_imports_another_and_none_is_long() -> None:
    """What two methods need is in the skeletons; a method's file says what alone differs."""
    from soundspot.methods import METHODS

    files = {f"soundspot.methods.{name}": SOURCE / "methods" / f"{name}.py" for name in METHODS}
    for module, file in files.items():
        assert file.is_file(), f"{module}: a method's file has its name"
        assert lines_of_code(file) <= 180, module
        others = [found for found in imported(file) if any(found.startswith(o + ".") for o in files if o != module)]
        assert not others, f"{module} imports {others}"


def imported_modules(file: Path) -> set[str]:
    """Return the modules of soundspot that a file imports anywhere, but for those that type checkers alone read."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names = {module_name(other) for other in FILES}
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in types_only:
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                modules.add(dotted if dotted in names else str(node.module))
    return modules & names - {module_name(file)}


def test_no_imports_go_in_a_circle() -> None:
    """Imports inside functions count too: a circle that is broken by a late import is still a circle."""
    remaining = {module_name(file): imported_modules(file) for file in FILES}
    while free := {name for name, others in remaining.items() if not others & remaining.keys()}:
        remaining = {name: others for name, others in remaining.items() if name not in free}
    assert not remaining, f"imports in a circle, or modules that lead into one: {sorted(remaining)}"


def test_the_top_of_the_package_is_small() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= 6


def test_a_class_has_a_name_of_its_own() -> None:
    homes: dict[str, list[str]] = {}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(module_name(file))
    assert not {name: modules for name, modules in homes.items() if len(modules) > 1}


def test_no_module_is_a_class() -> None:
    for file in FILES:
        assert "ModuleType" not in file.read_text(encoding="utf-8"), file

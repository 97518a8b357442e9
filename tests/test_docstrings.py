"""Public docstrings give arguments, returns and errors: all that docs/reference or `soundspot.__all__` reaches."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import soundspot
from conftest import ROOT

SOURCE = ROOT / "src"


def reference_targets() -> set[str]:
    """Return the dotted names that pages of docs/reference show, and the homes of `soundspot.__all__`."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    methods = {f"soundspot.methods.{file.stem}" for file in (SOURCE / "soundspot" / "methods").glob("[a-z]*.py")}
    return (
        set(re.findall(r"^::: (\S+)", pages, re.MULTILINE))
        | methods
        | {f"{home}.{name}" for name, home in soundspot._HOMES.items()}
    )


def file_of(module: str) -> Path | None:
    base = SOURCE.joinpath(*module.split("."))
    return next((f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()), None)


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(tree: ast.AST, only: str = "") -> Iterator[tuple[str, Definition]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Definition) and not node.name.startswith("_") and only in ("", node.name):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                yield from ((f"{node.name}.{name}", inner) for name, inner in public(node))


def documented() -> dict[str, tuple[str, Definition]]:
    """Return dotted name -> (file, definition) of everything public that the reference reaches."""
    found: dict[str, tuple[str, Definition]] = {}
    for target in sorted(reference_targets()):
        module, only = target, ""
        if file_of(module) is None:
            module, _, only = target.rpartition(".")
        file = file_of(module)
        assert file is not None, f"{target}: docs/reference names no module of soundspot"
        for name, node in public(ast.parse(file.read_text(encoding="utf-8")), only):
            found[f"{module}.{name}"] = (str(file.relative_to(ROOT)), node)
    return found


def decorators(node: Definition) -> set[str]:
    return {ast.unparse(d).split("(")[0].rpartition(".")[2] for d in node.decorator_list}


def section(doc: str, title: str) -> str:
    match = re.search(rf"^{title}:\n((?:[ \t]+.*\n?|\n)+)", doc, re.MULTILINE)
    return match.group(1) if match else ""


def missing(node: Definition) -> list[str]:
    """Return what a docstring leaves out: parameters without a line, a result or an error that is not described."""
    doc = ast.get_docstring(node) or ""
    if not doc:
        return ["a docstring"]
    if isinstance(node, ast.ClassDef):
        init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        fields = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        fields = [f for f in fields if not f.startswith("_")] if decorators(node) & {"dataclass"} else []
        doc += "\n" + (ast.get_docstring(init) or "" if init else "")
        lines = section(doc, "Attributes") + section(doc, "Args")
        wanted = fields or (parameters(init) if init else [])
        return [f"{name} in Args or Attributes" for name in wanted if not named(name, lines)]
    if decorators(node) & {"overload", "setter"}:
        return []
    lines = section(doc, "Args")
    gaps = [f"{name} in Args" for name in parameters(node) if not named(name, lines)]
    returns = ast.unparse(node.returns) if node.returns else "None"
    is_property = decorators(node) & {"property", "cached_property"}
    if (
        returns not in ("None", "Never", "NoReturn")
        and not is_property
        and not (section(doc, "Returns") or section(doc, "Yields"))
    ):
        gaps.append("Returns")
    raised = {
        ast.unparse(n.exc).split("(")[0]
        for n in own_statements(node)
        if isinstance(n, ast.Raise) and n.exc is not None and ast.unparse(n.exc)[0].isupper()
    } - {"StopIteration"}
    gaps += [f"{name} in Raises" for name in sorted(raised) if name.rpartition(".")[2] not in section(doc, "Raises")]
    return gaps


def own_statements(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield child
            yield from own_statements(child)


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    if node.args.vararg:
        every.append(node.args.vararg)
    if node.args.kwarg:
        every.append(node.args.kwarg)
    return [a.arg for a in every if a.arg not in ("self", "cls") and not a.arg.startswith("_")]


def named(name: str, lines: str) -> bool:
    """`name:` at the start of a line, alone or among several (`image, audio: ...`)."""
    return re.search(rf"^\s+[^:\n]*\*{{0,2}}\b{re.escape(name)}\b[^:\n]*:", lines, re.MULTILINE) is not None


SOURCED = ("soundspot.losses", "soundspot.evaluation.functional")
SOURCE_WORDS = re.compile(
    r"(19|20)\d\d|arXiv|released|paper|equation|Source:|as in|torchmetrics|COCO|PASCAL|definition", re.IGNORECASE
)


def test_public_docstrings_are_complete() -> None:
    gaps = {name: missing(node) for name, (_, node) in documented().items()}
    assert not {name: what for name, what in gaps.items() if what}


def test_losses_and_metrics_name_their_source() -> None:
    """In the function's docstring or in that of its file."""
    for name, (file, node) in documented().items():
        if name.startswith(SOURCED) and isinstance(node, ast.FunctionDef):
            module = ast.get_docstring(ast.parse((ROOT / file).read_text(encoding="utf-8"))) or ""
            assert SOURCE_WORDS.search((ast.get_docstring(node) or "") + module), f"{name} names no source"


def test_public_names_exist() -> None:
    for name in documented():
        module = name
        while file_of(module) is None:
            module = module.rpartition(".")[0]
        thing = import_module(module)
        for attribute in name[len(module) + 1 :].split("."):
            thing = getattr(thing, attribute)


@pytest.mark.parametrize("doc", ["Do it.\n\nArgs:\n    image: (b, 3, h, w).\n", "Do it."])
def test_a_gap_would_be_found(doc: str) -> None:
    tree = ast.parse(f'def f(image: int, audio: int) -> int:\n    """{doc}"""\n    raise ValueError("x")\n')
    assert {"audio in Args", "Returns", "ValueError in Raises"} <= set(missing(tree.body[0]))

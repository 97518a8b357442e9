"""Outlines of functions and classes: signature, fields and docstring, read from the source without importing torch.

Help lists options of data sets, methods and encoders by them, in a tenth of the time that an import takes.
"""

import ast
import builtins
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent.parent


class _AnyAttributes(type):
    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unknown


class Unknown(metaclass=_AnyAttributes):
    """Stand-in for what is not of this package or the standard library, as a value, a type or a base class."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __class_getitem__(cls, _: Any) -> type:
        return cls


def load_outline(module: str, name: str) -> Any:
    """Return a function or class of this package; where torch is not imported yet, its outline.

    Args:
        module: dotted name of the module, in `soundspot`.
        name: name of the function or class.

    Returns:
        The function or class itself, or one with its signature and its docstring that does nothing.
    """
    return getattr(import_module(module), name) if "torch" in sys.modules else read_outline(module, name)


@cache
def read_outline(module: str, name: str) -> Any:
    """Read the outline of a name of a module from the source.

    Args:
        module: dotted name of a module in `soundspot`.
        name: name of a function, a class or a constant there, or of what the module imports.

    Returns:
        The function or class without its code, or the constant; `Unknown` where it cannot be told.

    Raises:
        ValueError: the module is not of this package: no other source is executed.
    """
    if not module.startswith("soundspot."):
        raise ValueError(f"found {module}, expected a module of soundspot")
    statement = _read_statements(module).get(name)
    if statement is None:
        return getattr(builtins, name, Unknown)
    if isinstance(statement, tuple):
        source, original = statement
        if source.startswith("soundspot."):
            return read_outline(source, original)
        is_light = source.partition(".")[0] in {*sys.stdlib_module_names, "typing_extensions"}
        if not is_light:
            return Unknown
        return getattr(import_module(source), original, Unknown) if original else import_module(source)
    _strip(statement)
    names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} - {name}
    namespace = {"__name__": module, **{other: read_outline(module, other) for other in names}}
    try:
        exec(compile(ast.Module([statement], []), module, "exec"), namespace)  # this package's own source
    except Exception:  # a constant that is computed by what is unknown
        return Unknown
    return namespace.get(name, Unknown)


@cache
def _read_statements(module: str) -> dict[str, ast.stmt | tuple[str, str]]:
    """Map each name of a module to its definition, or to the module and the name there that it is imported from."""
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    statements: dict[str, ast.stmt | tuple[str, str]] = {}
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            statements[statement.name] = statement
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                name = alias.asname or alias.name.partition(".")[0]
                statements[name] = alias.name if alias.asname else name, ""
        elif isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                statements[alias.asname or alias.name] = statement.module or "", alias.name
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
                for node in ast.walk(target):
                    if isinstance(node, ast.Name):
                        statements[node.id] = statement
    return statements


def _strip(statement: ast.stmt) -> None:
    """Remove all code from a definition; fields, `__init__` and docstrings stay."""
    if isinstance(statement, ast.FunctionDef):
        statement.decorator_list = []
        statement.body = [*_docstring(statement), ast.Pass(lineno=1, col_offset=0)]
    elif isinstance(statement, ast.ClassDef):
        statement.decorator_list = [x for x in statement.decorator_list if "dataclass" in ast.dump(x)]
        members = [x for x in statement.body if isinstance(x, ast.AnnAssign) or getattr(x, "name", "") == "__init__"]
        for member in members:
            _strip(member)
        statement.body = [*_docstring(statement), *members, ast.Pass(lineno=1, col_offset=0)]


def _docstring(statement: ast.FunctionDef | ast.ClassDef) -> list[ast.stmt]:
    return statement.body[:1] if ast.get_docstring(statement) is not None else []

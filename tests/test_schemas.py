"""Every JSON that the library writes has a published schema, and each schema meets real outputs in a test."""

import ast
import json
import re
from pathlib import Path

import pytest

from conftest import ROOT
from schemas import check_schema, read_schema

FOLDER = ROOT / "docs" / "schemas"
NAMES = sorted(path.name.removesuffix(".schema.json") for path in FOLDER.glob("*.schema.json"))
SOURCE = ROOT / "src" / "soundspot"


def test_every_writer_of_json_is_listed() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    writers = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if re.search(r"json\.dumps?\(", path.read_text(encoding="utf-8"))
    }
    listed = set(re.findall(r"`([\w/]+\.py)`", page))
    assert writers <= listed | {"config/checkpoint.py"}, "a module that writes JSON, without a schema or a reason"
    assert all((SOURCE / name).is_file() for name in listed)
    assert sorted(re.findall(r"\]\(([\w-]+)\.schema\.json\)", page)) == NAMES


def test_every_schema_meets_a_real_output() -> None:
    used = {
        str(node.args[1].value)
        for path in Path(__file__).parent.rglob("test_*.py")
        if "check_output" in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "check_output"
        if isinstance(node.args[1], ast.Constant)
    }
    assert used == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_written_with_words_that_the_reader_knows(name: str) -> None:
    """Each node, also those that no output of a test reaches."""

    def walk(schema: dict) -> None:
        value = {"object": {}, "array": [], "string": "", "boolean": True, "null": None, "integer": 9, "number": 9.5}
        kinds = schema.get("type", ())
        plain = {word: rule for word, rule in schema.items() if word not in ("required", "minItems", "maxItems")}
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            check_schema(value[kind], plain)
        rest = schema.get("additionalProperties")
        inner = [*schema.get("properties", {}).values(), schema.get("items"), rest if isinstance(rest, dict) else None]
        for child in filter(None, inner):
            walk(child)
        assert set(schema.get("required", ())) <= schema.get("properties", {}).keys()

    schema = read_schema(name)
    assert schema["title"]
    walk(schema)


def test_the_reader_refuses_what_a_schema_does_not_allow() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    check_schema(json.loads('{"a": 1}'), schema)
    with pytest.raises(AssertionError, match=r"\$\.a"):
        check_schema({"a": "1"}, schema)

"""A reader of JSON schemas that knows the words our published schemas use, and refuses others."""

import json
from functools import cache
from typing import Any

from conftest import ROOT

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
WORDS = {
    "$schema",
    "$id",
    "title",
    "description",
    "type",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minimum",
    "exclusiveMinimum",
}


@cache
def read_schema(name: str) -> dict[str, Any]:
    """Read a published schema."""
    schema: dict[str, Any] = json.loads((ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    return schema


def check_output(value: Any, name: str) -> None:
    """Assert that what the library wrote follows a published schema."""
    check_schema(value, read_schema(name))


def check_schema(value: Any, schema: dict[str, Any], where: str = "$") -> None:
    """Assert that a value follows a schema; a word of the schema that is not known here is an error too."""
    assert schema.keys() <= WORDS, f"{where}: {schema.keys() - WORDS}"
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    assert not kinds or any(_is_of(value, kind) for kind in kinds), f"{where}: {value!r:.60} is no {kinds}"
    if "const" in schema:
        assert value == schema["const"], where
    if isinstance(value, dict):
        known = schema.get("properties", {})
        assert set(schema.get("required", ())) <= value.keys(), f"{where}: {value.keys()}"
        rest = schema.get("additionalProperties", True)
        assert rest or value.keys() <= known.keys(), f"{where}: {value.keys() - known.keys()}"
        for key in value:
            of_rest = rest if isinstance(rest, dict) else {}
            check_schema(value[key], known.get(key, of_rest), f"{where}.{key}")
    if isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), where
        for index, item in enumerate(value):
            check_schema(item, schema.get("items", {}), f"{where}[{index}]")
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert value >= schema.get("minimum", value), where
        assert "exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"], where


def _is_of(value: Any, kind: str) -> bool:
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])

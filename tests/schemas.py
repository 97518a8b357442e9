"""A reader of JSON schemas that knows the words our published schemas use, and refuses others."""

from typing import Any

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
        assert schema.get("additionalProperties", True) or value.keys() <= known.keys(), f"{where}: {value.keys()}"
        for key in value.keys() & known.keys():
            check_schema(value[key], known[key], f"{where}.{key}")
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

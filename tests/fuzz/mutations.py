"""Seeded mutations of valid files: of their bytes, and of the fields of the formats that have some."""

import io
import json
import re
import sqlite3
import struct
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

import yaml

Mutation = Callable[[bytes, Random], bytes]
NUMBERS = (0, 1, 255, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 0.5, 1e308, 2**31, 2**63, 10**30, "", "x", "\0", "../../x", "/etc/hostname", "é" * 300),
    *([], {}, [[]], [1, 2], {"x": 1}, [0] * 5000, [{"x": [None]}]),
)


def deep(depth: int) -> Any:
    """A list in a list, `depth` times."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def mutate_bytes(content: bytes, rng: Random) -> bytes:
    """Flip, cut, repeat, insert or overwrite bytes; up to eight times, mostly once."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        at, size = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 16, 400))
        kind = rng.randrange(6)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size] * rng.choice((1, 2, 50))
        elif kind == 4:
            data[at : at + size] = rng.randbytes(size)
        else:
            number = struct.pack(rng.choice((">Q", "<Q")), rng.choice(NUMBERS))
            width = rng.choice((1, 2, 4, 8))
            data[at : at + width] = number[-width:] if rng.random() < 0.5 else number[:width]
    return bytes(data)


def _slots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every item of nested lists and dictionaries."""
    if isinstance(value, dict | list):
        for key in [*value] if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _slots(value[key])


def mutate_value(value: Any, rng: Random) -> Any:
    """Replace, remove, rename or repeat an item of nested values, once or twice."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 2))):
        slots = [*_slots(value)]
        if not slots or rng.random() < 0.02:
            return deepcopy(rng.choice((*VALUES, deep(200))))
        container, key = rng.choice(slots)
        kind = rng.randrange(8)
        if kind == 0:
            del container[key]
        elif kind == 1 and isinstance(container, dict):
            container[rng.choice(("x", "", "../x", "__class__"))] = container.pop(key)
        elif kind == 2 and isinstance(container, list):
            container += [deepcopy(container[key])] * rng.choice((1, 100))
        elif kind == 3 and isinstance(container[key], int | float):
            container[key] *= rng.choice((-1, 0.5, 1000, 10**9))
        else:
            container[key] = deepcopy(rng.choice(VALUES))
            if rng.random() < 0.03:
                container[key] = deep(rng.choice((70, 900)))
                break
    return value


def mutate_json(content: bytes, rng: Random) -> bytes:
    """Change the values of a JSON file, or its bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(content, rng)
    text = json.dumps(mutate_value(json.loads(content), rng))
    return rng.choice((text, text, text, text.replace("1", "NaN", 1), "[" * 3000)).encode()


def mutate_lines(content: bytes, rng: Random) -> bytes:
    """Change lines and cells of a text, or its bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(content, rng)
    lines = content.decode().splitlines()
    at = rng.randrange(len(lines))
    cells = re.split(r"([,\t ])", lines[at])
    cells[rng.randrange(len(cells))] = rng.choice(
        ("", "x", "-1", "nan", "inf", "1e999", "9" * 5000, "../x", '"', "\0", "²")
    )
    lines[at] = "".join(cells)
    if rng.random() < 0.3:
        lines[at:at] = lines[rng.randrange(len(lines)) :] * rng.choice((1, 3))
    return "\n".join(lines).encode()


def mutate_yaml(content: bytes, rng: Random) -> bytes:
    """Change the values of a YAML file, give it aliases, or change its bytes."""
    kind = rng.randrange(10)
    if kind < 3:
        return mutate_bytes(content, rng)
    if kind == 3:
        bomb = [
            "a0: &a0 [x, x]",
            *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, rng.choice((3, 40)))),
        ]
        return "\n".join((*bomb, content.decode())).encode()
    if kind == 4:
        return content + rng.choice(
            (b"x: &x [*x]\n", b"? [a]\n: 1\n", b"x: !!python/name:os.system\n", b"x: 2001-99-99\n")
        )
    return json.dumps(mutate_value(yaml.safe_load(content), rng)).encode()  # JSON is YAML


def mutate_safetensors(content: bytes, rng: Random) -> bytes:
    """Change the header of a safetensors file, its metadata included, or its bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(content, rng)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    metadata = header.get("__metadata__", {})
    if "soundspot" in metadata and rng.random() < 0.7:
        metadata["soundspot"] = mutate_json(metadata["soundspot"].encode(), rng).decode(errors="replace")
    else:
        header = mutate_value(header, rng)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def mutate_zip(content: bytes, rng: Random) -> bytes:
    """Change the bytes of one entry of an archive whose checksums stay right, its name, or the bytes of the archive."""
    if rng.random() < 0.3:
        return mutate_bytes(content, rng)
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, "w", rng.choice((0, 8))) as new:
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            entry = old.read(name)
            if name == chosen:
                if rng.random() < 0.1:
                    name = rng.choice(("../x.npy", "x", names[0] + "/x"))
                entry = mutate_npy(entry, rng) if name.endswith(".npy") else mutate_bytes(entry, rng)
            new.writestr(name, entry)
    return result.getvalue()


def mutate_npy(content: bytes, rng: Random) -> bytes:
    """Change the header of an .npy, which keeps its length, or its bytes."""
    if content[:6] != b"\x93NUMPY" or rng.random() < 0.4:
        return mutate_bytes(content, rng)
    size = 10 + int.from_bytes(content[8:10], "little")
    shape = rng.choice(("(0,)", "(-1,)", "(4000000000, 4)", "()", "(1,)*9", "(2, 3)", "(None,)", "(1e9,)", "(" * 90))
    kind = rng.choice(("|O", "<f8", "<f4", "<U9999", "<i2", "[('a', '<f4')]", "x" * 40, "<m8[ns]"))
    header = f"{{'descr': {kind!r}, 'fortran_order': {rng.choice((True, False, 3))}, 'shape': {shape}, }}"
    return content[:10] + header.encode()[: size - 11].ljust(size - 11) + b"\n" + content[size:]


def mutate_sqlite(content: bytes, rng: Random) -> bytes:
    """Change a cell of an index, or the bytes of its file."""
    if rng.random() < 0.4:
        return mutate_bytes(content, rng)
    with sqlite3.connect(":memory:") as database:
        database.deserialize(content)  # type: ignore[attr-defined]  # Python 3.11
        database.execute("PRAGMA foreign_keys = OFF")
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = rng.choice(tables)
        column = rng.choice([row[1] for row in database.execute(f"PRAGMA table_info({table})")])
        values = (None, -1, 0, 0.5, 2**62, "x", b"../x", b"/etc/hostname", b"", "../x", float("inf"))
        try:
            statement = (
                f"UPDATE {table} SET {column} = ? WHERE rowid IN (SELECT rowid FROM {table} ORDER BY random() LIMIT 1)"
            )
            database.execute(statement, (rng.choice(values),))
        except sqlite3.Error:
            database.execute(f"DELETE FROM {table}")
        database.commit()
        changed: bytes = database.serialize()  # type: ignore[attr-defined]
    return changed


def mutate_onnx(content: bytes, rng: Random) -> bytes:
    """Change the metadata, a node, a shape or a name of an exported model, or the bytes of its values."""
    import onnx

    model = onnx.load_from_string(content)
    graph, kind = model.graph, rng.randrange(6)
    if kind == 0 and model.metadata_props:
        entry = model.metadata_props[0]
        entry.value = mutate_json(entry.value.encode(), rng).decode(errors="replace")
    elif kind == 1 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        tensor.dims[:] = [*tensor.dims, rng.choice((0, -1, 2, 2**31, 2**62))][-rng.choice((1, 4)) :]
    elif kind == 2:
        node = rng.choice(graph.node)
        names = rng.choice((node.input, node.output))
        if names:
            names[rng.randrange(len(names))] = rng.choice(
                ("x", "", *(name for other in graph.node for name in other.output))
            )
    elif kind == 3:
        node = rng.choice(graph.node)
        node.op_type = rng.choice(("x", "Add", "MatMul", "Reshape", "Expand", "Identity"))
    elif kind == 4:
        values = [*graph.input, *graph.output]
        dims = rng.choice(values).type.tensor_type.shape.dim
        if dims:
            rng.choice(dims).dim_value = rng.choice((0, -1, 1, 7, 2**40))
    else:
        with_numbers = [a for node in graph.node for a in node.attribute if a.ints or a.type == a.INT]
        if with_numbers:
            attribute = rng.choice(with_numbers)
            number = rng.choice((-(2**40), -1, 0, 3, 2**31, 2**60))
            if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = number
            else:
                attribute.i = number
    changed: bytes = model.SerializeToString()
    return changed

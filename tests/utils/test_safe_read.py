"""What a header or a text claims is checked before anything is allocated, and what a library raises is our error."""

import io
from pathlib import Path

import numpy as np
import pytest

from soundspot.errors import DataError, InputError
from soundspot.utils.safe_read import (
    check_nesting,
    check_npy_header,
    convert_read_errors,
    load_npy,
    parse_json,
    read_json_object,
)


@pytest.mark.parametrize("error", [KeyError("x"), AssertionError(), MemoryError(), RuntimeError("a\nb")])
def test_whatever_a_library_raises_names_the_file(error: Exception) -> None:
    pattern = rf"x\.bin: cannot be read \({type(error).__name__}.*\), expected a shard$"
    with pytest.raises(InputError, match=pattern) as info, convert_read_errors("x.bin", "expected a shard", InputError):
        raise error
    assert info.value.__cause__ is error


def test_our_own_errors_pass() -> None:
    with pytest.raises(InputError, match=r"^ours$"), convert_read_errors("x.bin", "expected a shard"):
        raise InputError("ours")


@pytest.mark.parametrize("text", ["[" * 65 + "]" * 65, "[" * 100_000, '{"a":' * 65 + "1" + "}" * 65])
def test_json_that_is_nested_too_deep_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="more than 64 nested values"):
        parse_json(text)
    assert parse_json("[" * 64 + "]" * 64)


def test_a_value_that_contains_itself_or_grows_by_aliases_is_refused() -> None:
    itself: list[object] = []
    itself.append(itself)
    with pytest.raises(ValueError, match="nested"):
        check_nesting(itself)
    grown: list[object] = []
    for _ in range(40):
        grown = [grown, grown]
    with pytest.raises(ValueError, match="more than 1000 values"):
        check_nesting(grown, max_items=1000)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{\xff", b"{"])
def test_a_json_file_without_an_object_is_our_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.json: cannot be read .*, expected a table"):
        read_json_object(tmp_path / "x.json", "expected a table")


@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_an_array_that_is_larger_than_its_file_is_not_allocated(tmp_path: Path, mmap_mode: str | None) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 4), np.float32))
    assert load_npy(tmp_path / "x.npy", mmap_mode).shape == (3, 4)  # type: ignore[arg-type]
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content.replace(b"(3, 4), }         ", b"(3, 4000000000), }"))
    with pytest.raises(ValueError, match=r"shape \(3, 4000000000\)"):
        load_npy(tmp_path / "x.npy", mmap_mode)  # type: ignore[arg-type]
    (tmp_path / "x.npy").write_bytes(content.replace(b"(3, 4)", b"(-1,4)"))
    with pytest.raises(ValueError, match="shape"):
        load_npy(tmp_path / "x.npy", mmap_mode)  # type: ignore[arg-type]


def test_no_header_of_an_npy_is_read_that_is_longer_than_its_file(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'")  # it claims 4 GB

    class Counting(io.BytesIO):
        largest = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.largest = max(self.largest, size or 0)
            return super().read(size)

    file = Counting((tmp_path / "x.npy").read_bytes())
    with pytest.raises(ValueError, match=r"no header of \.npy"):
        check_npy_header(file, 20)
    assert 0 < file.largest <= 20
    with pytest.raises(ValueError, match=r"no header of \.npy"):
        load_npy(tmp_path / "x.npy")

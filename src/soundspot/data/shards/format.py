"""Shards: tar files in WebDataset's layout, with an index of offsets beside each, so that any sample is one read away.

A sample is a key and its parts, files of the same name up to the first dot: `clip.jpg`, `clip.flac`, `clip.json`. Any
tool that reads WebDataset reads them; soundspot reads them by the index. The bytes of a shard depend on its samples and
their order alone.
"""

import json
import os
import re
import tarfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import FileIO
from pathlib import Path

from soundspot.errors import DataError
from soundspot.utils.atomic_io import atomic_write_bytes, convert_os_errors, write_all

LAST_MEMBER = "json"  # the part that is written last: a sample that has it is whole
_BLOCK = tarfile.BLOCKSIZE
_META = re.compile(r"__[^/]*__")  # what WebDataset writes of the shard itself


@dataclass(frozen=True)
class TarMember:
    """Where in its shard a part of a sample lies: `size` bytes from `offset`, of checksum `crc` (CRC-32)."""

    offset: int
    size: int
    crc: int


ShardIndex = dict[str, dict[str, TarMember]]


class ShardWriter:
    """Appends samples to one shard, in a `with` block; it has its name, and its index, once it is closed.

    Until then it is a draft, NAME.tar.part. A draft that a killed process left is gone on with: what is whole in it is
    kept, and the rest is cut off.

    Args:
        keep: of a draft, the samples that are kept; None: all that are whole.

    Attributes:
        index: the samples that are in it.
    """

    def __init__(self, path: Path, keys: Collection[str] | None = None) -> None:
        self.path, self.draft_path = path, get_draft_path(path)
        self.index: ShardIndex = {}
        if self.draft_path.exists():
            whole = complete_samples(self.draft_path)
            self.index = {key: parts for key, parts in whole.items() if keys is None or key in keys}
        end = max((_end(part) for parts in self.index.values() for part in parts.values()), default=0)
        with convert_os_errors(path):
            self._file = FileIO(self.draft_path, "rb+" if self.draft_path.exists() else "wb")
        self._cut(end)

    def _cut(self, end: int) -> None:
        with convert_os_errors(self.path):
            self._file.truncate(end)
            self._file.seek(end)

    def clear(self) -> None:
        """Throws away what the draft holds."""
        self.index = {}
        self._cut(0)

    def add(self, key: str, files: Mapping[str, bytes]) -> None:
        """One sample; its part `json` comes last.

        Raises:
            DataError: the key is taken, or cannot be one. OutputError: it cannot be written, as on a full disk.
        """
        if key in self.index or not key or "." in key or key.startswith("/"):
            raise DataError(
                f"{self.path}: found the key {key!r}, expected one that is new and has no dot in it. Rename it"
            )
        begin, content = self._file.tell(), bytearray()
        found: dict[str, TarMember] = {}
        for name in sorted(files, key=lambda name: (name == LAST_MEMBER, name)):
            info = tarfile.TarInfo(f"{key}.{name}")
            info.size = len(files[name])
            content += info.tobuf(tarfile.PAX_FORMAT)
            found[name] = TarMember(begin + len(content), info.size, zlib.crc32(files[name]))
            content += files[name] + bytes(-info.size % _BLOCK)
        with convert_os_errors(self.path):
            write_all(self._file, content)
        self.index[key] = found

    def close(self) -> None:
        """Ends the archive, writes its index, and gives it its name."""
        with convert_os_errors(self.path):
            write_all(self._file, bytes(2 * _BLOCK))
            os.fsync(self._file.fileno())
            self._file.close()
            atomic_write_bytes(get_index_path(self.path), _packed(self.index))
            os.replace(self.draft_path, self.path)

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        """A draft that was not closed stays, to be gone on with."""
        self._file.close()


class ShardReader:
    """Parts of the samples of one shard, each read by its offset and compared with its checksum.

    Raises:
        DataError: the shard or its index is missing, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            told = json.loads(get_index_path(path).read_text(encoding="utf-8"))
            self.index = _unpacked(told)
            stat = path.stat()
            self._size, self._stamp = stat.st_size, (stat.st_ino, stat.st_mtime_ns)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: found no index that can be read ({error}), expected {get_index_path(path).name} beside "
                "it. Fetch it again, or write it anew with `soundspot data index`"
            ) from error

    def read(self, key: str, name: str) -> bytes:
        """The bytes of a part.

        Raises:
            DataError: there is no such part, the shard was cut short, or a byte of it is another.
        """
        try:
            part = self.index[key][name]
        except KeyError:
            raise DataError(
                f"{self.path}: found no {key}.{name}, expected it in this shard. Prepare it again"
            ) from None
        try:
            file = _opened(self.path, self._stamp)
            found = os.pread(file.number, part.size, part.offset)
        except OSError as error:
            raise DataError(
                f"{self.path}: could not be read ({error.strerror}), expected the shard that its index tells of. Look "
                "whether it is there and may be read, or allow more open files (`ulimit -n`)"
            ) from error
        if len(found) < part.size:
            raise DataError(
                f"{self.path}: found {self._size} bytes (cut short), expected {_end(part)} or more, as {key}.{name} "
                "lies there. Fetch or prepare this shard again"
            )
        if zlib.crc32(found) != part.crc:
            raise DataError(
                f"{self.path}: found {key}.{name} with another checksum than in its index: bytes are wrong. Fetch "
                "or prepare this shard again"
            )
        return found


class _Opened:
    """A file to read at any place; closed when nobody has it any more."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


@lru_cache(64)
def _opened(path: Path, stamp: tuple[int, int]) -> _Opened:
    """The shards that were read from last, of all readers; `stamp` tells a file from one that took its name."""
    return _Opened(path)


def get_draft_path(shard: Path) -> Path:
    """The name that a shard has until it is whole."""
    return shard.with_name(f"{shard.name}.part")


def get_index_path(shard: Path) -> Path:
    """Where the index of a shard lies."""
    return shard.with_suffix(".index.json")


def list_shards(folder: Path) -> list[Path]:
    """The shards of a folder, in order.

    Raises:
        DataError: there are none.
    """
    found = sorted(folder.glob("*.tar")) if folder.is_dir() else []
    if not found:
        raise DataError(
            f"{folder}: found no shards (*.tar), expected a folder that `soundspot data prepare` or `pack` wrote. Check "
            "the path"
        )
    return found


def write_shard_index(shard: Path) -> int:
    """Writes the index of a shard that another tool wrote; answers with the number of its samples.

    Raises:
        DataError: it is no tar file, or was cut short.
    """
    index, problem = _members(shard)
    if problem:
        raise DataError(f"{shard}: found {problem}, expected a whole tar file. Fetch it again")
    atomic_write_bytes(get_index_path(shard), _packed(index))
    return len(index)


def complete_samples(draft: Path) -> ShardIndex:
    """The samples of a draft that are there with all of their parts."""
    return {key: parts for key, parts in _members(draft)[0].items() if LAST_MEMBER in parts}


def _members(archive: Path) -> tuple[ShardIndex, str]:
    """The samples of an archive as far as it can be read, and what keeps it from being read further, if anything."""
    index: ShardIndex = {}
    size = archive.stat().st_size
    try:
        with tarfile.open(archive, "r:") as tar, archive.open("rb") as raw:
            for info in tar:
                if info.offset_data + info.size > size:
                    return index, f"a file that ends in {info.name}"
                whole = info.name.removeprefix("./")
                if not info.isreg() or _META.fullmatch(whole):
                    continue
                folder, slash, name = whole.rpartition("/")
                stem, _, kind = name.partition(".")
                raw.seek(info.offset_data)
                part = TarMember(info.offset_data, info.size, zlib.crc32(raw.read(info.size)))
                index.setdefault(folder + slash + stem, {})[kind] = part
    except tarfile.TarError as error:
        return index, f"a file that is not tar ({error})"
    return index, ""


def _end(part: TarMember) -> int:
    """Where the next header begins."""
    return part.offset + part.size + -part.size % _BLOCK


def _packed(index: ShardIndex) -> bytes:
    lines = (
        f"{json.dumps(key)}: {json.dumps({name: [part.offset, part.size, part.crc] for name, part in parts.items()})}"
        for key, parts in index.items()
    )
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _unpacked(told: dict[str, dict[str, list[int]]]) -> ShardIndex:
    return {key: {name: TarMember(*where) for name, where in parts.items()} for key, parts in told.items()}

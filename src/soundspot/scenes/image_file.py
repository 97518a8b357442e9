"""Composed images in a file that trainings share: whoever asks for one first composes it."""

import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from soundspot.utils.atomic_io import convert_os_errors, write_all

_CHECKSUM_BYTES = 4  # behind the pixels of an image; zeros are that of none


def read_or_compose(path: Path, index: int, size: int, make_image: Callable[[], Image.Image]) -> Image.Image:
    """Read an image from a file, or compose it and write it there.

    Processes may share the file, for they write equal bytes; an image that is not written as a whole is composed again.

    Args:
        path: path of the file; it and its folder are made where they are missing. Rows of size * size * 3 bytes of RGB
            and their CRC-32.
        index: row of the image, from 0.
        size: side of the image in pixels.
        make_image: function that composes the RGB image of `size` x `size` pixels.

    Returns:
        The image.

    Raises:
        OutputError: the file cannot be read or written (DiskFullError: no space is left).
    """
    num_bytes = size * size * 3
    position = index * (num_bytes + _CHECKSUM_BYTES)
    with convert_os_errors(path):
        if path.exists():
            with path.open("rb", buffering=0) as file:
                file.seek(position)
                row = file.read(num_bytes + _CHECKSUM_BYTES) or b""
            if row[num_bytes:] == _checksum(row[:num_bytes]):
                return Image.frombytes("RGB", (size, size), row[:num_bytes])
    image = make_image()
    pixels = image.tobytes()
    with convert_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("r+b", buffering=0) as file:
            file.seek(position)
            write_all(file, pixels + _checksum(pixels))
    return image


def _checksum(pixels: bytes) -> bytes:
    return zlib.crc32(pixels).to_bytes(_CHECKSUM_BYTES, "little")

"""Composed images in a file that trainings share: whoever asks for one first composes it."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from soundspot.utils.atomic_io import convert_os_errors, write_all

_WRITTEN = b"\1"  # behind the pixels of an image, and written after them


def read_or_compose(path: Path, index: int, size: int, make_image: Callable[[], Image.Image]) -> Image.Image:
    """Read an image from a file, or compose it and write it there.

    Processes may share the file: they write equal bytes, and an image counts as written once all of it is.

    Args:
        path: path of the file; it and its folder are made where they are missing. Rows of size * size * 3 bytes of RGB
            and one that says whether they are written.
        index: row of the image, from 0.
        size: side of the image in pixels.
        make_image: function that composes the RGB image of `size` x `size` pixels.

    Returns:
        The image.

    Raises:
        OutputError: the file cannot be read or written (DiskFullError: no space is left).
    """
    num_bytes = size * size * 3
    with convert_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("r+b", buffering=0) as file:
            file.seek(index * (num_bytes + 1))
            row = file.read(num_bytes + 1) or b""
            if row[num_bytes:] == _WRITTEN:
                return Image.frombytes("RGB", (size, size), row[:num_bytes])
            image = make_image()
            for offset, content in ((0, image.tobytes()), (num_bytes, _WRITTEN)):
                file.seek(index * (num_bytes + 1) + offset)
                write_all(file, content)
    return image

"""The checksum of a released benchmark: of each file, in the format of sha256sum, and of all of them together."""

import hashlib
from pathlib import Path

from soundspot.errors import DataError
from soundspot.utils.atomic_io import atomic_write_bytes
from soundspot.utils.progress import track

CHECKSUM_FILE = "SHA256SUMS"


def write_checksums(folder: Path) -> str:
    """Write the checksum of each file below a folder.

    Args:
        folder: folder of the release.

    Returns:
        Checksum of the whole: that of the file of checksums.
    """
    lines = [f"{_digest(folder / name)}  {name}\n" for name in _list_files(folder)]
    content = "".join(lines).encode()
    atomic_write_bytes(folder / CHECKSUM_FILE, content)
    return hashlib.sha256(content).hexdigest()


def verify_checksums(folder: str | Path, expected: str = "") -> str:
    """Verify that a release is what was written.

    Args:
        folder: folder of the release.
        expected: checksum of the whole, as its keeper published it, or the first digits of it; empty: not compared.

    Returns:
        Checksum of the whole.

    Raises:
        DataError: files are missing, were changed or added, or the whole is another; at most ten are named.
    """
    folder = Path(folder)
    try:
        content = (folder / CHECKSUM_FILE).read_bytes()
        lines = [line.split("  ", 1) for line in content.decode().splitlines()]
        listed = {name: digest for digest, name in lines}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder}: cannot read {CHECKSUM_FILE} ({error}), expected a benchmark that `soundspot benchmark release` "
            "wrote. Fetch it again"
        ) from error
    files = _list_files(folder)
    problems = [f"{name} is missing" for name in listed if name not in files]
    problems += [f"{name} was added" for name in files if name not in listed]
    digests = {name: _digest(folder / name) for name in track(files, "files") if name in listed}
    problems += [f"{name} was changed" for name, digest in digests.items() if digest != listed[name]]
    whole_digest = hashlib.sha256(content).hexdigest()
    if expected and not whole_digest.startswith(expected.lower()):
        problems.append(f"the checksum of the whole is {whole_digest}, expected {expected}")
    if problems:
        more = f" and {len(problems) - 10} more" if problems[10:] else ""
        raise DataError(
            f"{folder}: is not what was released: {'; '.join(problems[:10])}{more}. Fetch it again: scores on it would "
            "not be comparable"
        )
    return whole_digest


def _list_files(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(name for path in paths if (name := path.relative_to(folder).as_posix()) != CHECKSUM_FILE)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

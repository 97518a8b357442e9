"""Memory of this process: its largest size, and a limit."""

import re
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_PROCESS = Path("/proc/self")


def reset_peak_memory() -> None:
    """Let `peak_memory` begin anew; without effect on systems other than Linux."""
    with suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int:
    """Return the largest resident memory since `reset_peak_memory`.

    Returns:
        Bytes, mapped files included; on systems other than Linux since the start of the process, and 0 where it is not
        known.
    """
    with suppress(OSError):
        if match := re.search(r"VmHWM:\s+(\d+) kB", (_PROCESS / "status").read_text(encoding="ascii")):
            return int(match[1]) * 1024
    return 0 if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit_memory(num_bytes: int) -> None:
    """Limit the memory that this process allocates, so that more is an error in it; files that it maps do not count.

    Args:
        num_bytes: largest size; a lower limit that is set already stays. Without effect on Windows.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [num_bytes, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))

"""Pages from templates: self-contained, nothing is fetched."""

import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def render_template(template: str, **values: Any) -> str:
    """Render a template of this package, escaped throughout, with the date and the versions of the software.

    Args:
        template: name of a file in `templates`.
        values: variables of the template; an undefined variable raises jinja2's UndefinedError.

    Returns:
        HTML text.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # imported where used: few uses of soundspot need it

    environment = Environment(
        loader=PackageLoader("soundspot.evaluation.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    date = datetime.now(timezone.utc).strftime("%d %B %Y, %H:%M UTC").lstrip("0")
    return environment.get_template(template).render(versions=_list_versions(), date=date, **values)


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flatten nested mappings to pairs of text.

    Args:
        values: plain values; mappings in it are flattened.
        prefix: text before each name, such as `front_end.`.

    Returns:
        (dotted name, text) of each value in order; a dash for None and empty lists.
    """
    pairs = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            pairs += flatten(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", _format_text(value)))
    return pairs


def _format_text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_format_text, value)) or "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _list_versions() -> list[tuple[str, str]]:
    """Return name and version of what computed the numbers."""
    versions = [("python", platform.python_version())]
    for name in ("soundspot", "torch", "numpy", "pillow", "soxr"):
        try:
            versions.append((name, version(name)))
        except PackageNotFoundError:  # run from a source tree
            continue
    return [*versions, ("system", f"{platform.system()} {platform.machine()}")]

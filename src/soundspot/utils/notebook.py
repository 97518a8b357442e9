"""HTML that results and reports give to a notebook: no scripts, no styles, all text escaped."""

import base64
from collections.abc import Iterable, Sequence
from io import BytesIO

from markupsafe import Markup
from PIL import Image


def image_to_html(image: Image.Image) -> Markup:
    """Return an image as an element that holds its own data (JPEG)."""
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=90)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img src="data:image/jpeg;base64,{}" width="{}">').format(data, image.width)


def lines_to_html(lines: Iterable[str]) -> Markup:
    """Return lines of text as a paragraph."""
    return Markup("<p>{}</p>").format(Markup("<br>").join(lines))


def table_to_html(rows: Sequence[Sequence[str]]) -> Markup:
    """Return a table of text cells, whose first row is the head."""
    head, *body = (
        Markup("").join(Markup("<{0}>{1}</{0}>").format("th" if i == 0 else "td", cell) for cell in row)
        for i, row in enumerate(rows)
    )
    lines = Markup("").join(Markup("<tr>{}</tr>").format(line) for line in body)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, lines)

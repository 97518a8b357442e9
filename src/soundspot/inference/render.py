"""Pictures of maps: heat, overlays, outlines and sheets. NumPy and Pillow only; nothing here knows of a model.

Maps are (h, w) with values in [0, 1]; pictures are PIL images, and none that is passed in is changed.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray as Array
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
DARK: Color = (18, 18, 24)
TRANSPARENT_BELOW, OPAQUE_ABOVE = (
    0.3,
    0.8,
)  # of an overlay: up to the first values show nothing, from the second on they cover most
GROUND_TRUTH_COLOR: Color = (0, 230, 170)  # a green that the heat colours never come near

# Nine anchors, equal steps of Oklab lightness from 0.25 to 0.9, hue turning from indigo over red to yellow, each as
# vivid as sRGB allows: equal steps of a map look equally far apart, in grey print too.
_ANCHORS = ("26035c", "51066c", "7f0b6e", "ad1263", "dd1844", "f15617", "f58c1c", "fab626", "fadf2b")


# Told apart by people of any colour vision (Okabe and Ito, 2008), without their black, the yellow last.
SOURCE_COLORS: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (204, 121, 167),
    (213, 94, 0),
    (0, 114, 178),
    (240, 228, 66),
)


def _table() -> UInt8[Array, "256 3"]:
    anchors = np.array([tuple(bytes.fromhex(anchor)) for anchor in _ANCHORS], np.float64)
    at = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(at, np.arange(len(anchors)), channel) for channel in anchors.T]
    return np.asarray(np.stack(channels, axis=-1).round(), np.uint8)


HEAT_COLORMAP = _table()


def apply_colormap(values: Float[Array, "h w"]) -> UInt8[Array, "h w 3"]:
    """A map in [0, 1] as RGB, dark indigo for 0 to bright yellow for 1; values outside are clipped."""
    colours: UInt8[Array, "h w 3"] = HEAT_COLORMAP[(np.clip(values, 0, 1) * 255).round().astype(np.uint8)]
    return colours


def overlay_heatmap(
    image: Image.Image, values: Float[Array, "h w"], opacity: float = 0.6, transparent_below: float = TRANSPARENT_BELOW
) -> Image.Image:
    """The heat of a map over a picture of the same size; the lower the value, the more of the picture shows.

    Args:
        picture: w x h pixels.
        values: (h, w) in [0, 1].
        opacity: how much of the picture the highest values cover, in [0, 1].
        clear: values up to this leave the picture exactly as it is.
    """
    assert image.size == values.shape[::-1], "a map is laid over a picture of its own size"
    level = Image.fromarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8))
    cover = opacity * _risen(np.linspace(0, 1, 256), transparent_below)
    alpha = level.point((255 * cover).round().astype(int).tolist())
    level.putpalette(HEAT_COLORMAP.tobytes())
    return Image.composite(level.convert("RGB"), image.convert("RGB"), alpha)


def overlay_sources(
    image: Image.Image,
    values: Float[Array, "k h w"],
    colors: Sequence[Color],
    opacity: float = 0.6,
    transparent_below: float = 0.3,
) -> Image.Image:
    """Several maps over one picture in grey, each in its own colour; where they overlap, the higher value tints more.

    Args: as `overlay` has them, with a colour for each of the k maps.
    """
    assert len(values) == len(colors), "a colour for each map"
    grey = image.convert("L").convert("RGB")  # so that colours stand for sources alone
    if not len(values):
        return grey
    risen = _risen(values, transparent_below)
    share = risen**4 + 1e-9  # nearly the highest alone, without a hard seam
    tint = np.einsum("khw,kc->hwc", share / share.sum(axis=0), np.array(colors, np.float64))
    alpha = Image.fromarray((255 * opacity * risen.max(axis=0)).round().astype(np.uint8))
    return Image.composite(Image.fromarray(tint.round().astype(np.uint8)), grey, alpha)


def _risen(values: Float[Array, "*k"], clear: float) -> Float[Array, "*k"]:
    """How much of the picture values cover: from 0 at `clear` to 1 at FULL, without a visible rim where it sets in."""
    rise = np.clip((values - clear) / (OPAQUE_ABOVE - clear), 0, 1)
    return rise * rise * (3 - 2 * rise)


def draw_outline(
    image: Image.Image, mask: Bool[Array, "h w"], color: Color = GROUND_TRUTH_COLOR, width: int | None = None
) -> Image.Image:
    """The picture with a line around each region of `mask` (of any size: it is brought to the picture's).

    The line runs inside the region, with a thin dark rim on both sides so that it shows on any background.
    `width` is in pixels; by default about 0.7 % of the shorter side.
    """
    line = width or max(1, round(min(image.size) / 140))
    rim = max(1, line // 2)
    region = np.asarray(Image.fromarray(mask).resize(image.size, Image.Resampling.NEAREST))
    pixels = np.array(image.convert("RGB"))
    inner = _shrunk(region, line)
    edge = region & ~inner
    halo = (inner & ~_shrunk(inner, rim)) | (~region & ~_shrunk(~region, rim, rest=True))
    pixels[halo] = (pixels[halo] * 0.35).astype(np.uint8)
    pixels[edge] = color
    return Image.fromarray(pixels)


def _shrunk(mask: Bool[Array, "h w"], by: int, rest: bool = False) -> Bool[Array, "h w"]:
    """`mask` without its outermost `by` pixels; `rest` says whether the world beyond the picture belongs to it."""
    away = torch.from_numpy(~mask)[None, None].float()
    away = F.pad(away, (by,) * 4, value=0.0 if rest else 1.0)
    grown = F.max_pool2d(F.max_pool2d(away, (2 * by + 1, 1), stride=1), (1, 2 * by + 1), stride=1)
    return np.asarray(grown[0, 0] < 0.5)


def draw_boxes(image: Image.Image, boxes: Sequence[tuple[int, int, int, int]], color: Color = WHITE) -> Image.Image:
    """The picture with rectangles (x0, y0, x1, y1), the far edge exclusive."""
    drawn = image.convert("RGB")
    draw = ImageDraw.Draw(drawn)
    line = max(1, round(min(image.size) / 150))
    for x0, y0, x1, y1 in boxes:
        far = (max(x0, x1 - 1), max(y0, y1 - 1))
        draw.rectangle((x0 - 1, y0 - 1, far[0] + 1, far[1] + 1), outline=DARK, width=line + 2)  # shows on white too
        draw.rectangle((x0, y0, *far), outline=color, width=line)
    return drawn


def make_strip(images: Sequence[Image.Image], captions: Sequence[str] = (), height: int = 320) -> Image.Image:
    """Pictures side by side at one height, a caption under each."""
    return make_contact_sheet([images], [captions] if captions else (), height)


def make_contact_sheet(
    rows: Sequence[Sequence[Image.Image]], captions: Sequence[Sequence[str]] = (), height: int = 240
) -> Image.Image:
    """Rows of pictures, each `height` pixels high, on white; `captions` has one text per picture, or is empty.

    Captions too long for their picture end in an ellipsis.
    """
    assert rows, "a sheet needs at least one row"
    assert all(rows), "a sheet needs at least one picture in each row"
    assert not captions or [len(row) for row in rows] == [len(row) for row in captions], "one caption per picture"
    gap = max(4, height // 24)
    size = max(11, height // 17)
    font = ImageFont.load_default(size)
    line = round(1.7 * size) if captions else 0
    scaled = [[_to_height(picture, height) for picture in row] for row in rows]
    wide = max(sum(picture.width + gap for picture in row) for row in scaled) + gap
    sheet = Image.new("RGB", (wide, len(rows) * (height + line + gap) + gap), WHITE)
    draw = ImageDraw.Draw(sheet)
    for r, row in enumerate(scaled):
        x, y = gap, gap + r * (height + line + gap)
        for c, picture in enumerate(row):
            sheet.paste(picture, (x, y))
            draw.rectangle((x, y, x + picture.width - 1, y + height - 1), outline=(208, 208, 214))  # a hairline
            if captions:
                middle = (x + picture.width / 2, y + height + line / 2)
                draw.text(middle, _shortened(captions[r][c], font, picture.width), DARK, font, anchor="mm")
            x += picture.width + gap
    return sheet


def draw_border(image: Image.Image, color: Color) -> Image.Image:
    """The picture with a frame of a colour drawn on its edge."""
    drawn = image.convert("RGB")
    ImageDraw.Draw(drawn).rectangle(
        (0, 0, drawn.width - 1, drawn.height - 1), None, color, max(2, min(drawn.size) // 60)
    )
    return drawn


def add_legend(image: Image.Image, entries: Sequence[tuple[Color, str]]) -> Image.Image:
    """The picture with a line below it for each entry: a square of the colour, and a text.

    Texts that are too long end in an ellipsis.
    """
    size = max(11, round(image.width / 28))
    font, line, gap = ImageFont.load_default(size), round(1.7 * size), max(4, size // 2)
    whole = Image.new("RGB", (image.width, image.height + len(entries) * line + gap), WHITE)
    whole.paste(image, (0, 0))
    draw = ImageDraw.Draw(whole)
    for row, (colour, text) in enumerate(entries):
        middle = image.height + gap / 2 + (row + 0.5) * line
        draw.rectangle((gap, middle - size / 2, gap + size, middle + size / 2), fill=colour, outline=DARK)
        room = image.width - size - 3 * gap
        draw.text((size + 2 * gap, middle), _shortened(text, font, room), DARK, font, anchor="lm")
    return whole


def encode_data_uri(image: Image.Image, quality: int = 78, effort: int = 4) -> str:
    """The picture as an address that holds it, for pages that fetch nothing: WebP; `effort` is from 0 to 6."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=effort)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _to_height(picture: Image.Image, height: int) -> Image.Image:
    width = max(1, round(picture.width * height / picture.height))
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"

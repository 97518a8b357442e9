"""Drawings of maps: heatmap overlays, outlines, boxes and contact sheets. NumPy and Pillow only, no model.

Maps are (h, w) with values in [0, 1]; images are PIL images, and an image that is passed in is never changed.
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
PEAK_COLOR = (221, 24, 68)
DARK: Color = (18, 18, 24)
TRANSPARENT_BELOW, OPAQUE_ABOVE = (
    0.3,
    0.8,
)  # of an overlay: heat is invisible up to the first value, full from the second
GROUND_TRUTH_COLOR: Color = (0, 230, 170)  # a green that the heat colors never come near

# Nine anchors, equal steps of Oklab lightness from 0.25 to 0.9, hue turning from indigo over red to yellow, each as
# vivid as sRGB allows: equal steps of a map look equally far apart, in gray print too.
_ANCHORS = ("26035c", "51066c", "7f0b6e", "ad1263", "dd1844", "f15617", "f58c1c", "fab626", "fadf2b")

# Distinct to people of any color vision (Okabe and Ito, 2008), without their black, the yellow last.
_OKABE_ITO = ("e69f00", "56b4e9", "009e73", "cc79a7", "d55e00", "0072b2", "f0e442")
SOURCE_COLORS: tuple[Color, ...] = tuple((c[0], c[1], c[2]) for c in map(bytes.fromhex, _OKABE_ITO))


def _build_colormap() -> UInt8[Array, "256 3"]:
    anchors = np.array([tuple(bytes.fromhex(anchor)) for anchor in _ANCHORS], np.float64)
    positions = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(positions, np.arange(len(anchors)), channel) for channel in anchors.T]
    return np.asarray(np.stack(channels, axis=-1).round(), np.uint8)


HEAT_COLORMAP = _build_colormap()


def overlay_heatmap(
    image: Image.Image,
    values: Float[Array, "h w"],
    opacity: float = 0.6,
    transparent_below: float = TRANSPARENT_BELOW,
) -> Image.Image:
    """Draw a map as a heatmap over an image of the same size; the lower the value, the more of the image shows.

    The opacity rises smoothly from 0 at `transparent_below` to `opacity` at 0.8.

    Args:
        image: background of w x h pixels.
        values: (h, w) map; values outside [0, 1] are clipped.
        opacity: opacity of the heat at values of 0.8 and more, in [0, 1].
        transparent_below: value up to which the image stays exactly as it is, below 0.8.

    Returns:
        An RGB image of the same size.
    """
    assert image.size == values.shape[::-1], "a map is laid over an image of its own size"
    level = Image.fromarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8))
    cover = opacity * _smoothstep(np.linspace(0, 1, 256), transparent_below)
    alpha = level.point((255 * cover).round().astype(int).tolist())
    level.putpalette(HEAT_COLORMAP.tobytes())
    drawing = image.convert("RGB")
    if box := alpha.getbbox():  # what lies outside stays as it is
        drawing.paste(level.crop(box).convert("RGB"), box, alpha.crop(box))
    return drawing


def overlay_sources(
    image: Image.Image, values: Float[Array, "k h w"], colors: Sequence[Color], opacity: float = 0.6
) -> Image.Image:
    """Draw several maps over a gray copy of an image, each in its own color; on overlaps the higher value tints more.

    Args:
        image: background of w x h pixels.
        values: (k, h, w) maps in [0, 1]; values up to 0.3 leave the gray image as it is.
        colors: RGB color of each of the k maps, from 0 to 255.
        opacity: opacity of the tint at values of 0.8 and more, in [0, 1].

    Returns:
        An RGB image of the same size; only gray where k is 0.
    """
    assert len(values) == len(colors), "a color for each map"
    gray = image.convert("L").convert("RGB")  # so that colors stand for sources alone
    if not len(values):
        return gray
    weight = _smoothstep(values, TRANSPARENT_BELOW)
    share = weight**4 + 1e-9  # nearly the highest alone, without a hard seam
    tint = np.einsum("khw,kc->hwc", share / share.sum(axis=0), np.array(colors, np.float64))
    alpha = Image.fromarray((255 * opacity * weight.max(axis=0)).round().astype(np.uint8))
    return Image.composite(Image.fromarray(tint.round().astype(np.uint8)), gray, alpha)


def _smoothstep(values: Float[Array, "*k"], low: float) -> Float[Array, "*k"]:
    """Return opacities that rise from 0 at `low` to 1 at OPAQUE_ABOVE, without a visible rim where they set in."""
    rise = np.clip((values - low) / (OPAQUE_ABOVE - low), 0, 1)
    return rise * rise * (3 - 2 * rise)


def draw_outline(
    image: Image.Image, mask: Bool[Array, "h w"], color: Color = GROUND_TRUTH_COLOR, width: int | None = None
) -> Image.Image:
    """Draw a line around each region of a mask, inside the region, with a thin dark rim that shows on any background.

    Args:
        image: background.
        mask: (h, w) bool of any size; it is resized to the image by nearest neighbor.
        color: RGB color of the line.
        width: width of the line in pixels; None: 1/140 of the shorter side, at least 1.

    Returns:
        An RGB image of the same size.
    """
    line = width or max(1, round(min(image.size) / 140))
    rim = max(1, line // 2)
    region = np.asarray(Image.fromarray(mask).resize(image.size, Image.Resampling.NEAREST))
    pixels = np.array(image.convert("RGB"))
    inner = _erode(region, line)
    halo = (inner & ~_erode(inner, rim)) | (~region & ~_erode(~region, rim, outside=True))
    pixels[halo] = (pixels[halo] * 0.35).astype(np.uint8)
    pixels[region & ~inner] = color
    return Image.fromarray(pixels)


def _erode(mask: Bool[Array, "h w"], radius: int, outside: bool = False) -> Bool[Array, "h w"]:
    """Return `mask` without its outermost `radius` pixels; `outside` is its value beyond the edge of the image."""
    background = torch.from_numpy(~mask)[None, None].float()
    background = F.pad(background, (radius,) * 4, value=0.0 if outside else 1.0)
    side = 2 * radius + 1
    dilated = F.max_pool2d(F.max_pool2d(background, (side, 1), stride=1), (1, side), stride=1)
    return np.asarray(dilated[0, 0] < 0.5)


def draw_boxes(image: Image.Image, boxes: Sequence[tuple[int, int, int, int]], color: Color = WHITE) -> Image.Image:
    """Draw rectangles on an image; the width of their lines is 1/150 of its shorter side, at least 1 pixel.

    Args:
        image: background.
        boxes: (x0, y0, x1, y1) in pixels, the far edges exclusive; parts outside the image are not drawn.
        color: RGB color of the lines, which have a dark rim.

    Returns:
        An RGB image of the same size.
    """
    canvas = image.convert("RGB")
    draw = ImageDraw.Draw(canvas)
    line = max(1, round(min(image.size) / 150))
    for x0, y0, x1, y1 in boxes:
        far = (max(x0, x1 - 1), max(y0, y1 - 1))
        draw.rectangle((x0 - 1, y0 - 1, far[0] + 1, far[1] + 1), outline=DARK, width=line + 2)  # shows on white too
        draw.rectangle((x0, y0, *far), outline=color, width=line)
    return canvas


def draw_peak(image: Image.Image, x: int, y: int) -> Image.Image:
    """Draw a red ring with a dot in it around a pixel, with white rims; its radius is 1/16 of the shorter side.

    Args:
        image: background.
        x, y: pixel of the image.

    Returns:
        An RGB image of the same size.
    """
    canvas = image.convert("RGB")
    draw = ImageDraw.Draw(canvas)
    radius, line = max(4, min(image.size) // 16), max(1, min(image.size) // 110)
    for color, rim in ((WHITE, max(1, line // 2)), (PEAK_COLOR, 0)):
        for size, fill, width in ((radius + line, None, line + 2 * rim), (line, color, 1)):
            far = size + rim
            draw.ellipse((x - far, y - far, x + far, y + far), fill, color, width)
    return canvas


def draw_border(image: Image.Image, color: Color) -> Image.Image:
    """Draw a border over the outermost pixels of an image, as wide as 1/60 of its shorter side, at least 2 pixels.

    Args:
        image: background.
        color: RGB color of the border.

    Returns:
        An RGB image of the same size.
    """
    canvas = image.convert("RGB")
    edge = (0, 0, canvas.width - 1, canvas.height - 1)
    ImageDraw.Draw(canvas).rectangle(edge, None, color, max(2, min(canvas.size) // 60))
    return canvas


def make_contact_sheet(
    rows: Sequence[Sequence[Image.Image]], captions: Sequence[Sequence[str]] = (), height: int = 240
) -> Image.Image:
    """Arrange rows of images on white, at one height and with a caption under each.

    Args:
        rows: images of each row, from left to right; at least one row, and one image in each. Rows may differ in
            length.
        captions: one text for each image, in the same rows, or empty; a text wider than its image ends in an ellipsis.
        height: height of each image in pixels; widths keep the aspect ratio (Lanczos filter).

    Returns:
        An RGB image, as wide as the widest row.
    """
    assert rows, "a sheet needs at least one row"
    assert all(rows), "a sheet needs at least one image in each row"
    assert not captions or [len(row) for row in rows] == [len(row) for row in captions], "one caption per image"
    gap = max(4, height // 24)
    scaled = [[_resize_to_height(image, height) for image in row] for row in rows]
    widths = sorted(image.width for row in scaled for image in row)
    size = max(11, min(height, widths[len(widths) // 2]) // 17)
    font = ImageFont.load_default(size)
    line = round(1.7 * size) if captions else 0
    width = max(sum(image.width + gap for image in row) for row in scaled) + gap
    sheet = Image.new("RGB", (width, len(rows) * (height + line + gap) + gap), WHITE)
    draw = ImageDraw.Draw(sheet)
    for r, row in enumerate(scaled):
        x, y = gap, gap + r * (height + line + gap)
        for c, image in enumerate(row):
            sheet.paste(image, (x, y))
            draw.rectangle((x, y, x + image.width - 1, y + height - 1), outline=(208, 208, 214))  # a hairline
            if captions:
                middle = (x + image.width / 2, y + height + line / 2)
                draw.text(middle, _truncate(captions[r][c], font, image.width), DARK, font, anchor="mm")
            x += image.width + gap
    return sheet


def add_legend(image: Image.Image, entries: Sequence[tuple[Color, str]]) -> Image.Image:
    """Add a legend below an image: a line with a colored square and a text for each entry.

    Args:
        image: RGB image.
        entries: RGB color and text of each line; a text that is too wide ends in an ellipsis.

    Returns:
        A new RGB image of the same width, higher by the legend.
    """
    size = max(11, round(image.width / 28))
    font, line, gap = ImageFont.load_default(size), round(1.7 * size), max(4, size // 2)
    canvas = Image.new("RGB", (image.width, image.height + len(entries) * line + gap), WHITE)
    canvas.paste(image, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for row, (color, text) in enumerate(entries):
        middle = image.height + gap / 2 + (row + 0.5) * line
        draw.rectangle((gap, middle - size / 2, gap + size, middle + size / 2), fill=color, outline=DARK)
        room = image.width - size - 3 * gap
        draw.text((size + 2 * gap, middle), _truncate(text, font, room), DARK, font, anchor="lm")
    return canvas


def encode_data_uri(image: Image.Image, quality: int = 78, effort: int = 4) -> str:
    """Encode an image as a WebP data URI, for pages that fetch nothing.

    Args:
        image: image of any mode that WebP can store.
        quality: quality of the lossy compression, from 0 to 100.
        effort: effort of the compression, from 0 (fast) to 6 (small).

    Returns:
        `data:image/webp;base64,...`
    """
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=effort)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _resize_to_height(image: Image.Image, height: int) -> Image.Image:
    width = max(1, round(image.width * height / image.height))
    return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def _truncate(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"

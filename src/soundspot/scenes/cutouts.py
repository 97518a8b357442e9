"""Scenes of real pixels and real recordings: objects cut out of any catalog that has masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int16, UInt8
from PIL import Image, ImageFilter

from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.catalog_format import AudioEntry, ImageEntry
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import read_image
from soundspot.errors import DataError
from soundspot.scenes.source import ObjectSource
from soundspot.types import Audio

MIN_SIDE = 20  # pixels of the longer side; smaller objects are a smudge once enlarged
MIN_FILL = 0.2  # share of its box that an object fills; thinner ones are mostly holes of a mask
MAX_TRUNCATION = 0.25  # share of its box's outline that may lie on the image border: more is half an object
STORED_SIDE = 160  # pixels of the longer side of cut-outs and backgrounds in memory
NUM_WINDOWS = 4  # windows drawn from a recording (the loudest is used) or a background (the emptiest is used)


@dataclass(frozen=True)
class Cutout:
    """An object in an image of a catalog.

    Attributes:
        image: entry of the image.
        top, left: upper left corner of the object in pixels of the image.
        mask: (h, w) bool, the object's pixels in the rectangle that begins there.
    """

    image: ImageEntry
    top: int
    left: int
    mask: Bool[np.ndarray, "h w"]


class CutoutSource(ObjectSource):
    """Objects, recordings and backgrounds from one split of a catalog.

    An object is the content of an image's mask in its largest box (a mask may hold a herd), at least 20 pixels long, at
    least a fifth of its box, and with at most a quarter of its outline cut off by the image border. It is pasted
    unchanged, or mirrored.

    A background comes from any image with a mask, or of a category that is not among `categories`: objects known by
    mask or box are inpainted from around them, the result is softened, and of four random windows the one with the
    least inpainting is enlarged. So a background has the colors and scenery of real images, now and then a smudge;
    things that nobody outlined (people behind a dog) may remain, too soft to be sharp objects. The image's category is
    drawn first, so that hundreds of frames of one sky count no more than a few meadows.

    Everything is decoded on first use and stays in memory (crops of an image at 160 pixels, recordings as 16 bit): some
    0.2 MB for each image and recording. A scene of 128 x 128 pixels then takes about a millisecond on one core.

    Args:
        catalog: catalog of one split: what is trained on and what is tested on never meet.
        categories: categories to use; None: all with at least `min_count` objects and as many recordings.
        min_count: number of objects, and of recordings, that a category must have.

    Raises:
        DataError: a requested category has too few, or no category has enough.
    """

    name = "cutouts"
    categories: tuple[str, ...] = ()

    def __init__(self, catalog: Catalog, categories: Sequence[str] | None = None, min_count: int = 1) -> None:
        self.catalog = catalog
        self.cutouts: dict[str, list[Cutout]] = {}
        for image in catalog.images:
            mask = catalog.read_mask(image) if categories is None or image.category in categories else None
            cutout = None if mask is None else find_object(image, mask.numpy())
            if cutout is not None:
                self.cutouts.setdefault(image.category, []).append(cutout)
        counts = {
            category: (len(self.cutouts.get(category, ())), len(catalog.audio_of(category)))
            for category in categories or sorted(self.cutouts)
        }
        poor = {category: pair for category, pair in counts.items() if min(pair) < min_count}
        if poor and categories is not None:
            listing = ", ".join(
                f"{category!r} has {objects} and {audio}" for category, (objects, audio) in poor.items()
            )
            raise DataError(
                f"cut-outs need at least {min_count} usable object(s) with a mask and as many recordings of each "
                f"category; {listing}. Leave these out, or pass categories=None to use those that have enough."
            )
        self.categories = tuple(category for category in counts if category not in poor)
        if not self.categories:
            raise DataError(
                f"{catalog.root}: no category has {min_count} or more objects with masks and as many recordings, which "
                "cut-outs need. Use a catalog with masks, another split, or a smaller `min_count`."
            )
        self._objects: dict[str, Image.Image] = {}
        self._waveforms: dict[tuple[str, int], Int16[np.ndarray, " t"]] = {}
        self._backgrounds: dict[str, tuple[Image.Image, UInt8[np.ndarray, "h w"]]] = {}

    @property
    def split(self) -> str:
        """Split of the catalog."""
        return self.catalog.split

    def draw_object(self, category: str, rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "h w 4"]:
        """Draw an object of a category, resized bilinearly and mirrored in half of the cases.

        Args:
            category: name of the category.
            rng: generator that chooses the object and its side.
            size: longer side of the result in pixels.

        Returns:
            (h, w, 4) uint8 RGBA; alpha is 255 on the object and 0 elsewhere.
        """
        cutout = self.choose_cutout(category, rng)
        if cutout.image.id not in self._objects:
            self._objects[cutout.image.id] = crop_object(cutout, read_image(self.catalog.root / cutout.image.file))
        stored = self._objects[cutout.image.id]
        scale = size / max(stored.size)
        width, height = (max(1, round(side * scale)) for side in stored.size)
        patch = np.asarray(stored.resize((width, height), Image.Resampling.BILINEAR)).copy()
        patch[..., 3] = np.where(patch[..., 3] >= 128, 255, 0)  # each pixel is the object's or it is not
        return patch[:, ::-1] if rng.random() < 0.5 else patch

    def draw_audio(self, category: str, rng: np.random.Generator, seconds: float, rate: int) -> Audio:
        """Draw the loudest of four random windows of a recording, without the silence around it.

        Args:
            category: name of the category.
            rng: generator that chooses the recording, the windows and the peak.
            seconds: duration in seconds.
            rate: sample rate in Hz.

        Returns:
            Mono audio of round(seconds * rate) samples with a peak between 0.25 and 0.9; a shorter recording is
            repeated.

        Raises:
            InputError: the recording cannot be decoded.
        """
        recording = self._draw_recording(category, rng)
        samples, length = self._waveform(recording, rate), round(seconds * rate)
        spare = len(samples) - length
        starts = rng.integers(0, spare if spare > 0 else len(samples), NUM_WINDOWS).tolist()
        if spare > 0:
            windows = [samples[start : start + length] for start in starts]
            samples = max(windows, key=lambda window: float(np.abs(window[::8]).mean(dtype=np.float32)))
        else:
            samples = np.resize(np.roll(samples, starts[0]), length)
        waveform = samples.astype(np.float32)
        waveform *= rng.uniform(0.25, 0.9) / max(float(np.abs(waveform).max()), 1.0)
        return Audio(torch.from_numpy(waveform), rate)

    def name_audio(self, category: str, rng: np.random.Generator) -> str:
        """Return the recording that `draw_audio` would draw a window of.

        Args:
            category: name of the category.
            rng: generator in the state in which `draw_audio` would take it.

        Returns:
            Path of the recording relative to the catalog's folder.
        """
        return self._draw_recording(category, rng).file

    def find_audio(self, category: str, rng: np.random.Generator) -> str:
        """Return the path of the recording that `draw_audio` would draw a window of.

        Args:
            category: name of the category.
            rng: generator in the state in which `draw_audio` would take it.

        Returns:
            Path of the file.
        """
        return str(self.catalog.root / self._draw_recording(category, rng).file)

    def draw_background(self, rng: np.random.Generator, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """Draw a background: the emptiest of four random windows of an image without its objects, enlarged bilinearly.

        Args:
            rng: generator that chooses the image and the windows.
            height, width: size of the result in pixels.

        Returns:
            (height, width, 3) uint8 RGB, mirrored in half of the cases.
        """
        entry = self.choose_background(rng)
        if entry.id not in self._backgrounds:
            self._backgrounds[entry.id] = self._empty(entry)
        image, inpainted = self._backgrounds[entry.id]
        windows = []
        for zoom, x, y in rng.uniform((0.4, 0, 0), (0.8, 1, 1), (NUM_WINDOWS, 3)).tolist():
            w, h = (zoom * min(image.width / width, image.height / height) * side for side in (width, height))
            windows.append((x * (image.width - w), y * (image.height - h), w, h))
        x, y, w, h = min(
            windows,
            key=lambda box: float(
                inpainted[int(box[1]) : int(box[1] + box[3]), int(box[0]) : int(box[0] + box[2])].mean()
            ),
        )
        canvas = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, (x, y, x + w, y + h)))
        return (canvas[:, ::-1] if rng.random() < 0.5 else canvas).copy()

    def choose_cutout(self, category: str, rng: np.random.Generator) -> Cutout:
        """Choose the object that `draw_object` draws; a subclass may note it.

        Args:
            category: name of the category.
            rng: generator of the choice.

        Returns:
            The object.
        """
        cutouts = self.cutouts[category]
        return cutouts[int(rng.integers(len(cutouts)))]

    def choose_background(self, rng: np.random.Generator) -> ImageEntry:
        """Choose the image that `draw_background` draws a part of; a subclass may note it.

        Args:
            rng: generator of the choice.

        Returns:
            Entry of the image.
        """
        categories = self._background_images
        entries = categories[int(rng.integers(len(categories)))]
        return entries[int(rng.integers(len(entries)))]

    @cached_property
    def _background_images(self) -> list[list[ImageEntry]]:
        """The images that backgrounds are made of, a list for each category."""
        groups: dict[str, list[ImageEntry]] = {}
        for image in self.catalog.images:
            if image.mask is not None or (image.boxes and image.category not in self.categories):
                groups.setdefault(image.category, []).append(image)
        return list(groups.values())

    def _empty(self, entry: ImageEntry) -> tuple[Image.Image, UInt8[np.ndarray, "h w"]]:
        """Return the image without its objects, softened, and how far each pixel was inpainted, from 0 to 255."""
        image = read_image(self.catalog.root / entry.file)
        pixels = self.catalog.read_mask(entry)
        mask = Image.fromarray(pixels.numpy()) if pixels is not None else Image.new("1", image.size)
        for box in entry.boxes if pixels is None else ():
            mask.paste(1, (round(box.x0), round(box.y0), round(box.x1), round(box.y1)))
        scale = min(1.0, STORED_SIDE / max(image.size))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        empty, inpainted = inpaint(image.resize(size, Image.Resampling.BILINEAR), mask.convert("L").resize(size))
        return empty, np.round(255 * inpainted).astype(np.uint8)

    def _draw_recording(self, category: str, rng: np.random.Generator) -> AudioEntry:
        recordings = self.catalog.audio_of(category)
        return recordings[int(rng.integers(len(recordings)))]

    def _waveform(self, recording: AudioEntry, rate: int) -> Int16[np.ndarray, " t"]:
        """Return the recording at `rate` Hz, without the silence around it."""
        key = (recording.id, rate)
        if key not in self._waveforms:
            samples = read_audio(self.catalog.root / recording.file, rate).waveform.numpy()
            audible = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
            samples = samples[audible[0] : audible[-1] + 1] if len(audible) else samples
            self._waveforms[key] = np.round(samples * 32767).astype(np.int16)
        return self._waveforms[key]


def find_object(image: ImageEntry, mask: Bool[np.ndarray, "h w"]) -> Cutout | None:
    """Return the content of the mask in the image's largest box (without boxes: all of it), if it is usable.

    Args:
        image: entry of the image.
        mask: (h, w) bool mask of the image.

    Returns:
        The object, cropped to its mask; None where it is empty, shorter than 20 pixels, fills less than a fifth of its
        rectangle, or is cut off by the image border along more than a quarter of its outline.
    """
    height, width = mask.shape
    top, left, bottom, right = 0, 0, height, width
    if image.boxes:
        box = max(image.boxes, key=lambda box: (box.x1 - box.x0) * (box.y1 - box.y0))
        top, left, bottom, right = (max(0, round(edge)) for edge in (box.y0, box.x0, box.y1, box.x1))
    inside = mask[top:bottom, left:right]
    if not inside.any():
        return None
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    shape = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = top + int(rows[0]), left + int(columns[0])
    h, w = shape.shape
    at_border = (top <= 1, left <= 1, top + h >= height - 1, left + w >= width - 1)
    edges = (shape[0], shape[:, 0], shape[-1], shape[:, -1])
    truncated = sum(int(edge.sum()) for edge, touches in zip(edges, at_border, strict=True) if touches)
    if max(h, w) < MIN_SIDE or shape.mean() < MIN_FILL or truncated > MAX_TRUNCATION * 2 * (h + w):
        return None
    return Cutout(image, top, left, shape)


def crop_object(cutout: Cutout, image: Image.Image) -> Image.Image:
    """Crop an object out of its image and make it transparent outside of its mask.

    Args:
        cutout: object to crop.
        image: RGB image that holds it.

    Returns:
        RGBA image, reduced bilinearly where its longer side exceeds 160 pixels.
    """
    height, width = cutout.mask.shape
    patch = image.crop((cutout.left, cutout.top, cutout.left + width, cutout.top + height))
    patch.putalpha(Image.fromarray(cutout.mask.astype(np.uint8) * np.uint8(255)))
    patch.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.BILINEAR)
    return patch


def inpaint(image: Image.Image, mask: Image.Image) -> tuple[Image.Image, Float[np.ndarray, "h w"]]:
    """Replace the pixels under a mask (dilated a little) by an average of those around it.

    The average is of unmasked pixels, from coarse to fine grids; a finer grid counts where it has enough of them. Then
    the image is softened, so that inpainted and other pixels look alike.

    Args:
        image: RGB image.
        mask: grayscale image of the same size, white on the pixels to replace.

    Returns:
        Inpainted RGB image of the same size, and the share of each pixel that was replaced, (h, w) in [0, 1].
    """
    hole = np.asarray(mask.filter(ImageFilter.MaxFilter(7)).filter(ImageFilter.GaussianBlur(2)), np.float32) / 255
    pixels = np.asarray(image, np.float32)
    known = np.clip(1 - 2 * hole, 0, 1)
    average = pixels.mean((0, 1))
    for cells in (2, 4, 8, 16, 32):
        weight = _smooth_grid(known, cells)[..., None]
        local = np.stack([_smooth_grid(pixels[..., channel] * known, cells) for channel in range(3)], axis=-1)
        trust = np.clip(weight / 0.1, 0, 1)
        average = trust * local / np.maximum(weight, 1e-4) + (1 - trust) * average
    inpainted = pixels + (average - pixels) * np.clip(2 * hole, 0, 1)[..., None]
    return Image.fromarray(np.clip(inpainted, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1)), hole


def _smooth_grid(values: Float[np.ndarray, "h w"], cells: int) -> Float[np.ndarray, "h w"]:
    """Return the averages over a grid of cells x cells, smoothly enlarged to the size of `values`."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    small = image.resize((cells, cells), Image.Resampling.HAMMING)
    return np.asarray(small.resize(image.size, Image.Resampling.BILINEAR))

"""Scenes of real pixels and real recordings: objects cut out of any catalogue that has masks."""

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
from soundspot.types import Audio

MIN_SIDE = 20  # pixels of the longer side; smaller ones are a smudge once enlarged
MIN_FILL = 0.2  # share of its box that an object fills; thinner ones are mostly holes of a mask
MAX_TRUNCATION = 0.25  # share of its box's outline that may lie on the picture's border: more is half an object
STORED_SIDE = 160  # pixels of the longer side that cut-outs and backgrounds are kept at, in memory
NUM_WINDOWS = 4  # windows drawn from a recording (the loudest is heard) or a background (the emptiest is seen)


@dataclass(frozen=True)
class Cutout:
    """Where in a picture an object is: rows and columns of its box, and its pixels in that box."""

    image: ImageEntry
    top: int
    left: int
    mask: Bool[np.ndarray, "h w"]


class CutoutSource:
    """Objects, recordings and backgrounds from one split of a catalogue.

    An object is what a picture's mask has in its largest box (a mask may hold a whole herd), at least 20 pixels long,
    at least a fifth of its box, and with at most a quarter of its outline cut off by the picture's border. It is
    pasted as it is, or mirrored.

    A background comes from any picture with a mask, or of a category that is not among `categories`: objects known by
    mask or box are filled in from around them, the whole is softened, and of four random windows the one with
    the least filling is enlarged. So a background has the colours and places of real pictures, now and then a
    smudge; things nobody outlined (people behind a dog) may remain, too soft to be sharp objects. The picture's
    category is drawn first, so that hundreds of frames of one sky count no more than a few meadows.

    Everything is decoded when first needed and kept (a picture's parts at 160 pixels, recordings as 16 bit): some
    0.2 MB for each picture and recording. A scene of 128 x 128 pixels then takes about a millisecond on one core.

    Args:
        catalogue: of one split: what is trained on and what is tested on never meet.
        categories: those to use; None takes all with at least `least` objects and as many recordings.
        least: objects, and recordings, that a category must have.

    Raises:
        DataError: a category asked for has too few, or no category has enough.
    """

    name = "cutouts"

    def __init__(self, catalog: Catalog, categories: Sequence[str] | None = None, min_count: int = 1) -> None:
        self.catalog = catalog
        self.cutouts: dict[str, list[Cutout]] = {}
        for picture in catalog.images:
            mask = catalog.read_mask(picture) if categories is None or picture.category in categories else None
            if mask is not None:
                cut = find_object(picture, mask.numpy())
                if cut is not None:
                    self.cutouts.setdefault(picture.category, []).append(cut)
        found = {
            category: (len(self.cutouts.get(category, ())), len(catalog.audio_of(category)))
            for category in categories or sorted(self.cutouts)
        }
        poor = {category: counts for category, counts in found.items() if min(counts) < min_count}
        if poor and categories is not None:
            few = ", ".join(f"{category!r} has {cuts} and {sounds}" for category, (cuts, sounds) in poor.items())
            raise DataError(
                f"cut-outs need at least {min_count} usable object(s) with a mask and as many recordings of each category; "
                f"{few}. Leave these out, or pass categories=None to take those that have enough."
            )
        self.categories: tuple[str, ...] = tuple(category for category in found if category not in poor)
        if not self.categories:
            raise DataError(
                f"{catalog.root}: no category has {min_count} or more objects with masks and as many recordings, which "
                "cut-outs need. Use a catalogue with masks, another split, or a smaller `least`."
            )
        self._objects: dict[str, Image.Image] = {}
        self._sounds: dict[tuple[str, int], Int16[np.ndarray, " t"]] = {}
        self._backgrounds: dict[str, tuple[Image.Image, UInt8[np.ndarray, "h w"]]] = {}

    def draw_object(self, category: str, rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "h w 4"]:
        cuts = self.cutouts[category]
        cut = cuts[int(rng.integers(len(cuts)))]
        if cut.image.id not in self._objects:
            self._objects[cut.image.id] = crop_object(cut, read_image(self.catalog.root / cut.image.file))
        whole = self._objects[cut.image.id]
        scale = size / max(whole.size)
        width, height = (max(1, round(side * scale)) for side in whole.size)
        patch = np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR)).copy()
        patch[..., 3] = np.where(patch[..., 3] >= 128, 255, 0)  # each pixel is the object's or it is not
        return patch[:, ::-1] if rng.random() < 0.5 else patch

    def draw_audio(self, category: str, rng: np.random.Generator, seconds: float, rate: int) -> Audio:
        """The loudest of four windows of a recording, peak between 0.25 and 0.9; short ones are repeated."""
        recordings = self.catalog.audio_of(category)
        recording = recordings[int(rng.integers(len(recordings)))]
        wave, samples = self._recording(recording, rate), round(seconds * rate)
        spare = len(wave) - samples
        starts = rng.integers(0, spare if spare > 0 else len(wave), NUM_WINDOWS).tolist()
        if spare > 0:
            windows = [wave[start : start + samples] for start in starts]
            wave = max(windows, key=lambda window: float(np.abs(window[::8]).mean(dtype=np.float32)))
        else:
            wave = np.resize(np.roll(wave, starts[0]), samples)
        waveform = wave.astype(np.float32)
        waveform *= rng.uniform(0.25, 0.9) / max(float(np.abs(waveform).max()), 1.0)
        return Audio(torch.from_numpy(waveform), rate)

    def draw_background(self, rng: np.random.Generator, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        kinds = self._background_pictures
        pictures = kinds[int(rng.integers(len(kinds)))]
        picture = pictures[int(rng.integers(len(pictures)))]
        if picture.id not in self._backgrounds:
            self._backgrounds[picture.id] = self._empty(picture)
        image, filled = self._backgrounds[picture.id]
        windows = []
        for zoom, x, y in rng.uniform((0.4, 0, 0), (0.8, 1, 1), (NUM_WINDOWS, 3)).tolist():
            w, h = (zoom * min(image.width / width, image.height / height) * side for side in (width, height))
            windows.append((x * (image.width - w), y * (image.height - h), w, h))
        x, y, w, h = min(
            windows,
            key=lambda box: float(
                filled[int(box[1]) : int(box[1] + box[3]), int(box[0]) : int(box[0] + box[2])].mean()
            ),
        )
        crop = image.resize((width, height), Image.Resampling.BILINEAR, (x, y, x + w, y + h))
        canvas = np.asarray(crop)
        return (canvas[:, ::-1] if rng.random() < 0.5 else canvas).copy()

    @cached_property
    def _background_pictures(self) -> list[list[ImageEntry]]:
        """Pictures that backgrounds are made of, a list for each category."""
        kinds: dict[str, list[ImageEntry]] = {}
        for picture in self.catalog.images:
            outlined = picture.mask is not None or bool(picture.boxes)
            if outlined and (picture.mask is not None or picture.category not in self.categories):
                kinds.setdefault(picture.category, []).append(picture)
        return list(kinds.values())

    def _empty(self, picture: ImageEntry) -> tuple[Image.Image, UInt8[np.ndarray, "h w"]]:
        """The picture without its objects, softened, and how much of each place was filled in, from 0 to 255."""
        image = read_image(self.catalog.root / picture.file)
        shape = self.catalog.read_mask(picture)
        mask = Image.fromarray(shape.numpy()) if shape is not None else Image.new("1", image.size)
        for box in picture.boxes if shape is None else ():
            mask.paste(1, (round(box.x0), round(box.y0), round(box.x1), round(box.y1)))
        scale = min(1.0, STORED_SIDE / max(image.size))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        emptied, filled = inpaint(image.resize(size, Image.Resampling.BILINEAR), mask.convert("L").resize(size))
        return emptied, np.round(255 * filled).astype(np.uint8)

    def _recording(self, recording: AudioEntry, rate: int) -> Int16[np.ndarray, " t"]:
        """The recording at `rate`, without the silence around it."""
        key = (recording.id, rate)
        if key not in self._sounds:
            wave = read_audio(self.catalog.root / recording.file, rate).waveform.numpy()
            heard = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
            wave = wave[heard[0] : heard[-1] + 1] if len(heard) else wave
            self._sounds[key] = np.round(wave * 32767).astype(np.int16)
        return self._sounds[key]


def find_object(image: ImageEntry, mask: Bool[np.ndarray, "h w"]) -> Cutout | None:
    """What the mask has in the picture's largest box (without boxes: all of it); None where that is no good object."""
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
    edges = (
        (top <= 1, shape[0]),
        (left <= 1, shape[:, 0]),
        (top + h >= height - 1, shape[-1]),
        (left + w >= width - 1, shape[:, -1]),
    )
    cut_off = sum(int(edge.sum()) for at_border, edge in edges if at_border)
    if max(h, w) < MIN_SIDE or shape.mean() < MIN_FILL or cut_off > MAX_TRUNCATION * 2 * (h + w):
        return None
    return Cutout(image, top, left, shape)


def crop_object(cut: Cutout, image: Image.Image) -> Image.Image:
    """The object as RGBA, its longer side at most `KEPT` pixels."""
    height, width = cut.mask.shape
    patch = image.crop((cut.left, cut.top, cut.left + width, cut.top + height))
    patch.putalpha(Image.fromarray(cut.mask.astype(np.uint8) * np.uint8(255)))
    patch.thumbnail((STORED_SIDE, STORED_SIDE), Image.Resampling.BILINEAR)
    return patch


def inpaint(image: Image.Image, mask: Image.Image) -> tuple[Image.Image, Float[np.ndarray, "h w"]]:
    """The picture with what is under the mask (grown a little) replaced by an average of what is around it.

    Averages of what is not masked, from coarse to fine; a finer one counts where it knows enough. Then the whole is
    softened, so that filling and picture look alike.
    """
    hole = np.asarray(mask.filter(ImageFilter.MaxFilter(7)).filter(ImageFilter.GaussianBlur(2)), np.float32) / 255
    pixels = np.asarray(image, np.float32)
    known = np.clip(1 - 2 * hole, 0, 1)
    average = pixels.mean((0, 1))
    for cells in (2, 4, 8, 16, 32):
        weight = smooth_grid(known, cells)[..., None]
        local = np.stack([smooth_grid(pixels[..., channel] * known, cells) for channel in range(3)], axis=-1)
        trust = np.clip(weight / 0.1, 0, 1)
        average = trust * local / np.maximum(weight, 1e-4) + (1 - trust) * average
    filled = pixels + (average - pixels) * np.clip(2 * hole, 0, 1)[..., None]
    soft = Image.fromarray(np.clip(filled, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    return soft, hole


def smooth_grid(values: Float[np.ndarray, "h w"], cells: int) -> Float[np.ndarray, "h w"]:
    """The averages over a grid of cells x cells, smoothly enlarged to the size again."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    small = image.resize((cells, cells), Image.Resampling.HAMMING)
    return np.asarray(small.resize(image.size, Image.Resampling.BILINEAR))

"""Where the pictures and sounds of clips lie: the folder layouts of the released codes as templates.

`{id}` is the clip's id, `{ms}` its name in milliseconds, `{d3}` and `{d8}` the last digits of a Flickr id as folders,
`*` anything. Suffixes are not part of a template: a picture is a .jpg or a .png, a sound a .wav or an .mp3, wherever.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from soundspot.data.datasets.clip_ids import to_millisecond_id
from soundspot.data.media.file_types import DirectoryIndex
from soundspot.errors import DataError, RecipeError, did_you_mean

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".mp4")


@dataclass(frozen=True)
class Layout:
    """Templates of the pictures and the sounds, tried in their order; `source` says who lays files out so."""

    name: str
    images: tuple[str, ...]
    audio: tuple[str, ...]
    source: str

    def __str__(self) -> str:
        return f"{self.name} ({' or '.join(self.images)}; {' or '.join(self.audio)})"


EZVSL = Layout("ezvsl", ("frames/{id}",), ("audio/{id}",), "EZ-VSL, SLAVC, FNAC and LVS")
SSLALIGNMENT = Layout("sslalignment", ("VGGSound_img/{ms}/image_050",), ("VGGSound_aud/{ms}",), "SSLalignment")
SSLTIE = Layout("ssltie", ("total_video_frames/{id}/125",), ("total_video_3s_audio/{id}",), "SSL-TIE, training")
SSLTIE_FLICKR = Layout(
    "ssltie",
    ("frames/videos/{d3}/{id}.mp4/00000003", "frames/videos2/{d8}/{id}.mp4/00000003"),
    ("mp3/videos/{d3}/{id}.mp4", "mp3/videos2/{d8}/{id}.mp4"),
    "SSL-TIE, training on Flickr",
)
SSLTIE_TEST = Layout("ssltie", ("frame/{id}",), ("audio/{id}", "mp3/{id}"), "SSL-TIE, test")
SSLALIGNMENT_FLICKR = Layout("sslalignment", ("*_img_test/{id}.mp4/*",), ("*_wav_test/{id}",), "SSLalignment")
FLAT = Layout("flat", ("{id}",), ("{id}",), "FNAC's Flickr test")

VGGSOUND = (EZVSL, SSLALIGNMENT, SSLTIE)
VGGSS = (EZVSL, SSLALIGNMENT, SSLTIE_TEST)
FLICKR = (EZVSL, SSLTIE_FLICKR)
FLICKR_TEST = (EZVSL, SSLTIE_TEST, SSLALIGNMENT_FLICKR, FLAT)
LAYOUTS = (EZVSL, SSLALIGNMENT, SSLTIE, SSLTIE_FLICKR, SSLTIE_TEST)


class FileResolver:
    """Finds the files of one kind: `finder(id="x")` -> (path, what was looked for where it is not there, else "").

    Args:
        root: the folder that templates start from.
        templates: tried in their order.
        suffixes: tried in their order.
        look: False asks nothing of the disk: the first template and suffix are taken to be right.
    """

    def __init__(
        self,
        root: Path,
        templates: Iterable[str],
        suffixes: Sequence[str],
        check_disk: bool = True,
        listings: DirectoryIndex | None = None,
    ) -> None:
        self.root, self.suffixes, self.check_disk = root, tuple(suffixes), check_disk
        self.listings = listings or DirectoryIndex(root)
        self.templates = [each for one in templates for each in (_expanded(root, one) if check_disk else [one])]

    def __call__(self, **fields: str) -> tuple[str, str]:
        for template in self.templates if self.check_disk else ():
            folder, _, name = template.format(**fields).rpartition("/")
            fixed = "{" not in folder and folder == template.rpartition("/")[0]
            for found in self._listed(folder, name) if fixed else self._asked(folder, name):
                return os.path.join(self.root, folder, found), ""
        wanted = [template.format(**fields) + self.suffixes[0] for template in self.templates]
        return os.path.join(self.root, wanted[0]), " or ".join(wanted) if self.check_disk else ""

    def resolve(self, id: str) -> tuple[str, str]:
        """The file of a clip by its id."""
        return self(**template_fields(id))

    def iter_names(self) -> Iterator[str]:
        """Of every file that a template leads to, the part that stands for `{id}` or `{ms}`."""
        for template in self.templates:
            parts = re.sub(r"\{d(\d)\}", lambda digits: "/".join("*" * int(digits[1])), template).split("/")
            at = next(place for place, part in enumerate(parts) if "{" in part)
            above, named = "/".join(parts[:at]), re.sub(r"\{\w+\}", "*", parts[at])
            if at < len(parts) - 1:
                yield from (folder.name for folder in self.root.glob(f"{above}/{named}"))
            elif "*" in above:
                yield from (Path(name).stem for name in self._fit(f.name for f in self.root.glob(f"{above}/{named}.*")))
            else:
                yield from (stem for stem, files in self.listings.files_by_stem(above).items() if self._fit(files))

    def _listed(self, folder: str, name: str) -> list[str]:
        return self._fit(self.listings.files_by_stem(folder).get(name, ()))

    def _asked(self, folder: str, name: str) -> list[str]:
        """Folders that differ from clip to clip hold many frames; they are asked for a file rather than listed."""
        place = self.root / folder
        if "*" in name:
            return self._fit(n for n in (sorted(os.listdir(place)) if place.is_dir() else ()) if fnmatch(n, name))
        return [name + suffix for suffix in self.suffixes if (place / (name + suffix)).is_file()]

    def _fit(self, names: Iterable[str]) -> list[str]:
        """Names with one of the suffixes, in whatever case, the best one first."""
        ranked = ((name, os.path.splitext(name)[1].lower()) for name in names)
        fitting = [(self.suffixes.index(suffix), name) for name, suffix in ranked if suffix in self.suffixes]
        return [name for _, name in (fitting if len(fitting) < 2 else sorted(fitting))]


def template_fields(id: str) -> dict[str, str]:
    """What the templates can name of a clip."""
    return {"id": id, "ms": to_millisecond_id(id), "d3": "/".join(id[-3:]), "d8": "/".join(id[-8:])}


class ClipPaths:
    """Pictures and sounds of clips under a root, in the layout that is named or found there.

    Args: as `choose`.
    """

    def __init__(
        self,
        root: Path,
        layouts: Sequence[Layout],
        ids: Iterable[str] = (),
        name: str | None = None,
        check_disk: bool = True,
    ) -> None:
        self.root, self.check_disk = root, check_disk
        self.layout = choose_layout(layouts, root, ids, name, check_disk)
        listings = DirectoryIndex(root)
        self.images = FileResolver(root, self.layout.images, IMAGE_SUFFIXES, check_disk, listings)
        self.audio = FileResolver(root, self.layout.audio, AUDIO_SUFFIXES, check_disk, listings)

    def resolve(self, image: str, audio: str) -> tuple[str, str, tuple[str, ...]]:
        """The picture of one clip, the sound of another (or the same), and what is not there of the two."""
        (picture, unseen), (waveform, unheard) = self.images.resolve(image), self.audio.resolve(audio)
        return picture, waveform, tuple(filter(None, (unseen, unheard)))


def choose_layout(
    layouts: Sequence[Layout], root: Path, ids: Iterable[str], name: str | None, check_disk: bool
) -> Layout:
    """The layout by its name, or the first whose folders are there; without a look at the disk the first of all.

    Raises:
        RecipeError: an unknown name. DataError: no such folder, or one of no known layout.
    """
    known = {layout.name: layout for layout in layouts}
    if name is not None:
        if name not in known:
            raise RecipeError(f"layout: found {name!r}, expected {' or '.join(known)}{did_you_mean(name, known)}")
        return known[name]
    if not check_disk:
        return layouts[0]
    if not root.is_dir():
        raise DataError(f"{root}: found no such folder, expected the pictures and sounds. Check the path")
    wanted = set(ids) if FLAT in layouts else set()
    for layout in layouts:
        if all(any(_begins(root, one, wanted) for one in templates) for templates in (layout.images, layout.audio)):
            return layout
    raise DataError(
        f"{root}: found none of the folders that clips lie in, expected one of: "
        f"{', '.join(str(layout) for layout in layouts)}. Check the path, or say which by `layout`"
    )


def _begins(root: Path, template: str, ids: set[str]) -> bool:
    """Whether the folder that a template begins with is there; of a flat one, whether a picture of the list is."""
    top = template.partition("/")[0]
    if "{" in top:
        return any(path.stem in ids for path in root.iterdir() if path.is_file())
    return any(path.is_dir() for path in root.glob(top))


def _expanded(root: Path, template: str) -> list[str]:
    """The template for each folder that an `*` at its beginning stands for."""
    top, _, rest = template.partition("/")
    if "*" not in top:
        return [template]
    return [f"{path.name}/{rest}" for path in sorted(root.glob(top)) if path.is_dir()] or [template]

"""Folder layouts of images and audio, as templates of the released codes.

`{id}` is the clip's id, `{ms}` its name in milliseconds, `{d3}` and `{d8}` the last digits of a Flickr id as folders,
`*` anything. Suffixes are not part of a template: an image is a .jpg or a .png, audio a .wav or an .mp3, in any layout.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from soundspot.data.datasets.annotation_files import read_negatives
from soundspot.data.datasets.base import GroundTruthFile, SampleEntry
from soundspot.data.datasets.clip_ids import to_millisecond_id
from soundspot.data.media.file_types import AUDIO_SUFFIXES as ANY_AUDIO
from soundspot.data.media.file_types import IMAGE_SUFFIXES, VIDEO_SUFFIXES, DirectoryIndex, check_inside
from soundspot.errors import DataError, RecipeError, did_you_mean
from soundspot.types import GroundTruth

AUDIO_SUFFIXES = tuple(dict.fromkeys((".wav", ".flac", ".ogg", ".mp3", ".m4a", ".mp4", *ANY_AUDIO, *VIDEO_SUFFIXES)))


@dataclass(frozen=True)
class Layout:
    """Templates of the images and the audio files of one folder layout, tried in their order.

    Attributes:
        name: value of the option `layout`.
        images, audio: templates of paths below the root, without suffix.
    """

    name: str
    images: tuple[str, ...]
    audio: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({' or '.join(self.images)}; {' or '.join(self.audio)})"


EZVSL = Layout("ezvsl", ("frames/{id}",), ("audio/{id}",))  # and SLAVC, FNAC and LVS
SSLALIGNMENT = Layout("sslalignment", ("VGGSound_img/{ms}/image_050",), ("VGGSound_aud/{ms}",))
SSLTIE = Layout("ssltie", ("total_video_frames/{id}/125",), ("total_video_3s_audio/{id}",))
SSLTIE_FLICKR = Layout(
    "ssltie",
    ("frames/videos/{d3}/{id}.mp4/00000003", "frames/videos2/{d8}/{id}.mp4/00000003"),
    ("mp3/videos/{d3}/{id}.mp4", "mp3/videos2/{d8}/{id}.mp4"),
)
SSLTIE_TEST = Layout("ssltie", ("frame/{id}",), ("audio/{id}", "mp3/{id}"))
SSLALIGNMENT_FLICKR = Layout("sslalignment", ("*_img_test/{id}.mp4/*",), ("*_wav_test/{id}",))
FLAT = Layout("flat", ("{id}",), ("{id}",))  # FNAC's Flickr test

VGGSOUND = (EZVSL, SSLALIGNMENT, SSLTIE)
VGGSS = (EZVSL, SSLALIGNMENT, SSLTIE_TEST)
FLICKR = (EZVSL, SSLTIE_FLICKR)
FLICKR_TEST = (EZVSL, SSLTIE_TEST, SSLALIGNMENT_FLICKR, FLAT)


class FileResolver:
    """Resolver of clip ids to the files of one kind.

    Args:
        root: folder that templates start from.
        templates: path templates without suffix, tried in their order.
        suffixes: file suffixes with their dot, tried in their order.
        check_disk: False takes the first template and suffix without looking at the disk.
        index: listings of the folders below `root`, shared among resolvers; None: new listings.
    """

    def __init__(
        self,
        root: Path,
        templates: Iterable[str],
        suffixes: Sequence[str],
        check_disk: bool = True,
        index: DirectoryIndex | None = None,
    ) -> None:
        self.root, self.suffixes, self.check_disk = root, tuple(suffixes), check_disk
        self.index = index or DirectoryIndex(root)
        self.templates = [t for template in templates for t in (_expand(root, template) if check_disk else [template])]

    def __call__(self, **fields: str) -> tuple[str, str]:
        """Return the path of the file of these template fields, and what was looked for if it does not exist."""
        for template in self.templates if self.check_disk else ():
            name = template.format(**fields)
            check_inside(name, self.root)
            folder, _, stem = name.rpartition("/")
            if "{" in template.rpartition("/")[0]:  # such folders hold many frames of one clip: probed, not listed
                names = self._probe(self.root / folder, stem)
            else:
                names = self._matching(self.index.files_by_stem(folder).get(stem, ()))
            if names:
                return os.path.join(self.root, folder, names[0]), ""
        candidates = [template.format(**fields) + self.suffixes[0] for template in self.templates]
        check_inside(candidates[0], self.root)
        return os.path.join(self.root, candidates[0]), " or ".join(candidates) if self.check_disk else ""

    def resolve(self, id: str) -> tuple[str, str]:
        """Find the file of a clip.

        Args:
            id: id of the clip.

        Returns:
            Path of the file, and an empty string; or, if it does not exist, its first candidate's path, and the names
            that were looked for.

        Raises:
            DataError: the id leads out of the root, as `../other/clip` does.
        """
        return self(id=id, ms=to_millisecond_id(id), d3="/".join(id[-3:]), d8="/".join(id[-8:]))

    def iter_names(self) -> Iterator[str]:
        """List the names of all clips on disk.

        Yields:
            The text in place of `{id}` or `{ms}` of every file or folder that the templates match; a name may come
            twice.
        """
        for template in self.templates:
            names = re.sub(r"\{d(\d)\}", lambda digits: "/".join("*" * int(digits[1])), template).split("/")
            depth = next(i for i, name in enumerate(names) if "{" in name)
            parent, pattern = "/".join(names[:depth]), re.sub(r"\{\w+\}", "*", names[depth])
            if depth < len(names) - 1:
                yield from (folder.name for folder in self.root.glob(f"{parent}/{pattern}"))
            elif "*" in parent:
                files = (file.name for file in self.root.glob(f"{parent}/{pattern}.*"))
                yield from (Path(name).stem for name in self._matching(files))
            else:
                yield from (stem for stem, files in self.index.files_by_stem(parent).items() if self._matching(files))

    def _probe(self, folder: Path, stem: str) -> list[str]:
        if "*" in stem:
            return self._matching(
                n for n in (sorted(os.listdir(folder)) if folder.is_dir() else ()) if fnmatch(n, stem)
            )
        return next(([stem + suffix] for suffix in self.suffixes if (folder / (stem + suffix)).is_file()), [])

    def _matching(self, names: Iterable[str]) -> list[str]:
        """Return the names with one of the suffixes, in upper or lower case, the best suffix first."""
        ranked = ((name, os.path.splitext(name)[1].lower()) for name in names)
        matches = [(self.suffixes.index(suffix), name) for name, suffix in ranked if suffix in self.suffixes]
        return [name for _, name in (matches if len(matches) < 2 else sorted(matches))]


class ClipPaths:
    """Paths of the images and audio of clips below a folder.

    Args:
        root: folder of the images and audio.
        layouts: possible layouts, in order of preference.
        ids: ids of the list, by which a flat layout is recognized.
        name: name of the layout; None: the first whose folders exist.
        check_disk: False takes the first layout, template and suffix without looking at the disk.

    Raises:
        RecipeError: an unknown name.
        DataError: there is no such folder, or it has no known layout.
    """

    def __init__(
        self,
        root: Path,
        layouts: Sequence[Layout],
        ids: Iterable[str] = (),
        name: str | None = None,
        check_disk: bool = True,
    ) -> None:
        self.root, self.layout = root, _choose_layout(layouts, root, ids, name, check_disk)
        index = DirectoryIndex(root)
        self.images = FileResolver(root, self.layout.images, IMAGE_SUFFIXES, check_disk, index)
        self.audio = FileResolver(root, self.layout.audio, AUDIO_SUFFIXES, check_disk, index)

    def resolve(self, image_id: str, audio_id: str) -> tuple[str, str, tuple[str, ...]]:
        """Find the image of one clip and the audio of the same or another clip.

        Args:
            image_id: id of the clip of the image.
            audio_id: id of the clip of the audio.

        Returns:
            Path of the image, path of the audio, and the names of the files that do not exist.
        """
        (image, missing_image), (audio, missing_audio) = self.images.resolve(image_id), self.audio.resolve(audio_id)
        return image, audio, tuple(filter(None, (missing_image, missing_audio)))


def read_xml_samples(
    ids: Sequence[str], paths: ClipPaths, annotations: FileResolver, format: Literal["consensus", "fractions"]
) -> list[SampleEntry]:
    """Build the samples of clips that have one XML annotation file each; the files are read on access.

    Args:
        ids: ids of the clips.
        paths: resolver of their images and audio.
        annotations: resolver of their XML files.
        format: `consensus`, Flickr-SoundNet's XML; or `fractions`, VGG-SS's boxes in SSL-TIE's XML.

    Returns:
        One sample for each id, in their order, without categories; files that do not exist are listed in
        `missing_files`.
    """
    samples = []
    for id in ids:
        (file, missing_file), (image, audio, missing) = annotations.resolve(id), paths.resolve(id, id)
        missing = (*missing, file) if missing_file else missing
        samples.append(SampleEntry(id, id, "", image, audio, GroundTruthFile(file, format), missing))
    return samples


def read_negative_samples(
    table: Path, paths: ClipPaths, samples: Sequence[SampleEntry], absent: GroundTruth
) -> list[SampleEntry]:
    """Read a table of negatives: images of a test set paired with sounds whose source is not in them.

    Args:
        table: path of `*_plus_silent.csv` of SLAVC's extended test sets.
        paths: resolver of the clips' images and audio.
        samples: annotated samples, from which the category of a sound is taken (empty where it is not among them).
        absent: ground truth of every negative.

    Returns:
        One sample for each row, of id `VIDEO+AUDIO`, in the group of its image.

    Raises:
        DataError: the table cannot be read, or is not of its form.
    """
    categories = {sample.id: sample.category for sample in samples}
    rows = [(row.video, row.audio, *paths.resolve(row.video, row.audio)) for row in read_negatives(table)]
    return [
        SampleEntry(f"{video}+{audio}", video, categories.get(audio, ""), image_path, audio_path, absent, missing)
        for video, audio, image_path, audio_path, missing in rows
    ]


def _choose_layout(
    layouts: Sequence[Layout], root: Path, ids: Iterable[str], name: str | None, check_disk: bool
) -> Layout:
    known = {layout.name: layout for layout in layouts}
    if name is not None:
        if name not in known:
            raise RecipeError(f"layout: found {name!r}, expected {' or '.join(known)}{did_you_mean(name, known)}")
        return known[name]
    if not check_disk:
        return layouts[0]
    if not root.is_dir():
        raise DataError(f"{root}: found no such folder, expected images and audio. Check the path")
    listed = set(ids) if FLAT in layouts else set()
    for layout in layouts:
        if all(any(_begins(root, t, listed) for t in templates) for templates in (layout.images, layout.audio)):
            return layout
    raise DataError(
        f"{root}: found none of the folders that clips lie in, expected one of: "
        f"{', '.join(str(layout) for layout in layouts)}. Check the path, or name the layout by `layout`"
    )


def _begins(root: Path, template: str, ids: set[str]) -> bool:
    """Return True where the first folder of a template exists; for a flat one, where a file of the list does."""
    top = template.partition("/")[0]
    if "{" in top:
        return any(path.stem in ids for path in root.iterdir() if path.is_file())
    return any(path.is_dir() for path in root.glob(top))


def _expand(root: Path, template: str) -> list[str]:
    """Return the template for each folder that a `*` at its beginning matches."""
    top, _, rest = template.partition("/")
    if "*" not in top:
        return [template]
    return [f"{path.name}/{rest}" for path in sorted(root.glob(top)) if path.is_dir()] or [template]

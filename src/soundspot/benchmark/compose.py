"""Images of a benchmark composed of cut-outs: objects of a catalog with masks, on backgrounds of the same catalog."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from soundspot.benchmark.attribution import read_attributions
from soundspot.benchmark.image_folder import ImageSummary
from soundspot.benchmark.licenses import combine_licenses
from soundspot.benchmark.plan import PlannedImage
from soundspot.benchmark.project import Project, add_image, missing_images
from soundspot.benchmark.records import Source
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.catalog_format import ImageEntry
from soundspot.errors import DataError
from soundspot.scenes.compose import Scene, compose
from soundspot.scenes.cutouts import Cutout, CutoutSource
from soundspot.utils.hash_rng import Key, make_generator
from soundspot.utils.progress import track

OBJECT_SIZE = (0.35, 0.6)  # least and greatest longer side of an object, as a share of the image's side
MAX_DRAWS = 50  # compositions drawn for one image until licenses fit together


class TracedCutoutSource(CutoutSource):
    """A source of cut-outs that notes the images which were drawn from.

    Attributes:
        drawn: entries of the objects drawn since `start`.
        background: entry of the background drawn last.
    """

    drawn: list[ImageEntry]
    background: ImageEntry | None = None

    def start(self) -> None:
        """Forget what was drawn before."""
        self.drawn = []

    def choose_cutout(self, category: str, rng: np.random.Generator) -> Cutout:
        """Choose the object that is drawn, and note it.

        Args:
            category: name of the category.
            rng: generator of the choice.

        Returns:
            The object.
        """
        cutout = super().choose_cutout(category, rng)
        self.drawn.append(cutout.image)
        return cutout

    def choose_background(self, rng: np.random.Generator) -> ImageEntry:
        """Choose the image of the background, and note it.

        Args:
            rng: generator of the choice.

        Returns:
            Entry of the image.
        """
        self.background = super().choose_background(rng)
        return self.background


def compose_images(
    project: Project,
    root: str | Path,
    *,
    split: str = "test",
    licenses: Iterable[str] | None = None,
    size: int = 320,
    license: str = "",
    author: str = "",
    exclude: Callable[[ImageEntry], bool] = lambda entry: False,
    on_image: Callable[[], None] = lambda: None,
) -> ImageSummary:
    """Compose the missing images of a plan from the cut-outs of a catalog, with exact masks.

    An image depends on the plan, the catalog and its number alone, so that the function continues after a kill. Its
    license is that of all images in it together; compositions whose licenses do not fit together are drawn again.

    Args:
        project: the project.
        root: folder of the catalog.
        split: split of the catalog.
        licenses: licenses of the entries to use (see `Catalog`); None: all.
        size: side of an image in pixels.
        license: license of entries that state none.
        author: author of entries that state none.
        exclude: function that returns True for images that are not used.
        on_image: function that is called after each image.

    Returns:
        Number of images; no messages.

    Raises:
        DataError: a category has no cut-outs, or no composition has licenses that fit together.
    """
    missing = missing_images(project)
    if not missing:
        return ImageSummary(0, 0)
    catalog = Catalog(root, split, licenses=licenses)
    catalog.images = tuple(image for image in catalog.images if not exclude(image))
    source = TracedCutoutSource(catalog, sorted({name for planned in missing for name in planned.categories}))
    attributions = read_attributions(Path(root), license, author)
    for planned in track(missing, "images"):
        scene, origin = _compose_licensed(source, planned, project.plan.seed, size, attributions)
        masks = {placed.category: placed.mask.numpy() for placed in scene.objects}
        add_image(project, planned, scene.image, origin, masks)
        on_image()
    return ImageSummary(len(missing), 0)


def _compose_licensed(
    source: TracedCutoutSource, planned: PlannedImage, seed: int, size: int, attributions: dict[str, Source]
) -> tuple[Scene, Source]:
    """Draw compositions until the licenses of the images in one fit together."""
    problem = ""
    for draw in range(MAX_DRAWS):
        rng = make_generator(seed, Key.BENCHMARK, planned.number, draw)
        source.start()
        sizes = rng.uniform(*OBJECT_SIZE, len(planned.categories)).tolist()
        scene = compose(source, planned.categories, sizes, rng, size)
        assert source.background is not None
        entries = [*source.drawn[-len(planned.categories) :], source.background]
        sources = {entry.file: attributions[entry.file] for entry in entries}
        stated = [other.license for other in sources.values() if other.license]
        try:
            license = combine_licenses(stated) if len(stated) == len(sources) else ""
        except DataError as error:
            problem = str(error)
            continue
        authors = "; ".join(dict.fromkeys(other.author for other in sources.values() if other.author))
        roles = [{"role": "object", "category": name} for name in planned.categories] + [{"role": "background"}]
        details = [
            {**role, "file": entry.file, **_state(attributions[entry.file])}
            for role, entry in zip(roles, entries, strict=True)
        ]
        group = "+".join(sorted({entry.group for entry in entries}))
        return scene, Source("composed", license, authors, "", group, {"images": details})
    raise DataError(f"{planned.stem}: {MAX_DRAWS} compositions were drawn and none may be handed on: {problem}")


def _state(source: Source) -> dict[str, str]:
    return {"license": source.license, "author": source.author, "origin": source.origin, "group": source.group}

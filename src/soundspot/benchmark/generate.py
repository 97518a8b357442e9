"""Images of a benchmark by a text-to-image model: diffusers (extra `generate`), or any callable of the same kind."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from soundspot.benchmark.image_folder import ImageSummary
from soundspot.benchmark.plan import PlannedImage
from soundspot.benchmark.project import Project, add_image, missing_images
from soundspot.benchmark.records import Source
from soundspot.errors import DataError, InputError
from soundspot.utils.progress import track
from soundspot.utils.safe_read import convert_read_errors

MAX_TRIES = 3  # seeds tried for an image that comes out black
SEED_STEP = 2**31  # added to the seed of the plan at each further try


@runtime_checkable
class ImageGenerator(Protocol):
    """A text-to-image model.

    Attributes:
        name: name of the model, stored with each image.
    """

    name: str

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Generate an image for each prompt; equal prompts and seeds give equal images.

        Args:
            prompts: text of each image.
            seeds: random seed of each image.

        Returns:
            RGB images; black ones where the model's safety checker refused.
        """
        ...


class DiffusersGenerator:
    """A text-to-image pipeline of diffusers; its safety checker, if it has one, stays on.

    Args:
        name: name on the hub (`stabilityai/stable-diffusion-xl-base-1.0`) or folder of the pipeline.
        device: device of torch.
        steps: number of denoising steps; None: the pipeline's default.
        side: height and width in pixels, a multiple of 8; None: the pipeline's default.

    Raises:
        InputError: diffusers is not installed, or the pipeline cannot be loaded.
    """

    def __init__(self, name: str, device: str = "cpu", steps: int | None = None, side: int | None = None) -> None:
        try:
            from diffusers import AutoPipelineForText2Image
        except ImportError as error:
            raise InputError(
                'images are made by diffusers, which is not installed. Install it: pip install "soundspot[generate]"'
            ) from error
        with convert_read_errors(name, "expected a text-to-image pipeline of diffusers. Check the name", InputError):
            self._pipeline = AutoPipelineForText2Image.from_pretrained(name).to(device)
        self._pipeline.set_progress_bar_config(disable=True)
        self.name = Path(name).name if Path(name).is_dir() else name  # no path of this machine goes into a release
        options = {"num_inference_steps": steps, "height": side, "width": side}
        self._options = {key: value for key, value in options.items() if value is not None}

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Generate an image for each prompt.

        Args:
            prompts: text of each image.
            seeds: random seed of each image, drawn from on the CPU, so that devices agree.

        Returns:
            RGB images.
        """
        import torch

        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        result: Any = self._pipeline(prompt=list(prompts), generator=generators, **self._options)
        return list(result.images)


def generate_images(
    project: Project,
    generator: ImageGenerator,
    *,
    license: str = "",
    author: str = "",
    batch_size: int = 4,
    on_image: Callable[[], None] = lambda: None,
) -> ImageSummary:
    """Generate the missing images of a plan, each from its prompt and seed; continues after a kill.

    An image that comes out black is generated again with up to two other seeds.

    Args:
        project: the project.
        generator: text-to-image model.
        license: license of the images, by the terms of the model.
        author: author that the license asks to name.
        batch_size: number of images at a time.
        on_image: function that is called after each image.

    Returns:
        Number of images, and a message for each that stayed black.

    Raises:
        DataError: the plan has no prompts, or none of the first batch shows anything.
    """
    missing = missing_images(project)
    if missing and not missing[0].prompt:
        raise DataError("the plan has no prompts, which a text-to-image model needs. Make a plan with prompts")
    num_added, messages = 0, []
    for start in track(range(0, len(missing), batch_size), "batches of images"):
        waiting = missing[start : start + batch_size]
        for attempt in range(MAX_TRIES):
            waiting, added = _generate_batch(project, generator, waiting, attempt, license, author)
            num_added += added
            for _ in range(added):
                on_image()
            if not waiting:
                break
        messages += [
            f"{planned.stem}: {generator.name} gave {MAX_TRIES} images that show nothing" for planned in waiting
        ]
        if messages and not num_added:
            raise DataError(
                f"{generator.name}: found images that are black all over, {MAX_TRIES} times for each of "
                f"{len(waiting)} prompts, expected something to see. Change the prompts or the model; in half "
                "precision some models give black images"
            )
    return ImageSummary(num_added, len(messages), tuple(messages))


def _generate_batch(
    project: Project,
    generator: ImageGenerator,
    planned_images: Sequence[PlannedImage],
    attempt: int,
    license: str,
    author: str,
) -> tuple[list[PlannedImage], int]:
    """Generate a batch; return the planned images that came out black, and the number of the others."""
    seeds = [planned.seed + attempt * SEED_STEP for planned in planned_images]
    images = generator.generate([planned.prompt for planned in planned_images], seeds)
    if len(images) != len(planned_images):
        raise DataError(f"{generator.name}: found {len(images)} images, expected {len(planned_images)}. Try another")
    black = []
    for planned, seed, image in zip(planned_images, seeds, images, strict=True):
        details = {"model": generator.name, "prompt": planned.prompt, "seed": seed}
        try:
            add_image(project, planned, image, Source("generated", license, author, generator.name, "", details))
        except DataError:
            black.append(planned)
    return black, len(planned_images) - len(black)

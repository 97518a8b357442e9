"""The plan of a benchmark: which categories stand together, in how many images, from which prompts and seed."""

import itertools
import re
import string
import unicodedata
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from soundspot.errors import DataError, RecipeError, did_you_mean
from soundspot.utils.hash_rng import Key, make_generator

Pairing = Literal["all", "balanced", "single"]
# Three prompts for each pair, as the authors of IS3 used. The wording is ours: theirs is not published with the set.
DEFAULT_PROMPTS = (
    "a photo of {first} and {second}",
    "a photo of {first} next to {second}, both entirely visible",
    "{first} and {second} in one realistic scene",
)
MAX_IMAGES = 1_000_000
MAX_NAME_LENGTH = 100


@dataclass(frozen=True)
class PlannedImage:
    """An image that the plan asks for.

    Attributes:
        number: position in the plan, from 0.
        stem: name of its files: the categories and a number, as in IS3.
        categories: categories of the things in it that sound, one or two.
        prompt: text for a text-to-image model; empty where the plan has no prompts.
        seed: random seed of the image.
    """

    number: int
    stem: str
    categories: tuple[str, ...]
    prompt: str
    seed: int


@dataclass(frozen=True)
class BenchmarkPlan:
    """The plan of a benchmark.

    Attributes:
        name: name of the benchmark.
        categories: names of the categories.
        groups: categories that stand in one image, a pair or a single category each.
        images_per_group: number of images of each group.
        prompts: prompts with `{first}` and `{second}` for the categories, used in turn.
        seed: seed of all draws.
    """

    name: str
    categories: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    images_per_group: int = 1
    prompts: tuple[str, ...] = DEFAULT_PROMPTS
    seed: int = 0

    def __post_init__(self) -> None:
        check_categories(self.categories)
        for group in self.groups:
            for category in group:
                if category not in self.categories:
                    raise DataError(
                        f"the plan pairs {category!r}, which is none of its categories"
                        f"{did_you_mean(category, self.categories)}"
                    )
            if not 1 <= len(set(group)) == len(group) <= 2:
                raise DataError(f"found the categories {group} for one image, expected one or two that differ")
        if not self.groups or self.images_per_group < 1:
            raise DataError("the plan has no images, expected at least one pair and one image of each. Ask for more")
        if len(self) > MAX_IMAGES:
            raise DataError(
                f"the plan has {len(self)} images ({len(self.groups)} pairs), expected at most {MAX_IMAGES}. Draw some "
                "of the pairs: `--pairs balanced --num-pairs 3000`"
            )
        for prompt in self.prompts:
            _check_prompt(prompt)

    def __len__(self) -> int:
        return len(self.groups) * self.images_per_group

    def image(self, number: int) -> PlannedImage:
        """Return a planned image.

        Args:
            number: position in the plan, from 0.

        Returns:
            The image, which depends on the plan and the number alone.
        """
        position, repeat = divmod(number, self.images_per_group)
        group = self.groups[position]
        stem = "_".join([*map(make_slug, group), f"{number:05d}"])
        prompt = ""
        if self.prompts:
            names = {"first": group[0], "second": group[-1]}
            prompt = self.prompts[repeat % len(self.prompts)].format_map(names)
        seed = int(make_generator(self.seed, Key.BENCHMARK, number).integers(2**31))
        return PlannedImage(number, stem, group, prompt, seed)

    def count_uses(self) -> Counter[str]:
        """Count the images of each category.

        Returns:
            Number of planned images by category; every category has a count.
        """
        counts = Counter(dict.fromkeys(self.categories, 0))
        counts.update(category for group in self.groups for category in group)
        return Counter({category: count * self.images_per_group for category, count in counts.items()})

    def to_dict(self) -> dict[str, Any]:
        """Convert the plan to values that JSON has.

        Returns:
            The attributes by name.
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BenchmarkPlan":
        """Convert what `to_dict` returned, perhaps through JSON, to a plan.

        Args:
            values: the attributes by name.

        Returns:
            The plan.
        """
        groups = tuple(tuple(group) for group in values["groups"])
        lists = {"categories": tuple(values["categories"]), "groups": groups, "prompts": tuple(values["prompts"])}
        return cls(**{**values, **lists})


def make_plan(
    name: str,
    categories: Sequence[str],
    pairs: Pairing = "all",
    num_pairs: int | None = None,
    images_per_pair: int = 3,
    prompts: Sequence[str] | None = None,
    seed: int = 0,
) -> BenchmarkPlan:
    """Plan a benchmark.

    Args:
        name: name of the benchmark.
        categories: names of the things that sound.
        pairs: `all` pairs of categories; `balanced`, drawn so that each category stands in equally many (counts differ
            by at most 1); or `single`, each category by itself.
        num_pairs: number of pairs to draw; with `balanced` only, and needed there.
        images_per_pair: number of images of each pair.
        prompts: prompts with `{first}` and `{second}`; None: three of the library.
        seed: seed of the pairs and of all later draws.

    Returns:
        The plan.

    Raises:
        RecipeError: a number of pairs where none can be used, or none where one is needed.
        DataError: names or prompts are wrong, there are too few categories, or too many images.
    """
    if (num_pairs is not None) != (pairs == "balanced"):
        raise RecipeError(f"found {num_pairs} as number of pairs with the pairing {pairs}; `balanced` alone takes one.")
    categories = tuple(categories)
    check_categories(categories)
    needed = 1 if pairs == "single" else 2
    if len(categories) < needed:
        raise DataError(f"found {len(categories)} categories, expected {needed} or more. Name them")
    groups: tuple[tuple[str, ...], ...]
    if pairs == "single":
        groups = tuple((category,) for category in categories)
    elif pairs == "all":
        count = len(categories) * (len(categories) - 1) // 2
        if count * images_per_pair > MAX_IMAGES:
            raise DataError(
                f"{len(categories)} categories make {count} pairs, {count * images_per_pair} images, expected at most "
                f"{MAX_IMAGES}. Draw some of the pairs: `--pairs balanced --num-pairs 3000`"
            )
        groups = tuple(itertools.combinations(categories, 2))
    else:
        assert num_pairs is not None
        groups = tuple(draw_balanced_pairs(categories, num_pairs, seed))
    texts = DEFAULT_PROMPTS if prompts is None else tuple(prompts)
    return BenchmarkPlan(name, categories, groups, images_per_pair, texts, seed)


def draw_balanced_pairs(categories: Sequence[str], num_pairs: int, seed: int) -> list[tuple[str, str]]:
    """Draw different pairs in which each category stands equally often: counts differ by at most 1.

    Args:
        categories: names of the categories.
        num_pairs: number of pairs, at most all that there are.
        seed: seed of the draw.

    Returns:
        The pairs; the order of the two is drawn too.

    Raises:
        DataError: there are fewer pairs than asked for, or none is asked for.
    """
    count = len(categories)
    most = count * (count - 1) // 2
    if not 1 <= num_pairs <= most:
        raise DataError(f"found {num_pairs} pairs, expected 1 to {most} of {count} categories. Ask for another number")
    counts = np.full(count, 2 * num_pairs // count)
    counts[make_generator(seed, Key.BENCHMARK, "counts").permutation(count)[: 2 * num_pairs % count]] += 1
    return draw_pairs(dict(zip(categories, counts.tolist(), strict=True)), seed)


def draw_pairs(counts: Mapping[str, int], seed: int) -> list[tuple[str, str]]:
    """Draw different pairs in which each category stands a given number of times.

    Havel's and Hakimi's construction: the category that lacks most pairs meets those that lack most after it. It finds
    pairs wherever there are some; for counts that differ by at most 1 there always are (Erdős and Gallai, 1960). Ties
    are broken by the seed.

    Args:
        counts: category -> number of its pairs; their sum is even.
        seed: seed of the draw.

    Returns:
        The pairs; the order of the two is drawn too.

    Raises:
        DataError: no set of different pairs has these counts.
    """
    rng, names = make_generator(seed, Key.BENCHMARK, "pairs"), list(counts)
    missing = np.array([counts[name] for name in names])
    pairs: list[tuple[str, str]] = []
    while missing.any():
        order = np.lexsort((rng.random(len(names)), -missing))
        first, partners = int(order[0]), order[1 : 1 + missing[order[0]]]
        if len(partners) < missing[first] or not missing[partners].all():
            raise DataError(f"found no different pairs in which {names[first]!r} stands {counts[names[first]]} times")
        missing[partners] -= 1
        missing[first] = 0
        pairs += [(names[first], names[int(partner)]) for partner in partners]
    swapped = [(b, a) if swap else (a, b) for (a, b), swap in zip(pairs, rng.random(len(pairs)) < 0.5, strict=True)]
    return [swapped[index] for index in rng.permutation(len(swapped)).tolist()]


def make_slug(category: str) -> str:
    """Return a category as a word for file names: lower-case letters, digits and hyphens.

    IS3's reader takes what follows the last `_` of a name for the category, so that a slug has none.

    Args:
        category: name of the category, in any script.

    Returns:
        The word, not empty; of a name without Latin letters or digits a checksum.
    """
    latin = unicodedata.normalize("NFKD", category).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", latin).strip("-") or f"category-{zlib.crc32(category.encode()):08x}"


def check_categories(categories: Sequence[str]) -> None:
    """Check that names of categories can be told apart, in file names too.

    Args:
        categories: the names.

    Raises:
        DataError: a name is empty, too long, holds control characters or `+`, or two have one slug.
    """
    slugs: dict[str, str] = {}
    for category in categories:
        if not category.strip() or len(category) > MAX_NAME_LENGTH or not category.isprintable() or "+" in category:
            raise DataError(
                f"found the category {category!r:.60}, expected 1 to {MAX_NAME_LENGTH} printable characters without "
                "`+`. Rename it"
            )
        slug = make_slug(category)
        if slug in slugs:
            raise DataError(
                f"found the categories {slugs[slug]!r} and {category!r}, which would share file names ({slug}). Rename "
                "one, or take it out"
            )
        slugs[slug] = category


def _check_prompt(prompt: str) -> None:
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(prompt) if name is not None}
    except ValueError as error:
        raise DataError(f"found the prompt {prompt!r} ({error}), expected braces in pairs. Correct it") from error
    if "first" not in fields or fields - {"first", "second"}:
        raise DataError(
            f"found the prompt {prompt!r}, expected text with {{first}} and {{second}} for the categories. Correct it"
        )

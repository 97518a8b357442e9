"""What `soundspot.training.adapt` reports of a model that was taught new categories."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CategoryResult:
    """Result for one category, on the files held out.

    Attributes:
        category: name of the category.
        num_images, num_audio: number of images, and of recordings or windows of them, that were learned from.
        is_known: whether the model knew a category of this name before.
        present: share of all pairs of a held-out image and a held-out sound of the category that are told present.
        absent: share of all pairs of a held-out image and another category's sound that are told absent: held-out
            sounds of other new ones, and the prototype of each old one.
    """

    category: str
    num_images: int
    num_audio: int
    is_known: bool
    present: float
    absent: float


@dataclass(frozen=True)
class AdaptReport:
    """Result of teaching a model new categories.

    Attributes:
        base: name or path of the model that was taught.
        categories: what was learned of each.
        num_old: number of categories that the model knew.
        image_change, audio_change: root mean square change of the model's outputs over the data that it learned from
            before, as a fraction of their root mean square; 0: as before.
        old_threshold, threshold: peak from which a source counts as present, before (None: never fitted) and after.
        skipped: a message for each file that could not be read.
        passed_over: phrase that counts files of other kinds; empty where there are none.
    """

    base: str
    categories: tuple[CategoryResult, ...]
    num_old: int
    image_change: float
    audio_change: float
    old_threshold: float | None
    threshold: float
    skipped: tuple[str, ...]
    passed_over: str

    def format_summary(self) -> str:
        """Format the report for the terminal.

        Returns:
            A line for each new category, one for the old ones, one for the threshold, and one for each file that was
            left out.
        """
        lines = []
        for row in self.categories:
            lines.append(
                f"{row.category}: {row.num_images} images, {row.num_audio} sounds"
                f"{' (known before, yours are added)' if row.is_known else ''}; of those held out "
                f"{100 * row.present:.0f} % of its own sounds are told present, {100 * row.absent:.0f} % of others "
                "absent"
            )
        lines.append(
            f"{self.num_old} things known before: outputs move by {100 * self.image_change:.1f} % for images and "
            f"{100 * self.audio_change:.1f} % for audio"
        )
        before = "" if self.old_threshold is None else f", before {self.old_threshold:.3f}"
        lines.append(f"threshold {self.threshold:.3f}{before}")
        lines += [f"left out: {message}" for message in self.skipped]
        return "\n".join([*lines, *([self.passed_over] if self.passed_over else [])])

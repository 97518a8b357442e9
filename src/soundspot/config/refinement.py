"""Refinement of maps as a value: part of a model's name in reports, and of a fitted threshold."""

from dataclasses import dataclass
from typing import Any

from soundspot.errors import DataError

REFINEMENTS = {"iqr": "the image's own attention", "ogl": "objectness of an ImageNet classifier"}


@dataclass(frozen=True)
class Refinement:
    """Mix of a sound's map with maps that depend on the image only; falsy where maps are not refined.

    Attributes:
        names: names in `REFINEMENTS` (`iqr`, `ogl`), in that order.
        alpha: weight of the sound's map, in [0, 1]; the others share the rest evenly.
        prior: hash of the classifier's weights behind `ogl`; empty without it.
    """

    names: tuple[str, ...] = ()
    alpha: float = 0.4
    prior: str = ""

    def __bool__(self) -> bool:
        return bool(self.names)

    def __str__(self) -> str:
        """Format as `ogl (alpha 0.4)`; empty where maps are not refined."""
        return f"{' + '.join(self.names)} (alpha {self.alpha:g})" if self else ""

    def extend_model_name(self, model: str) -> str:
        """Return the name of a model with this refinement in reports: `alignment + ogl (alpha 0.4)`.

        Args:
            model: name of the model.

        Returns:
            The extended name; `model` itself where maps are not refined.
        """
        return f"{model} + {self}" if self else model

    def as_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold, for reports and checkpoints.

        Returns:
            `refine` (names), `alpha`, and `prior` where `ogl` is used; empty where maps are not refined.
        """
        prior = {"prior": self.prior} if self.prior else {}
        return {"refine": list(self.names), "alpha": self.alpha, **prior} if self else {}

    @classmethod
    def from_dict(cls, values: Any) -> "Refinement":
        """Build a refinement from the values of `as_dict`.

        Args:
            values: `refine` (names), `alpha` and perhaps `prior`, by name; empty or None: maps are not refined.

        Returns:
            The refinement.

        Raises:
            DataError: the values are something else.
        """
        if not values:
            return cls()
        try:
            names = tuple(REFINEMENTS[name] and name for name in values["refine"])
            return cls(names, float(values["alpha"]), str(values.get("prior", "")))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"found the refinement {values!r}, expected one such as {Refinement(('ogl',)).as_dict()}. Correct it."
            ) from error

    @property
    def warning(self) -> str:
        """Sentence of a report which says that maps are refined, and by what."""
        mixed = " and ".join(f"{REFINEMENTS[name]} ({name})" for name in self.names)
        return (
            f"Maps are refined: {self.alpha:g} of the sound's map, {1 - self.alpha:g} of {mixed}, which does not "
            "depend on the sound; each was scaled to [0, 1] first, so confidences no longer compare images."
        )

    def threshold_mismatch_warning(self, fitted_on: "Refinement") -> str:
        """Explain why a threshold that was fitted on other maps than these is not used.

        Args:
            fitted_on: refinement of the maps that it was fitted on.

        Returns:
            Sentences for a reader, with the command that fits a threshold for this refinement.
        """
        same = " with another classifier" if str(fitted_on) == str(self) else ""
        theirs = f"refined by {fitted_on}{same}" if fitted_on else "that are not refined"
        flags = f" with --refine {','.join(self.names)} --alpha {self.alpha:g}" if self else ""
        return (
            f"The checkpoint's threshold was fitted on maps {theirs}; it says nothing of these and is not used, so "
            f"presence is not known. `soundspot calibrate`{flags} fits one."
        )

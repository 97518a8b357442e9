"""What maps are mixed with that heard nothing, as a value: part of a model's name in reports, and of a threshold."""

from dataclasses import dataclass
from typing import Any

from soundspot.errors import DataError

REFINEMENTS = {"iqr": "the picture's own attention", "ogl": "objectness of an ImageNet classifier"}


@dataclass(frozen=True)
class Refinement:
    """How maps are refined; false where they are not.

    Attributes:
        names: of `REFINEMENTS`, in that order.
        alpha: weight of the sound's map; the others share what it leaves.
        prior: hash of the classifier's weights behind `ogl`; empty without it.
    """

    names: tuple[str, ...] = ()
    alpha: float = 0.4
    prior: str = ""

    def __bool__(self) -> bool:
        return bool(self.names)

    def __str__(self) -> str:
        """`ogl (alpha 0.4)`; empty where maps are not refined."""
        return f"{' + '.join(self.names)} (alpha {self.alpha:g})" if self else ""

    def extend_model_name(self, model: str) -> str:
        """What reports call a model whose maps are refined so: `alignment + ogl (alpha 0.4)`."""
        return f"{model} + {self}" if self else model

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as reports and checkpoints hold them; empty where maps are not refined."""
        prior = {"prior": self.prior} if self.prior else {}
        return {"refine": list(self.names), "alpha": self.alpha, **prior} if self else {}

    @classmethod
    def from_dict(cls, values: Any) -> "Refinement":
        """What `as_dict` gave; nothing means maps that are not refined. DataError where it is something else."""
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
        """What a report says of refined maps."""
        with_what = " and ".join(f"{REFINEMENTS[name]} ({name})" for name in self.names)
        return (
            f"Maps are refined: {self.alpha:g} of the sound's map, {1 - self.alpha:g} of {with_what}, which hears "
            "nothing; each was scaled to [0, 1] first, so confidences no longer compare pictures."
        )

    def threshold_mismatch_warning(self, fitted_on: "Refinement") -> str:
        """Why a threshold that was fitted on other maps than these is not used."""
        same = str(fitted_on) == str(self)
        theirs = (
            f"refined by {fitted_on}{' with another classifier' if same else ''}"
            if fitted_on
            else "that are not refined"
        )
        flags = f" --refine {','.join(self.names)} --alpha {self.alpha:g}" if self else ""
        return (
            f"The checkpoint's threshold was fitted on maps {theirs}; it says nothing of these and is not used, so "
            f"presence is not known. `soundspot calibrate`{f' with{flags}' if flags else ''} fits one."
        )

"""whence: find where in a picture a sound comes from.

    import whence
    localizer = whence.load("runs/demo/best.safetensors")
    localizer.locate("dog.jpg", "bark.wav").save("out.png")

Names are imported when they are first used, so that `import whence` costs next to nothing on top of torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "create": "whence.methods",
    "methods": "whence.methods",
    "import_checkpoint": "whence.importers",
    "inspect_checkpoint": "whence.inspection",
    "load": "whence.inference.localizer",
    "Localizer": "whence.inference.localizer",
    "SoundMap": "whence.inference.soundmap",
    "evaluate": "whence.evaluation.evaluate",
    "score": "whence.evaluation.evaluate",
    "compare": "whence.evaluation.compare",
    "calibrate": "whence.evaluation.calibrate",
    "Report": "whence.evaluation.report",
    "protocols": "whence.evaluation.protocols",
    "datasets": "whence.data.datasets",
    "read_recipe": "whence.recipe",
    "train": "whence.training.run",
    "WhenceError": "whence.errors",
}
__all__ = [*sorted(_HOMES), "__version__"]

if TYPE_CHECKING:
    from whence.data.datasets import datasets as datasets
    from whence.errors import WhenceError as WhenceError
    from whence.evaluation.calibrate import calibrate as calibrate
    from whence.evaluation.compare import compare as compare
    from whence.evaluation.evaluate import evaluate as evaluate
    from whence.evaluation.evaluate import score as score
    from whence.evaluation.protocols import protocols as protocols
    from whence.evaluation.report import Report as Report
    from whence.importers import import_checkpoint as import_checkpoint
    from whence.inference.localizer import Localizer as Localizer
    from whence.inference.localizer import load as load
    from whence.inference.soundmap import SoundMap as SoundMap
    from whence.inspection import inspect_checkpoint as inspect_checkpoint
    from whence.methods import create as create
    from whence.methods import methods as methods
    from whence.recipe import read_recipe as read_recipe
    from whence.training.run import train as train


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'whence' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__

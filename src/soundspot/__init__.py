"""soundspot: find where in an image a sound comes from.

    import soundspot
    localizer = soundspot.load()  # the starter model; or a name, or a checkpoint
    localizer.locate("dog.jpg", "bark.wav").save("out.png")

Names are imported when they are first used, so that `import soundspot` costs next to nothing on top of torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from soundspot._version import __version__ as __version__

_MODULES = {
    "config.inspect_checkpoint": "inspect_checkpoint",
    "config.load": "read_recipe",
    "config.named_models": "list_models",
    "data.datasets.registry": "list_datasets open_dataset register_dataset",
    "data.media.audio": "read_audio",
    "data.media.image": "read_image",
    "data.media.video": "open_video",
    "errors": "CheckpointError DataError InputError OutputError RecipeError SoundspotError",
    "evaluation.engine.calibrate": "calibrate",
    "evaluation.engine.evaluate": "evaluate evaluate_maps",
    "evaluation.metrics.registry": "list_metrics register_metric",
    "evaluation.protocols.presets": "list_protocols",
    "evaluation.report.compare": "compare",
    "evaluation.report.report": "Report",
    "examples": "copy_examples example_path list_examples",
    "importers": "import_checkpoint",
    "inference.localizer": "Localizer load",
    "inference.result": "LocalizationMap",
    "methods": "create list_methods",
    "training.adapt": "adapt",
    "training.fit": "train",
}
_HOMES = {name: f"soundspot.{module}" for module, names in _MODULES.items() for name in names.split()}
__all__ = [*sorted(_HOMES), "__version__"]

if TYPE_CHECKING:
    from soundspot.config.inspect_checkpoint import inspect_checkpoint as inspect_checkpoint
    from soundspot.config.load import read_recipe as read_recipe
    from soundspot.config.named_models import list_models as list_models
    from soundspot.data.datasets.registry import list_datasets as list_datasets
    from soundspot.data.datasets.registry import open_dataset as open_dataset
    from soundspot.data.datasets.registry import register_dataset as register_dataset
    from soundspot.data.media.audio import read_audio as read_audio
    from soundspot.data.media.image import read_image as read_image
    from soundspot.data.media.video import open_video as open_video
    from soundspot.errors import CheckpointError as CheckpointError
    from soundspot.errors import DataError as DataError
    from soundspot.errors import InputError as InputError
    from soundspot.errors import OutputError as OutputError
    from soundspot.errors import RecipeError as RecipeError
    from soundspot.errors import SoundspotError as SoundspotError
    from soundspot.evaluation.engine.calibrate import calibrate as calibrate
    from soundspot.evaluation.engine.evaluate import evaluate as evaluate
    from soundspot.evaluation.engine.evaluate import evaluate_maps as evaluate_maps
    from soundspot.evaluation.metrics.registry import list_metrics as list_metrics
    from soundspot.evaluation.metrics.registry import register_metric as register_metric
    from soundspot.evaluation.protocols.presets import list_protocols as list_protocols
    from soundspot.evaluation.report.compare import compare as compare
    from soundspot.evaluation.report.report import Report as Report
    from soundspot.examples import copy_examples as copy_examples
    from soundspot.examples import example_path as example_path
    from soundspot.examples import list_examples as list_examples
    from soundspot.importers import import_checkpoint as import_checkpoint
    from soundspot.inference.localizer import Localizer as Localizer
    from soundspot.inference.localizer import load as load
    from soundspot.inference.result import LocalizationMap as LocalizationMap
    from soundspot.methods import create as create
    from soundspot.methods import list_methods as list_methods
    from soundspot.training.adapt import adapt as adapt
    from soundspot.training.fit import train as train


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from soundspot.utils.renamed import NAMES

        hint = f"; it is now {NAMES[name]!r}" if name in NAMES else ""
        raise AttributeError(f"module 'soundspot' has no attribute {name!r}{hint}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__

"""What precedes the scores of a study: start weights, features of frozen stages, and one training."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F

from soundspot.config.checkpoint import describe_checkpoint, load_checkpoint
from soundspot.config.schema import Recipe
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.media.image import normalize, squash
from soundspot.errors import OutputError
from soundspot.models.encoders import build_encoder
from soundspot.models.heads import mean_pool
from soundspot.study.schema import StartConfig, StudyData
from soundspot.study.scoring_tasks import calibrate_checkpoint
from soundspot.training.clip_reader import ClipReader
from soundspot.training.datamodule import uses_ground_truth
from soundspot.training.feature_cache import cache_features
from soundspot.training.feature_plan import RepeatedEpochs
from soundspot.training.fit import build_method, open_recipe_dataset, train
from soundspot.utils.atomic_io import DiskFullError, atomic_write

BEST = "best.safetensors"


@dataclass(frozen=True)
class StartTask:
    """Training of start weights for image encoders.

    Attributes:
        config: data and steps.
        recipe: recipe whose image encoder and front end they are for.
        output: file of the weights.
    """

    config: StartConfig
    recipe: Recipe
    output: Path

    def run(self) -> dict[str, Any]:
        """Train the encoder and write its weights.

        Returns:
            Accuracy of the last steps.
        """
        return {"accuracy": train_start(self.config, self.recipe, self.output)}


@dataclass(frozen=True)
class FeatureTask:
    """Features of the frozen stages of a recipe's encoders.

    Attributes:
        recipe: recipe with the folder of features.
    """

    recipe: Recipe

    def run(self) -> dict[str, Any]:
        """Compute what is missing.

        Returns:
            Nothing but the cost.
        """
        recipe = self.recipe
        data = RepeatedEpochs(open_recipe_dataset(recipe.data), recipe.feature_cache.epochs)  # type: ignore[abstract]
        method = build_method(recipe, 0)
        reader = ClipReader(data, method.front_end, recipe.views, recipe.train.seed, uses_ground_truth(method, data))
        cache_features(method, reader, recipe, progress=False)
        return {}


@dataclass(frozen=True)
class TrainTask:
    """Training of one arm with one seed.

    Attributes:
        recipe: recipe with its seed.
        folder: folder of the run; what is there of a killed one is continued.
        calibration: held-out data that the checkpoint is calibrated on; None: it is not.
        features: folder of what frozen stages make of these data; None: it is computed.
    """

    recipe: Recipe
    folder: Path
    calibration: StudyData | None = None
    features: Path | None = None

    def run(self) -> dict[str, Any]:
        """Train.

        Returns:
            Number of weights that learn, whether a killed run was continued, and hash of the checkpoint.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        is_resumed = (self.folder / "resume.ckpt").exists()
        try:
            best = train(self.recipe, self.folder, resume=True, progress=False)
        except DiskFullError:
            raise
        except OutputError:  # what is there is of other paths, or was killed before it was a run
            shutil.rmtree(self.folder)
            best = train(self.recipe, self.folder, progress=False)
        if self.calibration is not None:
            calibrate_checkpoint(best, self.calibration, self.features)
        (self.folder / "resume.ckpt").unlink(missing_ok=True)
        method, _ = load_checkpoint(best)
        weights = sum(p.numel() for p in method.parameters() if p.requires_grad)
        return {"weights": weights, "resumed": is_resumed, "sha256": describe_checkpoint(best)["sha256"]}


def train_start(config: StartConfig, recipe: Recipe, output: Path) -> float:
    """Train an image encoder to name what images show, as published methods begin with ImageNet's.

    Args:
        config: data and steps.
        recipe: recipe whose image encoder and front end it is.
        output: file of the weights.

    Returns:
        Share of the images of the last ten steps that are named rightly.
    """
    spec = recipe.front_end.build().image
    data = open_dataset(config.data, **config.options)
    images = torch.stack([squash(data.read_image(i), spec.size) for i in range(len(data))])
    names = sorted({data.category(i) for i in range(len(data))})
    labels = torch.tensor([names.index(data.category(i)) for i in range(len(data))])
    torch.manual_seed(config.seed)
    encoder: torch.nn.Module = build_encoder(recipe.image, in_channels=3)
    encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    head = torch.nn.Linear(cast(int, encoder.channels), len(names))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=config.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=config.steps)
    accuracies: list[float] = []
    for _ in range(config.steps):
        rows = torch.randint(0, len(data), (config.batch_size,))
        logits = head(mean_pool(encoder(normalize(images[rows], spec))))
        loss = F.cross_entropy(logits, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        accuracies.append(float((logits.argmax(1) == labels[rows]).float().mean()))
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(output) as draft:
        torch.save(encoder.state_dict(), draft)
    return round(sum(accuracies[-10:]) / len(accuracies[-10:]), 4)

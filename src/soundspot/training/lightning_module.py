"""LightningModule that sums and logs the losses of a method; the loop itself is Lightning's."""

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import Any

import lightning as L
import torch
from torch import Tensor

from soundspot.config.schema import Recipe, TrainConfig
from soundspot.errors import RecipeError, did_you_mean
from soundspot.methods.base import Method
from soundspot.training.clip_reader import RawBatch
from soundspot.training.datamodule import FalseNegativeMask, build_batch
from soundspot.training.feature_reader import FeatureBatch, build_feature_batch, pack_audio
from soundspot.training.grad_cache import apply_grad_cache
from soundspot.training.labels import LabelFunction
from soundspot.training.negatives import NegativeSounds, add_negatives, check_negatives
from soundspot.utils.device import has_native_bf16
from soundspot.utils.distributed import all_gather_with_grad, rank, world_size

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}


class LocalizationModule(L.LightningModule):
    """A method in training: the sum of its losses, logs, the optimizer.

    Args:
        method: method to be trained; its encoders are compiled or run in chunks here, if the recipe says so.
        recipe: recipe of the run.
        false_negatives: function that returns the mask of likely false negatives of a batch.
        labels: function that returns the class labels of a batch.
        total_steps: optimizer steps of the run.

    Raises:
        RecipeError: every parameter of the method is frozen.
    """

    def __init__(
        self,
        method: Method,
        recipe: Recipe,
        false_negatives: FalseNegativeMask,
        labels: LabelFunction,
        total_steps: int,
    ) -> None:
        super().__init__()
        self.has_started = False  # False while Lightning restores an earlier run
        self.method, self.recipe, self.total_steps = method, recipe, total_steps
        self.false_negatives, self.labels = false_negatives, labels
        check_negatives(recipe.negatives, method.front_end.audio)
        if not any(parameter.requires_grad for parameter in method.parameters()):
            raise RecipeError(
                "nothing of this method learns: both encoders are frozen, and it has no weights of its own; raise "
                "`trained` of one of them, or give them a `width`"
            )
        for name, encoder in method.named_children():
            if name.endswith("_encoder"):
                if should_compile(recipe.train.compile):
                    encoder.forward = torch.compile(encoder.forward)  # type: ignore[method-assign]
                if recipe.train.grad_cache_size:
                    apply_grad_cache(encoder, recipe.train.grad_cache_size)

    def on_train_start(self) -> None:
        """Note that all of an earlier run is restored."""
        self.has_started = True

    def training_step(self, raw_batch: RawBatch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch, and log its terms.

        The generator of torch is seeded by (seed, step, batch, process) first, so that a resumed run draws the same
        numbers.

        Args:
            raw_batch: b samples of this process.
            batch_idx: number of the batch in the checkpoint interval.

        Returns:
            Scalar: sum of the method's losses.

        Raises:
            RecipeError: the loss is not finite.
        """
        number = batch_idx % self.recipe.train.accumulate  # of the batch in its step
        # Dropout and the like are a function of (seed, step, batch, process): a resumed run draws what an undisturbed
        # one draws, and no two samples the same.
        seed = self.recipe.train.seed * 1_000_003 + self.global_step
        torch.manual_seed(seed + number * 1_000_000_007 + rank() * 1_000_000_000_039)
        if number == 0:
            self.method.on_train_step_start(self.global_step / self.total_steps)
        losses = check_losses(self.compute_losses(raw_batch, self.labels, self.false_negatives), type(self.method))
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            detail = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.items())
            raise RecipeError(f"the loss is not finite at step {self.global_step} ({detail}); lower train.lr")
        size, values = len(raw_batch.index), {name: value.detach() for name, value in losses.items()}
        logged = {f"train/{name}": value for name, value in {"loss": loss.detach(), **values}.items()}
        self.log_dict(logged, batch_size=size, on_step=False, on_epoch=True, sync_dist=world_size() > 1)
        self.log_dict(values, batch_size=size, prog_bar=True, logger=False)
        return loss

    def compute_losses(
        self, raw_batch: RawBatch, labels: LabelFunction, false_negatives: FalseNegativeMask | None = None
    ) -> dict[str, Tensor]:
        """Compute the method's losses of a batch.

        Args:
            raw_batch: b samples of this process.
            labels: function that returns their class labels.
            false_negatives: function that returns the mask of likely false negatives among the samples of all
                processes; None: every other sound is a negative.

        Returns:
            Name -> scalar, with gradient; with the terms of negative sounds where the recipe has them.
        """
        device, epoch = raw_batch.images.device, raw_batch.epoch
        mask = None
        if false_negatives is not None:  # of the samples of all processes
            mask = false_negatives(all_gather_with_grad(raw_batch.index).numpy(), epoch)
        known = [None if x is None else x.to(device) for x in (mask, labels(raw_batch.index.numpy(), epoch))]
        with torch.autocast(device.type, enabled=False):  # colors and spectra are not for bf16
            options = self.method.front_end, self.recipe.views, self.recipe.train.seed
            if isinstance(raw_batch, FeatureBatch):
                batch = build_feature_batch(raw_batch, *options, *known)
            else:
                batch = build_batch(raw_batch, *options, *known)
        negatives = self.recipe.negatives
        if not negatives:
            return self.method.losses(batch)
        is_stored = isinstance(raw_batch, FeatureBatch) and raw_batch.audio_features is not None
        batch = add_negatives(batch, epoch, negatives, self._negative_sounds(is_stored))
        losses, terms = self.method.losses_with_negatives(batch, negatives.tau)
        return {**losses, **{name: negatives.weight * value for name, value in terms.items()}}

    @lru_cache(maxsize=2)  # noqa: B019 (as long-lived as the module)
    def _negative_sounds(self, is_stored: bool) -> NegativeSounds:
        """Return silence and noise as inputs of the audio encoder, or as stored features of it."""
        pack = partial(pack_audio, self.method.audio_encoder) if is_stored else None
        return NegativeSounds(self.method.front_end.audio, self.recipe.train.seed, pack)

    def configure_optimizers(self) -> dict[str, Any]:
        """Build the optimizer and the learning-rate schedule of the recipe.

        Returns:
            `optimizer`, and `lr_scheduler`, which moves at each optimizer step, as Lightning expects them.

        Raises:
            RecipeError: a group of `train.param_groups` matches no trainable parameter.
        """
        train = self.recipe.train
        groups = build_param_groups(self.method, train.param_groups)
        # One pass over all weights; Lightning takes a fused optimizer for one that cannot be clipped.
        fused = not train.grad_clip_norm and self.device.type in ("cpu", "cuda")
        optimizer = OPTIMIZERS[train.optimizer](groups, lr=train.lr, weight_decay=train.weight_decay, fused=fused)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, self.total_steps, train))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def build_param_groups(method: Method, groups: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Build the optimizer's parameter groups: all parameters without options of their own, then each group.

    Args:
        method: method to be trained; frozen parameters are left out.
        groups: beginning of a name (whole words between dots) -> options `lr` and `weight_decay`; the longest beginning
            that matches a parameter counts.

    Returns:
        Groups as torch's optimizers take them: `params` and options; groups without members are left out.

    Raises:
        RecipeError: no trainable parameter's name starts with a beginning in `groups`.
    """
    trainable = {name: parameter for name, parameter in method.named_parameters() if parameter.requires_grad}
    members: dict[str, list[Tensor]] = {prefix: [] for prefix in ("", *groups)}
    for name, parameter in trainable.items():
        fitting = [prefix for prefix in groups if f"{name}.".startswith(f"{prefix}.")]
        members[max(fitting, key=len, default="")].append(parameter)
    for prefix in groups:
        if not members[prefix]:
            first_names = sorted({name.partition(".")[0] for name in trainable})
            raise RecipeError(
                f"train.param_groups: no parameter that learns is called {prefix}, or {prefix}.*"
                f"{did_you_mean(prefix, first_names)}; those of this method begin with {', '.join(first_names)}"
            )
    return [{"params": params, **groups.get(prefix, {})} for prefix, params in members.items() if params]


def lr_factor(step: int, total_steps: int, train: TrainConfig) -> float:
    """Compute the learning rate at a step as a share of `train.lr`: linear warm-up, then constant or half a cosine.

    Args:
        step: number of the optimizer step, from 0.
        total_steps: optimizer steps of the run; the cosine is 0 there, and stays so.
        train: optimization options with `schedule` and `warmup`, in steps.

    Returns:
        Factor in [0, 1]: the schedule's value, times (step + 1) / warmup during the warm-up.
    """
    warmup = min(1.0, (step + 1) / train.warmup) if train.warmup else 1.0
    if train.schedule == "constant":
        return warmup
    return warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total_steps)))


def check_losses(losses: object, method: type[Method]) -> dict[str, Tensor]:
    """Check that a method's losses are what it has to return, as methods of one's own may not.

    Args:
        losses: what the method returned.
        method: its class, for the message.

    Returns:
        The losses.

    Raises:
        RecipeError: they are no dict of scalar tensors, or none has a gradient.
    """
    expected = f"{method.__name__}.losses: expected a dict of name -> scalar tensor with gradient, found"
    if not isinstance(losses, dict) or not losses:
        raise RecipeError(f"{expected} {'an empty dict' if losses == {} else type(losses).__name__}.")
    for name, value in losses.items():
        if not isinstance(value, Tensor) or value.ndim:
            description = (
                f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            )
            raise RecipeError(f"{expected} {description} at {name!r}.")
    if not any(value.requires_grad for value in losses.values()):
        raise RecipeError(f"{expected} none with a gradient.")
    return losses


def resolve_precision(requested: str, device: torch.device) -> str:
    """Return Lightning's name of a precision.

    Args:
        requested: `bf16`, `fp32`, or `auto`: bf16 where the device multiplies in it natively, else fp32.
        device: device of the training.

    Returns:
        `bf16-mixed` or `32-true`.
    """
    if requested == "auto":
        if device.type == "cuda":
            is_native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            is_native = device.type == "cpu" and has_native_bf16()
        requested = "bf16" if is_native else "fp32"
    return {"bf16": "bf16-mixed", "fp32": "32-true"}[requested]


def should_compile(requested: str) -> bool:
    """Return True where encoders are to be compiled.

    Args:
        requested: `always`, `never`, or `auto`: where there is a CUDA GPU and Triton is installed.

    Returns:
        Whether `torch.compile` is applied to the encoders.
    """
    if requested == "auto":
        return torch.cuda.is_available() and find_spec("triton") is not None
    return requested == "always"


def silence_lightning() -> None:
    """Silence advice of Lightning that does not apply to how soundspot uses it, for the whole process."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for text in (
        ".*does not have many workers.*",
        ".*number of training batches.*smaller than the logging interval.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*resuming from a checkpoint that ended before.*",
        ".*isinstance\\(treespec, LeafSpec\\).*",
        ".*Trying to infer the `batch_size`.*",
        ".*GPU available but not used.*",
        ".*module\\(s\\) in eval mode at the start of training.*",  # a teacher stays so
        ".*Experiment logs directory.*exists.*",
        ".*It is recommended to use `self.log.*sync_dist=True.*",  # validation scores are the same in all processes
    ):
        warnings.filterwarnings("ignore", message=text)

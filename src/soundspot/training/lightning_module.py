"""The LightningModule: sums and logs the terms that a method returns. The loop itself is Lightning's."""

import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial
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
from soundspot.training.grad_cache import apply_grad_cache
from soundspot.training.labels import LabelFunction
from soundspot.utils.device import has_native_bf16
from soundspot.utils.distributed import all_gather_with_grad, rank, world_size

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}


class LocalizationModule(L.LightningModule):
    """One method trained by one recipe for `steps` optimizer steps.

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
        self.method, self.recipe, self.false_negatives, self.labels, self.total_steps = (
            method,
            recipe,
            false_negatives,
            labels,
            total_steps,
        )
        if not any(one.requires_grad for one in method.parameters()):
            raise RecipeError(
                "nothing of this method learns: both encoders are frozen, and it has no weights of its own; raise "
                "`trained` of one of them, or give them a `width`"
            )

        for name, part in method.named_children():
            if name.endswith("_encoder"):
                if should_compile(recipe.train.compile):
                    part.forward = torch.compile(part.forward)  # type: ignore[method-assign]
                if recipe.train.grad_cache_size:
                    apply_grad_cache(part, recipe.train.grad_cache_size)

    def transfer_batch_to_device(self, raw_batch: RawBatch, device: torch.device, dataloader_idx: int) -> RawBatch:
        """While the device is busy with the batch before, where the memory is pinned."""
        return raw_batch.to(device, non_blocking=True)

    def training_step(self, raw_batch: RawBatch, batch_idx: int) -> Tensor:
        part = batch_idx % self.recipe.train.accumulate
        # Dropout and the like are a function of (seed, step, part, process): a resumed run draws what an undisturbed
        # one draws, and no two clips the same.
        chance = self.recipe.train.seed * 1_000_003 + self.global_step
        torch.manual_seed(chance + part * 1_000_000_007 + rank() * 1_000_000_000_039)
        if part == 0:
            self.method.on_train_step_start(self.global_step / self.total_steps)
        terms = self.compute_losses(raw_batch, self.labels, self.false_negatives)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            detail = ", ".join(f"{name} {float(value):.4g}" for name, value in terms.items())
            raise RecipeError(f"the loss is not finite at step {self.global_step} ({detail}); lower train.lr")
        logged = {"loss": loss, **terms}
        size = len(raw_batch.index)
        kept = {f"train/{name}": value.detach() for name, value in logged.items()}
        self.log_dict(kept, batch_size=size, on_step=False, on_epoch=True, sync_dist=world_size() > 1)
        shown = {name: value.detach() for name, value in terms.items()}
        self.log_dict(shown, batch_size=size, prog_bar=True, logger=False)
        return loss

    def compute_losses(
        self, raw_batch: RawBatch, labels: LabelFunction, false_negatives: FalseNegativeMask | None = None
    ) -> dict[str, Tensor]:
        """The method's losses on a raw batch; without `alike` every other sound is taken for a negative."""
        device = raw_batch.images.device
        known = (
            None
            if false_negatives is None
            else false_negatives(
                all_gather_with_grad(raw_batch.index).numpy(), raw_batch.epoch
            ),  # of all processes' clips
            labels(raw_batch.index.numpy(), raw_batch.epoch),
        )
        beside = [None if one is None else one.to(device) for one in known]
        with torch.autocast(device.type, enabled=False):  # colours and spectra are not for bf16
            batch = build_batch(raw_batch, self.method.front_end, self.recipe.views, self.recipe.train.seed, *beside)
        return self.method.losses(batch)

    def configure_optimizers(self) -> dict[str, Any]:
        train = self.recipe.train
        groups = build_param_groups(self.method, train.param_groups)
        # One pass over all weights; Lightning takes a fused optimizer for one that cannot be clipped.
        fused = not train.grad_clip_norm and self.device.type in ("cpu", "cuda")
        make = OPTIMIZERS[train.optimizer]
        optimizer = make(groups, lr=train.lr, weight_decay=train.weight_decay, fused=fused)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, self.total_steps, train))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def build_param_groups(method: Method, groups: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """What of a method learns: first all that has nothing of its own, then each group of `soundspot.config.schema.Train.groups`.

    Raises:
        RecipeError: a beginning that fits no parameter that learns.
    """
    members: dict[str, list[Tensor]] = {start: [] for start in ("", *groups)}
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            fitting = [start for start in groups if f"{name}.".startswith(f"{start}.")]
            members[max(fitting, key=len, default="")].append(parameter)
    for start in groups:
        if not members[start]:
            known = {name for name, one in method.named_parameters() if one.requires_grad}
            parts = sorted({name.partition(".")[0] for name in known})
            raise RecipeError(
                f"train.groups: no parameter that learns is called {start}, or {start}.*{did_you_mean(start, parts)}; "
                f"those of this method begin with {', '.join(parts)}"
            )
    return [{"params": found, **groups.get(start, {})} for start, found in members.items() if found]


def lr_factor(step: int, total_steps: int, train: TrainConfig) -> float:
    """Share of the learning rate at a step: a linear warm-up, then constant or half a cosine down to 0."""
    warm = min(1.0, (step + 1) / train.warmup) if train.warmup else 1.0
    if train.schedule == "constant":
        return warm
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total_steps)))


def resolve_precision(requested: str, device: torch.device) -> str:
    """Lightning's name for the precision asked for; `auto` is bf16 where the machine multiplies in it natively."""
    if requested == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = device.type == "cpu" and has_native_bf16()
        requested = "bf16" if native else "fp32"
    return {"bf16": "bf16-mixed", "fp32": "32-true"}[requested]


def should_compile(requested: str) -> bool:
    """Whether encoders are compiled: `auto` is where it pays and is sure to work, a GPU that Triton knows."""
    if requested == "auto":
        return torch.cuda.is_available() and find_spec("triton") is not None
    return requested == "always"


def silence_lightning() -> None:
    """Silences advice of Lightning's that does not apply to how soundspot drives it."""
    import logging

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
        ".*It is recommended to use `self.log.*sync_dist=True.*",  # what is looked at is the same in all processes
    ):
        warnings.filterwarnings("ignore", message=text)

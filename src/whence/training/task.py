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

from whence.device import native_bf16
from whence.errors import RecipeError, did_you_mean
from whence.methods.base import Method
from whence.processes import gathered, rank, world
from whence.recipe import Recipe, Train
from whence.training.chunks import encode_in_chunks
from whence.training.feed import Alike, prepare
from whence.training.labels import Labelling
from whence.training.reading import RawBatch

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}


class Task(L.LightningModule):
    """One method trained by one recipe for `steps` optimizer steps.

    Raises:
        RecipeError: every parameter of the method is frozen.
    """

    def __init__(self, method: Method, recipe: Recipe, alike: Alike, labels: Labelling, steps: int) -> None:
        super().__init__()
        self.method, self.recipe, self.alike, self.labels, self.steps = method, recipe, alike, labels, steps
        if not any(one.requires_grad for one in method.parameters()):
            raise RecipeError(
                "nothing of this method learns: both encoders are frozen, and it has no weights of its own; raise "
                "`trained` of one of them, or give them a `width`"
            )

        for name, part in method.named_children():
            if name.endswith("_encoder"):
                if compiles(recipe.train.compile):
                    part.forward = torch.compile(part.forward)  # type: ignore[method-assign]
                if recipe.train.chunk:
                    encode_in_chunks(part, recipe.train.chunk)

    def transfer_batch_to_device(self, raw: RawBatch, device: torch.device, dataloader_idx: int) -> RawBatch:
        """While the device is busy with the batch before, where the memory is pinned."""
        return raw.to(device, non_blocking=True)

    def training_step(self, raw: RawBatch, number: int) -> Tensor:
        part = number % self.recipe.train.accumulate
        # Dropout and the like are a function of (seed, step, part, process): a resumed run draws what an undisturbed
        # one draws, and no two clips the same.
        chance = self.recipe.train.seed * 1_000_003 + self.global_step
        torch.manual_seed(chance + part * 1_000_000_007 + rank() * 1_000_000_000_039)
        if part == 0:
            self.method.before_step(self.global_step / self.steps)
        terms = self.terms(raw, self.labels, self.alike)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            detail = ", ".join(f"{name} {float(value):.4g}" for name, value in terms.items())
            raise RecipeError(f"the loss is not finite at step {self.global_step} ({detail}); lower train.lr")
        logged = {"loss": loss, **terms}
        size = len(raw.index)
        kept = {f"train/{name}": value.detach() for name, value in logged.items()}
        self.log_dict(kept, batch_size=size, on_step=False, on_epoch=True, sync_dist=world() > 1)
        shown = {name: value.detach() for name, value in terms.items()}
        self.log_dict(shown, batch_size=size, prog_bar=True, logger=False)
        return loss

    def terms(self, raw: RawBatch, labels: Labelling, alike: Alike | None = None) -> dict[str, Tensor]:
        """The method's losses on a raw batch; without `alike` every other sound is taken for a negative."""
        device = raw.pictures.device
        known = (
            None if alike is None else alike(gathered(raw.index).numpy(), raw.epoch),  # of all processes' clips
            labels(raw.index.numpy(), raw.epoch),
        )
        beside = [None if one is None else one.to(device) for one in known]
        with torch.autocast(device.type, enabled=False):  # colours and spectra are not for bf16
            batch = prepare(raw, self.method.front_end, self.recipe.views, self.recipe.train.seed, *beside)
        return self.method.losses(batch)

    def configure_optimizers(self) -> dict[str, Any]:
        train = self.recipe.train
        groups = parameter_groups(self.method, train.groups)
        # One pass over all weights; Lightning takes a fused optimizer for one that cannot be clipped.
        fused = not train.clip and self.device.type in ("cpu", "cuda")
        make = OPTIMIZERS[train.optimizer]
        optimizer = make(groups, lr=train.lr, weight_decay=train.weight_decay, fused=fused)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, self.steps, train))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def parameter_groups(method: Method, groups: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """What of a method learns: first all that has nothing of its own, then each group of `whence.recipe.Train.groups`.

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


def rate(step: int, steps: int, train: Train) -> float:
    """Share of the learning rate at a step: a linear warm-up, then constant or half a cosine down to 0."""
    warm = min(1.0, (step + 1) / train.warmup) if train.warmup else 1.0
    if train.schedule == "constant":
        return warm
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def best_precision(asked: str, device: torch.device) -> str:
    """Lightning's name for the precision asked for; `auto` is bf16 where the machine multiplies in it natively."""
    if asked == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = device.type == "cpu" and native_bf16()
        asked = "bf16" if native else "fp32"
    return {"bf16": "bf16-mixed", "fp32": "32-true"}[asked]


def compiles(asked: str) -> bool:
    """Whether encoders are compiled: `auto` is where it pays and is sure to work, a GPU that Triton knows."""
    if asked == "auto":
        return torch.cuda.is_available() and find_spec("triton") is not None
    return asked == "always"


def quiet_lightning() -> None:
    """Silences advice of Lightning's that does not apply to how whence drives it."""
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

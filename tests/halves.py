"""Two processes that each have half of a batch: a module of its own, so that a new process can import it."""

from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from soundspot.methods import METHODS, Method
from soundspot.training.sync_batchnorm import convert_sync_batchnorm
from soundspot.types import Batch
from toys import CLASSES, clips, toy

CLIPS = 8
CASES = [
    *((name, "eval", {}) for name in METHODS if name != "ssltie"),
    ("ssltie", "eval", {"max_angle": 0, "scales": (0.5,), "flip_probability": 0.0}),
    ("alignment", "eval", {"reducer": "softmax", "intra_modal": 1.0, "symmetric": True}),
    ("ezvsl", "eval", {"reducer": "trimap"}),
    ("dsol", "second", {}),
    ("coarsetofine", "second", {}),
    ("slavc", "train", {"dropout": 0.0}),
    ("alignment", "train", {}),
    ("sspl_pcm", "train", {}),
]


def precision(mode: str) -> torch.dtype:
    return torch.float32 if mode == "second" else torch.float64


def made(name: str, mode: str, options: dict[str, Any]) -> Method:
    """A toy at the stage where it has most to learn, in double precision but in the second stage."""
    method = toy(name, **options).to(precision(mode)).train(mode == "train")
    if name == "dsol":
        torch.manual_seed(2)
        method.set_cluster_centers(torch.rand(CLASSES, method.dictionary.shape[1]))
    if mode == "second":
        method.on_train_step_start(1.0)
    return method


def batch(name: str, mode: str) -> Batch:
    """Eight clips, two of them alike and one without labels."""
    whole = clips(CLIPS, views=1 if name == "joint_slots" else 2)
    alike = torch.eye(CLIPS, dtype=torch.bool)
    alike[1, 6] = alike[6, 1] = True
    labels = whole.labels.clone()
    labels[:, 2] = torch.nan
    images, sounds, labels = (one.to(precision(mode)) for one in (whole.images, whole.audio, labels))
    return replace(whole, images=images, audio=sounds, false_negatives=alike, labels=labels)


def half_of(whole: Batch, rank: int) -> Batch:
    mine = slice(rank * CLIPS // 2, (rank + 1) * CLIPS // 2)
    return replace(
        whole,
        images=whole.images[:, mine],
        audio=whole.audio[:, mine],
        index=whole.index[mine],
        labels=whole.labels[:, mine],
    )


def gradients(method: Method, some: Batch) -> dict[str, Tensor]:
    """Of each parameter that has one, and the loss, by name; and the running statistics."""
    loss = torch.stack(list(method.losses(some).values())).sum()
    loss.backward()
    found = {name: one.grad for name, one in method.named_parameters() if one.grad is not None}
    running = {name: one.clone() for name, one in method.named_buffers() if "running" in name}
    return {"loss": loss.detach(), **found, **running}


def half(rank: int, rendezvous: str, results: str) -> None:
    """The mean over the processes of what each finds of its half, for every case.

    Beside it, of the first: the most numbers of a clip that were sent at once, and those of a picture's places.
    """
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    sent, send = [0], dist.all_gather

    def counted(parts: list[Tensor], one: Tensor) -> None:
        sent.append(one.numel() // (CLIPS // 2))
        send(parts, one)

    dist.all_gather = counted
    found = []
    for name, mode, options in CASES:
        sent[:] = [0]
        whole = batch(name, mode)
        method = made(name, mode, options)
        if mode == "train":
            convert_sync_batchnorm(method, torch.device("cpu"))
        one = gradients(method, half_of(whole, rank))
        for value in one.values():
            dist.all_reduce(value)
            value /= 2
        with torch.no_grad():
            places = method.encode_images(whole.images[0])[0].numel()
        found.append((one, max(sent), places))
    if rank == 0:
        torch.save(found, results)
    dist.destroy_process_group()


def means(rendezvous: str, results: str) -> list[tuple[dict[str, Tensor], int, int]]:
    """What two processes find together, as `half` tells it."""
    mp.spawn(half, (rendezvous, results), nprocs=2)
    return torch.load(results, weights_only=True)

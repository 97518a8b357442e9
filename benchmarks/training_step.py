"""One optimizer step of the alignment method, as it is trained: bf16 and channels_last against fp32 and contiguous.

Two ResNet-18 with 14 x 14 cells, pictures of 224 pixels, three seconds of sound (257 x 299), one view of each.
"""

import torch

from benchmarks import Row, seconds
from whence.methods import create
from whence.training.task import best_precision
from whence.types import Batch


def batch(size: int, side: int, frames: int, device: torch.device) -> Batch:
    torch.manual_seed(0)
    images = torch.randn(1, size, 3, side, side, device=device)
    sounds = torch.randn(1, size, 1, 257, frames, device=device)
    return Batch(images, sounds, torch.arange(size))


def step(data: Batch, device: torch.device, fast: bool) -> float:
    """Seconds of zeroing gradients, losses, backward pass and Adam."""
    torch.manual_seed(0)
    method = create("alignment").to(device)
    if fast:
        method = method.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-4)

    def work() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            loss = torch.stack(list(method.losses(data).values())).sum()
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return seconds(work)


def run(quick: bool = False) -> list[Row]:
    """On the CPU and, where there is one, on the GPU; only where bf16 is native."""
    devices = [torch.device("cpu")] + ([torch.device("cuda")] if torch.cuda.is_available() else [])
    rows = []
    for device in devices:
        if best_precision("auto", device) == "32-true":
            continue  # training does not use bf16 there either
        size = 2 if quick else 8 if device.type == "cpu" else 128
        data = batch(size, *((64, 64) if quick else (224, 299)), device)
        plain, ours = (step(data, device, fast) for fast in (False, True))
        what = f"training step, {size} clips, {device.type}"
        rows.append(Row(what, plain, ours, target=1.8, note="fp32, contiguous against bf16 autocast, channels_last"))
    return rows

"""One step of EZ-VSL as the released code takes it, fp32 and contiguous, against ours at the same batch.

Two ResNet-18 with 7 x 7 cells, pictures of 224 pixels, three seconds of sound (257 x 200), one view of each; zeroing
gradients, losses, backward pass, Adam. Both begin with the same weights, and their losses are compared. Each runs in a
process of its own, since a process's peak memory never falls.
"""

import json
import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import Row, measured_apart, peak_megabytes, seconds
from soundspot.methods import Method, create
from soundspot.training.lightning_module import resolve_precision, should_compile
from soundspot.types import Batch


def batch(size: int, side: int, frames: int, device: torch.device) -> Batch:
    torch.manual_seed(0)
    images = torch.randn(1, size, 3, side, side, device=device)
    sounds = torch.randn(1, size, 1, 257, frames, device=device)
    return Batch(images, sounds, torch.arange(size))


def plain_loss(method: Method, data: Batch) -> Tensor:
    """EZ-VSL in a few lines: every picture's best place for every sound, and cross-entropy both ways."""
    space = method.space
    places = F.normalize(space.image(method.image_encoder(data.images[0])), dim=1)
    heard = method.audio_encoder(data.audio[0])
    vectors = F.normalize(space.audio(F.adaptive_max_pool2d(heard, 1)[:, :, 0, 0]), dim=1)
    logits = torch.einsum("nchw,mc->nmhw", places, vectors).flatten(2).max(dim=2).values / 0.03
    own = torch.arange(len(logits), device=logits.device)
    return F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)


def measure(form: str, size: int, side: int, frames: int, device: str) -> dict[str, float]:
    """Seconds of a step, megabytes at the peak beyond what the process had before it, and the first loss."""
    where = torch.device(device)
    data = batch(size, side, frames, where)
    torch.manual_seed(0)
    method = create("ezvsl").to(where)
    ours = form == "ours"
    if ours:
        method = method.to(memory_format=torch.channels_last)
        if should_compile("auto"):
            for encoder in (method.image_encoder, method.audio_encoder):
                encoder.forward = torch.compile(encoder.forward)  # type: ignore[method-assign]
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-4, fused=ours)
    fast = ours and resolve_precision("auto", where) != "32-true"
    losses: list[float] = []

    def work() -> None:
        optimizer.zero_grad()
        with torch.autocast(where.type, torch.bfloat16, enabled=fast):
            loss = method.losses(data)["contrast"] if ours else plain_loss(method, data)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    before = peak_megabytes()
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    taken = seconds(work)
    used = torch.cuda.max_memory_allocated() / 1e6 if where.type == "cuda" else peak_megabytes() - before
    return {"seconds": taken, "megabytes": used, "loss": losses[0]}


def run(quick: bool = False) -> list[Row]:
    """On the CPU and, where there is one, on the GPU."""
    rows = []
    for device, target in (("cpu", 2.0), *((("cuda", 4.0),) if torch.cuda.is_available() else ())):
        size = 2 if quick else 32 if device == "cpu" else 128
        sides = (64, 64) if quick else (224, 200)
        plain, ours = (measured_apart("training_step", form, size, *sides, device) for form in ("plain", "ours"))
        assert abs(plain["loss"] - ours["loss"]) < 0.05 * plain["loss"], "the two do not agree"
        what = f"training step of EZ-VSL, {size} clips, {device}"
        rows += [
            Row(
                f"{what}: time", plain["seconds"], ours["seconds"], target=target, note="fp32, contiguous against ours"
            ),
            Row(f"{what}: memory", plain["megabytes"], ours["megabytes"], "MB"),
        ]
    return rows


if __name__ == "__main__":
    form, size, side, frames, device = sys.argv[1:]
    print(json.dumps(measure(form, int(size), int(side), int(frames), device)))

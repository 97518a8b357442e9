"""Large batches in little memory: encoders run on a few samples at a time, and again when gradients come.

Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021 (gradient caching),
by torch's own checkpointing: the outputs of an encoder are held for the loss, which sees the whole batch; its
activations are computed once more, chunk by chunk. Contrast over 4,096 samples then needs the memory of a chunk, and
the outputs.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def apply_grad_cache(encoder: nn.Module, chunk_size: int) -> None:
    """Make an encoder run on `chunk_size` inputs at a time in training, in place; names of its weights stay.

    The gradient is that of the whole batch where inputs do not see each other. Batch norm in training does: its
    statistics are then those of a chunk, as on several devices, and follow each input once. Without gradients nothing
    changes.

    Args:
        encoder: network of one tensor (b, ...) whose `forward` is replaced.
        chunk_size: number of inputs at a time, at least 1; the last chunk may be smaller.
    """
    original: Callable[[Tensor], Tensor] = encoder.forward

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _frozen_statistics(encoder)

    def forward(x: Tensor) -> Tensor:
        if not torch.is_grad_enabled() or len(x) <= chunk_size:
            return original(x)
        chunks = x.split(chunk_size)
        return torch.cat([checkpoint(original, c, use_reentrant=False, context_fn=contexts) for c in chunks])

    encoder.forward = forward  # type: ignore[method-assign]


@contextmanager
def _frozen_statistics(encoder: nn.Module) -> Iterator[None]:
    """Let batch norms normalize as before without following the inputs a second time."""
    norms = [module for module in encoder.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked

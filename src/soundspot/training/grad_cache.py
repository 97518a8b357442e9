"""Large batches in little memory: encoders run on a few clips at a time and forget, and remember when gradients come.

Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021 (gradient caching),
by torch's own checkpointing: what an encoder answers is kept for the loss, which sees the whole batch; what it needed
on the way is computed once more, chunk by chunk. Contrast over 4,096 clips then needs the memory of a chunk, and their
answers.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def apply_grad_cache(encoder: nn.Module, chunk_size: int) -> None:
    """From now on `encoder` runs on `size` inputs at a time, in training; names of its weights stay as they are.

    The gradient is the plain one where inputs do not see each other. Batch norm in training does: its statistics are
    then those of a chunk, as on several devices, and follow each input once.
    """
    plain: Callable[[Tensor], Tensor] = encoder.forward

    def forward(x: Tensor) -> Tensor:
        if not torch.is_grad_enabled() or len(x) <= chunk_size:
            return plain(x)
        return torch.cat([_again(plain, one, encoder) for one in x.split(chunk_size)])

    encoder.forward = forward  # type: ignore[method-assign]


def _again(plain: Callable[[Tensor], Tensor], x: Tensor, encoder: nn.Module) -> Tensor:
    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _statistics_stand_still(encoder)

    answer: Tensor = checkpoint(plain, x, use_reentrant=False, context_fn=contexts)
    return answer


@contextmanager
def _statistics_stand_still(encoder: nn.Module) -> Iterator[None]:
    """Batch norms normalise as before and do not follow the inputs a second time."""
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

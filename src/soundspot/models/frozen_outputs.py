"""Outputs of frozen stages in files, by the content of their inputs, which models with the same stages share."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.models.staged import StagedEncoder
from soundspot.models.weights import weights_digest
from soundspot.utils.atomic_io import atomic_write
from soundspot.utils.safe_read import convert_read_errors


@dataclass(frozen=True)
class FrozenOutputs:
    """Files of the outputs of frozen stages, one for each input.

    Attributes:
        folder: folder of the files.
        is_written: whether outputs that have no file are written.
    """

    folder: Path
    is_written: bool = False

    def __call__(
        self, x: Float[Tensor, "b i H W"], compute: Callable[[Tensor], tuple[Tensor, ...]]
    ) -> tuple[Float[Tensor, "b ..."], ...]:
        """Read the outputs for a batch, or compute them where one is missing.

        Args:
            x: (b, i, H, W) inputs of the stages.
            compute: the stages.

        Returns:
            Tensors (b, ...) of the stages. All of a batch are computed where one is missing, so that their rounding
            does not depend on what is there.

        Raises:
            DataError: a file is damaged.
            OutputError: a file cannot be written.
        """
        rows = x.detach().cpu().contiguous()
        names = [hashlib.sha256(row.numpy().tobytes()).hexdigest()[:32] for row in rows]
        paths = [self.folder / f"{name}.npz" for name in names]
        if all(path.exists() for path in paths):
            stored = [_read(path) for path in paths]
            return tuple(torch.from_numpy(np.stack(arrays)).to(x.device) for arrays in zip(*stored, strict=True))
        outputs = compute(x)
        if self.is_written:
            self.folder.mkdir(parents=True, exist_ok=True)
            for i, path in enumerate(paths):
                if not path.exists():
                    with atomic_write(path) as draft, open(draft, "wb") as file:
                        np.savez(file, *(tensor[i].float().cpu().numpy() for tensor in outputs))
        return outputs


def _read(path: Path) -> list[np.ndarray]:
    with convert_read_errors(path, "expected outputs of frozen stages; delete it"), np.load(path) as file:
        return [file[name] for name in file.files]


def use_frozen_outputs(network: nn.Module, folder: Path, is_written: bool = False) -> None:
    """Make the encoders of a network read what their frozen stages give from files.

    Args:
        network: network in evaluation mode, such as a method.
        folder: folder with one of each encoder, by its frozen weights.
        is_written: whether outputs that have no file are written.
    """
    for module in network.modules():
        if isinstance(module, StagedEncoder) and (stages := module.frozen_stages()):
            options = {key: value for key, value in module.build_options.items() if key in ("layers", "pooling")}
            digest = weights_digest(nn.ModuleList(stages), str(options))
            module.frozen_outputs = FrozenOutputs(folder / digest, is_written)

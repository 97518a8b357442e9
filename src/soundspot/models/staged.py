"""Encoders of stages in a row: the last of them learn, what lies before them is frozen and can be computed once."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16
from torch import Tensor, nn

from soundspot.errors import RecipeError, did_you_mean
from soundspot.models.base import Encoder
from soundspot.models.weights import load_strict

FrozenReader = Callable[[Tensor, Callable[[Tensor], tuple[Tensor, ...]]], tuple[Tensor, ...]]
NUM_STATISTICS_BATCHES = 20
NECK_OPTIONS = ("width", "neck_depth", "neck_kernel")
"""Options of encoders of stages that change what learns behind the stages alone."""


class Standardization(nn.Module):
    """Mean 0 and variance 1 for each channel, by statistics of the first 20 batches in training.

    Afterwards they stay, so that every batch is seen in the same way, be it of images or of silence.

    Args:
        channels: number c of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.statistics = nn.BatchNorm2d(channels, affine=False, momentum=None).eval()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Standardize features.

        Args:
            x: (b, c, h, w) features.

        Returns:
            (b, c, h, w) standardized features.
        """
        num_batches = self.statistics.num_batches_tracked
        if self.training and num_batches is not None and int(num_batches) < NUM_STATISTICS_BATCHES:
            with torch.no_grad():
                self.statistics.train()(x)
        y: Tensor = self.statistics.eval()(x)
        return y


class StagedEncoder(Encoder):
    """Encoder that runs its stages one after another and returns the outputs of one or several of them.

    Several outputs are concatenated along their channels on the finest of their grids, to which the coarser ones are
    interpolated bilinearly.

    Args:
        name: name of the encoder, for messages.
        stages: stage name -> network, in the order of use; stages after the last output are left out.
        outputs: stage name -> number of channels of the stages whose output can be chosen.
        layers: names of the chosen outputs.
        trained: `all`, or the number of last stages with weights that learn; 0: frozen. Frozen stages have no gradients
            and stay in evaluation mode, so that their batch norms use and retain the statistics of the weight file.
        width: number of channels of the features, by a 1 x 1 convolution that always learns; None: the stages' own
            channels, without that convolution.
        neck_depth: number of nonlinear layers of the neck, which always learn; 0: the 1 x 1 convolution is linear. The
            first is that convolution, of features that are brought to one scale (`Standardization`), followed by relu;
            each further one adds the relu of a convolution to its input.
        neck_kernel: side of those further convolutions, odd.

    Attributes:
        stages: the stages in use, by name.
        trained: as given.
        bundled_as: name of the encoder in the file that comes with the library, where its weights are from there
            (`weights: bundled`), so that checkpoints have no copy of frozen stages; else empty.
        stored_shapes: shapes, without b, of the tensors of `forward_frozen` that training has stored and passes packed
            (`pack_features`) in place of inputs; None: it passes inputs.
        frozen_outputs: function of inputs and `forward_frozen` that gives the outputs of the latter, such as from files
            (`frozen_outputs.FrozenOutputs`); None: they are computed.

    Raises:
        RecipeError: an output is unknown or none is chosen, `trained` is neither `all` nor a number from 0 to the
            number of stages in use, or `neck_depth` is below 0 or above 0 without a `width`.
    """

    def __init__(
        self,
        name: str,
        stages: Mapping[str, nn.Module],
        outputs: Mapping[str, int],
        layers: Sequence[str],
        trained: int | str,
        width: int | None,
        neck_depth: int = 0,
        neck_kernel: int = 3,
    ) -> None:
        super().__init__()
        for layer in layers:
            if layer not in outputs:
                raise RecipeError(f"encoder {name!r} has no layer {layer!r}{did_you_mean(layer, outputs)}")
        if not layers:
            raise RecipeError(f"encoder {name!r}: found no `layers`, expected one or more of {', '.join(outputs)}")
        names = list(stages)
        self._outputs = sorted({names.index(layer) for layer in layers})
        self.stages = nn.ModuleDict({stage: stages[stage] for stage in names[: self._outputs[-1] + 1]})
        self._unused = tuple(f"{stage}." for stage in names[self._outputs[-1] + 1 :])
        weighted = [index for index, stage in enumerate(self.stages.values()) if [*stage.parameters()]]
        count = len(weighted)
        if trained != "all" and not (type(trained) is int and 0 <= trained <= count):
            raise RecipeError(
                f"encoder {name!r}: found `trained: {trained}`, expected `all`, or how many of its last stages learn: "
                f"0 (frozen) to {count}"
            )
        if neck_depth < 0 or (neck_depth and not width):
            raise RecipeError(
                f"encoder {name!r}: found `neck_depth: {neck_depth}` and `width: {width}`, expected 0, or more layers "
                "of a width"
            )
        self.trained, self.neck_depth = trained, neck_depth
        self.bundled_as = ""
        self.stored_shapes: tuple[tuple[int, ...], ...] | None = None
        self.frozen_outputs: FrozenReader | None = None
        self._num_frozen = 0 if trained == "all" else [*weighted, len(self.stages)][count - int(trained)]
        for stage in self.frozen_stages():
            stage.requires_grad_(False)
        widths = [outputs[names[index]] for index in self._outputs]
        channels = sum(widths)
        self.frozen_channels = channels if self._num_frozen == len(self.stages) else 0
        self.neck_norms = nn.ModuleList(Standardization(n) for n in widths if neck_depth)
        self.neck = nn.Conv2d(channels, width, 1) if width else None
        self.neck_convolutions = nn.ModuleList(
            nn.Conv2d(width, width, neck_kernel, padding=neck_kernel // 2) for _ in range(neck_depth - 1) if width
        )
        self.channels = width or channels
        self.train()  # frozen stages are in evaluation mode from the beginning

    def forward(self, x: Float[Tensor, "b i H W"]) -> Float[Tensor, "b c h w"]:
        """Compute the feature map of images or spectrograms.

        Args:
            x: (b, i, H, W) normalized images or scaled spectrograms; or their stored features, packed to (b, i, 1, k).

        Returns:
            (b, c, h, w) features, with c = `channels`.
        """
        return self.forward_trained(self.read_frozen(x))

    def read_frozen(self, x: Float[Tensor, "b i H W"]) -> tuple[Float[Tensor, "b ..."], ...]:
        """Return what `forward_frozen` gives: unpacked or read where it is stored, else computed.

        Args:
            x: (b, i, H, W) normalized images or scaled spectrograms; or their stored features, packed to (b, i, 1, k).

        Returns:
            Tensors (b, ...) that `forward_trained` continues from.
        """
        if self.stored_shapes and x.shape[2:] == (1, packed_length(self.stored_shapes, x.shape[1])):
            return unpack_features(x, self.stored_shapes)
        return self.frozen_outputs(x, self.forward_frozen) if self.frozen_outputs else self.forward_frozen(x)

    def forward_frozen(self, x: Float[Tensor, "b i H W"]) -> tuple[Float[Tensor, "b ..."], ...]:
        """Compute what lies before the stages that learn, without gradients; it is the same in every training step.

        Args:
            x: (b, i, H, W) normalized images or scaled spectrograms.

        Returns:
            Tensors (b, ...) that `forward_trained` continues from; they can be computed once and stored. With `trained:
            all` the input itself.
        """
        features = []
        with torch.no_grad():
            for index, stage in enumerate(self.frozen_stages()):
                x = stage(x)
                if index in self._outputs:
                    features.append(x)
        is_complete = self._num_frozen == len(self.stages)
        return (*features,) if is_complete or self._num_frozen - 1 in self._outputs else (*features, x)

    def forward_trained(self, features: tuple[Float[Tensor, "b ..."], ...]) -> Float[Tensor, "b c h w"]:
        """Compute the feature map from the output of `forward_frozen`.

        Args:
            features: tensors (b, ...) that `forward_frozen` returned, in the type of the weights (float32, or any under
                autocast).

        Returns:
            (b, c, h, w) features, with c = `channels`.
        """
        maps = list(features[: sum(index < self._num_frozen for index in self._outputs)])
        x = features[-1]
        for index, stage in enumerate(self.stages.values()):
            if index < self._num_frozen:
                continue
            x = stage(x)
            if index in self._outputs:
                maps.append(x)
        grid = maps[0].shape[-2:]
        if self.neck is None:
            resized = [_resize(y, grid) for y in maps]
            return torch.cat(resized, dim=1) if len(resized) > 1 else resized[0]
        return self._apply_neck(maps)

    def _apply_neck(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b c h w"]:
        """Apply the neck to maps joined on the grid of the first.

        The 1 x 1 convolution is applied before interpolation, with which it commutes: a coarser grid has a quarter of
        the cells.
        """
        assert self.neck is not None
        norms = self.neck_norms or [nn.Identity()] * len(maps)
        weights = self.neck.weight.split([x.shape[1] for x in maps], dim=1)
        y = F.conv2d(norms[0](maps[0]), weights[0], self.neck.bias)
        for x, weight, norm in zip(maps[1:], weights[1:], norms[1:], strict=True):
            y = y + _resize(F.conv2d(norm(x), weight), y.shape[-2:])
        if self.neck_depth:
            y = F.relu(y)
        for convolution in self.neck_convolutions:
            y = y + F.relu(convolution(y))
        return y

    def train(self, mode: bool = True) -> "StagedEncoder":
        """Set training or evaluation mode; frozen stages stay in evaluation mode.

        Args:
            mode: True for training, False for evaluation.

        Returns:
            The encoder itself.
        """
        super().train(mode)
        for stage in self.frozen_stages():
            stage.eval()
        return self

    def load_public(self, state: Mapping[str, Tensor], source: str) -> None:
        """Load the weights of all stages in use; those of other stages are left out, and the neck stays as it is.

        Args:
            state: name of a stage's parameter -> weight.
            source: name of the file for messages.

        Raises:
            CheckpointError: names or shapes do not match.
        """
        used = {name: value for name, value in state.items() if not name.startswith(self._unused)}
        load_strict(self.stages, used, source)

    def frozen_state(self) -> dict[str, Tensor]:
        """Return the weights and buffers of the frozen stages.

        Returns:
            Name in `stages` -> tensor, which is not copied; empty where all stages learn.
        """
        frozen = tuple(f"{name}." for name in [*self.stages][: self._num_frozen])
        return {name: value for name, value in self.stages.state_dict().items() if name.startswith(frozen)}

    def frozen_stages(self) -> list[nn.Module]:
        """List the stages that do not learn.

        Returns:
            The first stages, in the order of use; empty with `trained: all`.
        """
        return list(self.stages.values())[: self._num_frozen]


def _resize(x: Float[Tensor, "b c _ _"], grid: Sequence[int]) -> Float[Tensor, "b c h w"]:
    return x if x.shape[-2:] == grid else F.interpolate(x, grid, mode="bilinear")


def packed_length(shapes: Sequence[tuple[int, ...]], channels: int) -> int:
    """Compute the width of packed features.

    Args:
        shapes: shapes of the tensors without b.
        channels: number i of channels of the inputs in whose place the features are passed.

    Returns:
        Number k of values in each channel of (b, i, 1, k).
    """
    return -(-sum(map(math.prod, shapes)) // channels)


def pack_features(features: Sequence[Float[Tensor, "b ..."]], channels: int) -> Float16[Tensor, "b i 1 k"]:
    """Pack the tensors of `forward_frozen` in one of half precision, which has the axes of an input.

    Args:
        features: tensors (b, ...).
        channels: number i of channels of the inputs.

    Returns:
        (b, i, 1, k): all values of a sample in a row, filled up with zeros to a multiple of i.
    """
    rows = torch.cat([x.float().flatten(1) for x in features], dim=1).half()
    return F.pad(rows, (0, -rows.shape[1] % channels)).reshape(len(rows), channels, 1, -1)


def unpack_features(
    packed: Float[Tensor, "b i 1 k"], shapes: Sequence[tuple[int, ...]]
) -> tuple[Float[Tensor, "b ..."], ...]:
    """Unpack what `pack_features` packed, in single precision or, where there is autocast, in its type.

    Args:
        packed: (b, i, 1, k) packed features.
        shapes: shapes of the tensors without b.

    Returns:
        Tensors (b, ...).
    """
    sizes = [math.prod(shape) for shape in shapes]
    rows, device = packed.flatten(1), packed.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    values = rows[:, : sum(sizes)].to(dtype).split(sizes, dim=1)
    return tuple(x.reshape(len(rows), *shape) for x, shape in zip(values, shapes, strict=True))

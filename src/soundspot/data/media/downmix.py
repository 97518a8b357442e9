"""Mono of many channels, so that no source is lost.

- Stereo is the mean of its channels.
- Loudspeakers (5.1 and the like) are added as a player does: center 0.71, left and right 0.5, all others 0.35, and
  without the one for low frequencies, unless it is alone.
- A sound field (ambisonics, said by the file) is its first channel, which hears all directions alike.
- Other channels, of which the file does not say what they are, are averaged.

In each quarter of a second, counted from the beginning of the file, in which channels cancel each other (their sum has
less than half of the power that it would have if they had nothing in common), one channel is taken instead, in which
what is in phase and what is not are both heard: the first that has half of the power of the loudest. The rule looks at
whole quarters only, so that any window of a file is that of the whole.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

Channels = Literal["mono", "mean", "left"]
Samples = Float32[np.ndarray, "t c"]

_BLOCKS = 4  # a second, in which channels are compared
_CANCELED = 0.5  # share of the power below which the sum of channels counts as canceled
# what players take for 6 or 8 channels without a name
_SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")
_OTHER = math.sqrt(0.125)
_WEIGHTS = {"FL": 0.5, "FR": 0.5, "DL": 0.5, "DR": 0.5, "FC": math.sqrt(0.5), "LFE": 0.0, "AMBI0": 1.0}


@dataclass(frozen=True)
class ChannelLayout:
    """Channel layout of a track.

    Attributes:
        name: FFmpeg's name of the layout, such as `stereo`, `5.1`, `ambisonic 1` or `4 channels`; `b-format` for a WAV
            that says so.
        weights: (c,) weight of each channel in the sum that is its mono.
    """

    name: str
    weights: tuple[float, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for a listener who may know more about the channels than the file says."""
        if len(self.weights) == 4 and not is_sound_field(self.name):
            return (
                "The sound has four channels, and the file does not say that they are a sound field (first-order "
                "ambisonics). If they are, its first channel hears all directions: in Python "
                "`read_audio(path, channels='left')`.",
            )
        return ()

    @property
    def player_layout(self) -> str:
        """FFmpeg's name of the layout for a player: `mono` where the channels are no loudspeakers."""
        if len(self.weights) <= 2:
            return ("mono", "stereo")[len(self.weights) - 1]
        return "mono" if is_sound_field(self.name) or self.name.endswith("channels") else self.name

    def for_player(self, samples: Samples) -> Samples:
        """Convert samples to `player_layout`.

        Args:
            samples: (t, c) samples.

        Returns:
            The same samples, or (t, 1) weighted sums of their channels.
        """
        is_mono = self.player_layout == "mono"
        return samples @ np.array(self.weights, np.float32)[:, None] if is_mono else samples


def is_sound_field(layout: str) -> bool:
    """Return whether a layout is ambisonic.

    Args:
        layout: name of a `ChannelLayout`.

    Returns:
        True for ambisonics of any order.
    """
    return layout.startswith(("ambisonic", "b-format"))


def describe_channels(layout: Any, is_b_format: bool) -> ChannelLayout:
    """Derive the weights of channels from what they are.

    Args:
        layout: FFmpeg's channel layout (`av.AudioLayout`).
        is_b_format: whether the file says that its channels are B-format (W X Y Z, W stored at 0.71).

    Returns:
        The layout.
    """
    count = layout.nb_channels
    if is_b_format:
        return ChannelLayout("b-format", (math.sqrt(2), *[0.0] * (count - 1)))
    names = [channel.name for channel in layout.channels]
    if set(names) == {"NONE"} and count in (6, 8):
        names = [*_SURROUND[:count]]
    if count < 3 or "NONE" in names:
        return ChannelLayout(layout.name, (1 / count,) * count)
    weights = (_WEIGHTS.get(name, 0.0 if name.startswith("AMBI") else _OTHER) for name in names)
    return ChannelLayout(layout.name, tuple(weights))


def block_size(rate: int) -> int:
    """Return the number of samples in which channels are compared.

    Args:
        rate: sample rate in Hz.

    Returns:
        Those of a quarter of a second, at least 1.
    """
    return max(1, rate // _BLOCKS)


def downmix(samples: Samples, layout: ChannelLayout, rate: int) -> tuple[Float32[np.ndarray, " t"], int]:
    """Reduce the channels of a signal that begins with a block of its file.

    Args:
        samples: (t, c) samples.
        layout: what the channels are.
        rate: sample rate in Hz.

    Returns:
        (t,) mono samples, and the number of samples in which channels cancel.
    """
    if samples.shape[1] == 1:
        return samples[:, 0], 0
    weights = np.array(layout.weights, np.float32)
    mono = samples.mean(axis=1) if len(set(layout.weights)) == 1 else samples @ weights
    if is_sound_field(layout.name) or not samples.size:
        return mono, 0
    size, count = block_size(rate), 0
    starts = np.arange(0, len(samples), size)
    power = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    of_mono = np.add.reduceat(np.square(mono, dtype=np.float64), starts)
    is_canceled = (of_mono < _CANCELED * (power @ np.square(weights, dtype=np.float64))) | (
        (of_mono == 0) & (power.max(axis=1) > 0)
    )
    for number in np.flatnonzero(is_canceled):
        block = slice(starts[number], starts[number] + size)
        mono[block] = samples[block, (2 * power[number] >= power[number].max()).argmax()]  # the same one, mostly
        count += len(mono[block])
    return mono, count


def cancellation_notes(num_canceled: int, rate: int) -> tuple[str, ...]:
    """Say for how long channels cancel.

    Args:
        num_canceled: number of samples in which they do.
        rate: sample rate in Hz.

    Returns:
        A sentence; nothing where it is less than a second in all.
    """
    if num_canceled < rate:
        return ()
    seconds = f"{num_canceled / rate:.1f} s"
    return (f"The channels cancel each other for {seconds} (opposite phase): the loudest of them is heard there.",)


def iter_mono(
    chunks: Iterator[tuple[int, Samples]],
    layout: ChannelLayout,
    rate: int,
    on_canceled: Callable[[int], None] = lambda count: None,
) -> Iterator[tuple[int, Float32[np.ndarray, " t"]]]:
    """Reduce the channels of a stream, in whole blocks of its file.

    Args:
        chunks: number of the first sample, and samples (t, c), one chunk after the other.
        layout: what the channels are.
        rate: sample rate in Hz.
        on_canceled: called with the number of samples in which channels cancel.

    Yields:
        Number of the first sample, and mono samples (t,). What comes before the first whole block is left out.
    """
    if len(layout.weights) == 1:
        yield from ((position, samples[:, 0]) for position, samples in chunks)
        return
    waiting, first, end, size = list[Samples](), -1, 0, block_size(rate)

    def mix(samples: Samples) -> Float32[np.ndarray, " t"]:
        mono, num_canceled = downmix(samples, layout, rate)
        on_canceled(num_canceled)
        return mono

    for position, samples in chunks:
        if first < 0:
            first = end = -(-position // size) * size
        waiting.append(samples[max(0, first - position) :])
        end = max(end, position + len(samples))
        if end - first >= rate:
            samples_so_far = np.concatenate(waiting)
            count = (end - first) // size * size
            yield first, mix(samples_so_far[:count])
            waiting, first = [samples_so_far[count:]], first + count
    if end > first >= 0:
        yield first, mix(np.concatenate(waiting))

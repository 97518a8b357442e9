"""Mono of many channels, so that no source is lost.

- Stereo is the mean of its channels.
- Loudspeakers (5.1 and the like) are added as a player does: center 0.71, left and right 0.5, all others 0.35.
- A sound field (ambisonics, said by the file) is its first channel, which hears all directions alike.
- Other channels, of which the file does not say what they are, are averaged.

In each second, counted from the beginning of the file, in which channels cancel each other (their sum has less than a
tenth of the power that they would have if they had nothing in common), the loudest channel is taken instead. The rule
looks at whole seconds only, so that any window of a file is that of the whole.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

Channels = Literal["mono", "mean", "left"]
Samples = Float32[np.ndarray, "t c"]

_CANCELED = 0.1  # share of the power below which the sum of channels counts as canceled
# what players take for 6 or 8 channels without a name
_SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")
_OTHER = math.sqrt(0.125)
_WEIGHTS = {"FL": 0.5, "FR": 0.5, "DL": 0.5, "DR": 0.5, "FC": math.sqrt(0.5), "AMBI0": 1.0}


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
                "The sound has four channels, which are taken for loudspeakers. If they are a sound field "
                "(first-order ambisonics), its first channel hears all directions: `channels='left'` of `read_audio`.",
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


def downmix(samples: Samples, layout: ChannelLayout, rate: int) -> Float32[np.ndarray, " t"]:
    """Reduce the channels of a signal that begins on a whole second of its file.

    Args:
        samples: (t, c) samples.
        layout: what the channels are.
        rate: sample rate in Hz.

    Returns:
        (t,) mono samples.
    """
    if samples.shape[1] == 1:
        return samples[:, 0]
    weights = np.array(layout.weights, np.float32)
    mono = samples.mean(axis=1) if len(set(layout.weights)) == 1 else samples @ weights
    if is_sound_field(layout.name) or not samples.size:
        return mono
    starts = np.arange(0, len(samples), rate)
    power = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    apart = power @ np.square(weights, dtype=np.float64)
    for second in np.flatnonzero(np.add.reduceat(np.square(mono, dtype=np.float64), starts) < _CANCELED * apart):
        samples_of_second = slice(starts[second], starts[second] + rate)
        mono[samples_of_second] = samples[samples_of_second, power[second].argmax()]
    return mono


def iter_mono(
    chunks: Iterator[tuple[int, Samples]], layout: ChannelLayout, rate: int
) -> Iterator[tuple[int, Float32[np.ndarray, " t"]]]:
    """Reduce the channels of a stream, in whole seconds of its file.

    Args:
        chunks: number of the first sample, and samples (t, c), one chunk after the other.
        layout: what the channels are.
        rate: sample rate in Hz.

    Yields:
        Number of the first sample, and mono samples (t,). What comes before the first whole second is left out, unless
        it is the beginning of the file.
    """
    if len(layout.weights) == 1:
        yield from ((position, samples[:, 0]) for position, samples in chunks)
        return
    waiting, first, end = list[Samples](), -1, 0
    for position, samples in chunks:
        if first < 0:
            first = end = -(-position // rate) * rate
        waiting.append(samples[max(0, first - position) :])
        end = max(end, position + len(samples))
        if end - first >= rate:
            samples_so_far = np.concatenate(waiting)
            count = (end - first) // rate * rate
            yield first, downmix(samples_so_far[:count], layout, rate)
            waiting, first = [samples_so_far[count:]], first + count
    if end > first >= 0:
        yield first, downmix(np.concatenate(waiting), layout, rate)

"""Encoded audio around each frame of a video: each hop of a window that slides over the audio is encoded once."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.data.media.audio import pad_to_window
from soundspot.data.media.audio_stream import SlidingWindow
from soundspot.inference.batch_localizer import BatchLocalizer
from soundspot.types import Audio


@dataclass(frozen=True)
class _EncodedWindow:
    """Encoded window of audio that begins at a second, and lasts some."""

    encoded: Float[Tensor, "..."]
    start: float
    seconds: float
    is_silent: bool


class AudioWindowEncoder:
    """Encode the window of audio around given times; each hop of the window is encoded once.

    Args:
        localizer: localizer of a method that takes waveforms.
        windows: sliding window over the audio, as long as the method's.
        hop: step of the window in seconds.

    Attributes:
        notes: sentences for a reader of the results.
    """

    def __init__(self, localizer: BatchLocalizer, windows: SlidingWindow, hop: float | int) -> None:
        self._localizer, self._windows, self._hop = localizer, windows, hop
        self._encoded: dict[int, _EncodedWindow] = {}
        self.notes: tuple[str, ...] = ()

    def encode(self, times: list[float]) -> tuple[Float[Tensor, "b ..."], list[bool]]:
        """Encode the audio around times.

        Args:
            times: b times in seconds, rising, also from call to call.

        Returns:
            (b, ...) encoded audio around each time, and whether its window is silent.
        """
        hops = [round(time / self._hop) for time in times]
        if new := sorted(set(hops) - self._encoded.keys()):
            self._encode(new)
        windows = [self._encoded[hop] for hop in hops]
        self._encoded = {hops[-1]: windows[-1]}
        encoded = torch.stack([window.encoded for window in windows])
        positions = [(time - window.start) / window.seconds for time, window in zip(times, windows, strict=True)]
        moments = self._localizer.audio_at(encoded, torch.tensor(positions).clamp(0, 1))
        return moments, [window.is_silent for window in windows]

    def _encode(self, hops: list[int]) -> None:
        """Encode the windows of rising hops; near the ends of the sound several of them are one."""
        known, starts, audio = {window.start: window for window in self._encoded.values()}, [], dict[float, Audio]()
        for hop in hops:
            window = self._windows.window_at(hop * self._hop)
            starts.append(self._windows.start)
            if starts[-1] not in known:
                audio[starts[-1]] = window
        if audio:
            spec = self._localizer.front_end.audio
            encoded = self._localizer.encode_audio([pad_to_window(window, spec) for window in audio.values()])
            for row, (start, window) in zip(encoded, audio.items(), strict=True):
                known[start] = _EncodedWindow(row, start, window.seconds, window.is_silent)
            self.notes = self.notes or self._localizer.short_audio_notes(next(iter(audio.values())))
        self._encoded |= {hop: known[start] for hop, start in zip(hops, starts, strict=True)}

"""Decoded sound as arrays, of however many channels.

Samples are asked of FFmpeg packed, one after the other: of planar frames PyAV reads the list of planes of a frame,
which has eight places, and past its end where there are as many channels (7.1) or more.
"""

from typing import Any

import av
import numpy as np
from jaxtyping import Float32


class PcmConverter:
    """Makes arrays of the frames of one track.

    Args:
        layout: of channels (`stereo`), rate: samples a second, where they are to be others than the track's own.
    """

    def __init__(self, layout: str | None = None, rate: int | None = None) -> None:
        self._packed = av.AudioResampler(format="flt", layout=layout, rate=rate)

    def __call__(self, frame: Any) -> list[Float32[np.ndarray, "c _"]]:
        """The samples of a frame in [-1, 1], one row a channel; of None what is left."""
        return [frame_to_array(part) for part in self._packed.resample(frame)]


def frame_to_array(packed: Any) -> Float32[np.ndarray, "c t"]:
    """The samples of a packed frame."""
    return packed.to_ndarray().reshape(-1, packed.layout.nb_channels).T


def array_to_frame(samples: Float32[np.ndarray, "c t"], layout: str) -> Any:
    """A packed frame of samples."""
    return av.AudioFrame.from_ndarray(samples.T.reshape(1, -1), format="flt", layout=layout)

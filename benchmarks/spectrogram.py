"""Spectrograms of 128 sounds of three seconds, batched, against scipy.signal.spectrogram one file after the other."""

import numpy as np
import torch
from scipy import signal

from benchmarks import Row, seconds
from soundspot.config.frontend import PRESETS
from soundspot.data.transforms.spectrogram import spectrogram


def run(quick: bool = False) -> list[Row]:
    """The front end of the alignment method; the log is taken in both."""
    spec, rate = PRESETS["alignment"].audio, 16000
    waveforms = torch.empty(8 if quick else 128, 3 * rate).uniform_(
        -0.5, 0.5, generator=torch.Generator().manual_seed(0)
    )
    files = list(waveforms.numpy())

    def one_by_one() -> list[np.ndarray]:
        settings = {"nperseg": spec.n_fft, "noverlap": spec.n_fft - spec.hop}
        return [np.log(signal.spectrogram(x, rate, **settings)[2] + 1e-7) / 12 for x in files]

    theirs, ours = np.stack(one_by_one()), spectrogram(waveforms, spec, rate)[:, 0].numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    plain, batched = seconds(one_by_one), seconds(lambda: spectrogram(waveforms, spec, rate))
    return [Row(f"spectrograms of {len(files)} sounds", 1e3 * plain, 1e3 * batched, "ms", target=1.0)]

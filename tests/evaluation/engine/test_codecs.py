"""What lossy codecs do to peaks takes part in the threshold, and is known to the answer."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from fake import Squares
from soundspot.data.media.lossy import CODECS
from soundspot.evaluation.engine import codecs
from soundspot.evaluation.engine.calibrate import calibrate
from soundspot.evaluation.engine.codecs import measure_codecs
from soundspot.evaluation.engine.items import index_samples
from soundspot.types import Audio


class Treble:
    """Every peak is the level of what MP3 at a low bit rate takes away: above 6 kHz of a sound."""

    def encode_images(self, images: Sequence[Any]) -> Tensor:
        return torch.zeros(len(images), 1)

    def encode_audio(self, audio: Sequence[Audio]) -> Tensor:
        levels = []
        for clip in audio:
            spectrum = torch.fft.rfft(clip.waveform).abs() / len(clip.waveform)
            levels.append(spectrum[int(6000 * clip.seconds) :].square().sum().sqrt())
        return torch.stack(levels)[:, None]

    def maps(self, encoded_images: Tensor, encoded_audio: Tensor) -> Tensor:
        return encoded_audio[:, :, None].expand(-1, 2, 2)


class Hiss(Squares):
    """Sounds of noise, each louder than the one before."""

    def read_audio(self, index: int) -> Audio:
        noise = torch.randn(16000, generator=torch.Generator().manual_seed(index))
        return Audio(noise * (1 + index % len(self)) / 100, 16000)


def test_codecs_move_peaks_and_the_threshold_knows_how_far() -> None:
    data = Hiss(pictures=4)
    samples = index_samples(data, 0)
    peaks = measure_codecs(Treble(), data, samples, 3)
    n = len(data)
    assert len(peaks.own) == len(CODECS) * n
    assert {kind: len(values) for kind, values in peaks.negatives.items()} == dict.fromkeys(
        ("silence", "noise", "offscreen"), len(CODECS) * n
    )
    assert len(peaks.shifts) == 2 * len(CODECS) * n
    assert 0 < peaks.spread <= max(peaks.shifts)
    fitted = calibrate(Treble(), data)
    assert fitted.codec_spread == peaks.spread
    assert fitted.num_coded == 4 * len(CODECS) * n
    assert fitted.num_maps == {"silence": n, "noise": n, "offscreen": n}
    assert "lossy codecs" in fitted.format_summary().splitlines()[-1]
    plain = Treble().encode_audio([data.read_audio(i) for i in samples.offscreen_index])[:, 0].tolist()
    assert fitted.as_dict()["codec_spread"] == fitted.codec_spread
    assert min(peaks.negatives["offscreen"]) < min(plain)  # they lost their treble, and lower the threshold


@pytest.mark.slow
def test_few_samples_are_measured_the_same_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "MAX_SAMPLES", 3)
    data = Hiss(pictures=4)
    whole = measure_codecs(Treble(), data, index_samples(data, 0), 32)
    single = measure_codecs(Treble(), data, index_samples(data, 0), 1)
    assert len(whole.own) == 3 * len(CODECS)
    assert sorted(whole.own) == sorted(single.own)
    assert whole.spread == single.spread


def test_embeddings_have_no_codecs() -> None:
    class Embedded(Hiss):
        def read_audio(self, index: int) -> Any:
            return torch.ones(4)

    data = Embedded(pictures=2)
    peaks = measure_codecs(Treble(), data, index_samples(data, 0), 4)
    assert (peaks.own, peaks.spread) == ([], None)

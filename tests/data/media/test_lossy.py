"""Audio comes back from lossy codecs as from files: the same each time, near to what it was."""

import pytest
import torch

from media_facts import pitch
from soundspot.data.media.lossy import CODECS, Codec, pass_through_codec
from soundspot.types import Audio


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
@pytest.mark.parametrize("level", [0.3, 3.0])
def test_a_tone_comes_back_the_same_each_time(codec: Codec, level: float) -> None:
    noise = 0.1 * torch.randn(32000, generator=torch.Generator().manual_seed(0))
    tone = Audio(level * (torch.sin(2 * torch.pi * 440 * torch.arange(32000) / 16000) + noise), 16000)
    coded, again = pass_through_codec(tone, codec), pass_through_codec(tone, codec)
    assert torch.equal(coded.waveform, again.waveform)
    assert (coded.rate, coded.seconds) == (codec.rate, pytest.approx(2, abs=0.06))
    middle = coded.waveform[codec.rate // 4 : -codec.rate // 4]
    assert pitch(middle.numpy(), coded.rate) == pytest.approx(440, abs=2)
    assert middle.std().item() == pytest.approx(tone.waveform.std().item(), rel=0.1)
    assert middle.abs().max() > 0.9 * level


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_silence_stays_silent_and_a_short_sound_is_no_error(codec: Codec) -> None:
    assert pass_through_codec(Audio(torch.zeros(8000), 16000), codec).is_silent
    assert pass_through_codec(Audio(torch.full((100,), 0.1), 16000), codec).seconds > 0

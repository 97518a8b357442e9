"""Aligners of DenseAV; their values are compared with the released ones in tests/methods/test_denseav.py."""

import torch

from soundspot.models.aligners import AudioAligner, ImageAligner


@torch.no_grad()
def test_audio_has_a_ninth_of_its_frames_in_any_width() -> None:
    for width in (12, 10):  # 10 is padded to 12 for six heads
        tokens, cls = AudioAligner(8, width)(torch.randn(2, 8, 3, 29), torch.randn(2, 8))
        assert tokens.shape == (2, 3, width)
        assert cls.shape == (2, width)


@torch.no_grad()
def test_the_class_token_of_an_image_is_not_normalized() -> None:
    aligner = ImageAligner(8, 4)
    features, cls = torch.randn(1, 8, 2, 2), torch.randn(1, 8)
    aligned, aligned_cls = aligner(features, cls)
    scaled, scaled_cls = aligner(10 * features, 10 * cls)
    assert torch.allclose(aligned, scaled, atol=1e-3)
    assert not torch.allclose(aligned_cls, scaled_cls, atol=0.1)

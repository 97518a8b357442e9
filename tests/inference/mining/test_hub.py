"""Neighbours from public encoders: the adapter, on small random ones in place of those of the hub."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from soundspot.errors import RecipeError
from soundspot.types import Audio

transformers = pytest.importorskip("transformers", reason="the extra `hub` is not installed")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """CLIP's picture tower and CLAP, a few thousand weights each, saved as the hub's files are."""
    clip, clap = (str(tmp_path_factory.mktemp(name)) for name in ("clip", "clap"))
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = transformers.CLIPVisionConfig(**small, image_size=32, patch_size=8, projection_dim=8)
    transformers.CLIPVisionModelWithProjection(vision).save_pretrained(clip)
    return clip, clap


def test_a_missing_model_is_told(tmp_path: Path) -> None:
    from soundspot.inference.mining.hub import HubEmbedder

    with pytest.raises(RecipeError, match=r"cannot be loaded .*name one on the hub or a folder"):
        HubEmbedder(str(tmp_path / "none"), str(tmp_path / "none"))


def test_pictures_become_unit_vectors(folders: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from soundspot.inference.mining import hub

    class Clap:
        """Stands in for CLAP: means of the waveform as a vector."""

        def to(self, _: str) -> "Clap":
            return self

        eval = lambda self: self  # noqa: E731

        def get_audio_features(self, heard: torch.Tensor) -> torch.Tensor:
            return torch.stack([heard.mean(1), heard.std(1)], dim=1)

    class Inputs(dict):
        def to(self, _: str) -> "Inputs":
            return self

    class Processor:
        class feature_extractor:
            sampling_rate = 48000
            nb_max_samples = 480000

        def __call__(self, audio: list[np.ndarray], sampling_rate: int, return_tensors: str) -> Inputs:
            assert sampling_rate == 48000
            assert {len(one) for one in audio} == {48000}
            return Inputs(heard=torch.from_numpy(np.stack(audio)))

    monkeypatch.setattr(transformers.ClapModel, "from_pretrained", lambda _: Clap())
    monkeypatch.setattr(transformers.ClapProcessor, "from_pretrained", lambda _: Processor())
    embedder = hub.HubEmbedder(*folders)
    pictures = embedder.embed_images([Image.new("RGB", (40, 30), c) for c in ("red", "blue", "red")])
    sounds = embedder.embed_audio([Audio(torch.rand(16000), 16000), Audio(torch.rand(16000), 16000)])
    torch.testing.assert_close(pictures.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(sounds.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(pictures[0], pictures[2])
    assert (pictures[0] - pictures[1]).abs().max() > 1e-4


@pytest.fixture(params=["unfused", "fused"])
def clap_folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """CLAP of random weights that cuts at random or fuses random crops, for sounds of up to a second."""
    torch.manual_seed(0)
    is_fused = request.param == "fused"
    audio = {
        "spec_size": 64, "num_mel_bins": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1], "hidden_size": 16,
        "num_attention_heads": [1, 2], "window_size": 4, "patch_size": 4, "patch_stride": [4, 4], "mlp_ratio": 2.0,
        "enable_fusion": is_fused, "projection_dim": 8,
    }  # fmt: skip
    text = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=8)
    transformers.ClapModel(config).save_pretrained(tmp_path)
    transformers.ClapFeatureExtractor(
        feature_size=16, sampling_rate=8000, hop_length=80, max_length_s=1, fft_window_size=256, frequency_max=4000,
        truncation="fusion" if is_fused else "rand_trunc",
    ).save_pretrained(tmp_path)  # fmt: skip
    return str(tmp_path)


def test_a_long_sound_has_one_embedding_whatever_is_beside_it(
    folders: tuple[str, str], clap_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soundspot.inference.mining import hub

    class Processor:  # without a text tokenizer, which CLAP's own needs
        feature_extractor = transformers.ClapFeatureExtractor.from_pretrained(clap_folder)

        def __call__(self, audio: list[np.ndarray], **options: object) -> object:
            return self.feature_extractor(audio, **options)

    monkeypatch.setattr(transformers.ClapProcessor, "from_pretrained", lambda _: Processor())
    embedder = hub.HubEmbedder(folders[0], clap_folder)
    noise = torch.randn(80000, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.01, 0.5, 80000)
    long, short, other = Audio(noise, 16000), Audio(noise[:9000], 16000), Audio(noise[-12000:], 16000)
    np.random.seed(0)  # noqa: NPY002 (the generator that transformers draws from)
    first = embedder.embed_audio([long, short])
    again = embedder.embed_audio([other, short, long, other])
    assert torch.equal(first[0], again[2])
    assert torch.equal(first[1], again[1])
    torch.testing.assert_close(first.norm(dim=1), torch.ones(2))
    assert (first[0] - embedder.embed_audio([Audio(noise[:16000], 16000)])[0]).abs().max() > 1e-6  # all of it counts


def test_windows_cover_a_waveform_evenly() -> None:
    from soundspot.inference.mining.hub import divide

    waveform = torch.arange(25)
    assert [part.tolist() for part in divide(waveform.float(), 30)] == [waveform.tolist()]
    assert [(int(part[0]), len(part)) for part in divide(waveform.float(), 10)] == [(0, 10), (8, 10), (15, 10)]
    assert [(int(part[0]), len(part)) for part in divide(waveform[:20].float(), 10)] == [(0, 10), (10, 10)]
    assert [len(part) for part in divide(torch.zeros(1005), 1000)] == [1000]
    assert [len(part) for part in divide(torch.zeros(1011), 1000)] == [1000, 1000]


def test_a_checkpoint_comes_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    from soundspot.errors import CheckpointError
    from soundspot.inference.mining.hub import fetch_checkpoint

    asked = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        if repository == "me/none":
            raise OSError("404\nand more")
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert fetch_checkpoint("me/model").name == "model.safetensors"
    assert fetch_checkpoint("me/model/a/b.safetensors").name == "b.safetensors"
    assert asked == [("me/model", "model.safetensors"), ("me/model", "a/b.safetensors")]
    with pytest.raises(CheckpointError, match=r"hub:me/none cannot be fetched \(404\)"):
        fetch_checkpoint("me/none")
    with pytest.raises(CheckpointError, match="expected hub:OWNER/NAME"):
        fetch_checkpoint("model")

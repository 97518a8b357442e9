"""Generated images: seeds, prompts, black ones, a kill. The model is a stand-in with the interface of the real one."""

import sys
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from soundspot.benchmark.generate import DiffusersGenerator, ImageGenerator, generate_images
from soundspot.benchmark.plan import make_plan
from soundspot.benchmark.project import Project, create_project
from soundspot.errors import DataError, InputError
from soundspot.utils.hash_rng import make_generator


class Painter:
    """Paints noise by prompt and seed; black for seeds of which `is_black` says so."""

    name = "painter"

    def __init__(self, is_black=lambda seed: False) -> None:
        self.is_black, self.calls = is_black, []

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        self.calls.append(list(zip(prompts, seeds, strict=True)))
        return [self._paint(prompt, seed) for prompt, seed in self.calls[-1]]

    def _paint(self, prompt: str, seed: int) -> Image.Image:
        if self.is_black(seed):
            return Image.new("RGB", (40, 40))
        pixels = make_generator(seed, prompt).integers(0, 255, (40, 40, 3))
        return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture
def empty(tmp_path) -> Project:
    return create_project(tmp_path / "p", make_plan("made", ["dog", "cat", "cow"], images_per_pair=2, seed=4))


def test_each_image_has_its_prompt_and_seed(empty: Project) -> None:
    painter = Painter()
    assert isinstance(painter, ImageGenerator)
    assert generate_images(empty, painter, license="CC0 1.0", batch_size=4).num_added == 6
    assert [len(call) for call in painter.calls] == [4, 2]
    for record in empty.journal.read_images():
        planned = empty.plan.image(record.number)
        assert record.source.details == {"model": "painter", "prompt": planned.prompt, "seed": planned.seed}
        assert (record.source.kind, record.source.license) == ("generated", "CC0 1.0")


def test_what_was_stopped_goes_on(empty: Project) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_images(empty, Painter(), batch_size=1, on_image=stop)
    painter = Painter()
    assert generate_images(empty, painter, batch_size=2).num_added == 5
    assert generate_images(empty, painter).num_added == 0


def test_a_black_image_gets_another_seed(empty: Project) -> None:
    first = empty.plan.image(0).seed
    painter = Painter(lambda seed: seed == first)
    assert generate_images(empty, painter, batch_size=3).messages == ()
    assert empty.journal.read_images("number = 0")[0].source.details["seed"] == first + 2**31


def test_an_image_that_stays_black_is_named(empty: Project) -> None:
    last = empty.plan.image(5).seed
    summary = generate_images(empty, Painter(lambda seed: seed % 2**31 == last), batch_size=2)
    assert (summary.num_added, summary.num_missing) == (5, 1)
    assert "cat_cow_00005: painter gave 3 images that show nothing" in summary.messages


def test_a_model_that_paints_black_is_stopped(empty: Project) -> None:
    painter = Painter(lambda seed: True)
    with pytest.raises(DataError, match="images that are black all over, 3 times for each of 2 prompts"):
        generate_images(empty, painter, batch_size=2)
    assert len(painter.calls) == 3


def test_a_plan_without_prompts_generates_nothing(tmp_path) -> None:
    project = create_project(tmp_path / "p", make_plan("made", ["dog", "cat"], prompts=[]))
    with pytest.raises(DataError, match="the plan has no prompts"):
        generate_images(project, Painter())


def test_diffusers_is_asked_as_its_pipelines_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict = {}

    class Pipeline:
        @classmethod
        def from_pretrained(cls, name: str) -> "Pipeline":
            if name == "nothing":
                raise OSError("no such repository")
            return cls()

        def to(self, device: str) -> "Pipeline":
            asked["device"] = device
            return self

        def set_progress_bar_config(self, disable: bool) -> None:
            assert disable

        def __call__(self, **options: object) -> SimpleNamespace:
            asked.update(options)
            return SimpleNamespace(images=[Image.new("RGB", (8, 8))] * 2)

    monkeypatch.setitem(sys.modules, "diffusers", SimpleNamespace(AutoPipelineForText2Image=Pipeline))
    images = DiffusersGenerator("tiny", "cpu", steps=2, side=64).generate(["a", "b"], [1, 2])
    assert len(images) == 2
    assert (asked["prompt"], asked["num_inference_steps"], asked["height"], asked["width"]) == (["a", "b"], 2, 64, 64)
    assert [generator.initial_seed() for generator in asked["generator"]] == [1, 2]
    with pytest.raises(InputError, match="nothing: cannot be read"):
        DiffusersGenerator("nothing")


def test_without_diffusers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InputError, match=r"soundspot\[generate\]"):
        DiffusersGenerator("any")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_tiny_pipeline_of_diffusers_paints(empty: Project, tmp_path) -> None:
    """Random weights, saved and loaded as a pipeline is from the hub."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is absent: no pipeline is tested")
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [*map(chr, range(33, 127)), *map(chr, range(161, 173)), *map(chr, range(174, 256))]
    letters += [chr(256 + n) for n in range(256 - len(letters))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])
    tokenizer.model_max_length = 64
    last = len(words) - 1
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"vocab_size": len(words), "eos_token_id": last, "pad_token_id": last, "bos_token_id": last - 1}
    text = CLIPTextModel(CLIPTextConfig(**sizes, **ids, max_position_embeddings=64))
    down, up = ("DownBlock2D", "CrossAttnDownBlock2D"), ("CrossAttnUpBlock2D", "UpBlock2D")
    layers = {"block_out_channels": (8, 16), "norm_num_groups": 4}
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, layers_per_block=1, down_block_types=down, up_block_types=up, cross_attention_dim=16,
        attention_head_dim=2, **layers,
    )  # fmt: skip
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae = diffusers.AutoencoderKL(latent_channels=4, **blocks, **layers)
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=diffusers.DDIMScheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(tmp_path / "tiny")
    generator = DiffusersGenerator(str(tmp_path / "tiny"), steps=2, side=64)
    first, second = (generator.generate(["a dog"], [seed])[0] for seed in (1, 1))
    assert np.array_equal(first, second)
    assert generate_images(empty, generator, batch_size=2).num_added == 6
    assert empty.journal.read_images()[0].source.details["model"] == "tiny"

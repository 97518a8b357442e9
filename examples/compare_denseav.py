"""Compares DenseAV with its released code and writes a golden case: python examples/compare_denseav.py REPOSITORY

REPOSITORY is a clone of mhamilton723/DenseAV (2221b8c), which is read and run and not changed. Its featurizer imports
timm, of which it uses nothing: an empty module stands for it. `--full` compares networks of the released sizes instead.
"""

import argparse
import ast
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel

from soundspot.config.frontend import PRESETS, InputSpec
from soundspot.importers import import_checkpoint
from soundspot.methods.denseav import DenseAV
from soundspot.models.hubert import LARGE

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "denseav"
sys.path.insert(0, str(ROOT / "tests"))
from released import filled, inputs_of  # noqa: E402

SMALL = SimpleNamespace(width=10, vit=64, depth=2, grid=4, hubert={"hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 1, "intermediate_size": 128, "conv_dim": [16] * 7})  # fmt: skip
FULL = SimpleNamespace(width=384, vit=384, depth=12, grid=28, hubert={})
RANK, SAMPLES = 8, 16_000
INPUTS = {"image": ["image", [2, 3, 32, 32]], "wide": ["wide", [2, 3, 40, 56]], "audio": ["audio", [2, SAMPLES]]}
CASES = (2, True, False), (1, False, False), (2, False, True)  # heads, class token, unit norm
CONFIG = {"sim_agg_heads": 2, "sim_use_cls": True, "nonneg_sim": False, "norm_vectors": False}


def functions(path: Path, names: set[str], namespace: dict[str, Any]) -> SimpleNamespace:
    """The functions of a file that imports more than is at hand."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    for node in nodes:
        if node.name in names:
            exec(compile(ast.Module([node], []), str(path), "exec"), namespace)
    return SimpleNamespace(**{name: namespace[name] for name in names})


class Released:
    """The released modules, put together as train.py does."""

    def __init__(self, repository: Path, sizes: SimpleNamespace, config: dict[str, Any]) -> None:
        sys.path.insert(0, str(repository))
        sys.modules.setdefault("timm", ModuleType("timm"))
        from denseav.aggregators import get_aggregator
        from denseav.aligners import get_aligner
        from denseav.featurizers.DINO import VisionTransformer, eps

        norm = lambda width: nn.LayerNorm(width, eps=eps)  # noqa: E731
        self.config = config
        self.vit = VisionTransformer(
            [8 * sizes.grid], 8, embed_dim=sizes.vit, depth=sizes.depth, num_heads=sizes.vit // 64, qkv_bias=True,
            norm_layer=norm)  # fmt: skip
        self.hubert = HubertModel(HubertConfig(**(LARGE | sizes.hubert)))
        channels = self.hubert.config.hidden_size
        self.image_aligner = get_aligner("image_linear", sizes.vit, sizes.width)
        self.audio_aligner = get_aligner("audio_sa_3_3_pool_2", channels, sizes.width)
        self.audio_cls = torch.randn(channels)
        heads, use_cls = config["sim_agg_heads"], config["sim_use_cls"]
        self.aggregator = get_aggregator("misa", config["nonneg_sim"], True, heads, "max_elementwise", use_cls, 0)
        self.scale = 1.0 if sizes is SMALL else 0.3  # attention of large random weights has no stable value
        for module in (self.vit, self.hubert, self.image_aligner, self.audio_aligner):
            module.eval().requires_grad_(False)

    def parts(self) -> dict[str, nn.Module]:
        names = {"image_model.base_model.model.model": self.vit, "audio_model.model": self.hubert}
        return names | {"image_aligner": self.image_aligner, "audio_aligner": self.audio_aligner}

    def fill(self) -> dict[str, Tensor]:
        """Fill all weights by their names, merge LoRA by hand, and return the state dict with LoRA apart."""
        state = {
            f"{part}.{name}": x for part, module in self.parts().items() for name, x in module.state_dict().items()
        }
        state["audio_cls"], state["sim_cal.w"] = self.audio_cls, torch.ones(1)
        for n, block in enumerate(self.vit.blocks):
            stem = f"image_model.base_model.model.model.blocks.{n}.attn.qkv"
            out, width = block.attn.qkv.weight.shape
            state[f"{stem}.lora_A.default.weight"] = torch.zeros(RANK, width)
            state[f"{stem}.lora_B.default.weight"] = torch.zeros(out, RANK)
        state = {name: self.scale * filled(name, list(value.shape), "float32") for name, value in state.items()}
        for part, module in self.parts().items():
            module.load_state_dict({name: state[f"{part}.{name}"] for name in module.state_dict()})
        for n, block in enumerate(self.vit.blocks):
            stem = f"image_model.base_model.model.model.blocks.{n}.attn.qkv"
            first, second = (state[f"{stem}.lora_{side}.default.weight"] for side in "AB")
            block.attn.qkv.weight += 32 / RANK * second @ first
        self.audio_cls = state["audio_cls"]
        return state

    def features(self, image: Tensor, audio: Tensor) -> dict[str, Tensor]:
        h, w = (side // 8 for side in image.shape[-2:])
        tokens = self.vit.get_intermediate_feat(image, n=1)[0][0]
        grid = tokens[:, 1:].reshape(len(image), h, w, -1).permute(0, 3, 1, 2)
        image_feats, image_cls = self.image_aligner(grid, tokens[:, 0])
        heard = self.hubert(audio).last_hidden_state.permute(0, 2, 1).unsqueeze(2)
        audio_feats, audio_cls = self.audio_aligner(heard, self.audio_cls.broadcast_to(len(audio), -1))
        if self.config["norm_vectors"]:
            image_feats, audio_feats = F.normalize(image_feats, dim=1), F.normalize(audio_feats, dim=1)
        return {"image_feats": image_feats, "image_cls": image_cls, "audio_feats": audio_feats, "audio_cls": audio_cls}


def compute(released: Released, code: Path, image: Tensor, audio: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """What the released code makes of a batch: features, mean map and score, and maps over time of its demo."""
    features = released.features(image, audio)
    namespace = {"torch": torch, "F": F}
    blur = functions(code / "shared.py", {"blur_dim"}, namespace).blur_dim
    interpolate = functions(code / "train.py", {"interpolate_mask"}, namespace).interpolate_mask
    preds = features | {"audio_mask": interpolate(None, mask, features["audio_feats"].shape[-1], True)}
    pairwise = released.aggregator.get_pairwise_sims
    sims = pairwise(preds, raw=False, agg_sim=False, agg_heads=True).squeeze(1).mean(-2)  # eval_utils.py
    masks = preds["audio_mask"].float()
    mean_map = torch.einsum("bhwt,bt->bhw", sims, masks) / masks.sum(-1).reshape(-1, 1, 1)
    demo = preds | {"audio_mask": torch.ones_like(masks)}
    by_head = blur(pairwise(demo, raw=False, agg_sim=False, agg_heads=False).mean(dim=-2), window=3, dim=-1)
    score = released.aggregator(preds, agg_heads=True).diagonal()
    return features | {"mean_map": mean_map, "by_head": by_head, "moments": by_head.max(dim=1).values, "score": score}


@torch.no_grad()
def ours(method: DenseAV, image: Tensor, audio: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """The same of our method."""
    images = method.encode_images(image)
    padded = method.encode_audio(torch.stack([audio, mask], dim=1)[:, None])
    whole = method.encode_audio(torch.stack([audio, torch.ones_like(mask)], dim=1)[:, None])
    n, times = whole.shape[1], []
    for index in range(n):
        moment = method.audio_at(whole, torch.full((len(image),), (index + 0.5) / n))
        times.append((method.locate_sources(images, moment)[0], method.similarity_map(images, moment)))
    by_head, moments = (torch.stack(maps, dim=-1) for maps in zip(*times, strict=True))
    features, cls = method.image_aligner(*method.image_encoder.encode(image))
    tokens, audio_cls = method.audio_aligner(
        method.audio_encoder(torch.stack([audio, mask], dim=1)[:, None]), method.audio_cls.expand(len(audio), -1)
    )
    result = {"image_feats": features, "image_cls": cls, "audio_feats": tokens.mT[:, :, None], "audio_cls": audio_cls}
    maps = {"mean_map": method.similarity_map(images, padded), "by_head": by_head, "moments": moments}
    return result | maps | {"score": method.scores(images, padded)}


def compare(repository: Path, is_full: bool) -> None:
    """Print the largest difference of each value, in units of the largest value, and write the golden case."""
    arrays: dict[str, np.ndarray] = {}
    for heads, use_cls, norm in CASES[: 1 if is_full else None]:
        config = CONFIG | {"sim_agg_heads": heads, "sim_use_cls": use_cls, "norm_vectors": norm}
        released = Released(repository, FULL if is_full else SMALL, config)
        state = released.fill()
        method = import_checkpoint({"state_dict": state, "hyper_parameters": config}, "denseav")
        method.front_end = InputSpec(PRESETS["denseav"].image, PRESETS["denseav"].audio)
        x = inputs_of(INPUTS)
        mask = torch.ones(2, SAMPLES)
        mask[1, SAMPLES // 2 :] = 0  # padded
        if is_full:
            x["image"] = torch.nn.functional.interpolate(x["image"], (224, 224), mode="bicubic")
        for name in ("image", "wide"):
            theirs = compute(released, repository / "denseav", x[name], x["audio"], mask)
            for key, value in ours(method, x[name], x["audio"], mask).items():
                if norm and key in ("image_feats", "audio_feats"):
                    continue  # ours are normalized later
                error = (value - theirs[key]).abs().max() / theirs[key].abs().max()
                print(f"heads {heads} cls {use_cls} norm {norm} {name:5} {key:11} {error:.1e}")
                assert error < 1e-5
            if (heads, use_cls) == (2, True):
                arrays |= {f"{name}/{key}": value.numpy() for key, value in theirs.items()}
                names = [[key, [*value.shape], "float32"] for key, value in state.items()]
    if not is_full:
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / "keys.json").write_text(json.dumps(names))
        (GOLDEN / "inputs.json").write_text(json.dumps({"inputs": INPUTS, "hyper_parameters": CONFIG}))
        np.savez_compressed(GOLDEN / "io.npz", **arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    compare(arguments.repository.resolve(), arguments.full)

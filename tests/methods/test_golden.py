"""Released models, rebuilt from their names and shapes: maps and embeddings agree with what they gave.

Walks every `case.json` below $SOUNDSPOT_GOLDEN, so other cases of the same form are checked without a change. A
case whose method has no importer yet is skipped by name.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import golden_root
from released import inputs_of, state_of
from soundspot.config.upsampling import Upsampling, min_max_normalize
from soundspot.importers import IMPORTERS, import_checkpoint
from soundspot.methods import Method
from soundspot.types import Batch

CASES = sorted(golden_root().glob("*/case.json"))
TRAINED = [case for case in CASES if (case.parent / "train.json").exists()]
TOLERANCE = 2e-5  # cosine units
LOGITS = {"ezvsl": 0.03, "slavc": 0.03, "fnac": 0.03}  # these releases' maps are cosine / tau, ours the cosines


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.parent.name)
def test_released_model(case: Path) -> None:
    spec = json.loads(case.read_text())
    if spec["method"] not in IMPORTERS:
        pytest.skip(f"no importer of {spec['method']}")
    method = import_checkpoint(state_of(case), spec["method"])
    arrays = np.load(case.parent / spec["arrays"])
    x = inputs_of(spec["inputs"])
    with torch.no_grad():
        maps = method.maps(x["image"], x["audio"])
        grid, vector = method.encode_images(x["image"]), method.encode_audio(x["audio"])
    tau = LOGITS.get(spec["method"], 1.0)
    wanted = arrays[spec["map"]].reshape(maps.shape)
    np.testing.assert_allclose(maps / tau, wanted, rtol=0, atol=TOLERANCE if tau == 1 else 1e-4)
    for number, half in enumerate(
        ("identification", "localization"), start=1
    ):  # SLAVC's features lie side by side, together of unit norm
        if f"img{number}" in arrays:
            assert hasattr(method, half)
            theirs = arrays[f"img{number}"]
            ours = grid.chunk(2, 1)[number - 1][:, : theirs.shape[1]] * 2**0.5
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)
            heard = vector.chunk(2, 1)[number - 1] * 2**0.5
            np.testing.assert_allclose(heard, arrays[f"aud{number}"], rtol=0, atol=TOLERANCE)
    if "map_momentum" in arrays:
        method.momentum_maps = True  # type: ignore[assignment]
        with torch.no_grad():
            slow = method.maps(x["image"], x["audio"])
        np.testing.assert_allclose(slow / tau, arrays["map_momentum"], rtol=0, atol=1e-4)
    check_upsampled(method, maps[:1] / tau, arrays)
    for name, ours in (("img", grid), ("aud", vector)):
        if name in arrays:
            theirs = arrays[name]
            np.testing.assert_allclose(ours[tuple(slice(0, n) for n in theirs.shape)], theirs, rtol=0, atol=TOLERANCE)


def check_upsampled(method: Method, maps: torch.Tensor, arrays: Mapping[str, np.ndarray]) -> None:
    """The released read-outs of the EZ-VSL family, which are kept as they came, without min-max; its own is one."""
    aligned = {"slavc": "bicubic-aligned"}.get(method.name, "bicubic")
    names = {"bilinear-aligned": "map_up_bilinear_align_sample0", aligned: "map_up_bicubic_sample0"}
    for upsampling, name in names.items():
        if name in arrays:
            ours = Upsampling(upsampling).upsample(maps, 224, 224)[0]  # type: ignore[arg-type]
            np.testing.assert_allclose(ours, arrays[name], rtol=0, atol=1e-4)
            assert method.upsampling.mode in names


def training_case(case: Path) -> tuple[Method, Batch, dict]:
    """A method in training mode without dropout, the batch of four that every such case has, what is expected."""
    spec, expected = json.loads(case.read_text()), json.loads((case.parent / "train.json").read_text())
    if spec["method"] not in IMPORTERS:
        pytest.skip(f"no importer of {spec['method']}")
    method = import_checkpoint(state_of(case), spec["method"]).train()
    if hasattr(method, "dropout"):
        method.dropout = 0.0  # type: ignore[assignment]
    if method.name == "ssltie":  # without moved pictures; test_ssltie.py has them
        method.weights = (1.0, 0.0, 0.0)  # type: ignore[assignment]
    frames = spec["inputs"]["audio"][1][-1]
    x = inputs_of({"image": ["image4", [4, 3, 224, 224]], "audio": ["audio4", [4, 1, 257, frames]]})
    batch = Batch(x["image"][None], x["audio"][None], torch.arange(4))
    return method, batch, expected.get("contrastive", expected)


@pytest.mark.parametrize("case", TRAINED, ids=lambda p: p.parent.name)
def test_released_training(case: Path) -> None:
    """One step from the filled state: the loss to 1e-4, norms of gradients to 1e-3."""
    method, batch, expected = training_case(case)
    method.on_train_step_start(progress=1.0)
    terms = method.losses(batch)
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-4)
    if expected.get("terms"):
        weights = [1.0, 100.0, 100.0, 100.0]
        assert [t.item() / w for t, w in zip(terms.values(), weights, strict=True)] == pytest.approx(
            expected["terms"], rel=1e-4
        )
    importer = IMPORTERS[method.name]
    for name, norm in expected["grad_l2"].items():
        gradient = method.get_parameter(importer.to_local_name(name)).grad
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-3), name
    for name, norm in {**expected.get("momentum_after_l2", {}), **expected.get("momentum_bn_after", {})}.items():
        assert method.state_dict()[importer.to_local_name(name)].norm().item() == pytest.approx(norm, rel=1e-4), name


@pytest.mark.skipif(not any(c.parent.name == "alignment" for c in CASES), reason="golden/alignment is absent")
def test_alignment_read_outs() -> None:
    """1 - minmax(-m) of either upsampling, which is min-max of m but for rounding."""
    arrays = np.load(next(c for c in CASES if c.parent.name == "alignment").parent / "io.npz")
    maps = torch.from_numpy(arrays["map"])[:1]
    for upsampling, name in (("bilinear", "pred_cv2_sample0"), ("bilinear-aligned", "pred_bilinear_align_sample0")):
        ours = min_max_normalize(Upsampling(upsampling).upsample(maps, 224, 224))[0]  # type: ignore[arg-type]
        np.testing.assert_allclose(ours, arrays[name], rtol=0, atol=5e-5)


def test_a_wrapped_state_with_prefixes_is_the_same_model() -> None:
    from soundspot.methods import create

    plain = released_alignment()
    wrapped = {"epoch": 7, "model_state_dict": {f"module.{name}": value for name, value in plain.items()}}
    one, two = import_checkpoint(plain, "alignment"), import_checkpoint(wrapped, "alignment")
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert one.config == create("alignment", projection_width=0).config


def released_alignment() -> dict[str, torch.Tensor]:
    """A state dict with the released names, from our own fresh weights."""
    from soundspot.methods import create

    state = {}
    for name, value in create("alignment", projection_width=0).state_dict().items():
        theirs = name.replace("audio_encoder.conv1.", "audnet.conv1_a.").replace("audio_encoder.", "audnet.")
        state[theirs.replace("image_encoder.", "imgnet.")] = value
    state["imgnet.conv1_flow.weight"] = torch.zeros(64, 6, 7, 7)
    state["audnet.fc.bias"] = torch.zeros(1000)
    return state


def test_missing_encoder_weights_and_unknown_names_are_refused() -> None:
    from soundspot.errors import CheckpointError

    lacking = released_alignment()
    del lacking["imgnet.layer1.0.conv1.weight"]
    with pytest.raises(CheckpointError, match=r"1 missing \(first: imgnet.layer1.0.conv1.weight\)"):
        import_checkpoint(lacking, "alignment")
    with pytest.raises(CheckpointError, match=r"1 unknown \(first: img_proj.weight\)"):
        import_checkpoint({**released_alignment(), "img_proj.weight": torch.zeros(1)}, "alignment")
    with pytest.raises(CheckpointError, match="Did you mean 'alignment'"):
        import_checkpoint({}, "alignmnt")


def released(name: str) -> dict[str, torch.Tensor]:
    """A state dict with a release's names, from our own fresh weights."""
    from soundspot.methods import create

    release = IMPORTERS[name]
    own = create(name, **dict(release.options)).state_dict()
    return {release.to_released_name(key): value for key, value in own.items()} | {
        f"{mark}weight": torch.zeros(1) for mark in release.marker_prefixes
    }


def test_another_methods_checkpoint_is_refused_and_named() -> None:
    from soundspot.errors import CheckpointError

    for asked, given, said in (
        ("slavc", "ezvsl", "ezvsl or fnac or marginnce"),
        ("ezvsl", "slavc", "slavc"),
        ("fnac", "lvs", "alignment or lvs"),
        ("lvs", "fnac", "ezvsl or fnac or marginnce"),
        ("lvs", "ssltie", "ssltie"),
        ("ssltie", "lvs", "alignment or lvs"),
    ):
        with pytest.raises(CheckpointError, match=rf"does not fit: .*Its names are those of {said}: import it as that"):
            import_checkpoint({"model": released(given)}, asked)


@pytest.mark.parametrize("name", ["ezvsl", "fnac", "marginnce", "lvs", "slavc", "ssltie"])
def test_missing_unknown_and_misshapen_names_are_told(name: str) -> None:
    from soundspot.errors import CheckpointError

    state = released(name)
    wrapped = {"epoch": 3, "model": {f"module.{key}": value for key, value in state.items()}}
    assert import_checkpoint(wrapped, name).name == name
    stem = "imgnet.conv1.weight"
    with pytest.raises(CheckpointError, match=r"1 missing \(first: imgnet.conv1.weight\)"):
        import_checkpoint({key: value for key, value in state.items() if key != stem}, name)
    with pytest.raises(CheckpointError, match=r"1 unknown \(first: decoder.weight\)"):
        import_checkpoint({**state, "decoder.weight": torch.zeros(1)}, name)
    with pytest.raises(CheckpointError, match=r"imgnet.conv1.weight is \[1, 2\], expected \[64, 3, 7, 7\]"):
        import_checkpoint({**state, stem: torch.zeros(1, 2)}, name)

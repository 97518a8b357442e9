"""Released models, rebuilt from their names and shapes: maps and embeddings agree with what they gave.

Walks every `case.json` below $WHENCE_GOLDEN, so other cases of the same form are checked without a change. A case whose
method has no importer yet is skipped by name.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import golden_root
from released import inputs_of, state_of
from whence.importers import IMPORTERS, import_checkpoint
from whence.readout import min_max

CASES = sorted(golden_root().glob("*/case.json"))
TOLERANCE = 2e-5  # cosine units


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
        grid, vector = method.encode_images(x["image"]), method.encode_sounds(x["audio"])
    np.testing.assert_allclose(maps, arrays[spec["map"]].reshape(maps.shape), rtol=0, atol=TOLERANCE)
    for name, ours in (("img", grid), ("aud", vector)):
        if name in arrays:
            theirs = arrays[name]
            np.testing.assert_allclose(ours[tuple(slice(0, n) for n in theirs.shape)], theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.skipif(not any(c.parent.name == "alignment" for c in CASES), reason="golden/alignment is absent")
def test_alignment_read_outs() -> None:
    """1 - minmax(-m) of either upsampling, which is min-max of m but for rounding."""
    from whence.readout import ReadOut

    arrays = np.load(next(c for c in CASES if c.parent.name == "alignment").parent / "io.npz")
    maps = torch.from_numpy(arrays["map"])[:1]
    for upsampling, name in (("bilinear", "pred_cv2_sample0"), ("bilinear-aligned", "pred_bilinear_align_sample0")):
        ours = min_max(ReadOut(upsampling).upsample(maps, 224, 224))[0]  # type: ignore[arg-type]
        np.testing.assert_allclose(ours, arrays[name], rtol=0, atol=5e-5)


def test_a_wrapped_state_with_prefixes_is_the_same_model() -> None:
    from whence.methods import create

    plain = released_alignment()
    wrapped = {"epoch": 7, "model_state_dict": {f"module.{name}": value for name, value in plain.items()}}
    one, two = import_checkpoint(plain, "alignment"), import_checkpoint(wrapped, "alignment")
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert one.config == create("alignment", projection_width=0).config


def released_alignment() -> dict[str, torch.Tensor]:
    """A state dict with the released names, from our own fresh weights."""
    from whence.methods import create

    state = {}
    for name, value in create("alignment", projection_width=0).state_dict().items():
        theirs = name.replace("audio_encoder.conv1.", "audnet.conv1_a.").replace("audio_encoder.", "audnet.")
        state[theirs.replace("image_encoder.", "imgnet.")] = value
    state["imgnet.conv1_flow.weight"] = torch.zeros(64, 6, 7, 7)
    state["audnet.fc.bias"] = torch.zeros(1000)
    return state


def test_missing_encoder_weights_and_unknown_names_are_refused() -> None:
    from whence.errors import CheckpointError

    lacking = released_alignment()
    del lacking["imgnet.layer1.0.conv1.weight"]
    with pytest.raises(CheckpointError, match=r"1 missing \(first: image_encoder.layer1.0.conv1.weight\)"):
        import_checkpoint(lacking, "alignment")
    with pytest.raises(CheckpointError, match=r"1 unknown \(first: img_proj.weight\)"):
        import_checkpoint({**released_alignment(), "img_proj.weight": torch.zeros(1)}, "alignment")
    with pytest.raises(CheckpointError, match="Did you mean 'alignment'"):
        import_checkpoint({}, "alignmnt")


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    from whence.errors import CheckpointError

    class Bomb:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(CheckpointError, match="cannot be opened as weights"):
        import_checkpoint(tmp_path / "bomb.pth", "alignment")
    assert not (tmp_path / "ran").exists()

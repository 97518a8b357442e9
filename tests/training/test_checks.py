"""What a user may have mistyped is told before anything heavy begins."""

import sys
from pathlib import Path

import pytest

import soundspot
from soundspot.config.load import read_recipe
from soundspot.errors import SoundspotError
from soundspot.training import fit

HELD_OUT = ["--validation.data", '{"name": "scenes", "options": {"length": 8}}']


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--method", '{"name": "ezvsl", "tua": 1}'], "has no option 'tua'. Did you mean 'tau'"),
        ([*HELD_OUT, "--validation.metric", "ciuo_adaptive"], "no score 'ciuo_adaptive'. Did you mean 'ciou_adaptive'"),
        (["--data", '{"name": "catalog", "root": "nowhere", "options": {}}'], "nowhere"),
        (["--validation.data", '{"name": "catalog", "root": "nowhere"}'], "nowhere"),
        ([], "already exists"),
    ],
)
def test_mistakes_are_told_before_lightning_is_imported_and_a_network_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], message: str
) -> None:
    if not overrides:
        (tmp_path / "recipe.yaml").touch()
    monkeypatch.setitem(sys.modules, "soundspot.training.callbacks", None)  # what imports it fails
    monkeypatch.setattr(fit, "build_method", None)
    with pytest.raises(SoundspotError, match=message):
        soundspot.train(read_recipe("ezvsl/debug", overrides), tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"] * (not overrides)

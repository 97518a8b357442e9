"""What the README says is what was measured, and its example runs on what the demo leaves behind."""

import importlib.util

from conftest import ROOT


def test_the_readmes_tables_are_the_reports() -> None:
    spec = importlib.util.spec_from_file_location("results", ROOT / "examples" / "results.py")
    assert spec is not None
    assert spec.loader is not None
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)
    shown = (ROOT / "README.md").read_text(encoding="utf-8").split(results.BEGIN)[1].split(results.END)[0]
    assert shown.strip() == results.rendered().strip()

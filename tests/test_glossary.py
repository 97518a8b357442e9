"""The glossary names modules and classes that exist."""

import re
from importlib import import_module

from conftest import ROOT


def test_the_glossary_leads_to_code_that_exists() -> None:
    names = re.findall(r"`(soundspot\.[\w.]+)`", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
    assert len(names) > 30
    for name in names:
        try:
            import_module(name)
        except ModuleNotFoundError:
            module, _, attribute = name.rpartition(".")
            assert hasattr(import_module(module), attribute), name

"""The site builds without a warning, its links lead somewhere, and no page asks another host for anything."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from conftest import ROOT

LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}
FETCHED = re.compile(r"url\(\s*['\"]?(?:https?:)?//|@import\s+['\"](?:https?:)?//")


class Page(HTMLParser):
    """What a page loads, what it links to, and what in it can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag in LOADED and (where := told.get(LOADED[tag])) and told.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(where)
        if tag == "a" and told.get("href"):
            self.links.append(str(told["href"]))
        self.names |= {str(told[key]) for key in ("id", "name") if told.get(key)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("material") is None or find_spec("mkdocstrings") is None:
        pytest.skip('the site cannot be built: no mkdocs-material and mkdocstrings (pip install ".[docs]")')
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_is_whole_and_asks_nobody(site: Path) -> None:
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 50
    lost: list[str] = []
    for path, page in pages.items():
        where = path.relative_to(site)
        lost += [f"{where} loads {one}" for one in page.loads if urlsplit(one).netloc]
        lost += [f"{where} leads to {link}" for link in page.links if not _leads_somewhere(link, path, pages)]
    for style in site.rglob("*.css"):
        if FETCHED.search(style.read_text(encoding="utf-8")):
            lost.append(f"{style.relative_to(site)} fetches from elsewhere")
    assert not lost, "\n".join(lost)


def _leads_somewhere(link: str, page: Path, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or page.name == "404.html":
        return True
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    target = target / "index.html" if target.is_dir() else target
    fragment = unquote(parts.fragment)
    return target.is_file() and (not fragment or target not in pages or fragment in pages[target].names | {"top"})


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    shown = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        if page.parent.name != "methods":  # these are added in the order of the README's table
            assert f" {page.relative_to(ROOT / 'docs')}\n" in shown, page

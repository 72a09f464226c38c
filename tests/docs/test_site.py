"""The site builds without a warning, holds every page, and fetches nothing when it is viewed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

pytest.importorskip("mkdocs", reason="needs the extra docs")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
REMOTE = re.compile(r"(https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


class Loads(HTMLParser):
    """What a page has a browser load by itself, and the classes on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.classes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.classes |= set((given.get("class") or "").split())
        if tag in LOADED and given.get("rel") != "canonical":
            self.addresses.append(given.get(LOADED[tag]) or "")


def test_every_page_is_in_it(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}
    home = (site / "index.html").read_text()
    assert all(f'href="{page}.html' in home for page in pages - {"index"}), "each page is in the navigation"


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.glob("*.html"):
        loads = Loads(page.read_text())
        assert loads.addresses
        assert not [address for address in loads.addresses if REMOTE.match(address)], page.name
        assert "mermaid" not in loads.classes, f"{page.name}: the theme fetches what draws such a diagram"
        for address in loads.addresses:
            assert not address or (site / address.partition("?")[0].lstrip("/")).exists(), f"{page.name}: {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", sheet.read_text()), sheet.name


def test_code_has_its_title_and_tables_are_tables(site: Path) -> None:
    extending = (site / "extending.html").read_text()
    assert '<span class="filename">lamp.py</span>' in extending
    assert extending.count("<table>") >= 4
    assert "prunebench" in (site / "search" / "search_index.json").read_text()

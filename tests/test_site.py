"""The documentation as a site: built without a warning, no link leads nowhere, no page is broken in a browser."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("furo")
pytest.importorskip("myst_parser")
pytest.importorskip("sphinx")

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (400, 1400)
REPOSITORY = "https://github.com/equiscope/equiscope/blob/main/"

HARNESS = """<!DOCTYPE html><meta charset="utf-8"><title>site</title><body><pre id="found"></pre>
<script>
const looked = async (page, width) => {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 900px`;
  frame.src = page;
  document.body.append(frame);
  await new Promise((done) => frame.addEventListener("load", done));
  const own = frame.contentDocument, room = own.documentElement.clientWidth;
  const flows = (element) => own.defaultView.getComputedStyle(element).overflowX;
  const scrolls = (element) => element !== null && element !== own.body
    && (["auto", "scroll"].includes(flows(element)) || scrolls(element.parentElement));
  const beyond = (element) => element.getBoundingClientRect().right > room + 1 && !scrolls(element);
  const out = [...own.querySelectorAll("article *")].filter(beyond).map((element) => element.outerHTML.slice(0, 80));
  const dead = [...own.images].filter((image) => image.complete && image.naturalWidth === 0).map((image) => image.src);
  const found = { page, width, wide: own.documentElement.scrollWidth, room, out, dead,
    text: own.querySelector("article").textContent.length };
  frame.remove();
  return found;
};
(async () => {
  const found = [];
  for (const page of PAGES) for (const width of WIDTHS) found.push(await looked(page, width));
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


class Page(HTMLParser):
    """The links of a page, and the names that links may lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.names |= {name for name in (given.get("id"), given.get("name")) if name}
        self.links += [link for link in (given.get("href"), given.get("src")) if link]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built by the command of CONTRIBUTING.md."""
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(place / "trees"), "docs"]
    done = subprocess.run(
        [*command, str(place / "html")], cwd=ROOT, capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
    return place / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {
        path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html") if "_static" not in path.parts
    }


def test_every_page_of_the_folder_is_on_the_site(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file()


def test_no_link_leads_nowhere(site: Path, pages: dict[Path, Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if link.startswith(REPOSITORY):
                target = ROOT / unquote(link.removeprefix(REPOSITORY).partition("#")[0].partition("?")[0])
                found = target.exists()
            elif parts.scheme or link.startswith("//"):
                continue
            else:
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                found = target.exists() and (
                    not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].names
                )
            if not found:
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead


def test_the_interface_is_on_its_page(pages: dict[Path, Page]) -> None:
    import equiscope as eq

    (api,) = (page for path, page in pages.items() if path.name == "api.html")
    named = {name for name in eq.__all__ if not name.islower() or callable(getattr(eq, name))}
    assert not {name for name in named if f"equiscope.{name}" not in api.names}


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_no_page_is_wider_than_its_window_or_lacks_a_picture(site: Path, pages: dict[Path, Page]) -> None:
    names = sorted(str(path.relative_to(site)) for path in pages if path.name != "search.html")
    harness = HARNESS.replace("of PAGES", f"of {json.dumps(names)}").replace("of WIDTHS", f"of {list(WIDTHS)}")
    (site / "harness.html").write_text(harness, encoding="utf-8")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--allow-file-access-from-files", "--disable-web-security", f"--user-data-dir={site.parent / 'profile'}",
        "--window-size=1500,1000", "--virtual-time-budget=240000", "--dump-dom", (site / "harness.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert text is not None and text[1], done.stdout[:2000] + done.stderr[-2000:]
    seen: list[dict[str, Any]] = json.loads(html.unescape(text[1]))
    assert len(seen) == len(names) * len(WIDTHS) and all(page["text"] > 0 for page in seen)
    broken = [
        (page["page"], page["width"], page["out"][:3], page["dead"])
        for page in seen
        if page["wide"] > page["room"] or page["out"] or page["dead"]
    ]
    assert not broken

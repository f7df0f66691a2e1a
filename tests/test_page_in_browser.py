"""Pages of audits, comparisons and histories as a browser lays them out: one start of it for all pages and widths."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from report_builder import output, realistic, rows, shares, spectrum

import equiscope as eq
from equiscope.report import Audit
from equiscope.training import SymmetryTracker

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium")

WIDTHS = (400, 1000, 1400)

HARNESS = """<!DOCTYPE html><meta charset="utf-8"><title>pages</title><body><pre id="found"></pre>
<script>
const boxes = (svg) => [...svg.querySelectorAll("text")].map((text) => [text.firstChild?.nodeName === "title"
  ? text.lastChild.textContent : text.textContent, text.getBoundingClientRect()]).filter(([words]) => words.trim());
const covers = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.4 * Math.min(a.height, b.height);
const overlaps = (svg) => boxes(svg).flatMap(([words, box], i, all) => all.slice(i + 1)
  .filter(([, other]) => covers(box, other)).map(([others]) => `${words} | ${others}`));
const cut = (svg) => boxes(svg).filter(([, box]) => box.left < svg.getBoundingClientRect().left - 2
  || box.right > svg.getBoundingClientRect().right + 2).map(([words]) => words);
const looked = async (page, width) => {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 900px`;
  frame.src = page;
  document.body.append(frame);
  await new Promise((done) => frame.addEventListener("load", done));
  const own = frame.contentDocument;
  const found = { page, width, wide: own.documentElement.scrollWidth, room: own.documentElement.clientWidth };
  const svgs = [...own.querySelectorAll("svg")];
  found.overlaps = svgs.flatMap(overlaps);
  found.cut = svgs.flatMap(cut);
  found.least = Math.min(...svgs.flatMap((svg) => [...svg.querySelectorAll("text")].map(
    (text) => parseFloat(own.defaultView.getComputedStyle(text).fontSize)
      * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)));
  found.titles = own.querySelectorAll("svg path title, svg use title").length;
  found.buttons = own.querySelectorAll("th button").length;
  found.links = [...own.querySelectorAll("a[href]")].map((link) => link.getAttribute("href"));
  found.ids = [...own.querySelectorAll("[id]")].map((element) => element.id);
  const table = own.querySelector("table.sorts");
  table.querySelectorAll("thead tr:last-child button")[0].click();
  const names = () => [...table.querySelectorAll("tbody tr:not(.block)")].map((row) => row.cells[0].textContent);
  found.falling = names();
  table.querySelectorAll("thead tr:last-child button")[0].click();
  found.rising = names();
  frame.remove();
  return found;
};
(async () => {
  const found = [];
  for (const page of PAGES) for (const width of WIDTHS) found.push(await looked(page, width));
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


def many_outputs() -> Audit:
    outputs = {f"property_{i}": output(f"property_{i}", "scalar", (0, 1), relative=0.1 / 3**i) for i in range(12)}
    return Audit(outputs, {}, rows(300, outputs, {}))


def deep() -> Audit:
    """More layers than a figure has room to name, nested deeply."""
    below = "root.atomistic_model.graph_network.stack.interactions.blocks"
    parts = ("norm", "attention.query", "attention", "feed_forward.0", "feed_forward")
    names = [f"{below.removesuffix('.blocks')}.embedding"]
    names += [f"{below}.{i}.{part}" for i in range(24) for part in parts]
    names += [f"{below.removesuffix('.blocks')}['energy']", "root.atomistic_model['energy']"]
    layers = {name: spectrum(name, shares(6, 0.1, 1e-3)) for name in names}
    outputs = {
        "energy": output("energy", "scalar", (0, 1), relative=0.01),
        "forces": output("forces", "vector", (1, 1), relative=0.2),
    }
    return Audit(outputs, layers, rows(5, outputs, layers), settings={"model": "deep", "lmax": 6})


def history(place: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    tracker = SymmetryTracker(
        [torch.randn(3, 3)], inputs="vector", outputs="scalar", layers="*", lmax=1, degree=4, batching="loop", out=place
    )
    for step in range(3):
        tracker.step(model, step)
    tracker.finish(model, 3)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the browser saw of every page at every width."""
    place = tmp_path_factory.mktemp("pages")
    usual = realistic(12)
    usual.save(place / "audit")
    deep().save(place / "deep")
    many_outputs().save(place / "outputs")
    worse = realistic(12)
    worse.outputs["dipole"].rmse *= 2
    eq.compare({"first checkpoint": usual, "last checkpoint": worse}).save(place / "comparison")
    history(place / "history")
    pages = sorted(str(page.relative_to(place)) for page in place.glob("*/index.html"))
    assert len(pages) == 5
    harness = HARNESS.replace("of PAGES", f"of {json.dumps(pages)}").replace("of WIDTHS", f"of {list(WIDTHS)}")
    (place / "harness.html").write_text(harness, encoding="utf-8")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--allow-file-access-from-files", "--disable-web-security", f"--user-data-dir={place / 'profile'}",
        "--enable-logging=stderr", "--window-size=1500,1000", "--virtual-time-budget=60000", "--dump-dom",
        (place / "harness.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not said, said
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert text is not None and text[1], done.stdout[:2000] + done.stderr[-2000:]
    seen: list[dict[str, Any]] = json.loads(html.unescape(text[1]))
    assert len(seen) == len(pages) * len(WIDTHS)
    for page in seen:
        page["there"] = sorted(path.name for path in (place / page["page"]).parent.iterdir())
    return seen


def each(found: list[dict[str, Any]], key: str) -> dict[str, Any]:
    return {f"{page['page']} at {page['width']}": page[key] for page in found if page[key]}


def test_no_page_is_wider_than_its_window(found: list[dict[str, Any]]) -> None:
    assert not [(page["page"], page["width"], page["wide"]) for page in found if page["wide"] > page["room"]]


def test_no_text_of_a_picture_covers_another_or_is_cut(found: list[dict[str, Any]]) -> None:
    assert not each(found, "overlaps")
    assert not each(found, "cut")


def test_letters_of_pictures_are_read_at_every_width(found: list[dict[str, Any]]) -> None:
    assert min(page["least"] for page in found) >= 6.5


def test_links_lead_to_what_is_there(found: list[dict[str, Any]]) -> None:
    for page in found:
        assert any(link.startswith("#") for link in page["links"])
        for link in page["links"]:
            if link.startswith("#"):
                assert link[1:] in page["ids"], link
            elif not link.startswith("https://"):
                assert link in page["there"], link
        assert {name for name in page["there"] if name != "index.html"} <= set(page["links"])


def test_the_script_runs_and_sorts(found: list[dict[str, Any]]) -> None:
    for page in found:
        assert page["buttons"] > 2
        assert page["rising"] == page["falling"][::-1] or len(set(page["rising"])) < len(page["rising"])


def test_cells_of_heat_maps_and_dots_say_what_they_are(found: list[dict[str, Any]]) -> None:
    assert {page["page"] for page in found if page["titles"] > 20} == {page["page"] for page in found}

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

SHEET = {"width": 718, "height": 1032}
"""A sheet of A4 within its margins, which is narrower than one of letter paper, and as that 961 high at least."""
SIDE = {"width": 1001, "height": 703}

WIDTHS = (400, 850, 1000, 1400)

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
const regions = (own) => [...own.querySelectorAll(".wide:has(table)")].filter((box) => box.offsetWidth);
const sideways = (own) => regions(own).filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.ariaLabel);
const words = (cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return [...range.getClientRects()].filter((box) => box.width).sort((a, b) => a.top - b.top || a.left - b.left);
};
const apart = (own) => [...own.querySelectorAll(".stacks td")].filter((cell) => words(cell).some((box, i, all) => i
  && box.top === all[i - 1].top && box.left - all[i - 1].right > 12)).map((cell) => cell.textContent);
// lays the page out as for a sheet of paper: what holds for print holds, and for the screen no more
const print = (own) => {
  own.documentElement.style.overflow = "hidden";
  const sheet = own.styleSheets[0];
  for (const rule of [...sheet.cssRules].filter((rule) => rule.media)) {
    for (const inner of rule.media.mediaText === "print" ? rule.cssRules : [])
      sheet.insertRule(inner.cssText, sheet.cssRules.length);
    if (rule.media.mediaText.startsWith("screen")) sheet.deleteRule([...sheet.cssRules].indexOf(rule));
  }
};
const onPaper = (own) => {
  const lying = (element) => own.defaultView.getComputedStyle(element.closest("section")).page === "broad";
  const beyond = (element) => element.getBoundingClientRect().right > (lying(element) ? SIDE : SHEET).width
    || element.getBoundingClientRect().height > (lying(element) ? SIDE : SHEET).height;
  const cut = [...own.querySelectorAll("table, tr, figure, svg")].filter((element) => element.offsetWidth !== 0)
    .filter((element) => (element.tagName === "TABLE" ? element.getBoundingClientRect().right
      > (lying(element) ? SIDE : SHEET).width : beyond(element)));
  const closed = [...own.querySelectorAll("details > .wide")].filter((box) => !box.checkVisibility());
  return [...cut, ...closed].map((element) => element.closest(".wide, figure").outerHTML.slice(0, 80));
};
const opened = async (page, width) => {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 900px`;
  frame.src = page;
  document.body.append(frame);
  await new Promise((done) => frame.addEventListener("load", done));
  return frame;
};
const printed = async (page) => {
  const frame = await opened(page, SHEET.width);
  print(frame.contentDocument);
  const found = onPaper(frame.contentDocument);
  frame.remove();
  return found;
};
const looked = async (page, width) => {
  const frame = await opened(page, width);
  const own = frame.contentDocument;
  const found = { page, width, wide: own.documentElement.scrollWidth, room: own.documentElement.clientWidth };
  const svgs = [...own.querySelectorAll("svg")];
  found.sideways = sideways(own);
  found.apart = apart(own);
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
  found.paper = width === WIDTHS[0] ? await printed(page) : [];
  return found;
};
(async () => {
  const found = [];
  for (const page of PAGES) for (const width of WIDTHS) found.push(await looked(page, width));
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


def all_columns() -> Audit:
    """Three outputs of which all is known that an audit can know, in a unit that takes room."""
    usual = realistic(12)
    for one in usual.outputs.values():
        one.unit, one.spread, one.reference_rmse, one.rmse_rotations = "e bohr^2", 3.21 * one.size, one.size, one.rmse
        one.rmse_error, one.errors_assumed = 1.2e-7 * one.rmse, True
    usual.outputs["energy"].unit = "eV"
    for row in usual.systems:
        row.outputs["energy"]["samples"] = 1
    return usual


def many_outputs() -> Audit:
    """Twelve outputs, and layers with more irreps than a sheet has room for upright."""
    outputs = {f"property_{i}": output(f"property_{i}", "scalar", (0, 1), relative=0.1 / 3**i) for i in range(12)}
    layers = {f"blocks.{i}": spectrum(f"blocks.{i}", shares(16, 0.4, 1e-3)) for i in range(2)}
    return Audit(outputs, layers, rows(300, outputs, layers))


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
    usual = all_columns()
    usual.save(place / "audit")
    deep().save(place / "deep")
    many_outputs().save(place / "outputs")
    worse = all_columns()
    worse.outputs["dipole"].rmse *= 2
    eq.compare({"first checkpoint": usual, "last checkpoint": worse}).save(place / "comparison")
    history(place / "history")
    pages = sorted(str(page.relative_to(place)) for page in place.glob("*/index.html"))
    assert len(pages) == 5
    harness = HARNESS.replace("of PAGES", f"of {json.dumps(pages)}").replace("WIDTHS", str(list(WIDTHS)))
    harness = harness.replace("SHEET", json.dumps(SHEET)).replace("SIDE", json.dumps(SIDE))
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


OUTPUTS = "Equivariance errors of the outputs"


def test_the_table_of_outputs_is_read_without_scrolling_sideways(found: list[dict[str, Any]]) -> None:
    assert not [(page["page"], page["width"]) for page in found if OUTPUTS in page["sideways"]]
    # what has no other way scrolls within itself
    assert any(page["sideways"] for page in found if page["width"] == 400)


def test_a_number_stands_beside_its_error_and_unit(found: list[dict[str, Any]]) -> None:
    assert not each(found, "apart")


def test_nothing_is_cut_on_paper(found: list[dict[str, Any]]) -> None:
    assert not each(found, "paper")


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

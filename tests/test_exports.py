"""What leaves the package: pictures in the sizes and formats of papers, tables, and results of other libraries."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
import torch
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from report_builder import hostile, octahedral, output, realistic, rows, with_samples
from typer.testing import CliRunner

import equiscope as eq
from equiscope.citation import bibtex
from equiscope.cli import app
from equiscope.diagnose import Diagnosis, Fate
from equiscope.diagnose.fate import LayerReading
from equiscope.diagnose.sector import SectorDiagnosis
from equiscope.errors import ArgumentError, DTypeError
from equiscope.report import Audit
from equiscope.report.render import render
from equiscope.report.typeset import Column, Measured, latex, markdown
from equiscope.result.files import pack
from equiscope.training.data import Point
from equiscope.training.history import History

INCH = 0.02
"""What a picture may stand out of its figure by: the width of a line."""


def history() -> History:
    return History(points=[Point(step, float(step), 0.1, realistic(2, 5)) for step in (0, 10, 1000)])


def uncropped(figure: Figure) -> bool:
    """Whether everything drawn lies on the figure."""
    figure.dpi = 72  # letters are as large as at any other
    figure.draw_without_rendering()
    box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    width, height = figure.get_size_inches()
    return box.x0 > -INCH and box.y0 > -INCH and box.x1 < width + INCH and box.y1 < height + INCH


def long_names() -> Audit:
    """An output and systems whose names take several lines in a column."""
    name = "mtt::aux::non_conservative_stress/of/the/last/layer"
    outputs = {
        name: output(name, "scalar", (0, 1), relative=0.1),
        "forces": output("forces", "vector", (1, 1), relative=0.1),
    }
    table = rows(3, outputs, {})
    table[1].name = "set/of/structures/with_a_long_name/no_17_of_a_trajectory"
    return Audit(outputs, {}, table)


# ---- pictures


@pytest.mark.parametrize("width, inches", [("column", 3.4), ("page", 7.0)])
@pytest.mark.parametrize("kind", ["layers", "spectra", "systems", "convergence"])
def test_a_picture_is_as_wide_as_asked_and_whole(kind: str, width: str | float, inches: float) -> None:
    figure = realistic(3, 4).plot(kind, width=width)
    assert figure.get_size_inches()[0] == pytest.approx(inches, rel=0.01)
    assert uncropped(figure)


@pytest.mark.parametrize("kind", ["layers", "spectra", "systems"])
@pytest.mark.parametrize("build", [long_names, octahedral])
def test_long_names_and_named_irreps_have_room_in_a_column(kind: str, build: type) -> None:
    assert uncropped(build().plot(kind, width="column"))


@pytest.mark.parametrize("kind", ["errors", "sectors", "layers"])
def test_pictures_of_a_history_are_as_wide_as_asked_and_whole(kind: str) -> None:
    figure = history().plot(kind, width="page")
    assert figure.get_size_inches()[0] == pytest.approx(7.0) and uncropped(figure)


@pytest.mark.parametrize("kind", ["errors", "layers", "spectra"])
def test_pictures_of_a_comparison_are_as_wide_as_asked_and_whole(kind: str) -> None:
    found = eq.compare({"before": realistic(3, 4), "after/many/steps": realistic(3, 4)})
    figure = found.plot(kind, width="column")
    assert figure.get_size_inches()[0] == pytest.approx(3.4) and uncropped(figure)


def diagnosis() -> Diagnosis:
    """Two sectors on their way through three layers, with verdicts too long for a panel."""
    layers = [
        LayerReading(f"encoder.layers.{i}.feed_forward.output", 0.1, 0.1 ** (i + 1), i < 2, 0.1, 0.3 * i, 0.05, 0.9)
        for i in range(3)
    ]
    numbers = {
        "power": 1.0, "varying": 1.0, "samples": 9, "explained": 0.4, "symmetrised": 0.6, "cosine": 0.9, "gain": 0.8,
        "offset": 0.0, "predicted": 0.9, "missed": 0.1, "broken": 0.01,
    }  # fmt: skip
    lost = {"error_in": {}, "unread": [], "pooled": False, "fate": Fate.LOST, "formed_at": layers[1].layer}
    return Diagnosis(
        [
            SectorDiagnosis(output, label, words, **numbers, **lost, layers=layers, lost_at=layers[2].layer)  # type: ignore[arg-type]
            for output, label, words in (("dipole", (1, 1), "vector"), ("quadrupole", (2, 1), "l=2"))
        ]
    )


@pytest.mark.parametrize("width, inches", [("column", 3.4), ("page", 7.0)])
def test_the_picture_of_a_diagnosis_is_as_wide_as_asked_and_whole(width: str, inches: float) -> None:
    figure = diagnosis().plot(width=width)
    assert figure.get_size_inches()[0] == pytest.approx(inches) and uncropped(figure)
    assert {text.get_text() for text in figure.axes[0].texts} == {"lost at encoder.layers.2.feed_forward.output"}
    assert repr(diagnosis()) == "<Diagnosis of 2 sectors: 2 lost>" and diagnosis()._repr_html_().count("<svg") == 1


def test_what_is_cropped_is_found() -> None:
    figure = Figure(figsize=(2, 2))
    figure.text(0.9, 0.5, "a text that goes on")
    assert not uncropped(figure)


def test_letters_are_as_large_in_a_column_as_on_a_page() -> None:
    def sizes(width: str) -> set[float]:
        figure = realistic(3, 4).plot("spectra", width=width)
        return {
            text.get_fontsize()
            for axes in figure.axes
            for text in (axes.title, axes.xaxis.label, *axes.get_xticklabels())
        }

    assert sizes("column") == sizes("page") and min(sizes("column")) >= 7 and max(sizes("column")) <= 12


def test_a_picture_goes_into_axes_and_parts_of_the_users_figure() -> None:
    whole = Figure(figsize=(7, 4), layout="constrained")
    left, right = whole.subfigures(1, 2)
    assert realistic(3, 4).plot("layers", ax=left) is whole
    axes = right.subplots()
    assert history().plot("errors", names=["energy"], ax=axes) is whole
    assert axes.get_title(loc="left") == "energy" and axes.get_legend() is not None
    assert len(left.axes) == 4 and uncropped(whole)


def test_places_that_do_not_do_are_refused_in_words() -> None:
    audit, whole = realistic(2, 2), Figure(layout="constrained")
    axes = whole.subplots()
    for place, width, error, message in [
        (axes, None, ArgumentError, "ax: expected an empty Figure or SubFigure, since this picture has 3 panels"),
        (whole, None, ArgumentError, "ax: expected an empty Figure, got one with 1 axes"),
        (Figure(), None, ArgumentError, 'ax: expected a Figure with room for labels (figure(layout="constrained"))'),
        ("left", None, DTypeError, "ax: expected a matplotlib Axes, SubFigure or Figure, got str"),
        (axes, 3.0, ArgumentError, "width: expected None where ax is given"),
        (None, "wide", ArgumentError, "width: expected inches, 'column' or 'page', got 'wide'"),
        (None, 1.0, ArgumentError, "width: expected 2 inches or more, got 1.0"),
        (None, math.nan, ArgumentError, "width: expected 2 inches or more, got nan"),
        (None, True, DTypeError, "width: expected inches"),
    ]:  # fmt: skip
        with pytest.raises(error, match=re.escape(message)):
            audit.plot("layers", ax=place, width=width)
    assert len(whole.axes) == 1 and not axes.lines


def test_text_in_vector_files_is_text() -> None:
    audit = realistic(3, 4)
    audit.outputs = {"energy": audit.outputs["energy"]}
    figure = audit.plot("systems")
    svg = render(figure, "svg").decode()
    for word in ("energy", "system_2", "noise floor"):
        assert re.search(rf"<text [^>]*>{word}", svg)
    assert "<style" in svg and "transparent" not in svg
    pdf = render(figure, "pdf")
    assert b"/Subtype /Type0" in pdf and b"/FontFile2" in pdf and b"/Type3" not in pdf
    assert b"CreationDate" not in pdf and "system_2" in letters_of(pdf)


def letters_of(pdf: bytes) -> str:
    """What a PDF file of matplotlib shows: the strings of its page, in which kerning stands between letters."""
    shown = []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue
        for line in re.findall(rb"\[(.*?)\] ?TJ|(\([^)]*\)) Tj", content, re.DOTALL):
            letters = b"".join(re.findall(rb"\((.*?)\)", line[0] or line[1], re.DOTALL))
            shown.append(letters.replace(b"\0", b"").decode("latin-1"))
    return " ".join(shown)


def test_save_writes_the_formats_that_are_asked_for_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = realistic(2, 2)
    monkeypatch.setattr("equiscope.report.view.available", lambda audit: ["systems"])
    audit.save(tmp_path)
    audit.save(tmp_path, formats=("pdf", "svg"))
    assert {path.name for path in tmp_path.glob("systems.*")} == {"systems.csv", "systems.pdf", "systems.svg"}
    for formats, error in (("pdf", DTypeError), (("eps",), ArgumentError), (3, DTypeError)):
        with pytest.raises(error, match="formats: expected some of 'png', 'pdf', 'svg' in a tuple"):
            audit.save(tmp_path / "other", formats=formats)  # type: ignore[arg-type]
    assert not (tmp_path / "other").exists()


# ---- tables


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_reads_back_as_the_numbers_of_the_audit() -> None:
    audit = realistic(4, 3)
    audit.outputs["energy"].unit = "eV"
    energy, *_ = read(audit.to_csv("outputs"))
    assert energy["name"] == "energy" and energy["unit"] == "eV" and energy["verdict"] == "breaks"
    for key in ("rmse", "rmse_error", "relative", "noise_floor"):
        assert float(energy[key]) == getattr(audit.outputs["energy"], key)
    assert math.isnan(float(energy["spread"]))
    for row in read(audit.to_csv("layers")):
        result = audit.result(row["name"])
        place = result.chart.place((int(row["l"]), int(row["sigma"])))
        assert float(row["power"]) == float(result.power[place]) and float(row["share"]) == float(
            result.fractions[place]
        )
    table = read(audit.to_csv("systems"))
    assert len(table) == 4 * (3 + 3)
    for row, system in zip(table[::6], audit.systems, strict=True):
        assert row["system"] == system.name and float(row["rmse"]) == system.outputs["energy"]["rmse"]


def test_frames_and_files_hold_the_same_rows(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    audit = realistic(2, 2)
    for table in ("outputs", "layers", "systems"):
        frame = audit.to_pandas(table)
        back = pandas.read_csv(io.StringIO(audit.to_csv(table)), keep_default_na=False, na_values=["nan"])
        assert list(back.columns) == list(frame.columns) and len(back) == len(frame)
        number = "relative" if "relative" in back else "power"
        assert pandas.to_numeric(back[number]).dropna().tolist() == frame[number].dropna().tolist()


@pytest.mark.parametrize("name", ['a,b "c"\nd', "one\rtwo", "naïve λ", ";tab\tin"])
def test_names_survive_csv(name: str) -> None:
    audit = realistic(1, 1)
    audit.systems[0].name = name
    assert {row["system"] for row in read(audit.to_csv("systems"))} == {name}


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "+1", "-1", "\t=1", "\r=1"])
def test_no_name_is_a_formula_in_a_spreadsheet(name: str) -> None:
    audit = realistic(1, 1)
    audit.systems[0].name = name
    assert {row["system"] for row in read(audit.to_csv("systems"))} == {"'" + name}


def test_csv_of_hostile_audits_and_unknown_tables() -> None:
    audit = hostile()
    assert next(iter(audit.outputs)) in {row["name"] for row in read(audit.to_csv("outputs"))}
    with pytest.raises(ArgumentError, match="table: expected one of outputs, layers, systems, got 'spectra'"):
        audit.to_csv("spectra")
    assert Audit({}, {}, []).to_csv("outputs").count("\n") == 1
    assert torch.is_tensor(audit.result(next(iter(audit.outputs))).power)


# ---- tables for papers


def measured() -> Audit:
    """Errors of every kind: with an error, without one, not known, an exact zero, and names that LaTeX would read."""
    audit = realistic(3, 2)
    energy, dipole, charge = audit.outputs.values()
    energy.rmse, energy.rmse_error, energy.unit = 0.0123, 0.00034, "eV"
    dipole.rmse, dipole.rmse_error, dipole.errors_assumed = 0.999951, 0.0, False
    charge.rmse, charge.rmse_error, charge.relative = 0.0456, math.inf, 0.0
    audit.outputs = {"energy_1%": energy, "a|b": dipole, "$x^2$ & \\y{}": charge}
    for name, each in audit.outputs.items():
        each.name = name
    return audit


def test_latex_has_the_rules_of_booktabs_and_escaped_text() -> None:
    text = measured().to_latex()
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    assert lines[0] == r"\begin{tabular}{lllrlrr}" and lines[-1] == r"\end{tabular}"
    assert [lines[1], lines[3], lines[-2]] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert all(len(re.split(r"(?<!\\)&", line)) == 7 and line.endswith(r" \\") for line in (lines[2], *lines[4:-2]))
    assert r"energy\_1\%" in text and r"a\textbar{}b" in text
    assert r"\$x\textasciicircum{}2\$ \& \textbackslash{}y\{\}" in text
    assert text.count("{") == text.count("}")


def test_latex_compiles(tmp_path: Path) -> None:
    tex = next((name for name in ("tectonic", "pdflatex") if shutil.which(name)), None)
    if tex is None:
        pytest.skip("there is no TeX here")
    body = measured().to_latex()
    whole = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}\n{body}\\end{{document}}\n"
    (tmp_path / "table.tex").write_text(whole, encoding="utf-8")
    subprocess.run([tex, "table.tex"], cwd=tmp_path, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def test_a_column_has_one_format_and_errors_say_where_numbers_end() -> None:
    text = measured().to_latex()
    assert r"$0.01230 \pm 0.00034^{\ast}$ & eV" in text and r"$1.00$" in text and r"$0.0456 \pm \infty^{\ast}$" in text
    column = Column("x", [Measured(1.234e-7, 2.1e-9), Measured(9.9996), Measured(-250.0, 30.0), Measured(0.0), "-"])
    assert [line.split(" | ")[0].strip("| ") for line in markdown([column]).splitlines()[2:]] == [
        "(1.234 ± 0.021)e-07", "1.00e+01", "(-2.50 ± 0.30)e+02", "0", "-",
    ]  # fmt: skip


def test_an_error_that_is_but_rounding_is_not_written() -> None:
    column = Column("x", [Measured(2.0804878e-8, 6.7e-22, assumed=True), Measured(1.25, 1.1e-6)])
    assert markdown([column]).splitlines()[2:] == ["| 2.08e-08 |", "| (1.2500000 ± 0.0000011)e+00 |"] or markdown(
        [column]
    ).splitlines()[2:] == ["| 2.08e-08 |", "| 1.2500000 ± 0.0000011 |"]


@pytest.mark.parametrize("name", ["['energy']", "[1ex]", "*"])
def test_no_name_is_an_argument_of_the_end_of_a_row(name: str) -> None:
    (row,) = latex([Column("output", [name]), Column("x", [Measured(1.0)])]).splitlines()[4:-2]
    assert row == f"{{}}{name} & $1.00$ \\\\"


def test_no_name_is_a_formula_in_markdown() -> None:
    assert markdown([Column("output", ["$x$ ~y~"])]).splitlines()[2] == "| \\$x\\$ \\~y\\~ |"


def test_what_is_read_back_from_markdown_is_the_number_to_its_digits() -> None:
    row = next(line for line in measured().to_markdown().splitlines() if line.startswith("| energy"))
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
    assert cells[:2] == ["energy\\_1%", "scalar"] and cells[4] == "eV"
    value, error = cells[3].replace("\\*", "").split(" ± ")
    assert float(value) == 0.0123 and float(error) == 0.00034
    assert "| a\\|b |" in measured().to_markdown()


def test_a_comparison_has_the_same_tables() -> None:
    found = eq.compare({"be_fore": realistic(8, 2), "after": realistic(8, 2)})
    rows = found.to_latex().splitlines()
    assert sum("be\\_fore" in row for row in rows) == 3 and sum("baseline" in row for row in rows) == 3
    assert found.to_markdown().startswith("| output | audit | verdict | RMSE |")


# ---- notebooks and short forms


def test_a_cell_is_self_contained_scoped_and_escaped() -> None:
    found = eq.compare({"one": realistic(2, 2), "two": realistic(2, 2)})
    evil = hostile()._repr_html_()
    assert "<script" not in evil and "&lt;script&gt;" in evil
    for html in (evil, found._repr_html_(), history()._repr_html_()):
        assert html.startswith('<div class="equiscope">') and html.endswith("</div>")
        assert html.count("<div") == html.count("</div>") and html.count("<svg") == 1
        style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
        assert style is not None and html.count("<style") == 1
        rules = re.findall(
            r"^([^@\n]*?)\{", style[1].replace("@media (prefers-color-scheme: dark) {", ""), re.MULTILINE
        )
        assert rules and all(".equiscope" in part for rule in rules for part in rule.split(","))
        assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', html)


def test_cells_of_one_notebook_share_no_id() -> None:
    ids = [set(re.findall(r'\bid="([^"]+)"', realistic(n, 2)._repr_html_())) for n in (2, 3)]
    assert ids[0] and not ids[0] & ids[1]


def test_an_empty_result_has_a_cell() -> None:
    assert "equiscope" in Audit({}, {}, [])._repr_html_() and "0 points" in History()._repr_html_()


def test_short_forms_say_what_it_is_and_hold_no_arrays() -> None:
    audit = with_samples()
    sampled = audit.outputs["dipole"]
    found = eq.compare({"one": realistic(2, 2), "two": realistic(2, 2)})
    curves = history().curves("energy")
    every = [
        audit, sampled, audit.layers["first"], sampled.parts, sampled.worst, audit.failures, audit.systems[0], found,
        history(), history().points[0], curves, next(iter(found.differences["energy"].values())),
    ]  # fmt: skip
    for result in every:
        assert "tensor(" not in repr(result) and len(repr(result)) < 300, repr(result)
    assert repr(realistic(2, 3)) == (
        "<Audit of MessagePassingTransformer (116 954 parameters): energy breaks, dipole breaks, charge exact; "
        "2 systems, 3 layers, group O3, lmax 8, degree 20>"
    )


def test_the_summary_is_what_the_command_line_writes() -> None:
    audit = realistic(2, 2)
    assert audit.summary()["outputs"]["energy"]["rmse"] == audit.outputs["energy"].rmse
    assert json.loads(json.dumps(audit.summary(), allow_nan=False)) == audit.summary()


# ---- citation


def test_citations_are_those_of_the_citation_file() -> None:
    facts = yaml.safe_load((Path(__file__).parent.parent / "CITATION.cff").read_text())
    text = bibtex()
    entries = re.findall(r"^@(\w+)\{([\w]+),$", text, re.MULTILINE)
    assert [kind for kind, _ in entries] == ["software", "misc", "article"]
    assert text.count("{") == text.count("}") and f"version = {{{eq.__version__}}}" in text
    plain = text.replace("{", "").replace("}", "")
    (paper,) = facts["references"]
    for fact in (facts["title"], facts["license"], facts["repository-code"], paper["title"], paper["url"]):
        assert fact in plain
    assert all(author["family-names"] in plain for author in paper["authors"])
    said = CliRunner().invoke(app, ["cite"])
    assert said.exit_code == 0 and said.output == text


# ---- files


def test_every_key_of_a_saved_audit_is_on_the_page_about_files() -> None:
    page = (Path(__file__).parent.parent / "docs" / "files.md").read_text(encoding="utf-8")
    known = set(re.findall(r"`([a-z0-9_]+)`", page))
    body = json.loads(pack(with_samples()).scalars)
    assert f'"schema": {body["schema"]}' in page
    (dipole,) = body["outputs"].values()
    (system, *_), (failure, *_), (chart, *_) = body["systems"], body["failures"], body["charts"]
    every = [body, dipole, dipole["worst"], dipole["parts"][0], system, failure, chart, body["arrays"]]
    keys = {key for each in every for key in each} | set(system["outputs"]["dipole"])
    assert not keys - known

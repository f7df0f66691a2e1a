"""A picture, a column and a page of a stranger's take their places without an edit anywhere else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from report_builder import realistic

import equiscope as eq
from equiscope import report
from equiscope.errors import ArgumentError
from equiscope.report import Audit, Picture, available, register, to_text, view
from equiscope.report.columns import COLUMNS, Column
from equiscope.report.sheet import Sheet
from equiscope.result.data import AuditData


class Sizes(Picture):
    name, order = "sizes", 1.5

    def caption(self, audit: AuditData) -> str:
        return f"How large the {len(audit.layers)} layers are, <by> eye."

    def lacks(self, audit: AuditData) -> tuple[str, str] | None:
        return None if audit.layers else ("a layer", "none")

    def draw(self, audit: AuditData, sheet: Sheet, names: Sequence[str] | None = None) -> None:
        sheet.axes(3, 2).plot([layer.pooled_total**0.5 for layer in audit.layers.values()])


@pytest.fixture
def sizes() -> Iterator[None]:
    """The picture above, known while a test runs."""
    register(Sizes)
    yield
    view.PICTURES.pop("sizes", None)


def small() -> Audit:
    audit = realistic(3, 2)
    audit.convergence = []
    return audit


def test_a_registered_picture_is_in_plot_in_the_files_and_on_the_page(sizes: None, tmp_path: Path) -> None:
    audit = small()
    assert report.KINDS == ("layers", "sizes", "spectra", "targets", "systems", "worst", "convergence")
    assert available(audit) == ["layers", "sizes", "spectra", "systems"]
    assert len(audit.plot("sizes").axes) == 1
    directory = audit.save(tmp_path)
    assert (directory / "sizes.png").read_bytes().startswith(b"\x89PNG")
    page = (directory / "index.html").read_text(encoding="utf-8")
    assert 'aria-label="sizes"' in page and "How large the 2 layers are, &lt;by&gt; eye." in page
    assert page.count("<figure>") == 4


def test_a_picture_says_what_it_lacks_and_that_it_takes_no_names(sizes: None) -> None:
    audit = small()
    with pytest.raises(ArgumentError, match='names: expected None unless kind is "spectra" or "worst"'):
        audit.plot("sizes", names=["energy"])
    audit.layers = {}
    with pytest.raises(ArgumentError, match="'sizes' needs a layer, got none"):
        audit.plot("sizes")


def test_a_picture_that_is_gone_leaves_no_kind_behind() -> None:
    assert report.KINDS == ("layers", "spectra", "targets", "systems", "worst", "convergence")


def test_the_audit_hands_names_to_its_picture() -> None:
    figure = small().plot("spectra", names=["dipole"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["dipole"]


@pytest.mark.parametrize(
    "name, message", [("Two words", "lower case"), ("../up", "lower case"), ("layers", "Layers has")]
)
def test_names_that_are_no_names_of_their_own_are_refused(name: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        register(type("Other", (Sizes,), {"name": name}))
    assert report.KINDS == ("layers", "spectra", "targets", "systems", "worst", "convergence")


def test_a_column_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = Column("channels", lambda audit, output: f"{output.channels} ch", ("channels", "ch."))
    monkeypatch.setattr("equiscope.report.columns.COLUMNS", (*COLUMNS[:2], channels, *COLUMNS[2:]))
    audit = small()
    assert "energy scalar     1 ch" in to_text(audit, 110) and "channels" in to_text(audit, 110)
    page = audit.to_html()
    assert '<th scope="col">channels</th>' in page and page.count('<td data-of="channels">1 ch</td>') == 3


def test_audit_is_one_class_under_all_its_names() -> None:
    assert eq.Audit is report.Audit and isinstance(small(), eq.Audit) and issubclass(eq.Audit, AuditData)


def test_names_of_the_report_are_not_hidden_by_its_modules() -> None:
    code = (
        "import pkgutil, importlib, equiscope.report as r\n"
        "for m in pkgutil.iter_modules(r.__path__): importlib.import_module(f'equiscope.report.{m.name}')\n"
        "assert all(callable(getattr(r, name)) for name in r.__all__ if name != 'KINDS')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_results_know_no_view() -> None:
    folder = Path(eq.__file__).parent / "result"
    assert not [path.name for path in folder.glob("*.py") if "report" in path.read_text(encoding="utf-8")]

"""What `equiscope.compare` returns: the numbers, with a method for each view of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...result.comparison import ComparisonData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


class Comparison(ComparisonData):
    """Result of `equiscope.compare`. Prints as a table."""

    def __str__(self) -> str:
        from .table import to_text

        return to_text(self)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.audits)}: {', '.join(self.outputs) or 'layers alone'}>"

    def _repr_html_(self) -> str:
        from .table import to_notebook

        return to_notebook(self)

    def to_latex(self) -> str:
        """The table as a ``tabular`` for LaTeX with booktabs, one format in each column."""
        from .table import to_latex

        return to_latex(self)

    def to_markdown(self) -> str:
        """The table for a pull request or a paper's notes."""
        from .table import to_markdown

        return to_markdown(self)

    def plot(self, kind: str, ax: Axes | Figure | SubFigure | None = None, width: float | str | None = None) -> Figure:
        """A matplotlib figure: ``"errors"`` (RMSE of each output, over steps where the names are numbers), ``"layers"``
        (how the spectrum of each layer changed), ``"spectra"`` (the spectra of all audits over each other).
        ``ax`` and ``width`` as in `equiscope.report.Audit.plot`."""
        from .pictures import plot

        return plot(self, kind, ax, width)

    def summary(self) -> dict[str, Any]:
        """JSON values: every output of every audit, every difference, every note."""
        from .table import summary

        return summary(self)

    def to_html(self) -> str:
        """One self-contained page."""
        from .page import to_html

        return to_html(self)

    def save(self, directory: str | Path, formats: Sequence[str] = ("png",)) -> Path:
        """Write ``index.html``, ``comparison.json``, ``table.md`` and the pictures in `formats` (of ``"png"``,
        ``"pdf"``, ``"svg"``); the directory is returned."""
        from .page import save

        return save(self, directory, formats)

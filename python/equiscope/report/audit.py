"""What `equiscope.audit` returns: the numbers, with a method for each view of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..result.data import AuditData
from .view import plot

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure
    from typing_extensions import Self

    from .finding import Finding


class Audit(AuditData):
    """Result of `equiscope.audit`. Prints as a table; saves and loads without pickle."""

    # The views are imported when they are asked for: rich, jinja2 and matplotlib take longer than all of equiscope.

    def __str__(self) -> str:
        from .table import to_text

        return to_text(self)

    def _repr_html_(self) -> str:
        from .table import to_notebook

        return to_notebook(self)

    def findings(self) -> list[Finding]:
        """Plain-language statements, the most important first: strings with a `severity`."""
        from .statements import findings

        return findings(self)

    def save(self, directory: str | Path) -> Path:
        """Write numbers, pictures and ``index.html``; the directory is returned."""
        from .files import save

        return save(self, directory)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read back what `save` wrote; equal in every number."""
        from ..result.files import load

        return load(cls, directory)

    def to_html(self) -> str:
        """One self-contained page: findings, tables, pictures, settings."""
        from .html import to_html

        return to_html(self)

    def plot(self, kind: str, names: Sequence[str] | None = None) -> Figure:
        """A matplotlib figure; `kind` is one of ``equiscope.report.KINDS``, `names` are the results to draw."""
        return plot(self, kind, names)

    def to_pandas(self) -> pandas.DataFrame:
        """Long table: one row per output or layer and irrep (extra ``frames``)."""
        from .frames import to_pandas

        return to_pandas(self)

    def to_xarray(self) -> xarray.Dataset:
        """Dataset with dimensions layer and those of the irreps, for O(3) l and sigma (extra ``frames``)."""
        from .frames import to_xarray

        return to_xarray(self)

"""What `equiscope.audit` returns: the numbers, with a method for each view of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..result.data import AuditData
from .view import plot

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from metatensor.torch import TensorMap
    from typing_extensions import Self

    from .finding import Finding


class Audit(AuditData):
    """Result of `equiscope.audit`. Prints as a table; saves and loads without pickle."""

    # The views are imported when they are asked for: rich, jinja2 and matplotlib take longer than all of equiscope.

    def __str__(self) -> str:
        from .table import to_text

        return to_text(self)

    def _repr_html_(self) -> str:
        from .notebook import audit_cell

        return audit_cell(self)

    def findings(self) -> list[Finding]:
        """Plain-language statements, the most important first: strings with a `severity`."""
        from .statements import findings

        return findings(self)

    def save(self, directory: str | Path, formats: Sequence[str] = ("png",)) -> Path:
        """Write numbers, pictures in `formats` (of ``"png"``, ``"pdf"``, ``"svg"``), tables and ``index.html``; the
        directory is returned."""
        from .files import save

        return save(self, directory, formats)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read back what `save` wrote; equal in every number."""
        from ..result.files import load

        return load(cls, directory)

    def to_html(self) -> str:
        """One self-contained page: findings, tables, pictures, settings."""
        from .html import to_html

        return to_html(self)

    def plot(
        self,
        kind: str,
        names: Sequence[str] | None = None,
        ax: Axes | Figure | SubFigure | None = None,
        width: float | str | None = None,
    ) -> Figure:
        """A matplotlib figure, made without pyplot: save it with ``savefig``, or show it in a notebook.

        kind: ``"layers"`` (layers by degree, share of power in colour), ``"spectra"`` (spectrum of each output and of
            selected layers), ``"targets"`` (spectra of labels, predictions and errors), ``"systems"`` (error of each
            system), ``"worst"`` (the system with the largest error, and its error over the sphere), ``"convergence"``
            (errors against the degree of the grid), or a picture of one's own; all are in ``equiscope.report.KINDS``.
        names: with ``"spectra"``, the outputs and layers to draw, all outputs and a choice of layers when left out;
            with ``"worst"``, the outputs.
        ax: where it is drawn, in a figure of the user's, which is then what is returned: axes for a picture of one
            panel; an empty `Figure` or `SubFigure`, of a figure with ``layout="constrained"``, for any.
        width: of a new figure, in inches, or ``"column"`` (3.4) or ``"page"`` (7.0); left out, what the picture takes.
            Letters keep their size, 7 to 8 points; panels and names arrange themselves.

        Raises `ArgumentError` for an unknown kind, name or width, for a place that is too small a kind of place, and
        where the audit holds nothing to draw.
        """
        return plot(self, kind, names, ax, width)

    def to_csv(self, table: str = "layers") -> str:
        """Comma-separated values of a table, as `save` writes them.

        ``"outputs"``: a row per output and declared layer, with its errors, floors and verdict. ``"layers"``: a row per
        layer, in order of execution, then per output, and irrep: ``power``, ``power_error`` (the true power lies within
        it in 95 of 100 cases), ``share`` of the total, ``floor`` (power up to which it cannot be told from none).
        ``"systems"``: a row per system and output or layer. Numbers have all their digits, and are in the ``unit`` of
        their row: powers (``power``, ``floor``, ``total``, ``unresolved`` and their errors) in its square; ``share``,
        ``relative`` and ``inversion`` have none.
        """
        from .rows import comma_separated, rows

        return comma_separated(*rows(self, table))

    def to_pandas(self, table: str = "layers") -> pandas.DataFrame:
        """The same rows as `to_csv`, as a frame (extra ``frames``)."""
        from .frames import to_pandas

        return to_pandas(self, table)

    def to_latex(self) -> str:
        """The outputs as a ``tabular`` for LaTeX with booktabs: errors with their errors, one format in each column."""
        from .typeset import latex, outputs_table

        return latex(outputs_table(self))

    def to_markdown(self) -> str:
        """The same table in Markdown."""
        from .typeset import markdown, outputs_table

        return markdown(outputs_table(self))

    def summary(self) -> dict[str, Any]:
        """JSON values: what was audited, every output and declared layer with its error; what ``--json`` writes."""
        from .summary import summary

        return summary(self)

    def to_metatensor(self) -> dict[str, TensorMap]:
        """Variances and character projections by the names, keys and samples that metatomic's ``SymmetrizedModel``
        returns them with (extra ``metatomic``; group O(3)).

        ``"o3::variance::<output>"``: A of each irrep ``(o3_lambda, o3_sigma)`` of an output.
        ``"o3::character_projection::<name>"``: B of each ``(chi_lambda, chi_sigma)``, for outputs by irrep of the
        output; summed over the components ``o3_mu``, which metatomic keeps. In the unit of the output, squared. Samples
        are ``system`` and ``atom`` of an audit with ``keep="samples"`` (``sample`` where rows are not those of the
        system), else one for all systems; properties are channels.
        """
        from .metatensor import to_metatensor

        return to_metatensor(self)

    def to_xarray(self) -> xarray.Dataset:
        """Dataset with dimensions layer and those of the irreps, for O(3) l and sigma (extra ``frames``)."""
        from .frames import to_xarray

        return to_xarray(self)

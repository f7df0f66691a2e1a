"""What a model was like over training: an audit at every point, with a method for each view of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError, fail
from .data import HistoryData
from .journal import Journal
from .stored import FILE, read

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


class History(HistoryData):
    """Points in rising order of steps, each with its audit. Prints, plots, exports and saves itself."""

    # The views are imported when they are asked for: jinja2 and matplotlib take their time.

    @classmethod
    def load(cls, directory: str | Path) -> History:
        """The history in a directory, of a run that ended, was killed, or goes on.

        A last line that is not whole is left out. Raises `DataError` naming the file, and the line, where there is no
        history or one that was altered.
        """
        path = Path(directory) / FILE
        if not path.is_file():
            fail(DataError, "directory", f"a directory with a {FILE}", repr(str(directory)))
        return read(cls, Journal(path))

    def __str__(self) -> str:
        from .tables import to_text

        return to_text(self)

    def __repr__(self) -> str:
        span = f", steps {self.points[0].step} to {self.points[-1].step}" if self.points else ""
        return f"<History: {len(self)} points{span}>"

    def _repr_html_(self) -> str:
        from ..report.notebook import cell

        picture = self.plot("errors") if self.points and self.outputs else None
        return cell("equiscope history", [repr(self).strip("<>")], self.findings(), None, picture)

    def findings(self) -> list[str]:
        """What happened, in sentences: a line for each output, then what is missing."""
        from .statements import findings

        return findings(self)

    def to_csv(self, path: str | Path | None = None) -> str:
        """A row for each point and each output or layer, as text; written to `path` as well where one is given."""
        from .tables import to_csv

        text = to_csv(self)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def plot(
        self,
        kind: str,
        names: Sequence[str] | None = None,
        steps: Sequence[int] | None = None,
        ax: Axes | Figure | SubFigure | None = None,
        width: float | str | None = None,
    ) -> Figure:
        """A matplotlib figure as wide as a column of text.

        ``kind``: ``"errors"`` (RMSE of each output, with its error and the noise floor), ``"sectors"`` (share of the
        power in every irrep, of each output and layer), ``"layers"`` (layers against irreps at chosen steps), or a
        `HistoryPicture` of one's own. ``names``: outputs and layers to draw; ``steps``: of ``"layers"``; ``ax`` and
        ``width`` as in `equiscope.report.Audit.plot`. Raises `ArgumentError` for an unknown kind, name or step, and
        where there is nothing to draw.
        """
        from .view import plot

        return plot(self, kind, names, steps, ax, width)

    def to_html(self) -> str:
        """One self-contained page: what happened, pictures, table."""
        from .html import to_html

        return to_html(self)

    def save(self, directory: str | Path, formats: Sequence[str] = ("png",)) -> Path:
        """Write ``index.html``, ``history.csv`` and the pictures in `formats` (of ``"png"``, ``"pdf"``, ``"svg"``);
        the directory is returned.

        So that it can be loaded, ``history.jsonl`` is written too where the directory has none.
        """
        from .files import save

        return save(self, directory, formats)

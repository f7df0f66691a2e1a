"""What `equiscope.diagnose` returns: numbers, with words, a table, a picture and files."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, fail
from ..groups.group import Label
from ..report import Audit
from ..result.place import check_writable, write_all
from .fate import Fate, LayerReading
from .sector import SectorDiagnosis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

SCHEMA = 1
"""Version of the layout of diagnosis.json."""

NUMBERS, PICTURE, PAGE, AUDIT = "diagnosis.json", "diagnosis", "index.html", "audit"


@dataclass(repr=False)
class Diagnosis:
    """Which sectors of its targets a model fails to produce, and where they are lost. Prints as a table."""

    sectors: list[SectorDiagnosis]
    audit: Audit | None = None
    """The audit that it comes from; not in ``diagnosis.json``, but saved beside it."""
    settings: dict[str, Any] = field(default_factory=dict)
    """JSON values: systems, groups, folds, degree, lmax, seed."""

    def __getitem__(self, key: tuple[str, Label]) -> SectorDiagnosis:
        """By output and label: ``diagnosis["dipole", (1, 1)]``."""
        for sector in self.sectors:
            if (sector.output, sector.label) == key:
                return sector
        raise KeyError(key)

    def findings(self) -> list[str]:
        """Targets whose outputs were not measured; then, per sector in which something is to be learned, what became of
        it, and what to change."""
        from .words import finding, unmeasured

        missed = {} if self.audit is None else self.audit.unmeasured
        told = [finding(sector) for sector in self.sectors if sector.fate is not Fate.NOISE]
        return [*(unmeasured(name, why) for name, why in missed.items()), *told]

    def __repr__(self) -> str:
        fates = Counter(sector.fate.value for sector in self.sectors)
        told = ", ".join(f"{count} {fate}" for fate, count in fates.items())
        return f"<Diagnosis of {len(self.sectors)} sectors: {told or 'none'}>"

    def _repr_html_(self) -> str:
        from ..report.notebook import cell

        drawn = any(sector.fate is not Fate.NOISE and sector.layers for sector in self.sectors)
        picture = self.plot() if drawn else None
        return cell("equiscope diagnosis", [repr(self).strip("<>")], self.findings(), None, picture)

    def __str__(self) -> str:
        from .words import table

        return "\n\n".join([table(self.sectors), *self.findings()])

    def plot(self, ax: Axes | Figure | SubFigure | None = None, width: float | str | None = None) -> Figure:
        """Readability and power of each sector from layer to layer, a matplotlib figure made without pyplot. ``ax`` and
        ``width`` as in `equiscope.report.Audit.plot`; the panels are two or more."""
        from ..report.sheet import Sheet
        from .picture import draw

        sheet = Sheet(ax, width)
        draw(self.sectors, sheet)
        return sheet.whole

    def save(self, directory: str | Path, formats: Sequence[str] = ("png",)) -> Path:
        """``index.html``, ``diagnosis.json``, ``diagnosis.md`` (table and sentences), the picture in `formats` (of
        ``"png"``, ``"pdf"``, ``"svg"``), and the audit in ``audit``; the directory is returned."""
        from ..report.files import PAGE as PAGE_OF_AUDIT
        from ..report.render import check_formats, picture_files, picture_names
        from .page import to_html
        from .words import markdown

        check_formats(formats)
        path = check_writable(directory)
        contents = {NUMBERS: self.to_json().encode(), "diagnosis.md": markdown(self.sectors, self.findings()).encode()}
        seen = any(sector.fate is not Fate.NOISE and sector.layers for sector in self.sectors)
        drawn = {PICTURE: self.plot()} if seen else {}
        contents |= picture_files(drawn, formats)
        audit = None if self.audit is None else f"{AUDIT}/{PAGE_OF_AUDIT}"
        contents[PAGE] = to_html(self, drawn, tuple(contents), audit).encode("utf-8", "replace")
        write_all(path, contents, stale=lambda name: name in picture_names([PICTURE]))
        if self.audit is not None:
            self.audit.save(path / AUDIT, formats)
        return path

    def to_json(self) -> str:
        """Numbers as JSON; those that are none are null."""
        body = {"schema": SCHEMA, "settings": self.settings, "sectors": [_plain(each) for each in self.sectors]}
        return json.dumps(body, indent=1, allow_nan=False)

    @classmethod
    def load(cls, directory: str | Path) -> Diagnosis:
        """What `save` wrote, equal in every number."""
        path = Path(directory)
        try:
            body = json.loads((path / NUMBERS).read_text(encoding="utf-8"))
            if body["schema"] != SCHEMA:
                fail(DataError, str(path / NUMBERS), f"schema {SCHEMA}", body["schema"])
            sectors = [_sector(each) for each in body["sectors"]]
            settings = body["settings"]
        except (OSError, KeyError, TypeError, ValueError) as error:
            fail(DataError, str(path / NUMBERS), "what Diagnosis.save wrote", error)
        audit = Audit.load(path / AUDIT) if (path / AUDIT).is_dir() else None
        return cls(sectors, audit, settings)


def _plain(sector: SectorDiagnosis) -> dict[str, Any]:
    from .remedy import remedy
    from .words import sentence

    words = {"verdict": sector.verdict, "sentence": sentence(sector), "remedy": remedy(sector)}
    return {**_finite(dataclasses.asdict(sector)), **words}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sector(body: dict[str, Any]) -> SectorDiagnosis:
    fields = {key: value for key, value in body.items() if key not in ("verdict", "sentence", "remedy")}
    label = fields["label"]
    fields["label"] = tuple(label) if isinstance(label, list) else label
    fields["fate"] = Fate(fields["fate"])
    fields["layers"] = [LayerReading(**_numbers(LayerReading, each)) for each in fields["layers"]]
    return SectorDiagnosis(**_numbers(SectorDiagnosis, fields))


def _numbers(kind: type, fields: dict[str, Any]) -> dict[str, Any]:
    """NaN where JSON has null in place of a number."""
    floats = {each.name for each in dataclasses.fields(kind) if each.type == "float"}
    return {key: math.nan if value is None and key in floats else value for key, value in fields.items()}

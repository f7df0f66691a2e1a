"""What to change in a model whose sector of a target did not fare well: the least that would let it through."""

from __future__ import annotations

from ..report.format import quote
from .fate import NEAR, Fate, LayerReading
from .sector import SectorDiagnosis


def remedy(sector: SectorDiagnosis) -> str:
    """One sentence; empty where there is nothing to change."""
    told = {
        Fate.BROKEN: _unbroken,
        Fate.NEVER: _formed,
        Fate.LOST: _kept,
        Fate.UNREAD: _read,
        Fate.PARTLY: _more,
        Fate.UNTOLD: _told,
    }
    find = told.get(sector.fate)
    return "" if find is None else f"To repair it: {find(sector)}."


def constant_in(sector: SectorDiagnosis) -> bool:
    """Whether most of the error of an output that turns is a part that does not turn."""
    others = {words: power for words, power in sector.error_in.items() if words != sector.words}
    return bool(others) and max(others, key=others.__getitem__).startswith("scalar")


def _unbroken(sector: SectorDiagnosis) -> str:
    if constant_in(sector):
        return f"leave the bias out of the readout of {quote(sector.output)}: a constant does not turn with the input"
    return (
        f"average {quote(sector.output)} over orientations (eq.symmetrize), train on more turned copies, or make its "
        "readout equivariant"
    )


def _formed(sector: SectorDiagnosis) -> str:
    return (
        f"give the first layers {_features(sector)}, weighted by what the rows are, or multiply features of other "
        "sectors whose product has this one"
    )


def _features(sector: SectorDiagnosis) -> str:
    """Of which the sector can be made, where the group is O(3) and its irreps are numbered."""
    if not (isinstance(sector.label, tuple) and len(sector.label) == 2):
        return f"features that turn like {sector.words}"
    l, sigma = sector.label
    if sigma == -1:
        return "cross or triple products of the vectors between rows, which alone have this parity"
    if l == 0:
        return "lengths of the vectors between rows"
    return "the vectors between rows" if l == 1 else f"harmonics of degree {l} of the vectors between rows"


def _kept(sector: SectorDiagnosis) -> str:
    last = [layer for layer in sector.layers if layer.holds][-1]
    return (
        f"hand the features of {quote(last.layer)} on past {quote(str(sector.lost_at))} (a skip connection), give that "
        f"layer more channels, or read {quote(sector.output)} from {quote(last.layer)}"
    )


def _read(sector: SectorDiagnosis) -> str:
    last: LayerReading = sector.layers[-1]
    if last.linear >= last.symmetrised - NEAR:
        return f"fit the readout of {quote(sector.output)} from {quote(last.layer)} anew; a linear map is enough"
    return (
        f"read this sector of {quote(last.layer)} alone: an equivariant readout of {quote(sector.output)}, or one that "
        "is averaged over orientations (eq.symmetrize)"
    )


def _more(sector: SectorDiagnosis) -> str:
    return f"train longer or on more data, or give the layers more channels that turn like {sector.words}"


def _told(sector: SectorDiagnosis) -> str:
    return "nothing can be said yet; add systems"

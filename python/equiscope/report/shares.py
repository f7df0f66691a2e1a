"""The table of layers: what share of the power of each lies in which irreps."""

from __future__ import annotations

from ..groups.group import Chart, Label
from ..result.data import Spectrum
from ..result.floor import (
    content,
    noise_power,
    unresolved_floor,
    unresolved_share,
)
from .format import number, short_share

ROUGHLY = "~"
"""Before a share that is known to its first digit at best."""

ROUGH, SEEN = 0.1, 1e-3
"""Errors of a share, in parts of it, from which it is marked so, and from which its third digit is in doubt."""


def share_headings(chart: Chart, groups: list[list[int]], last: str) -> list[str]:
    """Of groups of columns of `chart`, of the families after the first, and of what lies above lmax."""
    return [*(_span(chart, group) for group in groups), *chart.family_names[1:], last]


def share_cells(
    chart: Chart, layer: Spectrum, groups: list[list[int]], digits: int, *, spelled: bool = False
) -> list[str]:
    """The cells of one row under these headings; `layer` may end below the lmax of `chart`. `spelled`: with the errors
    of what is known to a digit or two, where else a mark stands."""
    total = layer.pooled_total
    if total <= 0:
        return ["0"] * (len(groups) + len(chart.family_names))
    own = layer.chart
    power = own.by_column(layer.pooled_power)
    error, noise = own.by_column(layer.power_error), noise_power(layer)
    places = {heading: column for column, heading in enumerate(layer.chart.headings)}
    cells = []
    for group in groups:
        inside = [places[heading] for column in group if (heading := chart.headings[column]) in places]
        share = float(power[inside].sum()) / total
        margin = float(error[inside].sum()) / total
        cells.append(_marked(short_share(share, max(margin, noise / total), digits), share, margin, spelled))
    cells += [short_share(family_share(layer, family), 0.0, digits) for family in range(1, len(chart.family_names))]
    return [*cells, unresolved_cell(layer, digits, spelled=spelled)]


def share_values(chart: Chart, layer: Spectrum, groups: list[list[int]]) -> list[float]:
    """The numbers that `share_cells` writes in short, what lies within noise too."""
    total, own = layer.pooled_total, layer.chart
    if total <= 0:
        return [0.0] * (len(groups) + len(chart.family_names))
    power = dict(zip(own.headings, own.by_column(layer.pooled_power).tolist(), strict=True))
    inside = [sum(power.get(chart.headings[column], 0.0) for column in group) / total for group in groups]
    families = [family_share(layer, family) for family in range(1, len(chart.family_names))]
    return [*inside, *families, unresolved_share(layer)]


def share_change(before: Spectrum, after: Spectrum) -> float:
    """Power that would have to be moved between irreps, as a share of all, to make one spectrum the other; 0 to 1."""
    shares: dict[Label, float] = {}
    for spectrum, sign in ((before, -1.0), (after, 1.0)):
        fractions = spectrum.fractions.numpy()
        for label in spectrum.chart.labels:
            shares[label] = shares.get(label, 0.0) + sign * float(fractions[spectrum.chart.place(label)])
    return 0.5 * sum(map(abs, shares.values()))


def family_share(spectrum: Spectrum, family: int) -> float:
    """Share of the power in those irreps of a family that stand above noise and their own errors."""
    chart, power, total = spectrum.chart, spectrum.pooled_power, spectrum.pooled_total
    held = [float(power[chart.place(label)]) for label in content(spectrum) if chart.family(label) == family]
    return sum(held) / total if total > 0 else 0.0


def unresolved_cell(spectrum: Spectrum, digits: int, *, spelled: bool = False) -> str:
    """Share of the power above lmax, or a dash where it does not exceed noise."""
    total = spectrum.pooled_total
    floor = unresolved_floor(spectrum) / total if total > 0 else 0.0
    margin, share = spectrum.unresolved_error / total if total > 0 else 0.0, unresolved_share(spectrum)
    return _marked(short_share(share, floor, digits), share, margin, spelled)


def _marked(cell: str, share: float, margin: float, spelled: bool) -> str:
    """The cell with its error where that is seen in its digits, or with a mark where it leaves no second one."""
    if cell in ("-", "0"):
        return cell
    if spelled:
        around = number(margin, 2) if "e" not in cell else short_share(margin, digits=3)
        return f"{cell} ± {around}" if margin > SEEN * abs(share) else cell
    return f"{ROUGHLY}{cell}" if margin > ROUGH * abs(share) else cell


def _span(chart: Chart, group: list[int]) -> str:
    if len(group) == 1:
        return chart.title(group[0])
    first, last = chart.headings[group[0]], chart.headings[group[-1]]
    return f"{first}-{last}" if chart.counts else f"{first}..{last}"

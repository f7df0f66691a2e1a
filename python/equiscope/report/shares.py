"""The table of layers: what share of the power of each lies in which irreps."""

from __future__ import annotations

from ..groups.group import Chart
from ..result.data import Spectrum
from ..result.floor import sector_floor, unresolved_floor, unresolved_share
from .format import short_share


def share_headings(chart: Chart, groups: list[list[int]], last: str) -> list[str]:
    """Of groups of columns of `chart`, of the families after the first, and of what lies above lmax."""
    return [*(_span(chart, group) for group in groups), *chart.family_names[1:], last]


def share_cells(chart: Chart, layer: Spectrum, groups: list[list[int]], digits: int) -> list[str]:
    """The cells of one row under these headings; `layer` may end below the lmax of `chart`."""
    total = layer.pooled_total
    if total <= 0:
        return ["0"] * (len(groups) + len(chart.family_names))
    power, floor = layer.chart.by_column(layer.pooled_power), sector_floor(layer)
    places = {heading: column for column, heading in enumerate(layer.chart.headings)}
    cells = []
    for group in groups:
        inside = [places[heading] for column in group if (heading := chart.headings[column]) in places]
        share = float(power[inside].sum()) / total
        cells.append(short_share(share, float(floor[inside].max()) / total if inside else 0.0, digits))
    cells += [short_share(family_share(layer, family), 0.0, digits) for family in range(1, len(chart.family_names))]
    return [*cells, unresolved_cell(layer, digits)]


def family_share(spectrum: Spectrum, family: int) -> float:
    """Share of the power in irreps of a family; 0 where none of them stands above noise and aliasing."""
    chart, floor = spectrum.chart, sector_floor(spectrum)
    power = chart.by_family(spectrum.pooled_power)[:, family]
    total = spectrum.pooled_total
    return float(power.nansum()) / total if total > 0 and bool((power > floor).any()) else 0.0


def unresolved_cell(spectrum: Spectrum, digits: int) -> str:
    """Share of the power above lmax, or a dash where it does not exceed noise."""
    total = spectrum.pooled_total
    floor = unresolved_floor(spectrum) / total if total > 0 else 0.0
    return short_share(unresolved_share(spectrum), floor, digits)


def _span(chart: Chart, group: list[int]) -> str:
    if len(group) == 1:
        return chart.title(group[0])
    first, last = chart.headings[group[0]], chart.headings[group[-1]]
    return f"{first}-{last}" if chart.counts else f"{first}..{last}"

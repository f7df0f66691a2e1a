"""Irreps and groups in words. What a sentence can say depends on what the chart of a group has: numbered columns
(degrees l), families (proper and pseudo), or only names."""

from __future__ import annotations

from collections.abc import Iterable

from ..groups.group import Chart, Group, Label
from ..groups.registry import named
from .format import runs

MARKS = {"proper": ("sigma = +1", "σ = +1"), "pseudo": ("sigma = -1", "σ = −1")}
"""How a family of irreps is marked in formulae, in text and in a picture; families of other names have none."""


def group_of(chart: Chart) -> Group | None:
    """The group that `chart` is of, where it is one that has a name here."""
    return named(chart.group)


def group_words(chart: Chart) -> str:
    """The group as it is written: ``O(3)``."""
    group = group_of(chart)
    return chart.group if group is None else group.words


def irrep_name(chart: Chart, label: Label) -> str:
    """One irrep in words, also one above lmax: ``vector``, ``l=2 (pseudo)``."""
    if label in chart:
        return chart.name(label)
    group = group_of(chart)
    return str(label) if group is None else group.label_name(label)


def irrep_symbol(chart: Chart, label: Label) -> str:
    """The same in short: ``1o``."""
    if label in chart:
        return chart.symbol(label)
    group = group_of(chart)
    return str(label) if group is None else group.symbol(label)


def irrep_full(chart: Chart, label: Label) -> str:
    """Name and symbol, where the symbol says more than the label: ``vector (1o)``."""
    name, symbol = irrep_name(chart, label), irrep_symbol(chart, label)
    return name if symbol == str(label) else f"{name} ({symbol})"


def irrep_place(chart: Chart, label: Label) -> str:
    """Where a table shows it: ``l=2, pseudo (sigma = -1)``."""
    column = chart.title(chart.column(label))
    if len(chart.family_names) == 1:
        return column
    family = chart.family_names[chart.family(label)]
    if not family:
        return column
    return f"{column}, {family}" + (f" ({MARKS[family][0]})" if family in MARKS else "")


def irrep_list(chart: Chart, labels: Iterable[Label]) -> str:
    """Several irreps in words: ``l=0, 2..4 and the pseudo l=3``."""
    found = sorted(labels, key=chart.labels.index)
    if not chart.counts:
        return ", ".join(map(chart.symbol, found))
    columns = {
        family: runs(int(chart.headings[chart.column(label)]) for label in found if chart.family(label) == family)
        for family in sorted({chart.family(label) for label in found})
    }
    if all(chart.family_names) and len(columns) == len(chart.family_names) > 1 and len(set(columns.values())) == 1:
        return f"{chart.axis}={columns[0]}, {' and '.join(chart.family_names)}"
    written = {
        family: f"the {chart.family_names[family]} {chart.axis}={span}" if family else f"{chart.axis}={span}"
        for family, span in columns.items()
    }
    return " and ".join(written.values())


def family_title(chart: Chart, family: int) -> str:
    """A family over a panel of a picture: ``pseudo, σ = −1``; nothing where there is only one."""
    name = chart.family_names[family]
    return f"{name}, {MARKS[name][1]}" if name in MARKS else name


def axis_title(chart: Chart) -> str:
    """What the columns are, under a picture."""
    return {"l": "degree l", "m": "order m"}.get(chart.axis, chart.axis)


def each_column(chart: Chart) -> str:
    """``degree l``, as in "power in each degree l"."""
    return {"l": "degree l", "m": "order m"}.get(chart.axis, chart.axis)


def highest(chart: Chart) -> str:
    """The end of the spectrum: ``l=8``."""
    return f"{chart.axis}={chart.lmax}" if chart.counts else f"lmax={chart.lmax}"

"""Figures of the account, from stored results."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..store import Store


def figures(store: Store) -> dict[str, Figure]:
    """By file stem, those that there are results for."""
    return {}

"""Tables of the account, with the spread over seeds."""

from __future__ import annotations

from ..store import Store


def tables(store: Store) -> dict[str, str]:
    """By name, those that there are results for."""
    return {}

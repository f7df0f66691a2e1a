"""The accounts, `README.md` here and in the parts: their tables stand between markers, made of stored results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .runs import parts, told
from .store import HERE, Store

README = HERE / "README.md"

ACCOUNTS = (README, *sorted(HERE.glob("*/README.md")))

_PLACE = re.compile(r"(<!-- numbers: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def tables(store: Store) -> dict[str, str]:
    """By the name of its marker, the text of every table that there are results for."""
    found = {"runs": told(store)}
    for part in parts():
        found |= part.tables(store)
    return found


def renewed(text: str, found: dict[str, str]) -> str:
    """The account with its tables made anew; one without results says so."""

    def table(place: re.Match[str]) -> str:
        body = found.get(place["name"], "Open: no run of this table has been done yet.")
        return f"{place[1]}{body}\n{place[3]}"

    return _PLACE.sub(table, text)


def write(store: Store, accounts: Sequence[Path] = ACCOUNTS) -> None:
    """Make the tables of the account anew."""
    found = tables(store)
    for path in accounts:
        path.write_text(renewed(path.read_text(encoding="utf-8"), found), encoding="utf-8")

"""The account, ``README.md`` here and in the parts: its tables stand between markers, made of stored results."""

from __future__ import annotations

import re
from pathlib import Path

from .runs import parts, told
from .store import HERE, Store

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


def files() -> list[Path]:
    """All files of the account."""
    return [HERE / "README.md", *sorted(HERE.glob("*/README.md"))]


def write(store: Store) -> None:
    """Make all tables of the account anew."""
    found = tables(store)
    for file in files():
        file.write_text(renewed(file.read_text(encoding="utf-8"), found), encoding="utf-8")

"""An entry: a file that audits, and says how the same is done by hand."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import equiscope as eq

from .byhand import Turned

HERE = Path(__file__).parent
ENTRIES = HERE / "entries"


@dataclass
class Entry:
    """What the names of a file of `entries/` mean."""

    title: str
    """Of the model, with its version: ``TITLE``."""
    packages: tuple[str, ...]
    """Whose versions are told; the first is asked for: ``PACKAGES``."""
    audits: Mapping[str, eq.Audit]
    """By what was audited: ``audits``."""
    by_hand: Mapping[str, Turned]
    """The same by hand, see `gallery.byhand`: ``by_hand``. Every declared output of every audit has it."""
    pictures: Mapping[str, Figure] = field(default_factory=dict)
    """By the end of the file's name: ``pictures``."""
    published: bool = False
    """Whether its weights are published, so that it stands in the first table: ``PUBLISHED``."""
    layers: tuple[str, ...] = ()
    """Of these audits the page has a table of layers: ``LAYERS``."""
    basis: str = "standard"
    """Of Irreps strings: ``BASIS``."""

    @property
    def versions(self) -> dict[str, str]:
        return {name: metadata.version(name) for name in (*self.packages, "torch")}


def names() -> list[str]:
    """Of all entries."""
    return sorted(path.stem for path in ENTRIES.glob("*.py"))


def run(name: str) -> Entry:
    """Do what an entry says."""
    if name not in names():
        raise ValueError(f"name: expected an entry ({', '.join(names())}), got {name!r}")
    said: dict[str, Any] = runpy.run_path(str(ENTRIES / f"{name}.py"))
    return Entry(
        said["TITLE"],
        said["PACKAGES"],
        said["audits"],
        said["by_hand"],
        said.get("pictures", {}),
        said.get("PUBLISHED", False),
        said.get("LAYERS", ()),
        said.get("BASIS", "standard"),
    )

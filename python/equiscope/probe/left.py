"""What of the layers is in no number, and why: counts over systems, so that those of several processes add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

NO_ROWS = "no system has a row in it"
"""The one reason that another process may know better."""


@dataclass
class LeftOut:
    """Plain values."""

    reasons: dict[str, str] = field(default_factory=dict)
    """By layer that is left out: why."""
    rows: dict[str, list[int]] = field(default_factory=dict)
    """Of layers: rows of one copy that were left out, and all rows, over the systems that had such."""
    padding: dict[str, list[int]] = field(default_factory=dict)
    """Of layers with a mask: rows that are padding, and all rows."""
    whole: list[str] = field(default_factory=list)
    """Layers with a mask that their values do not fit."""
    filled: list[str] = field(default_factory=list)
    """Layers that had values in some system."""

    @property
    def skipped(self) -> set[str]:
        """Layers that are in no number, of any system."""
        return {name for name, reason in self.reasons.items() if reason != NO_ROWS}

    @classmethod
    def joined(cls, parts: Iterable[LeftOut]) -> LeftOut:
        """That of several processes, each of which had other systems."""
        found = cls()
        for part in parts:
            for name, reason in part.reasons.items():
                if found.reasons.get(name, NO_ROWS) == NO_ROWS:
                    found.reasons[name] = reason
            for counts, more in ((found.rows, part.rows), (found.padding, part.padding)):
                for name, (few, every) in more.items():
                    before = counts.get(name, [0, 0])
                    counts[name] = [before[0] + few, before[1] + every]
            found.whole = list(dict.fromkeys((*found.whole, *part.whole)))
            found.filled = sorted({*found.filled, *part.filled})
        found.reasons = {
            name: reason for name, reason in found.reasons.items() if reason != NO_ROWS or name not in found.filled
        }
        return found

    def masking(self) -> dict[str, list[str]]:
        """What masks did, for the settings: the layers by the rows that they lost."""
        told: dict[str, list[str]] = {}
        for name, (padding, every) in self.padding.items():
            told.setdefault(f"{padding} of {every} rows are padding", []).append(name)
        if self.whole:
            told["no axis runs over the rows of the mask, all values taken"] = list(self.whole)
        return told

    def notes(self, unheard: Mapping[str, str]) -> list[str]:
        """What the report should say of what was left out; `unheard` is what hooks could not take."""
        lost: dict[str, list[str]] = {}
        for name, (rows, every) in self.rows.items():
            if name not in self.skipped:
                lost.setdefault(f"{rows} of {every}", []).append(name)
        left: dict[str, list[str]] = {}
        for name, reason in {**unheard, **self.reasons}.items():
            left.setdefault(reason, []).append(name)
        return [
            *(
                f"{_layers(names)}: {rows} rows were left out, since their values depend on what else is in the batch "
                "(padding that is filled from another copy does)"
                for rows, names in lost.items()
            ),
            *(
                f"{_layers(names)} {'was' if len(names) == 1 else 'were'} left out: {reason}"
                for reason, names in left.items()
            ),
        ]


def _layers(names: Sequence[str]) -> str:
    return f"layer{'' if len(names) == 1 else 's'} {', '.join(names)}"

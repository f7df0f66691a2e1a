"""Why systems failed, in sentences: one for all that failed alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from ..result.data import AuditData, Failure
from .format import NAMED, listing, quote


def failed_systems(audit: AuditData) -> list[str]:
    """Names of the systems that are in no number, each once."""
    return list(dict.fromkeys(failure.system for failure in audit.failures if failure.whole))


def lacking(audit: AuditData) -> dict[str, int]:
    """By output or layer that was measured on some systems: on how many others its values are not finite."""
    partial = (failure.where for failure in audit.failures if not failure.whole)
    return Counter(where for where in partial if where not in audit.unmeasured)


def consequence(audit: AuditData) -> str:
    """What the failures mean for the numbers."""
    told = []
    if failed_systems(audit):
        told.append("Systems that failed as a whole are in no number on this page.")
    if lacking(audit):
        told.append("What is not finite on some systems is measured on the systems on which it is finite.")
    if audit.unmeasured:
        told.append("What is not finite on any system has no number.")
    return " ".join(told)


def failures_alike(failures: Iterable[Failure], most: int = NAMED) -> list[str]:
    """One line for each place and reason, with the systems of which it is told, up to `most`; numbers within a reason
    may differ."""
    alike: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        alike.setdefault((failure.where, re.sub(r"\d+", "0", failure.reason)), []).append(failure)
    return [
        f"{listing(dict.fromkeys(f.system for f in own), most)} at {quote(where)}: {own[0].reason}"
        + (" (the first of them)" if len({f.reason for f in own}) > 1 else "")
        for (where, _), own in alike.items()
    ]

"""Why systems failed, in sentences: one for all that failed alike."""

from __future__ import annotations

import re

from ..result.data import AuditData, Failure
from .format import NAMED, listing, quote


def failed_systems(audit: AuditData) -> list[str]:
    """Names of the systems that are in no number, each once."""
    return list(dict.fromkeys(failure.system for failure in audit.failures))


def failures_alike(audit: AuditData, most: int = NAMED) -> list[str]:
    """One line for each place and reason, with the systems that it stopped, up to `most`; numbers within a reason may
    differ."""
    alike: dict[tuple[str, str], list[Failure]] = {}
    for failure in audit.failures:
        alike.setdefault((failure.where, re.sub(r"\d+", "0", failure.reason)), []).append(failure)
    return [
        f"{listing(dict.fromkeys(f.system for f in own), most)} at {quote(where)}: {own[0].reason}"
        + (" (the first of them)" if len({f.reason for f in own}) > 1 else "")
        for (where, _), own in alike.items()
    ]

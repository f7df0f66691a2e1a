"""The version of the installed package, known without torch."""

from __future__ import annotations

import functools
from importlib import metadata


@functools.cache
def version_of(package: str) -> str | None:
    """The version of an installed distribution; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


VERSION = version_of("equiscope") or "0+source"
"""Of the installed package, from its metadata; "0+source" where a source tree runs without being installed."""

"""Metrics of symmetry as `torchmetrics.Metric` with float64 sum states. They know no model.

The metrics are imported at first use, since torchmetrics takes its time; the audit sums without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..measure.orbit import OrbitMoments
from ..measure.summary import OrbitSummary

_LATER = {"CharacterSpectrum": "spectrum", "EquivarianceError": "equivariance"}

__all__ = ["CharacterSpectrum", "EquivarianceError", "OrbitMoments", "OrbitSummary"]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__

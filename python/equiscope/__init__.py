"""Symmetry audit of 3-D machine-learning models, and the O(3) kernels under it.

The names are imported at first use: the command line and the plugin for pytest begin without torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import adapters, demo, dropin, errors, groups, metrics, numpy, report, testing, training
    from .adapters.batching import Concat
    from .audit import audit
    from .compare import compare
    from .diagnose import Diagnosis, Fate, diagnose
    from .groups.irreps import Irreps
    from .groups.quadrature import Quadrature
    from .groups.registry import quadrature, random_rotations
    from .groups.representation import Representation
    from .info import info
    from .ops import character_power, rotate, spherical_harmonics, wigner_D
    from .report import Audit
    from .report.comparison import Comparison
    from .result.judge import Verdict
    from .symmetrize import symmetrize

    __version__: str

_MODULES = ("adapters", "demo", "dropin", "errors", "groups", "metrics", "numpy", "report", "testing", "training")

_HOMES = {
    "Audit": ".audit",
    "Comparison": ".report.comparison",
    "Concat": ".adapters.batching",
    "Diagnosis": ".diagnose",
    "Fate": ".diagnose",
    "Irreps": ".groups.irreps",
    "Quadrature": ".groups.quadrature",
    "Representation": ".groups.representation",
    "Verdict": ".result.judge",
    "audit": ".audit",
    "compare": ".compare",
    "character_power": ".ops",
    "diagnose": ".diagnose",
    "info": ".info",
    "quadrature": ".groups.registry",
    "random_rotations": ".groups.registry",
    "rotate": ".ops",
    "spherical_harmonics": ".ops",
    "symmetrize": ".symmetrize",
    "wigner_D": ".ops",
}
"""Module of every public name that is none itself."""

__all__ = [
    "Audit",
    "Comparison",
    "Concat",
    "Diagnosis",
    "Fate",
    "Irreps",
    "Quadrature",
    "Representation",
    "Verdict",
    "adapters",
    "audit",
    "character_power",
    "compare",
    "demo",
    "diagnose",
    "dropin",
    "errors",
    "groups",
    "info",
    "metrics",
    "numpy",
    "quadrature",
    "random_rotations",
    "report",
    "rotate",
    "spherical_harmonics",
    "symmetrize",
    "testing",
    "training",
    "wigner_D",
]


class _Package(ModuleType):
    """A function stays what its name means when the file of the same name is imported, which binds the file to it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in _HOMES:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name == "__version__":
        found: Any = import_module(".version", __name__).VERSION
    elif name in _MODULES:
        found = import_module(f".{name}", __name__)
    elif name in _HOMES:
        found = getattr(import_module(_HOMES[name], __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__

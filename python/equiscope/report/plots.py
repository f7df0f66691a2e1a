"""The pictures of an audit: where irreps live, how outputs break, on which systems, and whether the grid
suffices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from ..errors import ArgumentError, fail
from ..result.data import Audit
from .pictures.convergence import convergence, why_no_convergence
from .pictures.layers import layers, why_no_layers
from .pictures.spectra import spectra
from .pictures.systems import systems, why_no_systems

KINDS = ("layers", "spectra", "systems", "convergence")
"""What can be drawn, in the order in which a reader wants it."""

_DRAW: dict[str, Callable[[Audit], Figure]] = {
    "layers": layers,
    "spectra": spectra,
    "systems": systems,
    "convergence": convergence,
}
_REFUSE: dict[str, Callable[[Audit], str | None]] = {
    "layers": why_no_layers,
    "spectra": why_no_layers,
    "systems": why_no_systems,
    "convergence": why_no_convergence,
}


def plot(audit: Audit, kind: str, names: Sequence[str] | None = None) -> Figure:
    """A matplotlib figure, made without pyplot: save it with ``savefig``, or show it in a notebook.

    ``kind``: ``"layers"`` (layers by degree, share of power in colour), ``"spectra"`` (spectrum of each
    output and of selected layers), ``"systems"`` (error of each system), ``"convergence"`` (errors against
    the degree of the grid). ``names``: with ``"spectra"``, the outputs and layers to draw; all outputs and a
    choice of layers when left out. Raises `ArgumentError` for an unknown kind or name, and where the audit
    holds nothing to draw.
    """
    if kind not in KINDS:
        fail(ArgumentError, "kind", f"one of {', '.join(KINDS)}", repr(kind))
    reason = _REFUSE[kind](audit)
    if reason:
        fail(
            ArgumentError,
            "kind",
            f"a picture that this audit has numbers for, {kind!r} needs {reason[0]}",
            reason[1],
        )
    if names is None:
        return _DRAW[kind](audit)
    if kind != "spectra":
        fail(ArgumentError, "names", 'None unless kind is "spectra"', repr(list(names)))
    for name in names:
        if name not in audit.outputs and name not in audit.layers:
            fail(ArgumentError, "names", "names of outputs or layers of this audit", repr(name))
    return spectra(audit, list(names))


def available(audit: Audit) -> list[str]:
    """The kinds that this audit has numbers for."""
    return [kind for kind in KINDS if _REFUSE[kind](audit) is None]

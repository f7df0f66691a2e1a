"""Stored results of the atoms, as spreads over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..spread import Spread
from ..store import Store
from .density import CHIRAL, DENSITY

OUTPUTS = (*DENSITY, *CHIRAL)

TITLES = {
    **{f"l{l}": f"l = {l}" for l in range(len(DENSITY))},
    "axial": "axial",
    "pseudoscalar": "pseudoscalar",
}

LAST_NODE = "backend.gnn_layers_post_mp_node.1"
"""Tokens of atoms that the heads read."""


def spread(store: Store, run: str, of: Callable[[dict[str, Any]], float]) -> Spread | None:
    """One number of every seed of a run; None where there is none."""
    values = tuple(float(of(result)) for result in store.all(run))
    return Spread(values) if values else None


def unexplained(output: str, step: int | None = None) -> Callable[[dict[str, Any]], float]:
    """Share of the labels on all held-out structures that a run leaves unexplained, by default in the end."""

    def of(result: dict[str, Any]) -> float:
        points = result["curve"]
        last = max(points, key=int) if step is None else str(step)
        return float(points[last][output])

    return of


def trained(output: str) -> Callable[[dict[str, Any]], float]:
    """The same of molecules that were trained on."""
    return lambda result: float(result["train_error"][output])


def final(output: str, key: str) -> Callable[[dict[str, Any]], float]:
    """ "A", "mse" or "mse_symmetrised" of the last audit, over the power of the labels."""
    return lambda result: float(result["final"][output][key]) / float(result["final"][output]["target"])


def broken(output: str) -> Callable[[dict[str, Any]], float]:
    """Share of the mean square error that is broken symmetry, in the last audit."""
    return lambda result: float(result["final"][output]["A"]) / float(result["final"][output]["mse"])


def share(layer: str, l: int, sigma: int, step: int | None = None, key: str = "shares") -> Callable[[Any], float]:
    """Share of the power of a layer in (l, sigma), by default in the end."""

    def of(result: dict[str, Any]) -> float:
        audits = result["audits"]
        last = max(audits, key=int) if step is None else str(step)
        return float(audits[last]["layers"][layer][key][l][0 if sigma > 0 else 1])

    return of


def resolved(
    layer: str, labels: Sequence[tuple[int, int]], step: int | None = None
) -> Callable[[dict[str, Any]], tuple[float, float]]:
    """Share of the power of a layer in some (l, sigma) together, and the half width within which it is known."""

    def of(result: dict[str, Any]) -> tuple[float, float]:
        audits = result["audits"]
        found = audits[max(audits, key=int) if step is None else str(step)]["layers"][layer]
        places = [(l, 0 if sigma > 0 else 1) for l, sigma in labels]
        return (
            sum(float(found["shares"][l][s]) for l, s in places),
            sum(float(found["share_errors"][l][s]) for l, s in places),
        )

    return of


PSEUDO = [(l, -1) for l in range(len(DENSITY))]
"""All sectors with sigma = -1 up to l = 4."""


def steps(result: dict[str, Any], kind: str) -> list[int]:
    """At which "audits" or the "curve" have a point."""
    return sorted(map(int, result[kind]))

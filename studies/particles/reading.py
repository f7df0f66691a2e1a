"""Numbers of stored results, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..spread import Spread
from ..store import Store

Result = dict[str, Any]
Cell = Callable[[Result], float]

KINDS = {
    "particles-none": "none",
    "particles-euler": "three angles",
    "particles-so3": "SO(3)",
    "particles-o3": "O(3)",
}
BIASES = {
    "particles-o3": "(x, y, z)",
    "particles-wide": "wider",
    "particles-harmonics2": "harmonics to 2",
    "particles-harmonics4": "harmonics to 4",
}
"""Runs, in the words of figures."""

LAYERS = ("position", "embed", *(f"blocks.{i}" for i in range(6)), "spread")
"""From the input on."""


def spread(store: Store, run: str, cell: Cell) -> Spread | None:
    """Of one number over seeds; None where there is no result."""
    results = store.all(run)
    return Spread(tuple(cell(result) for result in results)) if results else None


def steps(result: Result) -> list[int]:
    """At which there is a record."""
    return sorted(map(int, result["training"]))


def score(name: str, where: str = "turned", step: int | None = None) -> Cell:
    """Of held-out events, ``turned`` or ``lying``; None: after the last step."""
    return lambda result: result["training"][str(_at(result, step))][where][name]


def lost(result: Result) -> float:
    """F1 of events as they lie less that of turned ones."""
    return score("f1", "lying")(result) - score("f1", "turned")(result)


def brier(name: str, step: int | None = None) -> Cell:
    """Of the probabilities of audited events: ``mse``, or its parts ``mse_symmetrised`` and ``mse_broken``."""
    return lambda result: _audit(result, step)["outputs"]["probabilities"][name]


def broken_share(step: int | None = None) -> Cell:
    """Part of the Brier score that broken symmetry makes."""
    return lambda result: brier("mse_broken", step)(result) / brier("mse", step)(result)


def share(layer: str, l: int, sigma: int, step: int | None = None) -> Cell:
    """Of power in one irrep, as the mean over channels of their own shares."""
    return lambda result: _spectrum(result, layer, step)["each_channel"][l][(1 - sigma) // 2]


def pseudo(layer: str, step: int | None = None) -> Cell:
    """The share of all irreps with sigma = -1."""
    return lambda result: sum(row[1] for row in _spectrum(result, layer, step)["each_channel"])


def variance(result: Result) -> float:
    """A of the logits under rotations, over all held-out events."""
    bins = result["final"]["orientations"]["by_sine"]["square"]
    return sum(bins) / len(bins)


def by_sine(name: str, place: int) -> Cell:
    """Mean over the orientations of one bin of |sin b|, ``square`` or ``cross_entropy``."""
    return lambda result: result["final"]["orientations"]["by_sine"][name][place]


def improper(name: str) -> Cell:
    """A score of events that are turned and inverted less that of those that are turned."""
    return lambda result: (
        result["final"]["orientations"]["improper"][name] - result["final"]["orientations"]["proper"][name]
    )


def odd(result: Result) -> float:
    """Share of the logits' power in the sector (0, -1), what inversion alone changes, of audited events."""
    logits = result["final"]["audit"]["outputs"]["logits"]
    return logits["power"][0][1] / logits["total"]


def paired(store: Store, one: str, other: str, cell: Cell) -> Spread | None:
    """Of one run less another, seed by seed: weights at the beginning and batches are the same."""
    seeds = [seed for seed in store.seeds(one) if seed in store.seeds(other)]
    if not seeds:
        return None
    return Spread(tuple(cell(store.load(one, seed)) - cell(store.load(other, seed)) for seed in seeds))


def known(store: Store, runs: Sequence[str]) -> list[str]:
    """Those that have results."""
    return [run for run in runs if store.seeds(run)]


def _at(result: Result, step: int | None) -> int:
    return steps(result)[-1] if step is None else step


def _audit(result: Result, step: int | None) -> Any:
    return result["training"][str(_at(result, step))]["audit"]


def _spectrum(result: Result, layer: str, step: int | None) -> Any:
    audit = _audit(result, step)
    return audit["outputs" if layer in audit["outputs"] else "layers"][layer]

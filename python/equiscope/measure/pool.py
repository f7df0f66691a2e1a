"""What is summed over the orbits of a data set, and sums that do not depend on the order of their terms."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from ..groups.representation import Representation
from .orbit import OrbitSummary, Sector

Tensors = dict[str, torch.Tensor]


class Quantity(ABC):
    """Something pooled over systems with their sample counts as weights: a result of plain sums over orbits."""

    shapes: dict[str, tuple[int, ...]]
    """Of every sum, by name."""

    @abstractmethod
    def terms(self, orbit: OrbitSummary) -> Tensors:
        """What one system adds to the sums."""

    @abstractmethod
    def result(self, sums: Tensors) -> Tensors:
        """The pooled numbers."""

    def zeros(self, device: torch.device | str | None = None) -> Tensors:
        """Float64 states before any system: each sum, and beside it the rounding error it has made so far."""
        return {
            name + suffix: torch.zeros(shape, dtype=torch.float64, device=device)
            for name, shape in self.shapes.items()
            for suffix in ("", "_error")
        }

    def added(self, states: Tensors, orbit: OrbitSummary) -> Tensors:
        """The states after one more system (Knuth's two-sum). Merging replicas is a plain sum of states."""
        after = {}
        for name, term in self.terms(orbit).items():
            total = states[name]
            term = term.to(total)
            new = total + term
            shadow = new - total
            after[name] = new
            after[f"{name}_error"] = states[f"{name}_error"] + ((total - (new - shadow)) + (term - shadow))
        return after

    def pooled(self, states: Tensors) -> Tensors:
        return self.result({name: states[name] + states[f"{name}_error"] for name in self.shapes})


class Pool:
    """One quantity and its states."""

    def __init__(self, quantity: Quantity, device: torch.device | str | None = None) -> None:
        self.quantity = quantity
        self._states = quantity.zeros(device)

    def add(self, orbit: OrbitSummary) -> None:
        self._states = self.quantity.added(self._states, orbit)

    def compute(self) -> Tensors:
        return self.quantity.pooled(self._states)


class PooledError(Quantity):
    """See `equiscope.metrics.EquivarianceError`."""

    def __init__(self, representation: Representation) -> None:
        self.representation = representation
        self.irreps: tuple[Sector, ...] = tuple((b.lam, b.sigma) for b in representation.blocks)
        scalars: dict[str, tuple[int, ...]] = {"pooled_variance_sum": (), "square_sum": (), "samples_sum": ()}
        self.shapes = {"variance_sum": (len(self.irreps),), **scalars}

    def terms(self, orbit: OrbitSummary) -> Tensors:
        return {
            "variance_sum": torch.stack([orbit.variance[irrep].mean(1).sum() for irrep in self.irreps]),
            "pooled_variance_sum": orbit.total_variance.mean(1).sum(),
            "square_sum": orbit.total.mean(1).sum() / self.representation.components,
            "samples_sum": torch.tensor(float(orbit.samples)),
        }

    def result(self, sums: Tensors) -> Tensors:
        samples = sums["samples_sum"]
        variance = sums["pooled_variance_sum"] / samples
        size = (sums["square_sum"] / samples).sqrt()
        rmse = variance.sqrt()
        return {
            "rmse": rmse,
            "variance": variance,
            "variance_by_irrep": sums["variance_sum"] / samples,
            "size": size,
            "relative": torch.where(size > 0, rmse / size, torch.zeros_like(rmse)),
            "samples": samples,
        }


class PooledSpectrum(Quantity):
    """See `equiscope.metrics.CharacterSpectrum`."""

    def __init__(self, lmax: int) -> None:
        self.shapes = {"power_sum": (lmax + 1, 2), "total_sum": (), "unresolved_sum": (), "samples_sum": ()}

    def terms(self, orbit: OrbitSummary) -> Tensors:
        return {
            "power_sum": orbit.total_power.mean(-1).sum(-1),
            "total_sum": orbit.total.mean(1).sum(),
            "unresolved_sum": orbit.unresolved.mean(1).sum(),
            "samples_sum": torch.tensor(float(orbit.samples)),
        }

    def result(self, sums: Tensors) -> Tensors:
        samples = sums["samples_sum"]
        return {
            "power": sums["power_sum"] / samples,
            "total": sums["total_sum"] / samples,
            "unresolved": sums["unresolved_sum"] / samples,
            "samples": samples,
        }

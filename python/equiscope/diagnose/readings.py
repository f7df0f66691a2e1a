"""What is kept of every layer while an audit runs: its moments against the representation of each target."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

import torch

from ..adapters.base import System
from ..groups.group import Group, Isotypic
from ..groups.representation import Representation
from ..measure.measure import Elements
from ..measure.summary import OrbitSummary, Parts
from ..ops.rotation import rotate_copies
from ..probe.witness import Values, Witness
from .ridge import FOLDS

Key = tuple[str, bool]
"""A layer, and whether its rows are pooled."""


@dataclass
class Running:
    """One system that is being evaluated, and then what is kept of it."""

    fold: int
    elements: Elements
    weights: torch.Tensor
    targets: dict[str, torch.Tensor]
    """By output ``(samples, channels, components)``."""
    moments: dict[tuple[str, str], list[torch.Tensor]] = field(default_factory=dict)
    """By layer and output, for each irrep of the target ``(samples, K, P, P)``."""
    squares: dict[Key, torch.Tensor] = field(default_factory=dict)
    """Sums over samples of ``int x x^T dg``."""
    rows: dict[str, int] = field(default_factory=dict)
    """Of each layer."""
    predicted: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    """By output: mean Pi, sorted by irreps ``(samples, channels, components)``, and A times the number of components,
    by irrep ``(parts, samples, channels)``."""


class Readings(Witness):
    """Keeps, of every system, the moments ``int x_k(g) rho_mn(g) dg`` of each layer with each irrep of each target.

    A target of a whole system is read from the sum and from the mean over the rows of a layer (its atoms, edges or
    points), 2 K features; a target with a value for each row from the rows themselves, where a layer has as many.
    """

    def __init__(self, group: Group, outputs: Mapping[str, Representation], member: Callable[[str], Hashable]) -> None:
        self._group = group
        self._kinds = outputs
        self._decompositions = {name: group.decompose(kind) for name, kind in outputs.items()}
        self._member = member
        self.members: dict[Hashable, int] = {}
        """What is never split between folds, by number."""
        self._running: dict[str, Running] = {}
        self.done: list[Running] = []
        self.squares: dict[Key, torch.Tensor] = {}
        """``(FOLDS, K, K)``."""
        self._unlike: set[tuple[str, str]] = set()
        self._compared: set[tuple[str, str]] = set()

    def is_head(self, layer: str) -> bool:
        """Whether `layer` is what an output is: it has its values, or its name."""
        pairs = {(layer, output) for output in self._kinds} & self._compared
        return bool(pairs - self._unlike) or layer in {f"{output}:output" for output in self._kinds}

    def parts(self, output: str) -> tuple[Isotypic, ...]:
        """The irreps of a target."""
        return self._decompositions[output].parts

    def begin(self, system: System, elements: Elements, targets: Values) -> None:
        weights = getattr(elements, "weights", None)
        if not isinstance(weights, torch.Tensor):
            weights = torch.full((len(elements),), 1.0 / len(elements), dtype=torch.float64)
        fold = self.members.setdefault(self._member(system.name), len(self.members)) % FOLDS
        self._running[system.name] = Running(fold, elements, weights, dict(targets))

    def update(self, system: System, start: int, stop: int, values: Values) -> None:
        found = self._running[system.name]
        elements = found.elements.select(start, stop)
        weights = found.weights[start:stop]
        layers = {name: value for name, value in values.items() if name not in self._kinds}
        turns = {name: self.matrices(name, elements) for name in found.targets}
        for pair in itertools.product(layers, self._kinds.keys() & values.keys()):
            self._compared.add(pair)
            if pair not in self._unlike and not _same(*(values[name] for name in pair)):
                self._unlike.add(pair)
        for layer, value in layers.items():
            rows = value.to("cpu", torch.float64).flatten(2)
            found.rows[layer] = rows.shape[1]
            features: dict[bool, torch.Tensor] = {}
            for output, target in found.targets.items():
                pooled = target.shape[0] == 1
                if not pooled and target.shape[0] != rows.shape[1]:
                    continue
                if pooled not in features:
                    features[pooled] = _pooled(rows) if pooled else rows
                    self._add_squares(found, (layer, pooled), features[pooled], weights)
                self._add_moments(found, (layer, output), features[pooled], weights, turns[output])

    def matrices(self, output: str, elements: torch.Tensor) -> list[torch.Tensor]:
        """``(n, P, P)`` for each irrep of the target."""
        kind, decomposition = self._kinds[output], self._decompositions[output]
        unit = torch.eye(kind.components, dtype=torch.float64)
        native = rotate_copies(kind, unit.expand(1, -1, -1), elements.cpu()).mT
        matrix = unit if decomposition.matrix is None else decomposition.matrix
        sorted_ = matrix @ native @ torch.linalg.pinv(matrix)
        rows = [torch.tensor(part.rows) for part in decomposition.parts]
        return [sorted_[:, own][:, :, own] for own in rows]

    @staticmethod
    def _add_squares(found: Running, key: Key, x: torch.Tensor, weights: torch.Tensor) -> None:
        wide = (x * weights.sqrt()[:, None, None]).flatten(0, 1)
        found.squares[key] = found.squares.get(key, 0.0) + wide.T @ wide

    @staticmethod
    def _add_moments(
        found: Running, key: tuple[str, str], x: torch.Tensor, weights: torch.Tensor, turns: list[torch.Tensor]
    ) -> None:
        wide = (x * weights[:, None, None]).flatten(1)
        new = [(wide.T @ rho.flatten(1)).reshape(*x.shape[1:], *rho.shape[1:]) for rho in turns]
        old = found.moments.get(key)
        found.moments[key] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]

    def end(self, system: System, orbits: Mapping[str, OrbitSummary]) -> None:
        found = self._running.pop(system.name)
        found.targets = {output: target for output, target in found.targets.items() if output in orbits}
        for output in found.targets:
            orbit = orbits[output]
            assert orbit.mean is not None and orbit.target is not None
            decomposition = self._decompositions[output]
            parts = Parts(self._group.chart(0), decomposition, orbit.mean.device)
            broken = torch.stack([part.components * orbit.variance[part.label] for part in decomposition.parts])
            found.predicted[output] = (parts.sort(orbit.mean).cpu(), broken.cpu())
            found.targets[output] = parts.sort(orbit.target).cpu()
        for key, square in found.squares.items():
            if key not in self.squares:
                self.squares[key] = torch.zeros(FOLDS, *square.shape, dtype=torch.float64)
            self.squares[key][found.fold] += square
        found.squares = {}
        self.done.append(found)

    def drop(self, system: System) -> None:
        self._running.pop(system.name, None)


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.numel() == other.numel() and torch.equal(one.reshape(-1), other.reshape(-1).to(one))


def _pooled(rows: torch.Tensor) -> torch.Tensor:
    """``(n, rows, F)`` as ``(n, 1, 2 F)``: sum and mean over the rows."""
    return torch.cat([rows.sum(1, keepdim=True), rows.mean(1, keepdim=True)], dim=-1)

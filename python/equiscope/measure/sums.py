"""All that is pooled of one output or layer as one vector of plain sums: what a system adds to it is a vector too.

So systems can be added by whoever evaluated them, written to a file and read back, and the pooled numbers are the same
bits as long as they are added in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from ..groups.group import Group
from ..groups.representation import Representation
from .quantity import QUANTITIES, Quantity, Tensors
from .summary import OrbitSummary

Values: TypeAlias = npt.NDArray[np.float64]
Term: TypeAlias = torch.Tensor | Values | list[float]

OWN = ("spectrum", "error", "cosets")
"""Quantities that fill the fields of a result; all others are kept by name."""


@dataclass(frozen=True)
class Beside:
    """What is pooled beside the quantities of an orbit."""

    noise: float
    """Root mean square change of one entry between repeats."""
    floor: float
    """Root mean square scatter of one entry for no reason of symmetry."""
    factor: float = 1.0
    """On stated errors, as measured."""
    independent: bool = True
    """Whether the random errors of two systems are independent, so that their squares add up."""


class Terms:
    """Which sums there are of an output or layer of that representation, and in which order they stand in a vector.

    The sums of every `Quantity`, those of the spectrum of each irrep where a representation has several, errors (the
    squares of what is random, and what has a sign), noise, floor and the number of samples.
    """

    def __init__(self, group: Group, lmax: int, representation: Representation | None) -> None:
        found = {key: quantity.of(group, lmax, representation) for key, quantity in QUANTITIES.items()}
        self.quantities: dict[str, Quantity] = {key: own for key, own in found.items() if own is not None}
        self.irreps = () if representation is None else tuple(p.label for p in group.decompose(representation).parts)
        self._several = self.irreps if len(self.irreps) > 1 else ()
        shapes: dict[tuple[str, str], tuple[int, ...]] = {}
        for key, quantity in self.quantities.items():
            shapes |= {(key, name): shape for name, shape in quantity.shapes.items()}
        for i in range(len(self._several)):
            shapes |= {(f"spectrum {i}", name): shape for name, shape in self.quantities["spectrum"].shapes.items()}
        errors: dict[str, tuple[int, ...]] = {"power": group.shape(lmax), "unresolved": ()}
        errors |= {} if representation is None else {"variance": (), "irreps": (len(self.irreps),)}
        self._measured = len(shapes)
        """The first of the sums: those of quantities."""
        self._errors = tuple(errors)
        for kind in ("random", "signed"):
            shapes |= {(kind, name): shape for name, shape in errors.items()}
        shapes |= {("all", name): () for name in ("samples", "noise", "floor")}
        self._shapes = shapes
        self._sizes = list(map(math.prod, shapes.values()))
        self._size = sum(self._sizes)

    def __len__(self) -> int:
        return self._size

    def of(self, orbit: OrbitSummary, beside: Beside) -> list[Term]:
        """What one system adds, terms that make the vector when they are joined; each where it was calculated."""
        held = {key: quantity.terms(orbit) for key, quantity in self.quantities.items()}
        for i, irrep in enumerate(self._several):
            held[f"spectrum {i}"] = self.quantities["spectrum"].terms(orbit.restricted(irrep))
        found = ((held[key][name], shape) for (key, name), shape in islice(self._shapes.items(), self._measured))
        quantities: list[Term] = [
            (own if own.shape == shape else own.expand(shape))
            if isinstance(own, torch.Tensor)
            else [own] * math.prod(shape)
            for own, shape in found
        ]
        return [*quantities, self._beside(orbit, beside)]

    def _beside(self, orbit: OrbitSummary, beside: Beside) -> Values:
        """Errors, noise, floor and the number of samples."""
        known, samples, scaled = orbit.known_errors(), orbit.samples, []
        for name in self._errors:
            # grids that were compared showed errors of the whole; that of an irrep that holds little may still be right
            factor = beside.factor if name in ("variance", "irreps") else max(1.0, beside.factor)
            scaled.append(samples * factor * known[name].numpy().reshape(2, -1))
        random, signed = np.concatenate(scaled, axis=1)
        both = (np.square(random), signed) if beside.independent else (np.zeros_like(random), random + signed)
        return np.concatenate([*both, [samples * weight for weight in (1.0, beside.noise**2, beside.floor**2)]])

    def apart(self, vector: torch.Tensor) -> dict[str, Tensors]:
        """The sums by quantity and name."""
        found: dict[str, Tensors] = {}
        for ((key, name), shape), own in zip(self._shapes.items(), vector.split(self._sizes), strict=True):
            found.setdefault(key, {})[name] = own.reshape(shape)
        return found


class Sums:
    """The sum of such vectors, with the rounding error that it made so far beside it (Knuth's two-sum)."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._total, self._error = np.zeros((2, len(terms)))

    def add(self, vector: torch.Tensor) -> None:
        """One more system, float64 on the host."""
        total, term = self._total, vector.numpy()
        self._total = new = total + term
        shadow = new - total
        self._error = self._error + ((total - (new - shadow)) + (term - shadow))

    def results(self) -> dict[str, Tensors]:
        """The pooled numbers: of every quantity by its name, ``spectrum i`` of irrep i where there are several, and
        ``errors`` (half widths of averages over samples), ``noise`` and ``floor`` (root mean squares)."""
        sums = self.terms.apart(torch.from_numpy(self._total + self._error))
        quantities = self.terms.quantities
        found = {key: quantity.result(sums[key]) for key, quantity in quantities.items()}
        found |= {key: quantities["spectrum"].result(own) for key, own in sums.items() if key.startswith("spectrum ")}
        samples = sums["all"]["samples"]
        random, signed = sums["random"], sums["signed"]
        found["errors"] = {name: (own.sqrt() + signed[name]) / samples for name, own in random.items()}
        found["all"] = {"samples": samples, **{k: (sums["all"][k] / samples).sqrt() for k in ("noise", "floor")}}
        return found


def on_host(terms: Sequence[Term]) -> torch.Tensor:
    """All of them as one float64 vector on the host; what lies on a device is fetched at once."""
    there = [x for x in terms if isinstance(x, torch.Tensor) and x.device.type != "cpu"]
    fetched = iter(())
    if there:
        fetched = iter(torch.cat([x.reshape(-1).double() for x in there]).cpu().split([x.numel() for x in there]))
    here = (next(fetched) if isinstance(x, torch.Tensor) and x.device.type != "cpu" else x for x in terms)
    flat = [x.numpy().reshape(-1) if isinstance(x, torch.Tensor) else x for x in here]
    return torch.from_numpy(np.concatenate(flat, dtype=np.float64))

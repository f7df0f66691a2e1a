"""Functions of vectors whose equivariance errors and spectra are known: what stated errors are held against.

Every case is a model on one system of a few unit vectors, with the grid that it is asked on. Sums of Legendre
polynomials of an angle to a fixed axis hold exactly the degrees that are named, so that a fine bare grid gives the
truth. The list is fixed: nothing here is drawn anew.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import equiscope as eq

AXES = {"aligned": (0.0, 0.0, 1.0), "general": (0.36, 0.48, -0.8)}
KINDS = {0: "scalar", 1: "vector", 2: "tensor"}


@dataclass(frozen=True)
class Case:
    rank: int
    """Of the output: scalar, vector, tensor."""
    vectors: int
    lie: str
    """Whether the input and the fixed axis lie along z."""
    terms: tuple[tuple[int, float], ...]
    """Degree and coefficient of each Legendre polynomial."""
    lmax: int
    degree: int

    @property
    def name(self) -> str:
        terms = "+".join(f"{c:g}P{l}" for l, c in self.terms)
        return f"{KINDS[self.rank]}-{self.vectors}-{self.lie}-{terms}-l{self.lmax}-N{self.degree}"

    @property
    def highest(self) -> int:
        return max(l for l, _ in self.terms) * min(self.vectors, 2) + self.rank

    @property
    def system(self) -> torch.Tensor:
        """``(vectors, 3)``, of unit length; the first along z where the case is aligned."""
        generator = torch.Generator().manual_seed(17 * self.vectors + len(self.terms))
        rows = torch.randn(self.vectors, 3, dtype=torch.float64, generator=generator)
        if self.lie == "aligned":
            rows[0] = torch.tensor([0.0, 0.0, 1.0])
        return torch.nn.functional.normalize(rows, dim=-1)

    def model(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of rotated systems ``(copies, vectors, 3)``."""
        axis = torch.tensor(AXES[self.lie], dtype=torch.float64)
        other = torch.tensor((0.6, 0.0, 0.8), dtype=torch.float64)
        broken = 1.0 + _legendre(self.terms, x[:, 0] @ axis)
        if self.vectors > 1:
            # products, so that the content has more than one component on the right
            broken = broken + 0.5 * _legendre(self.terms, x[:, 0] @ axis) * _legendre(self.terms, x[:, 1] @ other)
        if self.vectors > 2:
            broken = broken + torch.linalg.det(x[:, :3]) * _legendre(self.terms, x[:, 2] @ other)
        r = x[:, 0]
        value = (torch.ones_like(broken), r, r[:, :, None] * r[:, None, :])[self.rank]
        return {"f": value * broken.reshape(-1, *[1] * self.rank)}

    def audit(self, **settings: Any) -> Any:
        asked = {"lmax": self.lmax, "degree": self.degree, **settings}
        return eq.audit(
            self.model,
            [(self.name, {"x": self.system})],
            inputs={"x": "vector"},
            outputs={"f": KINDS[self.rank]},
            progress=False,
            batch_rows=1 << 14,
            **asked,
        ).outputs["f"]

    @functools.cached_property
    def truth(self) -> Any:
        """On the bare grid that resolves every product."""
        return self.audit(degree=2 * self.highest, shift=None)


def _legendre(terms: tuple[tuple[int, float], ...], t: torch.Tensor) -> torch.Tensor:
    coefficients = np.zeros(max(l for l, _ in terms) + 1)
    for l, c in terms:
        coefficients[l] += c
    return torch.from_numpy(np.polynomial.legendre.legval(t.numpy(), coefficients))


def cases() -> list[Case]:
    """All of them; a third or so is resolved exactly and says nothing of errors."""
    found = []
    for lmax, above in itertools.product(range(9), (0, 3, 7, 12)):
        degree = 2 * lmax + above
        middle = degree // 2 + 1
        chosen = (
            ((middle, 0.3),),
            ((degree + 1, 0.2),),
            ((max(lmax, 1), 0.3), (middle + 1, 0.2)),
            ((1, 0.5), (max(lmax, 1), 0.2), (degree - lmax + 1, 0.05)),
            tuple((l, 0.5**l) for l in range(1, min(middle + 3, 13)))
            if (lmax + above) % 2
            else ((2, 0.3), (lmax + 1, 0.1), (lmax + 4, 0.1), (middle + 2, 0.1)),
        )
        for i, terms in enumerate(chosen):
            rank, vectors = (lmax + above + i) % 3, 1 + (lmax + i) % 3
            if vectors > 1 and max(l for l, _ in terms) > 10:
                vectors = 1
            found.append(Case(rank, vectors, ("aligned", "general")[(i + above + lmax // 2) % 2], terms, lmax, degree))
    return found

"""Equivariance error as a torchmetrics metric."""

from __future__ import annotations

import torch

from ..so3.quadrature import Quadrature
from ..so3.representation import Representation
from .orbit import OrbitMoments, OrbitSummary, Sector
from .sums import ExactSums
from .values import canonical


class EquivarianceError(ExactSums):
    """Equivariance variance A and its root, pooled over systems with their sample counts as weights.

    ``A = (1/d) [ int |z|^2 dg - |int z dg|^2 ]`` with ``z(g) = rho(g)^-1 u(g)``, ``u(g) = f(g x)`` and d the number of
    components (arXiv 2603.24638). For an equivariant reference, the mean squared error of f averaged over
    orientations is that of the symmetrised f plus A.

    Args:
        representation: how the output transforms (see `equiscope.audit`).
        quadrature: grid of both cosets on which the values are given.
        basis, layout: of an Irreps string.

    `update` takes ``(G, samples, *channels, *components)``: the output of one system on all G elements of the grid, in
    grid order. `compute` gives a dict of float64: ``rmse``, ``variance``, ``size`` (root mean square of one
    component), ``relative`` (rmse / size), ``samples``, and ``variance_by_irrep`` ``(n_irreps,)`` in the order of
    ``irreps``. States are sums, so replicas merge in any order.
    """

    def __init__(
        self,
        representation: str | Representation,
        quadrature: Quadrature,
        *,
        basis: str = "standard",
        layout: str = "mul_ir",
    ) -> None:
        super().__init__()
        self.representation = Representation.parse(representation, basis=basis, layout=layout)
        self.quadrature = quadrature
        self.irreps: tuple[Sector, ...] = tuple((b.lam, b.sigma) for b in self.representation.blocks)
        self._add_sum("variance_sum", (len(self.irreps),))
        self._add_sum("pooled_variance_sum", ())
        self._add_sum("square_sum", ())
        self._add_sum("samples_sum", ())

    def update(self, values: torch.Tensor) -> None:
        """Add one system, from its values on the whole grid."""
        values = canonical(values, self.quadrature, self.representation)
        moments = OrbitMoments(self.quadrature, 0, values[0], self.representation)
        moments.update(values)
        self.add(moments.finish())

    def add(self, orbit: OrbitSummary) -> None:
        """Add one system whose orbit was accumulated elsewhere."""
        self._update_count += 1
        self._computed = None
        n = orbit.samples
        by_irrep = torch.stack([orbit.variance[irrep].mean(1).sum() for irrep in self.irreps])
        self._accumulate("variance_sum", by_irrep)
        self._accumulate("pooled_variance_sum", orbit.total_variance.mean(1).sum())
        self._accumulate("square_sum", orbit.total.mean(1).sum() / self.representation.components)
        self._accumulate("samples_sum", torch.tensor(float(n)))

    def compute(self) -> dict[str, torch.Tensor]:
        samples = self._sum("samples_sum")
        variance = self._sum("pooled_variance_sum") / samples
        size = (self._sum("square_sum") / samples).sqrt()
        rmse = variance.sqrt()
        return {
            "rmse": rmse,
            "variance": variance,
            "variance_by_irrep": self._sum("variance_sum") / samples,
            "size": size,
            "relative": torch.where(size > 0, rmse / size, torch.zeros_like(rmse)),
            "samples": samples,
        }

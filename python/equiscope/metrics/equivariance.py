"""Equivariance error as a torchmetrics metric."""

from __future__ import annotations

import torch

from ..groups.group import Grid
from ..groups.representation import Representation
from ..measure.on_grid import grid_moments
from ..measure.quantities.error import PooledError
from ..measure.values import canonical
from .metric import PooledMetric, check_grid


class EquivarianceError(PooledMetric):
    """Equivariance variance A and its root, pooled over systems with their sample counts as weights.

    ``A = (1/d) [ int |z|^2 dg - |int z dg|^2 ]`` with ``z(g) = rho(g)^-1 u(g)``, ``u(g) = f(g x)`` and d the number of
    components (arXiv 2603.24638). For an equivariant reference, the mean squared error of f averaged over
    orientations is that of the symmetrised f plus A.

    Args:
        representation: how the output transforms (see `equiscope.audit`).
        quadrature: grid on which the values are given: of O(3), SO(3), or another group.
        basis, layout: of an Irreps string; with l >= 1 the basis must be said, "standard" or "e3nn".

    `update` takes ``(G, samples, *channels, *components)``: the output of one system on all G elements of the grid, in
    grid order. `compute` gives a dict of float64: ``rmse``, ``variance``, ``size`` (root mean square of one
    component), ``relative`` (rmse / size), ``samples``, and ``variance_by_irrep`` ``(n_irreps,)`` in the order of
    ``irreps``. States are sums, so replicas merge in any order.
    """

    def __init__(
        self,
        representation: str | Representation,
        quadrature: Grid,
        *,
        basis: str | None = None,
        layout: str = "mul_ir",
    ) -> None:
        check_grid(quadrature)
        quantity = PooledError(quadrature.group, Representation.declared(representation, basis=basis, layout=layout))
        super().__init__(quantity)
        self.representation = quantity.representation
        self.quadrature = quadrature
        self.irreps = quantity.irreps

    def update(self, values: torch.Tensor) -> None:
        """Add one system, from its values on the whole grid."""
        values = canonical(values, self.quadrature, self.representation)
        moments = grid_moments(self.quadrature, 0, values[0], self.representation)
        moments.update(values)
        self.add(moments.finish())

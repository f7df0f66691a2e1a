"""Character spectrum as a torchmetrics metric."""

from __future__ import annotations

import torch

from ..arrays import check_lmax, check_resolved
from ..errors import ArgumentError, DTypeError, renamed
from ..groups.group import Grid
from ..groups.representation import Representation
from ..measure.on_grid import grid_moments
from ..measure.quantities.spectrum import PooledSpectrum
from ..measure.values import canonical
from .metric import PooledMetric, check_grid


class CharacterSpectrum(PooledMetric):
    """Power in every irrep of the group of a grid, pooled over systems with their sample counts as weights.

    For O(3) ``B_(l, sigma) = (2l+1)/4 sum_mn |c^l_mn(+) + sigma (-1)^l c^l_mn(-)|^2`` with
    ``c^l_mn(s) = int D^l_mn(R) u(s R) dR`` (arXiv 2603.24638). The B of all irreps sum to ``int |u|^2 dg``; what lies
    above `lmax` is `unresolved`.

    Args:
        lmax: highest l resolved; the grid has at least degree 2 lmax.
        quadrature: grid on which the values are given: of O(3), SO(3), or another group.
        representation: of the values, to know their component axes; power is summed over components.

    `update` takes ``(G, samples, *channels, *components)`` in grid order. `compute` gives a dict of float64: ``power``
    ``(lmax + 1, 2)`` for O(3) (second axis sigma = +1, -1), ``(lmax + 1,)`` for SO(3); ``total``, ``unresolved``,
    ``samples``.
    """

    def __init__(self, lmax: int, quadrature: Grid, *, representation: str | Representation = "invariant") -> None:
        check_grid(quadrature)
        self.lmax = check_lmax(lmax)
        if quadrature.degree is not None:
            check_resolved(self.lmax, quadrature.degree)
        super().__init__(PooledSpectrum(quadrature.group.shape(self.lmax)))
        self.quadrature = quadrature
        try:
            self.representation = Representation.parse(representation)
        except (ArgumentError, DTypeError) as error:
            raise renamed(error, "rep", "representation") from None

    def update(self, values: torch.Tensor) -> None:
        """Add one system, from its values on the whole grid."""
        values = canonical(values, self.quadrature, self.representation)
        moments = grid_moments(self.quadrature, self.lmax, values[0], None)
        moments.update(values)
        self.add(moments.finish())

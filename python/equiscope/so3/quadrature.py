"""Quadrature rules on O(3) and SO(3): Lebedev on the sphere times equispaced angles about the last axis."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
import torch

from ..errors import ArgumentError, fail

MAXIMUM_DEGREE = 131
LEBEDEV_DEGREES = (*range(3, 33, 2), *range(35, MAXIMUM_DEGREE + 1, 6))
NEGATIVE_WEIGHTS = (13, 25, 27)
"""Lebedev degrees with some negative weights: a variance computed with them can come out negative."""

DEGREE_GROWTH = 1.25
"""Smallest step of `next_degree`: below it two degrees may share a rule, above it copies are wasted."""

KEPT_ELEMENTS = 1 << 14
"""Rotations of grids up to this size (degree 28, 1.2 MB) are built once and kept."""


@dataclass(frozen=True)
class Quadrature:
    """A grid of rotations that integrates products of matrix elements D^l D^l' exactly for l + l' <= degree.

    Order of the elements: for coset (+R, then -R): for point: for gamma. Element (s, p, k) is
    ``s * rings[p] @ Rz(2 pi k / gammas)``.
    """

    degree: int
    group: str
    lebedev_degree: int
    rings: torch.Tensor
    """``(P, 3, 3)`` float64, the rotations with gamma = 0."""
    ring_weights: torch.Tensor
    """``(P,)`` float64, sum 1."""
    gammas: int
    """Number K of equispaced angles."""

    def to(self, device: torch.device | str) -> Quadrature:
        """The same grid with its tensors on `device`; kept."""
        device = torch.device(device)
        if device == self.rings.device:
            return self
        if device not in self._elsewhere:
            rings, weights = self.rings.to(device), self.ring_weights.to(device)
            self._elsewhere[device] = replace(self, rings=rings, ring_weights=weights)
        return self._elsewhere[device]

    @functools.cached_property
    def _elsewhere(self) -> dict[torch.device, Quadrature]:
        return {}

    @property
    def cosets(self) -> int:
        return 2 if self.group == "O3" else 1

    def __len__(self) -> int:
        return self.cosets * self.rings.shape[0] * self.gammas

    @property
    def elements(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Rings of all cosets, ``(cosets * P, 3, 3)``, and their weights, sum 1 in each coset."""
        if self.cosets == 1:
            return self.rings, self.ring_weights
        return torch.cat([self.rings, -self.rings]), self.ring_weights.repeat(2)

    @functools.cached_property
    def weights(self) -> torch.Tensor:
        """``(G,)`` float64, sum 1."""
        per_element = self.ring_weights / (self.gammas * self.cosets)
        return per_element.repeat_interleave(self.gammas).repeat(self.cosets)

    @functools.cached_property
    def rotations(self) -> torch.Tensor:
        """``(G, 3, 3)`` float64."""
        return self._build(0, len(self))

    def orbit(self, name: str) -> Quadrature:
        """The elements for the system called `name`: the same for all."""
        return self

    def select(self, start: int, stop: int) -> torch.Tensor:
        """Elements ``start:stop``, ``(stop - start, 3, 3)`` float64; of a large grid without building the others."""
        if not 0 <= start <= stop <= len(self):
            fail(ArgumentError, "start, stop", f"0 <= start <= stop <= {len(self)}", (start, stop))
        if len(self) <= KEPT_ELEMENTS:
            return self.rotations[start:stop]
        return self._build(start, stop)

    def _build(self, start: int, stop: int) -> torch.Tensor:
        index = torch.arange(start, stop, device=self.rings.device)
        per_coset = self.rings.shape[0] * self.gammas
        coset, within = index // per_coset, index % per_coset
        turned = self.rings[within // self.gammas] @ self._turns[within % self.gammas]
        return turned * (1.0 - 2.0 * coset.to(torch.float64))[:, None, None]

    @functools.cached_property
    def _turns(self) -> torch.Tensor:
        gamma = 2.0 * torch.pi * torch.arange(self.gammas, dtype=torch.float64) / self.gammas
        return _about_z(gamma).to(self.rings.device)


def quadrature(degree: int, *, group: str = "O3", allow_negative: bool = False) -> Quadrature:
    """Grid on O(3) or SO(3) that integrates products of matrix elements exactly up to total degree `degree`.

    ``sum_g w_g D^l_mn(g) D^l'_m'n'(g) = int D^l_mn D^l'_m'n' dg`` for l + l' <= degree (Haar measure of total 1).
    The Lebedev rule of the smallest degree >= `degree` gives (alpha, beta) of R = Rz(alpha) Ry(beta) Rz(gamma), and
    ``degree + 1`` equispaced angles give gamma.

    Error: 1e-13 (`test_matrix_elements_integrate_exactly_up_to_the_degree`). Cost: about (degree+1)^2/3 points times
    degree + 1 angles, twice for O(3): 3740 elements at degree 16. The 16 latest grids are kept; they are shared, so
    their tensors must not be written to.

    Args:
        degree: 0..131.
        group: "O3" (both cosets, -R after R) or "SO3".
        allow_negative: accept the Lebedev rules of degree 13, 25 and 27, which have negative weights; otherwise the
            next higher rule takes their place.

    Returns:
        A `Quadrature`; its elements ``rotations`` ``(G, 3, 3)`` and ``weights`` ``(G,)`` are float64 on the CPU, in the
        order ``for coset (+R, then -R): for point: for gamma``.

    Fewer elements are possible only at low degrees: the Gauss-type rules of M. Graef and D. Potts (2009), published to
    degree 14, have 168, 240, 504, 960 elements of SO(3) at degree 7, 8, 11, 14, where these have 208, 342, 600, 1290;
    the equal-weight rules from there on have more (2520 to 1980 at 17). None has rings, so each would cost the
    transform over gamma. From 17 on, at a Lebedev degree, the count is within 10 % of dimension / 4, E(degree) / 4.

    Source: V. I. Lebedev and D. N. Laikov, Doklady Mathematics 59, 477 (1999), as in scipy.

    Raises:
        ArgumentError: degree is no integer or out of range; unknown group.

    >>> len(quadrature(16))
    3740
    """
    if isinstance(degree, bool) or not isinstance(degree, Integral) or not 0 <= degree <= MAXIMUM_DEGREE:
        fail(ArgumentError, "degree", f"an integer from 0 to {MAXIMUM_DEGREE}", repr(degree))
    if group not in ("O3", "SO3"):
        fail(ArgumentError, "group", '"O3" or "SO3"', repr(group))
    return _rule(int(degree), group, allow_negative)


def next_degree(degree: int) -> int:
    """The next degree worth trying after `degree`: a Lebedev degree with positive weights, a quarter higher or more."""
    allowed = (d for d in LEBEDEV_DEGREES if d >= DEGREE_GROWTH * degree + 1 and d not in NEGATIVE_WEIGHTS)
    return next(allowed, MAXIMUM_DEGREE + 1)


@functools.lru_cache(maxsize=16)
def _rule(degree: int, group: str, allow_negative: bool) -> Quadrature:
    from scipy.integrate import lebedev_rule  # a third of a second, which `import equiscope` need not take

    allowed = (d for d in LEBEDEV_DEGREES if d >= degree and (allow_negative or d not in NEGATIVE_WEIGHTS))
    lebedev_degree = next(allowed)
    points, weights = lebedev_rule(lebedev_degree)
    x, y, z = torch.from_numpy(np.ascontiguousarray(points)).to(torch.float64)
    # sin(beta) from x and y, not from z: at the poles 1 - z^2 has no digits left
    rings = _about_z(torch.atan2(y, x)) @ _about_y(torch.atan2(torch.hypot(x, y), z))
    ring_weights = torch.from_numpy(np.ascontiguousarray(weights)).to(torch.float64)
    return Quadrature(degree, group, lebedev_degree, rings, ring_weights / ring_weights.sum(), degree + 1)


def _about_z(angle: torch.Tensor) -> torch.Tensor:
    c, s, o, i = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, -s, o, s, c, o, o, o, i], dim=-1).reshape(*angle.shape, 3, 3)


def _about_y(angle: torch.Tensor) -> torch.Tensor:
    c, s, o, i = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, o, s, o, i, o, -s, o, c], dim=-1).reshape(*angle.shape, 3, 3)

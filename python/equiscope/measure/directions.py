"""The error of one orbit by where an axis of the system points: averaged over what else turns, and smoothed.

With e(g) the squared deviation of z(g) from its mean, and d(g) = g a the direction that g gives to an axis a, the map
is ``E(n) = sum_g w_g e(g) K(n . d(g))`` with the kernel ``K(t) = (L + 1) ((1 + t) / 2)^L``: positive, of mean 1 over
the sphere, and a polynomial of degree L. So E is known everywhere from its values on a Lebedev rule of degree 2 L, and
its mean is ``sum_g w_g e(g)``, the variance. The mean of z(g) is known at the end alone, so moments are kept, not e.
"""

from __future__ import annotations

import functools

import torch

from ..groups._kept import kept
from ..groups.group import Grid, Group
from ..groups.o3 import SO3
from ..groups.quadrature import ring_grid
from ..groups.representation import Representation
from ..ops.rotation import rotate_copies
from .measure import Elements
from .summary import Parts

DEGREE = 11
"""L: half of the height of the kernel is reached at 29 degrees. Finer maps have holes on the grids of small degree."""

RULE = 23
"""Degree of the rule, at least 2 L: 194 directions."""

AT_ONCE = 1024
"""Elements whose values are held until they are needed, or more come, and whose kernels are held together: 1.6 MB. Of
most systems the map is never asked for, and on small grids it is not made then."""

FIXED = 0.999
"""|cosine| from which an axis counts as left where it is, or reversed."""

SEEN = 64
"""Elements that are looked at to find an axis that moves."""


@functools.lru_cache(maxsize=4)
@kept
def directions(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """``(P, 3)`` unit vectors and their shares of the sphere ``(P,)``, sum 1."""
    rule = ring_grid(SO3(), RULE)
    return rule.rings[:, :, 2].contiguous().to(device), rule.ring_weights.to(device)


def moving_axis(elements: Elements) -> torch.Tensor:
    """``(3,)``: z, or x where the elements keep z."""
    z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    seen = elements.to("cpu").select(0, min(SEEN, len(elements)))
    return z if bool((seen[:, 2, 2].abs() < FIXED).any()) else z.roll(1)


def kernel(cosines: torch.Tensor) -> torch.Tensor:
    """K of cosines."""
    half = (1.0 + cosines).mul_(0.5)
    square = half * half
    eighth = square.square().square_()
    return eighth.mul_(square).mul_(half).mul_(DEGREE + 1.0)


class DirectionMoments:
    """Accumulates the outputs of one system over its orbit, by the direction of an axis.

    `first`: values at the identity by name, ``(s, c, components)``, and how each transforms. Memory: P + `AT_ONCE`
    times the entries of the outputs, whatever the number of elements.
    """

    def __init__(
        self, elements: Elements, group: Group, first: dict[str, torch.Tensor], kinds: dict[str, Representation]
    ) -> None:
        self._elements = elements
        self._group = group
        self._given = first
        self._kinds = kinds
        self._done = 0
        self._waiting: list[dict[str, torch.Tensor]] = []
        """Values on the elements from `_done` on."""
        self._held = 0
        """Elements of these."""

    def _open(self) -> None:
        """What nobody needs before the first values are taken."""
        self._first = {name: value.to(torch.float64) for name, value in self._given.items()}
        device = next(iter(self._first.values())).device
        kinds = {name: self._group.decompose(self._kinds[name]) for name in self._first}
        self._parts = {name: Parts(self._group.chart(0), kind, device) for name, kind in kinds.items()}
        self._mesh, _ = directions(device)
        self._weight = self._mesh.new_zeros(len(self._mesh))
        # the basis of the irreps may have more components than are stored, as that of a symmetric tensor has
        sizes = {name: self._parts[name].sort(value).numel() for name, value in self._first.items()}
        self._shift = {name: self._mesh.new_zeros(len(self._mesh), size) for name, size in sizes.items()}
        self._square = {name: self._mesh.new_zeros(len(self._mesh)) for name in self._first}

    @functools.cached_property
    def axis(self) -> torch.Tensor:
        """``(3,)``: that whose directions are looked at."""
        return moving_axis(self._elements)

    @staticmethod
    def nbytes(first: torch.Tensor) -> int:
        """Memory that one output takes, in bytes."""
        return 8 * len(directions(torch.device("cpu"))[0]) * (first.numel() + 1) + AT_ONCE * first.nbytes

    def extend(self, elements: Elements) -> None:
        """Go on with a sequence that begins with the one so far."""
        self._elements = elements

    def update(self, values: dict[str, torch.Tensor]) -> None:
        """The outputs on the next elements, each ``(n, s, c, components)``."""
        n = next(iter(values.values())).shape[0]
        for start in range(0, n, AT_ONCE):
            size = min(AT_ONCE, n - start)
            if self._held + size > AT_ONCE:
                self._take()
            # the model may use its buffers again
            self._waiting.append({name: value[start : start + size].clone() for name, value in values.items()})
            self._held += size

    def _take(self) -> None:
        """Add what is waiting."""
        if self._waiting:
            self._add({name: torch.cat([own[name] for own in self._waiting]) for name in self._given})
            self._waiting, self._held = [], 0

    def _add(self, values: dict[str, torch.Tensor]) -> None:
        if not self._done:
            self._open()
        n = next(iter(values.values())).shape[0]
        elements = self._elements.to(self._mesh.device).select(self._done, self._done + n)
        near = kernel(self._mesh @ (elements @ self.axis.to(elements.device)).T)
        if isinstance(self._elements, Grid):
            near *= self._elements.weights[self._done : self._done + n].to(near.device)
        self._done += n
        self._weight += near.sum(1)
        for name, value in values.items():
            turned = self._turned_back(name, value.to(torch.float64), elements)
            flat = self._parts[name].sort(turned).reshape(n, -1)
            self._shift[name] += near @ flat
            self._square[name] += near @ flat.square().sum(1)

    def _turned_back(self, name: str, values: torch.Tensor, elements: torch.Tensor) -> torch.Tensor:
        """z(g) - z(identity)."""
        kind = self._kinds[name]
        if not kind.is_invariant:
            rows = values.reshape(len(values), -1, kind.components)
            values = rotate_copies(kind, rows, elements, inverse=True).reshape(values.shape)
        return values - self._first[name]

    @property
    def weights(self) -> torch.Tensor:
        """``(P,)``: sum of w K, 1 where elements lie evenly about a direction."""
        self._take()
        return self._weight if isinstance(self._elements, Grid) else self._weight / self._done

    def squares(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        """``(P,)``: E per component, for the mean of z(g); its own mean over the sphere is the variance A."""
        self._take()
        drift = self._parts[name].sort(mean - self._first[name]).reshape(-1)
        summed = self._square[name] - 2.0 * (self._shift[name] @ drift) + self._weight * drift.square().sum()
        # n independent elements lie nearer to their own mean than to the true one
        scale = 1.0 if isinstance(self._elements, Grid) else 1.0 / (self._done - 1)
        samples, channels, _ = self._first[name].shape
        return scale * summed / (samples * channels * self._kinds[name].entries)

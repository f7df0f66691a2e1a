"""SO(2), the rotations about an axis, and O(2) with the mirror planes that contain it (C-infinity-v)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch

from ..errors import ArgumentError, fail
from .group import ElementGrid, Group, Label
from .rotations import about_z, handedness, polar

FINEST = 131
"""Degree of the finest grid, as of O(3): 263 elements, and as many mirrored ones."""

Z = (0.0, 0.0, 1.0)

_NAME = re.compile(r"(SO2|O2)\((.*)\)")


class CircleGrid(ElementGrid):
    """2 N + 1 equispaced angles, of each coset: all power up to m = N is that of the function, as far as it ends there.

    Of a function that does not, m' above N is seen at the m for which m + m' or m - m' is a multiple of 2 N + 1.
    """

    degree: int


class SO2(Group):
    """The rotations about an axis. Its irreps have labels m = 0, 1, ...: cos and sin of m times the angle, a pair.

    Args:
        axis: three numbers, of any length but 0; or the name of an input that holds such a vector of each system (a
            surface normal, a beam), whose values are then turned with the rest.

    >>> SO2(axis=(0, 0, 2)).name, SO2(axis=(1, 1, 0)).name
    ('SO2', 'SO2(1, 1, 0)')
    """

    name = "SO2"
    words = "SO(2)"
    axis = "m"
    finest = FINEST
    mirrors = False

    def __init__(self, axis: Sequence[float] | str = Z) -> None:
        self.input = axis if isinstance(axis, str) else None
        self.direction = _checked_axis(Z if isinstance(axis, str) else axis)
        kind = type(self)
        if isinstance(axis, str):
            self.name, self.words = f"{kind.name}({axis})", f"{kind.words} about {axis}"
        elif self.is_about_z:
            self.words = f"{kind.words} about z"
        else:
            written = f"({', '.join(repr(float(x)).removesuffix('.0') for x in axis)})"
            self.name, self.words = kind.name + written, f"{kind.words} about {written}"

    @property
    def is_about_z(self) -> bool:
        """Whether azimuths are about its axis."""
        return self.input is None and self.direction == Z

    def __repr__(self) -> str:
        axis = self.input if self.input is not None else self.direction
        return f"{type(self).__name__}(axis={axis!r})"

    # -- irreps --------------------------------------------------------------------------------------------------

    def labels(self, lmax: int) -> tuple[Label, ...]:
        return tuple(range(lmax + 1))

    def character(self, label: Label, elements: torch.Tensor) -> torch.Tensor:
        assert isinstance(label, int)
        return (1.0 if label == 0 else 2.0) * torch.cos(label * self.angles(elements))

    def angles(self, elements: torch.Tensor) -> torch.Tensor:
        """``(n,)`` about the axis, of rotations ``(n, 3, 3)``."""
        twice = (elements - elements.mT).to(torch.float64)
        axis = torch.tensor(self.direction, dtype=torch.float64, device=elements.device)
        sine = torch.stack([twice[:, 2, 1], twice[:, 0, 2], twice[:, 1, 0]], dim=-1) @ axis
        return torch.atan2(sine, elements.diagonal(dim1=-2, dim2=-1).sum(-1).to(torch.float64) - 1.0)

    def label_name(self, label: Label) -> str:
        return "invariant" if label == 0 else f"m={label}"

    def column(self, label: Label, labels: Sequence[Label]) -> int:
        return int(str(label))

    # -- elements ------------------------------------------------------------------------------------------------

    def elements(self, angles: torch.Tensor) -> torch.Tensor:
        """``(n, 3, 3)``: the rotations by ``(n,)`` angles."""
        frame = self._frame.to(angles.device)
        # products of three are orthogonal to a few units in the last place, which a model would feel
        return polar(frame @ about_z(angles) @ frame.T)

    @property
    def _frame(self) -> torch.Tensor:
        return frame_of(torch.tensor(self.direction, dtype=torch.float64))

    def grid(self, degree: int) -> CircleGrid:
        n = 2 * degree + 1
        angles = 2.0 * math.pi * torch.arange(n, dtype=torch.float64) / n
        elements = self.elements(angles)
        return CircleGrid(self, elements, torch.full((n,), 1.0 / n, dtype=torch.float64), degree)

    def draw(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
    ) -> torch.Tensor:
        return self.elements(2.0 * math.pi * torch.rand(n, dtype=torch.float64, device=device, generator=generator))

    def next_degree(self, degree: int) -> int | None:
        return min(degree + max(2, degree // 2), FINEST) if degree < FINEST else None

    # -- power ---------------------------------------------------------------------------------------------------

    def sample_power(
        self, values: torch.Tensor, elements: torch.Tensor, weights: torch.Tensor | float, lmax: int
    ) -> torch.Tensor:
        """By sums over the angles in place of characters of all pairs."""
        cosines, sines = self._sums(values.to(torch.float64) * weights, self.angles(elements), lmax)
        power = cosines.square() + sines.square()
        return torch.cat([power[:1], 2.0 * power[1:]])

    @staticmethod
    def _sums(weighted: torch.Tensor, angles: torch.Tensor, lmax: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``(lmax + 1, channels)``: sums of cos(m angle) u and of sin(m angle) u."""
        m = torch.arange(lmax + 1, dtype=torch.float64, device=angles.device)[:, None]
        return torch.cos(m * angles) @ weighted, torch.sin(m * angles) @ weighted


class O2(SO2):
    """Rotations about an axis and mirror planes that contain it, C-infinity-v.

    Labels: "0+" and "0-", which the mirrors leave and negate, and "1", "2", ..., which are the same under all of them.
    A vector is 0+ and 1, a pseudovector 0- and 1.
    """

    name = "O2"
    words = "O(2)"
    mirrors = True
    family_names = ("", "mirror-odd")

    def labels(self, lmax: int) -> tuple[Label, ...]:
        return ("0+", "0-", *(str(m) for m in range(1, lmax + 1)))

    def character(self, label: Label, elements: torch.Tensor) -> torch.Tensor:
        proper = handedness(elements) > 0
        m = _order(label)
        if m == 0:
            return torch.where(proper, 1.0, 1.0 if label == "0+" else -1.0).to(torch.float64)
        return torch.where(proper, 2.0 * torch.cos(m * self.angles(elements)), 0.0)

    def label_name(self, label: Label) -> str:
        return {"0+": "invariant", "0-": "mirror-odd"}.get(str(label), f"m={label}")

    def column(self, label: Label, labels: Sequence[Label]) -> int:
        return _order(label)

    def heading(self, label: Label) -> str:
        return str(_order(label))

    def family(self, label: Label) -> int:
        return 1 if label == "0-" else 0

    def _mirrored(self, rotations: torch.Tensor) -> torch.Tensor:
        frame = self._frame.to(rotations.device)
        flip = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64, device=rotations.device)
        return rotations @ (frame * flip) @ frame.T

    def grid(self, degree: int) -> CircleGrid:
        proper = super().grid(degree)
        elements = torch.cat([proper.rotations, self._mirrored(proper.rotations)])
        return CircleGrid(self, elements, proper.weights.repeat(2) / 2, degree)

    def draw(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
    ) -> torch.Tensor:
        rotations = super().draw(n, generator, device)
        coin = torch.rand(n, 1, 1, dtype=torch.float64, device=rotations.device, generator=generator)
        return torch.where(coin < 0.5, self._mirrored(rotations), rotations)

    def sample_power(
        self, values: torch.Tensor, elements: torch.Tensor, weights: torch.Tensor | float, lmax: int
    ) -> torch.Tensor:
        weighted = values.to(torch.float64) * weights
        proper = (handedness(elements) > 0)[:, None]
        # any mirror of the group takes its mirrored elements to rotations
        angles = self.angles(torch.where(proper[..., None], elements, self._mirrored(elements)))
        (c, s), (cm, sm) = (self._sums(weighted * side, angles, lmax) for side in (proper, ~proper))
        even, odd = (c[:1] + cm[:1]).square(), (c[:1] - cm[:1]).square()
        rest = c[1:].square() + s[1:].square() + cm[1:].square() + sm[1:].square()
        return torch.cat([even, odd, 4.0 * rest])


def frame_of(axis: torch.Tensor) -> torch.Tensor:
    """``(3, 3)`` float64, a rotation that takes z to the direction of `axis` ``(3,)``: Q z = axis / |axis|."""
    x, y, z = (axis / axis.norm()).to(torch.float64).tolist()
    if z < 0:
        # by half a turn about x first, so that no axis is near the opposite of where it starts
        turned = frame_of(torch.tensor([x, -y, -z], dtype=torch.float64))
        return torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)) @ turned
    c = 1.0 / (1.0 + z)
    rows = [[1.0 - x * x * c, -x * y * c, x], [-x * y * c, 1.0 - y * y * c, y], [-x, -y, z]]
    return torch.tensor(rows, dtype=torch.float64)


def read(name: str) -> SO2 | None:
    """The group about an axis that is called so, "SO2(1, 1, 0)"; None where there is none."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    kind = {"SO2": SO2, "O2": O2}[found.group(1)]
    try:
        axis = [float(x) for x in found.group(2).split(",")]
    except ValueError:
        return kind(found.group(2))
    return kind(axis)


def _order(label: Label) -> int:
    return int(str(label).rstrip("+-"))


def _checked_axis(axis: Any) -> tuple[float, float, float]:
    expected = "three numbers that are not all 0, or the name of an input that holds them"
    numbers = axis.tolist() if hasattr(axis, "tolist") else axis
    if not isinstance(numbers, Sequence) or len(numbers) != 3 or not all(isinstance(x, Real) for x in numbers):
        fail(ArgumentError, "axis", expected, repr(axis))
    length = math.hypot(*numbers)
    if not 0 < length < math.inf:
        fail(ArgumentError, "axis", expected, repr(axis))
    x, y, z = (float(number) / length + 0.0 for number in numbers)
    return x, y, z

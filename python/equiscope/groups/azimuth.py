"""The azimuth of a vector about z, a number that turns by addition: phi of (pt, eta, phi)."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ArgumentError, fail
from .irreps import Block


@dataclass(frozen=True)
class Azimuth:
    """An angle in radians, counted from x towards y. It turns as that of (cos, sin), into (-pi, pi].

    No linear representation, so that it is an input alone, and of groups that keep the z axis.
    """

    name = "azimuth"
    shape: tuple[int, ...] = ()
    components = 1
    entries = 1
    is_invariant = False
    matrix = None

    @property
    def blocks(self) -> tuple[Block, ...]:
        fail(
            ArgumentError,
            "representation",
            "components that turn linearly (of an output: return cos and sin of the angle, and 0 or another component "
            'along z, as a "vector")',
            "'azimuth', which is a kind of input",
        )

"""Random elements of O(3), for averages over models that are too dear for a quadrature."""

from __future__ import annotations

import functools

import torch

from .rotations import random_rotations

BLOCK = 64
"""Rotations are drawn this many at a time, so that the first ones do not depend on how many there are."""


class RandomElements:
    """Elements of O(3) in pairs R, -R with R independent and uniform on SO(3); the same seed begins the same way.

    A pair decides between sigma = +1 and -1, which differ only in how the two cosets are joined.
    """

    group = "O3"
    degree = lebedev_degree = gammas = None
    """There is no degree up to which averages are exact: they are right in expectation for all."""

    def __init__(self, n: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        pairs = n // 2
        drawn = [random_rotations(BLOCK, generator=generator) for _ in range(-(-pairs // BLOCK))]
        self.proper = torch.cat(drawn)[:pairs]
        """``(pairs, 3, 3)`` float64: every other element, the one of each pair that is a rotation."""
        self.seed = seed

    def __len__(self) -> int:
        return 2 * len(self.proper)

    def to(self, device: torch.device | str) -> RandomElements:
        """The same elements on `device`; kept."""
        device = torch.device(device)
        if device == self.proper.device:
            return self
        if device not in self._elsewhere:
            moved = object.__new__(RandomElements)
            moved.proper, moved.seed = self.proper.to(device), self.seed
            self._elsewhere[device] = moved
        return self._elsewhere[device]

    @functools.cached_property
    def _elsewhere(self) -> dict[torch.device, RandomElements]:
        return {}

    @functools.cached_property
    def rotations(self) -> torch.Tensor:
        """``(n, 3, 3)`` float64: R, -R, R', -R', ..."""
        return torch.stack([self.proper, -self.proper], dim=1).flatten(0, 1)

    def select(self, start: int, stop: int) -> torch.Tensor:
        """Elements ``start:stop``."""
        return self.rotations[start:stop]

"""Independent uniformly random elements of O(3), in place of a quadrature grid."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..errors import ArgumentError, fail
from ..groups.registry import random_rotations

CPU = torch.device("cpu")

BLOCK = 256
"""Elements drawn together from a generator of their own, so that any of them is found without those before it."""


@dataclass(frozen=True)
class RandomRotations:
    """The first `count` elements of an endless sequence of independent elements of O(3), uniform (Haar measure).

    Each element is proper or improper with probability 1/2: then every estimate is a plain U-statistic of independent
    draws, unbiased without a second rule for the cosets. The sequence depends on `seed` and `name` alone (never on the
    global random state), so that a longer one continues a shorter one, and the errors of systems, each with the
    sequence of its own name, are independent.
    """

    count: int
    seed: int = 0
    name: str = ""
    device: torch.device = CPU
    """Where elements are handed out."""

    degree = None
    group = "O3"

    def __len__(self) -> int:
        return self.count

    def orbit(self, name: str) -> RandomRotations:
        """The elements for the system called `name`."""
        return replace(self, name=name)

    def to(self, device: torch.device | str) -> RandomRotations:
        """The same elements on `device`."""
        return replace(self, device=torch.device(device))

    def select(self, start: int, stop: int) -> torch.Tensor:
        """Elements ``start:stop``, ``(stop - start, 3, 3)`` float64."""
        if not 0 <= start <= stop <= len(self):
            fail(ArgumentError, "start, stop", f"0 <= start <= stop <= {len(self)}", (start, stop))
        first = start // BLOCK
        blocks = [_block(self.seed, self.name, b) for b in range(first, max(-(-stop // BLOCK), first + 1))]
        return torch.cat(blocks)[start - first * BLOCK : stop - first * BLOCK].to(self.device)


@functools.lru_cache(maxsize=64)
def _block(seed: int, name: str, number: int) -> torch.Tensor:
    mixed = np.random.SeedSequence([seed, zlib.crc32(name.encode()), number]).generate_state(1)[0]
    return random_rotations(BLOCK, group="O3", generator=torch.Generator().manual_seed(int(mixed)))

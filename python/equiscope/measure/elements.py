"""Independent uniformly random elements of a group, in place of a quadrature grid."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..groups.group import Group, check_range
from ..groups.o3 import O3

CPU = torch.device("cpu")
FULL = O3()

BLOCK = 256
"""Elements drawn together from a generator of their own, so that any of them is found without those before it."""


@dataclass(frozen=True)
class RandomRotations:
    """The first `count` elements of an endless sequence of independent elements of a group, uniform (Haar measure).

    Of O(3) each is proper or improper with probability 1/2: then every estimate is a plain U-statistic of independent
    draws, unbiased without a second rule for the cosets. The sequence depends on `seed` and `name` alone (never on the
    global random state), so that a longer one continues a shorter one, and the errors of systems, each with the
    sequence of its own name, are independent.
    """

    count: int
    seed: int = 0
    name: str = ""
    device: torch.device = CPU
    """Where elements are handed out."""
    group: Group = FULL

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
        check_range(start, stop, len(self))
        first = start // BLOCK
        blocks = [_block(self.group, self.seed, self.name, b) for b in range(first, max(-(-stop // BLOCK), first + 1))]
        return torch.cat(blocks)[start - first * BLOCK : stop - first * BLOCK].to(self.device)


@functools.lru_cache(maxsize=64)
def _block(group: Group, seed: int, name: str, number: int) -> torch.Tensor:
    mixed = np.random.SeedSequence([seed, zlib.crc32(name.encode()), number]).generate_state(1)[0]
    return group.draw(BLOCK, torch.Generator().manual_seed(int(mixed))).to(torch.float64)

"""The octahedral group as a stranger would add it: outside of the package, from its character table."""

from __future__ import annotations

import itertools

import torch

from equiscope.groups import ElementGrid, Group

TABLE = {
    # order of the classes: identity, thirds of a turn, halves about an axis, quarters, halves about a face diagonal
    "A1": (1, 1, 1, 1, 1),
    "A2": (1, 1, 1, -1, -1),
    "E": (2, -1, 2, 0, 0),
    "T1": (3, 0, -1, 1, -1),
    "T2": (3, 0, -1, -1, 1),
}


def elements():
    """The 48 signed permutation matrices."""
    matrices = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = torch.zeros(3, 3, dtype=torch.float64)
            for row, (column, sign) in enumerate(zip(order, signs, strict=True)):
                matrix[row, column] = sign
            matrices.append(matrix)
    return torch.stack(matrices)


class Octahedral(Group):
    """All symmetries of a cube."""

    name = "Oh"
    words = "O_h"

    def labels(self, lmax):
        return tuple(kind + parity for parity in "gu" for kind in TABLE)

    def character(self, label, elements):
        sign = torch.linalg.det(elements).round()
        proper = elements * sign[:, None, None]
        trace = proper.diagonal(dim1=1, dim2=2).sum(1).round()
        on_axes = proper.abs().diagonal(dim1=1, dim2=2).sum(1).round() == 3
        which = torch.where(trace == 3, 0, torch.where(trace == 0, 1, torch.where(trace == 1, 3, 4)))
        which = torch.where((trace == -1) & on_axes, 2, which)
        found = torch.tensor(TABLE[label[:-1]], dtype=torch.float64)[which]
        return found if label[-1] == "g" else sign * found

    def grid(self, degree):
        return ElementGrid(self, elements(), torch.full((48,), 1 / 48, dtype=torch.float64))

    def draw(self, n, generator=None, device=None):
        return elements()[torch.randint(48, (n,), generator=generator)].to(device)

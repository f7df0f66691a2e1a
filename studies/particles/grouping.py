"""Groups of points: spheres about points that have many neighbours, thinned out greedily, and the points within each.

All of it is discrete. Voxels lie on a lattice, where many distances are equal, and equal to the radii; whether such a
pair counts as near is left to round-off, which turns with the coordinates. `Grouping.exact` takes that away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grouping:
    """How points are grouped; lengths in voxels. The defaults are PoLAr-MAE's."""

    radius: float = 5.0
    overlap: float = 0.72
    """Of two spheres whose centres are nearer than this part of their diameter, only one is kept."""
    groups: int = 512
    """At most; those with the most points are kept."""
    members: int = 32
    """Points of a group at most, chosen far from each other among the `nearest` to its centre."""
    nearest: int = 256
    exact: bool = False
    """Whether squared distances are rounded to whole squared voxels, which is what they are on the lattice of voxels
    however it is turned, and ties go to the first point: then no rotation changes a group."""


@dataclass
class Groups:
    """Which points belong together. Batch B, points N, groups G, members K. Indices of what is not there are 0."""

    centre: Tensor
    """``(B, G)`` index of points."""
    real: Tensor
    """``(B, G)`` bool: which groups are there."""
    member: Tensor
    """``(B, G, K)`` index of points."""
    filled: Tensor
    """``(B, G, K)`` bool."""
    near: Tensor
    """``(B, N, n)`` index of the groups whose centres are nearest to each point."""
    reached: Tensor
    """``(B, N, n)`` bool: which of these are there."""

    def batch(self, rows: Tensor, points: int) -> Groups:
        """Those of some clouds, without padding but for what these need, of so many points."""
        groups = int(self.real[rows].sum(-1).max())
        members = int(self.filled[rows].sum(-1).max())
        return Groups(
            self.centre[rows, :groups],
            self.real[rows, :groups],
            self.member[rows, :groups, :members],
            self.filled[rows, :groups, :members],
            self.near[rows, :points],
            self.reached[rows, :points],
        )


def grouped(points: Tensor, mask: Tensor, voxel: float, how: Grouping, near: int) -> Groups:
    """Groups of `points`.

    Args:
        points: ``(B, N, 3)``.
        mask: ``(B, N)`` bool, which points are real.
        voxel: length of the edge of a voxel, in the unit of the points.
        how: see there.
        near: number of nearest groups found for each point.
    """
    square = _squares(points, mask, voxel, how.exact)
    centre, real = _centres(square, mask, how)
    to_centre = square.gather(1, centre[..., None].expand(-1, -1, points.shape[1]))
    member, filled = _members(square, to_centre, real, how)
    apart = to_centre.masked_fill(~real[..., None], torch.inf).mT
    distance, index = _smallest(apart, min(near, apart.shape[-1]), how.exact)
    reached = distance.isfinite() & mask[..., None]
    centre, member, index = (
        x.masked_fill(~kept, 0) for x, kept in ((centre, real), (member, filled), (index, reached))
    )
    return Groups(centre, real, member, filled, index, reached)


def _squares(points: Tensor, mask: Tensor, voxel: float, exact: bool) -> Tensor:
    """``(B, N, N)`` squared distances in voxels, infinite where a point is none."""
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") / voxel
    square = distance.square()
    square = square.round() if exact else square
    return square.masked_fill(~(mask[:, :, None] & mask[:, None, :]), torch.inf)


def _centres(square: Tensor, mask: Tensor, how: Grouping) -> tuple[Tensor, Tensor]:
    """Of all points the one with the most neighbours, then of those that are not too near, and so on."""
    score = (square <= how.radius**2).sum(-1)
    near = (square < (2 * how.radius * how.overlap) ** 2) | ~mask[:, :, None]
    alive, rows = mask.clone(), torch.arange(len(mask), device=mask.device)
    chosen, real = [], []
    for _ in range(min(how.groups, mask.shape[1])):
        best = score.masked_fill(~alive, -1).argmax(-1)
        chosen.append(best)
        real.append(alive[rows, best])
        alive = alive & ~near[rows, best]
    return torch.stack(chosen, -1), torch.stack(real, -1)


def _members(square: Tensor, to_centre: Tensor, real: Tensor, how: Grouping) -> tuple[Tensor, Tensor]:
    """Points within the radius, at most `how.members` of them."""
    within = to_centre.masked_fill((to_centre > how.radius**2) | ~real[..., None], torch.inf)
    distance, index = _smallest(within, min(how.nearest, within.shape[-1]), how.exact)
    filled = distance.isfinite()
    wanted = min(how.members, filled.shape[-1])
    most = int(filled.sum(-1).max()) if filled.numel() else 0
    if most <= wanted:
        return index[..., :wanted], filled[..., :wanted]
    index, filled = index[..., :most], filled[..., :most]
    full = filled.sum(-1) > wanted
    member, kept = index[..., :wanted].clone(), filled[..., :wanted].clone()
    batch = torch.nonzero(full)[:, 0]
    chosen = _farthest(square, batch, index[full], filled[full], wanted)
    member[full] = index[full].gather(-1, chosen)
    return member, kept


def _farthest(square: Tensor, batch: Tensor, index: Tensor, filled: Tensor, wanted: int) -> Tensor:
    """``(F, wanted)`` places in `index` ``(F, M)``, each the farthest from those before; the first is the centre."""
    rows = torch.arange(len(index), device=index.device)
    place = torch.zeros_like(rows)
    left = torch.full(index.shape, torch.inf, dtype=square.dtype, device=square.device)
    chosen = [place]
    for _ in range(wanted - 1):
        left = torch.minimum(left, square[batch[:, None], index[rows, place][:, None], index])
        place = left.masked_fill(~filled, -1).argmax(-1)
        chosen.append(place)
    return torch.stack(chosen, -1)


def _smallest(values: Tensor, count: int, exact: bool) -> tuple[Tensor, Tensor]:
    """The smallest along the last axis, rising. With `exact`, for whole numbers: equal ones in their order."""
    if not exact:
        return values.topk(count, largest=False)
    size = values.shape[-1]
    place = torch.arange(size, device=values.device, dtype=torch.float64)
    index = (values.double() * size + place).topk(count, largest=False).indices
    return values.gather(-1, index), index

"""A transformer on groups of points with energies, in the shape of PoLAr-MAE (arXiv 2502.02558), for segmentation.

Points are grouped; a small PointNet makes a token of each group; blocks of attention follow, to which the code of the
group's centre is added again and again; tokens are spread over the points, and a head gives the logits of four classes.
What is known of the published model is in `PUBLISHED`; where nothing is known (scale of coordinates within a
group, activations of the head) the simplest was taken.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

import equiscope as eq

from .grouping import Grouping, Groups, grouped


@dataclass(frozen=True)
class Shape:
    """Sizes of a model. The defaults are those published, of a detector of 768 voxels."""

    width: int = 384
    depth: int = 12
    heads: int = 6
    ratio: int = 4
    """Hidden width of the blocks' perceptrons over `width`."""
    point: tuple[int, int, int] = (128, 256, 512)
    """Hidden widths of the PointNet: before and at the first maximum, and after it."""
    code: int = 128
    """Hidden width of the positional code."""
    read: tuple[int, ...] = (3, 7, 11)
    """Blocks whose mean is read out."""
    head: tuple[int, int] = (512, 256)
    near: int = 5
    """Groups from which a point is interpolated."""
    harmonics: int | None = None
    """Directions enter the PointNet and the positional code as r Y_lm up to this degree; None: as x, y, z."""
    voxel: float = 2 / (768 * math.sqrt(3))
    """Edge of a voxel in the unit of the points, which is half the diagonal of the detector."""
    grouping: Grouping = field(default_factory=Grouping)


PUBLISHED = Shape()

SMALL = Shape(
    width=64,
    depth=6,
    heads=4,
    ratio=2,
    point=(32, 64, 64),
    code=32,
    read=(1, 3, 5),
    head=(96, 48),
    voxel=2 / (96 * math.sqrt(3)),
    grouping=Grouping(groups=32, members=24, nearest=64, exact=True),
)
"""Trains in minutes on one core. Its groups are those that no rotation changes."""

PRESETS = {"published": PUBLISHED, "small": SMALL}

WIDE = {"point": (56, 96, 96), "code": 64}
"""The control of `harmonics`: as many parameters more, and more, in the same two places, and directions as x, y, z."""


def shape(preset: str, **changes: object) -> Shape:
    """A preset with some sizes changed; ``exact`` is that of its grouping."""
    found = PRESETS[preset]
    if "exact" in changes:
        changes["grouping"] = dataclasses.replace(found.grouping, exact=bool(changes.pop("exact")))
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


class Directions(nn.Module):
    """How vectors enter a linear layer: as they are, or as r Y_lm, every degree with norm r, without a parameter."""

    def __init__(self, lmax: int | None) -> None:
        super().__init__()
        self.lmax = lmax
        self.size = 3 if lmax is None else (lmax + 1) ** 2
        if lmax is not None:
            norm = [math.sqrt(4 * math.pi / (2 * l + 1)) for l in range(lmax + 1) for _ in range(2 * l + 1)]
            self.register_buffer("norm", torch.tensor(norm), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.lmax is None:
            return x
        r = x.norm(dim=-1, keepdim=True)
        # a vector of length zero has no direction, and r takes whichever it is given to zero
        along = torch.where(r > 0, x, x.new_tensor([0.0, 0.0, 1.0]))
        return r * self.norm * eq.spherical_harmonics(along, self.lmax)


class PointNet(nn.Module):
    """A token of the points of each group: a perceptron, a maximum, and the same again with the maximum beside.

    Points that are not there are in no batch of the normalisation.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.radius = shape.grouping.radius * shape.voxel
        self.directions = Directions(shape.harmonics)
        first, middle, last = shape.point
        self.first = nn.Sequential(
            nn.Linear(self.directions.size + 1, first), nn.BatchNorm1d(first), nn.ReLU(), nn.Linear(first, middle)
        )
        self.second = nn.Sequential(
            nn.Linear(2 * middle, last), nn.BatchNorm1d(last), nn.ReLU(), nn.Linear(last, shape.width)
        )

    def forward(self, away: Tensor, energy: Tensor, filled: Tensor) -> Tensor:
        """``(B, G, width)`` of points relative to centres ``(B, G, K, 3)`` and energies ``(B, G, K)``."""
        x = torch.cat([self.directions(away[filled] / self.radius), energy[filled][:, None]], -1)
        x = self.first(x)
        most = _largest(x, filled)
        around = most[:, :, None].expand(-1, -1, filled.shape[-1], -1)[filled]
        return _largest(self.second(torch.cat([around, x], -1)), filled)


def _largest(x: Tensor, filled: Tensor) -> Tensor:
    """``(B, G, channels)`` maximum over the points of each group, of values of those that are there; 0 of none."""
    padded = x.new_full((*filled.shape, x.shape[-1]), -torch.inf)
    padded[filled] = x
    return padded.amax(-2).masked_fill(~filled.any(-1)[..., None], 0.0)


class Position(nn.Module):
    """The code of the centres of groups."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.directions = Directions(shape.harmonics)
        self.hidden = nn.Linear(self.directions.size, shape.code)
        self.out = nn.Linear(shape.code, shape.width)

    def forward(self, centres: Tensor) -> Tensor:
        return self.out(nn.functional.gelu(self.hidden(self.directions(centres))))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        split = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(*split.unbind(0), attn_mask=real[:, None, None, :])
        return self.out(mixed.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    """Pre-norm attention and perceptron."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, hidden = shape.width, shape.ratio * shape.width
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, shape.heads)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        x = x + self.attention(self.norm_attention(x), real)
        return x + self.mlp(self.norm_mlp(x))


class Spread(nn.Module):
    """Tokens interpolated at the points by inverse squared distance, beside the points' coordinates."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.voxel = shape.voxel
        self.mlp = nn.Sequential(nn.Linear(shape.width + 3, shape.width), nn.ReLU())

    def forward(self, tokens: Tensor, centres: Tensor, points: Tensor, near: Tensor, reached: Tensor) -> Tensor:
        square = (points[:, :, None] - _taken(centres, near)).square().sum(-1)
        # a voxel's share keeps the weight of a point that is a centre finite
        weight = reached / (square + self.voxel**2)
        weight = weight / weight.sum(-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
        # a matrix product with all groups, most of them at weight 0, is quicker than to gather tokens
        matrix = weight.new_zeros(*weight.shape[:2], centres.shape[1]).scatter_add(-1, near, weight)
        return self.mlp(torch.cat([matrix @ tokens, points], -1))


def _taken(values: Tensor, index: Tensor) -> Tensor:
    """``(B, *index, channels)`` rows of `values` ``(B, rows, channels)``."""
    flat = index.flatten(1)[..., None].expand(-1, -1, values.shape[-1])
    return values.gather(1, flat).unflatten(1, index.shape[1:])


class Head(nn.Module):
    """Logits of points from their own features and those of the whole event."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        first, second = shape.head
        self.local, self.whole = nn.Linear(shape.width, first), nn.Linear(2 * shape.width, first, bias=False)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 4))

    def forward(self, local: Tensor, whole: Tensor) -> Tensor:
        return self.rest(self.local(local) + self.whole(whole)[:, None])


class Segmenter(nn.Module):
    """Logits of the class of each point.

    Args:
        shape: sizes.
    """

    def __init__(self, shape: Shape = SMALL) -> None:
        super().__init__()
        self.shape = shape
        self.embed = PointNet(shape)
        self.position = Position(shape)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)
        self.spread = Spread(shape)
        self.head = Head(shape)

    def groups(self, points: Tensor, mask: Tensor) -> Groups:
        """How this model groups points; of points turned by `Grouping.exact` models the same."""
        return grouped(points, mask, self.shape.voxel, self.shape.grouping, self.shape.near)

    def forward(self, points: Tensor, energy: Tensor, mask: Tensor, groups: Groups | None = None) -> dict[str, Tensor]:
        """``logits`` and ``probabilities`` ``(B, N, 4)``.

        Args:
            points: ``(B, N, 3)``, about the centre of the detector, whose corners have distance 1.
            energy: ``(B, N)``, as `normalised_energy`.
            mask: ``(B, N)`` bool, which points are real.
            groups: what `self.groups` gives, if it is known.
        """
        groups = self.groups(points, mask) if groups is None else groups
        centres = _taken(points, groups.centre)
        away = _taken(points, groups.member) - centres[:, :, None]
        x = self.embed(away, _taken(energy[..., None], groups.member)[..., 0], groups.filled)
        code, kept = self.position(centres), []
        for block in self.blocks:
            x = block(x + code, groups.real)
            kept.append(x)
        x = torch.stack([self.norm(kept[i]) for i in self.shape.read]).mean(0)
        local = self.spread(x, centres, points, groups.near, groups.reached)
        logits = self.head(local, _whole(x, groups.real)).masked_fill(~mask[..., None], 0.0)
        return {"logits": logits, "probabilities": logits.softmax(-1) * mask[..., None]}


def _whole(x: Tensor, real: Tensor) -> Tensor:
    """``(B, 2 width)`` maximum and mean over the groups that are there."""
    there = real[..., None]
    mean = (x * there).sum(1) / there.sum(1).clamp_min(1)
    return torch.cat([x.masked_fill(~there, -torch.inf).amax(1), mean], -1)


def normalised_energy(energy: Tensor) -> Tensor:
    """Logarithm of MeV, from 0.01 to 20, onto -1 to 1."""
    low, high = math.log10(0.01), math.log10(20)
    return (2 * (energy.clamp(0.01, 20).log10() - low) / (high - low)) - 1

"""The rotations that take edges to +y, and block-diagonal D of rotations: what stands in place of fairchem's own."""

from __future__ import annotations

import math
from typing import Any

import torch

from .. import ops
from ..arrays import check_lmax
from ..errors import ArgumentError, DTypeError, ShapeError, fail, renamed
from ..groups._arguments import checked_flag


def axis_angle_wigner_hybrid(
    edge_distance_vec: torch.Tensor,
    lmax: int,
    gamma: torch.Tensor | None = None,
    coeffs: Any = None,
    U_blocks: Any = None,
    custom_kernels: Any = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Block-diagonal D ``(E, (lmax+1)^2, (lmax+1)^2)`` of the rotation that takes each edge to +y, and its inverse.

    Args:
        edge_distance_vec: ``(E, 3)`` float32 or float64, none of them 0.
        lmax: highest l, 0..131.
        gamma: ``(E,)``, by which the frame is turned about y at last; None: random, from torch's generator.
        coeffs, U_blocks, custom_kernels: tables of fairchem's own way, which are not needed here.

    The rotation is the shortest one to +y, of an edge with y < 0 after half a turn about x. It is so an algebraic
    function of the edge with bounded derivatives, at both poles too; where y changes sign the frame turns about the
    edge, of which nothing that follows may depend, as of gamma. Frames are others than fairchem's by such a turn.
    Differentiable to any order by edges and gamma.

    Raises:
        ArgumentError, DTypeError, ShapeError: an edge that is 0 or not finite (its row is named on the CPU), lmax,
            gamma that does not fit.
    """
    rotations = edge_rotations(edge_distance_vec, gamma)
    wigner = block_diagonal(ops.wigner_D(rotations, lmax, basis="e3nn"))
    return wigner, wigner.mT.contiguous()


def edge_rotations(edges: torch.Tensor, gamma: torch.Tensor | None = None) -> torch.Tensor:
    """``(E, 3, 3)``: the rotations of `axis_angle_wigner_hybrid`."""
    _check_edges(edges)
    if gamma is None:
        gamma = 2 * math.pi * torch.rand(edges.shape[0], dtype=edges.dtype, device=edges.device)
    elif not isinstance(gamma, torch.Tensor) or gamma.shape != edges.shape[:1] or gamma.dtype != edges.dtype:
        got = f"{gamma.dtype} {tuple(gamma.shape)}" if isinstance(gamma, torch.Tensor) else type(gamma).__name__
        fail(ShapeError, "gamma", f"None or a tensor ({edges.shape[0]},) of {edges.dtype}", got)
    # by the largest entry first, so that no square overflows or vanishes
    scaled = edges / edges.detach().abs().amax(-1, keepdim=True)
    x, y, z = (scaled / scaled.square().sum(-1, keepdim=True).sqrt()).unbind(-1)
    # half a turn about x, (x, y, z) to (x, -y, -z), brings the edge to y >= 0
    flip = torch.where(y.detach() < 0, -torch.ones_like(y), torch.ones_like(y))
    up, across = flip * y, flip * z
    share = 1 / (1 + up)
    xx, xz, zz = 1 - x * x * share, -x * across * share, 1 - across * across * share
    c, s = torch.cos(gamma), torch.sin(gamma)
    # Ry(gamma) times the shortest rotation to y, its second and third column times flip
    rows = [
        [c * xx + s * xz, flip * (s * -across - c * x), flip * (c * xz + s * zz)],
        [x, flip * up, flip * across],
        [c * xz - s * xx, flip * (s * x - c * across), flip * (c * zz - s * xz)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def rotation_to_wigner(
    edge_rot_mat: torch.Tensor, start_lmax: int, end_lmax: int, Jd: Any = None, rot_clip: bool = False
) -> torch.Tensor:
    """Block-diagonal D of rotations ``(E, 3, 3)`` for l = start_lmax..end_lmax, as eSCN and EquiformerV2 make it.

    Args:
        edge_rot_mat: ``(E, 3, 3)`` float32 or float64.
        start_lmax, end_lmax: lowest and highest l; the size is ``(end_lmax+1)^2 - start_lmax^2``.
        Jd: tables of fairchem's own way, which are not needed here.
        rot_clip: whether gradients flow, as there; none is clipped, since no angle is taken.

    Raises:
        ArgumentError, DTypeError, ShapeError: a matrix that is no rotation (row named), degrees, shapes.
    """
    lowest, highest = check_lmax(start_lmax, "start_lmax"), check_lmax(end_lmax, "end_lmax")
    if lowest > highest:
        fail(ArgumentError, "start_lmax", f"at most end_lmax ({highest})", lowest)
    rot_clip = checked_flag("rot_clip", rot_clip)
    try:
        wigner = block_diagonal(ops.wigner_D(edge_rot_mat, highest, basis="e3nn")[lowest:])
    except (ArgumentError, DTypeError) as error:
        raise renamed(error, "rotations", "edge_rot_mat") from None
    return wigner if rot_clip else wigner.detach()


def block_diagonal(blocks: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """``(E, n, n)`` of blocks ``(E, 2l+1, 2l+1)``, n the sum of their sizes."""
    size = sum(block.shape[-1] for block in blocks)
    out = blocks[0].new_zeros(*blocks[0].shape[:-2], size, size)
    start = 0
    for block in blocks:
        stop = start + block.shape[-1]
        out[..., start:stop, start:stop] = block
        start = stop
    return out


def _check_edges(edges: Any) -> None:
    if not isinstance(edges, torch.Tensor) or edges.dtype not in (torch.float32, torch.float64):
        got = edges.dtype if isinstance(edges, torch.Tensor) else type(edges).__name__
        fail(DTypeError, "edge_distance_vec", "a torch.Tensor of float32 or float64", got)
    if edges.ndim != 2 or edges.shape[-1] != 3:
        fail(ShapeError, "edge_distance_vec", "(E, 3)", tuple(edges.shape))
    if edges.device.type != "cpu" or torch.compiler.is_compiling():
        return  # what is none has NaN for its matrix, which the operator meets
    largest = edges.detach().abs().amax(-1)
    bad = ~((largest > 0) & torch.isfinite(largest))
    if bool(bad.any()):
        row = int(bad.to(torch.int8).argmax())
        fail(ArgumentError, "edge_distance_vec", "edges that have a direction", f"{edges[row].tolist()} in row {row}")

"""Rotation matrices: uniform ones, those about an axis, and the polar factor that makes a matrix orthogonal."""

from __future__ import annotations

from collections.abc import Callable

import torch


def haar_rotations(
    n: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
) -> torch.Tensor:
    """``(n, 3, 3)`` float64, uniform on SO(3).

    A unit quaternion from four normal deviates is uniform on the sphere S^3, which covers SO(3) twice.
    """
    quaternions = torch.randn(n, 4, dtype=torch.float64, device=device, generator=generator)
    q = torch.nn.functional.normalize(quaternions, dim=-1)
    _, wx, wy, wz, _, xx, xy, xz, _, _, yy, yz, _, _, _, zz = (q[:, :, None] * q[:, None, :]).reshape(n, 16).unbind(-1)
    # twice the sum of two products each; the diagonal is what these leave of 1
    first = torch.stack([yy, xy, xz, xy, xx, yz, xz, yz, xx], dim=-1)
    second = torch.stack([zz, -wz, wy, wz, zz, -wx, -wy, wx, yy], dim=-1)
    rows = 2.0 * (first + second).reshape(n, 3, 3)
    one = torch.eye(3, dtype=torch.float64, device=rows.device)
    return polar(torch.where(one > 0, 1.0 - rows, rows), torch.bmm)


def about_z(angle: torch.Tensor) -> torch.Tensor:
    """Rotations about z, ``(..., 3, 3)``."""
    c, s, o, i = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, -s, o, s, c, o, o, o, i], dim=-1).reshape(*angle.shape, 3, 3)


def about_y(angle: torch.Tensor) -> torch.Tensor:
    """Rotations about y, ``(..., 3, 3)``."""
    c, s, o, i = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, o, s, o, i, o, -s, o, c], dim=-1).reshape(*angle.shape, 3, 3)


def handedness(rotations: torch.Tensor) -> torch.Tensor:
    """Signs of the determinants of ``(..., 3, 3)``."""
    first, second, third = rotations.unbind(-2)
    return torch.sign((torch.linalg.cross(first, second) * third).sum(-1))


def deviation(rotations: torch.Tensor) -> torch.Tensor:
    """Largest entry of |R R^T - 1| of ``(..., 3, 3)``; sums of three products, which no setting of torch rounds off."""
    one = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    return ((rotations[..., :, None, :] * rotations[..., None, :, :]).sum(-1) - one).abs().amax((-1, -2))


def polar(
    rotations: torch.Tensor, product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = torch.matmul
) -> torch.Tensor:
    """The orthogonal factor of nearly orthogonal ``(..., 3, 3)``, differentiable to third order.

    Two Newton-Schulz steps R (3 - R^T R) / 2: the error falls from e to e^4, so values and their first three
    derivatives are those of the polar factor at an orthogonal matrix.
    """
    for _ in range(2):
        rotations = 1.5 * rotations - product(0.5 * rotations, product(rotations.mT, rotations))
    return rotations


def hat(omega: torch.Tensor) -> torch.Tensor:
    """``sum_k omega_k L_k`` with L_k v = e_k x v: ``(..., 3)`` to antisymmetric ``(..., 3, 3)``."""
    x, y, z = omega.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).reshape(*omega.shape[:-1], 3, 3)

"""Random elements of O(3), and the polar factor that makes a nearly orthogonal matrix orthogonal."""

from __future__ import annotations

import torch

from ..errors import ArgumentError, fail


def random_rotations(
    n: int,
    *,
    group: str = "SO3",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """``(n, 3, 3)`` matrices, uniform on SO(3) or O(3) (Haar measure).

    A unit quaternion from four normal deviates is uniform on the sphere S^3, which covers SO(3) twice.

    Args:
        n: how many, >= 0.
        group: "SO3", or "O3": then each matrix is negated with probability 1/2.
        dtype: float32 or float64.
        generator: for repeatable draws.

    Raises:
        ArgumentError: negative or non-integer n, unknown group.

    >>> random_rotations(2).shape
    torch.Size([2, 3, 3])
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        fail(ArgumentError, "n", "a non-negative integer", repr(n))
    if group not in ("SO3", "O3"):
        fail(ArgumentError, "group", '"SO3" or "O3"', repr(group))
    draw = {"dtype": torch.float64, "device": device, "generator": generator}
    w, x, y, z = torch.nn.functional.normalize(torch.randn(n, 4, **draw), dim=-1).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    rotations = polar(torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2))
    if group == "O3":
        rotations = torch.where(torch.rand(n, 1, 1, **draw) < 0.5, -rotations, rotations)
    return rotations.to(dtype)


def polar(rotations: torch.Tensor) -> torch.Tensor:
    """The orthogonal factor of nearly orthogonal ``(..., 3, 3)``, differentiable to third order.

    Two Newton-Schulz steps R (3 - R^T R) / 2: the error falls from e to e^4, so values and their first three
    derivatives are those of the polar factor at an orthogonal matrix.
    """
    for _ in range(2):
        rotations = 1.5 * rotations - 0.5 * rotations @ (rotations.transpose(-1, -2) @ rotations)
    return rotations


def hat(omega: torch.Tensor) -> torch.Tensor:
    """``sum_k omega_k L_k`` with L_k v = e_k x v: ``(..., 3)`` to antisymmetric ``(..., 3, 3)``."""
    x, y, z = omega.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))

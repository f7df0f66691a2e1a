"""The groups that can be named, and the public functions that take a name or a group."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import ArgumentError, DeviceError, DTypeError, MemoryLimitError, fail, ran_out
from ._arguments import MOST_ELEMENTS, checked_count, checked_device, checked_flag
from .group import Group
from .o3 import O3, SO3
from .quadrature import Quadrature, ring_grid
from .rings import checked_degree
from .so2 import O2, SO2, read

GROUPS: dict[str, Group] = {"O3": O3(), "SO3": SO3(), "O2": O2(), "SO2": SO2()}


def named(name: str) -> Group | None:
    """The group of this name, one about another axis than z as well; None where there is none."""
    return GROUPS.get(name) or read(name)


def resolve(group: Any) -> Group:
    """The group called so, or `group` itself. Raises ArgumentError for anything else."""
    if isinstance(group, Group):
        name = getattr(group, "name", None)
        if not isinstance(name, str) or not name or type(GROUPS.get(name, group)) is not type(group):
            taken = f", other than {' and '.join(GROUPS)}" if name in GROUPS else ""
            fail(ArgumentError, "group", f"a Group with a name{taken}", f"{type(group).__name__} with name {name!r}")
        return group
    found = named(group) if isinstance(group, str) else None
    if found is None:
        names = " or ".join(f'"{name}"' for name in GROUPS)
        fail(ArgumentError, "group", f"{names}, or an equiscope.groups.Group", repr(group))
    return found


def quadrature(degree: int, *, group: str | Group = "O3", allow_negative: bool = False) -> Quadrature:
    """Grid on O(3) or SO(3) that integrates products of matrix elements exactly up to total degree `degree`.

    ``sum_g w_g D^l_mn(g) D^l'_m'n'(g) = int D^l_mn D^l'_m'n' dg`` for l + l' <= degree (Haar measure of total 1).
    The Lebedev rule of the smallest degree >= `degree` gives (alpha, beta) of R = Rz(alpha) Ry(beta) Rz(gamma), and
    ``degree + 1`` equispaced angles give gamma.

    Error: 1e-13 (`test_matrix_elements_integrate_exactly_up_to_the_degree`). Cost: about (degree+1)^2/3 points times
    degree + 1 angles, twice for O(3): 3740 elements at degree 16. The 16 latest grids are kept; they are shared, so
    their tensors must not be written to.

    Args:
        degree: 0..131.
        group: "O3" (both cosets, -R after R), "SO3", as a name or a `Group`.
        allow_negative: accept the Lebedev rules of degree 13, 25 and 27, which have negative weights; otherwise the
            next higher rule takes their place.

    Returns:
        A `Quadrature`; its elements ``rotations`` ``(G, 3, 3)`` and ``weights`` ``(G,)`` are float64 on the CPU, in the
        order ``for coset (+R, then -R): for point: for gamma``.

    Fewer elements are possible only at low degrees: the Gauss-type rules of M. Graef and D. Potts (2009), published to
    degree 14, have 168, 240, 504, 960 elements of SO(3) at degree 7, 8, 11, 14, where these have 208, 342, 600, 1290;
    the equal-weight rules from there on have more (2520 to 1980 at 17). None has rings, so each would cost the
    transform over gamma. From 17 on, at a Lebedev degree, the count is within 10 % of dimension / 4, E(degree) / 4.

    Source: V. I. Lebedev and D. N. Laikov, Doklady Mathematics 59, 477 (1999), as in scipy.

    Raises:
        ArgumentError: degree is no integer or out of range; unknown group.
        DTypeError: allow_negative is neither True nor False.

    >>> len(quadrature(16))
    3740
    """
    own, degree = resolve(group), checked_degree(degree)
    allow_negative = checked_flag("allow_negative", allow_negative)
    if not own.cosets:
        fail(ArgumentError, "group", "O(3) or SO(3), whose grids have rings (of another: group.grid(degree))", own)
    return ring_grid(own, degree, allow_negative)


def random_rotations(
    n: int,
    *,
    group: str | Group = "SO3",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """``(n, 3, 3)`` matrices, uniform on a group, by default SO(3) (Haar measure).

    Args:
        n: how many, >= 0.
        group: "SO3", or "O3": then each matrix is negated with probability 1/2; or a `Group`.
        dtype: float32 or float64.
        device: of the result; what is drawn depends on it.
        generator: for repeatable draws.

    Raises:
        ArgumentError: negative or non-integer n, unknown group.
        DTypeError, DeviceError: another dtype, a device or generator that cannot be used.
        MemoryLimitError: more than memory holds.

    >>> random_rotations(2).shape
    torch.Size([2, 3, 3])
    """
    count = checked_count("n", n, MOST_ELEMENTS)
    if not isinstance(dtype, torch.dtype) or dtype not in (torch.float32, torch.float64):
        fail(DTypeError, "dtype", "float32 or float64", repr(dtype))
    if generator is not None and not isinstance(generator, torch.Generator):
        fail(DTypeError, "generator", "a torch.Generator or None", type(generator).__name__)
    own, where = resolve(group), checked_device(device)
    if generator is not None and generator.device.type != (where or torch.get_default_device()).type:
        fail(DeviceError, "generator", f"one on the device of the result ({where or 'cpu'})", generator.device)
    try:
        return own.draw(count, generator, where).to(dtype)
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        fail(MemoryLimitError, "n", "matrices that fit into memory", count)

"""Slow readable references of the kernels, in float64 and plain torch. Performance is not the focus here.

Nothing is shared with the fast algorithms: D comes from Euler angles and the eigenvectors of a generator, harmonics
from associated Legendre functions, projections from the D of the whole grid. Tensors on a device without compiled
kernels take this path too. Arguments are taken as checked.
"""

from __future__ import annotations

import functools
import math

import torch

from ..groups.cartesian import Cartesian
from ..groups.irreps import Irreps
from ..groups.quadrature import Quadrature
from ..groups.representation import Representation
from ..groups.rotations import about_z, handedness, polar
from ..groups.spherical import CYCLE, Spherical


def wigner_D(rotations: torch.Tensor, lmax: int, *, basis: str = "standard") -> tuple[torch.Tensor, ...]:
    """``(*batch, 2l+1, 2l+1)`` for l = 0..lmax; rotations ``(*batch, 3, 3)`` proper.

    With R = Rz(alpha) Ry(beta) Rz(gamma), D = D(Rz(alpha)) V exp(-i beta m) V^+ D(Rz(gamma)), V the eigenvectors of
    the generator about y.
    """
    wide = rotations.to(torch.float64)
    if basis == "e3nn":
        wide = wide[..., CYCLE, :][..., CYCLE]
    alpha, beta, gamma = euler_angles(polar(wide))
    degrees = []
    for l in range(lmax + 1):
        vectors, phases = _eigen_y(l, wide.device)
        turned = vectors * torch.exp(1j * beta[..., None, None] * phases)
        about_y = (turned @ vectors.mH).real
        degrees.append((_about_z(l, alpha) @ about_y @ _about_z(l, gamma)).to(rotations.dtype))
    return tuple(degrees)


def euler_angles(rotations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(alpha, beta, gamma) of R = Rz(alpha) Ry(beta) Rz(gamma).

    gamma is what remains after alpha and beta are undone, so that near the poles, where alpha has no digits, the
    errors of alpha and gamma cancel.
    """
    x, y, z = rotations[..., 0, 2], rotations[..., 1, 2], rotations[..., 2, 2]
    alpha, beta = torch.atan2(y, x), torch.atan2(torch.hypot(x, y), z)
    ca, sa, cb, sb = torch.cos(alpha), torch.sin(alpha), torch.cos(beta), torch.sin(beta)
    first_row = torch.stack([cb * ca, cb * sa, -sb], dim=-1)
    second_row = torch.stack([-sa, ca, torch.zeros_like(ca)], dim=-1)
    first_column = rotations[..., :, 0]
    return alpha, beta, torch.atan2((second_row * first_column).sum(-1), (first_row * first_column).sum(-1))


def generators(l: int) -> torch.Tensor:
    """X_x, X_y, X_z of the real representation, ``(3, 2l+1, 2l+1)``, from the complex ladder operators."""
    m = torch.arange(-l, l + 1, dtype=torch.float64)
    ladder = torch.zeros(2 * l + 1, 2 * l + 1, dtype=torch.complex128)
    # J+ |m> = sqrt(l(l+1) - m(m+1)) |m+1>
    raised = torch.arange(2 * l)
    ladder[raised + 1, raised] = torch.sqrt(l * (l + 1) - m[:-1] * (m[:-1] + 1)).to(torch.complex128)
    jx, jy = (ladder + ladder.mH) / 2, (ladder - ladder.mH) / 2j
    jz = torch.diag(m).to(torch.complex128)
    to_real: list[list[complex]] = [[0.0] * (2 * l + 1) for _ in range(2 * l + 1)]
    for k in range(-l, l + 1):
        # rows: real harmonics without Condon-Shortley phase, of the complex ones that carry it
        phase = (-1) ** k
        if k == 0:
            to_real[l][l] = 1.0
        elif k > 0:
            to_real[l + k][l + k], to_real[l + k][l - k] = phase / math.sqrt(2), 1 / math.sqrt(2)
        else:
            to_real[l + k][l + k], to_real[l + k][l - k] = 1j / math.sqrt(2), -1j * phase / math.sqrt(2)
    # functions rotate by (D f)(r) = f(R^-1 r); coefficients by D, harmonics Y(R r) = D Y(r) with D real
    change = torch.tensor(to_real, dtype=torch.complex128)
    return torch.stack([(change.conj() @ (-1j * j) @ change.T).real for j in (jx, jy, jz)])


@functools.lru_cache(maxsize=256)
def _eigen_y(l: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    values, vectors = torch.linalg.eigh(-1j * generators(l)[1].to(torch.complex128))
    # the eigenvalues of a generator are integers
    return vectors.to(device), torch.round(values).to(device)


def _about_z(l: int, angle: torch.Tensor) -> torch.Tensor:
    m = torch.arange(1, l + 1, device=angle.device)
    cosine, sine = torch.cos(angle[..., None] * m), torch.sin(angle[..., None] * m)
    D = torch.zeros(*angle.shape, 2 * l + 1, 2 * l + 1, dtype=angle.dtype, device=angle.device)
    D[..., l, l] = 1.0
    D[..., l + m, l + m], D[..., l - m, l - m] = cosine, cosine
    D[..., l + m, l - m], D[..., l - m, l + m] = -sine, sine
    return D


def spherical_harmonics(xyz: torch.Tensor, lmax: int, *, basis: str = "standard") -> torch.Tensor:
    """``(*batch, (lmax+1)**2)`` of the directions of xyz ``(*batch, 3)``; a zero vector has Y_00 only.

    Y_lm = N_lm P_l^|m|(cos theta) times sqrt2 sin |m| phi (m < 0), 1 (m = 0), sqrt2 cos m phi (m > 0), with the
    normalised Legendre functions from their recursion in l at fixed m.
    """
    wide = xyz.to(torch.float64)
    if basis == "e3nn":
        wide = wide[..., CYCLE]
    x, y, z = wide.unbind(-1)
    in_plane = torch.hypot(x, y)
    theta, phi = torch.atan2(in_plane, z), torch.atan2(y, x)
    cosine, sine = torch.cos(theta), torch.sin(theta)
    out = torch.zeros(*xyz.shape[:-1], (lmax + 1) ** 2, dtype=torch.float64, device=xyz.device)
    start = torch.full_like(x, math.sqrt(1 / (4 * math.pi)))
    for m in range(lmax + 1):
        if m > 0:
            start = start * sine * math.sqrt((2 * m + 1) / (2 * m))
        before, here = torch.zeros_like(start), start
        for l in range(m, lmax + 1):
            if l > m:
                a = math.sqrt((4 * l * l - 1) / (l * l - m * m))
                b = math.sqrt(((l - 1) ** 2 - m * m) / (4 * (l - 1) ** 2 - 1))
                before, here = here, a * (cosine * here - b * before)
            centre = l * l + l
            if m == 0:
                out[..., centre] = here
            else:
                out[..., centre + m] = math.sqrt(2) * here * torch.cos(m * phi)
                out[..., centre - m] = math.sqrt(2) * here * torch.sin(m * phi)
    if lmax > 0:
        zero = (wide == 0).all(-1, keepdim=True)
        out[..., 1:] = torch.where(zero, 0.0, out[..., 1:])
    return out.to(xyz.dtype)


def rotate(
    x: torch.Tensor,
    rotations: torch.Tensor,
    rep: str | Irreps | Representation,
    *,
    inverse: bool = False,
    basis: str = "standard",
    layout: str = "mul_ir",
) -> torch.Tensor:
    """rho(g) x through the dense matrix of every irrep; shapes as in `equiscope.rotate`."""
    kind = Representation.parse(rep, basis=basis, layout=layout)
    wide = rotations.to(torch.float64)
    sign = handedness(wide)
    flat = kind.flatten(x.to(torch.float64))
    turned = []
    for part in kind.parts:
        if isinstance(part.term, Spherical):
            matrix = _irreps_matrix(part.term, wide * sign[..., None, None], sign)
        else:
            assert isinstance(part.term, Cartesian)
            matrix = _cartesian(part.term, wide, sign)
        if inverse:
            # D is orthogonal; what stands for a tensor need not be
            matrix = matrix.mT if isinstance(part.term, Spherical) else torch.linalg.inv(matrix)
        copies = flat[..., part.where].unflatten(-1, (part.mul, -1))
        turned.append((matrix[..., None, :, :] @ copies[..., None])[..., 0].flatten(-2))
    return kind.unflatten(torch.cat(turned, dim=-1)).to(x.dtype)


def _cartesian(term: Cartesian, rotations: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
    """Column by column: what becomes of the tensor that one component is."""
    before, after = "abcdef"[: term.rank], "ijklmn"[: term.rank]
    turns = "".join(f"...{i}{a}," for i, a in zip(after, before, strict=True))
    columns = []
    for unit in torch.eye(term.components, dtype=rotations.dtype, device=rotations.device):
        tensor = term.whole(unit).reshape((3,) * term.rank)
        turned = torch.einsum(f"{turns}{before}->...{after}", *[rotations] * term.rank, tensor)
        columns.append(term.kept_of(turned.flatten(-term.rank) if term.rank else turned.expand(*sign.shape, 1)))
    return torch.stack(columns, dim=-1) * (sign if term.pseudo else torch.ones_like(sign))[..., None, None]


def _irreps_matrix(term: Spherical, proper: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
    degrees = wigner_D(proper, max((irrep.l for irrep in term.irreps), default=0), basis=term.basis)
    matrix = torch.zeros(*sign.shape, term.components, term.components, dtype=proper.dtype, device=proper.device)
    for irrep, where in zip(term.irreps, term.irreps.slices(), strict=True):
        block = degrees[irrep.l] * (sign if irrep.p < 0 else torch.ones_like(sign))[..., None, None]
        one = torch.eye(irrep.mul, dtype=proper.dtype, device=proper.device)
        matrix[..., where, where] = torch.kron(one, block) if term.layout == "mul_ir" else torch.kron(block, one)
    return matrix


def character_power(
    values: torch.Tensor, quadrature: Quadrature | tuple[torch.Tensor, torch.Tensor], lmax: int
) -> torch.Tensor:
    """``(lmax + 1, 2, *rest)``, ``(lmax + 1, 1, *rest)`` on a grid of SO(3): from D on the whole grid, held at once."""
    rotations, weights = quadrature if isinstance(quadrature, tuple) else (quadrature.rotations, quadrature.weights)
    one_coset = isinstance(quadrature, Quadrature) and quadrature.cosets == 1
    channels = values.shape[1:].numel()
    wide = values.reshape(values.shape[0], 1, channels).to(torch.float64)
    coefficients = project(wide, rotations.to(torch.float64), weights.to(torch.float64), lmax)
    power, row = [], 0
    for l in range(lmax + 1):
        proper, improper = coefficients[:, row : row + (2 * l + 1) ** 2]
        row += (2 * l + 1) ** 2
        if one_coset:
            power.append((2 * l + 1) * proper.square().sum(0, keepdim=True))
            continue
        both = [(proper + sigma * (-1) ** l * improper).square().sum(0) for sigma in (1, -1)]
        power.append((2 * l + 1) / 4 * torch.stack(both))
    return torch.stack(power).reshape(lmax + 1, 1 if one_coset else 2, *values.shape[1:]).to(values.dtype)


def project(values: torch.Tensor, rings: torch.Tensor, weights: torch.Tensor, lmax: int) -> torch.Tensor:
    """``(2, E(lmax), channels)`` coefficients of both cosets, from values ``(elements, gammas, channels)``.

    c[s, l, m, n] = sum_p w_p / gammas sum_k D^l_mn(s R_pk) values[p, k] over the elements p of coset s, whose weights
    are normalised to 1.
    """
    out = []
    for sign in (1, -1):
        chosen = handedness(rings) == sign
        D = grid_matrix(sign * rings[chosen], values.shape[1], weights[chosen] / weights[chosen].sum(), lmax)
        out.append(D.T @ values[chosen].flatten(0, 1).to(D.dtype))
    return torch.stack(out).to(values.dtype)


def grid_matrix(rings: torch.Tensor, gammas: int, weights: torch.Tensor, lmax: int) -> torch.Tensor:
    """w_p / gammas D^l_mn(rings[p] Rz(2 pi k / gammas)) of a whole grid, ``(points * gammas, E(lmax))``."""
    gamma = 2 * math.pi * torch.arange(gammas, dtype=torch.float64, device=rings.device) / gammas
    grid = (rings[:, None] @ about_z(gamma)).reshape(-1, 3, 3)
    D = torch.cat([block.flatten(1) for block in wigner_D(grid, lmax)], dim=1)
    return D * (weights.repeat_interleave(gammas) / gammas)[:, None]

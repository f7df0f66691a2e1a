"""What is measured: each kernel and each kind of audit beside its peers and its limit, on the same inputs.

A `Case` has its answer asserted before it is timed. Peers that are not installed are named and left out.
"""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch

import equiscope as eq
from equiscope.kernels import packed_size as packed

Call = Callable[[], Any]


@dataclass(frozen=True)
class Bound:
    """What is to be reached: the time of `against` over ours at least, or ours over that of `against` at most."""

    against: str
    at_least: float | None = None
    at_most: float | None = None
    why_not: str = ""
    """Why it is not reached, where it is not."""

    def met(self, ratio: float) -> bool:
        """`ratio`: the time of `against` over ours."""
        return ratio >= self.at_least if self.at_least is not None else 1 / ratio <= (self.at_most or 0.0)

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"{self.at_least:g} x {self.against}"
        return f"{self.at_most:g} of {self.against}"


HALF = "the bound is that of AVX-512, whose vectors hold twice as many numbers as those of AVX2"


@dataclass
class Case:
    """Calls to be timed beside each other; `items` of them are made by each."""

    name: str
    unit: str
    items: dict[str, float]
    calls: dict[str, Call]
    """"ours" first; then peers and limits."""
    bounds: list[Bound] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    rounds: int | None = None
    """Fixed number of rounds, for long calls."""

    def peer(self, name: str, module: str, make: Callable[[ModuleType], Call], items: float | None = None) -> None:
        """Add a peer, or note that it is not installed."""
        try:
            found = importlib.import_module(module)
        except ImportError:
            found = None
        if found is None or found.__file__ is None:  # a bare namespace: only a sibling of the peer is installed
            self.missing.append(name)
            return
        self.calls[name] = make(found)
        self.items[name] = items or self.items["ours"]


def case(name: str, unit: str, items: float, ours: Call, **limits: Call) -> Case:
    """A case with its limits, which do as many items."""
    calls = {"ours": ours, **limits}
    return Case(name, unit, dict.fromkeys(calls, items), calls)


def close(got: torch.Tensor, expected: Any, atol: float) -> None:
    torch.testing.assert_close(got, torch.as_tensor(expected, dtype=got.dtype), rtol=0, atol=atol)


# ---- kernels ---------------------------------------------------------------------------------------------------------


def _spherical(R: torch.Tensor, lmax: int, module: ModuleType) -> Call:
    quaternionic = importlib.import_module("quaternionic")
    rotors = quaternionic.array.from_rotation_matrix(R.numpy())
    wigner = module.Wigner(lmax)
    found = torch.from_numpy(wigner.D(rotors[:3]))
    start = wigner.Dindex(lmax, 0, 0)
    # the real m = m' = 0 element is the same in every basis
    close(found[:, start].real, eq.wigner_D(R[:3], lmax)[lmax][:, lmax, lmax], 1e-12)
    return lambda: wigner.D(rotors)


def _wigners(R: torch.Tensor, lmax: int, module: ModuleType) -> Call:
    angles = [(float(a), float(b), float(c)) for a, b, c in _euler(R)]
    found = module.wigner_D_array(lmax, *angles[0])
    assert abs(found[lmax][lmax, lmax].real - float(eq.wigner_D(R[:1], lmax)[lmax][0, lmax, lmax])) < 1e-12
    return lambda: [module.wigner_D_array(lmax, *each) for each in angles]


def _euler(R: torch.Tensor) -> torch.Tensor:
    """zyz angles."""
    from scipy.spatial.transform import Rotation

    return torch.from_numpy(Rotation.from_matrix(R.numpy()).as_euler("ZYZ"))


def _e3nn_D(R: torch.Tensor, lmax: int, module: ModuleType) -> Call:
    def build() -> list[torch.Tensor]:
        angles = module.matrix_to_angles(R)
        return [module.wigner_D(l, *angles) for l in range(lmax + 1)]

    close(build()[lmax], eq.wigner_D(R, lmax, basis="e3nn")[lmax], 2e-5)
    return build


def _metatomic_D(R: torch.Tensor, lmax: int, module: ModuleType) -> Call:
    def build() -> Any:
        return module.build_packed_wigner_matrices(R, lmax)

    sizes = [(2 * l + 1) ** 2 * len(R) for l in range(lmax + 1)]
    close(build().reshape(-1).split(sizes)[lmax], eq.wigner_D(R, lmax)[lmax].reshape(-1), 1e-9)
    return build


def wigner_D(quick: bool) -> Iterator[Case]:
    for lmax in (4,) if quick else (4, 8, 12, 16):
        yield _wigner_case(200 if quick else 10_000, lmax)
    one = eq.random_rotations(1)
    found = case("wigner_D, one rotation, L8", "call", 1, lambda: eq.wigner_D(one, 8), fifty_us=lambda: _wait(50e-6))
    found.bounds = [Bound("fifty_us", at_most=1.0, why_not="nine views take torch over a third of it")]
    yield found


def _wigner_case(n: int, lmax: int) -> Case:
    R = eq.random_rotations(n, generator=torch.Generator().manual_seed(0))
    out = torch.empty(n * packed(lmax), dtype=torch.float64)
    found = case(
        f"wigner_D, float64, L{lmax}",
        "value",
        n * packed(lmax),
        lambda: eq.wigner_D(R, lmax, out=out),
        fill=lambda: out.fill_(1.0),
    )
    for name, module, make, few in (
        ("spherical", "spherical", _spherical, 100),
        ("wigners", "wigners", _wigners, 50),
        ("e3nn", "e3nn.o3", _e3nn_D, 20),
        ("metatomic", "metatomic.torch.o3._wigner", _metatomic_D, 4),
    ):
        few = min(n, few)
        found.peer(name, module, functools.partial(make, R[:few], lmax), few * packed(lmax))
    found.bounds = [
        Bound("fill", at_most=1.2, why_not="at low L powers and transposes are not all hidden behind the stores"),
        Bound("spherical", at_least=10, why_not=HALF),
        Bound("metatomic", at_least=1000, why_not=HALF),
        Bound("e3nn", at_least=1000, why_not="its matrix exponentials cost less per value at higher l"),
    ]
    return found


def _wait(seconds: float) -> None:
    """A yardstick that takes as long as it says."""
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop:
        pass


def spherical_harmonics(quick: bool) -> Iterator[Case]:
    for lmax in (8, 20):
        cached = (1 << 19) // (8 * (lmax + 1) ** 2)
        yield _harmonics_case(f"L{lmax}, in cache", cached, lmax, 4.0)
        if not quick:
            yield _harmonics_case(f"L{lmax}, large", 100 * cached, lmax, 1.0)


def _harmonics_case(what: str, n: int, lmax: int, least: float) -> Case:
    xyz = torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    out = torch.empty(n, (lmax + 1) ** 2, dtype=torch.float64)
    lower = min(lmax, 11)  # where e3nn ends
    few = xyz[:200]

    def sphericart(module: ModuleType) -> Call:
        function, points = module.SphericalHarmonics(lmax), xyz.numpy()
        close(eq.spherical_harmonics(xyz, lmax), function.compute(points), 1e-11)
        return lambda: function.compute(points)

    def e3nn(module: ModuleType) -> Call:
        function = module.SphericalHarmonics(list(range(lower + 1)), normalize=True, normalization="integral")
        close(eq.spherical_harmonics(few, lower, basis="e3nn"), function(few), 1e-11)
        return lambda: function(few)

    found = case(
        f"spherical_harmonics, float64, {what}",
        "value",
        out.numel(),
        lambda: eq.spherical_harmonics(xyz, lmax, out=out),
        fill=lambda: out.fill_(1.0),
    )
    found.peer("sphericart", "sphericart", sphericart)
    found.peer("e3nn", "e3nn.o3", e3nn, len(few) * (lower + 1) ** 2)
    why = "of 0.4 ns a third is Python and checks of the call, a third the transpose of a tile to rows"
    found.bounds = [Bound("sphericart", at_least=least, why_not=why)]
    return found


def _dense_rotate(x: torch.Tensor, degrees: list[torch.Tensor], copies: int) -> torch.Tensor:
    parts = x.split([copies * D.shape[-1] for D in degrees], dim=1)
    turned = [p.unflatten(1, (copies, -1)) @ D.mT for p, D in zip(parts, degrees, strict=True)]
    return torch.cat([t.flatten(1) for t in turned], dim=1)


def rotate(quick: bool) -> Iterator[Case]:
    for dtype in (torch.float64, torch.float32):
        for lmax in (2, 8):
            for layout in ("mul_ir", "ir_mul"):
                yield _rotate_case(dtype, lmax, layout, (1 << 20) if quick else (128 << 20))


def _rotate_case(dtype: torch.dtype, lmax: int, layout: str, nbytes: int) -> Case:
    copies = 64
    rep = "+".join(f"{copies}x{l}{'eo'[l % 2]}" for l in range(lmax + 1))
    dim = copies * (lmax + 1) ** 2
    n = nbytes // (dim * dtype.itemsize)
    g = torch.Generator().manual_seed(0)
    R, x = eq.random_rotations(n, dtype=dtype, generator=g), torch.randn(n, dim, dtype=dtype, generator=g)
    out = torch.empty_like(x)
    found = case(
        f"rotate, {str(dtype)[6:]}, {copies} x l <= {lmax}, {layout}",
        "value",
        x.numel(),
        lambda: eq.rotate(x, R, rep, layout=layout, out=out),
        copy=lambda: out.copy_(x),
    )
    why = "arithmetic takes about as long as the traffic, and is only partly hidden behind it"
    found.bounds = [Bound("copy", at_most=1 / 0.75, why_not=why)]
    if layout == "ir_mul":
        expected = eq.rotate(_ir_mul(x[:8], lmax, copies), R[:8], rep)
        close(_ir_mul(eq.rotate(x[:8], R[:8], rep, layout=layout), lmax, copies), expected, 1e-5)
        return found
    few, turns = x[:64], R[:64]

    def plain() -> torch.Tensor:
        return _dense_rotate(few, eq.wigner_D(turns, lmax), copies)

    def e3nn(module: ModuleType) -> Call:
        def build() -> torch.Tensor:
            angles = module.matrix_to_angles(turns)
            degrees = [module.wigner_D(l, *angles).to(dtype) for l in range(lmax + 1)]
            return _dense_rotate(few, degrees, copies)

        close(eq.rotate(few, turns, rep, basis="e3nn"), build(), 1e-3)
        return build

    close(eq.rotate(few, turns, rep), plain(), 1e-4 if dtype == torch.float32 else 1e-12)
    found.calls["torch"], found.items["torch"] = plain, few.numel()
    found.peer("e3nn", "e3nn.o3", e3nn, few.numel())
    found.bounds.append(Bound("e3nn", at_least=20))
    return found


def _ir_mul(x: torch.Tensor, lmax: int, copies: int) -> torch.Tensor:
    """Features in ir_mul as mul_ir."""
    parts = x.split([copies * (2 * l + 1) for l in range(lmax + 1)], dim=1)
    return torch.cat([part.unflatten(1, (-1, copies)).mT.flatten(1) for part in parts], dim=1)


def character_power(quick: bool) -> Iterator[Case]:
    yield _power_case(8, torch.float64, 32 if quick else 512)
    yield _power_case(8, torch.float32, 32 if quick else 512)
    if not quick:
        yield _power_case(16, torch.float64, 128)


def _power_case(lmax: int, dtype: torch.dtype, channels: int) -> Case:
    grid = eq.quadrature(2 * lmax, group="SO3")
    values = torch.randn(len(grid), channels, dtype=dtype, generator=torch.Generator().manual_seed(0))
    degrees = [D.flatten(1) for D in eq.wigner_D(grid.rotations, lmax)]
    matrix = (torch.cat(degrees, dim=1) * grid.weights[:, None]).T.contiguous().to(dtype)
    sizes = [(2 * l + 1) ** 2 for l in range(lmax + 1)]

    def dense() -> torch.Tensor:
        parts = (matrix @ values).split(sizes)
        return torch.stack([(2 * l + 1) * c.square().sum(0) for l, c in enumerate(parts)])

    found = case(
        f"character_power, {str(dtype)[6:]}, L{lmax}, {len(grid)} samples x {channels}",
        "sample",
        values.numel(),
        lambda: eq.character_power(values, grid, lmax),
        dense=dense,
        reading=values.sum,
    )
    close(found.calls["ours"]()[:, 0], dense(), 1e-4 if dtype == torch.float32 else 1e-11)
    found.bounds = [Bound("dense", at_least=15 if lmax == 8 else 40, why_not=HALF)]
    if lmax == 8:
        why = "two vector multiply-adds per sample, each with a load, are more than four readings from the last cache"
        found.bounds.append(Bound("reading", at_most=4.0, why_not=why))
    return found

"""Call every kernel once at small odd sizes and compare with the CPU: what a memory or race checker should watch.

    python scripts/gpu_small.py [--device cuda] [--quick]

Under ``PYTORCH_NO_CUDA_MEMORY_CACHING=1`` every tensor is an allocation of its own, so that a checker sees an access
beyond its end.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

import equiscope as eq
from equiscope.groups.rotations import polar

OPERATORS = torch.ops.equiscope
REPS = ("3x0e+2x1o+1x2e", "1x7o", "33x1o+2x0o")


def compare(name: str, function: Callable[..., torch.Tensor], arguments: list[torch.Tensor], device: str) -> None:
    """Fails where the device and the CPU, in float64, differ by more than a checker run should tolerate."""
    found = function(*(x.to(device) for x in arguments))
    turns = [x.shape[-2:] == (3, 3) for x in arguments]
    exact = [polar(x.double()) if turn else x.double() for x, turn in zip(arguments, turns, strict=True)]
    expected = function(*exact)
    size = 1.0 + (float(expected.abs().max()) if expected.numel() else 0.0)
    atol = (1e-10 if arguments[0].dtype == torch.float64 else 1e-3) * size
    torch.testing.assert_close(found.cpu().double(), expected, rtol=0, atol=atol, msg=lambda text: f"{name}: {text}")


def joined(parts: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return torch.cat([part.reshape(-1) for part in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="fewer sizes, for checkers that slow kernels down most")
    arguments = parser.parse_args()
    device, quick = arguments.device, arguments.quick
    torch.manual_seed(0)
    calls = 0
    sizes = [(0, 3), (1, 1), (3, 33), (8, 5), *(() if quick else ((2, 0), (5, 129), (12, 17))), (40, 1)]
    for dtype in (torch.float32, torch.float64):

        def check(
            name: str, function: Callable[..., torch.Tensor], *given: torch.Tensor, dtype: torch.dtype = dtype
        ) -> None:
            nonlocal calls
            compare(f"{name} {dtype}", function, [x.to(dtype) for x in given], device)
            calls += 1

        for lmax, n in sizes:
            R, xyz = eq.random_rotations(n), torch.randn(n, 3).double()
            values = (lmax + 1) * (2 * lmax + 1) * (2 * lmax + 3) // 3
            check(f"wigner_D {lmax}", lambda R, lmax=lmax: joined(eq.wigner_D(R, lmax)), R)
            check(
                f"torque {lmax}",
                lambda R, G, lmax=lmax: OPERATORS.wigner_D_torque(R, G, lmax),
                R,
                torch.randn(n * values),
            )
            check(f"harmonics {lmax}", lambda x, lmax=lmax: eq.spherical_harmonics(x, lmax), xyz)
            check(
                f"harmonics torque {lmax}",
                lambda x, g, lmax=lmax: OPERATORS.spherical_harmonics_torque(x, g, lmax),
                xyz,
                torch.randn(n, (lmax + 1) ** 2),
            )
        for rep in REPS:
            dim = eq.Representation.parse(rep).components
            for batch, own, rows in ((5, 5, 3), (5, 1, 3), (1, 1, 37), (67, 67, 1)):
                x, g = torch.randn(own, rows, dim), eq.random_rotations(batch, group="O3")
                for layout, inverse in (("mul_ir", False), ("ir_mul", True)):
                    check(
                        f"rotate {rep} {batch} {own} {rows}",
                        lambda x, g, rep=rep, layout=layout, inverse=inverse: eq.rotate(
                            x, g[:, None], rep, layout=layout, inverse=inverse
                        ),
                        x,
                        g,
                    )
        check("rotate 1x12e", lambda x, g: eq.rotate(x, g, "1x12e"), torch.randn(3, 25), eq.random_rotations(3))
        for degree, lmax, group in ((4, 2, "O3"), (6, 3, "SO3"), *(() if quick else ((11, 5, "O3"), (16, 8, "O3")))):
            grid = eq.quadrature(degree, group=group)
            for channels in (1, 33) if quick else (1, 7, 33, 130):
                check(
                    f"character_power {degree} {group} {channels}",
                    lambda u, grid=grid, lmax=lmax: eq.character_power(u, grid, lmax),
                    torch.randn(len(grid), channels),
                )
    grid = eq.quadrature(4)
    for half in (torch.float16, torch.bfloat16):
        u = torch.randn(len(grid), 37).to(half)
        compare(f"character_power {half}", lambda u: eq.character_power(u, grid, 2), [u], device)
        calls += 1
    if device != "cpu":
        torch.cuda.synchronize()
    print(f"{calls} calls agree with the CPU")


if __name__ == "__main__":
    main()

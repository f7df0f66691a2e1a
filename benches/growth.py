"""How the cost grows with lmax, rows, channels, systems and threads: measured, fitted and drawn.

    python benches/growth.py [--quick] [--json FILE] [--picture FILE]

Each series changes one size; the exponent is the slope of log(seconds) over log(size), by least squares over the upper
half of the series, where fixed costs no longer count.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from cases import Call, packed
from table import environment, timed

import equiscope as eq
from equiscope import demo

HERE = Path(__file__).parent
REPEATS = 5


@dataclass(frozen=True)
class Series:
    """Calls of growing size along one axis."""

    name: str
    axis: str
    sizes: tuple[int, ...]
    call: Callable[[int], Call]
    threads: int = 1


def series(quick: bool) -> Iterator[Series]:
    degrees = (2, 4, 8) if quick else (2, 3, 4, 6, 8, 12, 16, 24)

    def wigner_D(lmax: int) -> Call:
        R = eq.random_rotations(max(64, 4_000_000 // packed(lmax)))
        out = torch.empty(len(R) * packed(lmax), dtype=torch.float64)
        return _per(len(R), lambda: eq.wigner_D(R, lmax, out=out))

    def harmonics(lmax: int) -> Call:
        xyz = torch.randn(4_000_000 // (lmax + 1) ** 2, 3, dtype=torch.float64)
        out = torch.empty(len(xyz), (lmax + 1) ** 2, dtype=torch.float64)
        return _per(len(xyz), lambda: eq.spherical_harmonics(xyz, lmax, out=out))

    def power(lmax: int) -> Call:
        grid = eq.quadrature(2 * lmax)
        values = torch.randn(len(grid), 16, dtype=torch.float64)
        return lambda: eq.character_power(values, grid, lmax)

    def rotate(lmax: int) -> Call:
        rep = "+".join(f"64x{l}e" for l in range(lmax + 1))
        n = max(8, 2_000_000 // (64 * (lmax + 1) ** 2))
        R, x = eq.random_rotations(n), torch.randn(n, 64 * (lmax + 1) ** 2, dtype=torch.float64)
        out = torch.empty_like(x)
        return _per(n, lambda: eq.rotate(x, R, rep, out=out))

    yield Series("wigner_D", "lmax", degrees, wigner_D)
    yield Series("spherical_harmonics", "lmax", degrees, harmonics)
    yield Series("character_power", "lmax", degrees, power)
    yield Series("rotate", "lmax", degrees, rotate)

    grid = eq.quadrature(16)

    def channels(n: int) -> Call:
        values = torch.randn(len(grid), n, dtype=torch.float64)
        return lambda: eq.character_power(values, grid, 8)

    def rows(n: int) -> Call:
        R, x = eq.random_rotations(1), torch.randn(n, 64 * 9, dtype=torch.float64)
        out = torch.empty_like(x)
        return lambda: eq.rotate(x, R[0], "64x0e+64x1o+64x2e", out=out)

    def systems(n: int) -> Call:
        molecules = [demo.load_molecules()[i % 8] for i in range(n)]
        settings = {"inputs": demo.INPUTS, "outputs": demo.REPRESENTATIONS, "layers": demo.LAYERS}
        return lambda: eq.audit(demo.load_model(), molecules, lmax=2, degree=6, **settings)

    yield Series("character_power, L8", "channels", (16, 64, 256) if quick else (1, 4, 16, 64, 256, 1024), channels)
    yield Series("rotate, l <= 2", "rows", (100, 1000) if quick else (10, 100, 1000, 10_000, 100_000), rows)
    yield Series("audit of the demo, L2", "systems", (1, 2) if quick else (1, 2, 4, 8, 16), systems)

    R = eq.random_rotations(200 if quick else 20_000)
    out = torch.empty(len(R) * packed(8), dtype=torch.float64)

    def threads(n: int) -> Call:
        def call() -> None:
            torch.set_num_threads(n)
            eq.wigner_D(R, 8, out=out)

        return call

    if (most := os.cpu_count() or 1) > 1:
        yield Series("wigner_D, L8", "threads", tuple(sorted({1, 2, most})), threads)


@dataclass(frozen=True)
class _per:
    """A call of n items, timed per item."""

    items: int
    call: Call

    def __call__(self) -> None:
        self.call()


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Slope of log(seconds) over log(size) on the upper half of the series; NaN for a single size."""
    half = max(2, math.ceil(len(sizes) / 2))
    x, y = ([math.log(v) for v in values[-half:]] for values in (sizes, seconds))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread if spread else math.nan


def measure(own: Series, repeats: int) -> dict[str, object]:
    """Least of some repeats, per item where the number of items is no size of the series."""
    torch.set_num_threads(own.threads)
    seconds = []
    for size in own.sizes:
        call = own.call(size)
        call()
        best = min(timed(call) for _ in range(repeats))
        seconds.append(best / (call.items if isinstance(call, _per) else 1))
    slope = exponent(list(own.sizes), seconds)
    return {"name": own.name, "axis": own.axis, "sizes": list(own.sizes), "seconds": seconds, "exponent": slope}


def draw(found: list[dict], path: Path) -> None:
    """One panel per axis, logarithmic, with the exponents in the legend."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    axes = list(dict.fromkeys(each["axis"] for each in found))
    figure = Figure(figsize=(3.4 * len(axes), 3.6), layout="constrained")
    for panel, axis in zip(figure.subplots(1, len(axes), squeeze=False)[0], axes, strict=True):
        own = [each for each in found if each["axis"] == axis]
        for each in own:
            panel.loglog(each["sizes"], each["seconds"], "o-", ms=4, label=f"{each['name']}: {each['exponent']:.2f}")
        sizes = max((each["sizes"] for each in own), key=len)
        panel.xaxis.set_major_locator(FixedLocator(sizes))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(ScalarFormatter())
        panel.tick_params(axis="x", labelsize=8, rotation=45 if max(sizes) > 999 else 0)
        panel.set_xlabel(axis)
        panel.legend(fontsize=8, title="exponent", title_fontsize=8, frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("seconds (per item for lmax)")
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, and files that leave the stored ones alone")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    folder = Path(tempfile.gettempdir()) if arguments.quick else HERE / "results"
    path, picture = arguments.json or folder / "growth.json", arguments.picture or folder / "growth.png"
    about = environment()
    found = []
    for own in series(arguments.quick):
        found.append(measure(own, 2 if arguments.quick else REPEATS))
        times = "  ".join(f"{n}: {s:.3g} s" for n, s in zip(own.sizes, found[-1]["seconds"], strict=True))
        print(f"{own.name:22} over {own.axis:9} exponent {found[-1]['exponent']:5.2f}   {times}", flush=True)
    path.write_text(json.dumps({"environment": about, "series": found}, indent=1) + "\n")
    draw(found, picture)
    print(f"{path}\n{picture}")


if __name__ == "__main__":
    main()

"""Speed of the CUDA kernels beside what the memory of the card allows, e3nn and plain torch on the same inputs.

    python benches/bench_cuda.py [--quick] [--only wigner_D,audit] [--out FILE] [--device cuda]

Every case first asserts its answer against the CPU. Times are medians over repeats, taken with events, of calls that
go round several sets of inputs and outputs larger than the L2 cache. The limits are measured in the same run: a copy on
the device (bytes read and written), `fill_` (written) and `sum` (read). Bytes count every input and output of a kernel
once. Prints a table and writes it with the numbers as JSON (``FILE`` and ``FILE.json``). ``--device cpu`` only runs the
code.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

import equiscope as eq
from equiscope import demo
from equiscope.demo import PointCloudTransformer
from equiscope.groups.rotations import polar
from equiscope.kernels import reference
from equiscope.tolerance import tolerance

Call = Callable[[], Any]
SAMPLE = 32
"""Entries, from both ends, whose values are asserted."""


@dataclass
class Row:
    """One line of the table."""

    name: str
    dtype: str
    seconds: float
    items: int
    unit: str
    bytes: int
    limit: str
    share: float
    share_of_copy: float
    target: str
    others: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        rate = self.bytes / self.seconds
        what = f"{self.seconds / self.items * 1e9:10.3f} ns/{self.unit}"
        limits = f"{rate / 1e9:8.1f} GB/s {100 * self.share_of_copy:6.1f} % of copy" if rate else ""
        if self.limit != "copy":
            limits += f" {100 * self.share:6.1f} % of {self.limit}"
        others = "; ".join(f"{name} {value}" for name, value in self.others.items())
        return f"{self.name:32} {self.dtype:9} {what:24} {limits:46} target: {self.target}" + (
            f" | {others}" if others else ""
        )


class Bench:
    """Device, sizes and timer, and the limits that were measured."""

    def __init__(self, device: str, quick: bool) -> None:
        self.device = torch.device(device)
        self.on_cuda = self.device.type == "cuda"
        self.repeats = 5 if quick else 15
        self.budget = (1 << 20) if not self.on_cuda else (1 << 28) if quick else (1 << 30)
        self.quick = quick or not self.on_cuda
        self.cache = torch.cuda.get_device_properties(self.device).L2_cache_size if self.on_cuda else 1 << 18
        self.limits: dict[str, float] = {}

    def sets(self, nbytes: int) -> int:
        """How many sets of inputs of this size exceed the cache three times over."""
        return max(2, -(-3 * self.cache // max(nbytes, 1)))

    def wait(self) -> None:
        if self.on_cuda:
            torch.cuda.synchronize(self.device)

    def seconds(self, calls: list[Call], repeats: int | None = None) -> float:
        """Median time of one call; what each returns is kept until it is called again, so that outputs differ too."""
        kept = [call() for call in calls]
        kept = [call() for call in calls]
        self.wait()
        found = []
        for _ in range(repeats or self.repeats):
            if not self.on_cuda:
                began = time.perf_counter()
                for i, call in enumerate(calls):
                    kept[i] = call()
                found.append((time.perf_counter() - began) / len(calls))
                continue
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(2_000_000)  # about a millisecond, in which the host gets ahead of the device
            start.record()
            for i, call in enumerate(calls):
                kept[i] = call()
            end.record()
            end.synchronize()
            found.append(start.elapsed_time(end) / 1e3 / len(calls))
        return statistics.median(found)

    def measure_limits(self) -> None:
        count = self.budget // 4
        a, b = (torch.ones(count, device=self.device) for _ in range(2))
        self.limits["copy"] = 2 * 4 * count / self.seconds([lambda: b.copy_(a), lambda: a.copy_(b)])
        self.limits["write"] = 4 * count / self.seconds([lambda: a.fill_(1.0), lambda: b.fill_(1.0)])
        self.limits["read"] = 4 * count / self.seconds([a.sum, b.sum])

    def row(
        self,
        name: str,
        dtype: torch.dtype,
        calls: list[Call],
        items: int,
        unit: str,
        nbytes: int,
        limit: str,
        target: str,
    ) -> Row:
        seconds = self.seconds(calls)
        rate = nbytes / seconds
        short = str(dtype).removeprefix("torch.")
        shares = rate / self.limits[limit], rate / self.limits["copy"]
        return Row(name, short, seconds, items, unit, nbytes, limit, *shares, target)

    def graphed(self, calls: list[Call], items: int, unit: str) -> str:
        """Time per item of the same calls replayed from a graph: without what the host does for each."""
        if not self.on_cuda:
            return "none"
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            kept = [call() for call in calls]
        seconds = self.seconds([graph.replay]) / len(calls)
        del kept
        return f"{seconds / items * 1e9:.3f} ns/{unit}"

    def other(self, call: Callable[[], Call], items: int, unit: str) -> str:
        """Time per item of another program's way, or why there is none; `call` prepares it."""
        try:
            ready = call()
            return f"{self.seconds([ready], 3) / items * 1e9:.3f} ns/{unit}"
        except Exception as error:  # whatever a library that is not ours raises here
            return f"none ({type(error).__name__}: {str(error).splitlines()[0][:60] if str(error) else ''})"


def ends(x: torch.Tensor) -> torch.Tensor:
    """The first and the last entries along the first axis."""
    return torch.cat([x[:SAMPLE], x[-SAMPLE:]])


def agree(got: torch.Tensor, expected: torch.Tensor, atol: float) -> None:
    torch.testing.assert_close(got.detach().cpu().double(), expected.double(), rtol=0, atol=atol)


def wide(rotations: torch.Tensor) -> torch.Tensor:
    """On the CPU in float64, orthogonal again."""
    return polar(rotations.cpu().double())


def _e3nn() -> Any:
    """Raises ImportError where there is none."""
    from e3nn import o3

    return o3


def _e3nn_D(rotations: torch.Tensor, lmax: int) -> list[torch.Tensor]:
    o3 = _e3nn()
    with torch.device(rotations.device):  # its generators lie on the default device
        angles = o3.matrix_to_angles(rotations)
        return [o3.wigner_D(l, *angles) for l in range(lmax + 1)]


# ---- cases -----------------------------------------------------------------------------------------------------------


def wigner_D(bench: Bench) -> Iterator[Row]:
    for dtype in (torch.float32, torch.float64):
        size = torch.finfo(dtype).bits // 8
        for lmax in (2, 4, 6, 8, 12, 16):
            values = (lmax + 1) * (2 * lmax + 1) * (2 * lmax + 3) // 3
            nbytes = size * (values + 9)
            n = max(2 * SAMPLE, bench.budget // nbytes)
            draw = functools.partial(eq.random_rotations, n, dtype=dtype, device=bench.device)
            inputs = [draw() for _ in range(bench.sets(n * nbytes))]
            expected = eq.wigner_D(wide(ends(inputs[0])), lmax)
            for l, D in enumerate(eq.wigner_D(inputs[0], lmax)):
                agree(ends(D), expected[l], tolerance("wigner_D", l, dtype).atol + 1e-12)
            calls = [functools.partial(eq.wigner_D, R, lmax) for R in inputs]
            target = "85 % of copy, 0.94 G/s" if (lmax, size) == (8, 4) else "85 % of copy" if lmax >= 4 else "-"
            row = bench.row(f"wigner_D L{lmax}", dtype, calls, n, "rotation", n * nbytes, "write", target)
            few = inputs[0][: 2 * SAMPLE if bench.quick else 1 << 12]  # theirs takes long
            if dtype == torch.float32:
                row.others["torch"] = bench.other(
                    lambda few=few, l=lmax: functools.partial(reference.wigner_D, few, l), len(few), "rotation"
                )
                row.others["e3nn"] = bench.other(
                    lambda few=few, l=lmax: functools.partial(_e3nn_D, few, l), len(few), "rotation"
                )
            yield row

            torque = torch.ops.equiscope.wigner_D_torque
            grads = [torch.randn(n * values, dtype=dtype, device=bench.device) for _ in inputs]
            few_R, few_G = inputs[0][:SAMPLE], []
            start = 0
            for l in range(lmax + 1):
                few_G.append(grads[0][start : start + SAMPLE * (2 * l + 1) ** 2])
                start += n * (2 * l + 1) ** 2
            packed = torch.cat(few_G).cpu().double()
            found = torque(inputs[0], grads[0], lmax)[:SAMPLE]
            bound = 2 * tolerance("gradient", lmax, dtype).atol * float(packed.norm())
            agree(found, torque(wide(few_R), packed, lmax), bound)
            calls = [functools.partial(torque, R, G, lmax) for R, G in zip(inputs, grads, strict=True)]
            nbytes = n * size * (values + 12)
            yield bench.row(f"wigner_D backward L{lmax}", dtype, calls, n, "rotation", nbytes, "read", "80 % of read")


def spherical_harmonics(bench: Bench) -> Iterator[Row]:
    for dtype in (torch.float32, torch.float64):
        size = torch.finfo(dtype).bits // 8
        for lmax in (4, 8, 16):
            nbytes = size * ((lmax + 1) ** 2 + 3)
            n = max(2 * SAMPLE, bench.budget // nbytes)
            inputs = [torch.randn(n, 3, dtype=dtype, device=bench.device) for _ in range(bench.sets(n * nbytes))]
            expected = eq.spherical_harmonics(ends(inputs[0]).cpu().double(), lmax)
            bound = tolerance("spherical_harmonics", lmax, dtype).atol + 1e-11
            agree(ends(eq.spherical_harmonics(inputs[0], lmax)), expected, bound)
            calls = [functools.partial(eq.spherical_harmonics, x, lmax) for x in inputs]
            name = f"spherical_harmonics L{lmax}"
            row = bench.row(name, dtype, calls, n, "point", n * nbytes, "write", "85 % of copy")

            few = inputs[0][: n // 4]
            row.others["torch"] = bench.other(
                lambda few=few, l=lmax: functools.partial(reference.spherical_harmonics, few, l), len(few), "point"
            )

            def theirs(few: torch.Tensor = few, lmax: int = lmax) -> Call:
                function = (
                    _e3nn().SphericalHarmonics(list(range(lmax + 1)), normalize=True, normalization="integral").to(few)
                )
                return lambda: function(few)

            row.others["e3nn"] = bench.other(theirs, len(few), "point")
            yield row


def _einsum_rotate(x: torch.Tensor, degrees: list[torch.Tensor]) -> torch.Tensor:
    channels = x.shape[1] // len(degrees) ** 2
    parts = x.split([channels * D.shape[-1] for D in degrees], dim=1)
    turned = [p.unflatten(1, (channels, -1)) @ D.mT for p, D in zip(parts, degrees, strict=True)]
    return torch.cat([t.flatten(1) for t in turned], dim=1)


def rotate(bench: Bench) -> Iterator[Row]:
    for dtype in (torch.float32, torch.float64):
        size = torch.finfo(dtype).bits // 8
        for channels in (64, 256):
            for lmax in (3, 6, 8):
                dim = channels * (lmax + 1) ** 2
                nbytes = size * (2 * dim + 9)
                n = max(2 * SAMPLE, bench.budget // nbytes)
                rep = "+".join(f"{channels}x{l}{'eo'[l % 2]}" for l in range(lmax + 1))
                inputs = [
                    (
                        torch.randn(n, dim, dtype=dtype, device=bench.device),
                        eq.random_rotations(n, dtype=dtype, device=bench.device),
                    )
                    for _ in range(bench.sets(n * nbytes))
                ]
                x, R = inputs[0]
                expected = eq.rotate(ends(x).cpu().double(), wide(ends(R)), rep)
                bound = (tolerance("wigner_D", lmax, dtype).atol + 1e-12) * (2 * lmax + 1) * float(expected.abs().max())
                agree(ends(eq.rotate(x, R, rep)), expected, bound)
                calls = [functools.partial(eq.rotate, x, R, rep) for x, R in inputs]
                row = bench.row(
                    f"rotate {channels} channels l<={lmax}", dtype, calls, n, "row", n * nbytes, "copy", "80 % of copy"
                )
                if dtype == torch.float32:
                    few = slice(0, min(n, SAMPLE if bench.quick else 1 << 12))

                    def plain(x: torch.Tensor = x[few], R: torch.Tensor = R[few], lmax: int = lmax) -> Call:
                        return functools.partial(_einsum_rotate, x, list(eq.wigner_D(R, lmax)))

                    def theirs(x: torch.Tensor = x[few], R: torch.Tensor = R[few], lmax: int = lmax) -> Call:
                        return lambda: _einsum_rotate(x, _e3nn_D(R, lmax))

                    count = len(x[few])
                    row.others["torch, D ready made"] = bench.other(plain, count, "row")
                    row.others["e3nn D and torch"] = bench.other(theirs, count, "row")
                yield row


def _dense_power(values: torch.Tensor, matrix: torch.Tensor, lmax: int) -> torch.Tensor:
    """Coefficients by one product per coset, then the power; `matrix` is (E(lmax), elements of a coset)."""
    from equiscope.ops.projection import sector_power

    half = matrix.shape[1]
    values = values.to(matrix.dtype)
    return sector_power(matrix @ values[:half], matrix @ values[half:], lmax)


def character_power(bench: Bench) -> Iterator[Row]:
    cases = [
        (8, 16, (4096, 16384, 65536), (torch.float32, torch.float64, torch.bfloat16)),
        (4, 8, (65536,), (torch.float32, torch.float64)),
        (16, 32, (8192,), (torch.float32, torch.float64)),
    ]
    targets = {torch.float32: "7 ns (stretch 4)", torch.float64: "14 ns (stretch 8)", torch.bfloat16: "7 ns"}
    for lmax, degree, counts, dtypes in cases:
        grid = eq.quadrature(degree)
        rotations = grid.rotations[: len(grid) // 2].to(bench.device)
        weights = 2 * grid.weights[: len(grid) // 2].to(bench.device)
        D = torch.cat([part.flatten(1) for part in eq.wigner_D(rotations, lmax)], dim=1)
        matrix = (D * weights[:, None]).T.contiguous()
        del D
        for dtype in dtypes:
            working = torch.float64 if dtype == torch.float64 else torch.float32
            dense = matrix.to(working)
            for channels in counts if not bench.quick else counts[:1]:
                if not bench.on_cuda:
                    channels = 2 * SAMPLE
                nbytes = channels * len(grid) * torch.finfo(dtype).bits // 8
                inputs = [
                    torch.randn(len(grid), channels, device=bench.device).to(dtype) for _ in range(bench.sets(nbytes))
                ]
                u = inputs[0]
                sample = torch.cat([u[:, :SAMPLE], u[:, -SAMPLE:]], dim=1)
                expected = eq.character_power(sample.cpu().double(), grid, lmax)
                found = eq.character_power(u, grid, lmax)
                found = torch.cat([found[..., :SAMPLE], found[..., -SAMPLE:]], dim=-1)
                bound = 2 * tolerance("projection", lmax, working).atol * float(expected.abs().max())
                agree(found, expected, bound)
                calls = [functools.partial(eq.character_power, x, grid, lmax) for x in inputs]
                nbytes += channels * (lmax + 1) * 2 * torch.finfo(working).bits // 8
                target = targets[dtype] if lmax == 8 else "-"
                name = f"character_power L{lmax} {channels}"
                row = bench.row(name, dtype, calls, channels, "channel", nbytes, "read", target)
                try:
                    row.others["in a graph"] = bench.graphed(calls, channels, "channel")
                except RuntimeError as error:
                    row.others["in a graph"] = f"none ({str(error).splitlines()[0][:60]})"
                row.others["dense GEMM"] = bench.other(
                    lambda u=u, dense=dense, l=lmax: functools.partial(_dense_power, u, dense, l), channels, "channel"
                )
                yield row
                del inputs, u, sample, calls


def audit(bench: Bench) -> Iterator[Row]:
    """The whole audit over the bare forward passes on the same copies, ready made."""
    lmax, degree = (2, 4) if not bench.on_cuda else (8, 16)
    batch_rows = 1 << 16
    grid = eq.quadrature(degree)
    molecules = list(zip(demo.names(), demo.load_molecules(), strict=True))
    torch.manual_seed(0)
    models = {"demo": demo.load_model()}
    if bench.on_cuda:
        models["wide"] = PointCloudTransformer(width=256, edge_width=64, heads=8, depth=6).eval()
    rotations = grid.rotations.to(bench.device)
    for name, model in models.items():
        model = model.to(bench.device)
        copies = []
        for _, molecule in molecules:
            positions = molecule["positions"].to(bench.device).double()
            turned = torch.einsum("gij,nj->gni", rotations, positions).float()
            species = molecule["species"].to(bench.device).expand(len(grid), -1)
            step = max(1, batch_rows // len(positions))
            copies += list(zip(turned.split(step), species.split(step), strict=True))

        def bare(model: Any = model, copies: Any = copies) -> None:
            with torch.no_grad():
                for positions, species in copies:
                    model(positions, species)

        def whole(model: Any = model) -> Any:
            report = eq.audit(
                model,
                molecules,
                inputs=demo.INPUTS,
                outputs=demo.REPRESENTATIONS,
                layers=demo.LAYERS,
                lmax=lmax,
                degree=degree,
                batch_rows=batch_rows,
                device=bench.device,
            )
            for result in (*report.outputs.values(), *report.layers.values()):
                total = float(result.pooled_power.sum()) + result.pooled_unresolved
                assert abs(total - result.pooled_total) <= 1e-5 * result.pooled_total, result.name
            return report

        times: dict[str, list[float]] = {"bare": [], "whole": []}
        for turn in range(3 if bench.quick else 6):
            for label, function in (("bare", bare), ("whole", whole)):
                bench.wait()
                began = time.perf_counter()
                function()
                bench.wait()
                if turn:  # the first one fills caches
                    times[label].append(time.perf_counter() - began)
        alone, total = statistics.median(times["bare"]), statistics.median(times["whole"])
        evaluations = len(grid) * len(molecules)
        row = Row(
            f"audit of {name}", "float32", total, evaluations, "copy", 0, "copy", 0.0, 0.0, "1.10 x the bare model"
        )
        row.others = {"total": f"{total:.3f} s", "bare": f"{alone:.3f} s", "ratio": f"{total / alone:.3f}"}
        yield row


CASES = {case.__name__: case for case in (wigner_D, spherical_harmonics, rotate, character_power, audit)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repeats")
    parser.add_argument("--only", default=",".join(CASES), help="cases, joined by commas")
    parser.add_argument("--out", help="file for the table; FILE.json for the numbers")
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    bench = Bench(arguments.device, arguments.quick)
    lines: list[str] = []
    rows: list[Row] = []
    failures: list[str] = []
    environment = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(bench.device) if bench.on_cuda else platform.processor() or "cpu",
        "torch": torch.__version__,
        "toolkit of torch": torch.version.cuda,
        "python": platform.python_version(),
        "equiscope": eq.info(),
        "quick": bench.quick,
        "L2 bytes": bench.cache,
    }

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)
        write()

    def write() -> None:
        if arguments.out:
            with open(arguments.out, "w") as file:
                file.write("\n".join(lines) + "\n")
            record = {"environment": environment, "limits": bench.limits, "rows": [asdict(r) for r in rows]}
            with open(f"{arguments.out}.json", "w") as file:
                json.dump({**record, "failures": failures}, file, indent=1)

    for name in ("date", "device", "torch", "toolkit of torch", "L2 bytes", "quick"):
        say(f"{name}: {environment[name]}")
    bench.measure_limits()
    say("limits: " + ", ".join(f"{name} {rate / 1e9:.0f} GB/s" for name, rate in bench.limits.items()))
    for name in arguments.only.split(","):
        try:
            for row in CASES[name](bench):
                rows.append(row)
                say(row.text())
        except Exception as error:  # the other cases are still worth their time
            failures.append(f"{name}: {type(error).__name__}: {error}")
            say(f"FAILED {failures[-1]}")
        gc.collect()
        if bench.on_cuda:
            torch.cuda.empty_cache()
    if failures:
        raise SystemExit(f"{len(failures)} of the cases failed")


if __name__ == "__main__":
    main()

"""One audit by 1, 2 and 4 processes of gloo on this machine: the same bits, and what sharing costs in CPU time.

    python benches/shared.py [--systems 200] [--width 64]
    python benches/shared.py --systems 1 --rows 24 --degree 16 [--pause 0.05]

The second one is of one system, which is split over its rotations; with a pause each call of the model waits, as it
does for a device, and wall times can be compared. Processes are forked when everything is imported, so
that their start counts for nothing. CPU time is that of all of them together: wall time says nothing where processes
outnumber cores.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import torch

import equiscope as eq
from equiscope.result.files import pack, write

SIZES = (1, 2, 4)
LMAX, DEGREE = 2, 6


class Model(torch.nn.Module):
    """Two layers on every pair of points; how dear it is decides the width."""

    def __init__(self, width: int, pause: float) -> None:
        super().__init__()
        self.pause = pause
        self.inner, self.outer = torch.nn.Linear(6, width), torch.nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        time.sleep(self.pause)
        n = x.shape[-2]
        pairs = torch.cat(
            [x[..., :, None, :].expand(*x.shape[:-1], n, 3), x[..., None, :, :].expand(*x.shape[:-1], n, 3)], -1
        )
        return {"u": self.outer(torch.tanh(self.inner(pairs))).sum((-1, -2, -3))}


def audited(asked: argparse.Namespace, systems: int, directory: Path) -> eq.Audit:
    torch.manual_seed(0)
    model = Model(asked.width, asked.pause)
    data = [{"x": torch.randn(asked.rows or 3 + i % 7, 3)} for i in range(systems)]
    settings = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar"}, "lmax": LMAX, "degree": asked.degree}
    layers = None if asked.no_layers else "inner"
    return eq.audit(model, data, **settings, layers=layers, batch_rows=1024, progress=False, out=directory)


def work(rank: int, size: int, place: Path, asked: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    if size > 1:
        torch.distributed.init_process_group("gloo", init_method=f"file://{place}/store", rank=rank, world_size=size)
    audited(asked, asked.systems, place / "run")
    os._exit(0)  # as it is: what ends with the interpreter is no part of an audit


def seconds(size: int, place: Path, asked: argparse.Namespace) -> tuple[float, float]:
    """CPU of all processes, and wall time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            work(rank, size, place, asked)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * size
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=200)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rows", type=int, help="of every system; by default 3 to 9")
    parser.add_argument("--degree", type=int, default=DEGREE)
    parser.add_argument("--no-layers", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that each call of the model waits")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    # pages and pictures are made once, whoever evaluates
    eq.Audit.save = lambda report, directory, formats: write(Path(directory), pack(report), {}, ())
    with tempfile.TemporaryDirectory() as name:
        audited(asked, min(4, asked.systems), Path(name) / "warm")
        found: dict[int, list[tuple[float, float]]] = {size: [] for size in SIZES}
        first: eq.Audit | None = None
        for repeat in range(asked.repeats):
            for size in SIZES:
                place = Path(name) / f"{size} {repeat}"
                place.mkdir()
                cpu, wall = seconds(size, place, asked)
                found[size].append((cpu, wall))
                report = eq.Audit.load(place / "run")
                first = first or report
                assert torch.equal(report.outputs["u"].power, first.outputs["u"].power)
                assert report.outputs["u"].rmse == first.outputs["u"].rmse and list(report.systems) == list(
                    first.systems
                )
                print(f"{size} processes: {cpu:7.2f} s CPU, {wall:7.2f} s wall", flush=True)
    for i, what in enumerate(("CPU", "wall")):
        least = {size: min(pair[i] for pair in pairs) for size, pairs in found.items()}
        ratios = ", ".join(f"{size}: {own / least[1]:.3f}" for size, own in least.items())
        print(f"{ratios} of the {what} time of one, minima")


if __name__ == "__main__":
    main()

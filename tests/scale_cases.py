"""A cheap model on many systems, audited in a process of its own: run as a script, to be killed."""

from __future__ import annotations

import os
import sys
import time

import torch

import equiscope as eq

SYSTEMS = 40
ASKED = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar", "v": "vector"}, "lmax": 1, "progress": False}
ASKED |= {"layers": "embed", "batch_rows": 900}


class Model(torch.nn.Module):
    """Breaks its symmetry; `pause` seconds in every call, and a line in a file for each system that it meets."""

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__()
        self.embed = torch.nn.Linear(3, 4, dtype=torch.float64)
        with torch.no_grad():
            self.embed.weight.copy_(torch.arange(12.0).reshape(4, 3) / 7)
            self.embed.bias.fill_(0.3)
        self._pause = torch.tensor(pause)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        time.sleep(float(self._pause))
        h = torch.tanh(self.embed(x))
        return {"u": h.sum((-1, -2)), "v": h[..., :3].sum(1)}


def data(count: int = SYSTEMS) -> list[tuple[str, dict[str, torch.Tensor]]]:
    """Of different sizes, some so small that several share a batch."""
    found = []
    for i in range(count):
        generator = torch.Generator().manual_seed(i)
        rows = (1, 3, 2, 1, 5)[i % 5]
        found.append((f"s{i}", {"x": torch.randn(rows, 3, dtype=torch.float64, generator=generator)}))
    return found


def same(one: eq.Audit, other: eq.Audit) -> bool:
    """Whether all numbers are the same bits."""
    results = zip(one.results(), other.results(), strict=True)
    for (name, a), (key, b) in results:
        numbers = (a.power, a.total, a.unresolved, a.power_error), (b.power, b.total, b.unresolved, b.power_error)
        if name != key or not all(torch.equal(x, y) for x, y in zip(*numbers, strict=True)):
            return False
        if name in one.outputs and (a.rmse, a.rmse_error, a.worst.deviation) != (b.rmse, b.rmse_error, b.worst.deviation):
            return False
    return list(one.systems) == list(other.systems) and one.settings["degrees"] == other.settings["degrees"]


def main(directory: str, pause: float) -> None:
    """An audit in a directory, gone on with where there is one; in a process group where torchrun asks for it."""
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        torch.distributed.init_process_group("gloo")
    report = eq.audit(Model(pause), data(), **ASKED, out=directory, resume=True)
    print("done", len(report.systems), report.timings["evaluations"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))

"""Cost of an audit over the cost of the model: PET on ethanol, lmax 8, one thread.

    python benches/bench_audit_pet.py MODEL_F64 [--repeats 3]

Prints the time of the audit (energy, force and 160 features per atom, 3740 rotated copies) over the time of the bare
model on the same copies at the same batch size. The bare model is given its systems ready made. The answer is
asserted first: the orbit's power must sum to its total.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

import equiscope as eq
from equiscope.adapters.base import Piece
from equiscope.adapters.metatomic import MetatomicAdapter

OUTPUTS = ["energy", "non_conservative_force"]
FEATURES = ["feature", "mtt::aux::energy_last_layer_features"]
LMAX, DEGREE = 8, 16


def bare(adapter: MetatomicAdapter, rows: int) -> float:
    """Seconds inside the model alone, for every copy of the grid."""
    grid = eq.quadrature(DEGREE)
    (system,) = adapter.systems()
    step = rows // system.rows
    with torch.no_grad():
        adapter.forward([Piece(system, grid.select(0, 2))])
        before = adapter.model_seconds
        for start in range(0, len(grid), step):
            adapter.forward([Piece(system, grid.select(start, min(start + step, len(grid))))])
    return adapter.model_seconds - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("structures", type=Path)
    parser.add_argument("--name", default="ethanol")
    parser.add_argument("--rows", type=int, default=1152)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = eq.adapters.load_metatomic(arguments.model)
    data = [arguments.structures]
    ratios = []
    for repeat in range(arguments.repeats + 1):
        adapter = MetatomicAdapter(model, data, outputs=OUTPUTS, features=FEATURES, names=[arguments.name])
        alone = bare(adapter, arguments.rows)
        start = time.perf_counter()
        report = eq.audit(
            MetatomicAdapter(model, data, outputs=OUTPUTS, features=FEATURES, names=[arguments.name]),
            data,
            lmax=LMAX,
            degree=DEGREE,
            batch_rows=arguments.rows,
        )
        whole = time.perf_counter() - start
        for result in (*report.outputs.values(), *report.layers.values()):
            total = float(result.pooled_power.sum()) + result.pooled_unresolved
            assert abs(total - result.pooled_total) <= 1e-9 * result.pooled_total
            assert abs(result.pooled_unresolved) <= 1e-6 * result.pooled_total
        if repeat:  # the first pass warms up the TorchScript executor
            ratios.append(whole / alone)
            print(f"bare {alone:.2f} s, audit {whole:.2f} s, ratio {whole / alone:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f} over {arguments.repeats} repeats")


if __name__ == "__main__":
    main()

"""Cost of an audit over the cost of the model: PET on ethanol, lmax 8, one thread.

    python benches/bench_audit_pet.py [--structure ethanol] [--repeats 3]

Prints the time of the audit (energy, force and 160 features per atom, 3740 rotated copies) over the time of the bare
model on the same copies at the same batch size, given ready made: once called as metatomic's `AtomisticModel`, as any
program does, and once as the module inside it, which the audit calls when both agree. The answer is asserted: the power
of every orbit must sum to its total.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import equiscope as eq
from equiscope.adapters.metatomic import MetatomicAdapter
from equiscope.adapters.structures import read_structures

DATA = Path(__file__).parent.parent / "tests" / "data"
OUTPUTS = ["energy", "non_conservative_force"]
FEATURES = ["feature", "mtt::aux::energy_last_layer_features"]
LMAX, DEGREE = 8, 16


def bare(path: Path, adapter: MetatomicAdapter, rows: int, *, wrapped: bool) -> float:
    """Seconds in the model alone, for every copy of the grid."""
    from metatomic.torch import ModelEvaluationOptions, ModelOutput, load_atomistic_model

    model = load_atomistic_model(str(path))
    kinds = {name: "system" if name == "energy" else "atom" for name in (*OUTPUTS, *FEATURES)}
    request = {name: ModelOutput(sample_kind=kind) for name, kind in kinds.items()}
    options = ModelEvaluationOptions(length_unit="angstrom", outputs=request)
    grid = eq.quadrature(DEGREE)
    (system,) = adapter.systems()
    step = rows // system.rows
    seconds = 0.0
    for measured in (False, True):  # the first calls of a TorchScript module compile it
        for start in range(0, len(grid) if measured else 4 * step, step):
            copies = system.payload.copies(grid.select(start, min(start + step, len(grid))), torch.float64)
            began = time.perf_counter()
            with torch.no_grad():
                if wrapped:
                    model(copies, options, check_consistency=False)
                else:
                    model.module(copies, request, None)
            seconds += (time.perf_counter() - began) * measured
    return seconds


def audited(adapter: MetatomicAdapter, rows: int) -> float:
    """Seconds of the whole audit; asserts its answer."""
    start = time.perf_counter()
    report = eq.audit(adapter, None, lmax=LMAX, degree=DEGREE, batch_rows=rows)
    seconds = time.perf_counter() - start
    for result in (*report.outputs.values(), *report.layers.values()):
        total = float(result.pooled_power.sum()) + result.pooled_unresolved
        assert abs(total - result.pooled_total) <= 1e-9 * result.pooled_total
        assert abs(result.pooled_unresolved) <= 1e-5 * result.pooled_total
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=DATA / "pet_model_f64.pt")
    parser.add_argument("--structures", type=Path, default=DATA / "pet_structures.npz")
    parser.add_argument("--structure", default="ethanol")
    parser.add_argument("--rows", type=int, default=1152)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = {s.name: s for s in read_structures(arguments.structures)}[arguments.structure]
    data: dict[str, Any] = {name: getattr(chosen, name) for name in ("types", "positions", "cell", "pbc")}
    adapter = MetatomicAdapter(arguments.model, {chosen.name: data}, outputs=OUTPUTS, features=FEATURES)
    audited(adapter, arguments.rows)
    ratios: dict[str, list[float]] = {"AtomisticModel": [], "module inside": []}
    for _ in range(arguments.repeats):
        whole = audited(adapter, arguments.rows)
        for name, found in ratios.items():
            alone = bare(arguments.model, adapter, arguments.rows, wrapped=name == "AtomisticModel")
            found.append(whole / alone)
            print(f"audit {whole:.2f} s, {name} alone {alone:.2f} s, ratio {whole / alone:.2f}")
    for name, found in ratios.items():
        print(f"audit over {name}: {statistics.median(found):.2f} (median of {len(found)})")


if __name__ == "__main__":
    main()

"""Audits beside the bare model, metatomic's SymmetrizedModel and loops; memory and import time of fresh processes."""

from __future__ import annotations

import functools
import itertools
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from cases import Bound, Call, Case, case

import equiscope as eq
from equiscope import demo

DATA = Path(__file__).parent.parent / "tests" / "data"
MODEL = DATA / "pet_model_f64.pt"
OUTPUTS = ["energy", "non_conservative_force"]
FEATURES = ["feature", "mtt::aux::energy_last_layer_features"]
METATOMIC = "metatomic.torch"


def check_variance(report: eq.Audit, energies: torch.Tensor, grid: eq.Quadrature) -> None:
    """A of the energy against the bare model's energies of all copies, system by system."""
    energies = energies.double().reshape(-1, len(grid))
    mean = energies @ grid.weights
    variance = float(((energies - mean[:, None]).square() @ grid.weights).mean())
    found = report.outputs["energy"].rmse ** 2
    assert abs(found - variance) <= 1e-4 * variance, (found, variance)


def audit_demo(quick: bool) -> Iterator[Case]:
    """The demo transformer with all its layers, beside its forward passes on the same copies, ready made."""
    lmax, rows = (2 if quick else 8), 1024
    model, molecules = demo.load_model(), demo.load_molecules()[: 2 if quick else 4]
    grid = eq.quadrature(max(6, 2 * lmax))
    batches = []
    for molecule in molecules:
        step = max(1, rows // len(molecule["positions"]))
        for start in range(0, len(grid), step):
            R = grid.select(start, min(start + step, len(grid))).float()
            species = molecule["species"].expand(len(R), -1).contiguous()
            batches.append({"positions": (molecule["positions"] @ R.mT).contiguous(), "species": species})

    def bare() -> list[torch.Tensor]:
        with torch.no_grad():
            return [model(**batch)["energy"] for batch in batches]

    def ours() -> eq.Audit:
        settings = {"inputs": demo.INPUTS, "outputs": demo.REPRESENTATIONS, "layers": demo.LAYERS, "batch_rows": rows}
        return eq.audit(model, molecules, lmax=lmax, degree=grid.degree, shift=None, **settings)

    check_variance(ours(), torch.cat(bare()), grid)
    copies = len(grid) * len(molecules)
    found = case(f"audit of the demo transformer, its layers, L{lmax}", "copy", copies, ours, bare=bare)
    found.rounds = 3
    why = "hooks, copies and projection of the hidden values and two rehearsals per system, beside 35 us per copy"
    found.bounds = [Bound("bare", at_most=1.10, why_not=why)]
    yield found


def _pet(names: list[str]) -> Any:
    from equiscope.adapters.metatomic import MetatomicAdapter
    from equiscope.adapters.structures import read_structures

    chosen = [s for s in read_structures(DATA / "pet_structures.npz") if s.name in names]
    data = {s.name: {key: getattr(s, key) for key in ("types", "positions", "cell", "pbc")} for s in chosen}
    return MetatomicAdapter(MODEL, data, outputs=OUTPUTS, features=FEATURES)


def _symmetrized(lmax: int, degree: int, system: Any, report: eq.Audit, module: Any) -> Call:
    """metatomic's own, asked for the same as gave `report`; wrapping the model is part of a request."""
    from metatomic.torch import ModelEvaluationOptions, ModelOutput, load_atomistic_model

    (one,) = system.payload.copies(torch.eye(3, dtype=torch.float64)[None], torch.float64)
    model = load_atomistic_model(str(MODEL))
    kinds = ("average", "variance", "character_projection")
    request = {
        name if kind == "average" else f"o3::{kind}::{name}": ModelOutput(
            sample_kind="system" if name == "energy" else "atom"
        )
        for name in (*OUTPUTS, *FEATURES)
        for kind in (kinds if name in OUTPUTS else kinds[2:])
    }
    options = ModelEvaluationOptions(length_unit="angstrom", outputs=request)

    def call() -> Any:
        wrapped = module.SymmetrizedModel.wrap(
            model,
            max_angular_momentum_target=1,
            max_angular_momentum_character=lmax,
            max_angular_momentum_grid=degree,
            batch_size=128,
        )
        with torch.no_grad():
            return wrapped([one], options, check_consistency=False)

    theirs = float(call()["o3::variance::energy"].block(0).values.reshape(-1)[0])
    assert abs(report.outputs["energy"].rmse ** 2 - theirs) <= 1e-6 * theirs
    return call


def _bare_pet(system: Any, grid: eq.Quadrature, rows: int) -> Call:
    """The model alone, called as its users do, on copies ready made."""
    from metatomic.torch import ModelEvaluationOptions, ModelOutput, load_atomistic_model

    model = load_atomistic_model(str(MODEL))
    request = {n: ModelOutput(sample_kind="system" if n == "energy" else "atom") for n in (*OUTPUTS, *FEATURES)}
    options = ModelEvaluationOptions(length_unit="angstrom", outputs=request)
    copies = system.payload.copies(grid.rotations, torch.float64)
    step = max(1, rows // system.rows)

    def call() -> list[torch.Tensor]:
        with torch.no_grad():
            batches = [copies[start : start + step] for start in range(0, len(copies), step)]
            return [model(b, options, check_consistency=False)["energy"].block().values for b in batches]

    return call


def audit_pet(quick: bool) -> Iterator[Case]:
    """PET, float64, one thread: energy, force and 160 features per atom."""
    lmax, rows = (1 if quick else 8), 1152
    grid = eq.quadrature(max(6, 2 * lmax))
    for name, most, least in (("ethanol", 1.15, 1.6), ("water", 1.3, 5.0)):
        adapter = _pet([name])
        (system,) = adapter.systems()

        def ours(adapter: Any = adapter) -> eq.Audit:
            return eq.audit(adapter, None, lmax=lmax, degree=grid.degree, shift=None, batch_rows=rows)

        bare = _bare_pet(system, grid, rows)
        ours(), bare()  # TorchScript compiles in its first calls
        check_variance(ours(), torch.cat(bare()), grid)
        found = case(f"audit of PET on {name}, L{lmax}", "copy", len(grid), ours, bare=bare)
        found.peer(
            "SymmetrizedModel",
            f"{METATOMIC}.o3",
            functools.partial(_symmetrized, lmax, grid.degree, system, ours()),
        )
        found.bounds = [Bound("bare", at_most=most), Bound("SymmetrizedModel", at_least=least)]
        found.rounds = 1 if quick else 3
        yield found


def audit_pet_l12(quick: bool) -> Iterator[Case]:
    """Ethanol at lmax 12 beside SymmetrizedModel."""
    if quick:
        return
    adapter = _pet(["ethanol"])
    (system,) = adapter.systems()

    def ours() -> eq.Audit:
        return eq.audit(adapter, None, lmax=12, degree=24, shift=None)

    found = case("audit of PET on ethanol, L12", "copy", len(eq.quadrature(24)), ours)
    found.peer("SymmetrizedModel", f"{METATOMIC}.o3", functools.partial(_symmetrized, 12, 24, system, ours()))
    why = "19 parts in 20 are the model on merged copies, so little but the price of its two ways to be called is left"
    found.bounds = [Bound("SymmetrizedModel", at_least=3.0, why_not=why)]
    found.rounds = 1
    yield found


def audit_many(quick: bool) -> Iterator[Case]:
    """Small systems together, beside one audit each."""
    from equiscope.adapters.metatomic import MetatomicAdapter
    from equiscope.adapters.structures import read_structures

    count = 6 if quick else 500
    (water,) = [s for s in read_structures(DATA / "pet_structures.npz") if s.name == "water"]
    shape, g = water.positions.shape, torch.Generator().manual_seed(0)
    data = {
        str(i): {
            "types": water.types,
            "positions": water.positions + 0.02 * torch.randn(shape, generator=g, dtype=torch.float64).numpy(),
            "cell": water.cell,
            "pbc": water.pbc,
        }
        for i in range(count)
    }
    settings: dict[str, Any] = {"lmax": 1, "degree": 6}
    together = MetatomicAdapter(MODEL, data, outputs=OUTPUTS, features=FEATURES)
    singly = [MetatomicAdapter(MODEL, {k: v}, outputs=OUTPUTS, features=FEATURES) for k, v in list(data.items())[:50]]

    def ours() -> eq.Audit:
        report = eq.audit(together, None, **settings)
        assert len(report.systems) == count
        return report

    def loop() -> list[eq.Audit]:
        return [eq.audit(one, None, **settings) for one in singly]

    joint = ours().systems[0].outputs["energy"]["rmse"]
    alone = eq.audit(singly[0], None, **settings).systems[0].outputs["energy"]["rmse"]
    assert abs(joint - alone) <= 1e-6 * abs(alone) + 1e-12
    found = case(f"audit of {count} water molecules, L1", "system", count, ours, loop=loop)
    found.items["loop"] = len(singly)
    why = "the 364 copies of one system fill a batch by themselves; a rehearsal per system takes its share of the time"
    found.bounds = [Bound("loop", at_least=1.3, why_not=why)]
    found.rounds = 1 if quick else 2
    yield found


class PerRow(torch.nn.Module):
    """A perceptron for every row, whose results are added: next to nothing but calls."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        sizes = [3] + [width] * depth
        self.layers = torch.nn.ModuleList(
            torch.nn.Sequential(torch.nn.Linear(before, after), torch.nn.Tanh())
            for before, after in itertools.pairwise(sizes)
        )
        self.head = torch.nn.Linear(width, 1)
        for layer in self.layers:
            # else nothing of the input is left after thirty layers
            torch.nn.init.orthogonal_(layer[0].weight, gain=1.5)

    def forward(self, positions: torch.Tensor) -> dict[str, torch.Tensor]:
        x = positions
        for layer in self.layers:
            x = layer(x)
        return {"energy": self.head(x).sum((-2, -1))}


def audit_cheap(quick: bool) -> Iterator[Case]:
    """Models that cost next to nothing, where what an audit does for each layer and system shows."""
    lmax, batch = (1 if quick else 4), 2048
    grid = eq.quadrature(max(6, 2 * lmax))
    R = grid.rotations.float()
    for systems, rows, depth, most in ((3 if quick else 300, 3, 4, 5.0), (2 if quick else 8, 1, 31, 3.5)):
        torch.manual_seed(0)
        model = PerRow(32, depth).eval()
        data = [{"positions": torch.randn(rows, 3)} for _ in range(systems)]
        copies = torch.cat([(one["positions"] @ R.mT).contiguous() for one in data])
        batches = copies.split(batch // rows)

        def bare(model: PerRow = model, batches: Any = batches) -> torch.Tensor:
            with torch.no_grad():
                return torch.cat([model(each)["energy"] for each in batches])

        def ours(model: PerRow = model, data: Any = data, shift: str | None = "system") -> eq.Audit:
            settings: dict[str, Any] = {"inputs": {"positions": "vector"}, "outputs": {"energy": "scalar"}}
            settings |= {"layers": "layers.*", "degree": grid.degree, "shift": shift, "batch_rows": batch}
            return eq.audit(model, data, lmax=lmax, progress=False, **settings)

        report = ours(shift=None)
        assert len(report.layers) == depth and len(report.systems) == systems
        check_variance(report, bare(), grid)
        name = f"audit of {systems} systems of {rows} rows, {depth} layers of 32, L{lmax}"
        found = case(name, "copy", systems * len(grid), ours, bare=bare)
        found.rounds = 1 if quick else 3
        why = (
            "18 evaluations for checks and some thousand calls of Python and torch per system, beside two of the model"
        )
        found.bounds = [Bound("bare", at_most=most, why_not=why)]
        yield found


# ---- what is no ratio of times ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quantity:
    """A number that is to stay below a bound."""

    name: str
    unit: str
    measure: Callable[[], float]
    at_most: float
    why_not: str = ""


def _script(code: str, *arguments: str) -> float:
    """What a fresh process prints last."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(code)
        file.flush()
        command, here = [sys.executable, file.name, *arguments], Path(__file__).parent
        ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=here)
    return float(ran.stdout.split()[-1])


_IMPORT = """
import sys, time
import torch
began = time.perf_counter()
import equiscope
print(time.perf_counter() - began)
"""

# VmHWM, because ru_maxrss of a child begins with that of its parent
_PEAK = """
import sys
sys.path.insert(0, ".")
import torch, equiscope as eq, end_to_end
torch.set_num_threads(1)
what, lmax = sys.argv[1], int(sys.argv[2])
if what == "demo":
    demo = end_to_end.demo
    molecule = demo.load_molecules()[:1]
    eq.audit(demo.load_model(), molecule, inputs=demo.INPUTS, outputs=demo.REPRESENTATIONS, layers=demo.LAYERS,
             lmax=lmax, degree=2 * lmax)
else:
    adapter = end_to_end._pet(["ethanol"])
    if what == "audit":
        eq.audit(adapter, None, lmax=lmax, degree=2 * lmax, batch_rows=1024)  # as the bare model has it
    else:
        (system,) = adapter.systems()
        grid = eq.quadrature(6)
        end_to_end._bare_pet(system, grid, 1024)()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024)
"""


def _calls_per_system() -> float:
    torch.manual_seed(0)
    model, calls, systems = PerRow(8, 1).eval(), list[int](), 32
    model.register_forward_pre_hook(lambda *given: calls.append(1))
    data = [{"positions": torch.randn(3, 3)} for _ in range(systems)]
    settings: dict[str, Any] = {"inputs": {"positions": "vector"}, "outputs": {"energy": "scalar"}, "degree": 6}
    eq.audit(model, data, lmax=1, progress=False, batch_rows=8 * 3 * len(eq.quadrature(6)), **settings)
    return len(calls) / systems


def quantities(quick: bool) -> Iterator[Quantity]:
    """Memory, import time, calls."""
    repeats = 1 if quick else 5

    def imports() -> float:
        return statistics.median(_script(_IMPORT) for _ in range(repeats))

    yield Quantity("import equiscope after torch", "s", imports, 0.3)
    yield Quantity("calls of the model for each of 32 systems that share batches of 8", "calls", _calls_per_system, 1.5)
    if not quick:
        yield Quantity(
            "peak memory of the audit of PET on ethanol at L12 above the bare model",
            "MB",
            lambda: _script(_PEAK, "audit", "12") - _script(_PEAK, "bare", "12"),
            150,
        )
        yield Quantity("peak memory of the audit of the demo at L24", "MB", lambda: _script(_PEAK, "demo", "24"), 2000)

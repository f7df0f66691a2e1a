"""Every file of examples/ is short, runs, and finds what a loop over random rotations finds, written here by hand.

The loops know nothing of the package: elements come from torch, a system is turned by a product, the model is called as
its authors do, one system at a time. Examples of libraries that the test extra does not bring are slow, and say what to
install.
"""

import functools
import importlib.util
import math
import os
import runpy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LONGEST = 30
ELEMENTS = 200
ERRORS = 4.0
"""Standard errors by which a loop may differ from an audit."""


def elements(group):
    """Uniformly random elements: of O(3) the orthogonal factors of Gaussian matrices."""
    generator = torch.Generator().manual_seed(1)
    if group == "SO2":
        angles = 2 * math.pi * torch.rand(ELEMENTS, dtype=torch.float64, generator=generator)
        g = torch.eye(3, dtype=torch.float64).repeat(ELEMENTS, 1, 1)
        g[:, 0, 0], g[:, 0, 1], g[:, 1, 0], g[:, 1, 1] = angles.cos(), -angles.sin(), angles.sin(), angles.cos()
        return g
    q, r = torch.linalg.qr(torch.randn(ELEMENTS, 3, 3, dtype=torch.float64, generator=generator))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
    return q * torch.linalg.det(q)[:, None, None] if group == "SO3" else q


BACK = {
    "scalar": lambda value, g: value[..., None],
    "vector": lambda value, g: value @ g,
    "tensor": lambda value, g: (g.T @ value @ g).flatten(-2),
    "1x0e+1x1o": lambda value, g: torch.cat([value[..., :1], value[..., 1:] @ g], -1),
}
"""Turns a value that belongs to g x back, with its components along the last axis."""


def loop(example, run):
    """RMSE squared of every output over random elements, and its standard error."""
    kinds = run[example.report].settings["outputs"]
    turned = {}
    for g in elements(example.group):
        for name, values in example.by_hand(run, g).items():
            kind = "tensor" if "voigt" in kinds[name] else kinds[name]
            back = [BACK[kind](value.detach().to(torch.float64), g) for value in values]
            turned.setdefault(name, []).append([value.reshape(-1, value.shape[-1]) for value in back])
    return {name: variance(values) for name, values in turned.items()}


def variance(values):
    """Of `values[element][system]` ``(samples, components)``: pooled over samples, and its standard error."""
    total, error, samples = 0.0, 0.0, 0
    for system in zip(*values, strict=True):
        z = torch.stack(system)
        squares = (z - z.mean(0)).square().mean(-1).sum(-1) * ELEMENTS / (ELEMENTS - 1)
        total += float(squares.mean())
        error += float(squares.var()) / ELEMENTS
        samples += z.shape[1]
    return total / samples, math.sqrt(error) / samples


class Example(NamedTuple):
    by_hand: Callable[[dict[str, Any], torch.Tensor], dict[str, list[torch.Tensor]]]
    """Of the names that the file defines and one element: outputs of all systems, turned by it."""
    verdicts: dict[str, str]
    install: tuple[str, ...] = ()
    """What the test extra does not bring; the module to import, where it has another name, after a colon."""
    group: str = "O3"
    """What the loop draws from. SO3: what the report says of rotations alone is held against it."""
    report: str = "report"
    """The name of the report in the file."""


def moved(points, g):
    return (points.to(torch.float64) @ g.T).to(points.dtype)


def calculated(make, *names):
    """By a calculator of ASE on structures called `key`."""

    def by_hand(run, g, key="structures"):
        values = {name: [] for name in names}
        for atoms in run[key] if isinstance(run[key], list) else [run[key]]:
            turned = atoms.copy()
            turned.set_cell(atoms.cell.array @ g.T.numpy())
            turned.positions = atoms.positions @ g.T.numpy()
            turned.calc = make(run)
            for name in names:
                if name != "stress":
                    values[name].append(torch.tensor(turned.calc.get_property(name, turned)))
                elif turned.pbc.any():
                    values[name].append(torch.tensor(turned.get_stress(voigt=False)))
        return values

    return by_hand


def of(key, function):
    return lambda run, g: function(run, g, key)


def emt(run):
    from ase.calculators.emt import EMT

    return EMT()


def gate_points(run, g):
    one = [{"pos": moved(d["pos"], g), "x": d["x"], "batch": torch.zeros(5, dtype=torch.long)} for d in run["data"]]
    return {"output": [run["model"](system)[0] for system in one]}


def padded_transformer(run, g):
    own = [cloud["points"][~cloud["padding"]] for cloud in run["clouds"]]
    padding = [torch.zeros(1, len(points), dtype=torch.bool) for points in own]
    with torch.no_grad():
        return {"moved": [run["model"](moved(x, g)[None], p)[0] for x, p in zip(own, padding, strict=True)]}


def by_keywords(system, g, key):
    """A batch of one, with the vectors of `key` turned."""
    return {k: moved(v, g)[None] if k == key else v[None] if torch.is_tensor(v) else v for k, v in system.items()}


def lucidrains(first, second):
    def by_hand(run, g):
        returned = [run["model"](**by_keywords(system, g, "coors")) for system in run["data"]]
        values = [r if isinstance(r, dict) else {str(i): v for i, v in enumerate(r)} for r in returned]
        values = [{first: v.get("0"), second: v.get("1")} for v in values]
        return {name: [value[name][0] for value in values] for name in (first, second)}

    return by_hand


def model_output(run, g):
    returned = run["model"](moved(run["clouds"][0]["points"], g)[None])
    return {"logits": [returned.logits[0]], "hidden_states.0": [returned.hidden_states[0][0]]}


def own_gnn(run, g):
    from torch_geometric.data import Batch, Data

    graphs = [Data(pos=moved(data.pos, g), edge_index=data.edge_index) for data in run["graphs"]]
    returned = [run["model"](Batch.from_data_list([graph])) for graph in graphs]
    return {"0": [energy[0] for energy, _ in returned], "1": [forces for _, forces in returned]}


def schnet(run, g):
    molecules = [(torch.tensor(a.numbers), torch.tensor(a.positions).float()) for a in run["molecules"]]
    return {"energy": [run["model"](z, moved(pos, g))[0] for z, pos in molecules]}


def painn(run, g):
    from ase.build import molecule

    returned = []
    for name in ("H2O", "CH3OH"):
        atoms = molecule(name)
        atoms.positions = atoms.positions @ g.T.numpy()
        returned.append(run["potential"](run["convert"](atoms)))
    return {"energy": [r["energy"][0] for r in returned], "forces": [r["forces"] for r in returned]}


def mace(run, g):
    from ase.build import molecule
    from mace.data import AtomicData, config_from_atoms
    from mace.tools.torch_geometric import Batch

    returned = []
    for name in ("H2O", "CH3OH"):
        atoms = molecule(name)
        atoms.positions = atoms.positions @ g.T.numpy()
        data = AtomicData.from_config(config_from_atoms(atoms), z_table=run["elements"], cutoff=4.0)
        returned.append(run["model"](Batch.from_data_list([data]).to_dict()))
    return {"energy": [r["energy"][0] for r in returned], "forces": [r["forces"] for r in returned]}


def chgnet(run, g):
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = run["crystal"].copy()
    atoms.set_cell(atoms.cell.array @ g.T.numpy(), scale_atoms=True)
    graph = run["model"].graph_converter(AseAtomsAdaptor.get_structure(atoms))
    returned = run["model"]([graph], task="efsm")
    return {name: [returned[name][0]] for name in "efsm"}


def sevennet(run, g):
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.train.dataload import unlabeled_atoms_to_graph
    from torch_geometric.data import Batch

    returned = []
    for atoms in run["molecules"]:
        turned = atoms.copy()
        turned.positions = atoms.positions @ g.T.numpy()
        graph = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(turned, 5.0))
        returned.append(run["model"](Batch.from_data_list([graph])))
    names = ("inferred_total_energy", "inferred_force")
    return {name: [r[name][0] if r[name].ndim == 1 else r[name] for r in returned] for name in names}


def pet(run, g):
    from ase.build import molecule
    from metatomic.torch import ModelEvaluationOptions, ModelOutput, systems_to_torch
    from vesin.metatomic import neighbor_lists_for_model

    returned = []
    for name in ("H2O", "CH3CH2OH"):
        atoms = molecule(name)
        atoms.positions = atoms.positions @ g.T.numpy()
        system = systems_to_torch(atoms, dtype=torch.float64)
        for calculator in neighbor_lists_for_model("angstrom", run["exported"]):
            calculator.add_neighbor_list([system])
        options = ModelEvaluationOptions(outputs={"energy": ModelOutput(unit="eV")})
        returned.append(run["exported"]([system], options, check_consistency=False)["energy"].block().values[0])
    return {"energy": returned}


def clouds(run, g):
    returned = [run["model"](moved(system["points"], g)[None]) for system in run["held_out"]]
    return {name: [values[name][0] for values in returned] for name in ("size", "dipole")}


def jets(run, g):
    turned = [torch.cat([jet["p4"][:, :1], moved(jet["p4"][:, 1:], g)], 1) for jet in run["jets"]]
    return {"logits": [run["model"](p4) for p4 in turned]}


PYG = "torch_geometric"
SE3 = ("se3-transformer-pytorch:se3_transformer_pytorch",)
TABLE = {
    "chgnet_calculator": Example(
        of("crystal", calculated(lambda run: run["calculator"], "energy", "forces", "stress", "magmoms")),
        {"energy": "exact", "forces": "exact", "stress": "not as declared", "magmoms": "exact"},
        ("chgnet",),
    ),
    "chgnet_module": Example(chgnet, {"e": "exact", "f": "exact", "s": "not as declared", "m": "exact"}, ("chgnet",)),
    "egnn_network": Example(lucidrains("0", "1"), {"0": "exact", "1": "exact"}, ("egnn-pytorch:egnn_pytorch",)),
    "emt_calculator": Example(
        calculated(emt, "energy", "forces", "stress"), dict.fromkeys(("energy", "forces", "stress"), "exact")
    ),
    "equiformer_network": Example(
        lucidrains("type0", "type1"), {"type0": "exact", "type1": "exact"}, ("equiformer-pytorch:equiformer_pytorch",)
    ),
    "gate_points_e3nn": Example(gate_points, {"output": "exact"}),
    "gfn2_xtb": Example(
        of("ethanol", calculated(lambda run: run["make"](), "energy", "forces", "dipole")),
        dict.fromkeys(("energy", "forces", "dipole"), "exact"),
        ("tblite",),
    ),
    "jet_tagger": Example(jets, {"logits": "breaks"}),
    "jet_tagger, about the beam": Example(jets, {"logits": "exact"}, group="SO2", report="beam"),
    "mace_module": Example(mace, {"energy": "exact", "forces": "exact"}, ("mace-torch:mace",)),
    "model_output": Example(model_output, {"logits": "breaks", "hidden_states.0": "exact"}, ("transformers",)),
    "own_gnn_pyg": Example(own_gnn, {"0": "breaks", "1": "not as declared"}, (PYG,)),
    "padded_transformer": Example(padded_transformer, {"moved": "not as declared"}),
    "painn_schnetpack": Example(painn, {"energy": "exact", "forces": "exact"}, ("schnetpack",)),
    "pet_tokens": Example(pet, {"energy": "breaks"}, ("metatrain",)),
    "schnet_pyg": Example(schnet, {"energy": "exact"}, (PYG,)),
    "se3_network": Example(lucidrains("0", "1"), {"0": "breaks", "1": "breaks"}, SE3),
    "se3_network, rotations": Example(lucidrains("0", "1"), {"0": "breaks", "1": "breaks"}, SE3, group="SO3"),
    "sevennet_calculator": Example(
        of("ethanol", calculated(lambda run: run["calculator"], "energy", "forces")),
        dict.fromkeys(("energy", "forces"), "breaks"),
        ("sevenn",),
    ),
    "sevennet_module": Example(
        sevennet, dict.fromkeys(("inferred_total_energy", "inferred_force"), "breaks"), ("sevenn",)
    ),
    "training_lightning": Example(clouds, {"size": "breaks", "dipole": "breaks"}, ("lightning",)),
    "training_loop": Example(clouds, {"size": "breaks", "dipole": "breaks"}),
}


CASES = [
    pytest.param(name, marks=[pytest.mark.slow] if example.install else [], id=name)
    for name, example in sorted(TABLE.items())
]


def test_every_example_has_its_loop_by_hand_and_is_short():
    files = {path.stem: path for path in EXAMPLES.glob("*.py")}
    assert set(files) == {name.partition(",")[0] for name in TABLE}
    too_long = {name: n for name, path in files.items() if (n := len(path.read_text().splitlines())) > LONGEST}
    assert not too_long
    page = (EXAMPLES.parent / "docs" / "models.md").read_text(encoding="utf-8")
    assert [name for name in sorted(files) if f"../examples/{name}.py" not in page] == []


@functools.cache
def ran(file):
    """The names that an example defines; what it writes goes to a directory that does not stay."""
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        try:
            return runpy.run_path(str(EXAMPLES / f"{file}.py"))
        finally:
            os.chdir(here)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("default")
def test_example_finds_what_a_loop_by_hand_finds(name):
    example = TABLE[name]
    for package in example.install:
        package, _, module = package.partition(":")
        if importlib.util.find_spec(module or package) is None:
            pytest.skip(f"not installed: pip install {package}")
    run = ran(name.partition(",")[0])
    report = run[example.report]
    assert {key: str(report.outputs[key].verdict) for key in example.verdicts} == example.verdicts
    by_hand = loop(example, run)
    assert by_hand.keys() == example.verdicts.keys()
    for key, (squared, error) in by_hand.items():
        output = report.outputs[key]
        if example.group == "SO3":
            assert math.sqrt(squared) <= ERRORS * output.scatter and output.rmse_rotations <= ERRORS * output.scatter
            continue
        uncertain = error / (2 * math.sqrt(squared)) if squared else 0.0
        print(f"{name} {key}: audit {output.rmse:.3g}, by hand {math.sqrt(squared):.3g} +- {uncertain:.1g}")
        if example.verdicts[key] == "exact":
            assert math.sqrt(squared) <= ERRORS * output.scatter
        else:
            assert abs(output.rmse**2 - squared) <= ERRORS * error + 2 * output.rmse * output.rmse_error

"""Symmetrised metatomic models against metatomic's own average, symmetrised ASE calculators against differences."""

import itertools

import ase
import numpy as np
import pet_reference as pet
import pytest
import torch
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from metatomic.torch import System
from toy_atomistic import toy

import equiscope as eq
from equiscope.adapters.structures import read_structures
from equiscope.errors import ArgumentError

F64 = torch.float64
STRUCTURES = {structure.name: structure for structure in read_structures(pet.STRUCTURES)}
STENCIL = ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12))
"""Steps and weights of a derivative that is right to fourth order."""


def system_of(name, **changed):
    own = STRUCTURES[name]
    given = {"positions": torch.tensor(own.positions), "cell": torch.tensor(own.cell), **changed}
    return System(torch.tensor(own.types, dtype=torch.int32), given["positions"], given["cell"], torch.tensor(own.pbc))


@pytest.fixture(scope="module")
def trained():
    """A trained PET without gradients of its weights."""
    from metatomic.torch import load_atomistic_model

    model = load_atomistic_model(pet.MODEL)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


# -- metatomic ------------------------------------------------------------------------------------------------


def test_averages_and_variances_of_a_trained_model_equal_those_of_metatomic(trained):
    name = "cell"
    outputs = [output for output in pet.outputs(name) if "mtt::" not in output]
    sym = eq.symmetrize(trained, outputs=outputs, degree=pet.DEGREE, seed=None, batch=114)
    found = sym.with_spread(system_of(name))
    for output in outputs:
        mean, variance = pet.reference(name, "mean", output), pet.total_variance(name, output)
        assert pet.relative_difference(found.outputs[output].block().values, mean) < 1e-10
        assert pet.relative_difference(found.variance[output], variance) < 1e-10


def test_gradients_of_the_averaged_energy_are_its_differences(trained):
    own = {key: torch.tensor(getattr(STRUCTURES["cell"], key)).requires_grad_() for key in ("positions", "cell")}
    sym = eq.symmetrize(trained, outputs="energy", degree=1)
    strain = torch.zeros(3, 3, dtype=F64, requires_grad=True)
    deformed = {key: x + x @ strain for key, x in own.items()}
    energy = sym(system_of("cell", **deformed))["energy"].block().values.sum()
    by_positions, by_strain = torch.autograd.grad(energy, [own["positions"], strain])

    def energy_at(shift, deformation):
        moved = {key: x.detach() @ (torch.eye(3, dtype=F64) + deformation) for key, x in own.items()}
        moved["positions"] = moved["positions"] + shift
        with torch.no_grad():
            return float(sym(system_of("cell", **moved))["energy"].block().values.sum())

    h, still = 4e-4, torch.zeros(3, 3, dtype=F64)
    shift, deformation = torch.zeros_like(by_positions), still.clone()
    shift[2, 1] = h
    deformation[0, 2] = h
    force = sum(w * energy_at(k * shift, still) for k, w in STENCIL) / h
    stress = sum(w * energy_at(0 * shift, k * deformation) for k, w in STENCIL) / h
    assert force == pytest.approx(float(by_positions[2, 1]), abs=1e-8)
    assert stress == pytest.approx(float(by_strain[0, 2]), abs=1e-8)


def test_irreps_in_blocks_and_several_systems_keep_their_labels():
    water, ethanol = system_of("water"), system_of("ethanol")
    model = toy()
    names = ["energy", "non_conservative_force", "toy::multipoles"]
    sym = eq.symmetrize(model, outputs=names, degree=2)
    found = sym.with_spread([water, ethanol])
    multipoles = found.outputs["toy::multipoles"]
    exact = model.module._multipoles([water, ethanol], None)
    assert multipoles.keys == exact.keys and found.spread["toy::multipoles"].max() < 1e-13
    for ours, theirs in zip(multipoles.blocks(), exact.blocks(), strict=True):
        assert ours.samples == theirs.samples and ours.components == theirs.components
        torch.testing.assert_close(ours.values, theirs.values)
    # r (1 + x / 10): what breaks it changes the sign under inversion, and is gone from the average
    force = found.outputs["non_conservative_force"].block()
    torch.testing.assert_close(force.values[:, :, 0], torch.cat([water.positions, ethanol.positions]))
    alone = [sym(system)["energy"].block().values for system in (water, ethanol)]
    torch.testing.assert_close(found.outputs["energy"].block().values, torch.cat(alone))


def test_atoms_and_weights_are_taken_too():
    model = toy()
    model.module.mix.weight.requires_grad_()  # metatomic freezes what it wraps
    sym = eq.symmetrize(model, outputs=["feature"], degree=2)
    own = STRUCTURES["water"]
    value = sym(ase.Atoms(own.types, own.positions))["feature"].block().values
    assert value.shape == (3, 4) and float(value.detach().abs().max()) < 1e-14
    sym.with_spread(system_of("water")).variance["feature"].sum().backward()
    # 4 channels of (x + y) / 2 have sum |r|^2 / 6
    expected = 4 * torch.tensor(own.positions).square().sum() / 6 * 2
    torch.testing.assert_close((model.module.mix.weight.grad * model.module.mix.weight).sum(), expected)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"outputs": ["dipole"]}, "outputs: .*energy.*'dipole'"),
        ({"inputs": {"positions": "vector"}}, "inputs: expected nothing: a metatomic model knows"),
        ({"batching": "stack"}, "batching: expected nothing"),
        ({"group": eq.groups.SO2(axis="field")}, r"group: expected one axis .*got SO2\(field\)"),
    ],
)
def test_what_a_metatomic_model_has_no_use_for_is_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        eq.symmetrize(toy(), **settings)


def test_outputs_that_state_no_representation_are_refused():
    with pytest.raises(ArgumentError, match=r"outputs\['toy::octupole'\].*xyz_3"):
        eq.symmetrize(toy(), outputs=["toy::octupole"], degree=1)(system_of("water"))


# -- ASE ------------------------------------------------------------------------------------------------------


class Broken(Calculator):
    """Pairs, and a field that makes energy, forces and stress depend on the orientation."""

    implemented_properties = ("energy", "forces", "stress", "dipole", "magmoms", "wild_energy")

    def __init__(self, stress="voigt", field=0.3, only=None):
        super().__init__()
        self.layout, self.field, self.only = stress, field, only

    def energy(self, positions, cell):
        near = (-1, 0, 1) if cell.any() else (0,)
        images = torch.tensor(list(itertools.product(near, repeat=3)), dtype=F64) @ cell
        pairs = positions[:, None, None] - positions[None, :, None] + images
        square = pairs.square().sum(-1)
        bond = torch.exp(-0.5 * square) - 1.5 * torch.exp(-0.25 * square)
        return (bond * (1 + self.field * torch.tanh(pairs[..., 0] ** 2 - pairs[..., 1] * pairs[..., 2]))).sum()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        positions = torch.tensor(atoms.positions, requires_grad=True)
        strain = torch.zeros(3, 3, dtype=F64, requires_grad=True)
        cell = torch.tensor(np.asarray(atoms.cell))
        energy = self.energy(positions + positions @ strain, cell + cell @ strain)
        gradient, virial = torch.autograd.grad(energy, [positions, strain])
        stress = (virial + virial.mT) / 2 / max(atoms.cell.volume, 1.0)
        if self.layout == "voigt":
            stress = stress.flatten()[[0, 4, 8, 5, 2, 1]]
        self.results = {
            "energy": float(energy.detach()),
            "forces": -gradient.numpy(),
            "stress": stress.numpy(),
            "dipole": atoms.positions.sum(0),
            "magmoms": np.ones(len(atoms)),
            "wild_energy": np.ones(len(atoms)),
        }
        if self.only:
            self.results = {name: self.results[name] for name in self.only}


def crystal():
    rng = np.random.default_rng(5)
    cell = 4.5 * np.eye(3) + 0.4 * rng.normal(size=(3, 3))
    return ase.Atoms("H3", rng.normal(size=(3, 3)), cell=cell, pbc=True)


def cluster(n=4):
    return ase.Atoms(f"H{n}", 1.2 * np.random.default_rng(3).normal(size=(n, 3)))


def test_forces_and_stress_are_derivatives_of_the_averaged_energy():
    atoms = crystal()
    atoms.calc = eq.symmetrize(Broken(), degree=1)
    forces, stress, h = atoms.get_forces(), atoms.get_stress(voigt=False), 1e-3
    # what the calculator itself breaks is large, so that the average is put to the test
    assert atoms.calc.spread["forces"].min() > 0.01 and np.abs(forces).max() > 0.01

    def energy(displacement, strain):
        moved = atoms.copy()
        moved.set_cell(np.asarray(atoms.cell) @ (np.eye(3) + strain), scale_atoms=True)
        moved.positions += displacement
        moved.calc = atoms.calc
        return moved.get_potential_energy()

    for axis in (0, 2):
        displacement, strain = np.zeros((3, 3)), np.zeros((3, 3))
        displacement[1, axis] = h
        strain[axis, 2] = strain[2, axis] = h
        by_position = sum(w * energy(k * displacement, 0) for k, w in STENCIL) / h
        by_strain = sum(w * energy(0, k * strain) for k, w in STENCIL) / h / atoms.cell.volume
        assert forces[1, axis] == pytest.approx(-by_position, abs=1e-8)
        assert stress[axis, 2] * (1 if axis == 2 else 2) == pytest.approx(by_strain, abs=1e-8)


def test_the_average_turns_with_the_atoms():
    atoms = cluster()
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=F64))[0].numpy()
    turned = atoms.copy()
    turned.positions = atoms.positions @ rotation.T
    off = {}
    for name, calculator in (("bare", Broken()), ("average", eq.symmetrize(Broken(), degree=5))):
        atoms.calc = turned.calc = calculator
        before = atoms.get_potential_energy(), atoms.get_forces()
        after = turned.get_potential_energy(), turned.get_forces()
        off[name] = np.array([abs(after[0] - before[0]), np.abs(after[1] - before[1] @ rotation.T).max()])
    assert (off["average"] < 0.03 * off["bare"]).all()


def test_an_exact_calculator_is_left_as_it_is():
    atoms = ase.Atoms("Cu4", 2.4 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.1, 0, 1]]))
    atoms.calc = EMT()
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    atoms.calc = eq.symmetrize(EMT(), degree=2)
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-12)
    assert atoms.calc.spread["energy"] < 1e-12 and atoms.calc.spread["forces"].max() < 1e-12


def test_stress_comes_in_the_layout_of_the_calculator():
    atoms = crystal()
    found = {}
    for layout in ("voigt", "matrix"):
        calculator = eq.symmetrize(Broken(layout), degree=1)
        calculator.calculate(atoms, ["stress"], all_changes)
        found[layout] = calculator.results["stress"], calculator.spread["stress"]
    (voigt, spread), (matrix, other) = found["voigt"], found["matrix"]
    assert voigt.shape == (6,) and matrix.shape == (3, 3)
    np.testing.assert_allclose(matrix.flat[[0, 4, 8, 5, 2, 1]], voigt, atol=1e-14)
    assert spread == pytest.approx(other)


def test_magnetic_moments_of_atoms_turn_as_axial_vectors():
    class Spin(Calculator):
        implemented_properties = ("energy", "magmoms")

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            moments = atoms.get_initial_magnetic_moments()
            # a triple product with one axial vector changes its sign under inversion
            self.results = {"energy": float(moments[0] @ atoms.positions[1]), "magmoms": moments}

    atoms = cluster(2)
    atoms.set_initial_magnetic_moments(np.random.default_rng(0).normal(size=(2, 3)))
    atoms.calc = eq.symmetrize(Spin(), degree=2)
    with pytest.warns(UserWarning, match=r"energy: of 'scalar' nothing is left"):
        assert abs(atoms.get_potential_energy()) < 1e-14
    np.testing.assert_allclose(atoms.get_magnetic_moments(), atoms.get_initial_magnetic_moments(), atol=1e-14)
    atoms.calc = eq.symmetrize(Spin(), degree=2, group="SO3")
    expected = atoms.get_initial_magnetic_moments()[0] @ atoms.positions[1]
    assert atoms.get_potential_energy() == pytest.approx(expected)
    assert atoms.calc.spread["energy"] < 1e-14


@pytest.mark.parametrize(
    ("name", "kind"),
    [("momenta", "vector"), ("velocities", "vector"), ("initial_magmoms", "pseudovector"), ("tags", None)],
)
def test_the_spread_is_what_an_audit_finds_of_whatever_atoms_carry(name, kind):
    class Carried(Calculator):
        """Is invariant, but for a small term that knows an axis of space, where what it reads turns as it should."""

        implemented_properties = ("energy",)

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            own = atoms.arrays[name] if kind else atoms.arrays[name][:, None] * [1.0, 2.0, 3.0]
            around = np.cross(atoms.positions[0], own[1]) if kind == "pseudovector" else own[1]
            self.results = {"energy": float(around @ atoms.positions[2] + 0.1 * np.tanh(atoms.positions[1, 2] ** 2))}

    atoms = cluster(3)
    atoms.set_array(name, np.random.default_rng(2).normal(size=(3, 3)) if kind else np.array([1, 2, 3]))
    report = eq.audit(Carried(), atoms, lmax=1, degree=4, shift=None, progress=False)
    atoms.calc = eq.symmetrize(Carried(), degree=4, seed=None)
    energy = atoms.get_potential_energy()
    assert atoms.calc.spread["energy"] == pytest.approx(report.outputs["energy"].rmse, rel=1e-10)
    by_hand = []
    for rotation in eq.quadrature(4).rotations.numpy():
        turned = atoms.copy()
        turned.positions = atoms.positions @ rotation.T
        if kind:
            sign = np.linalg.det(rotation) if kind == "pseudovector" else 1.0
            turned.arrays[name] = sign * atoms.arrays[name] @ rotation.T
        turned.calc = Carried()
        by_hand.append(turned.get_potential_energy())
    by_hand, weights = np.array(by_hand), eq.quadrature(4).weights.numpy()
    assert energy == pytest.approx(by_hand @ weights, rel=1e-10)
    assert atoms.calc.spread["energy"] == pytest.approx(((by_hand - energy) ** 2 @ weights) ** 0.5, rel=1e-10)


def test_atoms_and_cell_relax_on_the_average():
    atoms = crystal()
    atoms.calc = eq.symmetrize(Broken(), group="SO3", degree=1)
    start = atoms.get_potential_energy()
    with BFGS(FrechetCellFilter(atoms), logfile=None) as relaxation:
        relaxation.run(fmax=1e-3, steps=12)
    assert atoms.get_potential_energy() < start


def test_results_are_what_ase_knows_and_can_be_handed_on():
    atoms = cluster()
    atoms.calc = eq.symmetrize(Broken(), degree=1, outputs=["energy", "forces", "dipole"])
    atoms.get_potential_energy()
    copied = SinglePointCalculator(atoms, **atoms.calc.results)
    np.testing.assert_array_equal(copied.results["forces"], atoms.get_forces())
    assert set(atoms.calc.results) == set(atoms.calc.spread) == {"energy", "forces", "dipole"}
    assert isinstance(atoms.calc.results["energy"], float) and atoms.calc.spread["forces"].shape == (4,)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()
    atoms.calc.reset()
    assert not atoms.calc.results and not atoms.calc.spread


def test_random_elements_stay_the_same_and_have_an_error():
    atoms, few, many = cluster(), *(eq.symmetrize(Broken(), rotations=n, seed=2) for n in (20, 100))
    energies, errors = [], []
    for calculator in (few, many, eq.symmetrize(Broken(), degree=5)):
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        errors.append(calculator.error and calculator.error["energy"])
        calculator.reset()
        assert atoms.get_potential_energy() == energies[-1]
    assert errors[2] is None and errors[1] < 0.7 * errors[0]
    assert all(abs(energy - energies[2]) < 4 * error for energy, error in zip(energies[:2], errors[:2], strict=True))


def test_constraints_hold_the_atoms_and_not_the_copies():
    from ase.constraints import FixAtoms

    atoms = cluster()
    atoms.calc = eq.symmetrize(Broken(), degree=1)
    free = atoms.get_forces()
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc.reset()
    np.testing.assert_array_equal(atoms.get_forces(apply_constraint=False), free)
    assert not atoms.get_forces()[0].any() and atoms.get_forces()[1:].any()


def test_properties_are_those_whose_representation_is_known_or_said():
    assert "wild_energy" not in eq.symmetrize(Broken(), degree=1).implemented_properties
    said = eq.symmetrize(Broken(), degree=1, outputs={"wild_energy": "scalar"})
    said.calculate(cluster(), ["wild_energy"])
    np.testing.assert_allclose(said.results["wild_energy"], np.ones(4))
    absent = eq.symmetrize(Broken(only=["energy"]), degree=1)
    with pytest.raises(PropertyNotImplementedError, match="forces not present"):
        absent.get_property("forces", cluster())
    assert absent.get_property("energy", cluster()) and set(absent.results) == {"energy"}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"outputs": ["wild_energy"]}, "outputs: expected properties of the calculator.*'wild_energy'"),
        ({"outputs": "charges"}, "outputs: .*'charges'"),
        ({"inputs": {"positions": "vector"}}, "inputs: expected nothing: an ASE calculator knows"),
        ({"batch": 4}, "batch: expected nothing"),
        ({"group": eq.groups.SO2(axis="field")}, r"group: expected one axis .*got SO2\(field\)"),
    ],
)
def test_what_a_calculator_has_no_use_for_is_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        eq.symmetrize(Broken(), **settings)

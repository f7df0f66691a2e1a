"""Calculators of ASE are audited as they are: nothing is declared that can be read off."""

import functools
import subprocess
import sys
from pathlib import Path

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.calculators.calculator import BaseCalculator, Calculator, PropertyNotImplementedError, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import SumCalculator
from ase.calculators.morse import MorsePotential
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.stress import full_3x3_to_voigt_6_stress

import equiscope as eq
from equiscope.adapters import kind_of
from equiscope.adapters.calculators import CalculatorAdapter
from equiscope.adapters.structures import read_structures
from equiscope.errors import ArgumentError, DTypeError, ModelError, ShapeError

FAST = {"lmax": 1, "degree": 4, "progress": False}
EXACT = {"exact", "vanishes"}


def crystal():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    return atoms


def cluster(seed=0, n=5):
    return ase.Atoms(f"Cu{n}", positions=np.random.default_rng(seed).normal(scale=2.0, size=(n, 3)))


def verdicts(report):
    return {name: output.verdict.value for name, output in report.outputs.items()}


class Tensors(Calculator):
    """Closed expressions in r, the positions about their mean: a value of every kind that transforms as it should."""

    values = {  # noqa: RUF012
        "energy": lambda r: (r**2).sum() ** 0.5,
        "energies": lambda r: (r**2).sum(1),
        "forces": lambda r: r * (r**2).sum(1, keepdims=True),
        "stress": lambda r: full_3x3_to_voigt_6_stress(r.T @ r),
        "stresses": lambda r: np.stack([full_3x3_to_voigt_6_stress(np.outer(d, d)) for d in r]),
        "dipole": lambda r: r[0] * 2.0,
        "charges": lambda r: r @ r[0],
        "magmom": lambda r: (r**4).sum() * 0 + np.linalg.norm(r[1]),
        "magmoms": lambda r: np.cross(r, r[0]),
        "dielectric_tensor": lambda r: np.outer(r[0], r[1]),
        "born_effective_charges": lambda r: r[:, :, None] * r[:, None, :],
        "handedness": lambda r: np.linalg.det(r[:3]),
    }
    implemented_properties = list(values)  # noqa: RUF012
    made = calculated = 0

    def __init__(self, **others):
        super().__init__()
        type(self).made += 1
        self.own = {**self.values, **others}

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        type(self).calculated += 1
        r = atoms.positions - atoms.positions.mean(0)
        self.results = {name: value(r) for name, value in self.own.items()}


@pytest.fixture(autouse=True)
def counted_from_zero():
    Tensors.made = Tensors.calculated = 0


# -- outputs -----------------------------------------------------------------------------------------------------------


def test_every_property_is_audited_as_what_it_is_and_in_the_units_of_ase():
    report = eq.audit(Tensors(), cluster(), **FAST)
    kinds = {name: output.representation for name, output in report.outputs.items()}
    assert kinds == {
        "energy": "scalar",
        "energies": "scalar",
        "forces": "vector",
        "stress": "voigt",
        "stresses": "voigt",
        "dipole": "vector",
        "charges": "scalar",
        "magmom": "scalar",
        "magmoms": "pseudovector",
        "dielectric_tensor": "tensor",
        "born_effective_charges": "tensor",
    }
    assert all(output.relative < 1e-13 for output in report.outputs.values())
    assert {name: output.samples for name, output in report.outputs.items() if output.samples != 1} == dict.fromkeys(
        ("energies", "forces", "stresses", "charges", "magmoms", "born_effective_charges"), 5
    )
    assert report.outputs["forces"].unit == "eV/A" and report.outputs["energy"].unit == "eV"
    assert any("`handedness`" in warning and "outputs={'handedness'" in warning for warning in report.warnings)


def test_outputs_are_chosen_by_name_or_declared():
    assert list(eq.audit(Tensors(), cluster(), outputs=["forces"], **FAST).outputs) == ["forces"]
    assert list(eq.audit(Tensors(), cluster(), outputs="energy", **FAST).outputs) == ["energy"]
    declared = {"handedness": "pseudoscalar", "energy": "scalar"}
    assert verdicts(eq.audit(Tensors(), cluster(), outputs=declared, **FAST)) == dict.fromkeys(declared, "exact")


@pytest.mark.parametrize(("model", "data"), [(EMT, crystal), (LennardJones, cluster), (MorsePotential, cluster)])
def test_potentials_of_ase_are_exact(model, data):
    report = eq.audit(model(), data(), **FAST)
    assert {"energy", "forces"} <= set(report.outputs) and set(verdicts(report).values()) <= EXACT
    assert report.outputs["forces"].relative < 1e-12


def broken(r):
    """A dipole that knows an axis of space."""
    return r[0] * (1 + 0.3 * np.tanh(r[1, 2]))


def test_a_planted_break_is_what_a_loop_by_hand_finds():
    atoms = cluster()
    report = eq.audit(Tensors(dipole=broken), atoms, outputs=["dipole", "forces"], lmax=2, degree=10, progress=False)
    elements = eq.random_rotations(1000, generator=torch.Generator().manual_seed(1)).numpy()
    elements *= np.where(np.arange(1000) % 2, -1.0, 1.0)[:, None, None]
    calculator, turned_back = Tensors(dipole=broken), []
    for g in elements:
        copy = atoms.copy()
        copy.positions = atoms.positions @ g.T
        copy.calc = calculator
        turned_back.append(copy.get_dipole_moment() @ g)
    squared = ((np.array(turned_back) - np.mean(turned_back, 0)) ** 2).mean(1)
    rmse, error = np.sqrt(squared.mean()), squared.std() / len(squared) ** 0.5 / (2 * np.sqrt(squared.mean()))
    found = report.outputs["dipole"]
    assert abs(found.rmse - rmse) < 4 * error + found.rmse_error
    assert error < 0.03 * rmse and found.verdict.value == "breaks"
    assert report.outputs["forces"].verdict.value == "exact"


def test_a_stress_is_taken_as_six_numbers_or_as_a_matrix():
    def matrix(r):
        return r.T @ r * (1 + 0.3 * np.tanh(r[1, 2]))

    six = Tensors(stress=lambda r: full_3x3_to_voigt_6_stress(matrix(r)))
    nine = Tensors(stress=matrix)
    one, other, declared = (
        eq.audit(calculator, cluster(), outputs=outputs, **FAST).outputs["stress"]
        for calculator, outputs in ((six, ["stress"]), (nine, ["stress"]), (nine, {"stress": "voigt"}))
    )
    assert (one.representation, other.representation) == ("voigt", "tensor")
    assert other.rmse == pytest.approx(one.rmse, rel=1e-12) and declared.rmse == pytest.approx(one.rmse, rel=1e-12)
    full = eq.audit(six, cluster(), outputs={"stress": "tensor"}, **FAST).outputs["stress"]
    assert full.rmse == pytest.approx(other.rmse, rel=1e-12)
    lopsided = Tensors(stress=lambda r: np.outer(r[0], r[1]))
    with pytest.raises(ShapeError, match=r"stress.*symmetric matrix.*'tensor'"):
        eq.audit(lopsided, cluster(), outputs={"stress": "voigt"}, **FAST)


def test_a_property_that_structures_lack_is_measured_where_it_is_and_asked_for_once():
    report = eq.audit(EMT(), [molecule("H2O"), crystal()], **FAST)
    assert not report.failures and len(report.systems) == 2
    assert "`stress` is given by 1 of 2 systems, and measured on these alone" in report.warnings
    assert report.outputs["stress"].verdict.value == "exact"
    assert "stress" not in report.systems[0].outputs

    (note,) = [note for note in report.notes if "magmoms" in note]
    assert note == "`magmoms` is given by none of 2 systems" and not any("magmom" in said for said in report.warnings)

    class Without(Tensors):
        def calculate(self, *arguments):
            super().calculate(*arguments)
            self.results = {name: self.results[name] for name in ("energy", "forces")}

    Tensors.calculated = 0
    timings = eq.audit(Without(), cluster(), **FAST).timings
    # a property that is not there costs a calculation: at the first look, and at the first copy
    assert Without.calculated <= timings["evaluations"] + 2 * len(Tensors.values)


class Moments(Tensors):
    """Moments of atoms that have some to begin with, of the same form."""

    implemented_properties = ["energy", "magmoms"]  # noqa: RUF012

    def calculate(self, atoms=None, *rest):
        super().calculate(atoms, *rest)
        self.results = {"energy": self.results["energy"]}
        if "initial_magmoms" in atoms.arrays:
            self.results["magmoms"] = 0.9 * atoms.arrays["initial_magmoms"]


def magnets():
    """Atoms without moments, with moments along one axis, and with moments of three components: three of each."""
    bare, along, free = (cluster(seed, 3) for seed in range(3))
    along.arrays["initial_magmoms"] = np.array([0.5, 1.0, 1.5])
    free.arrays["initial_magmoms"] = np.random.default_rng(0).normal(size=(3, 3))
    return bare, along, free


def test_a_property_is_what_the_first_structure_that_has_it_says():
    bare, along, free = magnets()
    for data, kind in (((bare, bare, free), "pseudovector"), ((free, bare), "pseudovector"), ((bare, along), "scalar")):
        report = eq.audit(Moments(), list(data), **FAST)
        found = report.outputs["magmoms"]
        assert (found.representation, found.verdict.value) == (kind, "exact") and not report.failures
        assert f"`magmoms` is given by 1 of {len(data)} systems, and measured on these alone" in report.warnings


@pytest.mark.parametrize("outputs", [None, ["energy", "magmoms"], {"energy": "scalar", "magmoms": "declared"}])
def test_a_value_of_another_form_is_no_value_of_that_property(outputs):
    _, along, free = magnets()
    for data, kind, got in (((along, free), "scalar", "atoms, 3"), ((free, along), "pseudovector", "atoms,")):
        own = {**outputs, "magmoms": kind} if isinstance(outputs, dict) else outputs
        report = eq.audit(Moments(), list(data), outputs=own, **FAST)
        (failure,) = report.failures
        assert (
            failure.system == "structure@1" and f"taken for '{kind}', of every structure, got ({got})" in failure.reason
        )
        assert [row.name for row in report.systems] == ["structure@0"]
        assert report.outputs["magmoms"].verdict.value == "exact"


def test_three_numbers_for_three_atoms_are_no_vector():
    _, along, _ = magnets()
    with pytest.raises(
        ModelError, match=r"magmoms: expected an axis of atoms before.*'pseudovector', got shape \(3,\)"
    ):
        eq.audit(Moments(), along, outputs={"magmoms": "pseudovector"}, **FAST)
    along.calc = eq.symmetrize(Moments(), degree=1, outputs={"magmoms": "pseudovector"})
    with pytest.raises(ModelError, match=r"magmoms: expected an axis of atoms"):
        along.get_magnetic_moments()


def test_what_has_another_shape_than_its_name_says_is_left_out_in_words():
    report = eq.audit(Tensors(energies=lambda r: np.ones(2)), cluster(), **FAST)
    assert "energies" not in report.outputs
    assert any("`energies` is no value per atom" in warning for warning in report.warnings)


# -- one calculator, or many -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Tensors, functools.partial(Tensors, dipole=broken), lambda: Tensors()])
def test_what_makes_calculators_is_called_for_every_copy(make):
    report = eq.audit(make, cluster(), **FAST)
    # one to look at, one for its first look
    assert Tensors.made == report.timings["evaluations"] + 2
    assert report.settings["calculators"] == "a new one for every copy"


def test_one_calculator_calculates_every_copy_and_keeps_nothing():
    calculator = Tensors()
    report = eq.audit(calculator, cluster(), **FAST)
    assert Tensors.made == 1 and Tensors.calculated == report.timings["evaluations"] + 1
    assert report.settings["calculators"] == "one for all copies"
    assert not any("hand over its class" in warning for warning in report.warnings)


class Warm(Tensors):
    """Starts from where its last calculation ended, as a self-consistent field does, and `reset` does not help."""

    last = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        forces = self.results["forces"]
        self.results["forces"] = forces if self.last is None else forces + 1e-4 * (self.last - forces)
        self.last = forces


def test_what_a_calculator_remembers_is_measured_and_said_with_what_helps():
    report = eq.audit(Warm(), cluster(), outputs=["energy", "forces"], **FAST)
    assert verdicts(report) == {"energy": "exact", "forces": "stochastic"}
    (warning,) = report.warnings
    assert warning.startswith("`forces`: one calculator made all of these") and "lambda: Calculator(...)" in warning
    fresh = eq.audit(Warm, cluster(), outputs=["energy", "forces"], **FAST)
    assert verdicts(fresh) == {"energy": "exact", "forces": "exact"} and not fresh.warnings


class Reused(BaseCalculator):
    """Hands out the same array every time, writes into what it is given, and has no `reset`."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.buffer = np.zeros((5, 3))

    def calculate(self, atoms, properties, system_changes):
        self.buffer[:] = atoms.positions - atoms.positions.mean(0)
        self.results = {"energy": np.float32(np.square(self.buffer).sum()), "forces": self.buffer}
        atoms.positions[:] = 0.0
        atoms.info["list"].append(1)


def test_nothing_is_shared_by_copies_or_with_the_user():
    atoms = cluster()
    atoms.info["list"] = []
    before = atoms.positions.copy()
    report = eq.audit(Reused(), atoms, **FAST)
    assert report.outputs["forces"].verdict.value == "exact"
    assert (atoms.positions == before).all() and atoms.info["list"] == []


def test_calculators_made_of_calculators_are_calculators():
    report = eq.audit(SumCalculator([LennardJones(), MorsePotential()]), cluster(), outputs=["energy"], **FAST)
    assert report.outputs["energy"].relative < 1e-12


# -- inputs ------------------------------------------------------------------------------------------------------------


class Keeps(Tensors):
    seen: list = []  # noqa: RUF012

    def calculate(self, atoms=None, *rest):
        super().calculate(atoms, *rest)
        self.seen.append(atoms.copy())


def test_cell_and_positions_turn_together_and_left_handed_cells_are_handed_on():
    atoms = crystal()
    atoms.positions[0] -= 7.0  # outside of the cell
    Keeps.seen.clear()
    eq.audit(Keeps(), atoms, outputs=["energy"], **FAST)
    assert all(copy.pbc.all() for copy in Keeps.seen)
    scaled = [copy.cell.scaled_positions(copy.positions) for copy in Keeps.seen]
    displaced = [one for one in scaled if not np.allclose(one, atoms.cell.scaled_positions(atoms.positions))]
    assert len(displaced) == 1  # whether the energy depends on what is turned
    assert {np.sign(np.linalg.det(copy.cell)) for copy in Keeps.seen} == {1.0, -1.0}


def _turns(cell, before):
    g = np.linalg.solve(before, cell)
    return np.allclose(g @ g.T, np.eye(3))


def test_what_structures_carry_comes_along_and_vectors_among_it_turn():
    atoms = crystal()
    rng = np.random.default_rng(0)
    atoms.set_initial_magnetic_moments(rng.normal(size=(4, 3)))
    atoms.set_momenta(rng.normal(size=(4, 3)))
    atoms.set_tags([1, 2, 3, 4])
    atoms.set_constraint(FixAtoms([0, 1]))
    atoms.info |= {"charge": 2, "field": np.array([0.0, 0.0, 1.0])}
    Keeps.seen.clear()
    report = eq.audit(Keeps(), atoms, inputs={"field": "vector"}, outputs=["energy", "forces"], **FAST)
    assert report.settings["inputs"] == {
        "positions": "vector",
        "cell": "vector",
        "initial_magmoms": "pseudovector",
        "momenta": "vector",
        "field": "vector",
    }
    turned = [copy for copy in Keeps.seen[1:] if _turns(copy.cell.array, atoms.cell.array)]
    assert len(turned) == len(Keeps.seen) - 2  # one is displaced: whether outputs depend on what is turned
    for copy in turned:
        g = np.linalg.solve(atoms.cell.array, copy.cell.array).T
        assert np.allclose(copy.get_momenta(), atoms.get_momenta() @ g.T)
        assert np.allclose(copy.info["field"], g @ atoms.info["field"])
        moments = np.linalg.det(g) * atoms.get_initial_magnetic_moments() @ g.T
        assert np.allclose(copy.get_initial_magnetic_moments(), moments)
        assert copy.info["charge"] == 2 and copy.get_tags().tolist() == [1, 2, 3, 4] and len(copy.constraints) == 1
    # constraints would set two of the forces to zero
    assert report.outputs["forces"].verdict.value == "exact"
    assert report.outputs["forces"].pooled_total == pytest.approx(
        (Tensors.values["forces"](atoms.positions - atoms.positions.mean(0)) ** 2).sum() / 4
    )


def test_moments_turn_where_they_have_three_components_and_nowhere_else():
    one, three = ase.Atoms("Cu3", cluster(0, 3).positions), ase.Atoms("Cu3", cluster(1, 3).positions)
    one.set_initial_magnetic_moments([0.5, 1.0, 1.5])
    three.set_initial_magnetic_moments(np.random.default_rng(0).normal(size=(3, 3)))
    for structures in ((one, three), (three, one)):
        Keeps.seen.clear()
        eq.audit(Keeps(), list(structures), outputs=["energy"], **FAST)
        of_one, of_three = ([a.arrays["initial_magmoms"] for a in Keeps.seen
                             if a.arrays["initial_magmoms"].ndim == n] for n in (1, 2))  # fmt: skip
        assert all((moments == [0.5, 1.0, 1.5]).all() for moments in of_one)
        assert len(of_one) > 10 and len({moments.tobytes() for moments in of_three}) > 10


def test_a_field_that_does_not_turn_is_a_direction_of_space():
    class Field(Tensors):
        def calculate(self, atoms=None, *rest):
            super().calculate(atoms, *rest)
            self.results["energy"] = float((atoms.positions @ atoms.info["field"])[0])

    atoms = cluster()
    atoms.info["field"] = np.array([0.1, 0.2, 0.3])
    still, turned = (
        eq.audit(Field(), atoms, inputs=inputs, outputs=["energy"], **FAST).outputs["energy"]
        for inputs in (None, {"field": "vector"})
    )
    assert still.relative > 0.9 and turned.relative < 1e-12


def test_a_file_of_arrays_carries_what_it_has_for_atoms_and_structures(tmp_path):
    first, second = cluster(0, 2), cluster(1, 3)
    charges, fields = np.arange(5.0), np.arange(6.0).reshape(2, 3)
    flat = {"positions": np.concatenate([first.positions, second.positions]), "types": np.full(5, 29)}
    np.savez(tmp_path / "flat.npz", **flat, offsets=[0, 2, 5], charges=charges, field=fields, note=np.array([1]))
    found = read_structures(tmp_path / "flat.npz")
    assert [structure.arrays["charges"].tolist() for structure in found] == [[0.0, 1.0], [2.0, 3.0, 4.0]]
    assert [structure.info["field"].tolist() for structure in found] == fields.tolist()
    assert "note" not in found[0].info and found[0].named("initial_charges").tolist() == [0.0, 1.0]
    named = {"a/positions": first.positions, "a/types": np.full(2, 29), "a/spins": np.ones(2), "a/charge": np.array(3)}
    np.savez(tmp_path / "named.npz", **named)
    (one,) = read_structures(tmp_path / "named.npz")
    assert one.named("spins").tolist() == [1.0, 1.0] and one.named("charge") == 3 and one.named("spin") is None


def test_structures_from_arrays_do_as_well():
    atoms = crystal()
    arrays = {"positions": atoms.positions, "numbers": atoms.numbers, "cell": atoms.cell.array, "pbc": [True] * 3}
    one, other = (eq.audit(Tensors(), data, outputs=["forces"], **FAST) for data in (atoms, {"structure@0": arrays}))
    assert one.outputs["forces"].pooled_total == other.outputs["forces"].pooled_total


# -- what is wrong with a calculator -----------------------------------------------------------------------------------


def test_a_stress_whose_volume_has_the_sign_of_the_cell_is_found():
    class Signed(Tensors):
        def calculate(self, atoms=None, *rest):
            super().calculate(atoms, *rest)
            self.results["stress"] = self.results["stress"] / np.linalg.det(atoms.cell.array)

    report = eq.audit(Signed(), crystal(), outputs=["energy", "stress"], **FAST)
    (said,) = [finding for finding in report.findings() if finding.startswith("`stress` does not")]
    assert "It is exact under rotations; inversion changes its sign" in said
    assert report.outputs["stress"].inversion == pytest.approx(-1)
    assert report.outputs["energy"].verdict.value == "exact"


def test_single_precision_inside_is_found_behind_double_precision_outside():
    def single(r):
        r = r.astype(np.float32)
        return (r * (r**2).sum(1, keepdims=True)).astype(np.float64)

    class Single(Tensors):
        implemented_properties = ["forces"]  # noqa: RUF012
        values = {"forces": single}  # noqa: RUF012

    for data in (cluster(), crystal()):
        report = eq.audit(Single(), data, **FAST)
        assert report.settings["computes_in"] == "float32" and report.outputs["forces"].verdict.value == "exact"
        assert report.outputs["forces"].rmse < 3 * report.outputs["forces"].noise_floor
    stated = eq.audit(Single(), cluster(), precision_of_model=torch.float16, **FAST)
    assert stated.settings["computes_in"] == "float16"


def test_a_structure_that_cannot_be_calculated_is_recorded_and_the_rest_is_done():
    report = eq.audit(EMT(), [ase.Atoms("Fe2", [(0, 0, 0), (0, 0, 2)]), crystal()], outputs=["energy"], **FAST)
    assert [row.name for row in report.systems] == ["structure@1"]
    (failure,) = report.failures
    assert failure.system == "structure@0" and "energy: NotImplementedError: No EMT-potential for Fe" in failure.reason


@pytest.mark.parametrize("order", [("H2O", "U3"), ("U3", "CH4O")])
def test_what_a_calculation_leaves_that_did_not_end_is_in_no_number(order):
    known = {"U3": ase.Atoms("U3", cluster(0, 3).positions), "H2O": molecule("H2O"), "CH4O": molecule("CH3OH")}
    report = eq.audit(EMT(), {name: known[name] for name in order}, **FAST)
    (failure,) = report.failures
    assert failure.system == "U3" and failure.reason == "energy: NotImplementedError: No EMT-potential for U"
    alone = eq.audit(EMT(), known[next(name for name in order if name != "U3")], **FAST)
    assert {name: o.samples for name, o in report.outputs.items()} == {n: o.samples for n, o in alone.outputs.items()}
    for name, found in report.outputs.items():
        assert found.pooled_total == pytest.approx(alone.outputs[name].pooled_total, rel=1e-12)
    with pytest.raises(ModelError, match=r"^energy: NotImplementedError: No EMT-potential for U$"):
        eq.audit(EMT(), known["U3"], **FAST)


class Halfway(Tensors):
    """Raises a plain NotImplementedError for one property, and by then has written others."""

    implemented_properties = ["energy", "stress", "forces"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        if "stress" in properties:
            self.atoms, self.results = atoms.copy(), {"forces": np.full((len(atoms), 3), 7.0)}
            raise NotImplementedError("stress is not there yet")
        super().calculate(atoms, properties, system_changes)
        self.results = {name: self.results[name] for name in ("energy", "forces")}


def test_a_property_that_is_not_implemented_beside_others_is_left_out():
    report = eq.audit(Halfway(), cluster(), **FAST)
    assert not report.failures and verdicts(report)["energy"] == verdicts(report)["forces"] == "exact"
    with pytest.raises(ModelError, match=r"^stress: NotImplementedError: stress is not there yet$"):
        eq.audit(Halfway(), cluster(), outputs=["stress", "energy"], **FAST)


def test_a_calculator_that_does_not_take_left_handed_cells_is_audited_under_rotations():
    class Righthanded(Tensors):
        def calculate(self, atoms=None, *rest):
            if atoms.cell.handedness < 0:
                raise ValueError("the cell is left-handed")
            super().calculate(atoms, *rest)

    with pytest.raises(ModelError, match=r"ValueError: the cell is left-handed, at an element that inverts.*'SO3'"):
        eq.audit(Righthanded(), crystal(), outputs=["energy"], **FAST)
    report = eq.audit(Righthanded(), crystal(), outputs=["energy"], group="SO3", **FAST)
    assert report.outputs["energy"].verdict.value == "exact"


def test_a_calculator_that_has_nothing_to_say_fails_with_its_own_words():
    class Periodic(Tensors):
        def calculate(self, atoms=None, *rest):
            if not atoms.pbc.all():
                raise PropertyNotImplementedError("crystals only")
            super().calculate(atoms, *rest)

    report = eq.audit(Periodic(), [cluster(), crystal()], outputs=["energy"], **FAST)
    (failure,) = report.failures
    assert failure.system == "structure@0" and "crystals only" in failure.reason


@pytest.mark.parametrize(
    ("model", "data", "asked", "error", "words"),
    [
        (Tensors(), cluster(), {"batching": "loop"}, ArgumentError, "batching: expected nothing: a calculator"),
        (Tensors(), cluster(), {"device": "cpu"}, ArgumentError, "device: expected nothing"),
        (Tensors(), cluster(), {"dtype": torch.float32}, DTypeError, "dtype: expected torch.float64"),
        (Tensors(), cluster(), {"outputs": ["virial"]}, ArgumentError, "outputs: .*implements.*energies.*'virial'"),
        (Tensors(), cluster(), {"outputs": ["handedness"]}, ArgumentError, "outputs: .*dict.*'handedness'"),
        (Tensors(), cluster(), {"inputs": {"field": "vector"}}, ArgumentError, "inputs: .*carry.*'field'"),
        (Tensors(), cluster(), {"layers": "**"}, ArgumentError, "layers: .*the module inside"),
        (Tensors(), cluster(), {"outputs": {"energy": "vector"}}, ShapeError, r"outputs\['energy'\]"),
        (Calculator(), cluster(), {}, ArgumentError, "model: expected properties that Calculator implements"),
        (SinglePointCalculator(cluster(), energy=1.0), cluster(), {}, ArgumentError, "holds results of one structure"),
        (lambda: 3, cluster(), {}, DTypeError, "model: expected a calculator of ASE.*got int"),
        (EMT(), "nowhere.xyz", {}, ArgumentError, "nowhere.xyz"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_asked_is_refused_in_words(model, data, asked, error, words):
    with pytest.raises(error, match=words):
        eq.audit(model, data, **FAST, **asked)


def test_calculators_are_told_from_models_by_type():
    from metatomic_ase import MetatomicCalculator

    path = Path(__file__).parent / "data" / "pet_model_f64.pt"
    for calculator in (EMT(), EMT, functools.partial(EMT), MetatomicCalculator, MetatomicCalculator(path)):
        assert kind_of(calculator, None) is CalculatorAdapter
    for model in (torch.nn.Identity(), lambda x: x, torch.nn.Linear, functools.partial(torch.relu)):
        assert kind_of(model, None) is not CalculatorAdapter


def test_without_ase_it_is_named():
    code = (
        "import sys; sys.modules['ase'] = None\n"
        "import equiscope as eq\n"
        "try: eq.audit(lambda: 1, {'positions': [[0.0, 0, 0]], 'types': [1]}, progress=False)\n"
        "except eq.errors.MissingExtraError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install ase" in ran.stdout


PAGE = (Path(__file__).parent.parent / "docs" / "calculators.md").read_text()


def test_the_page_names_every_property_that_is_known():
    from equiscope.adapters.properties import PROPERTIES

    assert all(f"`{name}`" in PAGE for name in PROPERTIES)


# -- published potentials ----------------------------------------------------------------------------------------------


def salt():
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.rattle(0.1, seed=0)
    return atoms


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_sevennet_is_one_line(tmp_path):
    sevenn = pytest.importorskip("sevenn.calculator")
    file = tmp_path / "structures.xyz"
    ase.io.write(file, [molecule("CH3OH"), salt()])
    report = eq.audit(sevenn.SevenNetCalculator("7net-0", device="cpu"), file, lmax=2, degree=6, progress=False)
    assert report.settings["computes_in"] == "float32" and len(report.systems) == 2
    assert verdicts(report)["energy"] == "exact"
    # its layers carry no parity: in a molecule that is its own mirror image, forces are not those of the mirror image
    (said,) = [finding for finding in report.findings() if finding.startswith("`forces`")]
    assert "It is exact under rotations; mixes parities" in said
    on_crystal = report.systems[1].outputs["forces"]
    assert on_crystal["rmse"] < 3 * on_crystal["noise_floor"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_chgnet_is_one_line_and_its_stress_changes_sign():
    chgnet = pytest.importorskip("chgnet.model.dynamics")
    report = eq.audit(chgnet.CHGNetCalculator(use_device="cpu"), salt(), lmax=2, degree=6, progress=False)
    (said,) = [finding for finding in report.findings() if finding.startswith("`stress` does not")]
    assert "It is exact under rotations; inversion changes its sign" in said
    assert report.settings["computes_in"] == "float32"
    assert {verdicts(report)[name] for name in ("energy", "forces", "magmoms")} == {"exact"}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_xtb_is_exact_to_double_precision():
    tblite = pytest.importorskip("tblite.ase")
    for model in (tblite.TBLite(method="GFN2-xTB", verbosity=0), lambda: tblite.TBLite(method="GFN2-xTB", verbosity=0)):
        report = eq.audit(model, molecule("CH3OH"), outputs=["forces"], lmax=2, degree=6, progress=False)
        assert report.outputs["forces"].rmse < 1e-13

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pet_reference as pet
import pytest
import torch

import equiscope as eq
from equiscope.adapters.base import Piece
from equiscope.adapters.metatomic import MetatomicAdapter
from equiscope.adapters.structures import read_structures
from equiscope.errors import (
    ArgumentError,
    DataError,
    DeviceError,
    DTypeError,
    MemoryLimitError,
    MissingExtraError,
    ModelError,
    ShapeError,
)
from equiscope.groups.representation import Representation

# after the adapter, which silences the deprecations that metatensor raises on import
from metatensor.torch import Labels, TensorBlock  # isort: skip
from metatomic.torch import ModelEvaluationOptions, ModelOutput, NeighborListOptions, System  # isort: skip
from metatomic.torch.o3 import O3Transformations  # isort: skip
from toy_atomistic import toy  # isort: skip

WATER = {"types": [8, 1, 1], "positions": [[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.1, -0.7, -0.5]]}
OUTPUTS = ("energy", "non_conservative_force", "non_conservative_stress")


@pytest.fixture(scope="module")
def trained() -> MetatomicAdapter:
    return MetatomicAdapter(pet.MODEL, pet.STRUCTURES, features=pet.FEATURES)


def pieces_of(adapter: MetatomicAdapter, rotations: torch.Tensor) -> list[Piece]:
    return [Piece(system, rotations) for system in adapter.systems()]


def some_rotations() -> torch.Tensor:
    elements, _ = pet.grid()
    return elements[[0, 17, 200, 341, 342, 500, 683]]


def rotate_back(name: str, values: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """rho(g)^-1 of canonical values ``(copies, samples, channels, components)``, by plain matrix products."""
    if values.shape[-1] == 3:
        return torch.einsum("gscx,gxy->gscy", values, rotations)
    if values.shape[-1] == 9:
        tensors = values.unflatten(-1, (3, 3))
        return torch.einsum("gscxy,gxa,gyb->gscab", tensors, rotations, rotations).flatten(-2)
    return values


# -- what the labels of the model state ----------------------------------------------------------------------


def test_labels_of_the_outputs_give_their_representations(trained: MetatomicAdapter) -> None:
    kinds = {name: kind.name for name, kind in trained.outputs.items()}
    assert kinds == dict(zip(OUTPUTS, ("scalar", "vector", "tensor"), strict=True))
    assert list(trained.features) == list(pet.FEATURES)
    assert trained.units == {
        "energy": "eV",
        "non_conservative_force": "eV/A",
        "non_conservative_stress": "eV/A^3",
    }
    assert trained.description["data"] == "pet_structures.npz, 3 structures"
    assert "mtt::aux::cutoff_stats" in trained.available_features


def test_the_units_of_the_model_stand_beside_its_errors() -> None:
    report = eq.audit(toy(), [WATER], outputs=["energy", "toy::packed"], lmax=1, degree=6, progress=False)
    assert [output.unit for output in report.outputs.values()] == ["eV", None]
    own = {"toy::packed": "D", "energy": "kcal/mol"}
    said = eq.audit(toy(), [WATER], outputs=["energy", "toy::packed"], units=own, lmax=1, degree=6, progress=False)
    assert {name: output.unit for name, output in said.outputs.items()} == {"energy": "kcal/mol", "toy::packed": "D"}


def test_spherical_blocks_become_irreps() -> None:
    adapter = MetatomicAdapter(toy(), [WATER], outputs=["toy::multipoles"])
    kind = adapter.outputs["toy::multipoles"]
    assert [(block.lam, block.sigma) for block in kind.blocks] == [(0, 1), (1, 1), (2, 1)]
    (values,) = adapter.forward(pieces_of(adapter, torch.eye(3, dtype=torch.float64)[None]))["toy::multipoles"]
    assert values.shape == (1, 1, 2, 9)
    x, y, z = torch.tensor(WATER["positions"], dtype=torch.float64).unbind(1)
    torch.testing.assert_close(values[0, 0, 0, 1:4], torch.stack([y.sum(), z.sum(), x.sum()]))
    torch.testing.assert_close(values[0, 0, 1], 2 * values[0, 0, 0])
    assert adapter.native_mean("toy::multipoles", values[0]).shape == (1, 9, 2)


def test_outputs_that_state_no_representation_are_left_out_with_the_reason() -> None:
    adapter = MetatomicAdapter(toy(), [WATER])
    assert list(adapter.outputs) == ["energy", "non_conservative_force", "toy::multipoles", "toy::packed"]
    assert "xyz_3" in adapter.left_out["toy::octupole"]
    assert "center_type" in adapter.left_out["toy::by_type"]
    nan = MetatomicAdapter(toy("nan"), [WATER])
    assert "energy" not in nan.outputs and "not finite" in nan.left_out["energy"]


def test_declared_representations_override_the_labels() -> None:
    adapter = MetatomicAdapter(toy(), [WATER], outputs={"toy::packed": "pseudovector", "energy": "pseudoscalar"})
    assert {name: kind.name for name, kind in adapter.outputs.items()} == {
        "toy::packed": "pseudovector",
        "energy": "pseudoscalar",
    }
    values = adapter.forward(pieces_of(adapter, torch.eye(3, dtype=torch.float64)[None]))["toy::packed"][0]
    assert values.shape == (1, 1, 1, 3)
    expected = torch.tensor(WATER["positions"], dtype=torch.float64).sum(0)
    torch.testing.assert_close(values[0, 0, 0], expected)
    torch.testing.assert_close(adapter.native_mean("toy::packed", values[0])[0], expected)


def test_layers_that_name_outputs_become_features() -> None:
    adapter = MetatomicAdapter.with_layers(toy(), [WATER], layers=["mix", "feature"], outputs="energy")
    assert adapter.features == ["feature"] and list(adapter.outputs) == ["energy"]


def test_hidden_modules_can_be_hooked_in_a_python_model_only(trained: MetatomicAdapter) -> None:
    assert trained.module is None and "TorchScript" in str(trained.unhookable_reason)
    model = toy()
    adapter = MetatomicAdapter(model, [WATER], outputs=[], features=[])
    assert adapter.module is model.module and adapter.unhookable_reason is None
    seen = []
    handle = adapter.module.mix.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    assert adapter.forward(pieces_of(adapter, some_rotations())) == {}
    handle.remove()
    assert seen == [(3, 4)] * len(some_rotations())


def test_a_sample_kind_that_is_asked_for_is_used() -> None:
    adapter = MetatomicAdapter(
        pet.MODEL, pet.FRAMES, outputs=["energy"], sample_kind={"energy": "atom"}, features=["feature"]
    )
    values = adapter.forward(pieces_of(adapter, torch.eye(3, dtype=torch.float64)[None]))["energy"]
    assert [tuple(v.shape) for v in values] == [(1, 3, 1, 1), (1, 9, 1, 1), (1, 6, 1, 1)]


# -- copies --------------------------------------------------------------------------------------------------


def test_copies_are_those_of_metatomics_own_transformations(trained: MetatomicAdapter) -> None:
    rotations = some_rotations()
    transformation = O3Transformations(rotations, 0)
    for system in trained.systems():
        (original,) = system.payload.copies(torch.eye(3, dtype=torch.float64)[None], torch.float64)
        expected = transformation.transform_systems([original] * len(rotations))
        found = system.payload.copies(rotations, torch.float64)
        for mine, theirs in zip(found, expected, strict=True):
            for part in ("positions", "cell"):
                torch.testing.assert_close(getattr(mine, part), getattr(theirs, part), rtol=0, atol=1e-14)
            assert torch.equal(mine.types, theirs.types) and torch.equal(mine.pbc, theirs.pbc)
            (options,) = theirs.known_neighbor_lists()
            pairs, known = mine.get_neighbor_list(options), theirs.get_neighbor_list(options)
            assert pairs.samples == known.samples and pairs.components == known.components
            torch.testing.assert_close(pairs.values, known.values, rtol=0, atol=1e-14)


def test_pair_vectors_of_every_copy_are_the_differences_of_its_positions(trained: MetatomicAdapter) -> None:
    for system in trained.systems():
        for copy in system.payload.copies(some_rotations(), torch.float64):
            pairs = copy.get_neighbor_list(copy.known_neighbor_lists()[0])
            first, second, *shifts = pairs.samples.values.T
            expected = copy.positions[second] - copy.positions[first]
            expected = expected + torch.stack(shifts, dim=1).to(torch.float64) @ copy.cell
            torch.testing.assert_close(pairs.values.squeeze(-1), expected, rtol=0, atol=1e-13)


def test_pair_lists_that_a_system_brings_along_are_kept() -> None:
    model = toy(cutoff=1.2)
    (structure,) = read_structures([WATER])
    system = System(
        types=torch.tensor(structure.types, dtype=torch.int32),
        positions=torch.tensor(structure.positions),
        cell=torch.zeros(3, 3, dtype=torch.float64),
        pbc=torch.zeros(3, dtype=torch.bool),
    )
    (options,) = model.requested_neighbor_lists()
    computed = MetatomicAdapter(model, system, outputs=["energy"])
    (original,) = next(computed.systems()).payload.copies(torch.eye(3, dtype=torch.float64)[None], torch.float64)
    full = original.get_neighbor_list(options)
    samples = Labels(full.samples.names, full.samples.values[:2])
    system.add_neighbor_list(options, TensorBlock(full.values[:2], samples, full.components, full.properties))
    kept = MetatomicAdapter(model, [system], outputs=["energy"])
    (copy,) = next(kept.systems()).payload.copies(torch.eye(3, dtype=torch.float64)[None], torch.float64)
    assert len(full.samples) > 2 and len(copy.get_neighbor_list(options).samples) == 2


def test_float32_copies_are_rounded_after_the_rotation() -> None:
    adapter = MetatomicAdapter(toy(dtype="float32"), [WATER], outputs=["energy"])
    rotations = some_rotations()
    copies = next(adapter.systems()).payload.copies(rotations, torch.float32)
    exact = torch.tensor(WATER["positions"], dtype=torch.float64) @ rotations.transpose(1, 2)
    assert torch.equal(torch.stack([copy.positions for copy in copies]), exact.to(torch.float32))
    assert adapter.forward(pieces_of(adapter, rotations))["energy"][0].dtype == torch.float32


# -- values --------------------------------------------------------------------------------------------------


def test_a_mixed_batch_gives_what_the_model_gives_one_system_at_a_time(trained: MetatomicAdapter) -> None:
    from metatomic.torch import load_atomistic_model

    rotations = some_rotations()
    pieces = pieces_of(trained, rotations)
    found = trained.forward(pieces)
    with pytest.warns(DeprecationWarning):
        model = load_atomistic_model(pet.MODEL)
    kinds = {name: "system" if name in ("energy", "non_conservative_stress") else "atom" for name in found}
    options = ModelEvaluationOptions(
        length_unit="angstrom", outputs={name: ModelOutput(sample_kind=kind) for name, kind in kinds.items()}
    )
    for k, piece in enumerate(pieces):
        for i, copy in enumerate(piece.system.payload.copies(rotations, torch.float64)):
            with torch.no_grad():
                direct = model([copy], options, True)
            for name, values in found.items():
                native = trained.native_mean(name, values[k][i])
                torch.testing.assert_close(native, direct[name].block().values, rtol=1e-12, atol=1e-12)


def characters(l: int, cosines: torch.Tensor) -> torch.Tensor:
    """chi_l of rotations by angles of these cosines: 1 + 2 sum_k cos(k theta)."""
    previous, current, total = torch.ones_like(cosines), cosines, torch.ones_like(cosines)
    for _ in range(l):
        total = total + 2 * current
        previous, current = current, 2 * cosines * current - previous
    return total


@pytest.fixture(scope="module", params=pet.NAMES)
def orbit(request, trained: MetatomicAdapter) -> tuple[str, dict[str, torch.Tensor]]:
    """One structure, and the values of all its copies on the grid of the reference."""
    elements, _ = pet.grid()
    system = next(system for system in trained.systems() if system.name == request.param)
    batches = [trained.forward([Piece(system, part)]) for part in elements.split(128)]
    return request.param, {name: torch.cat([batch[name][0] for batch in batches]) for name in batches[0]}


def test_mean_and_variance_over_the_grid_are_those_of_the_reference(trained: MetatomicAdapter, orbit) -> None:
    elements, weights = pet.grid()
    name, values = orbit
    assert set(pet.outputs(name)) <= set(values)
    for output in pet.outputs(name):
        back = rotate_back(output, values[output], elements)
        mean = torch.einsum("g,gscx->scx", weights, back)
        expected = pet.reference(name, "mean", output)
        torch.testing.assert_close(trained.native_mean(output, mean), expected, rtol=1e-10, atol=1e-10)
        kind = trained.outputs.get(output, Representation.parse("scalar"))
        deviation = (back - mean) @ kind.matrix.T
        for block in kind.blocks:
            squares = (deviation[..., list(block.rows)] ** 2).mean(-1)
            variance = torch.einsum("g,gsc->sc", weights, squares)
            expected = pet.reference(name, "variance", output)[block.lam, block.sigma]
            assert pet.relative_difference(variance, expected, pet.scale(name, "variance", output)) < 1e-10


def test_power_over_the_grid_without_Wigner_matrices_is_that_of_the_reference(trained: MetatomicAdapter, orbit) -> None:
    elements, weights = pet.grid()
    count = len(elements) // 2
    proper, w = elements[:count], 2 * weights[:count]
    cosines = (torch.einsum("iab,jab->ij", proper, proper) - 1) / 2
    name, values = orbit
    for output in pet.outputs(name):
        kind = trained.outputs.get(output, Representation.parse("scalar"))
        u = values[output] @ kind.matrix.T
        for block in kind.blocks:
            expected = pet.reference(name, "power", output)[block.lam, block.sigma]
            found = torch.empty_like(expected)
            for l in range(pet.LMAX + 1):
                chi = (2 * l + 1) * characters(l, cosines) * w[:, None] * w
                for k, sigma in enumerate((1, -1)):
                    v = ((u[:count] + sigma * (-1) ** l * u[count:]) / 2)[..., list(block.rows)]
                    found[l, k] = torch.einsum("gscx,gscx->sc", torch.tensordot(chi, v, dims=1), v)
            assert pet.relative_difference(found, expected, pet.scale(name, "power", output)) < 1e-10


def test_direct_calls_give_what_the_wrapper_gives(trained: MetatomicAdapter) -> None:
    assert trained._calls.direct
    pieces = pieces_of(trained, some_rotations())
    direct = trained.forward(pieces)
    trained._calls.direct = False
    wrapped = trained.forward(pieces)
    trained._calls.direct = True
    for name in direct:
        assert all(torch.equal(a, b) for a, b in zip(direct[name], wrapped[name], strict=True))


def test_a_random_model_leaves_the_random_state_and_uses_the_wrapper() -> None:
    model = toy("random")
    before = torch.get_rng_state()
    adapter = MetatomicAdapter(model, [WATER], outputs=["energy"])
    assert torch.equal(torch.get_rng_state(), before)
    assert not adapter._calls.direct


@pytest.mark.parametrize("length_unit, factor", [("angstrom", 1.0), ("nm", 0.1), ("bohr", 1.8897261254578281)])
def test_lengths_are_taken_to_the_unit_of_the_model(length_unit: str, factor: float) -> None:
    adapter = MetatomicAdapter(toy(length_unit=length_unit), [WATER], outputs=["toy::packed"])
    values = adapter.forward(pieces_of(adapter, torch.eye(3, dtype=torch.float64)[None]))["toy::packed"][0]
    expected = factor * torch.tensor(WATER["positions"], dtype=torch.float64).sum(0)
    torch.testing.assert_close(values.flatten(), expected, rtol=1e-7, atol=0)


def test_rows_that_are_not_in_copy_order_are_put_there() -> None:
    rotations = some_rotations()
    plain, shuffled = (
        MetatomicAdapter(toy(fault), [WATER], outputs=["non_conservative_force"], features=["feature"])
        for fault in ("", "shuffled")
    )
    expected, found = (adapter.forward(pieces_of(adapter, rotations)) for adapter in (plain, shuffled))
    for name in expected:
        assert torch.equal(expected[name][0], found[name][0])


@pytest.mark.parametrize(
    "fault, message",
    [("missing", "'water' with equal numbers of rows"), ("reordered", "same sample labels.*'water'")],
)
def test_copies_whose_rows_differ_are_refused_by_name(fault: str, message: str) -> None:
    adapter = MetatomicAdapter(toy(fault), {"water": WATER}, outputs=["non_conservative_force"])
    with pytest.raises(ModelError, match=f"non_conservative_force: .*{message}"):
        for batch in some_rotations().split(4):
            adapter.forward(pieces_of(adapter, batch))


def test_what_was_kept_of_a_finished_system_is_dropped() -> None:
    adapter = MetatomicAdapter(toy(), [WATER, WATER], outputs=["energy"])
    for piece in pieces_of(adapter, some_rotations()):
        adapter.forward([piece])
        adapter.forget(piece.system)
    assert not adapter._templates and not adapter._batches._samples._labels
    assert [system.name for system in adapter.systems()] == ["structure@0", "structure@1"]


def test_merged_copies_give_what_single_ones_give() -> None:
    force = ["energy", "non_conservative_force"]
    adapter = MetatomicAdapter(pet.MODEL, pet.STRUCTURES, outputs=force, features=pet.FEATURES)
    pieces = pieces_of(adapter, some_rotations())
    assert adapter.merges == {s.name: not s.pbc.any() for s in read_structures(pet.STRUCTURES)}
    merged = [adapter.forward([piece]) for piece in pieces if adapter.merges[piece.system.name]]
    adapter.hooked()
    apart = [adapter.forward([piece]) for piece in pieces_of(adapter, some_rotations())]
    assert merged and not any(adapter.merges.values())
    for a, b in zip(merged, apart, strict=False):
        for name in a:
            torch.testing.assert_close(a[name][0], b[name][0], rtol=1e-12, atol=1e-12 * float(b[name][0].abs().max()))


def test_one_system_holds_all_copies_of_a_batch() -> None:
    model = toy()
    adapter = MetatomicAdapter(model, [WATER, WATER], outputs=["non_conservative_force"])
    pieces = pieces_of(adapter, some_rotations())
    assert adapter.compatible(pieces[0].system, pieces[1].system)
    seen = []
    model.module.register_forward_pre_hook(lambda module, arguments: seen.append(len(arguments[0])))
    adapter.forward(pieces)
    assert seen == [1]


@pytest.mark.parametrize(
    "fault, outputs", [("global", ["non_conservative_force"]), ("", ["energy"]), ("", ["toy::packed"])]
)
def test_models_that_look_at_the_whole_system_get_copies_one_by_one(fault: str, outputs: list[str]) -> None:
    adapter = MetatomicAdapter(toy(fault), {"water": WATER}, outputs=outputs)
    found = adapter.forward(pieces_of(adapter, some_rotations()))
    assert adapter.merges == {"water": False}
    adapter.hooked()
    expected = adapter.forward(pieces_of(adapter, some_rotations()))
    assert all(torch.equal(found[name][0], expected[name][0]) for name in outputs)


def choosy(error: BaseException):
    """A model that raises `error` for a system of more atoms than water has, such as merged copies are."""
    model = toy()
    inner = model.module._non_conservative_force

    def force(systems, request):
        if len(systems[0]) > len(WATER["types"]):
            raise error
        return inner(systems, request)

    model.module._non_conservative_force = force
    return model


def test_a_model_that_fails_on_merged_copies_gets_them_one_by_one_and_the_reason_is_said() -> None:
    outputs = ["non_conservative_force"]
    adapter = MetatomicAdapter(choosy(ValueError("one molecule\nat a time")), [WATER, WATER], outputs=outputs)
    pieces = pieces_of(adapter, some_rotations())
    assert adapter.merges == {"structure@0": False, "structure@1": False}
    expected = "0 of 2 structures; merged copies of 2 failed, 'structure@0' with ValueError: one molecule"
    assert adapter.description["merged"] == expected
    sound = MetatomicAdapter(toy(), [WATER, WATER], outputs=outputs)
    sound.hooked()
    single = sound.forward(pieces_of(sound, some_rotations()))
    assert torch.equal(adapter.forward(pieces)[outputs[0]][0], single[outputs[0]][0])
    adapter.hooked()
    list(adapter.systems())
    assert adapter.description["merged"] == "0 of 2 structures"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), KeyboardInterrupt()])
def test_memory_and_interrupts_are_not_taken_for_a_model_that_does_not_merge(error: BaseException) -> None:
    model = choosy(error)
    model.train()
    adapter = MetatomicAdapter(model, [WATER], outputs=["non_conservative_force"])
    with pytest.raises(type(error)):
        list(adapter.systems())
    assert model.training and not adapter._batches._atom_samples._labels


def test_out_of_memory_on_the_first_structure_passes_as_such() -> None:
    model = toy()

    def full(systems, request):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    model.module._energy = full
    with pytest.raises(RuntimeError, match="can't allocate memory") as caught:
        MetatomicAdapter(model, [WATER], outputs=["energy"])
    assert not isinstance(caught.value, ModelError)
    with pytest.raises(MemoryLimitError, match="max_memory: expected room to open the model"):
        eq.audit(model, [WATER], outputs=["energy"], lmax=1, degree=6)


def test_the_basis_of_declared_irreps_reaches_the_adapter() -> None:
    for basis in ("standard", "e3nn"):
        request = eq.adapters.Request(outputs={"toy::packed": "1x1o"}, basis=basis)
        adapter = eq.adapters.kind_of(toy(), [WATER]).open(toy(), [WATER], request)
        assert torch.equal(adapter.outputs["toy::packed"].matrix, Representation.parse("1x1o", basis=basis).matrix)


def test_periodic_structures_get_copies_one_by_one() -> None:
    periodic = {**WATER, "cell": 6 * np.eye(3), "pbc": [True] * 3}
    adapter = MetatomicAdapter(toy(), {"gas": WATER, "ice": periodic}, outputs=["non_conservative_force"])
    gas, ice = adapter.systems()
    assert adapter.merges == {"gas": True, "ice": False}
    assert adapter.description["merged"] == "1 of 2 structures"
    assert not adapter.compatible(gas, ice)


# -- structures ----------------------------------------------------------------------------------------------


def test_one_structure_is_the_same_from_every_source(tmp_path) -> None:
    import ase.io

    frames = ase.io.read(pet.FRAMES, index=":")
    archive = read_structures(pet.STRUCTURES)
    for other in (read_structures(pet.FRAMES), read_structures(frames), read_structures(tuple(frames))):
        assert [structure.name for structure in other] == list(pet.NAMES)
        for a, b in zip(archive, other, strict=True):
            assert np.array_equal(a.types, b.types) and np.array_equal(a.pbc, b.pbc)
            assert np.abs(a.positions - b.positions).max() < 1e-8
            assert np.abs(a.cell - b.cell).max() < 1e-12
    flat = tmp_path / "flat.npz"
    np.savez(
        flat,
        offsets=np.cumsum([0, *map(len, archive)]),
        atomic_numbers=np.concatenate([s.types for s in archive]).astype(np.int8),
        positions=np.concatenate([s.positions for s in archive]),
        cell=np.stack([s.cell for s in archive]),
        pbc=np.stack([s.pbc for s in archive]),
    )
    for index, (a, b) in enumerate(zip(archive, read_structures(flat), strict=True)):
        assert b.name == f"flat@{index}"
        for part in ("types", "positions", "cell", "pbc"):
            assert np.array_equal(getattr(a, part), getattr(b, part))


def test_names_are_unique() -> None:
    import ase

    atoms = [ase.Atoms("H", [[0, 0, k]], info={"name": name}) for k, name in enumerate(["a", "a", "a#2", "a"])]
    assert [structure.name for structure in read_structures(atoms)] == ["a", "a#3", "a#2", "a#4"]
    assert [structure.name for structure in read_structures(ase.Atoms("H"))] == ["structure@0"]
    assert [structure.name for structure in read_structures({"x": WATER, "y": WATER})] == ["x", "y"]


@pytest.mark.parametrize(
    "data, kind, message",
    [
        ([], DataError, "at least one structure"),
        ({}, DataError, "at least one structure"),
        (3, DTypeError, "got int"),
        ([3], DTypeError, r"data\[structure@0\].*got int"),
        (torch.zeros(3, 3), DTypeError, "got Tensor"),
        ("nowhere.xyz", DataError, "nowhere.xyz, which is not a file"),
        ([{**WATER, "positions": np.full((3, 3), np.nan)}], DataError, "finite values.*row 0"),
        ([{**WATER, "positions": [[0, 0, 0], [0, np.inf, 0], [0, 0, 1]]}], DataError, "row 1"),
        ([{**WATER, "cell": np.full((3, 3), np.nan)}], DataError, r"cell: expected finite"),
        (
            [{**WATER, "positions": np.zeros((2, 3))}],
            ShapeError,
            r"shape \(3, 3\), got float64 of shape \(2, 3\)",
        ),
        ([{**WATER, "types": [8.0, 1.0, 1.0]}], ShapeError, "integers"),
        ([{**WATER, "pbc": [True, False]}], ShapeError, "3 booleans"),
        ([{**WATER, "pbc": True}], DataError, "cell vector along each periodic direction"),
        ([{"types": [], "positions": np.zeros((0, 3))}], (DataError, ShapeError), "atom|integers"),
    ],
)
def test_bad_structures_are_refused(data, kind, message) -> None:
    with pytest.raises(kind, match=message):
        read_structures(data)


@pytest.mark.parametrize("name", ["pet_structures.npz", "pet_structures.xyz"])
def test_truncated_and_foreign_files_are_refused_by_name(tmp_path, name: str) -> None:
    content = (pet.DATA / name).read_bytes()
    path = tmp_path / name
    for bad in (content[: len(content) // 2], b"", b"no such format " * 20):
        path.write_bytes(bad)
        with pytest.raises(DataError, match=name):
            read_structures(path)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"constituents": np.zeros((2, 3))}, "bad.npz with constituents"),
        ({"a/positions": np.zeros((1, 3))}, r"data\[a\]"),
        (
            {"offsets": [0, 2], "types": [1, 1, 1], "positions": np.zeros((3, 3))},
            "rising from 0 to the 3 atoms",
        ),
        ({"offsets": [0, 2, 1, 3], "types": [1, 1, 1], "positions": np.zeros((3, 3))}, "rising"),
        (
            {"offsets": [0, 3], "types": [1] * 3, "positions": np.zeros((3, 3)), "pbc": np.zeros((2, 3))},
            "1 entries",
        ),
        (None, "a single array"),
        ({"offsets": [0], "types": np.zeros(0, int), "positions": np.zeros((0, 3))}, "none in"),
        ({"a/positions": np.array([None]), "a/types": [1]}, "without pickled objects"),
    ],
)
def test_npz_files_of_another_layout_are_refused(tmp_path, arrays, message: str) -> None:
    if arrays is None:
        with (tmp_path / "bad.npz").open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises((DataError, ShapeError), match=message):
        read_structures(tmp_path / "bad.npz")


def test_reading_a_file_without_ase_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ase", None)
    monkeypatch.setitem(sys.modules, "ase.io", None)
    with pytest.raises(MissingExtraError, match=r"pip install ase"):
        read_structures(pet.FRAMES)
    assert len(read_structures(pet.STRUCTURES)) == 3


# -- refusals of the adapter ---------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["half", b"", b"hello", "foreign"])
def test_files_that_are_no_complete_metatomic_model_are_refused(tmp_path, content) -> None:
    path = tmp_path / "model.pt"
    if content == "half":
        content = pet.MODEL.read_bytes()[:600_000]
    if content == "foreign":
        torch.save({"weight": torch.ones(3)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"model: expected the complete file .*model\.pt"):
        MetatomicAdapter(path, [WATER])


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"outputs": ["energie"]}, ArgumentError, r"outputs: .*energy, .*got 'energie'"),
        ({"outputs": ["energy", "energy"]}, ArgumentError, "every name once"),
        ({"features": ["mtt::nothing"]}, ArgumentError, r"features: .*feature.*got 'mtt::nothing'"),
        ({"outputs": ["energy"], "features": "energy"}, ArgumentError, "not outputs as well"),
        ({"outputs": ["toy::octupole"]}, ArgumentError, "labels that state a representation.*xyz_3"),
        ({"outputs": ["toy::by_type"]}, ArgumentError, "center_type"),
        ({"outputs": {"toy::by_type": "scalar"}}, ModelError, "same samples in all of its 2 blocks"),
        ({"outputs": {"energy": "vector"}}, ShapeError, "3 components, because it is declared 'vector'"),
        ({"outputs": {"energy": "banana"}}, ArgumentError, "banana"),
        ({"sample_kind": {"energie": "atom"}}, ArgumentError, "energie"),
        ({"outputs": "energy", "sample_kind": {"energy": "pair"}}, ArgumentError, "'system' or 'atom'"),
        ({"dtype": torch.float32}, DTypeError, "torch.float64, the one dtype of this model"),
        ({"device": "meta"}, DeviceError, "supports"),
        ({"device": "banana"}, DeviceError, "banana"),
        ({"length_unit": "eV"}, ArgumentError, "length_unit"),
    ],
)
def test_bad_arguments_are_refused_before_any_rotation(options, kind, message) -> None:
    with pytest.raises(kind, match=message):
        MetatomicAdapter(toy(), [WATER], **options)


def test_a_device_that_is_absent_or_not_that_of_the_model_is_refused() -> None:
    with pytest.raises(DeviceError, match="cpu, where the model is"):
        MetatomicAdapter(toy(devices=("cpu", "meta")), [WATER], device="meta")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="a device of this machine"):
            MetatomicAdapter(toy(devices=("cpu", "cuda")), [WATER], device="cuda")


def test_types_that_the_model_does_not_know_are_refused_with_the_structure() -> None:
    with pytest.raises(DataError, match=r"data\[salt\]\.types: .*\(1, 6, 8\), got 11, 17"):
        MetatomicAdapter(toy(), {"salt": {"types": [11, 17], "positions": [[0, 0, 0], [0, 0, 2.4]]}})


def test_a_failing_model_is_an_error_that_names_the_structure() -> None:
    model = toy()
    model.module._energy = lambda systems, request: 1 / 0
    with pytest.raises(ModelError, match="structure 'w', got ZeroDivisionError"):
        MetatomicAdapter(model, {"w": WATER}, outputs=["energy"])


def test_models_that_are_not_metatomic_are_refused() -> None:
    with pytest.raises(DTypeError, match="metatomic AtomisticModel or the path of one, got Linear"):
        MetatomicAdapter(torch.nn.Linear(3, 3), [WATER])


def test_models_that_ask_for_more_than_structures_are_refused() -> None:
    model = toy()
    model._requested_inputs = {"charge": ModelOutput(unit="e", sample_kind="atom")}
    with pytest.raises(ArgumentError, match=r"one that also asks for.*charge"):
        MetatomicAdapter(model, [WATER])


def test_importing_the_package_does_not_import_metatomic() -> None:
    code = "import sys, equiscope; assert not {'metatomic', 'metatensor', 'ase', 'vesin'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_metatomic_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['metatomic.torch'] = None\n"
        "from equiscope.errors import MissingExtraError\n"
        "try:\n    import equiscope.adapters.metatomic\n"
        "except MissingExtraError as error:\n    assert 'pip install metatomic-torch vesin ase' in str(error)\n"
        "else:\n    raise SystemExit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_options_of_a_pair_list_are_those_of_the_model() -> None:
    adapter = MetatomicAdapter(toy(length_unit="nm", cutoff=0.12), [WATER], outputs=["energy"])
    (copy,) = next(adapter.systems()).payload.copies(torch.eye(3, dtype=torch.float64)[None], torch.float64)
    wanted = NeighborListOptions(cutoff=0.12, full_list=True, strict=True)
    wanted.length_unit = "nm"
    pairs = copy.get_neighbor_list(wanted)
    assert 0 < len(pairs.samples) and bool((pairs.values.norm(dim=1) <= 0.12).all())

"""Hidden tokens of metatrain's PET: edges are padded to the most neighbours, the padding is filled from elsewhere."""

import numpy as np
import pytest
import torch

import equiscope as eq

pytest.importorskip("metatrain")
build = pytest.importorskip("ase.build")

EDGES = ("gnn_layers.0.edge_embedder", "gnn_layers.0.compress", "gnn_layers.1.compress.0", "gnn_layers.1.edge_embedder")
NODES = ("gnn_layers.0.trans.layers.0.center_mlp", "gnn_layers_post_mp_node.0", "node_heads.energy.0")
ROTATIONS = 200


@pytest.fixture(scope="module")
def pet():
    from metatrain.pet import PET
    from metatrain.utils.architectures import get_default_hypers
    from metatrain.utils.data import DatasetInfo
    from metatrain.utils.data.target_info import get_energy_target_info

    torch.manual_seed(0)
    hypers = get_default_hypers("pet")["model"]
    hypers.update(d_pet=8, d_head=8, d_node=12, d_feedforward=8, num_heads=2, num_attention_layers=1, num_gnn_layers=2)
    target = get_energy_target_info("energy", {"quantity": "energy", "unit": "eV"})
    info = DatasetInfo(length_unit="Angstrom", atomic_types=[1, 6, 8], targets={"energy": target})
    return PET(hypers, info).double().export()


@pytest.fixture(scope="module")
def molecules():
    found = [build.molecule(name) for name in ("H2O", "C6H6", "CH3OH")]
    for i, atoms in enumerate(found):
        atoms.rattle(0.05, seed=i)
    return found


def audited(pet, molecules, **asked):
    return eq.audit(pet, molecules, outputs=["energy"], lmax=2, degree=6, progress=False, **asked)


def real_edges(atoms, cutoff=4.5):
    distances = atoms.get_all_distances()
    return int(((distances > 0) & (distances < cutoff)).sum())


def test_every_token_is_audited_on_real_edges_and_nodes(pet, molecules):
    report = audited(pet, molecules, layers="backend.**")
    edges, nodes = sum(map(real_edges, molecules)), sum(map(len, molecules))
    assert {layer.samples for layer in report.layers.values()} == {edges, nodes, edges + nodes}
    for block in (0, 1):
        embedded = report.layers[f"backend.gnn_layers.{block}.edge_embedder"].fractions
        # a linear map of (x, y, z, r)
        assert float(embedded[:2, 0].sum()) == pytest.approx(1, abs=1e-14) and float(embedded[2:].max()) < 1e-28
        for part in ("[0]", "[1]", ".trans[0]", ".trans[1]", ".compress", ".trans.layers.0[0]", ".trans.layers.0[1]"):
            assert f"backend.gnn_layers.{block}{part}" in report.layers
    left = [
        name for warning in report.warnings if "left out: " in warning for name in warning.split(" w")[0].split(", ")
    ]
    modules = {name for name, _ in pet.module.named_modules() if name.startswith("backend.")}
    silent = {name.removeprefix("layers ").removeprefix("layer ") for name in left}
    heard = {name.partition("[")[0] for name in report.layers}
    containers = {
        name for name in modules if type(pet.module.get_submodule(name)).__name__ in ("ModuleList", "ModuleDict")
    }
    assert modules - containers <= heard | silent


def test_species_of_edges_are_audited_on_real_ones_beside_layers_that_betray_the_padding(pet, molecules):
    layers = ["backend.edge_embedder", "backend.gnn_layers.1.neighbor_embedder"]
    beside = audited(pet, molecules, layers=[*layers, "backend.gnn_layers.0.edge_embedder"])
    assert {layer.samples for layer in beside.layers.values()} == {sum(map(real_edges, molecules))}
    alone = audited(pet, molecules, layers=layers)
    assert not alone.layers and any("as padding may: `masks` says" in warning for warning in alone.warnings)
    masked = audited(pet, molecules, layers=layers, masks={"**": "backend.gnn_layers.0:input[4]"})
    for found in (beside, masked):
        assert all(float(found.layers[name].fractions[0, 0]) == pytest.approx(1.0, abs=1e-14) for name in layers)
        assert {found.layers[name].samples for name in layers} == {sum(map(real_edges, molecules))}
    assert not masked.warnings


@pytest.mark.filterwarnings("ignore:.*compute_requested_neighbors")
def test_layers_agree_with_a_loop_over_random_rotations_of_one_molecule_at_a_time(pet, molecules):
    places = [f"backend.{name}" for name in (*EDGES, *NODES)]
    report = audited(pet, molecules[:2], layers=places)
    power = {place: 0.0 for place in places}
    for atoms in molecules[:2]:
        for place, values in by_hand(pet, atoms, places).items():
            power[place] = power[place] + shares(values)
    for place in places:
        estimate, error, total = power[place].T[0], power[place].T[1], power[place][0, 2]
        found = report.layers[place].fractions[:3].flatten().numpy()
        assert np.all(np.abs(found - estimate / total) < 4 * error / total + 1e-12), place


def by_hand(pet, atoms, places):
    """Values ``(rotations, ...)`` of real edges and nodes, and nothing of this package."""
    from metatomic.torch import ModelOutput, systems_to_torch
    from vesin.metatomic import compute_requested_neighbors

    heard, modules = {}, dict(pet.module.named_modules())
    hooks = [
        modules[place].register_forward_hook(lambda _m, _a, y, place=place: heard.update({place: y}))
        for place in places
    ]
    hooks += [modules["backend.gnn_layers.0"].register_forward_pre_hook(lambda _m, given: heard.update(mask=given[4]))]
    values = {place: [] for place in places}
    for element in elements():
        turned = atoms.copy()
        turned.positions = turned.positions @ element.T
        system = systems_to_torch([turned], dtype=torch.float64)
        compute_requested_neighbors(system, "Angstrom", pet)
        with torch.no_grad():
            pet.module(system, {"energy": ModelOutput(unit="eV", sample_kind="atom")}, None)
        for place in places:
            value = heard[place]
            values[place].append(value[heard["mask"]] if value.shape[:2] == heard["mask"].shape else value)
    for hook in hooks:
        hook.remove()
    return {place: torch.stack(parts).flatten(1).numpy() for place, parts in values.items()}


def elements():
    """The same random elements of O(3) every time, rotations first."""
    from scipy.spatial.transform import Rotation

    return Rotation.random(ROTATIONS, random_state=3).as_matrix() * np.repeat([1, -1], ROTATIONS // 2)[:, None, None]


def shares(values):
    """``(l and sigma, 3)``: power by the characters of pairs of elements, its jackknife error, and all of it.

    What is outside of l = 0 is taken of the values without their mean, which would drown it in noise.
    """
    g = elements()
    sign = np.linalg.det(g)
    cosine = np.clip((np.einsum("iab,jab->ij", g, g) * np.outer(sign, sign) - 1) / 2, -1, 1)
    angle, same = np.arccos(cosine), np.outer(sign, sign) > 0
    total, rows = (values**2).sum(1).mean(), []
    centred = values - values.mean(0)
    for l in range(3):
        character = 1 + sum(2 * np.cos(k * angle) for k in range(1, l + 1))
        for sigma in (1, -1):
            u = values if (l, sigma) == (0, 1) else centred
            terms = (2 * l + 1) * character * np.where(same, 1, sigma * (-1) ** l) * (u @ u.T)
            off = [mean_off_diagonal(np.delete(np.delete(terms, cut, 0), cut, 1)) for cut in cuts()]
            estimate = mean_off_diagonal(terms)
            rows.append((estimate, np.sqrt((len(off) - 1) / len(off) * np.square(off - np.mean(off)).sum()), total))
    return np.array(rows)


def cuts():
    return [np.s_[start::20] for start in range(20)]


def mean_off_diagonal(terms):
    return (terms.sum() - np.trace(terms)) / (len(terms) * (len(terms) - 1))

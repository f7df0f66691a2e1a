"""Audits as metatensor's maps, against what metatomic's own SymmetrizedModel returns for the same model."""

from __future__ import annotations

import sys

import pytest
import torch
from report_builder import realistic, rotations_only, with_samples

import equiscope as eq
import equiscope.adapters.metatomic
from equiscope.errors import ArgumentError, MissingExtraError

from metatomic.torch import ModelOutput, System  # isort: skip
from metatomic.torch.o3 import SymmetrizedModel  # isort: skip
from vesin.metatomic import neighbor_lists_for_model  # isort: skip
from toy_atomistic import toy  # isort: skip

WATER = {"types": [8, 1, 1], "positions": [[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.1, -0.7, -0.5]]}
HYDROXYL = {"types": [8, 1], "positions": [[0.1, 0.0, 0.1], [0.0, 0.8, -0.3]]}
NAMES = ["energy", "non_conservative_force"]
LMAX, DEGREE = 2, 6


def system_of(structure):
    positions = torch.tensor(structure["positions"], dtype=torch.float64)
    cell, pbc = torch.zeros(3, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.bool)
    return System(torch.tensor(structure["types"]), positions, cell, pbc)


@pytest.fixture(scope="module")
def theirs():
    """Variances and character projections by name, as metatomic returns them."""
    model = toy()
    wrapped = SymmetrizedModel.wrap(
        model,
        max_angular_momentum_target=1,
        max_angular_momentum_character=LMAX,
        max_angular_momentum_grid=DEGREE,
        batch_size=128,
    )
    systems = [system_of(structure) for structure in (WATER, HYDROXYL)]
    for lists in neighbor_lists_for_model("angstrom", model):
        lists.add_neighbor_list(systems)
    names = [f"o3::{kind}::{name}" for kind in ("variance", "character_projection") for name in NAMES]
    asked = {name: ModelOutput(sample_kind="system" if name.endswith("energy") else "atom") for name in names}
    asked["o3::character_projection::feature"] = ModelOutput(sample_kind="atom")
    return wrapped.module(systems, asked, None)


@pytest.fixture(scope="module")
def ours():
    settings = dict(outputs=NAMES, layers="feature", lmax=LMAX, degree=DEGREE, shift=None, progress=False)
    return eq.audit(toy(), [WATER, HYDROXYL], keep="samples", **settings).to_metatensor()


def test_maps_have_metatomics_names_keys_and_samples(ours, theirs):
    assert set(ours) == set(theirs)
    for name, found in ours.items():
        expected = theirs[name]
        assert found.keys.names == expected.keys.names, name
        assert set(map(tuple, found.keys.values.tolist())) == set(map(tuple, expected.keys.values.tolist())), name
        for key in found.keys:
            assert found.block(key).samples == expected.block(key).samples, name


def test_values_are_metatomics(ours, theirs):
    for name, found in ours.items():
        for key in found.keys:
            block, reference = found.block(key), theirs[name].block(key)
            values = reference.values
            # metatomic keeps the components of an output; here they are summed
            components = [component.names for component in reference.components]
            if components:
                assert components == [["o3_mu"]] and "character" in name
                values = values.sum(dim=1)
            torch.testing.assert_close(block.values, values, rtol=1e-9, atol=1e-12 * float(values.abs().max() + 1))


def test_pooled_audits_have_one_sample_and_all_numbers():
    audit = realistic(3, 2)
    maps = audit.to_metatensor()
    variance = maps["o3::variance::dipole"]
    assert variance.keys.names == ["o3_lambda", "o3_sigma"] and variance.block(0).values.shape == (1, 1)
    assert float(variance.block(0).values) == float(audit.outputs["dipole"].variance)
    layer = maps["o3::character_projection::embedding"]
    place = audit.layers["embedding"].power[2, 1]
    assert float(layer.block({"chi_lambda": 2, "chi_sigma": -1}).values) == float(place)


def test_rows_that_are_none_of_the_system_are_samples():
    maps = with_samples().to_metatensor()
    assert maps["o3::variance::dipole"].block(0).samples.names == ["system", "sample"]


def test_other_groups_and_a_missing_metatensor_are_refused(monkeypatch):
    with pytest.raises(ArgumentError, match="group: expected an audit on O3, whose irreps metatomic has names for"):
        rotations_only().to_metatensor()
    monkeypatch.setitem(sys.modules, "metatensor.torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install metatomic-torch\)"):
        realistic(1, 1).to_metatensor()

"""Outputs against labels: target, prediction and error by irrep, and what symmetry breaking adds to the error."""

import math
from dataclasses import dataclass

import pytest
import torch

import equiscope as eq
from equiscope import errors

SETTINGS = dict(inputs="vector", lmax=2, degree=6, batching="stack", progress=False)


def systems(n=3, seed=0, rows=4):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, 3, dtype=torch.float64, generator=generator) for _ in range(n)]


def dipole(x):
    return (x * x.norm(dim=-1, keepdim=True)).sum(-2)


def quadrupole(x):
    trace = x.square().sum((-1, -2))[..., None, None]
    return x.mT @ x - torch.eye(3, dtype=x.dtype) * trace / 3


def biased(x):
    """A vector with content of l = 0, 1 and 2."""
    along = torch.tensor([0.3, -0.2, 0.5], dtype=x.dtype)
    return {"mu": dipole(x) + along + 0.2 * quadrupole(x) @ along}


def audited(model, data, kind="vector", **more):
    name = next(iter(more["targets"]))
    return eq.audit(model, data, outputs={name: kind}, **{**SETTINGS, **more})


def test_mean_square_error_is_that_of_2000_random_rotations_and_splits_into_symmetrised_error_and_A():
    data = systems()
    labels = [1.3 * dipole(x) for x in data]
    output = audited(biased, data, targets={"mu": labels}).outputs["mu"]
    target = output.target
    squares = []
    for seed, (x, y) in enumerate(zip(data, labels, strict=True)):
        elements = eq.random_rotations(2000, generator=torch.Generator().manual_seed(seed))
        elements = elements * torch.where(torch.arange(2000) % 2 == 0, 1.0, -1.0)[:, None, None]
        squares.append((biased(x @ elements.mT)["mu"] - elements @ y).square().mean(-1))
    squares = torch.stack(squares)
    error = float((squares.var(1) / 2000).sum().sqrt()) / len(data)
    assert abs(float(squares.mean()) - target.mse) < 4 * error
    assert error < 0.1 * target.mse_broken
    assert math.isclose(target.mse, target.mse_symmetrised + output.rmse**2, rel_tol=1e-12)


@pytest.mark.parametrize("degree", [4, 5, 6, 7])
def test_the_split_is_an_identity_on_any_one_grid(degree):
    (x,) = systems(1)
    y = 1.3 * dipole(x)
    report = audited(biased, [x], targets={"mu": [y]}, degree=degree, shift=None)
    grid = eq.quadrature(degree)
    elements = grid.select(0, len(grid))
    square = grid.weights @ (biased(x @ elements.mT)["mu"] - elements @ y).square().mean(-1)
    assert math.isclose(float(square), report.outputs["mu"].target.mse, rel_tol=1e-12)


def test_power_of_the_error_is_the_spectrum_of_the_error():
    data = systems()
    labels = [1.3 * dipole(x) for x in data]
    output = audited(biased, data, targets={"mu": labels}, shift=None).outputs["mu"]
    grid = eq.quadrature(6)
    elements = grid.select(0, len(grid))
    expected = 0
    for x, y in zip(data, labels, strict=True):
        error = biased(x @ elements.mT)["mu"] - elements @ y
        expected = expected + eq.character_power(error, grid, lmax=2).sum(-1) / len(data)
    assert torch.allclose(output.target.error_power, expected, rtol=1e-10, atol=1e-13)


def test_labels_have_the_power_of_an_equivariant_model_that_returns_them():
    data = systems()
    kind = "tensor"
    labels = [quadrupole(x) + 0.4 * torch.eye(3, dtype=x.dtype) for x in data]
    report = audited(lambda x: {"q": 0.0 * quadrupole(x)}, data, kind, targets={"q": labels})
    truth = eq.audit(
        lambda x: {"q": quadrupole(x) + 0.4 * torch.eye(3, dtype=x.dtype)}, data, outputs={"q": kind}, **SETTINGS
    )
    target = report.outputs["q"].target
    for label, sector in target.sectors.items():
        held = float(truth.outputs["q"].pooled_power[label[0], 0 if label[1] > 0 else 1])
        assert math.isclose(sector.target, held, rel_tol=1e-10, abs_tol=1e-12)
        assert math.isclose(float(target.error_power[label[0], 0 if label[1] > 0 else 1]), held, abs_tol=1e-10)


def test_what_the_model_does_not_produce_is_said():
    data = systems()
    report = audited(lambda x: {"q": quadrupole(x) * 0.1}, data, "tensor", targets={"q": list(map(quadrupole, data))})
    (sentence,) = [text for text in report.findings() if "does not produce" in text]
    assert "l=2, proper (sigma = +1)" in sentence and "+-" in sentence
    assert not [text for text in report.findings() if "l=0" in text and "does not produce" in text]


def test_power_in_the_wrong_components_is_said():
    data = systems()
    labels = [dipole(x)[[1, 2, 0]] for x in data]
    report = audited(lambda x: {"mu": dipole(x)}, data, targets={"mu": labels})
    assert any("not in the right components" in text for text in report.findings())


@pytest.mark.parametrize("group", ["SO3", "SO2"])
def test_other_groups_have_the_identity_too(group):
    data = systems(2)
    labels = [dipole(x) for x in data]
    output = audited(biased, data, targets={"mu": labels}, group=group).outputs["mu"]
    target = output.target
    assert math.isclose(target.mse, target.mse_symmetrised + output.rmse**2, rel_tol=1e-12)
    total = sum(sector.target for sector in target.sectors.values())
    assert math.isclose(total, float(sum(y.square().sum() for y in labels)) / 2, rel_tol=1e-12)


def test_random_elements_give_the_same_split_within_their_error():
    data = systems()
    labels = [1.3 * dipole(x) for x in data]
    on_grid = audited(biased, data, targets={"mu": labels}, degree=8).outputs["mu"].target
    drawn = audited(biased, data, targets={"mu": labels}, degree=None, estimator="monte-carlo", rotations=1024).outputs[
        "mu"
    ]
    assert abs(drawn.target.mse_symmetrised - on_grid.mse_symmetrised) < 0.1 * on_grid.mse_symmetrised
    assert abs(drawn.target.mse_broken - on_grid.mse_broken) < 0.1 * on_grid.mse_broken


def test_total_energies_keep_their_digits():
    data = systems()
    labels = [1e6 + x.norm() for x in data]
    report = audited(lambda x: {"e": 1e6 + x.norm(dim=(-1, -2)) + 1e-3}, data, "scalar", targets={"e": labels})
    target = report.outputs["e"].target
    assert math.isclose(target.rmse_symmetrised, 1e-3, rel_tol=1e-6)
    assert math.isclose(float(target.error_power[0, 0]), 1e-6, rel_tol=1e-5)


def test_labels_are_found_by_key_by_order_and_by_name_and_the_model_does_not_see_the_key():
    data = [{"x": x, "y": dipole(x)} for x in systems()]
    settings = {**SETTINGS, "inputs": {"x": "vector"}, "outputs": {"mu": "vector"}}

    def model(x):
        return biased(x)

    def found(given, targets):
        report = eq.audit(model, given, targets=targets, **settings)
        assert not report.warnings
        return report.outputs["mu"].target.mse

    plain = [{"x": each["x"]} for each in data]
    by_key = found(data, {"mu": "y"})
    assert by_key == found(plain, {"mu": [each["y"] for each in data]})
    assert by_key == found(plain, {"mu": torch.stack([each["y"] for each in data]).numpy()})
    assert by_key == found(plain, {"mu": {str(i): each["y"] for i, each in enumerate(data)}})
    assert by_key == found(iter(data), {"mu": "y"})
    assert "y" in data[0]


def test_objects_and_atoms_hold_their_labels_too():
    ase = pytest.importorskip("ase")

    @dataclass
    class Cloud:
        x: torch.Tensor
        y: torch.Tensor

    clouds = [Cloud(x, dipole(x)) for x in systems()]
    settings = {**SETTINGS, "outputs": {"mu": "vector"}, "targets": {"mu": "y"}}
    model = lambda cloud: biased(cloud.x)  # noqa: E731
    found = eq.audit(model, clouds, **{**settings, "inputs": {"x": "vector"}, "batching": "loop"}).outputs["mu"].target
    atoms = [ase.Atoms("H4", positions=cloud.x.numpy(), info={"y": cloud.y.numpy()}) for cloud in clouds]
    given = {**settings, "inputs": None, "dtype": torch.float64}
    read = eq.audit(lambda positions: biased(positions), atoms, **given).outputs["mu"].target
    assert found.mse_symmetrised == pytest.approx(read.mse_symmetrised, rel=1e-9)


def test_padded_labels_lose_the_rows_that_the_mask_takes():
    data = [{"x": torch.cat([x, x.new_zeros(2, 3)]), "mask": torch.arange(6) < 4} for x in systems(2)]
    settings = {**SETTINGS, "inputs": {"x": "vector"}, "outputs": {"f": "vector"}, "masks": "mask"}
    labels = {"padded": [each["x"] for each in data], "whole": [each["x"][:4] for each in data]}
    found = [
        eq.audit(lambda x, mask: {"f": 2 * x}, data, targets={"f": own}, **settings).outputs["f"].target
        for own in labels.values()
    ]
    assert found[0].mse == found[1].mse and found[0].samples == 8


@pytest.mark.usefixtures("blank_pictures")
def test_rows_have_labels_and_systems_have_a_row_of_scalars(tmp_path):
    data = systems(2)
    report = audited(lambda x: {"f": 2 * x}, data, targets={"f": data})
    target = report.outputs["f"].target
    assert target.samples == 8
    expected = [float(x.square().mean().sqrt()) for x in data]
    assert [row.outputs["f"]["target_rmse"] for row in report.systems] == pytest.approx(expected)
    assert report.outputs["f"].reference_rmse == pytest.approx(target.rmse)
    again = eq.Audit.load(report.save(tmp_path))
    assert again.outputs["f"].target.sectors == target.sectors
    assert (tmp_path / "targets.png").exists()


def test_of_a_target_above_lmax_nothing_is_said_but_its_error(tmp_path):
    data = systems(1)
    labels = [quadrupole(x) for x in data]
    report = audited(lambda x: {"q": 0 * quadrupole(x)}, data, kind="tensor", targets={"q": labels}, lmax=1)
    assert "off by RMSE" in str(report) and "does not produce" not in str(report)
    assert (report.save(tmp_path) / "index.html").exists()
    assert report.outputs["q"].target.mse_symmetrised == pytest.approx(labels[0].square().mean().item())


def test_audits_without_labels_have_no_target():
    report = eq.audit(lambda x: {"mu": dipole(x)}, systems(1), outputs={"mu": "vector"}, **SETTINGS)
    assert report.outputs["mu"].target is None and report.outputs["mu"].quantities == {}


@pytest.mark.parametrize(
    "targets, words",
    [
        ("y", "targets: expected a dict"),
        ({"nu": "y"}, r"targets: expected names of declared outputs \(mu\), got 'nu'"),
        ({"mu": "z"}, r"targets\['mu'\]: expected a key of every system \('0' has x\), got 'z'"),
        ({"mu": 3.0}, r"targets\['mu'\]: expected the key"),
        ({"mu": [torch.zeros(3)]}, r"targets\['mu'\]: expected 2 labels, one per system, got 1"),
        ({"mu": {"0": torch.zeros(3)}}, r"targets\['mu'\] of '1': expected a label, got none"),
        ({"mu": [torch.zeros(2)] * 2}, r"targets\['mu'\] of '0': expected \(..., 3\) for 'vector'"),
        ({"mu": [torch.zeros(2, 3)] * 2}, r"targets\['mu'\] of '0': expected 1 of 'vector', as many as the model"),
        ({"mu": [torch.full((3,), math.nan)] * 2}, r"targets\['mu'\] of '0': expected finite numbers"),
    ],
)
def test_labels_that_fit_nothing_are_refused(targets, words):
    settings = {**SETTINGS, "inputs": {"x": "vector"}, "outputs": {"mu": "vector"}}
    with pytest.raises(errors.EquiscopeError, match=words):
        eq.audit(biased, [{"x": x} for x in systems(2)], targets=targets, **settings)

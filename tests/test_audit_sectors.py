"""The audit against answers known in closed form."""

import math

import pytest
import torch

import equiscope as eq

FRAME = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))).Q
POLYNOMIALS = {
    "one": lambda r: torch.ones_like(r[..., 0]),
    "z": lambda r: r[..., 2],
    "xy": lambda r: r[..., 0] * r[..., 1],
    "xyz": lambda r: r.prod(-1),
}


def power_of(function, point, *, dtype=torch.float64, **settings):
    data = [{"x": torch.as_tensor(point, dtype=dtype)}]
    report = eq.audit(function, data, inputs={"x": "vector"}, outputs={"u": "scalar"}, keep="samples", **settings)
    return report.outputs["u"]


@pytest.mark.parametrize("sigma", [1, -1])
@pytest.mark.parametrize("l, name", list(enumerate(POLYNOMIALS)))
def test_each_monomial_lies_in_its_own_sector(l, name, sigma):
    polynomial = POLYNOMIALS[name]

    def model(x):
        triple = torch.linalg.det(x) if sigma < 0 else 1.0
        return polynomial(x[..., 0, :]) * triple

    found = power_of(model, FRAME, lmax=3, degree=6).power[:, :, 0, 0]
    expected = torch.zeros(4, 2, dtype=torch.float64)
    expected[l, 0 if sigma > 0 else 1] = (1.0, 1 / 3, 1 / 15, 1 / 105)[l]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_what_lies_above_lmax_is_unresolved_and_nowhere_else():
    def legendre_5(x):
        z = x[..., 2]
        return (63 * z**5 - 70 * z**3 + 15 * z) / 8

    found = power_of(legendre_5, [0.6, 0.0, 0.8], lmax=3)
    assert float(found.power.abs().max()) < 1e-12
    assert found.pooled_unresolved == pytest.approx(1 / 11, rel=1e-12)
    assert found.degree >= 8


def test_large_constant_costs_no_digits():
    found = power_of(lambda x: 1e8 + x[..., 0], [1.0, 2.0, 3.0], lmax=2, degree=6)
    assert float(found.variance) == pytest.approx(14 / 3, rel=1e-5)
    assert float(found.power[1, 0]) == pytest.approx(14 / 3, rel=1e-5)
    assert float(found.mean) == pytest.approx(1e8, rel=1e-15)


def test_constant_float32_output_has_no_power_above_zero():
    found = power_of(lambda x: torch.full_like(x[..., 0], 1e6), [1.0, 2.0, 3.0], dtype=torch.float32, lmax=4)
    assert float(found.power[1:].abs().max()) == 0.0
    assert float(found.power[0, 1]) == 0.0
    assert found.rmse == 0.0


def test_quarter_turn_of_a_pseudovector_is_no_error():
    def torque(x):
        return torch.linalg.cross(x[..., 0, :], x[..., 1, :])

    data = [{"x": torch.randn(2, 3, dtype=torch.float64)}]
    right = eq.audit(torque, data, inputs={"x": "vector"}, outputs={"t": "pseudovector"}, lmax=2, degree=6)
    wrong = eq.audit(torque, data, inputs={"x": "vector"}, outputs={"t": "vector"}, lmax=2, degree=6)
    assert right.outputs["t"].relative < 1e-14
    assert wrong.outputs["t"].relative == pytest.approx(1.0, rel=1e-12)
    assert float(right.outputs["t"].fractions[1, 1]) == pytest.approx(1.0, rel=1e-12)


def test_every_part_of_a_tensor_has_its_own_error():
    def model(x):
        outer = x[..., :, None] * x[..., None, :]
        outer = outer.clone()
        outer[..., 0, 1] += 0.3
        outer[..., 1, 0] -= 0.3
        return outer

    found = power_of_tensor(model)
    # the planted antisymmetric matrix is a constant axial vector: variance of (1,-1) alone
    assert found.parts[(0, 1)].rmse < 1e-14
    assert found.parts[(2, 1)].rmse < 1e-14
    assert found.parts[(1, -1)].rmse == pytest.approx(math.sqrt(2 * 0.3**2 / 3), rel=1e-12)


def power_of_tensor(model):
    data = [{"x": torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)}]
    return eq.audit(model, data, inputs={"x": "vector"}, outputs={"t": "tensor"}, lmax=2, degree=6).outputs["t"]


def test_voigt_and_tensor_say_the_same_of_a_symmetric_tensor():
    def model(x):
        full = x[..., :, None] * x[..., None, :] * (1.0 + 0.3 * x[..., 2, None, None])
        voigt = torch.stack([full[..., i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], dim=-1)
        return {"voigt": voigt, "tensor": full}

    data = [{"x": torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)}]
    kinds = {"voigt": "voigt", "tensor": "tensor"}
    found = eq.audit(model, data, inputs={"x": "vector"}, outputs=kinds, lmax=2, degree=8).outputs
    for field in ("total", "power", "unresolved"):
        expected = getattr(found["tensor"], field)
        torch.testing.assert_close(getattr(found["voigt"], field), expected, rtol=1e-12, atol=1e-14)
    assert found["voigt"].pooled_unresolved > 1e-3


def test_random_model_is_called_stochastic():
    generator = torch.Generator().manual_seed(0)

    def model(x):
        return (x**2).sum(-1) + 0.1 * torch.randn(x.shape[:-1], generator=generator, dtype=x.dtype)

    data = [{"x": torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)}]
    report = eq.audit(model, data, inputs={"x": "vector"}, outputs={"u": "scalar"}, lmax=1, degree=6)
    assert report.outputs["u"].stochastic
    assert any("stochastic" in finding for finding in report.findings())
    assert report.outputs["u"].rmse == pytest.approx(0.1, rel=0.3)


def test_not_a_number_stops_one_system_and_is_located():
    def model(x):
        return torch.where(x[..., 2] > 2.9, float("nan"), x[..., 2])

    data = [("calm", {"x": torch.tensor([0.3, 0.2, 0.1])}), ("wild", {"x": torch.tensor([1.0, 2.0, 2.0])})]
    report = eq.audit(model, data, inputs={"x": "vector"}, outputs={"u": "scalar"}, lmax=1, degree=6)
    assert [row.name for row in report.systems] == ["calm"]
    (failure,) = report.failures
    assert (failure.system, failure.where) == ("wild", "u")
    assert float((failure.rotation @ torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64))[2]) > 2.9


def test_worst_rotation_is_the_planted_one():
    grid = eq.quadrature(6).rotations
    target = grid[137] @ torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

    def model(x):
        return torch.where((x - target).norm(dim=-1) < 1e-9, 1.0, 0.0) + (x**2).sum(-1)

    found = power_of(model, [1.0, 2.0, 3.0], lmax=1, degree=6, shift=None)
    assert found.worst.rotation_index == 137
    torch.testing.assert_close(found.worst.rotation, grid[137])


def test_auto_evaluates_no_system_twice_at_one_degree():
    data = [{"x": FRAME * scale} for scale in (1.0, 1.1, 1.2, 1.3)]
    settings = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar"}, "lmax": 2, "keep": "samples"}

    def model(x):
        return x[..., 0, 2].tanh()

    found = eq.audit(model, data, tolerance=1e-3, **settings)
    ran = {int(degree): systems for degree, systems in found.settings["degrees"].items()}
    copies = sum(systems * len(eq.quadrature(degree)) for degree, systems in ran.items())
    assert found.timings["evaluations"] - found.timings["checks"] == copies
    assert sum(ran.values()) >= 4 + 2 and found.settings["unsettled"] == 0
    fixed = eq.audit(model, data, degree=29, **settings)
    torch.testing.assert_close(found.outputs["u"].power, fixed.outputs["u"].power, rtol=1e-2, atol=1e-4)
    assert [row.name for row in found.systems] == ["0", "1", "2", "3"]

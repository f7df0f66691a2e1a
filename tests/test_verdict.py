"""Each verdict holds where its definition says, decided by measured numbers alone."""

import math

import pytest
import torch
from report_builder import output

import equiscope as eq
from equiscope import Verdict
from equiscope.report import Output, Part
from equiscope.result.data import AuditData
from equiscope.result.floor import content, noise_power, unresolved_floor
from equiscope.result.judge import Numbers, Parity, judge
from equiscope.result.verdict import error_sectors, per_row, rotations_alone, spread, uncertain


@pytest.mark.parametrize(
    "numbers, expected",
    [
        (Numbers(rmse=math.nan, size=1.0, floor=1e-7), Verdict.UNMEASURED),
        (Numbers(rmse=0.1, size=math.inf, floor=1e-7), Verdict.UNMEASURED),
        (Numbers(rmse=0.0, size=0.0, floor=0.0, responds=False), Verdict.ZERO),
        (Numbers(rmse=0.0, size=0.0, floor=1.0, responds=False), Verdict.ZERO),
        (Numbers(rmse=0.0, size=0.0, floor=1.0), Verdict.VANISHES),
        (Numbers(rmse=5e-8, size=5e-8, floor=2e-8), Verdict.VANISHES),
        (Numbers(rmse=5e-8, size=1.0, floor=2e-8), Verdict.EXACT),
        (Numbers(rmse=0.0, size=1.0, floor=0.0), Verdict.EXACT),
        (Numbers(rmse=7e-8, size=1.0, floor=2e-8), Verdict.BROKEN),
        (Numbers(rmse=0.70, size=1.0, floor=2e-8), Verdict.BROKEN),
        (Numbers(rmse=0.71, size=1.0, floor=2e-8), Verdict.WRONG),
        (Numbers(rmse=7e-8, size=7e-8, floor=2e-8), Verdict.WRONG),
        (Numbers(rmse=5e-8, size=1.0, floor=2e-8, stochastic=True), Verdict.STOCHASTIC),
        (Numbers(rmse=7e-8, size=1.0, floor=2e-8, stochastic=True), Verdict.BROKEN),
        (Numbers(rmse=0.5, size=0.5, floor=0.2, jumps=True), Verdict.JUMPS),
        (Numbers(rmse=0.7, size=1.0, floor=0.2, jumps=True), Verdict.BROKEN),
        (Numbers(rmse=1e-3, size=1.0, floor=math.nan), Verdict.BROKEN),
    ],
)
def test_the_first_definition_that_holds_is_the_verdict(numbers: Numbers, expected: Verdict) -> None:
    assert judge(numbers) is expected


def test_a_verdict_is_its_word() -> None:
    words = ["not measured", "zero", "stochastic", "jumps", "vanishes", "exact", "not as declared", "breaks"]
    assert [str(verdict) for verdict in Verdict] == words and Verdict.EXACT == "exact"
    assert eq.Verdict is Verdict
    assert [verdict for verdict in Verdict if verdict.is_broken] == [Verdict.WRONG, Verdict.BROKEN]
    assert [verdict for verdict in Verdict if verdict.is_kept] == [Verdict.VANISHES, Verdict.EXACT]


def test_no_size_times_a_constant_makes_an_error_exact() -> None:
    """An energy of 1e4 in float32 whose anisotropy is 40 units in the last place; and a dipole that is round-off."""
    energy = output("energy", "scalar", (0, 1), relative=3.75e-6, size=1e4)
    energy.noise_floor = 3e-4
    assert energy.rmse == pytest.approx(0.0375) and energy.verdict is Verdict.BROKEN
    dipole = output("dipole", "vector", (1, 1), relative=0.66, size=9e-8)
    dipole.noise_floor = 7.4e-8
    assert dipole.verdict is Verdict.VANISHES
    dipole.noise_floor = 1e-8
    assert dipole.verdict is Verdict.BROKEN


def test_an_output_without_samples_is_not_measured() -> None:
    found = output("energy", "scalar", (0, 1), relative=0.0, samples=0)
    assert found.verdict is Verdict.UNMEASURED


def test_what_is_not_said_of_an_output_is_nothing() -> None:
    numbers = {name: torch.tensor(value, dtype=torch.float64) for name, value in (("total", 4.0), ("unresolved", 0.0))}
    bare = Output("u", torch.zeros(2, 2, dtype=torch.float64), **numbers, degree=6, samples=1, channels=1, noise=0.0)
    nothing = (bare.rmse, bare.relative, bare.rmse_error, bare.symmetrised, bare.noise_floor, bare.unresolved_error)
    assert nothing == (0.0,) * 6 and float(bare.variance) == 0.0 and not bare.power_error.any()
    assert bare.responds and bare.errors_assumed and not bare.stochastic
    assert (bare.components, bare.size, bare.verdict) == (1, 2.0, Verdict.EXACT)
    assert Part(bare.variance, 0.0, bare.power).rmse_error == 0.0
    bare.total = torch.zeros(())
    assert bare.size == 0.0 and not bare.fractions.any()


@pytest.mark.parametrize("settings, expected", [({"sampled": True}, True), ({"sampled": False}, False), ({}, False)])
def test_an_audit_knows_whether_its_numbers_scatter(settings, expected) -> None:
    assert AuditData({}, {}, [], settings=settings).sampled is expected


def test_an_output_without_parts_and_without_a_target_has_no_share_of_its_error() -> None:
    found = output("stress", "tensor", (0, 1), relative=0.1)
    found.parts = {}
    assert error_sectors(found) == {}
    found.representation = "invariant"
    # of several components, of which none may turn
    assert (1, 1) in error_sectors(found) and (0, 1) not in error_sectors(found)


def test_what_is_stochastic_is_compared_with_its_scatter() -> None:
    found = output("energy", "scalar", (0, 1), relative=0.05, stochastic=True)
    found.noise_floor, found.noise = 1e-8, 0.05
    assert found.verdict is Verdict.STOCHASTIC and not found.verdict.is_broken
    found.rmse = 0.4
    assert found.verdict is Verdict.BROKEN


def test_the_noise_of_an_entry_is_what_was_measured() -> None:
    found = output("mu", "vector", (1, 1), relative=0.1, size=1e6)
    found.noise_floor, found.noise = 0.0, 0.0
    assert found.scatter == 0.0 == noise_power(found)
    found.noise_floor = 1e-3
    assert noise_power(found) == pytest.approx(3 * 9e-6)


@pytest.mark.parametrize(
    "rotations, inversion, expected",
    [
        (1e-8, -1.0, Parity.REVERSED),
        (1e-8, -0.9995, Parity.REVERSED),
        (1e-8, -0.99, Parity.MIXED),
        (1e-8, 0.4, Parity.MIXED),
        (1e-8, None, Parity.MIXED),
        (0.1, -1.0, Parity.BROKEN),
        (None, None, None),
        (math.nan, None, None),
    ],
)
def test_rotations_and_inversion_are_told_apart(rotations, inversion, expected) -> None:
    found = output("stress", "scalar", (0, 1), relative=0.9)
    found.rmse_rotations, found.inversion = rotations, inversion
    assert rotations_alone(found) is expected


def test_parity_is_no_question_where_nothing_is_broken() -> None:
    found = output("energy", "scalar", (0, 1), relative=1e-8)
    found.rmse_rotations = 1e-8
    assert rotations_alone(found) is None


def test_an_error_within_its_own_error_is_uncertain() -> None:
    found = output("energy", "scalar", (0, 1), relative=0.1)
    found.rmse_error = 0.05
    assert not uncertain(found)
    found.rmse_error = 0.1
    assert uncertain(found)


def test_content_within_its_error_is_no_content() -> None:
    found = output("energy", "scalar", (0, 1), relative=0.1)
    everything = content(found)
    assert (1, -1) in everything and len(everything) == 17
    found.power_error = torch.zeros_like(found.power)
    found.power_error[1, 1] = 2 * found.power[1, 1]
    assert content(found) == everything - {(1, -1)}
    found.unresolved_error = 0.3
    assert unresolved_floor(found) == 0.3


def test_the_spread_over_systems_is_that_of_one_value_each() -> None:
    report = eq.audit(
        lambda input: input.square().sum((-1, -2)),
        [scale * torch.eye(3)[:2].double() for scale in (1.0, 2.0, 3.0)],
        inputs="vector",
        outputs={"u": "scalar"},
        lmax=0,
        degree=6,
        units={"u": "eV"},
        reference_rmse={"u": 0.5},
        progress=False,
    )
    found = report.outputs["u"]
    assert found.spread == pytest.approx(torch.tensor([2.0, 8.0, 18.0]).double().std(correction=0).item())
    assert (found.unit, found.reference_rmse) == ("eV", 0.5)
    assert spread(report.systems[:1], found) is None


def test_values_that_vanish_by_symmetry_have_no_spread() -> None:
    """The average of an odd function is 0 for every system, so its error is no multiple of what they differ by."""
    report = eq.audit(
        lambda input: input.pow(3).sum((-1, -2)),
        list(torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(0))),
        inputs="vector",
        outputs={"u": "scalar"},
        lmax=1,
        degree=6,
        progress=False,
    )
    assert report.outputs["u"].rmse > 1 and report.outputs["u"].spread is None
    assert "of its spread" not in str(report) + report.to_html()


def test_an_energy_is_told_per_atom_and_in_millis() -> None:
    report = eq.audit(
        lambda input: input[..., 0].sum(-1),
        [torch.ones(n, 3).double() for n in (2, 4)],
        inputs="vector",
        outputs={"energy": "scalar"},
        lmax=1,
        degree=6,
        units={"energy": "eV"},
        progress=False,
    )
    # x summed over n atoms at (1, 1, 1) is n x, whose mean square over rotations is n^2: one per atom
    assert per_row(report, "energy") == (pytest.approx(1000.0), "meV")
    report.outputs["energy"].unit = "kcal/mol"
    assert per_row(report, "energy") == (pytest.approx(1.0), "kcal/mol")
    report.outputs["energy"].unit = None
    assert per_row(report, "energy") is None


@pytest.mark.parametrize("group", ["O3", "SO3"])
def test_voigt_and_tensor_of_one_quantity_agree_in_every_number(group) -> None:
    weights = torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double()

    def tensor(input):
        p = torch.tanh(input @ weights).sum(1)
        return torch.einsum("bni,bnj->bij", input, input) + 0.3 * p[:, :, None] * p[:, None, :]

    def voigt(input):
        full = tensor(input)
        return torch.stack([full[:, i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], -1)

    data = [torch.randn(5, 3, generator=torch.Generator().manual_seed(i)).double() for i in (2, 3)]
    for ask in ({"degree": 14}, {"estimator": "monte-carlo", "rotations": 64}):
        settings = {"inputs": "vector", "lmax": 2, "group": group, "progress": False, **ask}
        a = eq.audit(tensor, data, outputs={"s": "tensor"}, **settings)
        b = eq.audit(voigt, data, outputs={"s": "voigt"}, **settings)
        one, other = a.outputs["s"], b.outputs["s"]
        assert other.components == 9 and other.size == pytest.approx(one.size, rel=1e-9)
        assert (other.rmse, other.relative) == (
            pytest.approx(one.rmse, rel=1e-9),
            pytest.approx(one.relative, rel=1e-9),
        )
        if "rotations" in ask:
            assert other.rmse_error == pytest.approx(one.rmse_error, rel=1e-6)
        for row, same in zip(a.systems, b.systems, strict=True):
            for key in ("rmse", "relative", "total"):
                assert same.outputs["s"][key] == pytest.approx(row.outputs["s"][key], rel=1e-9)


def test_the_metric_of_voigt_is_that_of_the_tensor() -> None:
    grid = eq.quadrature(6)
    full = torch.randn(len(grid), 1, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    full = full + full.mT
    six = torch.stack([full[..., i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], -1)
    found = []
    for kind, values in (("tensor", full), ("voigt", six)):
        metric = eq.metrics.EquivarianceError(kind, grid)
        metric.update(values)
        found.append(metric.compute())
    for key in ("rmse", "variance", "size", "relative"):
        assert float(found[0][key]) == pytest.approx(float(found[1][key]), rel=1e-12)

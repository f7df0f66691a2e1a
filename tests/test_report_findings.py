"""Every statement is made where it holds, with the name and the number that it is about, and nowhere else."""

from __future__ import annotations

import math

import pytest
import torch
from report_builder import closed, output, realistic, rows, shares, spectrum

from equiscope.report import Audit, Failure, Output, Part, SystemRow
from equiscope.report.failures import failures_alike
from equiscope.report.origin import declared_input_irreps
from equiscope.report.statements import findings
from equiscope.result.judge import Verdict
from equiscope.result.verdict import actual_irrep, error_sectors, misplaced


def audit_of(outputs: list[Output] | None = None, layers: list = (), **settings: object) -> Audit:
    named = {o.name: o for o in outputs or []}
    found = {layer.name: layer for layer in layers}
    return Audit(
        outputs=named,
        layers=found,
        systems=rows(1, named, found),
        settings={"inputs": {"positions": "vector"}, **settings},
    )


def said(audit: Audit, *parts: str) -> str:
    """The one finding that holds all `parts`."""
    found = [line for line in findings(audit) if all(part in line for part in parts)]
    assert len(found) == 1, findings(audit)
    return found[0]


def silent(audit: Audit, *parts: str) -> None:
    assert not [line for line in findings(audit) if all(part in line for part in parts)], findings(audit)


def invariant(name: str, dtype: str = "float32") -> object:
    return spectrum(name, closed(8, (0, 1, 1.0)), dtype=dtype)


def test_broken_invariance_states_relative_error_rmse_and_noise_floor() -> None:
    line = said(
        audit_of([output("energy", "scalar", (0, 1), relative=3e-4, size=41.0)]), "`energy` breaks invariance by"
    )
    assert "3.00e-04 of its size" in line and "RMSE 0.0123" in line and "noise floor 1.97e-05" in line


def test_an_error_in_double_precision_that_is_round_off_of_single_is_called_so() -> None:
    small = output("energy", "scalar", (0, 1), relative=2e-9, dtype="float64")
    large = output("forces", "vector", (1, 1), relative=1e-3, dtype="float64")
    assert said(audit_of([small, large]), "set the default dtype before").startswith("`energy` breaks by no more than")
    silent(audit_of([large]), "default dtype")
    silent(audit_of([output("energy", "scalar", (0, 1), relative=9e-7, dtype="float32")]), "default dtype")


def test_broken_equivariance_names_the_representation() -> None:
    line = said(
        audit_of([output("mu", "vector", (1, 1), relative=0.021)]), "`mu` breaks equivariance as a vector by 2.10%"
    )
    assert "turns like l=2, proper" in line


def test_error_at_the_noise_floor_is_exact_within_the_dtype() -> None:
    for relative in (0.0, 1e-7, 1.4e-6):
        audit = audit_of([output("energy", "scalar", (0, 1), relative=relative)])
        said(audit, "invariant as far as float32 can tell", "round-off (RMSE")
        assert audit.outputs["energy"].verdict is Verdict.EXACT


def test_of_half_precision_it_is_said_how_little_is_seen() -> None:
    own = output("energy", "scalar", (0, 1), relative=1e-3, dtype="float32")
    own.noise_floor = 1.1e-2 * own.size
    line = said(audit_of([own], computes_in="bfloat16"), "as far as bfloat16 can tell", "(`energy` 1.10% of its size)")
    assert "no error of symmetry below it is seen" in line and "ill-conditioned" not in line
    # made in float32 and rounded at last: no jump either
    said(
        audit_of([output("energy", "scalar", (0, 1), relative=1e-8, dtype="float16")], computes_in="float32"), "float16"
    )
    for dtype, hides in (("float16", True), ("float32", False)):
        still = output("energy", "scalar", (0, 1), relative=0.0, dtype=dtype)
        still.depends = False
        assert ("Or steps of float16" in said(audit_of([still]), "not depend on any input")) == hides


def test_error_just_above_the_noise_floor_is_not_exact() -> None:
    assert output("energy", "scalar", (0, 1), relative=2.1e-6).verdict is Verdict.BROKEN
    assert output("energy", "scalar", (0, 1), relative=2e-6, dtype="float64").verdict is Verdict.BROKEN


def test_exactly_zero_error_is_exact_even_without_a_noise_floor() -> None:
    found = output("energy", "scalar", (0, 1), relative=0.0)
    found.noise_floor = 0.0
    assert found.verdict is Verdict.EXACT


def test_stochastic_models_are_named_and_their_noise_is_no_symmetry_breaking() -> None:
    audit = audit_of([output("energy", "scalar", (0, 1), relative=0.05, stochastic=True)])
    said(audit, "`energy` is stochastic", "0.0500", "dropout")
    said(audit, "Beyond that noise, `energy` shows no symmetry breaking")
    silent(audit, "is invariant")


def test_noise_that_hides_every_response_is_told_from_an_output_without_input() -> None:
    drowned = [output(name, "scalar", (0, 1), relative=0.05, stochastic=True) for name in "abcd"]
    for found in drowned:
        found.depends = False
    said(
        audit_of(drowned[:1]),
        "`a` is stochastic",
        "Above that noise, `a` is not seen to depend on any input that is turned: that it",
    )
    said(
        audit_of(drowned),
        "4 outputs are stochastic",
        "are not seen to depend on any input that is turned: that they show",
    )
    for audit in (audit_of(drowned[:1]), audit_of(drowned)):
        silent(audit, "declared invariant")
        silent(audit, "no symmetry breaking")


def test_stochastic_and_broken_are_both_said() -> None:
    audit = audit_of([output("energy", "scalar", (0, 1), relative=0.4, stochastic=True)])
    said(audit, "is stochastic")
    said(audit, "breaks invariance by 40.0% of its size, noise included")


@pytest.mark.parametrize("rmse", [math.nan, math.inf])
def test_an_output_without_a_number_is_not_called_exact(rmse: float) -> None:
    found = output("energy", "scalar", (0, 1), relative=0.1)
    found.rmse = rmse
    said(audit_of([found]), "`energy` could not be measured", str(rmse))


def wrongly_declared(power: torch.Tensor, relative: float) -> Output:
    found = output("spin", "vector", (1, 1), relative=relative)
    found.power = power * found.pooled_total
    found.parts = {(1, 1): Part(found.variance, found.rmse, found.power)}
    return found


def test_a_pseudovector_declared_vector_is_recognised() -> None:
    found = wrongly_declared(closed(8, (1, -1, 1.0)), 1.0)
    assert actual_irrep(found) == (1, -1)
    said(audit_of([found]), "does not transform as declared (vector)", "turns like a pseudovector (1e")


def test_components_in_the_wrong_order_are_recognised() -> None:
    audit = audit_of([wrongly_declared(closed(8, (1, 1, 1.0)), 0.9)])
    said(audit, "carries the declared irrep", "their order", "an absolute axis in the model")


def test_an_output_with_no_symmetry_at_all_is_recognised() -> None:
    said(audit_of([wrongly_declared(shares(8, 0.7, 1.0), 0.9)]), "does not transform", "was not declared")


def test_an_output_that_is_noise_is_recognised() -> None:
    found = wrongly_declared(0.02 * shares(8, 0.99, 1.0), 1.0)
    found.unresolved = 0.98 * found.total
    said(audit_of([found]), "does not transform", "Most of its power lies above l=8, as that of noise does")


def test_error_sectors_of_one_irrep_sum_to_the_squared_error() -> None:
    found = error_sectors(output("mu", "vector", (1, 1), relative=0.1))
    assert sum(found.values()) == pytest.approx(1.0, rel=1e-9)
    assert (1, 1) not in found
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_error_sectors_work_with_samples_kept_and_without_parts() -> None:
    found = output("energy", "scalar", (0, 1), relative=0.1)
    expected = error_sectors(found)
    found.parts = {}
    found.power = found.power[:, :, None, None].expand(-1, -1, 4, 2)
    assert error_sectors(found) == pytest.approx(expected)


def test_error_above_lmax_is_said() -> None:
    said(
        audit_of([output("energy", "scalar", (0, 1), relative=0.1, unresolved=0.8)]),
        "80.0% of the squared error",
        "above l=8",
    )


def test_error_in_the_wrong_components_is_said() -> None:
    found = wrongly_declared(closed(8, (1, 1, 1.0), (2, 1, 1e-9)), 0.1)
    said(audit_of([found]), "right irrep in the wrong components")


def test_a_scalar_has_no_wrong_components() -> None:
    found = output("energy", "scalar", (0, 1), relative=0.1, decay=0.9)
    found.symmetrised = (found.pooled_total - found.rmse**2) ** 0.5
    found.power_error = torch.full_like(found.power, 0.14 * found.rmse**2)  # most irreps lie within
    assert sum(error_sectors(found).values()) < 0.5 and misplaced(found) < 1e-9
    silent(audit_of([found]), "wrong components")
    said(audit_of([found]), "`energy` breaks invariance by 10.0%")


def test_what_is_exact_is_so_as_far_as_the_model_computes() -> None:
    exact = output("energy", "scalar", (0, 1), relative=0.0, dtype="float64")
    said(audit_of([exact], computes_in="float32"), "as far as float32 can tell")
    said(audit_of([exact]), "as far as float64 can tell")
    tiny = output("energy", "scalar", (0, 1), relative=2e-9, dtype="float64")
    silent(audit_of([tiny], computes_in="float32"), "default dtype")


def test_the_worst_system_is_named_and_outliers_are_called_so() -> None:
    audit = realistic()
    assert "`system_7`" in said(audit, "`dipole`", "an outlier")
    assert "Worst system" in said(audit, "`energy` breaks") and "outlier" not in said(audit, "`energy` breaks")
    silent(audit_of([output("energy", "scalar", (0, 1), relative=0.1)]), "Worst system")


def test_the_layer_that_leaks_in_an_equivariant_model_is_named() -> None:
    leak = closed(8, (0, 1, 0.7), (1, 1, 0.2), (2, 1, 0.1)) + 1e-8 * shares(8, 0.5, 0.1)
    layers = [
        spectrum("embed", closed(8, (0, 1, 1.0))),
        spectrum("conv.0", closed(8, (0, 1, 0.6), (1, 1, 0.4))),
        spectrum("conv.1", closed(8, (0, 1, 0.7), (1, 1, 0.2), (2, 1, 0.1))),
        spectrum("conv.2", leak / leak.sum()),
        spectrum("conv.3", shares(8, 0.4, 0.2)),
    ]
    audit = audit_of([output("energy", "scalar", (0, 1), relative=1e-3)], layers)
    line = said(audit, "looks like a leak")
    assert line.startswith("`conv.2` is the first layer with power in") and "l=3..8" in line
    silent(audit, "`conv.3` is the first layer with power in")
    legitimate = said(audit, "`conv.1` is the first layer with power in l=2 ")
    assert "meant to be" not in legitimate


FILTERS = [
    invariant("embed"),
    spectrum("filters.0", closed(8, (0, 1, 0.55), (1, 1, 0.45))),
    spectrum("filters.1", closed(8, (0, 1, 0.6), (1, 1, 0.391), (2, 1, 0.005), (3, 1, 0.004))),
]


@pytest.mark.parametrize("relative", [0.3, 0.01])
def test_the_first_layer_that_carries_the_irrep_of_the_error_is_named(relative) -> None:
    audit = audit_of([output("energy", "scalar", (0, 1), relative=relative, decay=0.01)], FILTERS)
    line = said(audit, "first audited layer that carries")
    assert line.startswith("`filters.0` is the first audited layer that carries l=1, in which 94.3% of the squared")
    assert "error of `energy` lies. That is no fault" in line and '`layers={"filters.**": "scalar"}`' in line
    silent(audit, "looks like a leak")


@pytest.mark.parametrize("relative, leaks", [(0.3, False), (0.01, True)])
def test_a_layer_before_it_that_is_not_invariant_is_named_too(relative, leaks) -> None:
    energy = output("energy", "scalar", (0, 1), relative=relative, decay=0.01)
    power = energy.parts[(0, 1)].power
    power[[1, 2]] = power[[2, 1]]
    audit = audit_of([energy], FILTERS)
    line = said(audit, "`filters.1` is the first audited layer that carries l=2")
    assert "`filters.0` before it is the first that is not invariant" in line
    assert ("looks like a leak" in " ".join(findings(audit))) is leaks


@pytest.mark.parametrize(
    "found, first",
    [
        (output("energy", "scalar", (0, 1), relative=0.0), closed(8, (1, 1, 1.0))),
        (output("dipole", "vector", (1, 1), relative=0.1), closed(8, (2, 1, 1.0))),
        (output("energy", "scalar", (0, 1), relative=0.1), closed(8, (0, 1, 1.0))),
        (output("energy", "scalar", (0, 1), relative=0.1, decay=0.9), shares(8, 0.5, 0.0)),
    ],
    ids=["exact", "a vector", "no layer carries it", "in many irreps"],
)
def test_no_layer_is_said_to_carry_an_error_that_is_none_or_in_no_one_irrep(found, first) -> None:
    silent(audit_of([found], [spectrum("a", first)]), "first audited layer that carries")


def test_declared_layers_that_are_exact_carry_no_error() -> None:
    layers = [output("a", "4x1o", (1, 1), relative=0.0), spectrum("b", closed(8, (0, 1, 0.5), (1, 1, 0.5)))]
    audit = audit_of([output("energy", "scalar", (0, 1), relative=0.1)], layers)
    assert said(audit, "first audited layer that carries l=1").startswith("`b`")


@pytest.mark.parametrize("dtype, small, large", [("float32", 1e-6, 1e-3), ("float64", 1e-14, 1e-12)])
def test_an_exact_output_with_noise_far_above_round_off_is_said_to_jump(dtype, small, large) -> None:
    for noise, loud in ((small, False), (large, True)):
        energy = output("energy", "scalar", (0, 1), relative=noise, size=20.0, dtype=dtype)
        energy.noise_floor = noise * 20
        line = said(audit_of([energy]), "invariant as far as")
        assert ("the noise itself is large" in line and "jumps there or is ill-conditioned" in line) is loud
    energy.noise_floor = 2e-3
    silent(audit_of([energy], computes_in="bfloat16"), "the noise itself")


def test_no_leak_is_claimed_when_every_output_is_exact() -> None:
    layers = [invariant("a"), spectrum("b", closed(8, (0, 1, 1.0), (2, 1, 1e-4)))]
    audit = audit_of([output("energy", "scalar", (0, 1), relative=0.0)], layers)
    said(audit, "`b` is the first layer with power in l=2")
    silent(audit, "meant to be equivariant")


@pytest.mark.parametrize("dtype, hidden, seen", [("float32", 1e-13, 1e-11), ("float64", 1e-30, 1e-28)])
def test_power_below_round_off_is_no_leak(dtype: str, hidden: float, seen: float) -> None:
    for share, expected in ((hidden, False), (seen, True)):
        layers = [invariant("a", dtype), spectrum("b", closed(8, (0, 1, 1.0), (2, 1, share)), dtype=dtype)]
        audit = audit_of([output("energy", "scalar", (0, 1), relative=0.1)], layers)
        assert any("`b` is the first layer" in line for line in findings(audit)) is expected


def test_measured_noise_hides_power_below_it() -> None:
    noisy = spectrum("b", closed(8, (0, 1, 1.0), (2, 1, 1e-6)))
    noisy.noise = 2e-3
    silent(audit_of([], [invariant("a"), noisy]), "first layer")


def test_a_leak_after_the_last_layer_is_said() -> None:
    audit = audit_of([output("energy", "scalar", (0, 1), relative=1e-3)], [invariant("a"), invariant("b")])
    said(audit, "no audited layer has", "after `b`")


def test_each_output_that_leaks_after_the_last_layer_stands_with_its_own_irreps() -> None:
    outputs = [output(name, "scalar", (0, 1), relative=1e-3, lmax=2) for name in ("a", "b", "c", "d")]
    for found, l in zip(outputs, (1, 2, 2, 0), strict=True):
        found.power = closed(2, (0, 1, 1.0), (l, 1, 1e-6)) * found.pooled_total
    audit = audit_of(outputs, [spectrum("x", closed(2, (0, 1, 1.0)))], inputs={"x": "scalar"})
    assert "`a` has power in l=1, which" in said(audit, "no audited layer has", "l=1")
    assert "`b` and `c` have power in l=2, which" in said(audit, "no audited layer has", "l=2")
    silent(audit, "`d`", "no audited layer has")


def test_pseudo_content_too_small_for_a_word_is_held_by_its_layer() -> None:
    little = closed(2, (1, 1, 1.0), (1, -1, 1e-9))
    forces = output("forces", "vector", (1, 1), relative=1e-3, lmax=2)
    forces.power = little * forces.pooled_total
    silent(audit_of([forces], [spectrum("a", little)], inputs={"x": "vector"}), "no audited layer has")
    said(audit_of([forces], [spectrum("a", closed(2, (1, 1, 1.0)))], inputs={"x": "vector"}), "no audited layer has")


def test_what_is_not_as_declared_is_no_leak() -> None:
    leak = closed(8, (0, 1, 0.7), (1, 1, 0.3)) + 1e-8 * shares(8, 0.5, 0.1)
    layers = [spectrum("conv.0", closed(8, (0, 1, 0.6), (1, 1, 0.4))), spectrum("conv.1", leak / leak.sum())]
    said(audit_of([output("energy", "scalar", (0, 1), relative=1e-3)], layers), "looks like a leak")
    wrong = wrongly_declared(closed(8, (2, 1, 1.0)), 1.0)
    said(audit_of([wrong], layers), "does not transform as declared")
    silent(audit_of([wrong], layers), "leak")
    silent(audit_of([wrong], layers[:1]), "leak")


def test_the_figures_of_several_outputs_stand_with_their_names() -> None:
    names = ("energy", "charge")
    exact = audit_of([output(name, "scalar", (0, 1), relative=1e-8) for name in names])
    told = said(exact, "as far as float32 can tell")
    gone = audit_of([output(name, "scalar", (0, 1), relative=0.5, size=1e-9) for name in names])
    for found in gone.outputs.values():
        found.noise_floor = 1e-8
    for line in (told, said(gone, "vanish on these data")):
        figures = line[line.index("(") + 1 : line.rindex(")")].split("; ")
        assert [figure.split()[0] for figure in figures] == [f"`{name}`" for name in names]


def test_content_above_lmax_alone_opens_a_layer() -> None:
    layers = [invariant("a"), spectrum("b", closed(8, (0, 1, 1.0)), unresolved=1e-4)]
    said(audit_of([], layers), "`b` is the first layer with power above l=8")


def test_an_unconstrained_first_layer_is_called_so_once() -> None:
    audit = audit_of(
        [output("energy", "scalar", (0, 1), relative=0.01)],
        [spectrum(name, shares(8, 0.4, 0.1)) for name in ("a", "b")],
    )
    line = said(audit, "`a`, the first layer audited, already has power at every l")
    assert "unconstrained" not in line  # it may end at lmax, as the features of an equivariant model do
    silent(audit, "looks like a leak")
    silent(audit, "`b`")


@pytest.mark.parametrize("relative, unresolved, expected", [(0.01, 0.02, True), (0.01, 0.0, False), (0.0, 0.02, False)])
def test_layers_are_likened_to_unconstrained_ones_only_where_they_are(relative, unresolved, expected) -> None:
    layer = spectrum("a", shares(8, 0.4, 0.1), unresolved=unresolved)
    audit = audit_of([output("energy", "scalar", (0, 1), relative=relative)], [layer])
    assert ("as layers of unconstrained models do" in said(audit, "`a`, the first layer audited")) is expected


def test_a_first_layer_that_keeps_what_it_declares_up_to_lmax_is_no_news() -> None:
    layer = output("a", "tensor", (2, 1), relative=0.0, lmax=2)
    silent(audit_of([output("energy", "scalar", (0, 1), relative=0.01, lmax=2)], [layer]), "the first layer audited")


def declared(name: str, relative: float) -> Output:
    return output(name, "4x1o", (1, 1), relative=relative)


def test_the_first_layer_that_breaks_its_own_representation_is_named() -> None:
    audit = audit_of(
        [output("energy", "scalar", (0, 1), relative=1e-3)],
        [declared("conv.0", 1e-7), declared("conv.1", 0.02), declared("conv.2", 0.3)],
    )
    line = said(audit, "is the first layer that breaks its own representation (4x1o), by 2.00% of its size")
    assert line.startswith("`conv.1`") and "`conv.0` before it is exact" in line and "error of `energy` starts" in line
    silent(audit, "looks like a leak")


def test_exact_declared_layers_narrow_the_search() -> None:
    audit = audit_of(
        [output("energy", "scalar", (0, 1), relative=1e-3)],
        [declared("conv.0", 0.0), declared("conv.1", 1e-7)],
    )
    said(audit, "All 2 layers that declare a representation keep it", "arises after `conv.1`")


def test_sectors_that_a_layer_declares_are_not_news() -> None:
    audit = audit_of([], [invariant("a"), output("b", "tensor", (2, 1), relative=0.0)])
    silent(audit, "first layer with power")


def test_without_layers_the_reader_is_told_how_to_localise() -> None:
    said(audit_of([output("energy", "scalar", (0, 1), relative=0.01)]), 'layers="*"', "`energy`")
    silent(audit_of([output("energy", "scalar", (0, 1), relative=0.0)]), 'layers="*"')


def test_first_pseudo_and_first_high_layer_are_named() -> None:
    layers = [
        invariant("a"),
        spectrum("b", closed(8, (0, 1, 0.9), (4, 1, 0.1))),
        spectrum("c", closed(8, (0, 1, 0.9), (0, -1, 1e-3), (5, 1, 0.01))),
    ]
    audit = audit_of([], layers)
    pseudo = said(audit, "in the pseudo l=0, sigma = -1")
    assert pseudo.startswith("`c` is the first layer with power in l=5 (1.10% of its power)") and "(0.110%)" in pseudo
    silent(audit, "pseudo content")
    assert said(audit, "above l=4").startswith("`c` is the first layer with more than 0.1% of its power above l=4")


def test_pseudo_inputs_make_pseudo_layers_unremarkable() -> None:
    audit = audit_of([], [spectrum("a", closed(8, (0, -1, 1.0)))], inputs={"spin": "pseudovector"})
    silent(audit, "pseudo content")


def test_low_lmax_counts_unresolved_power_as_high() -> None:
    said(audit_of([], [spectrum("a", closed(2, (0, 1, 1.0)), unresolved=0.01)]), "`a`", "above l=2: 1.00%")


def test_unresolved_power_names_the_worst_layer_and_counts_the_others() -> None:
    layers = [
        spectrum("a", shares(8, 0.5, 0.1), unresolved=0.12),
        spectrum("b", shares(8, 0.5, 0.1), unresolved=0.02),
        spectrum("c", shares(8, 0.5, 0.1), unresolved=0.005),
    ]
    said(audit_of([], layers), "12.0% of the power of `a` lies above lmax=8", "1 more is affected")


def test_a_coarse_grid_is_warned_of_where_it_matters() -> None:
    said(
        audit_of([], [spectrum("a", shares(8, 0.5, 0.1), error=0.1)]),
        "grid of degree 20 is coarse for `a`",
    )
    silent(audit_of([], [spectrum("a", shares(8, 0.5, 0.1), error=1e-8)]), "coarse")


def test_a_coarse_grid_for_a_small_error_on_a_large_output_is_warned_of() -> None:
    found = output("energy", "scalar", (0, 1), relative=1e-3)
    found.power_error = torch.full((9, 2), 3e-7, dtype=torch.float64)
    said(audit_of([found]), "coarse for `energy`")


def test_unsettled_systems_are_counted_with_the_degree_and_the_tolerance() -> None:
    audit = audit_of([output("energy", "scalar", (0, 1), relative=0.1)], tolerance=0.01)
    audit.settings.update(degrees={"16": 8, "41": 3}, unsettled=3)
    said(audit, "3 of", "have not settled to 1% at degree 41")
    audit.settings["unsettled"] = 0
    silent(audit, "settled")


def test_failures_come_first_with_place_and_reason() -> None:
    audit = realistic()
    audit.failures = [Failure("bad", "encoder.1", "NaN in 3 of 64 values"), Failure("bad", "energy", "NaN")]
    told = "1 of 41 systems failed and is in no number below: `bad` at `encoder.1`: NaN in 3 of 64 values; `bad` at `en"
    assert findings(audit)[0].startswith(told)


def test_systems_that_fail_alike_share_a_line() -> None:
    audit = realistic()
    audit.failures = [Failure(f"s{i}", "energy", f"NaN at rotation {i}") for i in range(5)]
    audit.failures.append(Failure("odd", "model", "raised"))
    first, second = failures_alike(audit.failures)
    assert all(first.count(f"`s{i}`") == 1 for i in range(5)) and second == "`odd` at `model`: raised"
    assert "NaN at rotation 0 (the first of them)" in first
    line = findings(audit)[0]
    assert (
        line.startswith("6 of 46 systems failed")
        and "`s0`, `s1`, `s2` and 2 more at `energy`" in line
        and "`odd`" in line
    )


def test_nothing_measured_is_said() -> None:
    assert findings(Audit({}, {}, [])) == ["Nothing was measured: no output and no layer."]


def test_a_dead_layer_is_said() -> None:
    said(
        audit_of([], [invariant("a"), spectrum("b", closed(8, (0, 1, 1.0)), size=0.0)]),
        "`b` is zero for every input",
    )


def test_findings_survive_rows_without_numbers() -> None:
    audit = realistic()
    audit.systems.append(SystemRow("partial", 3, {}, {}))
    audit.systems[0].outputs["energy"]["rmse"] = math.nan
    assert "nan" not in said(audit, "`energy` breaks invariance")


@pytest.mark.parametrize(
    "rep, sectors",
    [
        ("vector", {(1, 1)}),
        ("tensor", {(0, 1), (1, -1), (2, 1)}),
        ("8x0e+4x1o", {(0, 1), (1, 1)}),
        ("1e", {(1, -1)}),
        ("2x0o + 10x2e", {(0, -1), (2, 1)}),
        ("nonsense", set()),
    ],
)
def test_declared_inputs_give_their_sectors(rep: str, sectors: set) -> None:
    assert declared_input_irreps(audit_of([], [], inputs={"x": rep})) == sectors

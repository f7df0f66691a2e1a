"""What an audit says of an error: amounts, scales, units and margins, and nothing that its numbers do not carry."""

import re
from pathlib import Path

import pytest
import torch
from report_builder import closed, output, realistic, rows, shares, spectrum
from test_report_findings import audit_of, said, silent

import equiscope as eq
from equiscope.report import Audit, Failure
from equiscope.report.columns import grade
from equiscope.report.finding import Severity
from equiscope.report.format import quantity, with_error
from equiscope.report.statements import findings
from equiscope.report.summary import summary
from equiscope.report.table import to_text


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Pages and directories are made without pictures: their words are read here."""
    for module in ("html", "files"):
        monkeypatch.setattr(f"equiscope.report.{module}.figures", lambda audit: {})


def energy(relative=0.46, **fields):
    found = output("energy", "scalar", (0, 1), relative=relative, size=0.0248)
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def test_an_error_is_stated_with_unit_margin_floor_and_scales():
    found = energy(unit="eV", rmse_error=0.0002, errors_assumed=False, spread=0.1, reference_rmse=0.1, noise_floor=1e-7)
    audit = audit_of([found])
    line = said(
        audit, "`energy` breaks invariance by 46.0% of its size (RMSE 0.0114 eV +- 0.0002, noise floor 1.00e-07"
    )
    assert "11.4% of its spread over the systems" in line and "11.4% of the model's own error" in line
    assert "meV per atom" in line
    assert "RMSE 0.0114 eV ± " in audit.to_html()


def test_many_times_a_scale_is_no_percentage():
    said(audit_of([energy(spread=1e-4, reference_rmse=0.01)]), "114 times its spread", "114% of the model's own error")


def test_an_error_that_rests_on_an_assumption_is_marked():
    found = energy(rmse_error=0.0002)
    assert with_error(0.0114, 0.0002, assumed=True) == "0.0114 +- 0.0002*"
    audit = audit_of([found])
    assert "0.0114 +- 0.0002*" in to_text(audit, 120) and "*: an error that assumes" in to_text(audit, 120)
    assert "0.0114 ±\N{NO-BREAK SPACE}0.0002*" in audit.to_html() and "* on the assumption" in audit.to_html()
    found.errors_assumed = False
    assert "*" not in to_text(audit, 120).splitlines()[4] and "*: an error" not in to_text(audit, 120)
    assert "* on the assumption" not in audit.to_html()


def test_an_error_within_its_own_error_is_no_claim():
    line = said(audit_of([energy(rmse_error=0.02)]), "`energy` breaks invariance")
    assert "may as well be none" in line and "turns like" not in line
    silent(audit_of([energy(rmse_error=0.02)]), "loses the symmetry")


@pytest.mark.parametrize(
    "alone, inversion, words",
    [
        (1e-9, -1.0, "exact under rotations; inversion changes its sign"),
        (1e-9, 0.3, "exact under rotations; mixes parities"),
        (0.00248, 0.3, "breaks under rotations by 10.0% already"),
    ],
)
def test_rotations_and_inversion_are_told_apart_in_sentence_and_table(alone, inversion, words):
    audit = audit_of([energy(rmse_rotations=alone, inversion=inversion)])
    said(audit, "`energy` breaks invariance", words)
    assert "rot. alone" in to_text(audit, 140) and "rotations alone" in audit.to_html()
    wrong = audit_of([energy(relative=0.9, rmse_rotations=alone, inversion=inversion)])
    said(wrong, "`energy` does not transform as declared", words)


def test_exact_outputs_have_no_column_of_rotations():
    audit = audit_of([energy(relative=0.0, rmse_rotations=0.0, inversion=1.0)])
    assert "rot." not in to_text(audit, 140) and ">rotations alone<" not in audit.to_html()


def test_what_vanishes_is_no_error_and_no_praise():
    found = output("dipole", "vector", (1, 1), relative=0.66, size=9e-8)
    found.noise_floor = 7.4e-8
    audit = audit_of([found])
    said(audit, "`dipole` vanishes on these data", "zero by symmetry", "9.00e-08 beside a noise floor of 7.40e-08")
    silent(audit, "does not transform")
    silent(audit, "exact")


def test_a_dead_output_is_zero_and_not_exact():
    found = output("stress", "scalar", (0, 1), relative=0.0, size=0.0)
    found.responds = False
    audit = audit_of([found])
    said(audit, "`stress` is zero for every input: nothing was tested")
    silent(audit, "as far as")
    silent(audit, "vanishes")
    assert re.search(r"^stress +scalar +zero ", to_text(audit, 120), re.MULTILINE)
    assert 'class="left zero"' in audit.to_html()


def test_what_is_zero_by_symmetry_alone_is_not_dead():
    found = output("dipole", "vector", (1, 1), relative=0.0, size=0.0)
    said(audit_of([found]), "`dipole` vanishes on these data")
    silent(audit_of([found]), "zero for every input")


def test_a_small_system_is_not_hidden_by_a_large_one():
    found = energy(relative=1e-6, noise_floor=1e-12)
    audit = Audit({"energy": found}, {}, rows(3, {"energy": found}, {}))
    silent(audit, "Relative to its own size")
    audit.systems[1].outputs["energy"]["relative"] = 0.14
    said(audit, "`energy` breaks invariance", "Relative to its own size the largest is that of `system_1`, 14.0%")
    audit.systems[1].outputs["energy"]["rmse"] = 1e-12
    silent(audit, "Relative to its own size")


def test_a_system_that_breaks_below_the_noise_of_the_others_is_named():
    found = energy(relative=1e-6, noise_floor=1e-7)
    audit = Audit({"energy": found}, {}, rows(3, {"energy": found}, {}))
    silent(audit, "all the same")
    for row, floor in zip(audit.systems, (1e-12, 1.0, 1.0), strict=True):
        row.outputs["energy"]["noise_floor"] = floor
        row.outputs["energy"]["rmse"] = 2e-7
    said(audit, "On 1 of 3 systems, `system_0`, `energy` breaks invariance all the same", "noise floor 1.00e-12 there")


def test_equal_findings_are_one_sentence():
    exact = [output(f"e{i}", "scalar", (0, 1), relative=0.0) for i in range(3)]
    said(audit_of(exact), "`e0`, `e1` and `e2` are invariant as far as float32 can tell")
    wrong = [output(f"w{i}", "vector", (1, 1), relative=0.9) for i in range(5)]
    line = said(audit_of(wrong), "5 of 5 outputs do not transform as declared: `w0` 90.0%, `w1` 90.0%")
    assert line.count("the declarations are wrong") == 1
    broken = [output(f"b{i}", "vector", (1, 1), relative=0.01 * (i + 1)) for i in range(5)]
    said(
        audit_of(broken), "5 of 5 outputs break their symmetry: `b4` by 5.00%, `b3` by 4.00%", "`b0` by 1.00% of their"
    )
    lost = [output(f"n{i}", "scalar", (0, 1), relative=0.1) for i in range(2)]
    for each in lost:
        each.rmse = float("nan")
    said(audit_of(lost), "`n0` and `n1` could not be measured: their errors are nan")


def test_groups_name_every_output_exactly_once_and_the_one_that_differs_has_a_line():
    """Of 12 outputs 11 are wrong, one of these in its own way, and one is exact."""
    outputs = [output(f"o{i}", "vector", (1, 1), relative=0.9 - 0.01 * i) for i in range(10)]
    sign = output("sign", "vector", (1, 1), relative=0.99)
    sign.rmse_rotations, sign.inversion = 0.0, -1.0
    exact = output("exact", "vector", (1, 1), relative=0.0)
    lines = [line for line in findings(audit_of([*outputs, sign, exact], hookable=False))]
    assert len(lines) == 3
    assert sorted(re.findall("`(.+?)`", " ".join(lines))) == sorted(o.name for o in [*outputs, sign, exact])
    assert [line.severity for line in lines] == ["finding"] * 3
    assert "`sign` does not transform as declared" in lines[0] and "inversion changes its sign" in lines[0]
    assert lines[1].startswith("10 of 12 outputs do not transform as declared: `o0` 90.0%, `o1` 89.0%")
    assert lines[2].startswith("`exact` is equivariant as a vector as far as")


@pytest.mark.parametrize("count", [1, 2, 4, 9])
@pytest.mark.parametrize("relative, noise", [(0.9, False), (0.1, False), (0.0, False), (0.01, True)])
def test_one_and_many_outputs_are_each_named_once(count, relative, noise):
    outputs = [output(f"o{i}", "vector", (1, 1), relative=relative, stochastic=noise) for i in range(count)]
    lines = findings(audit_of(outputs, hookable=False))
    for each in outputs:
        assert sum(f"`{each.name}`" in line for line in lines) == 1, lines
    assert len(lines) == (count if count <= 3 and relative else 1)


def test_outputs_that_share_a_doubt_or_a_parity_share_a_line():
    outputs = [energy() for _ in range(8)]
    for i, each in enumerate(outputs):
        each.name = f"o{i}"
        if i % 2:
            each.rmse_error = 0.02
        else:
            each.rmse_rotations, each.inversion = 1e-9, 0.3
    audit = audit_of(outputs, hookable=False)
    said(audit, "4 of 8 outputs break their symmetry", "`o6`", "They are exact under rotations; they mix parities.")
    said(audit, "4 of 8 outputs break their symmetry", "`o7`", "With so large errors of their own these may as well")


def test_warnings_findings_and_notes_are_told_apart_in_every_view(tmp_path):
    audit = audit_of([energy()])
    audit.warnings, audit.notes = ["TF32 is on"], ["the model was in train mode"]
    audit.failures = [Failure("bad", "energy", "NaN")]
    told = [(found["severity"], found["text"]) for found in summary(audit)["messages"]]
    assert told[0][0] == "warning" and told[0][1].startswith("1 of 2 systems failed")
    assert told[1][0] == "finding" and told[1][1].startswith("`energy` breaks")
    assert told[2][0] == "note" and "audit hidden layers too" in told[2][1]
    assert told[3:] == [("warning", "TF32 is on"), ("note", "the model was in train mode")]
    text, page = to_text(audit, 120), audit.to_html()
    assert "\n! 1 of 2 systems failed" in text and "\n- `energy` breaks" in text
    assert "Warnings (1)\n- TF32 is on" in text and "Notes (1)\n- the model was in train mode" in text
    assert '<li class="warning">' in page and '<li class="finding"><code>energy</code>' in page
    assert page.index("Notes (1)") > page.index("Warnings (1)")
    assert Audit.load(audit.save(tmp_path)).notes == audit.notes


def test_the_layer_that_brings_pseudo_content_is_named_once_with_its_own_share():
    """The README's model: layer `2` had the finding twice, once with the share of both families."""
    layers = [
        spectrum("0", closed(4, (1, 1, 1.0))),
        spectrum("2", closed(4, (1, 1, 0.98), (2, 1, 0.0145), (1, -1, 5.4e-3))),
    ]
    audit = audit_of([], layers)
    line = said(audit, "`2` is the first layer with")
    assert "in l=2 (1.45% of its power)" in line and "the pseudo l=1, sigma = -1, as in" in line and "(0.540%)" in line


@pytest.mark.parametrize("share, margin", [(1e-24, 0.0), (5e-7, 0.0), (1e-3, 2e-3)])
def test_no_sentence_is_built_on_a_trace_or_on_what_lies_within_its_error(share, margin):
    layers = [spectrum(name, closed(4, (1, 1, 1.0)), dtype="float64") for name in "ab"]
    layers[1].power[2, 1] = share
    layers[1].noise_floor = 1e-16
    layers[1].power_error = torch.zeros(5, 2, dtype=torch.float64)
    layers[1].power_error[2, 1] = margin
    silent(audit_of([], layers), "pseudo")
    layers[1].power[2, 1] = 0.01
    layers[1].power_error.zero_()
    said(audit_of([], layers), "`b` is the first layer with power in the pseudo l=2")


def test_a_spectrum_that_ends_below_what_is_declared_is_no_warning():
    def square(x):
        return x.mT @ x

    asked = {"inputs": "vector", "outputs": {"t": "tensor"}, "degree": 6, "progress": False}
    x = [torch.randn(4, 3, dtype=torch.float64)]
    low, enough = (findings(eq.audit(square, x, lmax=lmax, **asked)) for lmax in (1, 2))
    (note,) = [finding for finding in low if finding.severity is not Severity.FINDING]
    assert note.severity is Severity.NOTE and note.startswith(
        "`t` is declared with irreps above lmax=1, so its spectrum"
    )
    assert all(finding.severity is Severity.FINDING for finding in enough)


def test_unresolved_power_within_its_error_raises_no_lmax():
    layer = spectrum("embed", closed(4, (1, 1, 1.0)), unresolved=0.3)
    layer.power_error = torch.full((5, 2), 1e-9, dtype=torch.float64)
    said(audit_of([], [layer]), "lies above lmax=4, unresolved: raise lmax")
    layer.unresolved_error = 0.4
    silent(audit_of([], [layer]), "raise lmax")
    silent(audit_of([], [layer]), "above l=4")
    assert re.search(r"^embed .* -$", to_text(audit_of([], [layer]), 100), re.MULTILINE)


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_layer_under_monte_carlo_asks_for_no_higher_lmax(seed):
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.LazyLinear(1)
    ).double()
    data = [torch.randn(4, 3, generator=torch.Generator().manual_seed(i)).double() for i in range(3)]
    model(data[0][None])
    report = eq.audit(
        model,
        data,
        inputs="vector",
        layers="0",
        lmax=2,
        estimator="monte-carlo",
        rotations=64,
        seed=seed,
        progress=False,
    )
    assert not [line for line in report.findings() if "above" in line], report.findings()


def test_the_error_of_a_tensor_in_a_trace_is_not_explained_by_what_lies_within_its_error():
    found = output("mu", "vector", (1, 1), relative=0.021)
    said(audit_of([found]), "turns like l=2, proper")
    found.power_error = torch.full((9, 2), 1.0, dtype=torch.float64)
    found.power_error[1, 0] = 0
    silent(audit_of([found]), "turns like")


def test_a_plain_callable_is_not_told_to_audit_its_layers():
    broken = output("energy", "scalar", (0, 1), relative=0.1)
    silent(audit_of([broken], hookable=False), 'layers="*"')
    said(audit_of([broken], hookable=True), 'layers="*"')
    for model, expected in ((lambda input: input[..., 0].sum(-1), False), (Sum(), True)):
        report = eq.audit(
            model, [torch.ones(2, 3)], inputs="vector", outputs={"u": "scalar"}, lmax=1, degree=6, progress=False
        )
        assert any("layers=" in line for line in report.findings()) is expected


class Sum(torch.nn.Module):
    def forward(self, input):
        return input[..., 0].sum(-1)


@pytest.mark.parametrize("relative, expected", [(0.0, "exact"), (5e-3, "slight"), (0.05, "moderate"), (0.3, "strong")])
def test_colours_are_graded(relative, expected):
    assert grade(energy(relative=relative)) == expected


def test_there_is_no_cliff_at_half_of_the_size():
    low, high = (said(audit_of([energy(relative=r)]), "`energy`", "of its size") for r in (0.49, 0.69))
    assert "breaks invariance by 49.0%" in low and "breaks invariance by 69.0%" in high


@pytest.mark.parametrize("width", [30, 40, 50, 60, 70, 80, 100, 120])
def test_no_width_cuts_a_digit(width):
    audit = realistic()
    for found in audit.outputs.values():
        found.rmse_error, found.unit = 0.01 * found.rmse, "eV/A"
        found.rmse_rotations = 0.5 * found.rmse
    lines = to_text(audit, width).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("output"))
    table = lines[start + 2 : start + 5]
    for line, found in zip(table, audit.outputs.values(), strict=True):
        assert quantity(found, found.rmse).split()[0] in line and "eV/A" in line, line
        for word in line.split():
            assert not re.search(r"e[+-]?\d?$", word) or not word[0].isdigit(), line
    assert max(map(len, table)) <= max(width, 44)


def test_units_are_over_axes_and_in_cells():
    audit = realistic()
    audit.outputs["energy"].unit = "eV"
    assert "0.0123 eV" in to_text(audit, 140) and "0.0123 eV" in audit.to_html()
    labels = [axes.get_xlabel() for axes in audit.plot("systems").axes]
    assert labels[0] == "RMSE / eV" and "RMSE" in labels[1]


def test_the_documentation_has_every_verdict():
    text = (Path(__file__).parent.parent / "docs" / "numbers.md").read_text(encoding="utf-8")
    assert all(f'| `"{verdict}"` |' in text for verdict in eq.Verdict)


def test_the_page_defines_every_verdict_and_says_what_voigt_is():
    text = realistic().to_html()
    for verdict in eq.Verdict:
        assert f"<em>{verdict}</em>" in text
    assert "that of the nine" not in text
    assert "that of the nine" in audit_of([output("s", "voigt", (0, 1), relative=0.1)]).to_html()
    assert "voigt (tensor)" in to_text(audit_of([output("s", "voigt", (0, 1), relative=0.1)]), 120)


def test_shares_that_are_known_to_a_digit_at_best_are_marked():
    layer = spectrum("a", shares(4, 0.5, 0.1))
    layer.power_error = 0.2 * layer.power
    assert "~0." in to_text(audit_of([], [layer]), 100)
    assert re.search(r">0\.\d+ ±\s0\.\d\d<", audit_of([], [layer]).to_html())
    layer.power_error = 1e-4 * layer.power
    assert "~0." not in to_text(audit_of([], [layer]), 100) and " ± 0." not in audit_of([], [layer]).to_html()


def test_errors_are_in_frames_and_files(tmp_path):
    audit = realistic(systems=2)
    layer = audit.layers["embedding"]
    layer.power_error, layer.unresolved_error = 0.5 * layer.power, 1e-3
    audit.outputs["energy"].rmse_error = 0.002
    frame = audit.to_pandas()
    own = frame[frame.name == "embedding"]
    assert own.power_error.tolist() == pytest.approx((0.5 * own.power).tolist())
    data = audit.to_xarray().sel(layer="energy")
    assert float(data.rmse_error) == 0.002 and str(data.verdict.item()) == "breaks"
    assert float(audit.to_xarray().unresolved_error.sel(layer="embedding")) == 1e-3
    loaded = Audit.load(audit.save(tmp_path))
    assert loaded.outputs["energy"].rmse_error == 0.002
    assert torch.equal(loaded.layers["embedding"].power_error, layer.power_error)


def test_findings_stay_plain_ascii():
    found = energy(unit="eV", rmse_error=0.0002, spread=0.1, reference_rmse=0.1)
    audit = Audit({"energy": found}, {}, rows(2, {"energy": found}, {}))
    assert all(line.isascii() for line in findings(audit))


def test_already_is_said_of_less_alone():
    audit = audit_of([energy(relative=0.84, rmse_rotations=0.84 * 0.0248, inversion=0.3)])
    silent(audit, "already")
    said(audit, "breaks under rotations by 84.0% (RMSE")
    said(audit_of([energy(relative=0.84, rmse_rotations=0.01, inversion=0.3)]), "already")


@pytest.mark.parametrize(
    "channels, words", [(1, "one number cannot be that"), (9, '"1xtensor"'), (6, '"voigt"'), (4, "is that what it is?")]
)
def test_what_an_output_is_asked_to_be_it_can_be(channels, words):
    found = energy(relative=0.99, channels=channels)
    found.power = torch.zeros_like(found.power)
    found.power[1, 0] = 0.98 * found.total
    said(audit_of([found]), "does not transform as declared", "of its power turns like", words)


def test_a_dtype_is_said_as_the_option_that_it_is_on_the_command_line():
    from equiscope.cli import _as_options

    assert _as_options("data: (dtype=torch.float32 brings data)") == "data: (--dtype float32 brings data)"


def test_components_in_the_order_of_another_basis_are_told_as_such():
    generator = torch.Generator().manual_seed(0)
    points = [torch.randn(4, 3, dtype=torch.float64, generator=generator) for _ in range(2)]

    def model(x):
        v = x.sum(-2)
        s, y = v.square().sum(-1, keepdim=True), eq.spherical_harmonics(v, 2)
        return torch.cat([0.01 * s, y[..., 1:]], -1)

    def told(basis):
        kind = eq.Representation.parse("1x0e+1x1o+1x2e", basis=basis)
        report = eq.audit(model, points, inputs="vector", outputs={"y": kind}, lmax=2, degree=6, progress=False)
        return " ".join(report.findings())

    assert "basis" in told("e3nn") and "basis" not in told("standard")


def test_a_flat_tensor_is_refused_with_the_spelling_of_one():
    with pytest.raises(eq.errors.ShapeError, match='"1xtensor", its 9 components'):
        eq.Representation.parse("tensor").check((4, 9), "outputs['t']")


def test_an_output_that_is_nowhere_finite_is_missed_in_words():
    audit = Audit({}, {}, [], unmeasured={"energy": "not finite on 1 of 1 system"})
    with pytest.raises(KeyError, match="'energy' was not measured: not finite on 1 of 1 system"):
        audit.outputs["energy"]
    with pytest.raises(KeyError, match=r"^'other'$"):
        audit.outputs["other"]

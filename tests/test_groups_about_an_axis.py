"""SO(2) and O(2) about an axis: known spectra over m, planted breaks, errors that hold, azimuths, axes per system."""

import math

import pytest
import torch

import equiscope as eq
from equiscope.groups import O2, SO2, Group
from equiscope.groups.so2 import frame_of
from equiscope.report.words import irrep_list, irrep_place

DOUBLE = torch.float64
QUIET = {"progress": False, "inputs": "vector"}
TILTED = (1.0, 2.0, -2.0)
BOTH = pytest.mark.parametrize("kind", [SO2, O2])


def draw(*shape, seed=1):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


DATA = [draw(4, 3, seed=seed) for seed in range(3)]


def angle(x):
    return torch.atan2(x[..., 0, 1], x[..., 0, 0])


def wave(m, size=1.0):
    return lambda input: 2.0 + size * torch.cos(m * angle(input))


def by_hand(model, kind, group, data, n=2000):
    """RMSE over random elements, without any of the package's averages."""
    g = eq.random_rotations(n, group=group, generator=torch.Generator().manual_seed(3))
    squares = []
    for x in data:
        u = model(x @ g.mT)
        z = u if kind == "scalar" else (g.mT @ u[..., None])[..., 0]
        squares.append((z - z.mean(0)).square().mean())
    return float(torch.stack(squares).mean().sqrt())


# -- the groups --------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("axis", [(0, 0, 1), (0, 0, -1), (1, 0, 0), TILTED])
def test_elements_keep_the_axis_and_mirrors_contain_it(kind, axis):
    group, direction = kind(axis=axis), torch.tensor(axis, dtype=DOUBLE)
    grid = group.grid(6)
    for elements in (grid.rotations, group.draw(200, torch.Generator().manual_seed(0))):
        torch.testing.assert_close(elements @ direction, direction.expand(len(elements), 3), rtol=0, atol=1e-14)
        improper = torch.linalg.det(elements) < 0
        assert bool(improper.any()) is (kind is O2)
    assert len(grid) == 13 * (2 if kind is O2 else 1)


@BOTH
@pytest.mark.parametrize("axis", [(0, 0, 1), TILTED])
def test_power_by_sums_over_angles_is_power_by_characters(kind, axis):
    group = kind(axis=axis)
    elements, u = group.draw(40, torch.Generator().manual_seed(0)), draw(40, 3)
    expected = Group.sample_power(group, u, elements, 1 / 40, 5)
    torch.testing.assert_close(group.sample_power(u, elements, 1 / 40, 5), expected, rtol=1e-11, atol=1e-13)


@BOTH
def test_on_a_grid_power_sums_to_the_mean_square(kind):
    grid = kind().grid(7)
    u = draw(15, 4).repeat(len(grid) // 15, 1) + (0.0 if kind is SO2 else 0.3 * draw(30, 4, seed=2))
    power = grid.group.power(u, grid, 7)
    torch.testing.assert_close(power.sum(0), u.square().mean(0), rtol=1e-12, atol=0)


def test_a_vector_is_one_along_the_axis_and_a_pair_across():
    parts = {kind: O2(TILTED).decompose(eq.Representation.parse(kind)).parts for kind in ("vector", "pseudovector")}
    assert {part.label: part.components for part in parts["vector"]} == {"0+": 1, "1": 2}
    assert {part.label: part.components for part in parts["pseudovector"]} == {"0-": 1, "1": 2}
    tensor = SO2().decompose(eq.Representation.parse("tensor(ij=ji)")).parts
    assert {part.label: part.components for part in tensor} == {0: 2, 1: 2, 2: 2}


def test_names_are_unique_and_read_back():
    for group in (SO2(), O2(), SO2(TILTED), O2((0.1, 0, -3)), SO2("beam")):
        again = eq.groups.registry.resolve(group.name)
        assert again == group and type(again) is type(group) and again.direction == group.direction
    assert SO2((0, 0, 5)) == SO2() != SO2((0, 0, -1)) and SO2().words == "SO(2) about z"
    chart = O2().chart(3)
    assert irrep_place(chart, "2") == "m=2" and irrep_place(chart, "0-") == "m=0, mirror-odd"
    assert irrep_list(chart, ["0+", "1", "2"]) == "m=0..2" and chart.name("0-") == "mirror-odd"


def test_names_of_axes_that_are_none_are_refused():
    with pytest.raises(eq.errors.ArgumentError, match="axis: expected three numbers that are not all 0"):
        eq.groups.registry.resolve("SO2(0, 0, 0)")


@pytest.mark.parametrize("axis", [(0, 0, 0), (1, 2), (0, math.nan, 1), 3, None, ("x", "y", "z")])
def test_what_is_no_axis_is_refused(axis):
    with pytest.raises(eq.errors.ArgumentError, match="axis: expected three numbers that are not all 0"):
        SO2(axis=axis)


@pytest.mark.parametrize("axis", [(0, 0, 1), (0, 0, -1), (1, 0, 0), (1e-9, 0, -1), TILTED])
def test_a_frame_is_a_rotation_that_takes_z_to_the_axis(axis):
    axis = torch.tensor(axis, dtype=DOUBLE)
    frame = frame_of(axis)
    torch.testing.assert_close(frame @ frame.T, torch.eye(3, dtype=DOUBLE), rtol=0, atol=1e-15)
    torch.testing.assert_close(frame[:, 2], axis / axis.norm(), rtol=0, atol=1e-15)
    assert float(torch.linalg.det(frame)) == pytest.approx(1.0)


# -- audits with known answers -----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("m", [1, 3, 8, 12, 40])
def test_a_wave_of_one_point_lies_in_its_m_alone(kind, m):
    found = eq.audit(wave(m, 0.6), DATA, outputs={"u": "scalar"}, group=kind.name, lmax=8, **QUIET).outputs["u"]
    assert found.rmse == pytest.approx(0.6 * 0.5**0.5, rel=1e-9)
    for label in found.chart.labels:
        order = int(str(label).rstrip("+-"))
        expected = 4.0 if label in (0, "0+") else 0.18 if order == m else 0.0
        assert float(found.power[found.chart.place(label)]) == pytest.approx(expected, abs=1e-12)
    assert float(found.pooled_unresolved) == pytest.approx(0.18 if m > 8 else 0.0, abs=1e-12)


def test_what_changes_under_mirrors_alone_is_exact_under_rotations():
    def spin(input):
        return torch.linalg.cross(input[..., 0, :], input[..., 1, :])[..., 2]

    rotations, mirrors = (
        eq.audit(spin, DATA, outputs={"s": "scalar"}, group=g, lmax=2, **QUIET) for g in ("SO2", "O2")
    )
    assert rotations.outputs["s"].relative < 1e-14
    found = mirrors.outputs["s"]
    size = torch.stack([torch.linalg.cross(x[0], x[1])[2] ** 2 for x in DATA]).mean()
    assert float(found.power[found.chart.place("0-")]) == pytest.approx(float(size), rel=1e-12)
    assert found.rmse == pytest.approx(float(size) ** 0.5, rel=1e-12) and found.rmse_rotations < 1e-14


@pytest.mark.parametrize("group", [SO2(), O2(), SO2(TILTED), O2(TILTED)], ids=str)
@pytest.mark.parametrize("kind", ["scalar", "vector"])
def test_errors_hold_what_two_thousand_elements_by_hand_say(group, kind):
    weights = draw(3, 3, seed=9)

    def model(input):
        mixed = torch.tanh(input @ weights)
        return mixed.square().sum((-1, -2)) if kind == "scalar" else (input * mixed[..., :1]).sum(-2)

    found = eq.audit(model, DATA, outputs={"u": kind}, group=group, lmax=4, **QUIET).outputs["u"]
    # two thousand draws know a standard deviation to 3 %
    assert found.rmse == pytest.approx(by_hand(model, kind, group, DATA), rel=0.05)
    fine = eq.audit(model, DATA, outputs={"u": kind}, group=group, lmax=4, degree=120, **QUIET).outputs["u"]
    for degree in ("auto", 8, 12):
        coarse = eq.audit(model, DATA, outputs={"u": kind}, group=group, lmax=4, degree=degree, **QUIET).outputs["u"]
        assert abs(coarse.rmse - fine.rmse) <= coarse.rmse_error + 1e-12 * fine.rmse
        assert bool(((coarse.power - fine.power).abs() <= coarse.power_error + 1e-12 * fine.power.max()).all())
        assert coarse.rmse_error < 0.2 * fine.rmse


@pytest.mark.parametrize("shift", [None, "system"])
def test_stated_errors_cover_and_do_not_exaggerate(shift):
    def sharp(input):
        return torch.exp(4.0 * torch.cos(angle(input) - 0.3))

    true = math.sqrt(
        float(
            torch.special.i0(torch.tensor(8.0, dtype=DOUBLE)) - torch.special.i0(torch.tensor(4.0, dtype=DOUBLE)) ** 2
        )
    )
    for degree in (8, 10, 12, 16, 24):
        found = eq.audit(
            sharp, DATA, outputs={"u": "scalar"}, group="SO2", lmax=4, degree=degree, shift=shift, **QUIET
        ).outputs["u"]
        assert abs(found.rmse - true) <= found.rmse_error + 1e-12 * true, degree
    assert found.rmse_error < 1e-4 * true


@pytest.mark.parametrize("degree", [8, 16, 32])
def test_stated_errors_hold_for_steps_and_kinks_whose_spectra_hardly_decay(degree):
    for trial in range(6):
        edge = 0.25 * trial - 0.6
        models = {
            "step": lambda input, edge=edge: (torch.cos(angle(input)) > edge).double(),
            "kink": lambda input, edge=edge: (torch.cos(angle(input)) - edge).abs(),
        }
        half = math.acos(edge)
        share = half / math.pi
        mean = (2.0 * (math.sin(half) - edge * half) + edge * math.pi) / math.pi
        true = {"step": (share * (1 - share)) ** 0.5, "kink": (0.5 + edge**2 - mean**2) ** 0.5}
        for name, model in models.items():
            ask = {"outputs": {"u": "scalar"}, "group": "SO2", "lmax": 4, "degree": degree, "seed": trial, **QUIET}
            found = eq.audit(model, DATA[:1], **ask).outputs["u"]
            assert abs(found.rmse - true[name]) <= found.rmse_error, (name, edge)


@BOTH
def test_random_elements_agree_with_the_grid(kind):
    asked = {"outputs": {"u": "scalar"}, "group": kind(TILTED), "lmax": 3, **QUIET}

    def model(input):
        return torch.tanh(input[..., 0, :]).sum(-1)

    exact = eq.audit(model, DATA, **asked).outputs["u"]
    drawn = eq.audit(model, DATA, estimator="monte-carlo", rotations=1024, **asked).outputs["u"]
    assert abs(drawn.rmse - exact.rmse) <= 1.5 * drawn.rmse_error < 0.2 * exact.rmse
    assert bool(((drawn.power - exact.power).abs() <= 2.5 * drawn.power_error).all())


@pytest.mark.usefixtures("blank_pictures")
def test_reports_speak_of_orders_and_are_read_back(tmp_path):
    report = eq.audit(
        torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double().eval(),
        DATA,
        outputs={"output": "scalar"},
        layers="*",
        group=O2(TILTED),
        lmax=4,
        **QUIET,
    )
    page = report.to_html()
    assert "order m" in page and "mirror-odd" in page and "O(2) about (1, 2, -2)" in page and "degree l" not in page
    assert "m=1" in str(report) and "sigma" not in str(report)
    again = eq.Audit.load(report.save(tmp_path))
    assert again.findings() == report.findings() and again.settings["group"] == "O2(1, 2, -2)"
    assert torch.equal(again.layers["0"].power, report.layers["0"].power)
    # a linear map of a vector: along the axis and across
    seen = {
        label
        for label in again.layers["0"].chart.labels
        if float(again.layers["0"].power[again.layers["0"].chart.place(label)].sum()) > 1e-9
    }
    assert seen == {"0+", "1"}


# -- azimuths ----------------------------------------------------------------------------------------------------


def jets(n, seed):
    pt, eta, phi = draw(n, seed=seed).exp(), draw(n, seed=seed + 50), math.pi * torch.tanh(draw(n, seed=seed + 90))
    return torch.stack([pt, eta, phi], -1)


JETS = [jets(n, n) for n in (4, 6)]


def momentum(jets):
    pt, _, phi = jets.unbind(-1)
    return (pt[..., None] * torch.stack([phi.cos(), phi.sin(), torch.zeros_like(phi)], -1)).sum(-2)


@BOTH
@pytest.mark.parametrize("declared", ["2xinvariant+azimuth", {"jets": {"azimuth": slice(2, 3)}}, "azimuth[2:3]"])
def test_azimuths_turn_with_the_beam(kind, declared):
    inputs = declared if isinstance(declared, dict) else {"jets": declared}

    def differences(jets):
        phi = jets[..., 2]
        return torch.cos(phi[..., :, None] - phi[..., None, :]).sum((-1, -2))

    data = [{"jets": own} for own in JETS]
    asked = {"group": kind.name, "lmax": 3, "progress": False, "inputs": inputs}
    assert eq.audit(differences, data, outputs={"u": "scalar"}, **asked).outputs["u"].relative < 1e-13
    assert eq.audit(momentum, data, outputs={"u": "vector"}, **asked).outputs["u"].relative < 1e-13
    broken = eq.audit(lambda jets: 1.0 + torch.cos(jets[..., 0, 2]), data, outputs={"u": "scalar"}, **asked).outputs[
        "u"
    ]
    assert broken.rmse == pytest.approx(0.5**0.5, rel=1e-12)
    assert float(broken.power[broken.chart.place("1" if kind is O2 else 1)]) == pytest.approx(0.5, rel=1e-12)


def test_azimuths_are_wrapped_and_mirrored():
    g, phi = O2().draw(200, torch.Generator().manual_seed(0)), 3.0 * torch.tanh(draw(200))
    turned = eq.rotate(phi, g, "azimuth")
    assert float(turned.abs().max()) <= math.pi
    x = torch.stack([phi.cos(), phi.sin(), 0 * phi], -1)
    expected = (g @ x[..., None])[..., 0]
    torch.testing.assert_close(torch.stack([turned.cos(), turned.sin(), 0 * phi], -1), expected, rtol=0, atol=1e-14)


def test_azimuths_are_refused_where_they_mean_nothing():
    asked = {"progress": False, "inputs": "2xinvariant+azimuth"}
    for group in ("O3", "SO3", SO2((1, 0, 0))):
        with pytest.raises(eq.errors.ArgumentError, match=r"inputs\['input'\]: expected a group about the z axis"):
            eq.audit(momentum, JETS, outputs={"u": "vector"}, group=group, **asked)
    with pytest.raises(eq.errors.ArgumentError, match=r"outputs\['u'\]: expected components that turn linearly"):
        eq.audit(lambda jets: jets[..., 2], JETS, outputs={"u": "azimuth"}, group="SO2", **asked)


# -- an axis of each system --------------------------------------------------------------------------------------

SURFACES = [{"pos": draw(4, 3, seed=seed), "normal": draw(3, seed=seed + 20)} for seed in range(3)]


def off(pos, normal):
    """Invariant about the normal but for a part that knows a direction of space."""
    height = (pos @ normal[..., None])[..., 0]
    return height.square().sum(-1) + 0.1 * pos[..., 0, 0]


@BOTH
def test_each_system_turns_about_its_own_axis(kind):
    asked = {
        "inputs": {"pos": "vector", "normal": "vector"},
        "group": kind(axis="normal"),
        "lmax": 3,
        "progress": False,
    }
    exact = eq.audit(
        lambda pos, normal: off(pos, normal) - 0.1 * pos[..., 0, 0], SURFACES, outputs={"E": "scalar"}, **asked
    )
    assert exact.outputs["E"].relative < 1e-14 and exact.settings["group"] == kind.name + "(normal)"
    crossed = eq.audit(
        lambda pos, normal: torch.linalg.cross(pos[..., 0, :], normal), SURFACES, outputs={"v": "pseudovector"}, **asked
    )
    assert crossed.outputs["v"].relative < 1e-13
    found = eq.audit(off, SURFACES, outputs={"E": "scalar"}, **asked).outputs["E"]
    squares = []
    for system in SURFACES:
        g = kind(axis=system["normal"].tolist()).draw(2000, torch.Generator().manual_seed(1))
        u = off(system["pos"] @ g.mT, system["normal"].expand(2000, 3))
        squares.append((u - u.mean()).square().mean())
        # the part across the normal of the first position, seen along x
        axis = system["normal"] / system["normal"].norm()
        across = system["pos"][0] - (system["pos"][0] @ axis) * axis
        true = 0.01 * across.square().sum() * (1 - axis[0] ** 2) / 2
        assert float(squares[-1]) == pytest.approx(float(true), rel=0.1)
        squares[-1] = true
    assert found.rmse == pytest.approx(float(torch.stack(squares).mean()) ** 0.5, rel=1e-10)


def test_spectra_of_layers_are_taken_in_the_frame():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.height, self.first = torch.nn.Identity(), torch.nn.Identity()

        def forward(self, pos, normal):
            return self.height((pos @ normal[..., None])[..., 0]).sum(-1) + self.first(pos).sum((-1, -2))

    asked = {"inputs": {"pos": "vector", "normal": "vector"}, "group": SO2(axis="normal"), "lmax": 3, "progress": False}
    report = eq.audit(Net().double(), SURFACES, outputs={"E": "scalar"}, layers="*", **asked)
    shares = {name: layer.fractions.flatten() for name, layer in report.layers.items()}
    assert float(shares["height"][0]) == pytest.approx(1.0, abs=1e-14)
    assert float(shares["first"][:2].sum()) == pytest.approx(1.0, abs=1e-14) and float(shares["first"][1]) > 0.1


def test_axes_that_are_none_are_refused_by_name():
    asked = {"inputs": {"pos": "vector", "normal": "vector"}, "outputs": {"E": "scalar"}, "progress": False}
    for axis, words in (
        ("beam", "the name of an input declared 'vector'"),
        ("pos", "one vector that is not 0, the axis"),
    ):
        with pytest.raises(eq.errors.EquiscopeError, match=words):
            eq.audit(off, SURFACES, group=SO2(axis=axis), **asked)
    with pytest.raises(eq.errors.DataError, match=r"data\[0\].normal: expected one vector that is not 0"):
        eq.audit(off, [{"pos": draw(4, 3), "normal": torch.zeros(3, dtype=DOUBLE)}], group=SO2(axis="normal"), **asked)

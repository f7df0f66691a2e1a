"""The noise floor is measured: exact models are exact in every dtype, and what is planted above it is found."""

import types

import kinds
import pytest
import torch

import equiscope as eq
from equiscope.adapters.rounding import Dither, rounded, units
from equiscope.probe.copies import ARC, COPIES, Copies
from equiscope.probe.noise import UNIFORM, Noise, curved, rms, scatter
from equiscope.probe.precision import coarser, looks_like
from equiscope.probe.stacked import Stacked
from equiscope.report.format import margin, number

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}
UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
CONTROLS = {
    "energy": ("scalar", kinds.pairs, [kinds.cloud(5), kinds.cloud(4, 1)]),
    "energy of 1e3": ("scalar", kinds.offset(1e3), [kinds.cloud(5), kinds.cloud(4, 1)]),
    "energy of 1e6": ("scalar", kinds.offset(1e6), [kinds.cloud(5)]),
    "dipole": ("vector", kinds.dipole, [kinds.cloud(5), kinds.cloud(3, 1)]),
    "dipole of CH4": ("vector", kinds.dipole, [kinds.CH4]),
    "quadrupole of CH4": ("tensor", kinds.quadrupole, [kinds.CH4]),
    "stress": ("tensor", kinds.outer, [kinds.cloud(5)]),
    "per atom": ("vector", lambda pos: pos * pos.norm(dim=-1, keepdim=True), [kinds.cloud(5)]),
}
# along z, what one entry of the output gets on top; its RMSE is that of one component of a unit vector, or as below
PLANTED = {
    "scalar": (lambda pos: kinds.cosine(pos), 3**-0.5),
    "vector": (lambda pos: UP.to(pos), 3**-0.5),
    "tensor": (lambda pos: torch.diag(UP).to(pos), (2 / 27) ** 0.5),
}


def audit(name, dtype, planted=0.0):
    kind, model, data = CONTROLS[name]
    extra, size = PLANTED[kind]
    found = kinds.audit(
        lambda pos: model(pos) + planted / size * extra(pos), kind, [item.to(dtype) for item in data], degree=6
    )
    return found.outputs["out"]


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("name", CONTROLS)
def test_exact_models_are_exact_and_what_is_planted_above_the_floor_is_found(name, dtype):
    exact = audit(name, dtype)
    assert exact.verdict.is_kept, (exact.verdict, exact.rmse, exact.noise_floor)
    assert exact.noise_floor > 0
    size = 10.0 * exact.noise_floor
    while size < 0.1:
        found = audit(name, dtype, size)
        off = abs(found.rmse - size)
        # round-off of the output adds to what was planted: its square, 1 % at most
        assert off <= max(0.05 * size, found.rmse_error), (size, found.rmse, found.noise_floor)
        assert found.verdict.is_broken, (size, found.verdict, found.noise_floor)
        size *= 30.0


def test_an_equivariant_network_is_exact_and_a_planted_error_is_found():
    from e3nn import o3
    from e3nn.nn import Gate

    class Net(torch.nn.Module):
        def __init__(self, planted=0.0):
            super().__init__()
            torch.manual_seed(0)
            gate = Gate("8x0e", [torch.tanh], "4x0e", [torch.sigmoid], "4x1o")
            self.harmonics = o3.SphericalHarmonics("1x0e+1x1o+1x2e", normalize=False)
            self.linear = o3.Linear("1x0e+1x1o+1x2e", gate.irreps_in)
            self.gate = gate
            self.out = o3.Linear(gate.irreps_out, "1x1o")
            self.planted = planted

        def forward(self, pos):
            hidden = self.linear(self.harmonics(pos)).sum(1)
            return self.out(self.gate(hidden)) + self.planted * UP.to(pos)

    for dtype in (torch.float64, torch.float32):
        data = [kinds.cloud(5, dtype=dtype)]
        assert kinds.audit(Net().to(dtype), "vector", data).outputs["out"].verdict == "exact"
        floor = kinds.audit(Net().to(dtype), "vector", data).outputs["out"].noise_floor
        found = kinds.audit(Net(10 * floor * 3**0.5).to(dtype), "vector", data).outputs["out"]
        assert found.rmse == pytest.approx(10 * floor, rel=0.05) and found.verdict == "breaks"


@pytest.mark.parametrize("data", [kinds.CH4, kinds.N2, kinds.ATOM, kinds.ATOM + 1.0], ids=["CH4", "N2", "atom", "away"])
@pytest.mark.parametrize("kind", ["vector", "tensor"])
def test_assert_equivariant_passes_exact_models_of_symmetric_molecules(data, kind):
    model = kinds.dipole if kind == "vector" else kinds.quadrupole
    for dtype in (torch.float64, torch.float32):
        eq.testing.assert_equivariant(model, [data.to(dtype)], inputs="vector", outputs=kind)


def test_assert_equivariant_refuses_what_is_zero_whatever_the_input():
    with pytest.raises(AssertionError, match="zero"):
        eq.testing.assert_equivariant(lambda pos: 0 * pos.sum(1), [kinds.CH4], inputs="vector", outputs="vector")


def test_the_floor_of_layers_is_measured_too():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.far = torch.nn.Linear(3, 4)

        def forward(self, pos):
            return (self.far(pos).square()).sum((1, 2))

    near, far = (
        kinds.audit(Net(), "scalar", [(kinds.cloud() + away).float()], layers="far").layers["far"].noise_floor
        for away in (0.0, 1e4)
    )
    assert 1e-8 < near < 1e-6 and 1e3 * near < far < 1e5 * near


def test_what_a_model_computes_in_is_found_or_stated():
    def settings(model, data, **ask):
        return kinds.audit(model, "scalar", [data], **ask).settings["computes_in"]

    half = torch.nn.Linear(3, 1, bias=False).to(torch.bfloat16)
    table = torch.ones(5, dtype=torch.float16)
    assert settings(kinds.pairs, kinds.cloud()) == "float64"
    assert settings(kinds.autocast, kinds.cloud(dtype=torch.float32)) == "bfloat16"
    assert settings(kinds.inside, kinds.cloud()) == "float32"
    assert settings(lambda pos: half(pos.to(torch.bfloat16)).double().sum((1, 2)) + 3, kinds.cloud()) == "bfloat16"
    # a table of another dtype that never meets the positions, and a last cast, which is rounding of the output
    assert settings(lambda pos: kinds.pairs(pos) * table.double().sum(), kinds.cloud()) == "float64"
    assert settings(lambda pos: kinds.pairs(pos).half(), kinds.cloud(dtype=torch.float32)) == "float32"
    assert settings(kinds.pairs, kinds.cloud(), precision_of_model=torch.float16) == "float16"


def test_an_operation_may_take_its_tensors_in_a_dict():
    library = torch.library.Library("equiscope_tests", "DEF")
    library.define("summed(Dict(str, Tensor) given) -> Tensor")
    library.impl("summed", lambda given: torch.tanh(given["pos"]).sum((1, 2)), "CompositeExplicitAutograd")

    def model(pos):
        return torch.ops.equiscope_tests.summed({"pos": pos.half()}).float()

    data = kinds.cloud(dtype=torch.float32)
    assert kinds.audit(model, "scalar", [data]).settings["computes_in"] == "float16"


def test_a_stated_precision_gives_its_floor():
    fine, coarse = (
        kinds.audit(kinds.pairs, "scalar", [kinds.cloud()], precision_of_model=dtype).outputs["out"].noise_floor
        for dtype in (torch.float64, torch.float32)
    )
    assert 1e6 * fine < coarse < 1e-5
    with pytest.raises(eq.errors.DTypeError, match="precision_of_model: expected None or a floating-point"):
        kinds.audit(kinds.pairs, "scalar", [kinds.cloud()], precision_of_model=torch.int32)


def test_whole_numbers_are_no_sign_of_a_coarser_dtype():
    def counts(pos):
        return ((pos[:, :, None] - pos[:, None]).norm(dim=-1) < 1.5).sum((1, 2)).to(pos) + 0.5 * pos[:, 0, 2].sign()

    found = kinds.audit(counts, "scalar", [kinds.cloud(seed=3)])
    assert found.settings["computes_in"] == "float64"
    assert found.outputs["out"].rmse == pytest.approx(0.5, rel=0.05) and found.outputs["out"].verdict.is_broken


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dither_takes_a_number_to_both_its_neighbours(dtype):
    x = torch.full((1, 4000), 1.0, dtype=torch.float64) + 0.3 * torch.finfo(dtype).eps
    found = rounded(x, dtype, Dither([0], torch.finfo(dtype).eps)).double()
    up = (found > x).double().mean()
    assert set(found.unique().tolist()) == {1.0, 1.0 + torch.finfo(dtype).eps}
    # the mean over the dither is the number itself
    assert float(up) == pytest.approx(0.3, abs=0.03)


def test_dither_is_that_of_the_copy_whatever_the_batch():
    x = kinds.cloud(4)[None]
    many = rounded(x.expand(3, 4, 3), torch.float32, Dither([None, 0, 5], 2.0**-23))
    few = rounded(x.expand(2, 4, 3), torch.float32, Dither([5, None], 2.0**-23))
    assert torch.equal(many[2], few[0]) and torch.equal(many[0], few[1]) and not torch.equal(many[1], many[2])


def test_units_in_the_last_place():
    x = torch.tensor([0.0, 1.0, -1.5, 2.0, 1e5, 1e-3], dtype=torch.float32)
    above = torch.nextafter(x.abs(), torch.tensor(torch.inf)) - x.abs()
    above[0] = 0.0
    assert units(x, 2.0**-23).float().tolist() == above.tolist()


@pytest.mark.parametrize("wide", [torch.float32, torch.float64])
def test_the_rounding_of_a_value_is_that_of_the_dtype_it_was_computed_in(wide):
    # no noise of the input moves it, so that all that is left is its own last place, also where that is behind zeros
    def model(p):
        return (12345.6787 + 1e-6 * p.float().square().sum((1, 2))).to(wide)

    p = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    found = eq.audit(model, [p], inputs="vector", outputs={"e": "scalar"}, lmax=1, degree=6, progress=False)
    assert found.outputs["e"].noise_floor == pytest.approx(12**-0.5 * 2.0**-10, rel=0.01)


def test_what_is_computed_in_float64_beside_float32_has_the_rounding_of_float64():
    def model(p):
        return {"coarse": p.float().norm(dim=-1).sum(-1), "fine": 12345.6787 + 1e-12 * p.square().sum((1, 2))}

    p = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    outputs = {"coarse": "scalar", "fine": "scalar"}
    report = eq.audit(model, [p], inputs="vector", outputs=outputs, lmax=1, degree=6, progress=False)
    assert report.settings["computes_in"] == "float32"
    assert report.outputs["fine"].noise_floor == pytest.approx(12**-0.5 * 2.0**-52 * 12345.6787, rel=0.01)


def test_what_cards_do_with_float32_is_no_noise_of_a_cpu():
    def floor():
        asked = {"inputs": "vector", "outputs": {"e": "scalar"}, "lmax": 1, "degree": 6, "progress": False}
        return eq.audit(lambda p: p.norm(dim=-1).sum(-1), [p], **asked).outputs["e"].noise_floor

    p = torch.randn(4, 3, generator=torch.Generator().manual_seed(5))
    products, before = torch.backends.cuda.matmul, torch.backends.cuda.matmul.allow_tf32
    floors = []
    try:
        for products.allow_tf32 in (False, True):
            floors.append(floor())
    finally:
        products.allow_tf32 = before
    assert floors[0] == floors[1]


def noise_of(values):
    stacked = Stacked.of({"u": values, "beside": values})
    return Noise.of(stacked, 3, stacked.dtypes)["u"]


def test_noise_is_the_scatter_around_the_mean_at_each_element():
    # two elements, three copies each: far apart from one element to the other, and one sample scatters alone
    values = torch.zeros(6, 2, 1, 3, dtype=torch.float64)
    values[3:] = 100.0
    values[:, 1] += 1e-3 * torch.tensor([-1.0, 0.0, 1.0, -2.0, 0.0, 2.0], dtype=torch.float64)[:, None, None]
    noise = noise_of(values)
    variance = 1e-6 * (1.0 + 4.0) / 2
    assert noise.by_sample.tolist() == pytest.approx([0.0, variance**0.5])
    assert noise.dithered == pytest.approx((variance / 2) ** 0.5)
    assert noise.rounding == pytest.approx(UNIFORM * float(units(values, 2.0**-52).square().mean().sqrt()))
    noise.repeats = float(rms(torch.tensor([[3e-3, 4e-3, torch.nan, 0.0]], dtype=torch.float64)))
    assert noise.repeats == pytest.approx(6.25**0.5 * 1e-3)
    assert noise.floor == pytest.approx((variance / 2 + 6.25e-6) ** 0.5)
    assert noise.quiet.floor == noise.dithered and noise.still.floor == noise.rounding > 0
    assert not noise.still.by_sample.any() and noise.by_sample.any()
    values[0, 0] = torch.nan
    assert noise_of(values).floor == pytest.approx((variance / 2) ** 0.5)
    assert scatter(Stacked.of({"u": values[:3, 1]})) == {"u": pytest.approx(1e-3)}


def test_a_dtype_is_told_by_the_last_bits_of_numbers():
    single, half, double = torch.float32, torch.bfloat16, torch.float64
    numbers = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=double)
    assert looks_like([numbers[:20].to(single).double(), numbers[20:].to(single).double()], single)
    assert not looks_like([numbers[:20].to(single).double(), numbers[20:]], single)
    # these are numbers of any dtype
    assert not looks_like([torch.arange(9).double() / 2], single) and not looks_like([torch.zeros(3).double()], single)
    assert not looks_like([numbers.to(half).double()], single) and looks_like([numbers.to(half).double()], half)
    assert coarser(None, double) == double and coarser(double, single) == coarser(single, double) == single
    assert coarser(torch.float16, half) == coarser(half, torch.float16) == half


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_error_of_an_exact_rmse_is_its_noise_and_reaches_down_to_nothing(dtype):
    data = [torch.randn(6, 3, generator=torch.Generator().manual_seed(seed)).to(dtype) for seed in range(2)]

    def model(pos):
        return {"e": torch.cdist(pos, pos).exp().sum((-1, -2)), "p": pos * pos.norm(dim=-1, keepdim=True)}

    asked = dict(inputs="vector", outputs={"e": "scalar", "p": "vector"}, lmax=2, degree=8, progress=False)
    report = eq.audit(model, data, **asked)
    for name, found in report.outputs.items():
        assert found.verdict == "exact" and found.noise_floor > 0
        own = [row.outputs[name] for row in report.systems]
        parts = [(part.rmse, part.rmse_error, found.noise_floor) for part in found.parts.values()]
        of_rows = [(row["rmse"], row["rmse_error"], row["noise_floor"]) for row in own]
        for rmse, error, floor in ((found.rmse, found.rmse_error, found.noise_floor), *parts, *of_rows):
            assert error >= max(rmse, floor)
        assert f"{number(found.rmse)} +- {margin(found.rmse, found.rmse_error)} " in str(report)
    broken = eq.audit(lambda pos: pos[..., 0].abs().sum(-1), data, **{**asked, "outputs": {"u": "scalar"}}).outputs["u"]
    assert broken.verdict == "breaks" and broken.rmse_error < broken.rmse


# -- half precision behind float32 ---------------------------------------------------------------------------------

FIRST, SECOND = torch.triu_indices(6, 6, 1)


def _net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.SiLU(), torch.nn.Linear(16, 1))


NET, HALF = _net(), _net().to(torch.float16)


def _lengths(pos):
    away = pos[:, FIRST] - pos[:, SECOND]
    d = away.norm(dim=-1)
    return away, torch.exp(-((d[..., None] - torch.linspace(0.5, 5.0, 8).to(d)) ** 2))


def lengths_by_autocast(pos):
    away, basis = _lengths(pos)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights = NET(basis)
    return (weights.float() * away).sum(1)


def lengths_by_cast(pos):
    away, basis = _lengths(pos)
    return (HALF(basis.half()).float() * away).sum(1)


def coordinates_by_autocast(pos):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        products = pos @ pos.mT
    return (torch.tanh(products.float()).sum(-1, keepdim=True) * pos).sum(1)


def all_in_half(pos):
    away, basis = _lengths(pos)
    return (HALF(basis.to(torch.float16)) * away).float().sum(1)


COARSE = {
    "lengths, autocast": (lengths_by_autocast, torch.float32),
    "lengths, cast": (lengths_by_cast, torch.float32),
    "coordinates, autocast": (coordinates_by_autocast, torch.float32),
    "all in half": (all_in_half, torch.float16),
}


def by_hand(model, dtype, count=400):
    """Size, and scatter of what is turned back, over random rotations; of one component."""
    from scipy.spatial.transform import Rotation

    turns = torch.tensor(Rotation.random(count, random_state=0).as_matrix())
    with torch.no_grad():
        turned = model((kinds.cloud(6) @ turns.mT).to(dtype)).double()[:, None] @ turns
    return float(turned.square().mean().sqrt()), float((turned - turned.mean(0)).square().mean().sqrt())


@pytest.mark.parametrize("planted", [0.0, 1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("name", COARSE)
def test_the_floor_of_half_precision_is_the_scatter_over_rotations_whatever_is_rounded(name, planted):
    model, dtype = COARSE[name]
    size, scattered = by_hand(model, dtype)
    break_ = planted * size * 3**0.5 * UP
    found = kinds.audit(lambda pos: model(pos) + break_.float(), "vector", [kinds.cloud(6).to(dtype)], degree=6)
    out = found.outputs["out"]
    assert found.settings["computes_in"] in ("bfloat16", "float16")
    assert scattered / 3 < out.noise_floor < 3 * scattered, (out.noise_floor / size, scattered / size)
    assert out.verdict == ("breaks" if planted * size > 4 * scattered else "exact")
    if planted * size > 10 * scattered:
        assert out.rmse == pytest.approx(planted * size, rel=0.05)


def test_lengths_that_are_rounded_alike_leave_the_floor_of_what_follows():
    energy = kinds.audit(
        lambda pos: HALF(_lengths(pos)[1].half()).float().sum((1, 2)), "scalar", [kinds.cloud(6).float()]
    )
    assert energy.settings["computes_in"] == "float16" and energy.outputs["out"].verdict == "exact"
    assert energy.outputs["out"].noise_floor < 1e-6 * energy.outputs["out"].size


def test_a_stated_half_precision_gives_the_floor_of_what_torch_does_not_see():
    def hidden(pos):
        return torch.from_numpy(pos.numpy().astype("float16").astype("float32")).norm(dim=-1, keepdim=True) * pos

    ask = {"precision_of_model": torch.float16, "degree": 6}
    found = kinds.audit(lambda pos: hidden(pos).sum(1), "vector", [kinds.cloud(6).float()], **ask).outputs["out"]
    _, scattered = by_hand(lambda pos: hidden(pos).sum(1), torch.float32)
    assert scattered / 3 < found.noise_floor < 3 * scattered and found.verdict == "exact"


def test_arcs_are_taken_where_a_part_is_coarser_and_nowhere_else():
    def by_distance(pos):
        return (pos.norm(dim=-1, keepdim=True) * pos).sum(1)

    def checks(model, dtype):
        return kinds.audit(model, "vector", [kinds.cloud(6).to(dtype)], degree=6).timings["checks"]

    plain = checks(by_distance, torch.float32)
    assert checks(all_in_half, torch.float16) == checks(by_distance, torch.bfloat16) == plain
    assert checks(coordinates_by_autocast, torch.float32) == plain + 24


def test_what_changes_smoothly_along_an_arc_is_no_scatter_and_what_jumps_is():
    steps = torch.linspace(-1.0, 1.0, ARC, dtype=torch.float64).repeat(4)
    cubic = 1e6 + 3.0 * steps - steps**2 + 7.0 * steps**3
    noise = torch.randn(4 * ARC, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = cubic[:, None].expand(-1, 500)
    found = curved(
        Stacked.of({"smooth": values[..., None, None], "noisy": (values + 1e-3 * noise)[..., None, None]}), ARC
    )
    assert found["smooth"][0] < 1e-9 and found["noisy"][0] == pytest.approx(1e-3, rel=0.05)
    assert found["noisy"][1].shape == (500,) and float(found["noisy"][1].square().mean().sqrt()) == pytest.approx(
        found["noisy"][0]
    )
    same = curved(Stacked.of({"same": torch.full((ARC, 2, 1, 3), 1e9 / 3)}), ARC)["same"]
    assert same[0] == 0.0 and not same[1].any()


@pytest.mark.parametrize("group", ["O3", "SO2", "O2"])
def test_the_copies_on_an_arc_are_turned_by_one_step_and_azimuths_stay_angles(group):
    copies = Copies(types.SimpleNamespace(adapter=None), None, eq.groups.registry.resolve(group), seed=3)
    copies.along(1e-2)
    assert len(copies.every) == COPIES + 4 * ARC
    elements = copies.piece(types.SimpleNamespace(device="cpu"), copies.every, 1.0).rotations[COPIES:]
    torch.testing.assert_close(elements @ elements.mT, torch.eye(3, dtype=torch.float64).expand(24, 3, 3))
    arcs = elements.unflatten(0, (4, ARC))
    steps = arcs[:, 1:] @ arcs[:, :-1].mT
    angles = torch.acos((steps.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2)
    torch.testing.assert_close(angles, torch.full_like(angles, 1e-2), rtol=1e-6, atol=0)
    if group != "O3":
        assert torch.equal(elements[:, 2, 2].abs(), torch.ones(24, dtype=torch.float64))
    copies.along(0.0)
    assert len(copies.every) == COPIES

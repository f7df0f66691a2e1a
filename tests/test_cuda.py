"""Work on a CUDA device is that of the CPU: every operator, dtype and layout, and what torch asks of a device.

EQUISCOPE_TEST_DEVICE=cpu runs on the CPU whatever makes sense there, so that these tests are tested without a GPU.
"""

import contextlib
import os
import warnings

import pytest
import torch
from test_derivatives import FUNCTIONS, OPERATORS
from torch.autograd import gradgradcheck

import equiscope as eq
from equiscope.errors import ArgumentError, DeviceError
from equiscope.groups.representation import Representation
from equiscope.groups.rotations import polar
from equiscope.ops import backend, wigner
from equiscope.ops.projection import power_and_moments
from equiscope.tolerance import tolerance

DEVICE = torch.device(os.environ.get("EQUISCOPE_TEST_DEVICE", "cuda"))
ON_CUDA = DEVICE.type == "cuda"
OTHER = "cpu" if ON_CUDA else "meta"
DOUBLE, SINGLE, HALF, BRAIN = torch.float64, torch.float32, torch.float16, torch.bfloat16

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(ON_CUDA and not torch.cuda.is_available(), reason="torch sees no CUDA device"),
    pytest.mark.skipif(ON_CUDA and not backend()["cuda"], reason="this build of equiscope has no CUDA kernels"),
]
needs_cuda = pytest.mark.skipif(not ON_CUDA, reason="streams, graphs and device memory are those of CUDA")
BOTH = pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
SIZES = [(0, 1), (1, 0), (2, 33), (3, 1), (4, 257), (6, 65), (8, 1000), (12, 31), (16, 129), (24, 7), (40, 3), (131, 1)]

REP = "3x0e+2x1o+1x2e+1x5o"


def here(*tensors):
    return [x.to(DEVICE) for x in tensors]


def wide(rotations):
    """On the CPU in float64, where a matrix rounded to float32 is a rotation no more until it is made one."""
    return polar(rotations.cpu().to(DOUBLE))


def joined(out):
    return torch.cat([part.reshape(-1) for part in out]) if isinstance(out, tuple | list) else out


def agree(got, expected, atol):
    assert got.device.type == DEVICE.type and got.shape == expected.shape
    torch.testing.assert_close(got.detach().cpu().to(DOUBLE), expected.detach().to(DOUBLE), rtol=0, atol=atol)


def bound(quantity, lmax, dtype):
    """Of two results of which each is within its tolerance."""
    return tolerance(quantity, lmax, dtype).atol + tolerance(quantity, lmax, DOUBLE).atol


def largest(x):
    return float(x.abs().max()) if x.numel() else 0.0


def alike(found, expected):
    """To round-off of float32: the library behind torch's matrix products may choose another algorithm."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * largest(expected))


def points(n, dtype):
    """The first are the origin and the axes."""
    special = torch.cat([torch.zeros(1, 3), torch.eye(3), -torch.eye(3)])[: n // 2]
    return torch.cat([special.to(DOUBLE), torch.randn(n - len(special), 3, dtype=DOUBLE)]).to(dtype)


# ---- values ----------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(("lmax", "n"), SIZES)
def test_D_is_that_of_the_cpu(dtype, lmax, n):
    (R,) = here(eq.random_rotations(n, dtype=dtype))
    if n > 2:
        R[0] = torch.eye(3)
        R[1] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    for l, (got, expected) in enumerate(zip(eq.wigner_D(R, lmax), eq.wigner_D(wide(R), lmax), strict=True)):
        assert got.dtype == dtype
        agree(got, expected, bound("wigner_D", l, dtype))
    if n > 2:
        assert torch.equal(got[0].cpu(), torch.eye(2 * lmax + 1, dtype=dtype))


@BOTH
@pytest.mark.parametrize(("lmax", "n"), SIZES)
def test_harmonics_are_those_of_the_cpu(dtype, lmax, n):
    xyz = points(n, dtype)
    (got,) = [eq.spherical_harmonics(x, lmax) for x in here(xyz)]
    assert got.dtype == dtype
    for basis in ("standard", "e3nn"):
        got = eq.spherical_harmonics(*here(xyz), lmax, basis=basis)
        expected = eq.spherical_harmonics(xyz.to(DOUBLE), lmax, basis=basis)
        agree(got, expected, bound("spherical_harmonics", lmax, dtype))


BROADCASTS = [
    ((), ()),
    ((7,), ()),
    ((), (7,)),
    ((33,), (33,)),
    ((5, 7), (7,)),
    ((7, 5), (7, 1)),
    ((1, 5), (7, 1)),
    ((0,), (0,)),
    ((0,), ()),
    ((0, 3), (4, 1, 1)),
]
KINDS = {
    **dict.fromkeys(["scalar", "invariant", "pseudoscalar", "vector", "pseudovector"], 1),
    **dict.fromkeys(["tensor", "voigt"], 2),
    **{"1x0e": 0, "1x1o": 1, REP: 5, "64x0e+64x1o+64x2e+64x3o": 3, "1x8e+0x3o": 8, "2x40o": 40},
}


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE, HALF, BRAIN])
@pytest.mark.parametrize("kind", KINDS)
def test_rotated_features_are_those_of_the_cpu(dtype, kind):
    working, lmax = DOUBLE if dtype == DOUBLE else SINGLE, KINDS[kind]
    options = [{}, {"inverse": True}]
    if "x" in kind:
        options += [{"layout": "ir_mul"}, {"layout": "ir_mul", "inverse": True, "basis": "e3nn"}]
    shape = Representation.parse(kind).component_shape
    for own, theirs in BROADCASTS if lmax < 40 else BROADCASTS[2:6]:
        x = torch.randn((*own, *shape), dtype=DOUBLE).to(dtype)
        count = int(torch.Size(theirs).numel())
        g = eq.random_rotations(count, group="O3", dtype=working).reshape(*theirs, 3, 3)
        for how in options:
            got = eq.rotate(*here(x, g), kind, **how)
            assert got.dtype == dtype
            expected = eq.rotate(x.to(DOUBLE), wide(g), kind, **how)
            size = bound("wigner_D", lmax, working) * (2 * lmax + 1) + torch.finfo(dtype).eps
            agree(got, expected, size * largest(x) * (4 if "x" not in kind else 1))


GRIDS = {
    "O3 4": (eq.quadrature(4), 2),
    "O3 8": (eq.quadrature(8), 4),
    "SO3 6": (eq.quadrature(6, group="SO3"), 3),
    "O3 16": (eq.quadrature(16), 8),
    "SO3 16": (eq.quadrature(16, group="SO3"), 8),
    "O3 11": (eq.quadrature(11), 5),
}


def smooth(grid, channels, dtype, scale=1.0, offset=0.0):
    """Values with content up to l = 2 and noise, so that no sector is empty."""
    turned = grid.rotations.reshape(len(grid), 9)
    values = torch.cat([turned, turned**2], dim=1) @ torch.randn(18, channels, dtype=DOUBLE)
    return (scale * (values + 0.1 * torch.randn_like(values)) + offset).to(dtype)


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE, HALF, BRAIN])
@pytest.mark.parametrize("name", GRIDS)
def test_power_is_that_of_the_cpu(dtype, name):
    grid, lmax = GRIDS[name]
    for channels in (0, 1, 7, 64, 131):
        values = smooth(grid, channels, dtype)
        for top in {0, lmax}:
            got = eq.character_power(*here(values), grid, top)
            assert got.dtype == (DOUBLE if dtype == DOUBLE else SINGLE)
            expected = eq.character_power(values.to(DOUBLE), grid, top)
            agree(got, expected, 2 * tolerance("projection", top, got.dtype).atol * largest(expected))


@BOTH
def test_power_keeps_further_axes_and_a_large_constant_costs_no_digits(dtype):
    grid, lmax = GRIDS["O3 8"]
    values = smooth(grid, 6, dtype, offset=100.0).reshape(-1, 2, 3)
    got = eq.character_power(*here(values), grid, lmax)
    expected = eq.character_power(values.to(DOUBLE), grid, lmax)
    assert got.shape == (lmax + 1, 2, 2, 3)
    agree(got[1:], expected[1:], 2 * tolerance("projection", lmax, dtype).atol * largest(expected[1:]))


@BOTH
@pytest.mark.parametrize("name", ["O3 4", "O3 8"])
def test_power_on_any_grid_is_that_of_the_cpu(dtype, name):
    grid, lmax = GRIDS[name]
    order = torch.randperm(len(grid))
    for which in (torch.arange(len(grid)), order):
        R, w = grid.rotations[which].to(dtype), grid.weights[which].to(dtype)
        for channels in (1, 33):
            values = smooth(grid, channels, dtype)[which]
            got = eq.character_power(*here(values), tuple(here(R, w)), lmax)
            expected = eq.character_power(values.to(DOUBLE), (wide(R), w.to(DOUBLE)), lmax)
            agree(got, expected, 2 * tolerance("projection", lmax, dtype).atol * largest(expected))


# ---- layouts ---------------------------------------------------------------------------------------------------------


def _shifted(x):
    """At an address that is a multiple of the size of one value only, which vector loads must not assume more of."""
    return torch.cat([x.new_zeros(1), x.reshape(-1)])[1:].view(x.shape)


LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
    "sliced": lambda x: torch.stack([x, torch.full_like(x, torch.nan)], dim=1)[:, 0],
    "expanded": lambda x: x[:1].expand(x.shape),
    "shifted": _shifted,
}


@BOTH
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_in_memory_does_not_matter(dtype, layout):
    grid, lmax = GRIDS["O3 8"]
    n, dim = 37, Representation.parse(REP).components
    functions = {
        "wigner_D": (lambda R: joined(eq.wigner_D(R, 5)), [eq.random_rotations(n, dtype=dtype)]),
        "wigner_D e3nn": (lambda R: joined(eq.wigner_D(R, 5, basis="e3nn")), [eq.random_rotations(n, dtype=dtype)]),
        "torque": (
            lambda R, G: wigner._wigner_D_torque(R, G.reshape(-1), 5),
            [eq.random_rotations(n, dtype=dtype), torch.randn(n, 286).to(dtype)],
        ),
        "spherical_harmonics": (lambda x: eq.spherical_harmonics(x, 6), [points(n, dtype)]),
        "rotate": (
            lambda x, R: eq.rotate(x, R, REP),
            [torch.randn(n, dim).to(dtype), eq.random_rotations(n, group="O3", dtype=dtype)],
        ),
        "vector": (
            lambda x, R: eq.rotate(x, R, "vector"),
            [torch.randn(n, 3).to(dtype), eq.random_rotations(n, group="O3", dtype=dtype)],
        ),
        "character_power": (lambda u: eq.character_power(u, grid, lmax), [smooth(grid, 9, dtype)]),
    }
    for name, (function, arguments) in functions.items():
        given = [LAYOUTS[layout](x) for x in here(*arguments)]
        plain = [x.contiguous().clone() for x in given]
        got, expected = function(*given), function(*plain)
        if name == "vector":  # products of torch, which may go another way for another alignment
            alike(got, expected)
        else:
            assert torch.equal(got, expected), name


# ---- derivatives -----------------------------------------------------------------------------------------------------


def gradients(function, arguments):
    leaves = [x.detach().requires_grad_() for x in arguments]
    out = joined(function(*leaves))
    ramp = torch.linspace(-1, 1, out.numel(), dtype=DOUBLE).to(out).reshape(out.shape)
    return torch.autograd.grad((out * ramp).sum(), leaves)


@BOTH
@pytest.mark.parametrize(("lmax", "n"), [(0, 3), (1, 1), (4, 0), (4, 33), (8, 129), (16, 5), (40, 2), (70, 1)])
def test_torques_are_those_of_the_cpu(dtype, lmax, n):
    R, xyz = eq.random_rotations(n, dtype=dtype), torch.randn(n, 3).to(dtype)
    sizes = [n * (2 * l + 1) ** 2 for l in range(lmax + 1)]
    for_D, for_Y = torch.randn(sum(sizes)).to(dtype), torch.randn(n, (lmax + 1) ** 2).to(dtype)
    size = 2 * tolerance("gradient", lmax, dtype).atol
    got = torch.ops.equiscope.wigner_D_torque(*here(R, for_D), lmax)
    expected = torch.ops.equiscope.wigner_D_torque(wide(R), for_D.to(DOUBLE), lmax)
    agree(got, expected, size * float(for_D.norm()))
    got = torch.ops.equiscope.spherical_harmonics_torque(*here(xyz, for_Y), lmax)
    expected = torch.ops.equiscope.spherical_harmonics_torque(xyz.to(DOUBLE), for_Y.to(DOUBLE), lmax)
    agree(got, expected, size * float(for_Y.norm()))


# the last one names a grid on the CPU
DIFFERENTIABLE = pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "character_power of a grid"])


@DIFFERENTIABLE
def test_first_derivatives_are_those_of_the_cpu(name):
    function, arguments = FUNCTIONS[name]
    given = arguments()
    for got, expected in zip(gradients(function, here(*given)), gradients(function, given), strict=True):
        agree(got, expected, 1e-12 * (1 + largest(expected)))


@DIFFERENTIABLE
def test_second_derivatives(name):
    function, arguments = FUNCTIONS[name]
    assert gradgradcheck(function, [x.requires_grad_() for x in here(*arguments())])


def test_derivatives_on_any_grid():
    grid = eq.quadrature(3)
    order = torch.randperm(len(grid))
    scattered = tuple(here(grid.rotations[order], grid.weights[order]))
    (values,) = here(torch.randn(len(grid), dtype=DOUBLE))
    assert gradgradcheck(lambda u: eq.character_power(u, scattered, 1), [values.requires_grad_()])


ON_HOST = {"project": (1, 2), "synthesize": (1, 2)}
"""Arguments that stay on the host: the grid."""


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_keep_the_rules_of_torch(name):
    operator, arguments = OPERATORS[name]
    stay = ON_HOST.get(name, ())
    given = [
        x.to("cpu" if i in stay else DEVICE).requires_grad_(i not in stay) if isinstance(x, torch.Tensor) else x
        for i, x in enumerate(arguments())
    ]
    torch.library.opcheck(operator.overload, tuple(given))


@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=needs_cuda)])
@pytest.mark.parametrize(
    "name", ["wigner_D", "spherical_harmonics", "rotate", "rotate one x", "rotate vector", "character_power"]
)
def test_compiles_without_graph_breaks(name, compiler):
    if compiler == "inductor" and name != "rotate":
        pytest.skip("one operator shows that inductor takes them")
    function, arguments = FUNCTIONS[name]
    given = [x.requires_grad_() for x in here(*arguments())]

    def scalar(*given):
        return joined(function(*given)).sin().sum()

    torch._dynamo.reset()
    with warnings.catch_warnings():
        if compiler == "inductor":
            warnings.simplefilter("ignore")  # of the compiler, about the machine
        value = torch.compile(scalar, fullgraph=True, backend=compiler)(*given)
        found = torch.autograd.grad(value, given)
    torch.testing.assert_close(value, scalar(*given), rtol=0, atol=1e-11)
    for got, expected in zip(found, torch.autograd.grad(scalar(*given), given), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)
    torch._dynamo.reset()


# ---- streams, graphs, devices ----------------------------------------------------------------------------------------

POWER_GRID, POWER_LMAX = GRIDS["O3 8"]


def _by(function, *which):
    """Gradients by the arguments `which` as one tensor."""

    def run(*given):
        leaves = [x.detach().requires_grad_(i in which) for i, x in enumerate(given)]
        out = joined(function(*leaves))
        # a constant second gradient would not depend on the values
        return joined(torch.autograd.grad(out.square().mul(out).sum(), [leaves[i] for i in which]))

    return run


def _features(n, dim):
    return [torch.randn(n, dim), eq.random_rotations(n, group="O3", dtype=SINGLE)]


# name: (function of tensors, its arguments in float32)
HOT = {
    "wigner_D": (lambda R: joined(eq.wigner_D(R, 8)), lambda: [eq.random_rotations(65, dtype=SINGLE)]),
    "spherical_harmonics": (lambda x: eq.spherical_harmonics(x, 8), lambda: [torch.randn(65, 3)]),
    "wigner_D e3nn": (
        lambda R: joined(eq.wigner_D(R, 8, basis="e3nn")),
        lambda: [eq.random_rotations(65, dtype=SINGLE)],
    ),
    "spherical_harmonics e3nn": (lambda x: eq.spherical_harmonics(x, 8, basis="e3nn"), lambda: [torch.randn(65, 3)]),
    "rotate": (lambda x, R: eq.rotate(x, R, "8x0e+8x1o+8x2e"), lambda: _features(65, 72)),
    "rotate e3nn": (lambda x, R: eq.rotate(x, R, "8x0e+8x1o+8x2e", basis="e3nn"), lambda: _features(65, 72)),
    "rotate one x": (lambda x, R: eq.rotate(x[0], R, "8x0e+8x1o+8x2e"), lambda: _features(65, 72)),
    "rotate rows": (lambda x, R: eq.rotate(x, R[0], "8x0e+8x1o+8x2e", layout="ir_mul"), lambda: _features(65, 72)),
    "rotate vector": (lambda x, R: eq.rotate(x, R, "vector"), lambda: _features(65, 3)),
    "rotate pseudovector": (lambda x, R: eq.rotate(x, R, "pseudovector"), lambda: _features(65, 3)),
    "rotate voigt": (lambda x, R: eq.rotate(x, R, "voigt"), lambda: _features(65, 6)),
    "character_power": (
        lambda u: eq.character_power(u, POWER_GRID, POWER_LMAX),
        lambda: [smooth(POWER_GRID, 40, SINGLE)],
    ),
    "character_power bfloat16": (
        lambda u: eq.character_power(u.to(BRAIN), POWER_GRID, POWER_LMAX),
        lambda: [smooth(POWER_GRID, 40, SINGLE)],
    ),
    "power and moments": (
        lambda u: torch.cat([x.flatten() for x in power_and_moments(u, POWER_GRID, POWER_LMAX, u[0])]),
        lambda: [smooth(POWER_GRID, 40, SINGLE)],
    ),
    "wigner_D gradient": (
        _by(lambda R: joined(eq.wigner_D(R, 8)), 0),
        lambda: [eq.random_rotations(65, dtype=SINGLE)],
    ),
    "spherical_harmonics gradient": (_by(lambda x: eq.spherical_harmonics(x, 8), 0), lambda: [torch.randn(65, 3)]),
    "character_power gradient": (
        _by(lambda u: eq.character_power(u, POWER_GRID, POWER_LMAX), 0),
        lambda: [smooth(POWER_GRID, 40, SINGLE)],
    ),
    "rotate gradient by x": (_by(lambda x, R: eq.rotate(x, R, "8x0e+8x1o+8x2e"), 0), lambda: _features(65, 72)),
    "rotate gradient by rotations": (
        _by(lambda x, R: eq.rotate(x, R, "8x0e+8x1o+8x2e"), 1),
        lambda: _features(65, 72),
    ),
}
EACH = pytest.mark.parametrize("name", HOT)


@contextlib.contextmanager
def no_waiting():
    """RuntimeError where torch waits for the device."""

    def mode(word):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the mode calls itself a prototype
            torch.cuda.set_sync_debug_mode(word)

    if ON_CUDA:
        mode("error")
    try:
        yield
    finally:
        if ON_CUDA:
            mode("default")


def warm(name):
    """The function and two sets of its arguments, after everything that is done once was done."""
    function, arguments = HOT[name]
    first, second = here(*arguments()), here(*arguments())
    for given in (first, second):
        function(*given)
    if ON_CUDA:
        torch.cuda.synchronize(DEVICE)
    return function, first, second


@EACH
def test_nothing_waits_for_the_device(name):
    function, first, _ = warm(name)
    with no_waiting():
        function(*first)


@needs_cuda
@EACH
def test_work_is_queued_on_the_current_stream(name):
    function, first, second = warm(name)
    expected = function(*second)
    slots = [x.clone() for x in first]
    torch.cuda.synchronize(DEVICE)
    stream = torch.cuda.Stream(DEVICE)
    with torch.cuda.stream(stream):
        function(*slots)  # for the memory that this stream will need
    torch.cuda.synchronize(DEVICE)
    with torch.cuda.stream(stream):
        torch.cuda._sleep(1_000_000_000)  # half a second, longer than all calls below take
        for slot, x in zip(slots, second, strict=True):
            slot.copy_(x)
        found = function(*slots)
        assert not stream.query(), "something waited for the stream"
    stream.synchronize()
    alike(found, expected)


@needs_cuda
@EACH
def test_a_captured_graph_follows_its_inputs(name):
    function, first, second = warm(name)
    expected = function(*second)
    slots = [x.clone() for x in first]
    side = torch.cuda.Stream(DEVICE)
    side.wait_stream(torch.cuda.current_stream(DEVICE))
    with torch.cuda.stream(side):
        for _ in range(2):
            function(*slots)
    torch.cuda.current_stream(DEVICE).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = function(*slots)
    for _ in range(2):
        for slot, x in zip(slots, second, strict=True):
            slot.copy_(x)
        found.fill_(torch.nan)
        graph.replay()
        alike(found, expected)


@needs_cuda
def test_a_first_call_while_capturing_is_refused_with_the_way_out():
    (R,) = here(eq.random_rotations(3))
    eq.wigner_D(R, 1)
    torch.cuda.synchronize(DEVICE)
    lmax = 61  # used by no other test
    with pytest.raises(DeviceError, match="stream: expected one call"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        R.clone()  # torch warns of an empty graph
        eq.wigner_D(R, lmax)
    # nothing is left broken
    agree(eq.wigner_D(R, 2)[2], eq.wigner_D(R.cpu(), 2)[2], 1e-14)


@needs_cuda
@EACH
def test_another_device_is_served_and_the_current_one_left_alone(name):
    if torch.cuda.device_count() < 2:
        pytest.skip("one CUDA device only")
    function, first, _ = warm(name)
    current = torch.cuda.current_device()
    other = torch.device("cuda", (current + 1) % torch.cuda.device_count())
    found = function(*(x.to(other) for x in first))
    assert found.device == other and torch.cuda.current_device() == current
    alike(found.to(DEVICE), function(*first))


# ---- bits ------------------------------------------------------------------------------------------------------------


@EACH
def test_runs_give_equal_bits(name):
    function, first, _ = warm(name)
    assert torch.equal(function(*first), function(*first))


@BOTH
def test_batch_splits_give_equal_bits(dtype):
    n, cut, lmax = 301, 77, 7
    R, xyz, x = here(
        eq.random_rotations(n, dtype=dtype),
        torch.randn(n, 3).to(dtype),
        torch.randn(n, Representation.parse(REP).components).to(dtype),
    )
    G = [torch.randn(n, (2 * l + 1) ** 2, device=DEVICE, dtype=dtype) for l in range(lmax + 1)]
    for part in (slice(0, cut), slice(cut, n)):
        for whole, own in zip(eq.wigner_D(R, lmax), eq.wigner_D(R[part], lmax), strict=True):
            assert torch.equal(whole[part], own)
        assert torch.equal(eq.spherical_harmonics(xyz, lmax)[part], eq.spherical_harmonics(xyz[part], lmax))
        assert torch.equal(eq.rotate(x, R, REP)[part], eq.rotate(x[part], R[part], REP))
        assert torch.equal(eq.rotate(x, R[0], REP)[part], eq.rotate(x[part], R[0], REP))
        assert torch.equal(eq.rotate(x[0], R, REP)[part], eq.rotate(x[0], R[part], REP))
        whole = wigner._wigner_D_torque(R, joined(G), lmax)
        assert torch.equal(whole[part], wigner._wigner_D_torque(R[part], joined([g[part] for g in G]), lmax))


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE, BRAIN])
@pytest.mark.parametrize("name", ["O3 4", "O3 16", "SO3 6"])
def test_power_of_a_channel_does_not_depend_on_its_neighbours(dtype, name):
    grid, lmax = GRIDS[name]
    (values,) = here(smooth(grid, 150, dtype))
    whole = eq.character_power(values, grid, lmax)
    # the squares may be summed in another order
    bound = 16 * torch.finfo(whole.dtype).eps
    for part in (slice(0, 1), slice(1, 34), slice(34, 150)):
        own = eq.character_power(values[:, part], grid, lmax)
        torch.testing.assert_close(own, whole[..., part], rtol=bound, atol=0)


# ---- bad values ------------------------------------------------------------------------------------------------------


def spoilt(function, good, bad, wrong):
    """Where checks are deferred, no number in the entries `wrong` of the first axis alone; elsewhere an error."""
    if not ON_CUDA:
        with pytest.raises(ArgumentError):
            function(bad)
        return
    found, expected = function(bad), function(good)
    right = [i for i in range(len(expected)) if i not in wrong]
    assert not bool(found[wrong].isfinite().any())
    assert torch.equal(found[right], expected[right])


@BOTH
def test_a_bad_matrix_spoils_its_own_entry_alone(dtype):
    (good,) = here(eq.random_rotations(9, dtype=dtype))
    bad = good.clone()
    bad[2] *= 1.5
    bad[4, 1, 1] = torch.nan
    bad[8, 0, 2] = torch.inf
    wrong = [2, 4, 8]
    (x,) = here(torch.randn(9, Representation.parse(REP).components).to(dtype))
    for lmax in (0, 3, 8):
        spoilt(lambda R, lmax=lmax: eq.wigner_D(R, lmax)[lmax], good, bad, wrong)
    spoilt(lambda R: eq.rotate(x, R, REP), good, bad, wrong)
    spoilt(lambda R: eq.rotate(x[0], R, REP, inverse=True), good, bad, wrong)
    spoilt(lambda R: eq.rotate(x[:, :3], R, "vector"), good, bad, wrong)
    spoilt(lambda R: eq.rotate(x[0, :6], R, "voigt"), good, bad, wrong)
    # D^l says nothing of parity
    improper = good.clone()
    improper[5] *= -1
    spoilt(lambda R: eq.wigner_D(R, 3)[3], good, improper, [5])


@BOTH
def test_a_bad_point_spoils_its_own_entry_alone(dtype):
    (good,) = here(torch.randn(9, 3).to(dtype))
    bad = good.clone()
    bad[1, 0], bad[6, 2] = torch.nan, -torch.inf
    spoilt(lambda xyz: eq.spherical_harmonics(xyz, 5), good, bad, [1, 6])


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE, HALF])
def test_a_bad_value_spoils_its_own_channel_alone(dtype):
    grid, lmax = GRIDS["O3 8"]
    (good,) = here(smooth(grid, 70, dtype))
    bad = good.clone()
    bad[7, 3], bad[len(grid) - 1, 64] = torch.nan, torch.inf
    spoilt(lambda u: eq.character_power(u, grid, lmax).movedim(-1, 0), good, bad, [3, 64])


def test_a_grid_with_a_bad_matrix_gives_no_numbers():
    grid, lmax = GRIDS["O3 4"]
    values, R, w = here(smooth(grid, 3, DOUBLE), grid.rotations.clone(), grid.weights)
    R[5] *= 1.5
    try:
        found = eq.character_power(values, (R, w), lmax)
    except ArgumentError as error:
        assert "orthogonal" in str(error)
    else:
        assert bool(found.isnan().all())


def test_mixed_devices_are_refused_by_name():
    grid, lmax = GRIDS["O3 4"]
    values, R, w = torch.randn(len(grid), 2, dtype=DOUBLE), grid.rotations, grid.weights
    (x,) = here(torch.randn(3, 3, dtype=DOUBLE))
    for kind in ("vector", "1x1o"):
        with pytest.raises(DeviceError, match="rotations: expected the device of x"):
            eq.rotate(x, R[:3].to(OTHER), kind)
    with pytest.raises(DeviceError, match="rotations: expected the device of values"):
        eq.character_power(*here(values), (R.to(OTHER), w.to(OTHER)), lmax)
    with pytest.raises(DeviceError, match="weights: expected the device of values"):
        eq.character_power(*here(values), (R.to(DEVICE), w.to(OTHER)), lmax)


# ---- sizes -----------------------------------------------------------------------------------------------------------

MANY = 2**31 if ON_CUDA else 2**21
"""Output values that a signed 32-bit number cannot count."""


def _ends(n):
    return [0, 1, n // 2, n // 2 + 1, n - 2, n - 1]


def _room(nbytes):
    if ON_CUDA:
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info(DEVICE)[0]
        if free < nbytes:
            pytest.skip(f"{nbytes / 2**30:.0f} GiB are needed, {free / 2**30:.0f} are free")


def test_D_of_more_values_than_32_bits_count():
    lmax = 8
    n = MANY // 969 + 1000
    _room(4 * 969 * n + 600 * n)
    R = eq.random_rotations(n, dtype=SINGLE, device=DEVICE)
    found = [D[_ends(n)] for D in eq.wigner_D(R, lmax)]
    expected = eq.wigner_D(wide(R[_ends(n)]), lmax)
    for l in range(lmax + 1):
        agree(found[l], expected[l], bound("wigner_D", l, SINGLE))


def test_harmonics_of_more_values_than_32_bits_count():
    lmax = 16
    n = MANY // 289 + 1000
    _room(4 * 289 * n + 100 * n)
    xyz = torch.randn(n, 3, device=DEVICE)
    found = eq.spherical_harmonics(xyz, lmax)[_ends(n)]
    expected = eq.spherical_harmonics(xyz[_ends(n)].cpu().to(DOUBLE), lmax)
    agree(found, expected, bound("spherical_harmonics", lmax, SINGLE))


def test_features_of_more_values_than_32_bits_count():
    rep, dim = "64x0e+64x1o+64x2e", 576
    n = MANY // dim + 1000
    _room(2 * 4 * dim * n + 600 * n)
    x, R = torch.randn(n, dim, device=DEVICE), eq.random_rotations(n, group="O3", dtype=SINGLE, device=DEVICE)
    found = eq.rotate(x, R, rep)[_ends(n)]
    expected = eq.rotate(x[_ends(n)].cpu().to(DOUBLE), wide(R[_ends(n)]), rep)
    agree(found, expected, 5 * bound("wigner_D", 2, SINGLE) * largest(expected))


# ---- metrics and audit -----------------------------------------------------------------------------------------------


def test_metrics_are_those_of_the_cpu():
    grid = eq.quadrature(8)
    values = torch.einsum("gij,nj->gni", grid.rotations, torch.randn(4, 3, dtype=DOUBLE))
    values = values + 0.1 * values * values[..., 2:]
    found = []
    for device in (DEVICE, torch.device("cpu")):
        error = eq.metrics.EquivarianceError("vector", grid).to(device)
        spectrum = eq.metrics.CharacterSpectrum(4, grid, representation="vector").to(device)
        for metric in (error, spectrum):
            metric.update(values.to(device))
        found.append({**error.compute(), **spectrum.compute()})
    for name, expected in found[1].items():
        agree(found[0][name], expected, 1e-12 * (1 + largest(expected)))


CLOUD_INPUTS = {"positions": "vector", "charges": "invariant"}


class Cloud(torch.nn.Module):
    """Unconstrained, with an energy and a dipole."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Linear(3, 12)
        self.hidden = torch.nn.Sequential(torch.nn.Linear(12, 12), torch.nn.Tanh())
        self.head = torch.nn.Linear(12, 4)

    def forward(self, positions, charges):
        out = self.head(self.hidden(torch.tanh(self.embedding(positions)) * charges[..., None]).sum(1))
        return {"energy": out[:, 0], "dipole": out[:, 1:]}


def test_audit_is_that_of_the_cpu():
    torch.manual_seed(0)
    model = Cloud().double()
    data = [{"positions": torch.randn(n, 3).double(), "charges": torch.rand(n).double()} for n in (5, 3, 5)]
    reports = [
        eq.audit(
            model.to(device),
            data,
            inputs=CLOUD_INPUTS,
            outputs={"energy": "scalar", "dipole": "vector"},
            layers="*",
            lmax=3,
            degree=8,
            keep=keep,
            device=device,
        )
        for device, keep in (("cpu", None), (DEVICE, None), ("cpu", "samples"), (DEVICE, "samples"))
    ]
    for expected, got in (reports[:2], reports[2:]):
        assert list(got.layers) == list(expected.layers) == ["embedding", "hidden", "head"]
        for name in (*expected.outputs, *expected.layers):
            ours, theirs = got.result(name), expected.result(name)
            size = 1e-10 * theirs.pooled_total
            for field in ("power", "total", "unresolved", "power_error"):
                a, b = getattr(ours, field), getattr(theirs, field)
                assert a.device.type == "cpu"
                torch.testing.assert_close(a, b, rtol=0, atol=size)
        for name, theirs in expected.outputs.items():
            ours = got.outputs[name]
            assert ours.rmse == pytest.approx(theirs.rmse, rel=1e-10)
            assert ours.worst.deviation == pytest.approx(theirs.worst.deviation, rel=1e-10)
            torch.testing.assert_close(ours.variance, theirs.variance, rtol=1e-10, atol=0)
        assert not got.failures


def test_audit_leaves_float32_models_in_float32():
    torch.manual_seed(0)
    data = [{"positions": torch.randn(4, 3), "charges": torch.rand(4)}]
    settings = {"inputs": CLOUD_INPUTS, "outputs": {"dipole": "vector"}, "lmax": 3, "degree": 8}
    model = Cloud()
    expected = eq.audit(model, data, **settings).outputs["dipole"]
    got = eq.audit(model.to(DEVICE), data, **settings, device=DEVICE).outputs["dipole"]
    assert got.dtype == "float32"
    assert got.rmse == pytest.approx(expected.rmse, rel=1e-4)
    torch.testing.assert_close(got.power, expected.power, rtol=0, atol=1e-5 * expected.pooled_total)

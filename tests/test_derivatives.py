"""First and second derivatives, vmap and compilation of every operator."""

import pytest
import torch
import torch._dynamo.testing
from torch.autograd import forward_ad, gradcheck, gradgradcheck

import equiscope as eq
from equiscope.groups.generators import each_generator, table
from equiscope.groups.rotations import hat, polar
from equiscope.kernels import reference
from equiscope.ops import _product, _tensors, harmonics, projection, rotation, wigner

DOUBLE, SINGLE = torch.float64, torch.float32
REP = "2x0e+1x1o+1x2e+2x1e"
GRID = eq.quadrature(3)
RINGS, WEIGHTS = torch.cat([GRID.rings, -GRID.rings]), GRID.ring_weights.repeat(2)
ORDER = torch.randperm(len(GRID), generator=torch.Generator().manual_seed(1))
SCATTERED = (GRID.rotations[ORDER], GRID.weights[ORDER])


def points(n, *components):
    return torch.randn(n, *components, dtype=DOUBLE)


def elements(n):
    return eq.random_rotations(n, group="O3")


def poles():
    half = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=DOUBLE))
    small = torch.matrix_exp(hat(torch.tensor([1e-9, 0.0, 0.0], dtype=DOUBLE)))
    return torch.stack([torch.eye(3, dtype=DOUBLE), half, small, half @ small])


# name: (function of tensors, its arguments)
FUNCTIONS = {
    "wigner_D": (lambda R: eq.wigner_D(R, 3), lambda: [eq.random_rotations(2)]),
    "wigner_D e3nn": (lambda R: eq.wigner_D(R, 2, basis="e3nn"), lambda: [eq.random_rotations(2)]),
    "wigner_D at the poles": (lambda R: eq.wigner_D(R, 3), lambda: [poles()]),
    "spherical_harmonics": (lambda x: eq.spherical_harmonics(x, 4), lambda: [points(3, 3)]),
    "spherical_harmonics e3nn": (lambda x: eq.spherical_harmonics(x, 2, basis="e3nn"), lambda: [points(2, 3)]),
    "spherical_harmonics on the axes": (
        lambda x: eq.spherical_harmonics(x, 3),
        lambda: [torch.cat([torch.eye(3, dtype=DOUBLE), -torch.eye(3, dtype=DOUBLE)])],
    ),
    "rotate": (lambda x, R: eq.rotate(x, R, REP), lambda: [points(2, 16), elements(2)]),
    "rotate inverse": (lambda x, R: eq.rotate(x, R, REP, inverse=True), lambda: [points(2, 16), elements(2)]),
    "rotate one x": (lambda x, R: eq.rotate(x, R, REP, layout="ir_mul"), lambda: [points(16), elements(3)]),
    "rotate one x inverse": (lambda x, R: eq.rotate(x, R, REP, inverse=True), lambda: [points(16), elements(3)]),
    "rotate rows": (lambda x, R: eq.rotate(x, R, REP, basis="e3nn"), lambda: [points(3, 16), elements(1)[0]]),
    "rotate crossed": (lambda x, R: eq.rotate(x, R, "1x2o"), lambda: [points(2, 1, 5), elements(2)]),
    "rotate vector": (lambda x, R: eq.rotate(x, R, "vector"), lambda: [points(2, 3), elements(2)]),
    "rotate pseudovector": (lambda x, R: eq.rotate(x, R, "pseudovector"), lambda: [points(2, 3), elements(2)]),
    "rotate tensor": (lambda x, R: eq.rotate(x, R, "tensor", inverse=True), lambda: [points(2, 3, 3), elements(2)]),
    "rotate tensor(3)": (lambda x, R: eq.rotate(x, R, "pseudotensor(3)"), lambda: [points(1, 3, 3, 3), elements(2)]),
    "rotate vectors and scalars": (
        lambda x, R: eq.rotate(x, R, "2xvector+pseudoscalar+scalar"),
        lambda: [points(2, 8), elements(2)],
    ),
    "rotate voigt": (lambda x, R: eq.rotate(x, R, "voigt"), lambda: [points(2, 6), elements(2)]),
    "character_power": (lambda u: eq.character_power(u, GRID, 1), lambda: [points(len(GRID), 2)]),
    "character_power of a grid": (lambda u: eq.character_power(u, SCATTERED, 1), lambda: [points(len(GRID))]),
}
CALLS = pytest.mark.parametrize("name", FUNCTIONS)


def prepared(name):
    function, arguments = FUNCTIONS[name]
    return function, [x.detach().clone().requires_grad_() for x in arguments()]


@CALLS
def test_first_derivatives(name):
    function, arguments = prepared(name)
    assert gradcheck(function, arguments)


@CALLS
def test_second_derivatives(name):
    function, arguments = prepared(name)
    assert gradgradcheck(function, arguments)


def test_second_derivative_of_D_is_D_times_two_generators():
    # to round-off, which gradgradcheck does not see
    R, omega = eq.random_rotations(1)[0], torch.zeros(3, dtype=DOUBLE, requires_grad=True)
    l, G = 6, points(13, 13)

    def energy(omega):
        step = hat(omega)
        return (G * eq.wigner_D(R @ (torch.eye(3, dtype=DOUBLE) + step + 0.5 * step @ step), l)[l]).sum()

    hessian = torch.autograd.functional.hessian(energy, omega)
    X, D = reference.generators(l), eq.wigner_D(R, l)[l]
    both = torch.einsum("ij,ia,kab,hbj->kh", G, D, X, X)
    torch.testing.assert_close(hessian, 0.5 * (both + both.T), rtol=0, atol=1e-11)


def test_third_derivative_of_D():
    def curvature(R):
        (first,) = torch.autograd.grad(sum(D.square().sin().sum() for D in eq.wigner_D(R, 2)), R, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), R, create_graph=True)
        return second

    assert gradcheck(curvature, [eq.random_rotations(1).requires_grad_()])


OPERATORS = {
    "wigner_D": (wigner._wigner_D, lambda: (eq.random_rotations(3), 3)),
    "wigner_D_torque": (wigner._wigner_D_torque, lambda: (eq.random_rotations(3), points(3 * 84), 3)),
    "polar_rotations": (wigner._polar_rotations, lambda: (elements(3),)),
    "spherical_harmonics": (harmonics._spherical_harmonics, lambda: (points(4, 3), 3)),
    "spherical_harmonics_torque": (harmonics._spherical_harmonics_torque, lambda: (points(4, 3), points(4, 16), 3)),
    "checked_rotations": (rotation.checked_rotations, lambda: (elements(3),)),
    "rotate": (rotation._rotate, lambda: (points(3, 2, 16), elements(3), REP, "mul_ir", False)),
    "rotate one x": (rotation._rotate, lambda: (points(1, 2, 16), elements(3), REP, "ir_mul", True)),
    "rotate_tensors": (_tensors.rotate_tensors, lambda: (points(3, 2, 9), elements(3), 2, False, False)),
    "rotate_tensors of one x": (_tensors.rotate_tensors, lambda: (points(1, 2, 3), elements(3), 1, True, True)),
    "product": (_product._product, lambda: (points(3, 2, 4), points(1, 4, 3))),
    "project": (projection._project, lambda: (points(len(RINGS), 4, 2), RINGS, WEIGHTS, 2, 2, True)),
    "synthesize": (projection._synthesize, lambda: (points(2, 35, 2), RINGS, WEIGHTS, 4, 2, 2)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_keep_the_rules_of_torch(name):
    operator, arguments = OPERATORS[name]
    differentiable = {"project": 1, "synthesize": 1}.get(name)
    given = [
        x.clone().requires_grad_(differentiable is None or i < differentiable) if isinstance(x, torch.Tensor) else x
        for i, x in enumerate(arguments())
    ]
    torch.library.opcheck(operator.overload, tuple(given))


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_operators_give_the_dtype_they_were_given(dtype):
    for name, (function, arguments) in FUNCTIONS.items():
        given = [x.to(dtype).requires_grad_() for x in arguments()]
        out = function(*given)
        out = torch.cat([D.reshape(-1) for D in out]) if isinstance(out, tuple) else out
        assert out.dtype == dtype, name
        for x, gradient in zip(given, torch.autograd.grad(out.square().sum(), given), strict=True):
            assert gradient.dtype == dtype and gradient.shape == x.shape and bool(torch.isfinite(gradient).all()), name


def test_float32_gradients_agree_with_float64():
    for name, (function, arguments) in FUNCTIONS.items():
        found = []
        given = arguments()
        for dtype in (SINGLE, DOUBLE):
            own = []
            for x in given:
                rounded = x.to(SINGLE).to(dtype)
                turns = x.shape[-2:] == (3, 3) and torch.allclose(x @ x.mT, torch.eye(3, dtype=DOUBLE))
                # a rotation rounded to float32 is none in float64, until it is made one
                own.append((polar(rounded) if turns else rounded).requires_grad_())
            out = function(*own)
            out = torch.cat([D.reshape(-1) for D in out]) if isinstance(out, tuple) else out
            weights = torch.linspace(-1, 1, out.numel(), dtype=DOUBLE).to(dtype).reshape(out.shape)
            found.append(torch.autograd.grad((out * weights).sum(), own))
        for single, double in zip(*found, strict=True):
            assert float((single.double() - double).norm()) <= 1e-5 * (1 + float(double.norm())), name


@CALLS
def test_vmap_is_a_loop(name):
    function, arguments = FUNCTIONS[name]
    several = [torch.stack(list(same)) for same in zip(*(arguments() for _ in range(3)), strict=True)]
    options = [(0,) * len(several)]
    if len(several) == 2:
        options += [(0, None), (None, 0)]
    for in_dims in options:
        given = [x if dim == 0 else x[0] for x, dim in zip(several, in_dims, strict=True)]
        mapped = torch.func.vmap(function, in_dims=in_dims)(*given)
        looped = [function(*(x[i] if dim == 0 else x for x, dim in zip(given, in_dims, strict=True))) for i in range(3)]
        if isinstance(mapped, tuple):
            for degree, same in zip(mapped, zip(*looped, strict=True), strict=True):
                torch.testing.assert_close(degree, torch.stack(same), rtol=0, atol=1e-14)
        else:
            torch.testing.assert_close(mapped, torch.stack(looped), rtol=0, atol=1e-14)


@CALLS
def test_gradients_through_vmap_are_those_of_a_loop(name):
    function, arguments = FUNCTIONS[name]
    several = [torch.stack(list(same)).requires_grad_() for same in zip(*(arguments() for _ in range(2)), strict=True)]

    def scalar(out):
        return sum(D.sin().sum() for D in out) if isinstance(out, tuple) else out.sin().sum()

    mapped = torch.autograd.grad(scalar(torch.func.vmap(function)(*several)), several)
    looped = torch.autograd.grad(sum(scalar(function(*(x[i] for x in several))) for i in range(2)), several)
    for got, expected in zip(mapped, looped, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def flat(function):
    """One vector of all results."""

    def joined(*arguments):
        out = function(*arguments)
        return torch.cat([D.reshape(-1) for D in out]) if isinstance(out, tuple) else out.reshape(-1)

    return joined


def along(jacobian, tangents):
    return sum((J * t).flatten(-t.ndim).sum(-1) for J, t in zip(jacobian, tangents, strict=True))


def agree(got, expected):
    for a, b in zip(got, expected, strict=True):
        if isinstance(a, tuple):
            agree(a, b)
        else:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


@CALLS
def test_forward_mode_is_reverse_mode(name):
    function, arguments = FUNCTIONS[name][0], FUNCTIONS[name][1]()
    function, tangents = flat(function), [torch.randn_like(x) for x in arguments]
    jacobian = torch.autograd.functional.jacobian(function, tuple(arguments))
    assert all(float(J.abs().max()) > 1e-3 for J in jacobian)
    value, tangent = torch.func.jvp(function, tuple(arguments), tuple(tangents))
    agree([value, tangent], [function(*arguments), along(jacobian, tangents)])
    which = tuple(range(len(arguments)))
    agree(torch.func.jacfwd(function, which)(*arguments), jacobian)
    with forward_ad.dual_level():
        # one argument alone: of the others there is no tangent
        duals = [forward_ad.make_dual(arguments[-1], tangents[-1])]
        found = forward_ad.unpack_dual(function(*arguments[:-1], *duals)).tangent
        torch.testing.assert_close(found, along(jacobian[-1:], tangents[-1:]), rtol=0, atol=1e-11)


@CALLS
def test_transforms_of_torch_func_are_those_of_autograd(name):
    function, arguments = flat(FUNCTIONS[name][0]), FUNCTIONS[name][1]()
    which = tuple(range(len(arguments)))

    def scalar(*given):
        return function(*given).sin().sum()

    f = torch.func
    gradient = torch.autograd.functional.jacobian(scalar, tuple(arguments))
    agree(f.grad(scalar, which)(*arguments), gradient)
    agree(f.vjp(scalar, *arguments)[1](torch.ones((), dtype=DOUBLE)), gradient)
    agree(f.jacrev(function, which)(*arguments), torch.autograd.functional.jacobian(function, tuple(arguments)))
    hessian = torch.autograd.functional.hessian(scalar, tuple(arguments))
    for outer in (f.jacfwd, f.jacrev):
        for inner in (f.jacfwd, f.jacrev):
            agree(outer(inner(scalar, which), which)(*arguments), hessian)


@CALLS
def test_gradients_of_each_of_a_batch(name):
    function, arguments = flat(FUNCTIONS[name][0]), FUNCTIONS[name][1]
    several = [torch.stack(list(same)) for same in zip(*(arguments() for _ in range(2)), strict=True)]
    which = tuple(range(len(several)))

    def scalar(*given):
        return function(*given).sin().sum()

    each = [torch.autograd.functional.jacobian(scalar, tuple(x[i] for x in several)) for i in range(2)]
    expected = [torch.stack(same) for same in zip(*each, strict=True)]
    agree(torch.func.vmap(torch.func.grad(scalar, which))(*several), expected)
    agree(torch.func.vmap(torch.func.jacfwd(scalar, which))(*several), expected)
    agree(torch.func.grad(lambda *given: torch.func.vmap(scalar)(*given).sum(), which)(*several), expected)


def test_forward_and_reverse_mode_nest_in_eager_mode():
    for name in ("wigner_D", "spherical_harmonics", "rotate inverse", "rotate voigt", "character_power"):
        function, arguments = prepared(name)
        # reverse over reverse is what test_second_derivatives checks
        one_way = {"check_fwd_over_rev": True, "check_rev_over_rev": False, "check_undefined_grad": False}
        assert gradgradcheck(function, arguments, **one_way), name
        function, tangents = flat(function), [torch.randn_like(x) for x in arguments]
        with forward_ad.dual_level():
            duals = [forward_ad.make_dual(x, t) for x, t in zip(arguments, tangents, strict=True)]
            slope = forward_ad.unpack_dual(function(*duals).sin().sum()).tangent
            reverse_over_forward = torch.autograd.grad(slope, arguments)

        def scalar(*given, function=function):
            return function(*given).sin().sum()

        expected = torch.autograd.functional.hvp(scalar, tuple(arguments), tuple(tangents))[1]
        agree(reverse_over_forward, expected)


def test_derivatives_of_torch_func_are_refused_in_one_graph_and_right_in_several():
    x, v = points(3, 3), points(3, 3)

    def energy(p):
        return eq.spherical_harmonics(p, 3).sin().sum()

    for function in (torch.func.grad(energy), lambda p: torch.func.jvp(energy, (p,), (v,))[1]):
        torch._dynamo.reset()
        with pytest.raises(torch._dynamo.exc.Unsupported, match=r"by torch\.func and forward mode are not compiled"):
            torch.compile(function, fullgraph=True, backend="aot_eager")(x)
    torch._dynamo.reset()
    mapped = torch.compile(torch.func.vmap(energy), fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(mapped, torch.func.vmap(energy)(x), rtol=0, atol=1e-13)
    torch._dynamo.reset()


def test_out_is_refused_where_a_derivative_may_be_wanted():
    x = points(3)
    with pytest.raises(eq.errors.ArgumentError, match="out: expected no derivative"):
        torch.func.grad(lambda p: eq.spherical_harmonics(p, 1, out=torch.empty(4, dtype=DOUBLE)).sum())(x)


@CALLS
def test_autocast_changes_neither_results_nor_gradients(name):
    function, arguments = prepared(name)
    function = flat(function)
    expected = function(*arguments)
    gradient = torch.autograd.grad(expected.sin().sum(), arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = function(*arguments)
        turned = torch.autograd.grad(found.sin().sum(), arguments)
    assert found.dtype == DOUBLE and torch.equal(found, expected)
    agree(turned, gradient)
    single = [x.detach().float() for x in arguments]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = function(*single)
    assert found.dtype == SINGLE and torch.equal(found, function(*single))


def derivatives(function, arguments, entered):
    """First and second derivatives by every argument, forward mode and transforms of torch.func, in one region."""
    found = []
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=entered != "nowhere"):
        own = [x.detach().clone().requires_grad_() for x in arguments]
        with torch.autocast("cpu", enabled=entered == "everywhere"):
            value = function(*own).sin().sum()
        first = torch.autograd.grad(value, own, create_graph=True)
        found += first
        found += torch.autograd.grad(sum(g.sin().sum() for g in first), own)
        which = tuple(range(len(own)))
        with forward_ad.dual_level():
            duals = [forward_ad.make_dual(x.detach(), torch.ones_like(x)) for x in arguments]
            found.append(forward_ad.unpack_dual(function(*duals)).tangent)

        def scalar(*given):
            return function(*given).sin().sum()

        def slope(*given):
            return sum(g.sin().sum() for g in torch.func.grad(scalar, which)(*given))

        ones = tuple(torch.ones_like(x) for x in arguments)
        found += torch.func.grad(slope, which)(*arguments)
        found.append(torch.func.jvp(slope, tuple(arguments), ones)[1])
        found += torch.func.grad(lambda *given: torch.func.jvp(scalar, given, ones)[1], which)(*arguments)
    return [x.detach() for x in found]


@CALLS
@pytest.mark.parametrize("few", [0, 10**6])
def test_derivatives_inside_autocast_are_those_outside(name, few, monkeypatch):
    # float32, which autocast would round to bfloat16; products of few numbers are made in another way than of many
    monkeypatch.setattr(_product, "FEW", few)
    function, arguments = FUNCTIONS[name]
    one = [x.float() for x in arguments()]
    outside = derivatives(flat(function), one, "nowhere")
    assert all(bool(torch.isfinite(x).all()) for x in outside)
    for entered in ("everywhere", "backward"):
        for inside, expected in zip(derivatives(flat(function), one, entered), outside, strict=True):
            assert float((inside - expected).abs().max()) <= 1e-6 * (1 + float(expected.abs().max()))


@pytest.mark.parametrize("name", ["wigner_D", "rotate", "rotate voigt", "spherical_harmonics"])
def test_compiled_derivatives_inside_autocast_are_those_outside(name):
    function, arguments = FUNCTIONS[name]
    own = [x.float().requires_grad_() for x in arguments()]

    def scalar(*given):
        return flat(function)(*given).sin().sum()

    expected = torch.autograd.grad(scalar(*own), own)
    torch._dynamo.reset()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        compiled = torch.compile(scalar, fullgraph=True, backend="aot_eager")
        for inside, outside in zip(torch.autograd.grad(compiled(*own), own), expected, strict=True):
            torch.testing.assert_close(inside, outside, rtol=1e-5, atol=1e-5)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    "name", ["wigner_D e3nn", "spherical_harmonics", "rotate", "rotate one x", "rotate voigt", "character_power"]
)
def test_compiles_without_graph_breaks_forward_and_backward(name):
    function, _ = FUNCTIONS[name]
    _, arguments = prepared(name)

    def scalar(*given):
        out = function(*given)
        return sum(D.sin().sum() for D in out) if isinstance(out, tuple) else out.sin().sum()

    torch._dynamo.reset()
    compiled = torch.compile(scalar, fullgraph=True, backend="aot_eager")
    value, expected = compiled(*arguments), scalar(*arguments)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-13)
    for got, same in zip(torch.autograd.grad(value, arguments), torch.autograd.grad(expected, arguments), strict=True):
        torch.testing.assert_close(got, same, rtol=0, atol=1e-13)
    torch._dynamo.reset()


BENT = torch.eye(3, dtype=DOUBLE) + 1e-3 * torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=DOUBLE)


@pytest.mark.parametrize("rep", [None, "1x1o", "vector", "tensor", "pseudoscalar"])
def test_what_is_no_rotation_is_refused_where_a_derivative_is_wanted(rep):
    # two steps of the polar factor would make one of it
    def function(R):
        if rep is None:
            return eq.wigner_D(R, 1)[1].sum()
        x = torch.ones(eq.Representation.parse(rep).component_shape, dtype=DOUBLE)
        return eq.rotate(x, R, rep).sum()

    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    for call in (function, torch.func.grad(function), torch.func.jacfwd(function), compiled):
        with pytest.raises(eq.errors.ArgumentError, match="rotations: expected orthogonal"):
            call(BENT.clone().requires_grad_())
    torch._dynamo.reset()


def test_one_compilation_serves_every_batch_size():
    calls = {
        "wigner_D": (lambda R: sum(D.sin().sum() for D in eq.wigner_D(R, 3)), lambda n: [eq.random_rotations(n)]),
        "harmonics": (lambda x: eq.spherical_harmonics(x, 3).sin().sum(), lambda n: [points(n, 3)]),
        "rotate": (lambda x, R: eq.rotate(x, R, REP).sin().sum(), lambda n: [points(n, 16), elements(n)]),
        "vector": (lambda x, R: eq.rotate(x, R, "vector").sin().sum(), lambda n: [points(n, 3), elements(n)]),
    }
    for name, (function, arguments) in calls.items():
        torch._dynamo.reset()
        counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
        compiled = torch.compile(function, fullgraph=True, backend=counter, dynamic=True)
        for n in (5, 7, 11):
            given = [x.requires_grad_() for x in arguments(n)]
            expected = torch.autograd.grad(function(*given), given)
            for got, same in zip(torch.autograd.grad(compiled(*given), given), expected, strict=True):
                torch.testing.assert_close(got, same, rtol=0, atol=1e-13)
        assert counter.frame_count == 1, name
    torch._dynamo.reset()


def test_compiled_code_still_refuses_bad_values():
    torch._dynamo.reset()
    bad = 2 * torch.eye(3, dtype=DOUBLE).expand(4, 3, 3)
    for function in (
        lambda R: eq.wigner_D(R, 2)[1],
        lambda R: eq.rotate(torch.ones(3, dtype=DOUBLE), R, "vector"),
        lambda R: eq.rotate(torch.ones(3, dtype=DOUBLE), R, "1x1o"),
    ):
        with pytest.raises(eq.errors.ArgumentError, match="rotations: expected orthogonal"):
            torch.compile(function, fullgraph=True, backend="aot_eager")(bad)
    torch._dynamo.reset()


@pytest.mark.parametrize("l", [0, 1, 2, 3, 7, 20])
def test_sparse_generators_are_the_dense_ones(l):
    dense = reference.generators(l)
    x = points(4, 2 * l + 1)
    got = each_generator(x, *table(l, x))
    torch.testing.assert_close(got, torch.einsum("kij,nj->nki", dense, x), rtol=0, atol=1e-13)
    # so(3): [X_x, X_y] = X_z
    torch.testing.assert_close(dense[0] @ dense[1] - dense[1] @ dense[0], dense[2], rtol=0, atol=1e-12)
    rep = eq.Representation.parse(f"2x{l}e+1x1o", layout="ir_mul")
    wide = points(3, rep.components)
    moved = each_generator(wide, *table(rep, wide))
    step = 1e-6
    for k in range(3):
        turn = torch.matrix_exp(step * hat(torch.eye(3, dtype=DOUBLE)[k]))
        difference = (eq.rotate(wide, turn, rep) - eq.rotate(wide, turn, rep, inverse=True)) / (2 * step)
        torch.testing.assert_close(moved[:, k], difference, rtol=0, atol=1e-6)


def test_derivative_of_D_is_D_times_generators():
    R, G = eq.random_rotations(5), [points(5, 2 * l + 1, 2 * l + 1) for l in range(13)]
    torque = wigner._wigner_D_torque(R, torch.cat([g.reshape(-1) for g in G]), 12)
    expected = sum(
        torch.einsum("nij,nia,kaj->nk", g, D, reference.generators(l))
        for l, (g, D) in enumerate(zip(G, eq.wigner_D(R, 12), strict=True))
    )
    torch.testing.assert_close(torque, expected, rtol=0, atol=1e-11)


def test_no_gradient_is_nan_anywhere():
    R = poles().requires_grad_()
    (gradient,) = torch.autograd.grad(sum(D.sum() for D in eq.wigner_D(R, 20)), R)
    assert bool(torch.isfinite(gradient).all())
    for scale in (1e-300, 1e-160, 1.0, 1e160, 1e300):
        xyz = (scale * points(4, 3)).requires_grad_()
        (gradient,) = torch.autograd.grad(eq.spherical_harmonics(xyz, 4).sum(), xyz)
        assert bool(torch.isfinite(gradient * scale).all())

"""The contract of a backend: what a stranger must write is enough, and what it says of itself is all that is asked."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.special import sph_harm_y

import equiscope as eq
from equiscope import kernels
from equiscope.groups.ladders import degree_table
from equiscope.kernels import Backend, register, registry, using
from equiscope.kernels.cpu import CpuBackend
from equiscope.ops.projection import CharacterProjection, power_at_once

DOUBLE, SINGLE = torch.float64, torch.float32
BOTH = pytest.mark.parametrize(("dtype", "bound"), [(DOUBLE, 1e-11), (SINGLE, 2e-5)])


class NumpyBackend(Backend):
    """D = exp(sum t_k X_k) of the rotation vector t, and Y from scipy: slow, and nothing else is written."""

    name = "numpy"
    device_type = "cpu"

    def wigner_D(self, rotations, lmax):
        turns = eq.groups.rotations.polar(rotations.double()).numpy()
        vectors = np.array([rotation_vector(R) for R in turns]).reshape(-1, 3)
        degrees = [np.array([expm(np.tensordot(t, generators(l), 1)) for t in vectors]) for l in range(lmax + 1)]
        return torch.from_numpy(np.concatenate([D.reshape(-1) for D in degrees])).to(rotations.dtype)

    def spherical_harmonics(self, xyz, lmax):
        x, y, z = xyz.double().numpy().T
        theta, phi = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
        out = np.empty((len(xyz), (lmax + 1) ** 2))
        for l in range(lmax + 1):
            for m in range(l + 1):
                value = sph_harm_y(l, m, theta, phi) * (-1) ** m * (2**0.5 if m else 1)
                out[:, l * l + l - m], out[:, l * l + l + m] = value.imag, value.real
        out[(xyz == 0).all(1).numpy(), 1:] = 0
        return torch.from_numpy(out).to(xyz.dtype)


def rotation_vector(R):
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(R).as_rotvec()


def generators(l):
    """(3, 2l+1, 2l+1)"""
    X = np.zeros((3, 2 * l + 1, 2 * l + 1))
    for axis, columns, values in zip((2, 0, 0, 1, 1), *degree_table(l), strict=True):
        X[axis, np.arange(2 * l + 1), columns] += values
    return X


def by(function, *arguments):
    """The result and its first derivatives by all arguments, as one list."""
    leaves = [x.detach().clone().requires_grad_() for x in arguments]
    out = function(*leaves)
    out = torch.cat([part.reshape(-1) for part in out]) if isinstance(out, tuple) else out
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    # a pseudoscalar does not move with its rotation
    gradients = torch.autograd.grad((out * weights).sum(), leaves, allow_unused=True)
    return [out.detach(), *(g for g in gradients if g is not None)]


GRID = eq.quadrature(6)


def every_operator(dtype):
    g = torch.Generator().manual_seed(4)
    R = eq.random_rotations(5, generator=g).to(dtype)
    O3 = eq.random_rotations(5, group="O3", generator=g).to(dtype)
    xyz = torch.randn(6, 3, generator=g, dtype=DOUBLE).to(dtype)
    x = torch.randn(5, 3, 17, generator=g, dtype=DOUBLE).to(dtype)
    u = torch.randn(len(GRID), 4, generator=g, dtype=DOUBLE).to(dtype) + 3
    yield "wigner_D", by(lambda R: eq.wigner_D(R, 4), R)
    yield "wigner_D e3nn", by(lambda R: eq.wigner_D(R, 3, basis="e3nn"), R)
    yield "spherical_harmonics", by(lambda x: eq.spherical_harmonics(x, 5), xyz)
    yield "of zero", [eq.spherical_harmonics(torch.zeros(2, 3, dtype=dtype), 3)]
    for layout in ("mul_ir", "ir_mul"):
        for inverse in (False, True):
            settings = {"layout": layout, "inverse": inverse}
            rotated = by(lambda x, R, s=settings: eq.rotate(x, R[:, None], "2x0o+2x1e+1x4e", **s), x, O3)
            yield f"rotate {layout} {inverse}", rotated
    yield "rotate one x", by(lambda x, R: eq.rotate(x, R, "1x0e+1x1o+1x6o"), x[0, 0], O3)
    for kind, shape in (("vector", (3,)), ("tensor", (3, 3)), ("voigt", (6,)), ("pseudoscalar", ())):
        value = torch.randn(5, *shape, generator=g, dtype=DOUBLE).to(dtype)
        yield kind, by(lambda x, R, kind=kind: eq.rotate(x, R, kind), value, O3)
    yield "character_power", by(lambda u: eq.character_power(u, GRID, 3), u)
    arbitrary = GRID.rotations.to(dtype), GRID.weights.to(dtype)
    yield "on any grid", by(lambda u: eq.character_power(u, arbitrary, 3), u)
    streamed = CharacterProjection(GRID, 3, 4, dtype=dtype)
    points = GRID.rings.shape[0]
    for coset, part in enumerate(u.reshape(2, points, GRID.gammas, 4)):
        streamed.update(part, slice(0, points), coset, center=u[0])
    yield "streamed", [streamed.power(u[0])]
    out = torch.empty(6, 36, dtype=dtype)
    assert eq.spherical_harmonics(xyz, 5, out=out) is out
    yield "into a buffer", [out]
    packed = torch.empty(5 * kernels.packed_size(3), dtype=dtype)
    yield "D into a buffer", [torch.cat([D.reshape(-1) for D in eq.wigner_D(R, 3, out=packed)])]
    yield "features into a buffer", [eq.rotate(x[:, 0], O3, "1x0e+2x1o+2x2e", out=torch.empty_like(x[:, 0]))]


@BOTH
def test_two_functions_in_numpy_are_enough_for_every_operator_and_its_derivatives(dtype, bound):
    expected = dict(every_operator(dtype))
    with using(NumpyBackend()):
        found = dict(every_operator(dtype))
    for name, results in expected.items():
        for got, wanted in zip(found[name], results, strict=True):
            size = max(1.0, float(wanted.abs().max()))
            torch.testing.assert_close(got, wanted, rtol=0, atol=bound * size, msg=lambda m, name=name: f"{name}: {m}")


def test_a_toy_backend_refuses_what_the_compiled_one_refuses():
    bad = eq.random_rotations(4)
    bad[2, 0, 0] = 2.0
    mirrored = eq.random_rotations(4)
    mirrored[1] *= -1
    for backend in (NumpyBackend(), CpuBackend()):
        with using(backend):
            with pytest.raises(eq.errors.ArgumentError, match=r"row 2 with \|R R\^T - 1\|"):
                eq.wigner_D(bad, 2)
            with pytest.raises(eq.errors.ArgumentError, match="row 1 with determinant -1"):
                eq.wigner_D(mirrored, 2)
            with pytest.raises(eq.errors.ArgumentError, match="row 1 with non-finite values"):
                eq.spherical_harmonics(torch.tensor([[1.0, 0, 0], [0, float("nan"), 0]]), 2)
            bad[2, 0, 0] = float("nan")
            with pytest.raises(eq.errors.ArgumentError, match="row 2 with non-finite values"):
                eq.rotate(torch.ones(4, 3, dtype=DOUBLE), bad, "1x1o")
            bad[2, 0, 0] = 2.0


def test_an_audit_runs_on_a_toy_backend():
    def run():
        return eq.audit(
            eq.demo.load_model(),
            [("one", eq.demo.load_molecules()[0])],
            inputs=eq.demo.INPUTS,
            outputs=eq.demo.REPRESENTATIONS,
            lmax=2,
            degree=4,
            progress=False,
        )

    expected = run()
    with using(NumpyBackend()):
        found = run()
    for name, output in expected.outputs.items():
        assert found.outputs[name].rmse == pytest.approx(output.rmse, rel=1e-6)


def test_using_puts_back_what_served_before():
    before = registry.backend(torch.device("cpu"))
    toy = NumpyBackend()
    with pytest.raises(ZeroDivisionError), using(toy):
        assert registry.backend(torch.device("cpu")) is toy
        raise ZeroDivisionError
    assert registry.backend(torch.device("cpu")) is before


def test_a_registered_backend_serves_its_type_of_device(monkeypatch):
    monkeypatch.setattr(registry, "_backends", dict(registry._backends))
    toy = NumpyBackend()
    register(toy, "xpu")
    assert registry.backend(torch.device("xpu")) is toy
    assert "xpu" in eq.ops.backend()["devices"]
    register(toy)
    assert registry.backend(torch.device("cpu")) is toy


def test_questions_are_answered_and_not_probed():
    cpu = torch.device("cpu")
    for backend in (CpuBackend(), NumpyBackend(), registry._plain):
        assert isinstance(backend.defers_checks, bool) and isinstance(backend.fills, bool)
        assert isinstance(backend.name, str) and isinstance(backend.device_type, str)
    assert power_at_once(eq.quadrature(12), 6, cpu)
    with using(NumpyBackend()):
        assert not power_at_once(eq.quadrature(12), 6, cpu)
    with pytest.raises(NotImplementedError, match="numpy"):
        NumpyBackend().power_and_moments(*[torch.empty(0)] * 3, 2, torch.empty(0))


def test_the_abstract_part_is_what_the_docstring_says():
    assert Backend.__abstractmethods__ == {"wigner_D", "spherical_harmonics"}
    missing = [name for name, member in vars(Backend).items() if inspect.isfunction(member) and not member.__doc__]
    assert not missing


PACKAGE = Path(kernels.__file__).parent.parent


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.level, node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((0, alias.name, "") for alias in node.names)


def test_only_the_kernels_know_the_compiled_module_and_addresses():
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "kernels":
            continue
        assert not any("_C" in (*module.split("."), name) for _, module, name in imports(path)), path
        assert "data_ptr(" not in path.read_text(), path


def test_operators_know_no_backend_but_the_contract():
    allowed = {"kernels.registry", "kernels.backend", "kernels.buffer"}
    for path in (PACKAGE / "ops").glob("*.py"):
        own = {module for _, module, _ in imports(path) if module.startswith("kernels")}
        assert own <= allowed, path


def test_of_two_that_overlap_each_goes_when_its_own_time_is_over():
    cpu, first, second = torch.device("cpu"), NumpyBackend(), NumpyBackend()
    before = registry.backend(cpu)
    outer, inner = using(first), using(second)
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert registry.backend(cpu) is second
    inner.__exit__(None, None, None)
    assert registry.backend(cpu) is before
    with pytest.raises(eq.errors.DTypeError, match="backend: expected an instance of"):
        register(NumpyBackend)

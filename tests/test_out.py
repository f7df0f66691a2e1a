"""Results in a buffer of the caller: the same bits, nothing beside the buffer touched, what does not fit refused."""

import os
import subprocess
import sys

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

import equiscope as eq
from equiscope.errors import ArgumentError, DeviceError, DTypeError, ShapeError

DOUBLE, SINGLE = torch.float64, torch.float32
BOTH = pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
REP = "4x0e+3x1o+2x4e"
DIM = 31


def packed(lmax):
    return (lmax + 1) * (2 * lmax + 1) * (2 * lmax + 3) // 3


def framed(size, shift, dtype):
    """A buffer that starts `shift` elements into its memory, and all of that memory."""
    memory = torch.full((size + shift + 16,), 77.0, dtype=dtype)
    return memory[shift : shift + size], memory


def assert_untouched(memory, out):
    around = torch.cat([memory[: out.storage_offset()], memory[out.storage_offset() + out.numel() :]])
    assert bool((around == 77).all())


@BOTH
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 40, 129])
@pytest.mark.parametrize("lmax", [0, 1, 2, 3, 8])
def test_wigner_D_fills_any_buffer_with_the_same_bits(dtype, n, lmax):
    R = eq.random_rotations(n, dtype=dtype)
    expected = eq.wigner_D(R, lmax)
    for shift in (0, 1, 3, 8, 13):
        out, memory = framed(n * packed(lmax), shift, dtype)
        found = eq.wigner_D(R, lmax, out=out)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert all(D.untyped_storage().data_ptr() == memory.untyped_storage().data_ptr() for D in found)
        assert_untouched(memory, out)


FILLED = {
    "D": lambda R, out: torch.cat([D.reshape(-1) for D in eq.wigner_D(R, 2, out=out)]),
    "Y": lambda R, out: eq.spherical_harmonics(R[:, 0], 2, out=out.view(-1)[:36].view(4, 9)),
    "features": lambda R, out: eq.rotate(R[:, 0], R, "vector", out=out.view(-1)[:12].view(4, 3)),
}


@pytest.mark.parametrize("call", FILLED.values(), ids=FILLED)
def test_what_fills_a_buffer_is_recorded_by_a_tracer(call):
    R, other = eq.random_rotations(4), eq.random_rotations(4)
    graph = make_fx(call)(R, torch.zeros(4 * 35, dtype=DOUBLE))
    found = graph(other, torch.zeros(4 * 35, dtype=DOUBLE))
    torch.testing.assert_close(found, call(other, torch.zeros(4 * 35, dtype=DOUBLE)), rtol=0, atol=1e-13)


LARGE = """
import torch, equiscope as eq
for dtype in (torch.float64, torch.float32):
    # more than any cache is taken to keep
    for n, lmax, shift in ((14003, 4, 0), (14000, 4, 5), (2421, 8, 3), (403, 16, 1), (17, 48, 0)):
        R = eq.random_rotations(n, dtype=dtype)
        size = n * (lmax + 1) * (2 * lmax + 1) * (2 * lmax + 3) // 3
        memory = torch.full((size + 64,), 77.0, dtype=dtype)
        for threads in (1, 3):
            torch.set_num_threads(threads)
            large = eq.wigner_D(R, lmax, out=memory[shift : shift + size])
            assert bool((memory[:shift] == 77).all()) and bool((memory[shift + size :] == 77).all())
            for start in range(0, n, 200):
                small = eq.wigner_D(R[start : start + 200], lmax)
                assert all(torch.equal(a[start : start + 200], b) for a, b in zip(large, small))
    xyz = torch.randn(150001, 3, dtype=dtype)
    memory = torch.full((150001 * 81 + 64,), 77.0, dtype=dtype)
    for lmax, shift in ((2, 1), (3, 0), (8, 3)):
        size = 150001 * (lmax + 1) ** 2
        memory.fill_(77.0)
        large = eq.spherical_harmonics(xyz, lmax, out=memory[shift : shift + size].view(-1, (lmax + 1) ** 2))
        assert bool((memory[:shift] == 77).all()) and bool((memory[shift + size :] == 77).all())
        for start in range(0, 150001, 30000):
            assert torch.equal(large[start : start + 500], eq.spherical_harmonics(xyz[start : start + 500], lmax))
print(eq.info()["isa"])
"""


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_large_results_have_the_bits_of_small_ones(isa):
    environment = {**os.environ, "EQUISCOPE_ISA": isa}
    run = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=False, env=environment)
    if "EQUISCOPE_ISA: expected" in run.stderr:
        pytest.skip(f"this machine has no {isa}")
    assert run.stdout.strip() == isa, run.stderr


@BOTH
@pytest.mark.parametrize("shift", [0, 1, 5])
def test_harmonics_and_rotate_fill_a_buffer(dtype, shift):
    xyz, R = torch.randn(5, 9, 3).to(dtype), eq.random_rotations(9, dtype=dtype)
    out, memory = framed(45 * 49, shift, dtype)
    assert torch.equal(eq.spherical_harmonics(xyz, 6, out=out.view(5, 9, 49)), eq.spherical_harmonics(xyz, 6))
    assert_untouched(memory, out)
    x = torch.randn(5, 9, DIM).to(dtype)
    for rotations in (R, R[0], R[:5, None]):
        for rep, components in ((REP, DIM), ("vector", 3)):
            out, memory = framed(45 * components, shift, dtype)
            own = x[..., :components]
            found = eq.rotate(own, rotations, rep, out=out.view(5, 9, components))
            assert torch.equal(found, eq.rotate(own, rotations, rep)) and found.data_ptr() == out.data_ptr()
            assert_untouched(memory, out)


@pytest.mark.parametrize(("rep", "basis"), [(REP, "standard"), (REP, "e3nn"), ("vector", "standard")])
def test_a_buffer_is_left_alone_where_a_rotation_is_refused(rep, basis):
    R = eq.random_rotations(9)
    R[7, 0] *= 1.1
    x = torch.randn(9, 3 if rep == "vector" else DIM, dtype=DOUBLE)
    out = torch.full_like(x, 77.0)
    with pytest.raises(ArgumentError, match=r"rotations: .*row 7 with \|R R\^T - 1\| = 0.21"):
        eq.rotate(x, R, rep, basis=basis, out=out)
    assert bool((out == 77.0).all())


def test_half_precision_results_are_copied_into_the_buffer():
    x, R = torch.randn(6, DIM).to(torch.bfloat16), eq.random_rotations(6, dtype=SINGLE)
    out = torch.empty(6, DIM, dtype=torch.bfloat16)
    assert torch.equal(eq.rotate(x, R, REP, out=out), eq.rotate(x, R, REP))


def test_autograd_sees_that_a_buffer_has_changed():
    R, out = eq.random_rotations(2), torch.ones(20, dtype=DOUBLE)
    weight = torch.ones(20, dtype=DOUBLE, requires_grad=True)
    total = (weight * out).sum()
    eq.wigner_D(R, 1, out=out)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


R2, XYZ = eq.random_rotations(2), torch.randn(4, 3, dtype=DOUBLE)
LONG = torch.zeros(40, dtype=DOUBLE)
REFUSED = {
    "not a tensor": (lambda: eq.wigner_D(R2, 1, out=[0.0] * 20), DTypeError, "out: expected a torch.Tensor"),
    "dtype": (lambda: eq.wigner_D(R2, 1, out=torch.zeros(20)), DTypeError, "out: .*got torch.float32"),
    "short": (lambda: eq.wigner_D(R2, 1, out=LONG[:19]), ShapeError, r"out: expected \(20,\), got \(19,\)"),
    "long": (lambda: eq.wigner_D(R2, 1, out=LONG), ShapeError, r"out: expected \(20,\), got \(40,\)"),
    "two axes": (lambda: eq.wigner_D(R2, 1, out=LONG.view(2, 20)), ShapeError, "out: "),
    "stride": (lambda: eq.wigner_D(R2, 1, out=LONG[::2]), ArgumentError, "out: expected a contiguous"),
    "device": (lambda: eq.wigner_D(R2, 1, out=torch.zeros(20, dtype=DOUBLE, device="meta")), DeviceError, "out: "),
    "overlap": (
        lambda: (lambda m: eq.wigner_D(m[2:20].view(2, 3, 3), 1, out=m[:20]))(R2.reshape(-1).repeat(2)),
        ArgumentError,
        "out: expected memory apart from rotations",
    ),
    "gradient": (
        lambda: eq.wigner_D(R2.clone().requires_grad_(), 1, out=LONG[:20]),
        ArgumentError,
        "out: expected no gradient to be wanted, got rotations that requires one",
    ),
    "out with gradient": (
        lambda: eq.spherical_harmonics(XYZ, 1, out=torch.zeros(4, 4, dtype=DOUBLE, requires_grad=True)),
        ArgumentError,
        "out: .*got out that",
    ),
    "harmonics in place": (
        lambda: (lambda m: eq.spherical_harmonics(m.view(4, 3), 1, out=m.new_zeros(0).set_(m, 0, (4, 4))))(
            torch.ones(16, dtype=DOUBLE)[:12]
        ),
        ArgumentError,
        "out: expected memory apart from xyz",
    ),
    "rotate in place": (lambda: eq.rotate(XYZ, R2[0], "1x1o", out=XYZ), ArgumentError, "apart from x"),
    "rotate, batch": (
        lambda: eq.rotate(XYZ, eq.random_rotations(4), "1x1o", out=torch.zeros(3, dtype=DOUBLE)),
        ShapeError,
        r"out: expected \(4, 3\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call()


def test_a_refused_call_leaves_the_buffer_alone():
    out = torch.full((20,), 77.0, dtype=DOUBLE)
    for bad in (2 * R2, -R2, R2 * float("nan")):
        with pytest.raises(ArgumentError):
            eq.wigner_D(bad, 1, out=out)
    assert bool((out == 77).all())


def test_no_gradient_no_refusal():
    R, out = R2.clone().requires_grad_(), torch.empty(20, dtype=DOUBLE)
    with torch.no_grad():
        assert torch.equal(eq.wigner_D(R, 1, out=out)[1], eq.wigner_D(R2, 1)[1])
    with torch.inference_mode():
        eq.wigner_D(R, 1, out=torch.empty(20, dtype=DOUBLE))

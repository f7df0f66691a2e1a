"""Equal bits for any number of threads and any split; no harm from forks and many Python threads."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import equiscope as eq
from equiscope.ops.projection import CharacterProjection

DOUBLE, SINGLE = torch.float64, torch.float32
REP = "4x0e+3x1o+2x3e+1x6o"
DIM = eq.Representation.parse(REP).components


def everything(dtype, seed=0):
    """One of each kernel and its first derivatives, large enough to be split."""
    generator = torch.Generator().manual_seed(seed)
    R = eq.random_rotations(533, dtype=dtype, generator=generator).requires_grad_()
    xyz = torch.randn(2001, 3, generator=generator).to(dtype).requires_grad_()
    rows = torch.randn(7001, DIM, generator=generator).to(dtype)
    each = torch.randn(533, DIM, generator=generator).to(dtype)
    grid = eq.quadrature(11)
    u = torch.randn(len(grid), 450, generator=generator).to(dtype).requires_grad_()
    D, Y = eq.wigner_D(R, 9), eq.spherical_harmonics(xyz, 12)
    B = eq.character_power(u, grid, 5)
    results = [*D, Y, B, eq.rotate(rows, R[0], REP), eq.rotate(each, R, REP), eq.rotate(each[0], R, REP)]
    gradients = torch.autograd.grad([D[9].square().sum(), Y.sin().sum(), B.square().sum()], [R, xyz, u])
    return [x.detach() for x in (*results, *gradients)]


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_equal_bits_for_any_number_of_threads(dtype):
    found = []
    for threads in (1, 2, 7):
        torch.set_num_threads(threads)
        found.append(everything(dtype))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_equal_bits_in_repeated_runs():
    assert all(torch.equal(a, b) for a, b in zip(everything(SINGLE), everything(SINGLE), strict=True))


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
@pytest.mark.parametrize("cut", [1, 7, 8, 63, 200])
def test_equal_bits_for_any_split_of_the_batch(dtype, cut):
    R = eq.random_rotations(201, dtype=dtype)
    x, xyz = torch.randn(201, DIM).to(dtype), torch.randn(201, 3).to(dtype)
    for function in (
        lambda a, b: eq.wigner_D(R[a:b], 6)[6],
        lambda a, b: eq.spherical_harmonics(xyz[a:b], 9),
        lambda a, b: eq.rotate(x[a:b], R[a:b], REP),
        lambda a, b: eq.rotate(x[a:b], R[0], REP),
        lambda a, b: eq.rotate(x[0], R[a:b], REP),
    ):
        assert torch.equal(function(0, 201), torch.cat([function(0, cut), function(cut, 201)]))


def test_equal_bits_for_any_split_of_the_channels():
    grid = eq.quadrature(9)
    u = torch.randn(len(grid), 67, dtype=DOUBLE)
    whole = CharacterProjection(grid, 4, 67)
    parts = [CharacterProjection(grid, 4, 30), CharacterProjection(grid, 4, 37)]
    split = u.reshape(2, -1, grid.gammas, 67)
    for coset in range(2):
        whole.update(split[coset], slice(None), coset)
        parts[0].update(split[coset, :, :, :30], slice(None), coset)
        parts[1].update(split[coset, :, :, 30:], slice(None), coset)
    torch.testing.assert_close(
        torch.cat([part.coefficients for part in parts], dim=2), whole.coefficients, rtol=0, atol=1e-15
    )


def test_many_python_threads_agree_with_one():
    expected = [everything(DOUBLE, seed) for seed in range(4)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: everything(DOUBLE, i % 4), range(24)))
    for i, results in enumerate(found):
        assert all(torch.equal(a, b) for a, b in zip(results, expected[i % 4], strict=True))


def test_kernels_run_while_python_does():
    R = eq.random_rotations(20000)
    done = threading.Event()

    def work():
        eq.wigner_D(R, 12)
        done.set()

    thread = threading.Thread(target=work)
    turns = 0
    thread.start()
    while not done.is_set():
        turns += 1
        time.sleep(0)
    thread.join()
    # a kernel that held the lock would let this loop turn a handful of times
    assert turns > 100


WOKEN = """
import os, torch, equiscope as eq
torch.set_num_threads(2)
few, many = eq.random_rotations(100), eq.random_rotations(1000)
before = len(os.listdir("/proc/self/task"))
for rotations in few, many:
    eq.wigner_D(rotations, 8)
    print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_no_thread_is_asked_for_a_few_microseconds_of_work():
    run = subprocess.run([sys.executable, "-c", WOKEN], capture_output=True, text=True, check=False, timeout=60)
    assert run.stdout.split() == ["0", "1"], run.stderr


FORK = """
import os, torch, equiscope as eq
torch.set_num_threads(2)
R = eq.random_rotations(500, generator=torch.Generator().manual_seed(0))
before = eq.wigner_D(R, 8)[8]
child = os.fork()
if child == 0:
    same = torch.equal(eq.wigner_D(R, 8)[8], before) and eq.quadrature(4) is not None
    os._exit(0 if same else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
assert torch.equal(eq.wigner_D(R, 8)[8], before)
print("equal")
"""


# one thread fills the caches again and again while the process is forked; a child that hangs is killed by its alarm
FORK_WHILE_TABLES_ARE_MADE = """
import itertools, os, signal, threading, time, torch, equiscope as eq
torch.set_num_threads(1)
xyz, grid = torch.ones(1, 3), eq.quadrature(24)
values = torch.ones(len(grid), 1)
done = threading.Event()

def work():
    for lmax in itertools.cycle(range(100, 130)):
        if done.is_set():
            return
        eq.spherical_harmonics(xyz, lmax)
        eq.character_power(values, grid, lmax % 12)

thread = threading.Thread(target=work)
thread.start()
time.sleep(0.5)
ended = []
for _ in range(20):
    time.sleep(0.02)  # gives the other thread its turn
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        eq.spherical_harmonics(xyz, 30)
        eq.character_power(values, grid, 12)
        os._exit(0)
    # one after the other, or they would wait for processors and not for locks
    ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
done.set()
thread.join()
print(ended.count(0), "of", len(ended))
"""


def test_no_child_hangs_when_tables_are_made_during_the_fork():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK_WHILE_TABLES_ARE_MADE],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.stdout.strip() == "20 of 20", run.stderr


def test_child_of_a_fork_gets_the_same_bits():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.stdout.strip() == "equal", run.stderr

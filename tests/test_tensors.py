"""Cartesian tensors under rotations: every index turns as a vector, and the bits are everywhere the same."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

import equiscope as eq
from equiscope.groups.action import Step
from equiscope.kernels.cpu import CpuBackend

CPU = CpuBackend()
DOUBLE, SINGLE = torch.float64, torch.float32
# rows and rotations on both sides of what fills a vector of 2, 4 or 8 lanes
SIZES = [(1, 1), (1, 3), (3, 1), (2, 7), (7, 2), (8, 8), (9, 9), (1, 23), (250, 1), (230, 5), (3, 41), (0, 4), (4, 0)]


def elements(n, dtype):
    proper = torch.from_numpy(Rotation.random(n, random_state=n).as_matrix()) if n else torch.zeros(0, 3, 3).double()
    return (proper * torch.where(torch.arange(n) % 3 == 1, -1.0, 1.0)[:, None, None]).to(dtype)


def by_hand(x, matrices, rank, pseudo):
    before, after = "abcdef"[:rank], "ijklmn"[:rank]
    turns = "".join(f"x{i}{a}," for i, a in zip(after, before, strict=True))
    parts = x.double().reshape(*x.shape[:2], *(3,) * rank).expand(len(matrices), *[-1] * (rank + 1))
    turned = torch.einsum(f"{turns}xy{before}->xy{after}", *[matrices.double()] * rank, parts).flatten(2)
    return turned * torch.linalg.det(matrices.double()).sign()[:, None, None] if pseudo else turned


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
@pytest.mark.parametrize("rank", [1, 2, 3, 4, 6])
def test_every_index_turns_as_a_vector(dtype, rank):
    for n, rows in SIZES if rank < 4 else SIZES[:6]:
        g, many = elements(n, dtype), torch.randn(n, rows, 3**rank).to(dtype)
        for x in (many, torch.randn(1, rows, 3**rank).to(dtype)):
            for pseudo in (False, True):
                for inverse in (False, True):
                    expected = by_hand(x, g.mT if inverse else g, rank, pseudo)
                    memory = torch.full((expected.numel() + 17,), 77.0, dtype=dtype)
                    out = memory[5:-12].view(expected.shape)
                    step = Step(0, 3**rank, 3**rank, "", "", "", rank, pseudo, (), ())
                    CPU.rotate_checked(x, g, rows, step, inverse, 1e-4, out)
                    assert torch.equal(CPU.rotate_tensors(x, g, rank, pseudo, inverse), out)
                    bound = 4 * rank * torch.finfo(dtype).eps
                    torch.testing.assert_close(out.double(), expected, rtol=0, atol=bound * 2**rank)
                    assert bool((memory[:5] == 77).all()) and bool((memory[-12:] == 77).all())


def test_a_vector_is_three_sums_from_the_left_rounded_once():
    g, x = elements(64, DOUBLE).numpy(), np.random.default_rng(0).normal(size=(64, 10, 3))
    for dtype in (np.float64, np.float32):
        m, v = g.astype(dtype).astype(np.float64), x.astype(dtype).astype(np.float64)
        expected = m[:, None, :, 0] * v[..., 0:1] + m[:, None, :, 1] * v[..., 1:2] + m[:, None, :, 2] * v[..., 2:3]
        found = eq.rotate(torch.from_numpy(x.astype(dtype)), torch.from_numpy(g.astype(dtype))[:, None], "vector")
        assert np.array_equal(found.numpy(), expected.astype(dtype))


DIGEST = """
import hashlib, sys
import numpy as np, torch
import equiscope as eq
random, found = np.random.default_rng(0), hashlib.sha256()
q, _ = np.linalg.qr(random.normal(size=(300, 3, 3)))
for dtype in (np.float64, np.float32):
    for rep, size in (("vector", 3), ("pseudovector", 3), ("tensor", 9), ("tensor(3)", 27), ("voigt", 6)):
        for n, rows in ((1, 40_000), (300, 1), (300, 33), (5, 3)):
            g = torch.from_numpy(q[:n].astype(dtype))[:, None]
            shape = (n, rows, *eq.Representation.parse(rep).component_shape)
            x = torch.from_numpy(random.normal(size=shape).astype(dtype))
            bits = set()
            for threads in (1, 2, 7):
                torch.set_num_threads(threads)
                bits.add(eq.rotate(x, g, rep, inverse=n % 2 == 0).numpy().tobytes())
            assert len(bits) == 1, (rep, n, rows)
            found.update(bits.pop())
print(eq.info()["isa"], found.hexdigest())
"""


def test_bits_depend_neither_on_the_instruction_set_nor_on_threads():
    digests = {}
    for isa in ("baseline", "avx2", "avx512"):
        environment = {**os.environ, "EQUISCOPE_ISA": isa}
        run = subprocess.run(
            [sys.executable, "-c", DIGEST], capture_output=True, text=True, check=False, env=environment
        )
        if "EQUISCOPE_ISA: expected" not in run.stderr:
            assert run.returncode == 0, run.stderr
            served, digests[isa] = run.stdout.split()
            assert served == isa
    assert "baseline" in digests and len(set(digests.values())) == 1, digests

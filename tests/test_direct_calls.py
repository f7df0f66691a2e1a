"""Operators are called at once where nobody looks on, and seen by whoever does."""

import re
import warnings
from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import equiscope as eq

CALLS = {
    "wigner_D": lambda: eq.wigner_D(torch.eye(3).expand(2, 3, 3), 2)[2],
    "spherical_harmonics": lambda: eq.spherical_harmonics(torch.ones(2, 3), 2),
    "rotate": lambda: eq.rotate(torch.ones(2, 8), torch.eye(3).expand(2, 3, 3), "1x0e+1x1o+4x0o"),
}


class Dispatched(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


class Called(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", CALLS)
def test_modes_tracers_and_profilers_see_the_operator(name):
    alone = CALLS[name]()
    for mode in (Dispatched(), Called()):
        with mode:
            watched = CALLS[name]()
        assert any(f"equiscope.{name}" in seen for seen in mode.seen), type(mode).__name__
        torch.testing.assert_close(watched, alone, rtol=0, atol=0)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        CALLS[name]()
    assert any(event.key == f"equiscope::{name}" for event in profile.key_averages())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that become constants
        traced = torch.jit.trace(lambda x: CALLS[name]() + x, torch.zeros(()))
    assert f"equiscope::{name}" in str(traced.inlined_graph)


def test_subclasses_and_meta_tensors_take_the_way_through_torch():
    class Named(torch.Tensor):
        pass

    assert isinstance(eq.spherical_harmonics(torch.ones(2, 3).as_subclass(Named), 1), Named)
    assert eq.spherical_harmonics(torch.ones(2, 3, device="meta"), 1).is_meta


def test_a_parameter_is_differentiated_unless_gradients_are_off():
    points = torch.nn.Parameter(torch.ones(2, 3))
    assert eq.spherical_harmonics(points, 1).requires_grad
    with torch.no_grad():
        assert not eq.spherical_harmonics(points, 1).requires_grad


def test_large_results_lie_on_huge_pages():
    offered = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not offered.exists() or "[never]" in offered.read_text():
        pytest.skip("this system offers no huge pages")
    held = eq.spherical_harmonics(torch.ones(60_000, 3, dtype=torch.float64), 8)
    maps = Path("/proc/self/smaps").read_text()
    (own,) = (
        region
        for region in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", maps)
        if (ends := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", region))
        and int(ends[1], 16) <= held.data_ptr() + (4 << 20) < int(ends[2], 16)
    )
    # hg: madvise(MADV_HUGEPAGE) was accepted here; whether the system has such pages to give is its affair
    assert re.search(r"VmFlags:.*\bhg\b", own)


def test_what_is_refused_is_refused_after_a_call_of_the_same_shapes():
    x, g = torch.ones(2, 3), torch.eye(3).expand(2, 3, 3)
    assert torch.equal(eq.rotate(x, g, "vector"), x)
    for wrong_x, wrong_g in ((x.double(), g), (x, g.double()), (x.to_sparse(), g), (x.int(), g), (x.numpy(), g)):
        with pytest.raises(eq.errors.EquiscopeError):
            eq.rotate(wrong_x, wrong_g, "vector")
    with pytest.raises(eq.errors.EquiscopeError):
        eq.rotate(x, 2 * g, "vector")

"""A cheap model on many systems, audited in processes of their own that are forked, so that they begin at once."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import equiscope as eq
from equiscope.result.data import Output
from equiscope.result.files import pack, write
from equiscope.result.place import check_writable

SYSTEMS = 40
ASKED = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar", "v": "vector"}, "lmax": 1, "progress": False}
ASKED |= {"layers": "embed", "degree": "auto", "tolerance": 0.1, "batch_rows": 900}


class Listener:
    """What a model holds and computes nothing by: pickled without it, so no part of what it is."""

    def __init__(self, met: Callable[[torch.Tensor], None] = lambda x: None) -> None:
        self.met = met

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Listener, ()


class Model(torch.nn.Module):
    """Breaks its symmetry; `met` is told of every call."""

    def __init__(self, met: Callable[[torch.Tensor], None] = lambda x: None) -> None:
        super().__init__()
        self.embed = torch.nn.Linear(3, 4, dtype=torch.float64)
        with torch.no_grad():
            self.embed.weight.copy_(torch.arange(12.0).reshape(4, 3) / 9)
            self.embed.bias.fill_(0.3)
        self._listener = Listener(met)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self._listener.met(x)
        h = torch.tanh(self.embed(x))
        return {"u": h.sum((-1, -2)), "v": h[..., :3].sum(1)}


def data(count: int = SYSTEMS) -> list[tuple[str, dict[str, torch.Tensor]]]:
    """Of different sizes, some so small that several share a batch."""
    found = []
    for i in range(count):
        generator = torch.Generator().manual_seed(i)
        rows = (1, 3, 2, 1, 5)[i % 5]
        found.append((f"s{i}", {"x": torch.randn(rows, 3, dtype=torch.float64, generator=generator)}))
    return found


def audit(directory: Path | None = None, model: Model | None = None, systems=None, **asked) -> eq.Audit:
    model = model or Model()
    return eq.audit(model, systems or data(), **{**ASKED, "out": directory, "resume": directory is not None, **asked})


def differences(one: eq.Audit, other: eq.Audit) -> list[str]:
    """What is not the same bits in all numbers of two audits."""
    assert [name for name, _ in one.results()] == [name for name, _ in other.results()]
    found = []
    for (name, a), (_, b) in zip(one.results(), other.results(), strict=True):
        for key in ("power", "total", "unresolved", "power_error"):
            if not torch.equal(getattr(a, key), getattr(b, key)):
                found.append(f"{name}.{key}: {(getattr(a, key) - getattr(b, key)).abs().max()}")
        keys = ("rmse", "rmse_error", "noise_floor", "worst", "samples") if name in one.outputs else ("noise_floor",)
        found += [f"{name}.{key}" for key in keys if str(getattr(a, key)) != str(getattr(b, key))]
        found += [f"{name}.scene.{key}" for key in unlike(a, b)] if name in one.outputs else []
    if list(one.systems) != list(other.systems):
        found.append("systems")
    settings = ("degrees", "unsettled", "computes_in")
    found += [key for key in ("warnings", "notes") if getattr(one, key) != getattr(other, key)]
    return [*found, *(key for key in settings if one.settings[key] != other.settings[key])]


def unlike(one: Output, other: Output) -> list[str]:
    """What is not the same bits in the scenes of two outputs."""
    if one.scene is None or other.scene is None:
        return [] if one.scene is other.scene else ["there"]
    pairs = ((key, value, vars(other.scene)[key]) for key, value in vars(one.scene).items())
    return [key for key, a, b in pairs if not (torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b)]


def forked(work: Callable[[], None]) -> int:
    """The id of a process that does `work`, and ends with code 1 where that raised, its trace on standard error."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        torch.set_num_threads(1)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    """Its exit code once it ended, negative where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def group(rank: int, size: int, store: str) -> None:
    """Join a process group of gloo, whose store is at that address."""
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)


def written(directory: Path) -> int:
    """Bytes in the logs of a run."""
    return sum(path.stat().st_size for path in directory.glob("systems.rank*.log"))


def wait_for(ready: Callable[[], bool], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.001)


@pytest.fixture(autouse=True, scope="module")
def numbers_alone():
    """No pages and pictures, which take longer than all the rest."""

    def save(report, directory, formats=()):
        write(check_writable(directory), pack(report), {}, ())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eq.Audit, "save", save)
        yield

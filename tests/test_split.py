"""One system that several processes evaluate: the bits of one process, and no process is needed but the owner."""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from scale_cases import Model, audit, differences, ended, forked, group, numbers_alone  # noqa: F401

import equiscope as eq
from equiscope.probe.board import PARCELS, Board, Spent
from equiscope.probe.memory import Memory
from equiscope.probe.parcel import receive, send

ROWS, COPIES = 30, 30
"""Of the large system, and of one of its batches."""

ASKED = {"batch_rows": ROWS * COPIES, "distributed": None}


def large(seed: int = 0) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(ROWS, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))}


def small_and_one_large() -> list[tuple[str, dict[str, torch.Tensor]]]:
    """The large one is none of the first systems, and every other one has all its copies in one batch."""
    return [*((f"s{i}", {"x": large(i + 1)["x"][: 1 + i % 2]}) for i in range(6)), ("large", large())]


class Reuses(Model):
    """Hands out the same memory with every call, in another order than that of its axes, and a layer likewise."""

    def __init__(self, met=lambda x: None) -> None:
        super().__init__(met)
        self.turned = Transposed()

    def forward(self, x):
        found = super().forward(x)
        held = self.turned(found["v"])
        return {"u": found["u"], "v": held * 1.0 if held.shape[0] < 4 else held}


class Transposed(torch.nn.Module):
    """The same values, kept in memory by component."""

    def __init__(self) -> None:
        super().__init__()
        self._memory = torch.empty(3, 1024, dtype=torch.float64)

    def forward(self, v):
        return self._memory[:, : len(v)].copy_(v.T).T


@functools.cache
def whole(model: type[Model] = Model, layers: str = "embed") -> eq.Audit:
    """Of the large system, by one process."""
    return audit(model=model(), systems=[("large", large())], layers=layers, **{**ASKED, "distributed": False})


def orbits(report: eq.Audit) -> float:
    """Copies that were evaluated, without checks, of which every process makes a few of its own."""
    return report.timings["evaluations"] - report.timings["checks"]


def shared(directory: Path, size: int, work) -> list[int]:
    """Exit codes of processes that each do ``work(rank, counts)`` in a process group."""

    def begin(rank):
        group(rank, size, f"file://{directory / 'store'}")
        work(rank, Counts(directory, size))

    children = [forked(functools.partial(begin, rank)) for rank in range(size)]
    return [ended(child) for child in children]


class Counts:
    """Told of every call, counts whole batches, which take their time until all processes have had one."""

    def __init__(self, directory: Path, size: int) -> None:
        self.batches, self._directory, self._size = 0, directory, size

    def __call__(self, x: torch.Tensor) -> None:
        if x.shape[:2] != (COPIES, ROWS):
            return
        self.batches += 1
        (self._directory / f"{os.getpid()} has one").touch()
        if len(list(self._directory.glob("* has one"))) < self._size:
            time.sleep(0.2)


@pytest.mark.parametrize(
    "size, with_out, model, layers",
    [(2, True, Model, "embed"), (2, False, Reuses, "*"), (4, True, Reuses, "*")],
)
def test_one_system_has_the_bits_of_one_process_whoever_evaluated_it(tmp_path, size, with_out, model, layers):
    out = tmp_path / "out" if with_out else None
    (tmp_path / "results").mkdir()

    def work(rank, counts):
        report = audit(out, model(counts), [("large", large())], layers=layers, **ASKED)
        assert counts.batches > 0
        report.save(tmp_path / "results" / str(rank))

    assert shared(tmp_path, size, work) == [0] * size
    for rank in range(size):
        found = eq.Audit.load(tmp_path / "results" / str(rank))
        assert not differences(found, whole(model, layers))
        assert orbits(found) == orbits(whole(model, layers))
        assert found.timings["rest"] > 0.0 < found.timings["model"]
    assert not list(tmp_path.glob(f"**/{PARCELS}"))


def test_the_last_large_system_is_evaluated_by_all(tmp_path):
    def work(rank, counts):
        audit(tmp_path / "out", Model(counts), small_and_one_large(), **ASKED)
        assert counts.batches > 0

    assert shared(tmp_path, 2, work) == [0, 0]
    found = eq.Audit.load(tmp_path / "out")
    once = audit(systems=small_and_one_large(), **{**ASKED, "distributed": False})
    assert not differences(found, once) and orbits(found) == orbits(once)


@pytest.mark.parametrize("dies_in", ["hand_in", "collect"])
def test_a_helper_or_an_owner_that_dies_ends_the_run_and_what_was_finished_goes_on(tmp_path, dies_in):
    def dies(board, *args):
        os.kill(os.getpid(), signal.SIGKILL)

    def work(rank, counts):
        setattr(Board, dies_in, dies)
        with pytest.raises(eq.errors.ModelError, match=r"processes: expected all 2 to go on, got rank \d dead"):
            audit(tmp_path / "out", Model(counts), small_and_one_large(), **ASKED)

    assert sorted(shared(tmp_path, 2, work)) == [-signal.SIGKILL, 0]
    partial = eq.Audit.load(tmp_path / "out")
    assert {row.name for row in partial.systems} >= {"s0", "s1"} and len(partial.systems) < 7
    (tmp_path / "out" / "batch.0.0.part").touch()  # as one that dies later leaves it
    found = audit(tmp_path / "out", systems=small_and_one_large(), **{**ASKED, "distributed": False})
    once = audit(systems=small_and_one_large(), **{**ASKED, "distributed": False})
    assert not differences(found, once) and orbits(found) == orbits(once)
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".safetensors"}


def test_a_model_that_raises_at_a_rotation_fails_there_whoever_evaluated_it(tmp_path):
    def raising(count, x):
        count(x)
        if float((x[:, 0, 2] / x[:, 0].norm(dim=-1)).max()) > 0.997:
            raise ValueError("the first point is too high")

    systems = [("large", large()), ("other", large(1))]
    asked = {**ASKED, "degree": 8}
    once = audit(model=Model(functools.partial(raising, lambda x: None)), systems=systems, **asked)
    (failure,) = once.failures
    assert failure.rotation_index > 4 * COPIES

    def work(rank, counts):
        found = audit(None, Model(functools.partial(raising, counts)), systems, **asked)
        assert [vars(own) | {"rotation": None} for own in found.failures] == [vars(failure) | {"rotation": None}]
        assert found.outputs["u"].rmse == once.outputs["u"].rmse

    assert shared(tmp_path, 2, work) == [0, 0]


@pytest.mark.parametrize("unfit", ["raises", "another model"])
def test_a_process_that_cannot_help_changes_nothing(tmp_path, unfit):
    def work(rank, counts):

        def met(x):
            if rank:
                counts(x[:1].expand(COPIES, ROWS, 3))
                raise RuntimeError("no kernel image is available")
            elif unfit == "raises":
                counts(x)
            else:
                time.sleep(0.02)

        model = Model(met)
        with torch.no_grad():
            model.embed.bias += 1.0 if rank and unfit == "another model" else 0.0
        found = audit(tmp_path / "out", model, [("large", large())], **ASKED)
        assert not differences(found, whole()) and orbits(found) == orbits(whole())
        assert not rank or (counts.batches > 0) == (unfit == "raises")

    assert shared(tmp_path, 2, work) == [0, 0]


@pytest.mark.parametrize("estimator", ["monte-carlo", "grid of a given degree"])
def test_every_estimator_is_split(tmp_path, estimator):
    own = {"degree": 10} if estimator != "monte-carlo" else {"degree": None, "rotations": 512, "precision": 0.02}
    asked = {**ASKED, **own, **({"estimator": estimator} if estimator == "monte-carlo" else {}), "keep": "samples"}
    once = audit(systems=[("large", large())], **{**asked, "distributed": False})

    def work(rank, counts):
        found = audit(tmp_path / "out", Model(counts), [("large", large())], **asked)
        assert counts.batches > 0 and list(found.systems) == list(once.systems)
        for name, output in once.outputs.items():
            assert torch.equal(found.outputs[name].power, output.power)
            assert torch.equal(found.outputs[name].mean, output.mean)

    assert shared(tmp_path, 2, work) == [0, 0]


class Padded(torch.nn.Module):
    """Attention among rows that are real."""

    def __init__(self, met=lambda x: None) -> None:
        super().__init__()
        self.embed = torch.nn.Linear(3, 4, bias=False, dtype=torch.float64)
        with torch.no_grad():
            self.embed.weight.copy_(torch.arange(12.0).reshape(4, 3) / 9)
        self._met = (met,)

    def forward(self, x, mask):
        self._met[0](x)
        h = torch.tanh(self.embed(x))
        h = (h @ h.transpose(-1, -2)).masked_fill(~mask[..., None, :], -1e9).softmax(-1) @ h
        return {"u": (h * mask[..., None]).sum((-1, -2)), "v": h[..., :3]}


def test_helpers_know_which_rows_are_padding(tmp_path):
    mask = torch.arange(ROWS) < ROWS - 4
    systems = [("large", {"x": torch.where(mask[:, None], large()["x"], 0.0), "mask": mask})]
    once = audit(model=Padded(), systems=systems, **{**ASKED, "distributed": False})
    assert once.outputs["v"].samples == ROWS - 4

    def work(rank, counts):
        found = audit(tmp_path / "out", Padded(counts), systems, **ASKED)
        assert counts.batches > 0 and not differences(found, once) and orbits(found) == orbits(once)

    assert shared(tmp_path, 2, work) == [0, 0]


def test_tensors_come_out_of_a_parcel_as_they_went_in(tmp_path):
    plain = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
    outputs = {"u": [plain.double()], "none": [torch.empty(4, 0, 1, 3)], "coarse": [plain.bfloat16()]}
    captured = {
        "turned": plain.movedim(0, 2),
        "every other": plain[:, ::2],
        "spread": plain[:, :1].expand(4, 6, 3),
        "mask": plain > 0,
        "one": torch.tensor(3.5),
        "again": plain,
    }
    path = tmp_path / "parcel"
    label = send(path, outputs, captured)
    found, hidden = receive(path, label, torch.device("cpu"))
    assert not path.exists() and list(found) == list(outputs) and list(hidden) == list(captured)
    for name, value in [*captured.items(), *((name, part) for name, (part,) in outputs.items())]:
        got = hidden[name] if name in hidden else found[name][0]
        assert got.dtype == value.dtype and torch.equal(got, value)
        assert name == "spread" or not value.numel() or got.stride() == value.stride()
    with pytest.raises(eq.errors.DataError, match=r"out: expected room for batches on their way .*File exists"):
        path.touch()
        send(path, outputs, captured)


def test_two_batches_must_be_known_to_fit_where_memory_is_limited():
    memory = Memory(1000, 2)
    assert Memory(None, 2).fits(10**9) and not memory.fits(2)
    memory.rehearse(type("System", (), {"name": "a", "rows": 1}))
    memory.start(torch.device("cpu"), 10)
    memory.stop(torch.device("cpu"), 400)
    assert memory.fits(25) and not memory.fits(26)


def test_what_was_spent_adds_up():
    spent = Spent(10, 2, 0.5, 1.0)
    spent.add(Spent(4, 1, 0.25, 0.5), -1)
    assert spent == Spent(6, 1, 0.25, 0.5)

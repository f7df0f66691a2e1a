"""One system that several processes evaluate: the bits of one process, and no process is needed but the owner."""

from __future__ import annotations

import collections
import functools
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from scale_cases import Model, audit, differences, ended, forked, group, numbers_alone  # noqa: F401

import equiscope as eq
from equiscope.probe.board import PARCELS, Board, Spent
from equiscope.probe.helpers import Helped, Helper
from equiscope.probe.memory import Memory
from equiscope.probe.parcel import ALIGNED, receive, send
from equiscope.ranks import IDLE, Ranks

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
    assert not any(part["start"] % ALIGNED for part in label)
    found, hidden = receive(path, label, torch.device("cpu"))
    assert not path.exists() and list(found) == list(outputs) and list(hidden) == list(captured)
    for name, value in [*captured.items(), *((name, part) for name, (part,) in outputs.items())]:
        got = hidden[name] if name in hidden else found[name][0]
        assert got.dtype == value.dtype and torch.equal(got, value)
        assert name == "spread" or not value.numel() or got.stride() == value.stride()
    with pytest.raises(eq.errors.DataError, match=r"out: expected room for batches on their way .*File exists"):
        path.touch()
        send(path, outputs, captured)


class Store(Ranks):
    """What processes tell each other, in one; `late` is done by the others where one waits."""

    def __init__(self, late=lambda: None) -> None:
        self.numbers, self.values, self.late = collections.Counter(), {}, late

    def add(self, what, by):
        self.numbers[what] += by
        return self.numbers[what]

    def tell(self, what, value):
        self.values[what] = value

    def heard(self, what):
        return self.values.get(what)

    def forget(self, what):
        del self.values[what]

    def until(self, ready):
        if not ready():
            self.late()
        assert ready()


def test_a_board_tells_of_each_offer_once_and_of_each_batch_what_became_of_it(tmp_path):
    store = Store()
    owner, other = (Board(store, tmp_path, str) for _ in range(2))
    made = [owner.offer(f"system {place}", place, 100, 10, 20, 4, ["h"]) for place in (7, 8)]
    assert [*other.unread()] == made and not [*other.unread()]
    first, second = made
    assert first.mark == "system 7" and first.bounds(1) == (30, 50)
    asked = ((10, 30), (30, 50), (70, 90), (90, 110), (-10, 10), (11, 31), (30, 49))
    assert [first.batch(*bounds) for bounds in asked] == [0, 1, 3, None, None, None, None]
    owner.went_by(first, 2)
    assert other.gone_by(first) == 2 and other.gone_by(second) == 0
    assert [owner.claim(first), other.claim(first), owner.claim(second)] == [0, 1, 0]
    other.hand_in(first, 0, {"u": [torch.ones(3)]}, {}, Spent(5))
    other.give_back(first, 1)
    outputs, captured, spent = owner.collect(first, 0, torch.device("cpu"))
    assert torch.equal(outputs["u"][0], torch.ones(3)) and not captured and spent == Spent(5)
    assert owner.is_there(first, 1) and owner.collect(first, 1, torch.device("cpu")) is None
    assert not owner.is_there(first, 1)
    assert owner.withdraw(first) == 2 and other.claim(first) is None and owner.withdraw(first) == 4
    assert not owner.is_read
    store.add(IDLE, 1)
    assert owner.is_read


class Evaluates:
    """In place of an evaluator: returns which batch it was asked for; those in `raises` it refuses."""

    def __init__(self, *raises) -> None:
        self.calls, self.evaluations, self.raises, self.adapter = 0, 0, raises, SimpleNamespace(model_seconds=0.0)

    def __call__(self, pieces):
        self.calls, self.evaluations = self.calls + 1, self.evaluations + 20
        if pieces[0] in self.raises:
            raise RuntimeError("no memory")
        return {"u": [torch.tensor(pieces[0])]}, {}


@pytest.mark.parametrize("called_since, raises", [(0, ()), (1, ()), (0, (1,))], ids=str)
def test_the_owner_calls_ahead_what_comes_next_and_takes_batches_in_their_order(
    tmp_path, monkeypatch, called_since, raises
):
    monkeypatch.setattr("equiscope.probe.helpers.piece_of", lambda offer, batch, measure, system: batch)
    system, store, evaluates, spent = SimpleNamespace(device=torch.device("cpu")), Store(), Evaluates(*raises), Spent()
    owner, other = (Board(store, tmp_path, lambda system: "it") for _ in range(2))
    helped = Helped(owner, evaluates, SimpleNamespace(wanted=lambda system: []), lambda system: 0, spent)
    helped.offer(range(90), system, 10, 20)  # nobody is idle
    store.add(IDLE, 1)
    helped.offer(range(49), system, 10, 20)  # one batch is left
    assert not [*other.unread()]
    helped.offer(range(51), system, 10, 20)
    (offer,) = other.unread()
    assert offer.batches == 2 and other.claim(offer) == 0
    store.late = lambda: other.hand_in(offer, 0, {"u": [torch.tensor(0)]}, {}, Spent(20, 3))
    assert helped.take("another", 10, 30) is None
    taken = helped.take(system, 10, 30)
    assert taken is not None and taken[0]["u"][0] == 0 and spent == Spent(20, 3)
    evaluates.calls += called_since
    again = helped.take(system, 30, 50)
    assert (again is None) == bool(called_since or raises) and (again is None or again[0]["u"][0] == 1)
    assert spent.checks == (23 if called_since else 3)
    helped.take(system, 50, 51)
    assert other.claim(offer) is None and other.gone_by(offer) == 2
    helped.offer(range(50), system, 10, 20)
    (offer,) = other.unread()
    helped.close()
    assert other.claim(offer) is None and other.gone_by(offer) == 2


def test_a_helper_rehearses_a_system_again_after_it_failed_and_hands_in_no_more_than_two(tmp_path, monkeypatch):
    monkeypatch.setattr("equiscope.probe.helpers.piece_of", lambda offer, batch, measure, system: batch)
    told, fails = [], [True]

    def start(system, before, copies):
        told.append((system, copies))
        if fails.pop():
            raise RuntimeError("no memory")

    store, spent, rehearsal = Store(), Spent(), SimpleNamespace(start=start, forget=lambda system: told.append(system))
    owner, other = (Board(store, tmp_path, lambda system: "it") for _ in range(2))
    helper = Helper(other, Evaluates(3), rehearsal, {0: "system"}.get, lambda elements: None, spent)
    assert not helper.help()
    owner.offer("unknown", 1, 110, 10, 20, 5, [])
    assert not helper.help()
    owner.offer("system", 0, 110, 10, 20, 5, [])
    assert helper.help() and told == [("system", 20), "system"] and not helper.help()
    fails.append(False)
    offer = owner.offer("system", 0, 110, 10, 20, 5, [])
    assert helper.help() and told[2:] == [("system", 20)]
    assert [helper.help() for _ in range(3)] == [True, True, False] and spent.evaluations == -40
    outputs, _, work = owner.collect(offer, 1, torch.device("cpu"))
    assert outputs["u"][0] == 1 and (work.evaluations, work.checks) == (20, 0)
    owner.went_by(offer, 1)
    assert helper.help() and not helper.help()
    owner.went_by(offer, 3)
    assert helper.help() and owner.collect(offer, 3, torch.device("cpu")) is None  # it failed, and is not asked again
    assert not helper.help()
    helper.close()
    assert told[3:] == ["system"]


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

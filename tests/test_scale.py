"""A run that is shared by processes, killed, gone on with: the same numbers, and nothing that was finished is lost."""

from __future__ import annotations

import errno
import functools
import itertools
import math
import os
import random
import re
import resource
import shutil
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch
from scale_cases import (  # noqa: F401
    ASKED,
    SYSTEMS,
    Model,
    audit,
    data,
    differences,
    ended,
    forked,
    group,
    numbers_alone,
    unlike,
    wait_for,
    written,
)  # fmt: skip

import equiscope as eq
from equiscope.errors import ArgumentError, DataError, ModelError, notes
from equiscope.interrupts import Terminated
from equiscope.measure.quantity import QUANTITIES
from equiscope.probe.logs import Logs
from equiscope.probe.run import SCHEMA, Run
from equiscope.ranks import Group
from equiscope.result.data import SystemRow
from equiscope.result.log import Log, lines
from equiscope.result.rows import Rows


@functools.cache
def whole() -> eq.Audit:
    """Of all systems, by one process that nobody stopped, in memory."""
    return audit()


@functools.cache
def size() -> int:
    """Bytes that the log of all systems has."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "finish", lambda run: None)
        assert not differences(audit(Path(name)), whole())
        return written(Path(name))


def orbits(report: eq.Audit) -> float:
    """Copies that were evaluated, without checks, of which every process makes a few of its own."""
    return report.timings["evaluations"] - report.timings["checks"]


def killed_at(directory: Path, share: float, pause: float = 0.0) -> None:
    """A run that a process begins, or goes on with, and is killed at when its log has that share of its whole size."""
    enough = share * size()
    child = forked(lambda: audit(directory))
    wait_for(lambda: written(directory) >= enough)
    time.sleep(pause)
    os.kill(child, signal.SIGKILL)
    assert ended(child) == -signal.SIGKILL


def kill_and_resume(directory: Path, kills: int, seed: int) -> tuple[eq.Audit, list[int]]:
    """The audit of a run that was killed at random moments, and how many systems had ended at each."""
    moments, counts = random.Random(seed), []
    for share in sorted(moments.uniform(0.0, 0.95) for _ in range(kills)):
        killed_at(directory, share, pause=moments.uniform(0.0, 0.02))
        counts.append(len(eq.Audit.load(directory).systems) if share > 0.2 else 0)
    return audit(directory), counts


def test_a_run_that_is_killed_at_random_goes_on_to_the_same_bits(tmp_path):
    found, counts = kill_and_resume(tmp_path, 3, seed=1)
    assert not differences(found, whole()) and counts == sorted(counts)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


@pytest.mark.slow
def test_fifty_kills_change_no_bit(tmp_path):
    for run in range(10):
        found, counts = kill_and_resume(tmp_path / str(run), 5, seed=run)
        assert not differences(found, whole()), run
        print(counts)


def test_what_had_finished_is_not_evaluated_again_and_loads_without_model_and_data(tmp_path):
    killed_at(tmp_path, 0.4)
    partial = eq.Audit.load(tmp_path)
    count = len(partial.systems)
    told = f"{count} of {SYSTEMS} systems"
    assert 0 < count < SYSTEMS and partial.settings["stopped_after"] == told and f"stopped after {told}" in str(partial)
    rows = {row.name: row for row in whole().systems}
    assert all(row == rows[row.name] for row in partial.systems)
    met = set()
    found = audit(tmp_path, Model(lambda x: met.add(radius(x))))
    finished = {radius(x["x"]) for name, x in data() if name in {row.name for row in partial.systems}}
    assert met and not met & finished
    assert orbits(found) == orbits(whole())
    assert not differences(found, whole())


def test_a_layer_that_is_overwritten_in_place_is_heard_alike_where_a_run_goes_on(tmp_path):
    class InPlace(Model):
        def forward(self, x):
            self._listener.met(x)
            h = self.embed(x)
            return {"u": h.tanh_().sum((-1, -2)), "v": h[..., :3].sum(1)}

    def stop(x):
        calls.append(x)
        if len(calls) == total - 8:
            raise KeyboardInterrupt

    calls, total = [], 0
    once = audit(model=InPlace(calls.append), systems=data(8))
    calls, total = [], len(calls)
    with pytest.raises(KeyboardInterrupt, match="stopped after"):
        audit(tmp_path, InPlace(stop), data(8))
    assert not differences(audit(tmp_path, InPlace(), data(8)), once)


def test_a_run_that_ended_is_not_made_again(tmp_path):
    first = audit(tmp_path, systems=data(4))
    met = []
    again = audit(tmp_path, Model(met.append), systems=data(4))
    assert not met and not differences(first, again)
    with pytest.raises(DataError, match=r"data: expected what it was .* got another"):
        audit(tmp_path, systems=data(5))


@pytest.mark.parametrize(
    "change, named",
    [
        ({"lmax": 2}, r"lmax: expected what it was when the run in .* was begun \(1\), got 2"),
        ({"batch_rows": 901}, r"batch_rows: .*\(900\), got 901"),
        ({"outputs": {"u": "scalar"}}, "outputs: expected what it was .*, got .*"),
        ({"resume": False}, r"out: expected resume=True, or another directory .* holds \d+ of 40 systems"),
    ],
    ids=str,
)
def test_a_run_goes_on_only_as_it_was_begun(stopped, change, named):
    with pytest.raises(DataError, match=named):
        audit(stopped, **change)


def test_a_run_goes_on_only_with_the_same_model_and_systems(stopped):
    other = Model()
    with torch.no_grad():
        other.embed.bias[0] += 1e-12
    with pytest.raises(DataError, match="model: expected what it was"):
        audit(stopped, other)
    moved = data()
    moved[2][1]["x"][0, 1] += 1e-12
    with pytest.raises(DataError, match=r"data: expected system 2 as it was .*, got another one \('s2'\)"):
        audit(stopped, systems=moved)
    for few in (SYSTEMS - 1, SYSTEMS + 1):
        with pytest.raises(DataError, match=rf"data: expected the 40 systems with which .* was begun, got {few}"):
            audit(stopped, systems=data(few))
    # and what was refused left all of it
    assert len(eq.Audit.load(stopped).systems) > 2


class Remembering(Model):
    """Keeps what it was called for last, and what says nothing of what it holds."""

    def __init__(self, met):
        super().__init__(met)
        self.last, self.lock = None, threading.Lock()

    def forward(self, x):
        self.last = x
        return super().forward(x)


def test_a_model_that_remembers_goes_on_as_it_is_and_as_it_was(tmp_path):
    def stop(x):
        calls.append(x)
        if len(calls) in (30, 60, 90):
            raise KeyboardInterrupt

    calls, model = [], Remembering(stop)
    for again in (model, Remembering(stop), model):
        with pytest.raises(KeyboardInterrupt, match="stopped after"):
            audit(tmp_path, again)
    last, model.last = model.last, model.last + 1
    with pytest.raises(
        DataError, match=r"model: expected what it was .*, got another \(parameters, code, or what it holds"
    ):
        audit(tmp_path, model)
    model.last = last
    found = audit(tmp_path, model)
    (note,) = set(found.notes) - set(whole().notes)
    assert note == "the run went on as if what the model holds of _thread.lock were the same, which cannot be seen"
    found.notes.remove(note)
    assert not differences(found, whole())
    evaluated = len(calls)
    for again in (model, Remembering(stop)):
        assert len(audit(tmp_path, again).systems) == SYSTEMS and len(calls) == evaluated


def radius(x: torch.Tensor) -> float:
    """Of the farthest point: by it a system is known, turned or not."""
    return round(float(x.norm(dim=-1).max()), 9)


def test_a_run_that_measured_other_quantities_is_not_gone_on_with(stopped, monkeypatch):
    monkeypatch.setitem(QUANTITIES, "other", next(iter(QUANTITIES.values())))
    with pytest.raises(DataError, match=r"quantities: expected what it was .*, got .*'other'"):
        audit(stopped)


@pytest.mark.parametrize("last, ended_by_then", [("s14", False), ("s24", True)])
def test_the_worst_system_looks_the_same_whether_it_ended_before_a_kill_or_after(tmp_path, last, ended_by_then):
    def met(x):
        if radius(x) == radius(dict(data())[last]["x"]):
            os.kill(os.getpid(), signal.SIGKILL)

    assert ended(forked(lambda: audit(tmp_path, Model(met)))) == -signal.SIGKILL
    partial, found = eq.Audit.load(tmp_path), audit(tmp_path, formats=("svg",))
    for name, own in whole().outputs.items():
        assert own.scene.system == worst(whole(), name) == "s14" and not unlike(found.outputs[name], own)
        assert partial.outputs[name].scene.system == worst(partial, name)
        assert (worst(partial, name) == "s14") == ended_by_then
    told = "the model was in train mode; it was audited in eval mode and put back"
    assert partial.notes == found.notes == [told] and told not in partial.warnings


def worst(report: eq.Audit, output: str) -> str:
    """The system with the largest error, the first one of equals."""
    return max(report.systems, key=lambda row: row.outputs[output]["rmse"]).name


def test_a_log_holds_what_few_systems_look_like_and_the_worst_among_them(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "finish", lambda run: None)
    report, logs = audit(tmp_path), Logs(tmp_path)
    logs.scan()
    for name in report.outputs:
        shown = [entry.row.name for entry in logs.entries(0, logs.stop) if entry.shares[name].scene is not None]
        rising = itertools.accumulate((row.outputs[name]["rmse"] for row in report.systems), max)
        assert shown[-1] == worst(report, name) and len(shown) == len(set(rising)) < 6


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stopped")
    killed_at(directory, 0.3)
    return directory


def test_two_runs_in_one_directory_are_refused(tmp_path):
    def meddling(x):
        if not refused:
            with pytest.raises(
                DataError, match=rf"out: expected a directory that no other run .* process {os.getpid()} on"
            ):
                audit(tmp_path, systems=data(3))
            refused.append(True)

    refused = []
    audit(tmp_path, Model(meddling), systems=data(3))
    assert refused


def test_a_run_of_another_layout_is_neither_read_nor_gone_on_with(stopped, monkeypatch):
    monkeypatch.setattr("equiscope.probe.run.SCHEMA", SCHEMA + 1)
    for use in (eq.Audit.load, audit):
        with pytest.raises(DataError, match=rf"expected a run of schema {SCHEMA + 1}, got schema {SCHEMA}: another"):
            use(stopped)


def test_a_disk_that_is_full_from_the_start_is_named(tmp_path):
    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        with pytest.raises(DataError, match=rf"out: expected a directory that files can be .* got '{tmp_path}'"):
            audit(tmp_path)

    assert ended(forked(work)) == 0


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path):
    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size() // 2, size() // 2))
        with pytest.raises(DataError, match=rf"out: expected room for .*resume=True.* got '{tmp_path}'"):
            audit(tmp_path)

    assert ended(forked(work)) == 0
    partial = eq.Audit.load(tmp_path)
    assert SYSTEMS // 4 < len(partial.systems) < SYSTEMS
    assert not differences(audit(tmp_path), whole())


def is_full(path, mode):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("stop_at, raised", [(None, DataError), (60, KeyboardInterrupt)])
def test_a_disk_that_is_full_when_the_audit_is_saved_loses_nothing(tmp_path, stop_at, raised):
    def met(x):
        calls.append(x)
        if len(calls) == stop_at:
            raise KeyboardInterrupt

    calls = []
    told = rf"No space left on device.*what had finished is kept in '{tmp_path}', and resume=True goes on"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("equiscope.result.place.open", is_full, raising=False)
        with pytest.raises(raised) as full:
            audit(tmp_path, Model(met))
    parts = str(full.value).split("; ") if stop_at is None else reversed(str(full.value).split(", though "))
    assert re.search(told, "; ".join(parts))
    count = len(eq.Audit.load(tmp_path).systems)
    assert count == SYSTEMS if stop_at is None else 0 < count < SYSTEMS
    # and what is kept is not evaluated again
    before = len(calls)
    assert not differences(audit(tmp_path, Model(met)), whole())
    assert stop_at or len(calls) == before


def test_what_else_keeps_an_audit_from_being_saved_says_what_is_kept(tmp_path, monkeypatch):
    def save(report, directory, formats):
        raise error

    monkeypatch.setattr(eq.Audit, "save", save)
    error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt, match=rf"stopped while the audit was saved; .* kept in '{tmp_path}'"):
        audit(tmp_path, systems=data(3))
    error = ZeroDivisionError("a picture of one's own")
    with pytest.raises(ZeroDivisionError):
        audit(tmp_path, systems=data(3))
    assert "kept in" in notes(error)[0]


def test_a_torn_last_line_is_dropped_and_an_altered_one_refused(tmp_path):
    path = tmp_path / "a.log"
    log = Log(path)
    for i in range(3):
        log.append(str(i), {"i": i})
    log.close()
    content = path.read_bytes()
    ends = [line.stop for line in lines(path)]
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        assert len(list(lines(path))) == sum(end <= cut for end in ends)
    log = Log(path)
    log.append("3", {"i": 3})
    assert [line.record["i"] for line in lines(path)] == [0, 1, 3]
    with pytest.raises(DataError, match="no other process writes to"):
        Log(path)
    log.close()
    for at in range(ends[1] - 1):  # without its end it is one with the last
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(DataError, match=rf"{path}, byte \d+: expected a line as it was written"):
            list(lines(path))


def test_a_run_in_which_every_system_failed_is_not_in_the_way_of_the_next(tmp_path):
    def bad(x):
        raise ValueError("no such element")

    with pytest.raises(ValueError, match="no such element"):
        audit(tmp_path, Model(bad), systems=data(3))
    assert not list(tmp_path.iterdir())
    assert len(audit(tmp_path, systems=data(3), resume=False).systems) == 3


@pytest.mark.parametrize("lost", [1, 2])
def test_a_log_that_lost_its_first_lines_is_refused_and_left_as_it_is(stopped, tmp_path, lost):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "systems.rank0.log"
    all_lines = path.read_bytes().splitlines(keepends=True)
    kept = b"".join(all_lines[lost:] if lost == 1 else [all_lines[0], *all_lines[2:]])
    path.write_bytes(kept)
    expected = ["the record of the run", "the session that wrote it"][lost - 1]
    for use in (eq.Audit.load, audit, functools.partial(audit, resume=False)):
        with pytest.raises(
            DataError, match=rf"{path}, byte \d+: expected {expected} .*without that file.*got a line of"
        ):
            use(tmp_path)
    assert path.read_bytes() == kept
    path.unlink()
    assert not differences(audit(tmp_path), whole())


def test_a_stream_may_only_grow_before_it_was_read_to_its_end(tmp_path):
    def stop(x):
        if radius(x) == radius(dict(data())["s9"]["x"]):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="stopped after 9 systems"):
        audit(tmp_path, Model(stop), iter(data(12)))
    with pytest.raises(DataError, match=r"data: expected the systems with which .* begun, 9 or more, got 3"):
        audit(tmp_path, systems=iter(data(3)))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(DataError, match="No space left on device"):
        patch.setattr("equiscope.result.place.open", is_full, raising=False)
        audit(tmp_path, systems=iter(data(16)))
    # all was evaluated: from here on it is known how many there are
    for count, told in ((15, 15), (17, "more")):
        with pytest.raises(DataError, match=rf"data: expected the 16 systems with which .* was begun, got {told}"):
            audit(tmp_path, systems=iter(data(count)))
    with pytest.raises(DataError, match=r"data: expected the 16 systems with which .* was begun, got 17"):
        audit(tmp_path, systems=data(17))
    assert not differences(audit(tmp_path, systems=iter(data(16))), audit(systems=data(16)))


def test_a_run_of_a_list_goes_on_with_a_stream_of_as_many_systems_alone(stopped, tmp_path):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    for count, told in ((SYSTEMS - 1, SYSTEMS - 1), (SYSTEMS + 1, "more")):
        with pytest.raises(DataError, match=rf"data: expected the 40 systems with which .* was begun, got {told}"):
            audit(tmp_path, systems=iter(data(count)))
    assert not differences(audit(tmp_path, systems=iter(data())), whole())


def test_a_model_may_change_the_working_directory(tmp_path, monkeypatch):
    def met(x):
        os.chdir(tmp_path / "elsewhere")

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    found = audit(Path("out"), Model(met), data(8))
    assert not differences(found, audit(systems=data(8))) and not list(Path(tmp_path, "elsewhere").iterdir())
    assert not differences(eq.Audit.load(tmp_path / "out"), found)
    assert {path.suffix for path in Path(tmp_path, "out").iterdir()} == {".json", ".safetensors"}


def test_an_audit_that_had_ended_is_replaced_by_a_whole_one_alone(tmp_path):
    def met(x):
        if radius(x) == radius(dict(data())["s9"]["x"]):
            raise KeyboardInterrupt

    ended_before = audit(tmp_path, systems=data(8))
    told = (
        r"stopped after \d+ of 40 systems, which are kept in .* beside the audit that had ended there, and resume=True"
    )
    with pytest.raises(KeyboardInterrupt, match=told):
        audit(tmp_path, Model(met), resume=False)
    assert not differences(eq.Audit.load(tmp_path), ended_before)
    assert not differences(audit(tmp_path), whole()) and not differences(eq.Audit.load(tmp_path), whole())


def test_resume_needs_a_directory():
    with pytest.raises(ArgumentError, match="resume: expected True or False, and True with the directory"):
        eq.audit(Model(), data(1), **ASKED, resume=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"degree": 6},
        {"degree": None, "estimator": "monte-carlo", "rotations": 64, "precision": 0.5},
        {"degree": 6, "keep": "samples", "group": "SO3"},
        {"degree": 4, "group": eq.groups.SO2(axis=(0, 1, 1))},
    ],
    ids=lambda settings: next(reversed(settings)),
)
def test_every_kind_of_run_loads_and_goes_on(tmp_path, settings):
    def stop(x):
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt

    asked = {**settings, "layers": None, "systems": data(10)}
    calls = 0
    with pytest.raises(KeyboardInterrupt, match=r"stopped after \d of 10 systems"):
        audit(tmp_path, Model(stop), **asked)
    loaded = eq.Audit.load(tmp_path)
    assert 0 < len(loaded.systems) < 10
    calls = 20
    found, once = audit(tmp_path, Model(stop), **asked), audit(**asked)
    for name, output in once.outputs.items():
        assert found.outputs[name].rmse == output.rmse and torch.equal(found.outputs[name].power, output.power)
        assert found.outputs[name].mean is None or torch.equal(found.outputs[name].mean, output.mean)
    assert list(found.systems) == list(once.systems) and found.convergence == once.convergence


def test_rows_of_many_systems_stay_in_their_file(tmp_path, monkeypatch):
    few = audit(tmp_path / "few", systems=data(8))
    for module in ("equiscope.result.files", "equiscope.probe.run"):
        monkeypatch.setattr(f"{module}.FEW", 7)
    many = audit(tmp_path / "many", systems=data(8))
    saved = eq.Audit.load(tmp_path / "many")
    assert isinstance(many.systems, Rows) and isinstance(saved.systems, Rows) and isinstance(few.systems, list)
    assert not differences(many, few) and not differences(saved, few)
    assert few.systems == saved.systems and saved.systems == few.systems and saved.systems[2:4] == few.systems[2:4]
    assert saved.systems[-1] == few.systems[-1] and saved.findings() == few.findings()
    # an audit in memory is written likewise, and one that was loaded again
    for i, report in enumerate((few, saved)):
        report.save(tmp_path / str(i))
        assert eq.Audit.load(tmp_path / str(i)).systems == few.systems
    (name,) = (path.name for path in (tmp_path / "0").glob("systems-*.jsonl"))
    content = (tmp_path / "0" / name).read_bytes()
    (tmp_path / "0" / name).write_bytes(content.replace(b"rmse", b"rmsf", 1))
    with pytest.raises(DataError, match=rf"{name}: expected the rows that audit.json belongs to"):
        eq.Audit.load(tmp_path / "0")
    rows = Rows(os.open(tmp_path / "new", os.O_RDWR | os.O_CREAT), tmp_path)
    odd = SystemRow("\udc80 \n", 1, {"u": {"a": math.nan, "b": -math.inf, "c": 5e-324}}, {})
    rows.append(odd)
    assert str(rows[0]) == str(odd) and len(list(rows)) == 1
    with pytest.raises(
        DataError, match=rf"out: expected room for the rows .*resume=True.* on the disk of '{tmp_path}'"
    ):
        Rows(os.open(tmp_path / "new", os.O_RDONLY), tmp_path).append(odd)


def test_where_systems_begin_is_decided_alike_in_memory_and_in_a_directory(tmp_path):
    """The first ones are easy, those of the first stage hard, and those of the next begin where these settled."""

    def wave(x):
        k = x.norm(dim=-1).floor()
        return {"u": 1.0 + 0.3 * torch.cos(k * torch.arccos((x[..., 2] / x.norm(dim=-1)).clamp(-1.0, 1.0)))}

    direction = torch.tensor([0.48, -0.6, 0.64], dtype=torch.float64)
    systems = [(f"{i}", {"x": direction * (1.5 if i < 2 else 5.5)}) for i in range(45)]
    asked = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar"}, "lmax": None, "progress": False}
    one, other = eq.audit(wave, systems, **asked), eq.audit(wave, systems, **asked, out=tmp_path)
    degrees = one.settings["degrees"]
    assert degrees == other.settings["degrees"] and one.outputs["u"].rmse == other.outputs["u"].rmse
    assert degrees["6"] == 34


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_systems(tmp_path):
    def stream(count):
        for i in range(count):
            yield {"x": torch.randn(1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(i))}

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

    def most(count):
        """Megabytes that were taken at most while systems were evaluated."""

        def met(x):
            nonlocal calls
            calls += 1
            if calls % 100 == 0:
                seen.append(resident() - before)

        before, seen, calls = resident(), [0.0], 0
        asked = {"layers": None, "outputs": {"u": "scalar"}, "lmax": 0, "degree": 2}
        report = audit(tmp_path / str(count), Model(met), stream(count), **asked)
        assert len(report.systems) == count
        return max(seen)

    most(200)  # what is kept once
    assert most(5000) - most(200) < 6.0


# -- several processes ---------------------------------------------------------------------------------------------


def shared(directory: Path, ranks: int, out: Path | None, results: Path, late: float = 0.0) -> list[int]:
    """Exit codes of processes that make one audit; each saves what it was given. The first leaves every meeting `late`,
    in seconds, when the others have begun what follows."""

    def work(rank):
        group(rank, ranks, f"file://{directory / 'store'}")
        meet = Group.meet

        def linger(self, what, within=None):
            meet(self, what, within)
            time.sleep(0.0 if rank else late)

        Group.meet = linger
        report = audit(out, distributed=None)
        report.save(results / str(rank))

    children = [forked(functools.partial(work, rank)) for rank in range(ranks)]
    return [ended(child) for child in children]


@pytest.mark.parametrize(
    "ranks, with_out, late", [(2, True, 0.0), (2, False, 1.0), pytest.param(4, True, 1.0, marks=pytest.mark.slow)]
)
def test_processes_share_the_systems_and_all_get_the_audit_of_one(tmp_path, ranks, with_out, late):
    out = tmp_path / "out" if with_out else None
    (tmp_path / "results").mkdir()
    assert shared(tmp_path, ranks, out, tmp_path / "results", late) == [0] * ranks
    for rank in range(ranks):
        found = eq.Audit.load(tmp_path / "results" / str(rank))
        assert not differences(found, whole())
        # no system was evaluated twice, and none left out
        assert orbits(found) == orbits(whole())


def test_a_system_that_no_process_wrote_down_is_missed(tmp_path, monkeypatch):
    write = Run.write

    def forgets(run, systems, *rest):
        if "s7" not in {system.name for system in systems}:
            write(run, systems, *rest)

    monkeypatch.setattr(Run, "write", forgets)
    with pytest.raises(
        ModelError, match=r"every system to end, got \d that no process wrote down, system \d the first"
    ):
        audit(tmp_path, systems=data(8))


def test_of_equally_bad_systems_the_first_is_shown_whoever_evaluated_it(tmp_path):
    """Larger systems are evaluated before smaller ones, and only the first point of each counts."""
    direction = torch.tensor([0.48, -0.6, 0.64], dtype=torch.float64)
    rows = (1, 1, 1, 3, 2, 5, 5, 5)
    systems = [(f"s{i}", {"x": direction.expand(n, 3) * (0.5 if i < 2 else 1.0)}) for i, n in enumerate(rows)]

    def work(rank):
        group(rank, 2, f"file://{tmp_path / 'store'}")
        asked = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar"}, "lmax": 1, "degree": 6, "progress": False}
        report = eq.audit(lambda x: {"u": x[..., 0, 2]}, systems, **asked, shift=None, batch_rows=400)
        assert len({row.outputs["u"]["rmse"] for row in report.systems}) == 2
        assert report.outputs["u"].scene.system == "s2"

    children = [forked(functools.partial(work, rank)) for rank in range(2)]
    assert [ended(child) for child in children] == [0, 0]


@pytest.mark.parametrize("dead, store", [(1, "file"), (0, "file"), (0, "tcp")])
def test_a_process_that_dies_ends_the_run_and_what_was_finished_goes_on(tmp_path, dead, store):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"tcp://127.0.0.1:{free.getsockname()[1]}" if store == "tcp" else f"file://{tmp_path / 'store'}"

    def work(rank):
        group(rank, 2, where)

        def dying(x):
            nonlocal calls
            calls += 1
            if rank == dead and calls == 40:
                os.kill(os.getpid(), signal.SIGKILL)

        calls = 0
        told = rf"processes: expected all 2 to go on, got .*(rank {dead} dead; .*kept in|rank 0 holds)"
        with pytest.raises(eq.errors.ModelError, match=told):
            audit(tmp_path / "out", Model(dying))

    children = [forked(functools.partial(work, rank)) for rank in range(2)]
    assert [ended(child) for child in children] == [-signal.SIGKILL if rank == dead else 0 for rank in range(2)]
    assert 0 < len(eq.Audit.load(tmp_path / "out").systems) < SYSTEMS
    # the rest by one process, and what the one that died had finished is not lost
    assert not differences(audit(tmp_path / "out"), whole())


def test_a_process_whose_log_was_tidied_up_is_not_dead(tmp_path):
    finish = Run.finish

    def slowly(run):
        finish(run)
        time.sleep(1.5)

    def work(rank):
        group(rank, 2, f"file://{tmp_path / 'store'}")
        Run.finish = slowly
        audit(tmp_path / "out", systems=data(4), distributed=None)

    children = [forked(functools.partial(work, rank)) for rank in range(2)]
    assert [ended(child) for child in children] == [0, 0]


@pytest.mark.parametrize("with_out", [True, False])
def test_what_is_left_where_a_process_fails_is_told(tmp_path, with_out):
    def work(rank):
        group(rank, 2, f"file://{tmp_path / 'store'}")
        left = rf"kept in '{tmp_path}.*resume=True" if with_out else "lost without out="

        def met(x):
            if rank:
                raise KeyboardInterrupt

        expected = (
            (KeyboardInterrupt, None) if rank else (ModelError, f"an error in rank 1: KeyboardInterrupt: .*{left}")
        )
        with pytest.raises(expected[0], match=expected[1]):
            eq.audit(Model(met), data(), **ASKED, out=tmp_path / "out" if with_out else None)

    children = [forked(functools.partial(work, rank)) for rank in range(2)]
    assert [ended(child) for child in children] == [0, 0]


def test_an_error_in_one_process_ends_all(tmp_path):
    def work(rank):
        group(rank, 2, f"file://{tmp_path / 'store'}")
        with pytest.raises(eq.errors.EquiscopeError, match="lmax" if rank else "got an error in rank 1: .*lmax"):
            eq.audit(Model(), data(4), **{**ASKED, "lmax": 99 if rank else 1, "out": tmp_path / "out"})

    children = [forked(functools.partial(work, rank)) for rank in range(2)]
    assert [ended(child) for child in children] == [0, 0]


@pytest.mark.parametrize("number, raised", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_to_all_processes_is_told_in_a_line_of_each_and_the_run_goes_on(tmp_path, number, raised):
    def work(rank):
        group(rank, 2, f"file://{tmp_path / 'store'}")

        def met(x):
            calls.append(x)
            if len(calls) == 40:
                (tmp_path / f"{rank}").touch()
                wait_for((tmp_path / f"{1 - rank}").exists)
                signal.raise_signal(number)

        calls = []
        told = (
            rf"stopped; .* kept in '{tmp_path}/out', and resume" if rank else r"stopped after \d+ of 40 systems, which"
        )
        with pytest.raises(raised, match=told) as stop:
            audit(tmp_path / "out", Model(met))
        assert len(stop.traceback) <= 5 and stop.value.__cause__ is None  # none of them in the model

    children = [forked(functools.partial(work, rank)) for rank in range(2)]
    assert [ended(child) for child in children] == [0, 0]
    assert 0 < len(eq.Audit.load(tmp_path / "out").systems) < SYSTEMS
    assert not differences(audit(tmp_path / "out"), whole())

"""Symmetry over training: no trace in the run, points that an audit repeats, files that survive, loggers, views."""

from __future__ import annotations

import copy
import csv
import functools
import io
import json
import math
import os
import random
import re
import signal
import sys
import time
import types
import warnings

import numpy as np
import pytest
import torch

import equiscope as eq
from equiscope.training import History, SymmetryTracker, clock, files, tracker
from equiscope.training.journal import Journal
from equiscope.training.schedule import NEVER, schedule
from equiscope.training.stored import FILE
from equiscope.training.untouched import untouched

KINDS = {"inputs": {"x": "vector"}, "outputs": {"energy": "scalar"}}
QUICK = {**KINDS, "lmax": 1, "degree": 4, "budget": None}
UNIT = [{"x": torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64)}]


class Leaning(torch.nn.Module):
    """1 + a z of one unit vector: RMSE a / sqrt(3); shares 1 and a^2 / 3 of l = 0 and 1, over their sum."""

    def __init__(self, a=1.0):
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(a, dtype=torch.float64))
        self.layer = torch.nn.Identity()

    def forward(self, x):
        return {"energy": self.layer(1 + self.a * x[..., 0, 2])}


class Restless(torch.nn.Module):
    """A network of everything that keeps a state: dropout, batch statistics, random numbers of three libraries, and a
    forward that writes to weights, buffers, gradients and attributes."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(9, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.3), torch.nn.Linear(16, 1)
        )
        self.frozen = torch.nn.Linear(2, 2).requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()))
        self.count = 0

    def forward(self, x):
        if not self.training:
            random.random(), np.random.rand(), torch.rand(3)
            self.calls += 1
            self.count += 1
            self.register_buffer("cache", torch.ones(2))
            with torch.no_grad():
                self.frozen.weight.add_(1.0)
            self.frozen.bias.requires_grad_(True)
            for parameter in self.net.parameters():
                parameter.grad = torch.ones_like(parameter) if parameter.grad is None else parameter.grad.mul_(2)
        return {"energy": self.net(x.flatten(-2))[..., 0]}


def trained(tracked, steps=6, after_backward=False):
    """A short run, and everything that could differ after it."""
    torch.manual_seed(1), np.random.seed(2), random.seed(3)
    model = Restless()
    model.net[2].eval()  # a module whose mode is another one than that of the whole
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    found = SymmetryTracker([{"x": torch.eye(3)}], **QUICK, layers="net.*", every=2) if tracked else None
    for n in range(steps):
        if found is not None and not after_backward:
            found.step(model, n)
        x = torch.randn(8, 3, 3) * random.random() + float(np.random.rand())
        loss = model(x)["energy"].square().mean()
        if found is not None and after_backward:
            found.step(model, n)
        loss.backward()
        optimiser.step()
        if n % 3 == 2:  # so that gradients stand at some points
            optimiser.zero_grad()
    if found is not None:
        assert len(found.finish(model, steps)) == 4 and not found.history.failures
    state = [*model.state_dict().items(), ("count", model.count)]
    state += [(name, p.grad, p.requires_grad) for name, p in model.named_parameters()]
    state += [(name, part.training) for name, part in model.named_modules()]
    state += [optimiser.state_dict(), torch.rand(2), np.random.rand(), random.random()]
    return state


def bits(value):
    """A nested value with its tensors as bytes."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), value.detach().numpy().tobytes()
    if isinstance(value, dict):
        return {key: bits(inner) for key, inner in value.items()}
    return [bits(inner) for inner in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("after_backward", [False, True])
def test_training_with_the_tracker_equals_training_without_it_bit_for_bit(after_backward):
    assert bits(trained(True, after_backward=after_backward)) == bits(trained(False))


@pytest.mark.gpu
def test_the_random_state_of_a_card_is_put_back():
    model = torch.nn.Linear(2, 2, device="cuda")
    before = bits([torch.cuda.get_rng_state(), model.state_dict()["weight"].cpu()])
    with untouched(model):
        torch.rand(3, device="cuda")
        model.weight.data.zero_()
    assert bits([torch.cuda.get_rng_state(), model.state_dict()["weight"].cpu()]) == before


def test_values_that_do_not_compare_are_put_back_too():
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[math.nan, -0.0]]))
    weight, before = model.weight, bits(model.weight)
    with untouched(model):
        model.weight.data.zero_()
        model.weight = torch.nn.Parameter(torch.ones(1, 2))
    assert model.weight is weight and bits(model.weight) == before


def test_weights_are_not_marked_as_changed_for_graphs_that_wait():
    model = torch.nn.Linear(2, 1)
    version = model.weight._version
    with untouched(model):
        model(torch.ones(2))
    assert model.weight._version == version


def test_an_error_inside_leaves_everything_as_it_was():
    model = Restless()
    before = bits([model.state_dict(), torch.get_rng_state()])
    with pytest.raises(KeyboardInterrupt), untouched(model):
        model(torch.ones(1, 3, 3))
        raise KeyboardInterrupt
    assert bits([model.state_dict(), torch.get_rng_state()]) == before and model.training


def test_lazy_parameters_are_refused_since_the_first_call_draws_them():
    found, model = SymmetryTracker(UNIT, **QUICK), torch.nn.LazyLinear(2)
    with pytest.warns(RuntimeWarning, match="call it once before training"):
        found.step(model, 0)
    assert torch.nn.parameter.is_lazy(model.weight)


def test_curves_are_those_of_a_model_whose_error_is_known():
    leans = [1.0, 0.5, 0.1, 1e-3]
    found = SymmetryTracker(UNIT, **QUICK, layers="layer", every=1)
    for n, a in enumerate(leans):
        found.step(Leaning(a), n)
    a = torch.tensor(leans, dtype=torch.float64)
    for name in ("energy", "layer"):
        curves = found.history.curves(name)
        assert curves.steps.tolist() == [0, 1, 2, 3] and curves.declared is (name == "energy")
        shares = torch.stack([torch.ones(4, dtype=torch.float64), a**2 / 3]).T / (1 + a**2 / 3)[:, None]
        torch.testing.assert_close(curves.shares[:, :, 0], shares, rtol=1e-10, atol=1e-14)
        assert curves.shares[:, :, 1].abs().max() < 1e-14
    energy = found.history.curves("energy")
    torch.testing.assert_close(energy.rmse, a / math.sqrt(3), rtol=1e-10, atol=0)
    torch.testing.assert_close(energy.relative, a / torch.sqrt(3 + a**2), rtol=1e-10, atol=0)
    assert found.history.curves("layer").rmse.isnan().all()
    with pytest.raises(eq.errors.ArgumentError, match=r"name: expected .*\(energy, layer\), got 'forces'"):
        found.history.curves("forces")


@pytest.mark.parametrize("rows", [7, "auto"])
def test_the_last_point_equals_a_fresh_audit_of_the_final_model_bit_for_bit(rows, tmp_path):
    model, data = Restless(), [{"x": x} for x in torch.randn(2, 3, 3)]
    found = SymmetryTracker(data, **QUICK, layers="net.*", batch_rows=rows, out=tmp_path)
    found.step(model, 0)
    with torch.no_grad():
        model.net[3].weight.mul_(0.3)
    found.history.save = lambda directory: None
    last = found.finish(model, 5).points[-1].audit
    with untouched(model):
        fresh = eq.audit(model, data, **found.settings)
    assert found.settings["batch_rows"] == fresh.settings["batch_rows"] != "auto"
    stored = History.load(tmp_path).points[-1].audit
    for name, spectrum in fresh.results():
        for other in (last.result(name), stored.result(name)):
            assert bits([spectrum.power, spectrum.power_error, spectrum.total, spectrum.unresolved]) == bits(
                [other.power, other.power_error, other.total, other.unresolved]
            )
    for other in (last, stored):
        one, two = other.outputs["energy"], fresh.outputs["energy"]
        assert (one.rmse, one.rmse_error, one.noise_floor, one.verdict) == (
            two.rmse, two.rmse_error, two.noise_floor, two.verdict,
        )  # fmt: skip


def test_due_steps_are_even_in_the_logarithm():
    due, step = [], -1
    while (step := schedule("log")(step)) <= 1000:
        due.append(step)
    assert due == [0, 1, 2, 3, 4, 6, 10, 16, 25, 40, 63, 100, 158, 251, 398, 631, 1000]
    assert [schedule(50)(n) for n in (-1, 0, 49, 50)] == [0, 50, 50, 100]
    assert [schedule([7, 3])(n) for n in (-1, 3, 7)] == [3, 7, NEVER]


@pytest.mark.parametrize("every", [0, -1, True, 1.5, "linear", [], [1.5], None])
def test_other_schedules_are_refused(every):
    with pytest.raises(eq.errors.ArgumentError, match="every: expected"):
        SymmetryTracker(UNIT, **QUICK, every=every)


def test_steps_that_are_left_out_do_not_lose_a_point():
    found = SymmetryTracker(UNIT, **QUICK)
    model = Leaning()
    assert [n for n in range(0, 50, 7) if found.step(model, n)] == [0, 7, 14, 21, 28, 42]


def test_what_is_not_due_costs_next_to_nothing():
    found, model = SymmetryTracker(UNIT, **QUICK, every=[0]), Leaning()
    found.step(model, 0)
    start = time.process_time()
    for n in range(1, 100_001):
        found.step(model, n)
    assert time.process_time() - start < 0.5
    assert len(found.history) == 1


@pytest.fixture
def slow_audits(monkeypatch):
    """A clock that only moves when it is told to, and audits of one second."""
    now = [100.0]
    report = eq.audit(Leaning(), UNIT, **{k: v for k, v in QUICK.items() if k != "budget"}, progress=False)

    @functools.wraps(eq.audit)
    def audit(model, data, **settings):
        now[0] += 1.0
        report.settings["batch_rows"] = settings["batch_rows"]
        return copy.copy(report)

    monkeypatch.setattr(clock, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(tracker, "audit", audit)
    return now


def test_audits_take_at_most_their_share_of_the_time_and_skipped_points_are_counted(slow_audits):
    found, model = SymmetryTracker(UNIT, **{**QUICK, "budget": 0.05}, every=100), Leaning()
    for n in range(10_000):
        found.step(model, n)
        slow_audits[0] += 0.01
        point = found.history.points[-1]
        assert n < 4000 or point.spent <= 0.05 * found._clock.seconds
    points, skipped = found.history.points, found.history.all_skipped
    assert len(points) + skipped == 100 and len(points) == 5
    assert points[1].seconds - points[0].seconds > 35  # (1 + 1) / 0.05 less the first
    assert any(f"{skipped} due points were skipped" in line and "5.00%" in line for line in found.history.findings())
    found.finish(model, 10_000)
    assert found.history.points[-1].step == 10_000  # whatever it costs


def test_without_a_budget_nothing_is_skipped(slow_audits):
    found = SymmetryTracker(UNIT, **QUICK, every=1)
    assert all(found.step(Leaning(), n) for n in range(20)) and found.history.all_skipped == 0


@pytest.mark.parametrize("budget", [0, 1, -0.1, "5%", True])
def test_other_budgets_are_refused(budget):
    with pytest.raises(eq.errors.ArgumentError, match="budget: expected"):
        SymmetryTracker(UNIT, **{**QUICK, "budget": budget})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"degre": 8}, "degre: expected an argument of equiscope.audit"),
        ({"degree": 1}, "degree: expected at least 2 lmax = 2"),
        ({"lmax": -1}, "lmax: expected a non-negative integer"),
        ({"batch_rows": 0}, "batch_rows: expected a positive integer"),
        ({"loggers": [3]}, "loggers: expected objects with one of the methods"),
    ],
)
def test_wrong_settings_are_refused_when_the_tracker_is_made(settings, message):
    with pytest.raises(eq.errors.EquiscopeError, match=message):
        SymmetryTracker(UNIT, **{**QUICK, **settings})


class Failing(Leaning):
    """Raises an error at some values of its parameter."""

    def forward(self, x):
        if self.a < 0:
            raise ValueError("no negative lean")
        return super().forward(x)


def test_a_failure_warns_once_and_training_goes_on(tmp_path):
    found, model = SymmetryTracker(UNIT, **QUICK, every=1, out=tmp_path), Failing(-1.0)
    with pytest.warns(
        RuntimeWarning, match="the audit at step 0 failed, and training goes on: .*no negative lean"
    ) as all_:
        assert found.step(model, 0) is None and found.step(model, 1) is None
    assert len(all_) == 1 and model.training
    assert found.step(Failing(1.0), 2) is not None
    for history in (found.history, History.load(tmp_path)):
        assert [failed.step for failed in history.failures] == [0, 1] and [p.step for p in history] == [2]
        assert "Audits failed at step 0 and 1" in " ".join(history.findings())


def test_a_wrong_declaration_ends_no_run_either():
    found = SymmetryTracker(UNIT, **{**QUICK, "inputs": {"y": "vector"}})
    with pytest.warns(RuntimeWarning, match="failed, and training goes on: ArgumentError"):
        found.step(Leaning(), 0)


def test_a_directory_that_is_lost_ends_no_run(tmp_path):
    found = SymmetryTracker(UNIT, **QUICK, every=1, out=tmp_path / "out")
    found.step(Leaning(), 0)
    (tmp_path / "out" / FILE).unlink()
    (tmp_path / "out").rmdir()
    with pytest.warns(RuntimeWarning, match="the history goes on in memory alone") as all_:
        found.step(Leaning(), 1), found.step(Leaning(), 2)
    assert len(all_) == 1 and len(found.history) == 3


def test_steps_that_fall_are_said_to():
    found = SymmetryTracker(UNIT, **QUICK, every=[0, 100])
    found.step(Leaning(), 0), found.step(Leaning(), 50)
    with pytest.warns(RuntimeWarning, match="numbers that do not fall, got 3 after 50"):
        found.step(Leaning(), 3)


def run(directory, steps, **settings):
    found = SymmetryTracker(UNIT, **{**QUICK, **settings}, layers="layer", out=directory)
    for n in steps:
        found.step(Leaning(1 / (n + 1)), n)
    return found.history


def test_a_history_resumes_as_if_nothing_had_happened(tmp_path):
    whole = run(tmp_path / "whole", range(11))
    run(tmp_path / "parts", range(5))
    resumed = run(tmp_path / "parts", range(5, 11))
    for history in (resumed, History.load(tmp_path / "parts")):
        assert [point.step for point in history] == [point.step for point in whole] == [0, 1, 2, 3, 4, 6, 10]
        assert bits(history.curves("energy").rmse) == bits(whole.curves("energy").rmse)
        assert history.points[-1].seconds >= history.points[4].seconds > 0
    assert str(whole.points[-1].audit) and repr(resumed) == "<History: 7 points, steps 0 to 10>"


@pytest.mark.parametrize("changed, name", [({"lmax": 2}, "lmax"), ({"degree": 6}, "degree"), ({"seed": 3}, "seed")])
def test_other_settings_are_refused_in_the_same_directory(tmp_path, changed, name):
    run(tmp_path, [0])
    with pytest.raises(eq.errors.DataError, match=f"{name}: expected .*, as in the history in"):
        run(tmp_path, [1], **changed)


def test_other_data_are_refused_in_the_same_directory(tmp_path):
    run(tmp_path, [0])
    with pytest.raises(eq.errors.DataError, match="data: expected those of the history in"):
        SymmetryTracker([{"x": 2 * UNIT[0]["x"]}], **QUICK, layers="layer", out=tmp_path)


def test_a_run_that_goes_back_to_a_checkpoint_replaces_what_came_after(tmp_path):
    run(tmp_path, range(11))
    run(tmp_path, range(4, 7))
    assert [point.step for point in History.load(tmp_path)] == [0, 1, 2, 3, 4, 6]
    with pytest.warns(RuntimeWarning, match="is begun anew from step 0; it went to step 6"):
        run(tmp_path, [0])
    assert [point.step for point in History.load(tmp_path)] == [0]


def test_a_torn_line_is_no_line_wherever_it_is_torn(tmp_path):
    path = tmp_path / FILE
    journal = Journal(path)
    journal.append({"kind": "first"})
    whole = path.read_bytes()
    journal.append({"kind": "second", "values": [1.5, 2.5]})
    full = path.read_bytes()
    for end in range(len(full)):
        path.write_bytes(full[:end])
        reader = Journal(path)
        assert len(reader.records) == (0 if end < len(whole) else 1)
        reader.append({"kind": "third"})
        assert [r["kind"] for r in Journal(path).records] == [*(["first"] if end >= len(whole) else []), "third"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_while_writing_loses_at_most_the_line_that_was_being_written(tmp_path):
    path = tmp_path / FILE
    for wait in (0.005, 0.01, 0.02):
        child = os.fork()
        if child == 0:
            journal = Journal(path)
            while True:
                journal.append({"n": len(journal.records), "filling": "x" * 20000})
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert all(len(record["filling"]) == 20000 for record in Journal(path).records)
    Journal(path).append({"n": 0, "filling": "y" * 20000})
    assert Journal(path).records[-1]["filling"][0] == "y"


def test_a_history_that_was_altered_is_refused(tmp_path):
    run(tmp_path, [0, 1])
    path = tmp_path / FILE
    path.write_text(path.read_text().replace('"step": 0', '"step": 9', 1))
    with pytest.raises(eq.errors.DataError, match="line 2: expected a line as it was written, got an altered one"):
        History.load(tmp_path)
    with pytest.raises(eq.errors.DataError, match=r"directory: expected a directory with a history\.jsonl"):
        History.load(tmp_path / "elsewhere")


def test_two_runs_do_not_write_into_one_file(tmp_path):
    one, other = (SymmetryTracker(UNIT, **QUICK, every=1, out=tmp_path) for _ in range(2))
    one.step(Leaning(), 0)
    with pytest.warns(RuntimeWarning, match="a history that one run writes"):
        other.step(Leaning(), 0)
    one.step(Leaning(), 1)
    assert [point.step for point in History.load(tmp_path)] == [0, 1]


class Metrics:
    def __init__(self, method, *names):
        self.got = []
        setattr(self, method, lambda *values: self.got.append(values))


def test_scalars_reach_every_kind_of_logger():
    sinks = {method: Metrics(method) for method in ("add_scalar", "log_metrics", "log_dict", "log")}
    called = []
    found = SymmetryTracker(UNIT, **QUICK, layers="layer", loggers=[*sinks.values(), called.append])
    scalars = found.step(Leaning(), 3).scalars()
    assert scalars == found.history.scalars(found.history.points[0]) == called[0]
    assert scalars["symmetry/energy/rmse"] == pytest.approx(1 / math.sqrt(3)) and scalars["symmetry/step"] == 3
    assert scalars["symmetry/layer/share/1o"] == pytest.approx(0.25)
    assert {name: value for name, value, step in sinks["add_scalar"].got if step == 3} == scalars
    assert sinks["log_metrics"].got == [(scalars, 3)]
    assert sinks["log_dict"].got == sinks["log"].got == [(scalars,)]


def test_a_logger_that_fails_ends_no_run():
    def broken(scalars):
        raise OSError("no network")

    found = SymmetryTracker(UNIT, **QUICK, every=1, loggers=[broken])
    with pytest.warns(RuntimeWarning, match="did not take the scalars of step 0: OSError: no network") as all_:
        found.step(Leaning(), 0), found.step(Leaning(), 1)
    assert len(all_) == 1 and len(found.history) == 2


def test_the_table_holds_what_the_curves_hold(tmp_path):
    history = run(tmp_path, range(4))
    rows = list(csv.DictReader(io.StringIO(history.to_csv(tmp_path / "table.csv"))))
    assert (tmp_path / "table.csv").read_text() == history.to_csv()
    energy = [row for row in rows if row["name"] == "energy"]
    assert [float(row["rmse"]) for row in energy] == history.curves("energy").rmse.tolist()
    assert [float(row["share 1o"]) for row in rows if row["name"] == "layer"] == history.curves("layer").shares[
        :, 1, 0
    ].tolist()
    assert {row["kind"] for row in rows} == {"output", "layer"} and energy[0]["verdict"] == "breaks"


def test_a_page_needs_nothing_else_and_shows_every_point(tmp_path, monkeypatch):
    history = run(tmp_path, range(5))
    history.points[0].audit.settings["model"] = history.points[-1].audit.settings["model"] = "<script>"
    history.save(tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert page.count("<script") == 1 and "&lt;script&gt;" in page
    beside = {path.name for path in tmp_path.iterdir()} - {"index.html"}
    assert set(re.findall(r'(?:src|href)="(?!#|data:)([^"]*)"', page)) == beside
    assert all(f'<th scope="row">{point.step}</th>' in page for point in history)
    assert page.count("<svg") == 3 and page.count("<figcaption") == 3
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {FILE, "index.html", "history.csv", "errors.png", "sectors.png", "layers.png"}
    monkeypatch.setattr(files, "figures", lambda history: {})
    assert len(History.load(history.save(tmp_path / "copy"))) == len(history)
    history.save(tmp_path)
    assert not list(tmp_path.glob("*.png"))  # none that belongs to another page


def test_pictures_are_as_wide_as_a_column_and_choose_what_they_are_asked_for(tmp_path):
    history = run(tmp_path, range(5))
    for kind in ("errors", "sectors", "layers"):
        assert history.plot(kind).get_size_inches()[0] == pytest.approx(3.4)
    assert len(history.plot("sectors", names=["layer"]).axes) == 1
    assert [axes.get_title(loc="left") for axes in history.plot("layers", steps=[0, 2]).axes[:2]] == ["step 0", "2"]
    lines = history.plot("errors").axes[0].get_lines()
    assert any(np.allclose(line.get_ydata(), history.curves("energy").rmse) for line in lines)
    for arguments, message in [
        (("pie",), "kind: expected one of errors, layers, sectors"),
        (("sectors", ["forces"]), "names: expected names of outputs or layers"),
        (("errors", None, [0]), "steps: expected None where kind is 'errors'"),
        (("layers", None, [5]), "step: expected a step of this history"),
    ]:
        with pytest.raises(eq.errors.ArgumentError, match=message):
            history.plot(*arguments)
    with pytest.raises(eq.errors.ArgumentError, match="'errors' needs a point"):
        History().plot("errors")


def test_other_ranks_go_on_at_once(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    found = SymmetryTracker(UNIT, **QUICK)
    assert found.step(Leaning(), 0) is None and len(found.finish(Leaning(), 5)) == 0


def test_without_lightning_a_callback_says_what_to_install(monkeypatch):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(eq.errors.MissingExtraError, match="pip install lightning"):
        SymmetryTracker(UNIT, **QUICK).callback()


def test_the_callback_follows_the_steps_of_the_trainer(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning.pytorch", types.SimpleNamespace(Callback=object))
    sink = Metrics("log_metrics")
    found = SymmetryTracker(UNIT, **QUICK)
    trainer, module = types.SimpleNamespace(global_step=0, loggers=[sink]), types.SimpleNamespace(net=Leaning())
    callback = found.callback("net")
    callback.on_train_start(trainer, module)
    for trainer.global_step in range(1, 6):
        callback.on_train_batch_end(trainer, module, None, None, 0)
    callback.on_train_end(trainer, module)
    assert [point.step for point in found.history] == [step for _, step in sink.got] == [0, 1, 2, 3, 4, 5]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_lightning_trains_the_same_with_and_without_the_tracker():
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = Restless()

        def training_step(self, x):
            return self.net(x)["energy"].square().mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.net.net.parameters(), 1e-2)

    def fit(tracked):
        lightning.seed_everything(0, verbose=False)
        module, found = Module(), SymmetryTracker([{"x": torch.eye(3)}], **QUICK)
        trainer = lightning.Trainer(
            max_steps=10, callbacks=[found.callback("net")] if tracked else [], accelerator="cpu", logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, torch.utils.data.DataLoader(torch.randn(80, 3, 3), batch_size=8, shuffle=True))
        assert len(found.history) == (7 if tracked else 0)
        return bits([module.state_dict(), torch.rand(2)])

    assert fit(True) == fit(False)


def one_rank(rank, directory, tracked):
    """A short run of two processes; what rank 0 has at the end."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{directory}/{tracked}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(Restless(), broadcast_buffers=False, find_unused_parameters=True)
    optimiser = torch.optim.SGD(model.parameters(), 1e-2)
    found = SymmetryTracker([{"x": torch.eye(3)}], **QUICK, out=f"{directory}/history") if tracked else None
    torch.manual_seed(rank)
    for n in range(5):
        if found is not None:
            found.step(model, n)
        optimiser.zero_grad()
        model(torch.randn(8, 3, 3))["energy"].square().mean().backward()
        optimiser.step()
    if found is not None:
        assert len(found.history) == (5 if rank == 0 else 0)
    torch.save(model.module.state_dict(), f"{directory}/{tracked}-{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_train_the_same_and_the_first_one_audits(tmp_path):
    for tracked in (True, False):
        torch.multiprocessing.spawn(one_rank, (str(tmp_path), tracked), nprocs=2)
    for rank in (0, 1):
        one, other = (torch.load(tmp_path / f"{tracked}-{rank}.pt", weights_only=True) for tracked in (True, False))
        assert bits(one) == bits(other)
    assert [point.step for point in History.load(tmp_path / "history")] == [0, 1, 2, 3, 4]


def test_a_model_without_modules_is_tracked_as_well():
    found = SymmetryTracker(UNIT, **QUICK, batching="loop")
    assert found.step(lambda x: {"energy": x.square().sum()}, 0).audit.outputs["energy"].verdict == "exact"


def test_settings_are_json_and_no_warning_is_left():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = SymmetryTracker(iter(UNIT), **QUICK, call=lambda model, batch: model(**batch), every=1)
        found.step(Leaning(), 0), found.step(Leaning(), 1)
    assert json.dumps(found.history.settings) and len(found.history) == 2

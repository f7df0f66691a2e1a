"""An audit that is stopped keeps the systems that had ended."""

from __future__ import annotations

import signal
import sys

import pytest
import torch

import equiscope as eq
from equiscope import cli
from equiscope.interrupts import Terminated, terminable, undisturbed

SYSTEMS = [
    (f"s{i}", torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(i))) for i in range(20)
]
ASKED = {"inputs": "vector", "outputs": "scalar", "lmax": 1, "batch_rows": 60, "progress": False}


class Stopping:
    """A model with an error that is interrupted when it meets a system for the first time."""

    def __init__(self, at: int, how=lambda: (_ for _ in ()).throw(KeyboardInterrupt)) -> None:
        self.size, self.how = float(SYSTEMS[at][1].norm()), how

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if (torch.linalg.vector_norm(x, dim=(-1, -2)) - self.size).abs().min() < 1e-9:
            self.how()
        return (x[..., 0] * x[..., 1] ** 2).sum(-1, keepdim=True)[..., 0]


def unbroken(systems: int, **settings) -> eq.Audit:
    return eq.audit(Stopping(0, lambda: None), SYSTEMS[:systems], **ASKED, **settings)


@pytest.fixture
def saved(monkeypatch):
    """Audits that were to be saved: the pages of all would take longer than all the rest."""
    kept = []
    monkeypatch.setattr(eq.Audit, "save", lambda audit, directory, formats: kept.append(audit))
    return kept


@pytest.mark.parametrize(
    "settings",
    [
        {"degree": 6},
        {"degree": "auto", "tolerance": 0.5},
        {"estimator": "monte-carlo", "rotations": 32},
    ],
)
def test_an_interrupted_audit_holds_all_of_the_systems_that_ended(tmp_path, saved, settings):
    with pytest.raises(KeyboardInterrupt, match=r"stopped after 1[0-2] of 20 systems, which are saved in"):
        eq.audit(Stopping(12), SYSTEMS, **ASKED, **settings, out=tmp_path)
    (kept,) = saved
    count = len(kept.systems)
    whole = {row.name: row for row in unbroken(20, **settings).systems}
    assert [row.name for row in kept.systems] == [f"s{i}" for i in range(count)]
    for row in kept.systems:
        assert row.outputs["output"]["rmse"] == pytest.approx(whole[row.name].outputs["output"]["rmse"], rel=1e-9)
    mean = sum(row.outputs["output"]["rmse"] ** 2 for row in kept.systems) / count
    assert kept.outputs["output"].rmse == pytest.approx(mean**0.5, rel=1e-12)
    # some ran again at a finer degree, and the last may have ended without being settled
    assert count <= sum(kept.settings.get("degrees", {"": count}).values()) <= 2 * count


def test_a_partial_audit_says_what_it_is_in_table_page_and_settings(tmp_path):
    with pytest.raises(KeyboardInterrupt, match="which are saved in"):
        eq.audit(Stopping(12), SYSTEMS, **ASKED, degree=6, out=tmp_path)
    kept = eq.Audit.load(tmp_path)
    told = f"{len(kept.systems)} of 20 systems"
    assert kept.settings["stopped_after"] == told and f"stopped after {told}" in str(kept)
    page = (tmp_path / "index.html").read_text()
    assert page.count(told) >= 3  # facts, warnings, settings


def test_nothing_is_saved_where_no_system_had_ended(tmp_path, saved):
    with pytest.raises(KeyboardInterrupt, match="stopped before any system had ended"):
        eq.audit(Stopping(0), SYSTEMS, **ASKED, degree=6, out=tmp_path)
    assert saved == []


def test_without_a_place_to_save_the_interrupt_is_the_models_own():
    with pytest.raises(KeyboardInterrupt) as stop:
        eq.audit(Stopping(5), SYSTEMS, **ASKED, degree=6)
    assert stop.value.args == ()


def test_sigterm_saves_and_ends_as_it_asks(tmp_path, saved):
    ending = Stopping(8, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Terminated) as stop:
        eq.audit(ending, SYSTEMS, **ASKED, degree=6, out=tmp_path)
    assert stop.value.code == 143 and str(stop.value).startswith("stopped after")
    assert str(Terminated()) == "stopped by SIGTERM"
    assert 6 <= len(saved[0].systems) <= 8
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_handler_of_somebody_else_is_left_in_place():
    def own(number, frame): ...

    previous = signal.signal(signal.SIGTERM, own)
    try:
        with terminable():
            assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, previous)


@pytest.mark.parametrize("number, raised", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_signals_wait_for_the_end_of_what_must_not_be_halved(number, raised):
    reached = []
    with terminable(), pytest.raises(raised), undisturbed():
        signal.raise_signal(number)
        reached.append("the end")
    assert reached == ["the end"]


SLOW = """
import os, pathlib, signal
def make():
    calls = []
    def model(positions):
        calls.append(0)
        if len(calls) == 60:
            os.kill(os.getpid(), int(pathlib.Path("number").read_text()))
        return {"e": (positions[..., 0] * positions[..., 1] ** 2).sum(-1)}
    return model
"""


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_line_says_what_is_left_of_the_audit(tmp_path, saved, monkeypatch, capsys, number, code):
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "number").write_text(str(int(number)))
    frames = "\n".join(f"1\n\nH {i + 1}.0 0.5 0.25" for i in range(40))
    (tmp_path / "many.xyz").write_text(frames + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    asked = ["audit", "slow:make", "many.xyz", "--outputs", "e=scalar", "--lmax", "0", "--degree", "4"]
    monkeypatch.setattr(sys, "argv", ["equiscope", *asked, "--batching", "stack", "--batch-rows", "150", "-o", "out"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    sys.modules.pop("slow", None)
    shown = capsys.readouterr().err
    assert ended.value.code == code, shown
    told = saved[0].settings["stopped_after"]
    assert f"stopped after {told}, which are saved in 'out'" in shown and told.endswith(" of 40 systems")

"""Audits in several threads: right numbers or a refusal, and models left as they were."""

import copy
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import equiscope as eq
from equiscope.errors import ArgumentError
from equiscope.inuse import in_use

POINTS = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
SETTINGS = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar"}, "lmax": 2, "degree": 6, "progress": False}
REFUSED = r"model: expected a module that no other audit is using .*deepcopy.*, got .*in use: "


class Model(torch.nn.Module):
    """`during` is called in the middle of every forward pass."""

    def __init__(self, during=lambda: None):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 6).double()
        self.during = during

    def forward(self, x):
        hidden = torch.tanh(self.layer(x))
        self.during()
        return {"u": hidden.sum((-1, -2))}


def audit(model, **settings):
    return eq.audit(model, [{"x": POINTS}] * 2, **{**SETTINGS, "layers": "**", **settings})


def numbers(report):
    return report.outputs["u"].rmse, report.layers["layer"].power


def equal(a, b):
    return a[0] == b[0] and torch.equal(a[1], b[1])


def untouched(model):
    return all(part.training and not part._forward_hooks for part in model.modules())


def in_thread(function, *arguments):
    """What `function` gives or raises in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result(timeout=60)


def test_four_threads_on_one_model_get_the_right_numbers_or_a_refusal():
    model = Model(during=lambda: time.sleep(0.001)).train()
    expected = numbers(audit(model))

    def one(_):
        try:
            return numbers(audit(model))
        except ArgumentError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(40)))
    refused = [result for result in found if isinstance(result, ArgumentError)]
    right = [result for result in found if not isinstance(result, ArgumentError)]
    assert right and refused
    assert all(equal(result, expected) for result in right)
    assert all("no other audit is using" in str(error) for error in refused)
    assert untouched(model)
    assert equal(numbers(audit(model)), expected)


def test_copies_of_a_model_are_audited_side_by_side():
    expected = numbers(audit(Model()))
    model = Model()
    models = [copy.deepcopy(model), copy.deepcopy(model)]
    both = threading.Barrier(2, timeout=60)
    for own in models:
        waiting = iter([both.wait])  # in the first call only
        own.during = lambda waiting=waiting: next(waiting, bool)()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda own: numbers(audit(own)), models))
    assert all(equal(result, expected) for result in found)


@pytest.mark.parametrize("elsewhere", [True, False], ids=["another thread", "the same thread"])
@pytest.mark.parametrize("wrapped", [True, False], ids=["a part", "the whole"])
def test_a_second_audit_of_a_module_in_use_is_refused_and_the_first_goes_on(elsewhere, wrapped):
    refusals = []

    def again():
        other = torch.nn.Sequential(model.layer) if wrapped else model
        with pytest.raises(ArgumentError, match=REFUSED + ("0" if wrapped else "all of it")):
            eq.audit(other, [POINTS], inputs="vector", outputs={"y": "invariant"}, lmax=1, degree=6)
        refusals.append(other)

    model = Model(during=lambda: in_thread(again) if elsewhere else again()).train()
    found = numbers(audit(model))
    assert refusals and untouched(model)
    assert equal(found, numbers(audit(Model())))


def test_a_module_is_free_again_after_a_failure():
    model = Model(during=lambda: 1 / 0).train()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            audit(model)
        assert untouched(model)


def test_what_fails_before_the_first_system_leaves_the_module_free():
    class Failing(eq.adapters.PlainAdapter):
        def hooked(self):
            raise RuntimeError("no hooks today")

    model = Model().train()
    with pytest.raises(RuntimeError, match="no hooks today"):
        eq.audit(Failing(model, [{"x": POINTS}], inputs={"x": "vector"}), None, layers="**", lmax=1, degree=6)
    assert untouched(model)
    audit(model)


@pytest.mark.parametrize("elsewhere", [True, False], ids=["in another thread", "while data are read"])
def test_calls_that_the_audit_did_not_make_are_not_heard(elsewhere):
    expected = numbers(audit(Model()))
    model = Model().eval()
    if elsewhere:
        model.during = lambda: in_thread(model.layer, torch.zeros(5, 3, dtype=torch.float64))

    def data():
        for _ in range(2):
            if not elsewhere:
                model.layer(torch.zeros(5, 3, dtype=torch.float64))
            yield {"x": POINTS}

    report = eq.audit(model, data(), layers="**", **SETTINGS)
    assert list(report.layers) == ["layer"] and not report.warnings
    assert equal(numbers(report), expected)


def test_a_layer_that_the_model_runs_in_a_thread_of_its_own_is_left_out_by_name():
    class Threaded(Model):
        def forward(self, x):
            return {"u": in_thread(super().forward, x)["u"]}

    report = audit(Threaded().eval(), layers="layer")
    assert not report.layers
    assert report.warnings == ["layer layer was left out: its module is called in other threads than the audit's"]


def test_an_atomistic_model_is_guarded_while_its_adapter_is_made():
    from toy_atomistic import toy

    from equiscope.adapters.metatomic import MetatomicAdapter

    water = {"types": [8, 1, 1], "positions": [[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.1, -0.7, -0.5]]}
    model = toy()
    with in_use(model.module), pytest.raises(ArgumentError, match=REFUSED + "all of it"):
        in_thread(MetatomicAdapter, model, [water])
    MetatomicAdapter(model, [water])


FORK = """
import os, torch
from equiscope.inuse import in_use
module = torch.nn.Linear(3, 3)
with in_use(module):
    child = os.fork()
    if child == 0:
        with in_use(module):
            os._exit(0)
    _, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
"""


def test_the_child_of_a_fork_is_not_bound_by_audits_of_its_parent():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)

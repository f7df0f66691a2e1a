"""Limits on errors: what passes, what fails, and what cannot be told."""

from __future__ import annotations

import math

import pytest
from report_builder import output

from equiscope.report import Audit, Failure
from equiscope.report.summary import passes, verdict_line
from equiscope.result.limits import check, parse_limit


def held(text: str, *, failures=(), constant=(), **changes):
    """The check of an output with RMSE 0.02 and size 1."""
    found = output("y", "scalar", (0, 1), relative=0.02)
    for name, value in changes.items():
        setattr(found, name, value)
    audit = Audit(outputs={"y": found}, layers={}, systems=[], failures=list(failures))
    (only,) = check(audit, [parse_limit(text)], constant)
    return audit, only


@pytest.mark.parametrize("text", ["1%", "y=1%", "y=0.01"])
def test_an_error_fails_where_all_of_its_interval_lies_above(text):
    assert not held(text, rmse_error=0.0099)[1].passed
    _, found = held(text, rmse_error=0.0101)
    assert found.passed and found.reason == "above the limit, but not beyond its error"


def test_a_number_below_that_may_lie_above_says_so():
    _, found = held("y=0.025", rmse_error=0.01)
    assert found.passed and found.reason == "its error reaches above the limit"


def test_an_error_that_is_not_known_excuses_nothing():
    assert not held("1%", rmse_error=math.nan)[1].passed


def test_what_shows_nothing_fails():
    assert "could not be measured" in held("99%", rmse=math.nan)[1].reason
    _, dead = held("99%", total=0 * output("y", "scalar", (0, 1), relative=0.02).total, rmse=0.0, responds=False)
    assert not dead.passed and "zero for every input" in dead.reason


@pytest.mark.parametrize("stochastic", [False, True])
def test_what_depends_on_nothing_that_is_turned_fails_unless_it_is_meant_to(stochastic):
    unreached = {"rmse": 0.0, "depends": False, "stochastic": stochastic, "noise_floor": 1e-9}
    audit, found = held("1%", **unreached)
    assert not found.passed and found.reason.startswith("depends on nothing that is turned")
    assert "--constant y" in verdict_line(audit, [found])
    audit, found = held("1%", constant=["y"], **unreached)
    assert found.passed and "constant, as it is meant to be" in verdict_line(audit, [found])


def test_being_meant_to_be_constant_excuses_no_error():
    assert not held("1%", constant=["y"], depends=False)[1].passed


def test_noise_passes_whatever_the_limit():
    _, found = held("y=1e-9", noise_floor=0.02)
    assert found.passed and found.reason == "within noise"


def test_jumps_by_rounding_pass_as_other_noise_does():
    _, found = held("y=1e-9", noise_floor=0.02, jumps=True)
    assert found.passed and found.reason == "within its jumps by rounding of the input"


def test_a_limit_is_not_kept_by_the_systems_that_were_left():
    audit, found = held("5%", failures=[Failure("bad", "y", "NaN")])
    assert found.passed and not passes(audit, [found])
    assert verdict_line(audit, [found]) == "FAIL: 1 system failed"
    assert passes(audit, [])


def test_of_many_outputs_those_that_could_show_no_error_are_named_in_the_last_line():
    outputs = {name: output(name, "scalar", (0, 1), relative=0.0) for name in "abcdef"}
    outputs["b"].depends = outputs["e"].depends = False
    line = verdict_line(Audit(outputs=outputs, layers={}, systems=[]))
    assert line == "verdict: none of 6 outputs is seen to break its symmetry; 2 could show no error (b, e)"
    few = {name: outputs[name] for name in "ab"}
    assert verdict_line(Audit(outputs=few, layers={}, systems=[])).endswith("but depends on nothing that is turned")

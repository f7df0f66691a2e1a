"""Values of one shape are asked together, and each has its own answer."""

import pytest
import torch

from equiscope.probe import stacked
from equiscope.probe.stacked import Stacked, differ


@pytest.fixture(params=[stacked.STACKED_BYTES, 1])
def values(request, monkeypatch):
    monkeypatch.setattr(stacked, "STACKED_BYTES", request.param)
    shapes = {"a": (4, 3, 2), "b": (4, 5), "c": (4, 3, 2), "d": (4, 3, 2), "e": (4, 3, 2)}
    found = {
        name: torch.arange(60.0)[: torch.Size(shape).numel()].reshape(shape) + i
        for i, (name, shape) in enumerate(shapes.items())
    }
    return {**found, "d": found["d"].double()}


def test_values_are_copied_and_keep_their_order_shape_and_dtype(values):
    own = Stacked.of(values)
    assert list(own) == list(values) and own.dtypes == {name: value.dtype for name, value in values.items()}
    before = {name: value.clone() for name, value in values.items()}
    for value in values.values():
        value.zero_()
    assert all(torch.equal(own[name], before[name]) and own[name].dtype == before[name].dtype for name in before)


def test_as_many_values_lie_together_as_fit_by_what_each_copy_takes(monkeypatch):
    monkeypatch.setattr(stacked, "STACKED_BYTES", 40)
    own = Stacked.of({name: torch.zeros(2, 5) for name in "abc"})
    assert [names for names, _ in own.stacks] == [("a", "b"), ("c",)]


def test_each_name_has_its_own_answer(values):
    own = Stacked.of(values)
    assert own.ask(lambda stack: stack.flatten(1).sum(1).double()) == {n: float(v.sum()) for n, v in values.items()}
    some = own.only(["e", "b"])
    assert list(some) == ["b", "e"] and all(torch.equal(some[name], values[name]) for name in some)
    assert list(own.without({"b", "a"})) == ["c", "d", "e"]
    for which in (slice(1, 3), torch.tensor([2, 0])):
        assert all(torch.equal(value, values[name][which]) for name, value in own.copies(which).items())
    assert all(torch.equal(value, values[name][2]) for name, value in own.at(2).items())


def test_only_what_is_on_both_sides_is_compared_and_joined(values):
    own = Stacked.of(values)
    other = Stacked.of({name: values[name] + (name == "c") for name in ("e", "c", "b")})
    assert own.compare(other, differ) == {"b": False, "c": True, "e": False}
    joined = own.joined(other)
    assert list(joined) == ["b", "c", "e"]
    assert all(torch.equal(joined[n], torch.cat([values[n], other[n]])) for n in joined)
    missing = Stacked.of({"b": torch.full((4, 5), torch.nan)})
    assert missing.compare(missing, differ) == {"b": True} and not own.compare(Stacked.of({}), differ)

"""A digest tells models, systems and settings apart, and is the same in every process."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import numpy as np
import pytest
import torch

from equiscope.fingerprint import fingerprint, told


def linear(bias=0.0):
    torch.manual_seed(0)
    found = torch.nn.Linear(3, 2)
    with torch.no_grad():
        found.bias += bias
    return found


class Cut(torch.nn.Module):
    def __init__(self, radius):
        super().__init__()
        self.radius = radius

    def forward(self, x):
        return x


class Other(Cut):
    def forward(self, x):
        return x + 1


class Further(Other):
    """Of the same name as the one that it is made from, as a file that was changed holds it."""

    def forward(self, x):
        return self.grown(x)

    def grown(self, x):
        return x + 2


class Furthest(Further):
    def grown(self, x):
        return x + 3


Furthest.__qualname__ = Further.__qualname__


@dataclasses.dataclass
class Settings:
    width: int


class Plain:
    def __init__(self, size):
        self.size = size

    def __call__(self, x):
        return x * self.size


class Slots:
    __slots__ = ("size",)

    def __init__(self, size):
        self.size = size

    def __repr__(self):
        return f"Slots({self.size})"


class Changed(Plain):
    def __call__(self, x):
        return x / self.size


Changed.__qualname__ = Plain.__qualname__


def powers(n):
    return lambda x: x**n


def scaled(x, by):
    return x * by


DIFFERENT = [
    linear(), linear(1e-6), linear().double(), torch.nn.Sequential(linear()), Cut(1.0), Cut(2.0), Other(1.0),
    lambda x: x + 1, lambda x: x + 2, lambda x: x - 1, powers(2), powers(3),
    functools.partial(scaled, by=2), functools.partial(scaled, by=3), functools.partial(math.pow, 2),
    Cut((1.0, 2.0)), Cut((1.0, 3.0)), Cut({"a": 1}), Cut({"a": 2}), Cut(torch.tanh), Cut(torch.nn.functional.silu),
    Cut(Settings(1)), Cut(Settings(2)), Further(1.0), Furthest(1.0), Changed(1),
    Plain(1), Plain(2), Plain(1).__call__, Slots(1), Slots(2), np.float32(1.0), np.float64(1.0),
    torch.zeros(2), torch.zeros(1, 2), torch.zeros(2, dtype=torch.float64), np.zeros(2), [0.0, 0.0], (0.0, 0.0),
    {"x": torch.zeros(2)}, {"y": torch.zeros(2)}, None, "a", b"a", {1, 2}, [1, 2], torch.float32, torch.float64,
]  # fmt: skip


def test_what_is_different_has_another_digest():
    digests = [fingerprint(value) for value in DIFFERENT]
    alike = [(i, j) for (i, a), (j, b) in itertools.combinations(enumerate(digests), 2) if a == b]
    assert not alike


def test_a_function_is_what_it_calls_too():
    def file(power):
        names = {"__name__": "model"}
        exec(f"calls = {power}\ndef helper(x): return x**{power}\ndef energy(x): return helper(x)", names)
        return names

    assert fingerprint(file(2)["energy"]) != fingerprint(file(3)["energy"])
    counted = file(2)
    before = fingerprint(counted["energy"])
    counted["calls"] += 1
    assert fingerprint(counted["energy"]) == before  # a counter is no part of it


def test_what_is_equal_has_the_same():
    for make in (
        linear,
        lambda: Cut(1.0),
        lambda: powers(2),
        lambda: functools.partial(scaled, by=2),
        lambda: Plain(1),
    ):
        assert fingerprint(make()) == fingerprint(make())
    trained = linear().train()
    assert fingerprint(trained) == fingerprint(trained.eval())


def test_the_digest_of_a_set_does_not_depend_on_the_hashes_of_this_process():
    # which are others in every process: these are what another one gave
    assert fingerprint({"one", "two", "three", "four"}) == SET and told({"b", "a", "c"}) == ["a", "b", "c"]

    def chooses(x):
        return x in {"one", "two", "three", "four"}

    assert fingerprint(chooses.__code__.co_consts) == fingerprint((None, frozenset(("four", "three", "two", "one"))))


SET = "2ee17da53ae3ffe8"


def test_what_holds_itself_has_a_digest():
    own = Plain(1)
    own.size = [own, torch]
    assert len(fingerprint(own)) == 16

    def again(n):
        return again(n - 1)

    assert fingerprint(again) == fingerprint(again)


@pytest.mark.parametrize("value, expected", [(torch.float32, "torch.float32"), (scaled, f"{__name__}.scaled"), (1, 1)])
def test_settings_are_told_as_plain_values(value, expected):
    assert told(value) == expected

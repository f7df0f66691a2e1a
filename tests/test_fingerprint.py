"""A digest tells models, systems and settings apart, and is the same in every process."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import functools
import itertools
import math
import os
import random
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import torch

from equiscope.fingerprint import Digest, fingerprint, told


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


class Bare:
    __slots__ = ("size",)

    def __init__(self, size):
        self.size = size


class Kind(enum.Enum):
    ONE = 1
    TWO = 2


class Classwide(Cut):
    cutoff = 5.0

    def forward(self, x, scale=2.0):
        return scaled(x, scale)


class Wider(Classwide):
    cutoff = 6.0


class Rescaled(Classwide):
    def forward(self, x, scale=3.0):
        return scaled(x, scale)


for _changed in (Wider, Rescaled):
    _changed.__qualname__ = Classwide.__qualname__


def powers(n):
    return lambda x: x**n


def remembered(n):
    return functools.lru_cache(lambda x: x**n)


def shifted(by):
    def shift(x, *, by=by):
        return x + by

    return shift


def loader(data):
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data))


class Scripted(torch.nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by, self.linear = by, linear()

    def forward(self, x):
        return self.linear(x) * self.by


class Added(Scripted):
    def forward(self, x):
        return self.linear(x) + self.by


def traced(model):
    return torch.jit.trace(model, torch.zeros(1, 3))


ONE, TWO = Plain(1), Plain(2)


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
    Cut(Plain(1)), Cut(Plain(2)), Cut(Bare(1)), Cut(Bare(2)), Cut([{"a": Bare(1)}]), Cut([{"a": Bare(2)}]),
    Cut(torch.zeros(1)), Cut(torch.ones(1)), Cut(np.zeros(1)), Cut([linear()]), Cut([linear(1.0)]), Cut(Kind.ONE),
    Cut(Kind.TWO), Kind.ONE, Kind.TWO, Bare(1), Bare(2), powers(Bare(1)), powers(Bare(2)), shifted(1), shifted(2),
    functools.partial(scaled, by=Bare(1)), functools.partial(scaled, by=Bare(2)), remembered(1), remembered(2),
    Classwide(1.0), Wider(1.0), Rescaled(1.0), Cut(Plain), Cut(Changed), [[1], 2], [[1, 2]], {Bare: 1}, {Kind: 1},
    [ONE, TWO, ONE], [ONE, TWO, TWO], collections.deque([1]), collections.deque([2]), collections.OrderedDict(a=1),
    datetime.timedelta(1), datetime.timedelta(2), torch.distributions.Normal(0.0, 1.0), range(2), range(3),
    torch.distributions.Normal(0.0, 2.0), torch.zeros(2, dtype=torch.bfloat16), torch.eye(2).to_sparse(),
    torch.zeros(0), torch.tensor(0.0), torch.tensor(1j), torch.tensor(-1j), torch.tensor(1j).conj()[None],
    {Kind.ONE, Kind.TWO}, {Kind.ONE}, Plain([ONE]).__call__, [1].append, [2].append,
    Cut(types.MappingProxyType({1: 2})), Bare.size, types.FunctionType.__code__,
    torch.compile(Cut(1.0)), torch.compile(Cut(2.0)), torch.compile(powers(2)), torch.compile(powers(3)),
    loader(torch.zeros(2)), loader(torch.ones(2)),
    *(make(kind(by).eval()) for make in (torch.jit.script, lambda m: torch.jit.freeze(torch.jit.script(m)), traced)
      for kind in (Scripted, Added) for by in (2.0, 3.0)),
]  # fmt: skip


def test_what_is_different_has_another_digest():
    digests = [fingerprint(value) for value in DIFFERENT]
    alike = [(i, j) for (i, a), (j, b) in itertools.combinations(enumerate(digests), 2) if a == b]
    assert not alike


def test_the_digest_is_the_same_in_another_process():
    told = "import test_fingerprint as t; print(*map(t.fingerprint, t.DIFFERENT))"
    # the hash of a word, and with it the order of sets, is another one there
    found = subprocess.run(
        [sys.executable, "-c", told],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    there, here = found.stdout.split(), [fingerprint(value) for value in DIFFERENT]
    assert [i for i, (a, b) in enumerate(zip(here, there, strict=True)) if a != b] == []


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
        lambda: torch.jit.script(Scripted(2.0)),
    ):
        assert fingerprint(make()) == fingerprint(make())
    used = Cut(np.random.default_rng(0)), Cut(np.random.default_rng(0)), Cut(random.Random(0)), Cut(random.Random(0))
    used[0].radius.random(), used[2].radius.random()
    assert fingerprint(used[0]) == fingerprint(used[1]) and fingerprint(used[2]) == fingerprint(used[3])
    assert fingerprint(Cut(torch.device("cuda:0"))) == fingerprint(Cut(torch.device("cuda:1")))
    trained = linear().train()
    assert fingerprint(trained) == fingerprint(trained.eval())


def test_the_digest_of_a_set_does_not_depend_on_the_hashes_of_this_process():
    # which are others in every process: these are what another one gave
    assert fingerprint({"one", "two", "three", "four"}) == SET and told({"b", "a", "c"}) == ["a", "b", "c"]

    def chooses(x):
        return x in {"one", "two", "three", "four"}

    assert fingerprint(chooses.__code__.co_consts) == fingerprint((None, frozenset(("four", "three", "two", "one"))))


SET = "39ffd38fac6a257e"


def test_what_says_nothing_of_itself_is_named():
    lock = threading.Lock()
    for secret, kind in ((lock, "_thread.lock"), ({lock}, "_thread.lock"), ((i for i in ()), "builtins.generator")):
        found = Digest(Cut([{"a": secret}]))
        assert found.unread == {kind} and found.text == Digest(Cut([{"a": secret}])).text
    assert not any(Digest(value).unread for value in DIFFERENT)


class Endless:
    """Another one at every look."""

    def __getstate__(self):
        return {"next": Endless()}


def test_what_holds_itself_has_a_digest(monkeypatch):
    own = Plain(1)
    own.size = [own, torch]
    assert len(fingerprint(own)) == 16

    def again(n):
        return again(n - 1)

    assert fingerprint(again) == fingerprint(again)
    lists = [1]
    lists.append({"lists": lists, "set": {Plain(lists)}})
    assert fingerprint(lists) == fingerprint(lists)
    chain = None
    for _ in range(3000):
        chain = [Plain(chain)]
    assert len(fingerprint(chain)) == 16
    monkeypatch.setattr("equiscope.fingerprint.MANY", 100)
    assert Digest(Endless()).unread == {f"{__name__}.Endless"}


def test_settings_are_told_as_plain_values():
    assert told(torch.float32) == "torch.float32" and told(1) == 1 and told(Slots(1)) == "Slots(1)"
    assert told(scaled) == f"{__name__}.scaled {fingerprint(scaled)}"
    assert told({"a": [Plain(1)]}) == {"a": [f"{__name__}.Plain {fingerprint(Plain(1))}"]}

"""Adapters: found without a list of them, and written by a stranger in one file."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.emt import EMT

import equiscope as eq
from equiscope.adapters import Adapter, Kind, Piece, PlainAdapter, Request, System, register, unregister
from equiscope.adapters.registry import import_modules, registered
from equiscope.errors import ArgumentError, DataError
from equiscope.groups.representation import Representation

CHARGES = np.array([1.0, -2.0, 0.5])


class Potential:
    """A model that speaks numpy, one configuration at a time, and is no callable."""

    def field(self, points):
        return np.tanh(points) * CHARGES[:, None]


@register
class PotentialAdapter(Adapter):
    """`Potential` on a dict of arrays ``(3, 3)``."""

    wants = "a Potential"

    @classmethod
    def serves(cls, model, data):
        return isinstance(model, Potential)

    @classmethod
    def open(cls, model, data, request):
        return cls(model, data)

    def __init__(self, model, data):
        self._model = model
        self._data = data
        self.inputs = {"points": Representation.parse("vector")}
        self.outputs = {"field": Representation.parse("vector")}
        self.features = ["size"]
        self.description = {"model": "Potential", "data": f"{len(data)} arrays"}
        self.forgotten = []

    def systems(self):
        for name, points in self._data.items():
            yield System(name, points, rows=len(points), nbytes=points.nbytes)

    def compatible(self, first, other):
        return True

    def forward(self, pieces):
        found = {"field": [], "size": []}
        for piece in pieces:
            copies = piece.system.payload @ piece.rotations.numpy().transpose(0, 2, 1)
            values = torch.from_numpy(np.stack([self._model.field(copy) for copy in copies]))
            found["field"].append(values[:, :, None, :])
            found["size"].append(values.norm(dim=-1)[:, :, None, None])
        return found

    def native_mean(self, name, mean):
        return mean[:, 0]

    def forget(self, system):
        self.forgotten.append(system.name)


DATA = {name: np.random.default_rng(seed).normal(size=(3, 3)) for seed, name in enumerate("abc")}
SETTINGS = {"lmax": 2, "degree": 8, "progress": False}


def test_a_model_of_another_kind_is_audited_through_an_adapter_in_this_file_alone():
    report = eq.audit(Potential(), DATA, **SETTINGS)

    def same(points):
        field = torch.tanh(points) * torch.from_numpy(CHARGES)[:, None]
        return {"field": field, "size": field.norm(dim=-1)}

    plain = eq.audit(
        same,
        [(name, {"points": torch.from_numpy(points)}) for name, points in DATA.items()],
        inputs={"points": "vector"},
        outputs={"field": "vector", "size": "invariant"},
        **SETTINGS,
    )
    assert report.outputs["field"].rmse == pytest.approx(plain.outputs["field"].rmse, rel=1e-12)
    torch.testing.assert_close(report.outputs["field"].power, plain.outputs["field"].power)
    torch.testing.assert_close(report.layers["size"].power, plain.outputs["size"].power)
    assert [row.name for row in report.systems] == list("abc")
    assert report.settings["model"] == "Potential" and report.settings["data"] == "3 arrays"


def test_an_adapter_made_by_hand_is_taken_as_the_model():
    adapter = PotentialAdapter(Potential(), DATA)
    report = eq.audit(adapter, None, layers=["size"], **SETTINGS)
    assert list(report.outputs) == ["field"] and list(report.layers) == ["size"]
    assert sorted(adapter.forgotten) == list("abc")


def test_layers_of_an_adapter_without_modules_are_refused_with_its_own_reason():
    adapter = PotentialAdapter(Potential(), DATA)
    adapter.unhookable_reason, adapter.available_features = "numpy has no modules", ["size"]
    with pytest.raises(ArgumentError, match=r"layers: .*numpy has no modules; .* as layers: size\), got 'hidden'"):
        eq.audit(adapter, None, layers=["hidden", "size"], **SETTINGS)


@pytest.mark.parametrize("model", [torch.nn.Linear(3, 1), EMT(), EMT, lambda x: x], ids=lambda m: type(m).__name__)
def test_a_model_that_comes_second_is_seen(model):
    for data in ([{"x": torch.zeros(2, 3)}], "nowhere.xyz"):
        with pytest.raises(
            (ArgumentError, DataError), match=r"^model: .*; data look like a model \(\w+\), which comes"
        ):
            eq.audit(data, model, inputs="vector", outputs="scalar")


def test_data_are_not_taken_for_a_model():
    for data in (
        [torch.zeros(3)],
        {"x": torch.zeros(3)},
        "structures.xyz",
        molecule("H2O"),
        iter(()),
        np.zeros(3),
        None,
    ):
        with pytest.raises(DataError) as caught:
            eq.audit("nowhere.pt", data, outputs=["energy"])
        assert "look like" not in str(caught.value)


def test_a_file_that_is_missing_is_named_where_metatomic_is_missing_too():
    code = (
        "import sys; sys.modules['metatomic.torch'] = None\n"
        "import equiscope as eq\n"
        "for call in (lambda: eq.audit('nowhere.pt', 'x.xyz'), lambda: eq.symmetrize('nowhere.pt')):\n"
        "    try: call()\n"
        "    except eq.errors.DataError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.count("got nowhere.pt, which is not a file") == 2


def test_a_model_that_nothing_serves_is_refused_with_what_each_adapter_wants():
    with pytest.raises(ArgumentError) as caught:
        eq.audit({"weights": 1}, [torch.zeros(2, 3)], inputs="vector", outputs="scalar")
    text = str(caught.value)
    assert text.startswith("model: expected an Adapter, or what one of these serves (PotentialAdapter: a Potential; ")
    for part in (
        "CalculatorAdapter: an ASE calculator",
        "MetatomicModels: a metatomic AtomisticModel or the path",
        "PlainAdapter: a torch.nn.Module",
        "got dict",
    ):
        assert part in text


def test_the_last_registered_is_asked_first_and_the_plain_adapter_last():
    @register
    class Mine(PlainAdapter):
        wants = "a linear layer, which nobody else gets"
        precedence = 1

        @classmethod
        def serves(cls, model, data):
            return isinstance(model, torch.nn.Linear)

    try:
        assert register(Mine) is Mine and registered().count(Mine) == 1
        assert registered()[0] is Mine and registered()[-1] is PlainAdapter
        data = [torch.zeros(2, 3)]
        assert eq.adapters.kind_of(torch.nn.Linear(3, 3), data) is Mine
        assert eq.adapters.kind_of(torch.nn.Identity(), data) is PlainAdapter
        assert isinstance(Mine.open(torch.nn.Linear(3, 3), data, Request(inputs="vector")), Mine)
    finally:
        unregister(Mine)
    assert eq.adapters.kind_of(torch.nn.Linear(3, 3), data) is PlainAdapter


@pytest.mark.parametrize(
    "members, message",
    [
        ({}, r"says what it `wants`"),
        ({"wants": "x", "serves": classmethod(lambda cls, model, data: True)}, "Half without open"),
        ({"wants": "x", "open": classmethod(lambda cls, model, data, request: None)}, "Half without serves"),
    ],
)
def test_a_kind_that_does_not_say_everything_is_not_registered(members, message):
    with pytest.raises(ArgumentError, match=f"kind: expected .*{message}"):
        register(type("Half", (Kind,), members))


def test_a_file_in_the_folder_registers_itself(monkeypatch, tmp_path):
    (tmp_path / "quantum.py").write_text(
        "from .base import Kind\n"
        "from .registry import register\n"
        "@register\n"
        "class Quantum(Kind):\n"
        "    wants = 'a wave function'\n"
        "    serves = classmethod(lambda cls, model, data: model == 'psi')\n"
        "    open = classmethod(lambda cls, model, data, request: None)\n"
    )
    monkeypatch.setattr(eq.adapters, "__path__", [*eq.adapters.__path__, str(tmp_path)])
    import_modules(eq.adapters.__path__, "equiscope.adapters")
    module = sys.modules.pop("equiscope.adapters.quantum")
    try:
        assert registered()[0] is module.Quantum and eq.adapters.kind_of("psi", None) is module.Quantum
    finally:
        unregister(module.Quantum)


def test_keywords_of_the_plain_adapter_are_fields_of_a_request():
    data = [{"x": torch.ones(2, 3)}]
    asked = {"inputs": {"x": "vector"}, "outputs": {"y": "1x1o"}, "basis": "e3nn"}
    by_keywords, by_request = (
        PlainAdapter(torch.nn.Identity(), data, **asked),
        PlainAdapter(torch.nn.Identity(), data, Request(**asked)),
    )
    assert by_keywords.outputs == by_request.outputs and by_keywords.inputs == by_request.inputs
    with pytest.raises(TypeError, match="colour"):
        PlainAdapter(torch.nn.Identity(), data, colour="red")


def test_pieces_of_one_call_come_back_one_by_one():
    adapter = PotentialAdapter(Potential(), DATA)
    pieces = [Piece(s, eq.random_rotations(n)) for n, s in enumerate(adapter.systems(), start=1)]
    assert [tuple(v.shape) for v in adapter.forward(pieces)["field"]] == [(n, 3, 1, 3) for n in (1, 2, 3)]


class Wrong(PotentialAdapter):
    """Returns what `made` makes of the values."""

    made = staticmethod(lambda values: values)

    def forward(self, pieces):
        found = super().forward(pieces)
        return {**found, "field": type(self).made(found["field"])}


@pytest.mark.parametrize(
    "made, got",
    [
        (lambda parts: [part.numpy() for part in parts], "ndarray"),
        (lambda parts: [part[..., :2] for part in parts], r"torch.float64 of shape \(14, 3, 1, 2\)"),
        (lambda parts: [part[:, :, 0] for part in parts], r"of shape \(14, 3, 3\)"),
        (lambda parts: [part[:-1] for part in parts], r"of shape \(13, 3, 1, 3\)"),
        (lambda parts: [part.long() for part in parts], "torch.int64"),
        (lambda parts: parts[0], "Tensor"),
        (lambda parts: [*parts, *parts], "2 of them"),
    ],
)
def test_what_forward_must_not_return_is_refused_by_name(made, got):
    adapter = type("Wrongly", (Wrong,), {"made": staticmethod(made)})(Potential(), DATA)
    with pytest.raises(eq.errors.ModelError, match=rf"field: expected of Adapter\.forward .*got .*{got}"):
        eq.audit(adapter, None, **SETTINGS)


@pytest.mark.parametrize("rounds", [True, False])
def test_an_adapter_that_forgets_the_dither_has_a_floor_all_the_same(rounds):
    class Lengths(PotentialAdapter):
        def forward(self, pieces):
            found = {"field": [], "size": []}
            for piece in pieces:
                copies = torch.from_numpy(piece.system.payload) @ piece.rotations.mT
                copies = eq.adapters.rounded(copies, torch.float32, None) if rounds else copies.float()
                found["field"].append((copies * copies.norm(dim=-1, keepdim=True).exp())[:, :, None])
                found["size"].append(copies.norm(dim=-1)[..., None, None])
            return found

    field = eq.audit(Lengths(Potential(), DATA), None, **SETTINGS).outputs["field"]
    assert field.verdict is eq.Verdict.EXACT and field.noise_floor > 0

"""Data, results and hidden values in the types that people have them in: opened, and made again, alike for each.

PyTorch Geometric and tensordict are no part of the test extra: small imitations stand for them here, under their names;
the real ones are in examples/.
"""

import collections
import dataclasses
import functools
import sys
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import equiscope as eq
from equiscope.adapters.containers import Container, base, opened, register
from equiscope.errors import ArgumentError, DataError

QUICK = {"lmax": 1, "degree": 4, "shift": None, "progress": False}
POINTS = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def energy(pos):
    """Breaks the symmetry: the third coordinates count more."""
    return (pos.square().sum(-1) + pos[..., 2].abs()).sum(-1)


def push(pos):
    """And as a vector per point."""
    return pos * pos[..., :1].abs()


@dataclasses.dataclass
class Cloud:
    pos: torch.Tensor
    species: Any = None
    inside: Any = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    pos: torch.Tensor
    name: str = "cloud"


class Named(NamedTuple):
    pos: torch.Tensor
    charge: float = 1.0


class Object:
    def __init__(self, pos):
        self.pos = pos
        self.label = "no tensor"


class Slotted:
    __slots__ = ("__own", "pos", "unset")

    def __init__(self, pos):
        self.pos, self.__own = pos, pos.sum()


class Attributes(dict):
    """The idiom by which keys are attributes."""

    def __init__(self, items):
        super().__init__(items)
        self.__dict__ = self


class Counted(dict):
    """Its constructor takes no items."""

    def __init__(self, name, **items):
        super().__init__(items)


class Table(Mapping):
    """A mapping that is no dict."""

    def __init__(self, items):
        self._items = dict(items)

    def __getitem__(self, key):
        return self._items[key]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)


SYSTEMS = {
    "dict": ({"pos": POINTS}, lambda pos: pos),
    "ordered dict": (collections.OrderedDict(pos=POINTS, z=torch.arange(4)), lambda pos, z: pos),
    "dataclass": (Cloud(POINTS, torch.arange(4)), lambda cloud: cloud.pos),
    "dataclass within a dataclass": (
        Cloud(torch.zeros(1, dtype=torch.float64), inside=Frozen(POINTS)),
        lambda cloud: cloud.inside.pos,
    ),
    "frozen dataclass": (Frozen(POINTS), lambda frozen: frozen.pos),
    "named tuple": (Named(POINTS), lambda pos, charge: charge * pos),
    "object": (Object(POINTS), lambda item: item.pos),
    "namespace": (types.SimpleNamespace(pos=POINTS, k=3), lambda item: item.pos),
    "mapping": (Table({"pos": POINTS}), lambda table: table["pos"]),
    "mapping of other keys": (Table({1: POINTS, (2, 3): 4}), lambda table: table[1] * (table[2, 3] / 4)),
    "object with slots": (Slotted(POINTS), lambda item: item.pos),
    "subclass of dict": (Attributes({"pos": POINTS, "z": 3}), lambda pos, z: pos),
    "subclass of dict in a dict": ({"graph": Attributes({"pos": POINTS})}, lambda graph: graph.pos),
    "dict of a dict": ({"graph": {"pos": POINTS}}, lambda graph: graph["pos"]),
    "dataclass in a dict": ({"cloud": Cloud(POINTS)}, lambda cloud: cloud.pos),
    "tuple": ((torch.ones(4, dtype=torch.float64), POINTS), lambda weights, pos: pos),
}
PLACES = {
    "dict of a dict": "graph.pos",
    "dataclass in a dict": "cloud.pos",
    "subclass of dict in a dict": "graph.pos",
    "mapping of other keys": "1",
    "dataclass within a dataclass": "inside.pos",
    "tuple": "1",
}


@pytest.fixture(scope="module")
def plain():
    """What a bare tensor gives."""
    return eq.audit(energy, [POINTS], inputs="vector", outputs={"e": "scalar"}, **QUICK).outputs["e"].rmse


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_in_any_container_gives_what_the_bare_tensor_gives(name, plain):
    system, of = SYSTEMS[name]
    place = PLACES.get(name, "pos")
    before = POINTS.clone()
    report = eq.audit(
        lambda *a, **k: energy(of(*a, **k)), [system], inputs={place: "vector"}, outputs={"e": "scalar"}, **QUICK
    )
    assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12)
    assert torch.equal(POINTS, before)


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_was_opened_is_made_again_with_other_leaves(name):
    system, _ = SYSTEMS[name]
    leaves, layout = opened(system)
    made = layout.rebuilt([leaf + 1 if isinstance(leaf, torch.Tensor) else leaf for _, leaf in leaves])
    assert type(made) is type(system)
    again, same = opened(made)
    assert same == layout and [key for key, _ in again] == [key for key, _ in leaves]
    for (_, old), (_, new) in zip(leaves, again, strict=True):
        assert torch.equal(old + 1, new) if isinstance(old, torch.Tensor) else old is new or old == new


def test_a_model_of_a_subclass_of_dict_is_given_one(plain):
    asked = {"inputs": {"pos": "vector"}, "outputs": {"e": "scalar"}, **QUICK}
    report = eq.audit(lambda data: energy(data.pos), [Attributes({"pos": POINTS})], **asked)
    assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12)


def test_a_dict_that_cannot_be_made_of_its_items_is_given_as_a_dict(plain):
    asked = {"inputs": {"pos": "vector"}, "outputs": {"e": "scalar"}, **QUICK}
    for system in (Counted("x", pos=POINTS), collections.Counter(pos=POINTS)):
        report = eq.audit(lambda data: energy(data["pos"]), [system], **asked)
        assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12)


@dataclasses.dataclass
class Centred:
    """Keeps a vector, and what turns nowhere, beside its field."""

    pos: torch.Tensor

    def __post_init__(self):
        self.center = self.pos.mean(0)
        self.rows = len(self.pos)


class Lazy:
    """Keeps what was asked for once."""

    def __init__(self, pos):
        self.pos = pos

    @functools.cached_property
    def unit(self):
        return self.pos / self.pos.norm(dim=-1, keepdim=True)


LazyData = dataclasses.make_dataclass("LazyData", ["pos"], bases=(Lazy,))


@pytest.mark.parametrize("batching", ["stack", "loop"])
def test_what_a_dataclass_keeps_beside_its_fields_is_a_part_of_it(batching):
    def radius(cloud):
        return (cloud.pos - cloud.center.unsqueeze(-2)).square().sum((-1, -2)) / cloud.rows

    asked = {"outputs": {"e": "scalar"}, "batching": batching, **QUICK}
    with pytest.raises(ArgumentError, match=r"undeclared center \(3,\)"):
        eq.audit(radius, [Centred(POINTS)], inputs={"pos": "vector"}, **asked)
    declared = {"pos": "vector", "center": "vector"}
    assert eq.audit(radius, [Centred(POINTS)], inputs=declared, **asked).outputs["e"].verdict is eq.Verdict.EXACT


@pytest.mark.parametrize("batching", ["stack", "loop"])
@pytest.mark.parametrize("kind", [Lazy, LazyData])
def test_cached_properties_are_made_anew_by_every_copy(kind, batching):
    system = kind(POINTS)
    kept = system.unit
    report = eq.audit(
        lambda item: (item.pos * item.unit).sum((-1, -2)),
        [system],
        inputs={"pos": "vector"},
        outputs={"e": "scalar"},
        batching=batching,
        **QUICK,
    )
    assert report.outputs["e"].verdict is eq.Verdict.EXACT and system.unit is kept


@pytest.mark.parametrize("batching", ["stack", "loop"])
@pytest.mark.parametrize(
    "returned", [lambda e: {"a": {"b": e}, "a.b": -e}, lambda e: {"a.b": e, "a": types.SimpleNamespace(b=e)}]
)
def test_two_outputs_of_one_name_are_refused_where_it_is_asked_for(returned, batching):
    model = lambda pos: {**returned(energy(pos)), "c": energy(pos)}  # noqa: E731
    asked = {"inputs": "vector", "batching": batching, **QUICK}
    with pytest.raises(
        ArgumentError, match=r"outputs: expected names that stand for one value each.*'a\.b' for several"
    ):
        eq.audit(model, [POINTS], outputs={"a.b": "scalar"}, **asked)
    assert eq.audit(model, [POINTS], outputs={"c": "scalar"}, **asked).outputs["c"].rmse > 0
    with pytest.raises(ArgumentError, match=r"outputs: .*'a\.b' for several"):
        eq.symmetrize(model, inputs="vector", outputs={"a.b": "scalar"})(POINTS)


@pytest.mark.parametrize(
    "system, name",
    [
        ({"a": {"b": POINTS}, "a.b": POINTS}, "a.b"),
        ({1: POINTS, "1": POINTS}, "1"),
        (Table({1: POINTS, "1": POINTS}), "1"),
        ({"a": Object(POINTS), "a.pos": POINTS}, "a.pos"),
    ],
)
def test_two_inputs_of_one_name_are_refused(system, name):
    with pytest.raises(DataError, match=rf"data\[0\]: expected names that stand for one.*'{name}' for several"):
        eq.audit(lambda item: POINTS.sum(), [system], inputs={name: "vector"}, outputs={"e": "scalar"}, **QUICK)


@dataclasses.dataclass
class Result:
    energy: Any
    more: Any = None


class Pair(NamedTuple):
    energy: Any
    forces: Any


RESULTS = {
    "bare": (lambda pos: energy(pos), "e"),
    "dict": (lambda pos: {"energy": energy(pos)}, "energy"),
    "tuple": (lambda pos: (push(pos), energy(pos)), "1"),
    "list": (lambda pos: [push(pos), energy(pos)], "1"),
    "named tuple": (lambda pos: Pair(energy(pos), push(pos)), "energy"),
    "dataclass": (lambda pos: Result(energy(pos)), "energy"),
    "dataclass of a tuple": (lambda pos: Result(0, (push(pos), energy(pos))), "more.1"),
    "dict of a dataclass": (lambda pos: {"out": Result(energy(pos))}, "out.energy"),
    "namespace": (lambda pos: types.SimpleNamespace(energy=energy(pos)), "energy"),
    "mapping": (lambda pos: Table({"energy": energy(pos)}), "energy"),
    "array": (lambda pos: energy(pos).numpy(), "e"),
    "arrays by name": (lambda pos: {"energy": energy(pos).numpy(), "note": "fine"}, "energy"),
}


@pytest.mark.parametrize("batching", ["stack", "loop"])
@pytest.mark.parametrize("name", RESULTS)
def test_a_result_in_any_container_gives_what_the_bare_one_gives(name, batching, plain):
    model, place = RESULTS[name]
    report = eq.audit(model, [POINTS], inputs="vector", outputs={place: "scalar"}, batching=batching, **QUICK)
    assert report.outputs[place].rmse == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        lambda pos: float(energy(pos)),
        lambda pos: energy(pos).numpy()[()],
        lambda pos: {"e": float(energy(pos)), "steps": 3},
    ],
)
def test_black_boxes_for_one_system_may_return_plain_numbers(model, plain):
    settings = {"inputs": "vector", "outputs": {"e": "scalar"}, "batching": "loop", **QUICK}
    assert eq.audit(model, [POINTS], **settings).outputs["e"].rmse == pytest.approx(plain, rel=1e-9)


def test_functions_get_arrays_where_data_are_arrays_and_modules_get_tensors(plain):
    seen = []

    class Module(torch.nn.Module):
        def forward(self, pos, z):
            seen.append((type(pos), type(z)))
            return energy(pos)

    def function(pos, z):
        seen.append((type(pos), type(z)))
        return (np.square(pos).sum(-1) + np.abs(pos[..., 2])).sum(-1)

    data = [{"pos": POINTS.numpy(), "z": np.arange(4)}]
    for model in (Module(), function):
        report = eq.audit(model, data, inputs={"pos": "vector"}, outputs={"e": "scalar"}, **QUICK)
        assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12)
    assert set(seen) == {(torch.Tensor, torch.Tensor), (np.ndarray, np.ndarray)}


def test_one_array_beside_tensors_is_taken(plain):
    data = [{"pos": POINTS, "z": np.arange(4)} for _ in range(2)]
    report = eq.audit(
        lambda pos, z: energy(pos) + 0 * z.sum(), data, inputs={"pos": "vector"}, outputs={"e": "scalar"}, **QUICK
    )
    assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12)


def test_hidden_layers_may_return_any_of_these():
    class Part(torch.nn.Module):
        def __init__(self, returned):
            super().__init__()
            self.returned = returned

        def forward(self, x):
            return self.returned(x)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = Part(lambda x: Result(x))
            self.b = Part(lambda x: Pair(x, x.square()))
            self.c = Part(lambda x: types.SimpleNamespace(h=x))

        def forward(self, pos):
            h = self.c(self.b(self.a(pos).energy).energy).h
            return energy(h)

    report = eq.audit(Net(), [POINTS], inputs="vector", outputs={"e": "scalar"}, layers="*", **QUICK)
    assert not report.warnings or all("left out" not in warning for warning in report.warnings)
    share = {name: float(layer.fractions[1, 0]) for name, layer in report.layers.items()}
    vectors = [name for name, of in share.items() if of == pytest.approx(1, abs=1e-9)]
    assert len(share) == 4 and len(vectors) == 3  # the squares are the fourth


# -- lists with one value for each copy --------------------------------------------------------------------------------


def listed(make):
    """A model of a list of systems, of different sizes, in the manner of CHGNet and of detection models."""
    return lambda systems: make([(energy(s["pos"]), push(s["pos"])) for s in systems])


LISTS = {
    "dict of lists": (lambda pairs: {"e": [e for e, _ in pairs], "f": [f for _, f in pairs]}, ("e", "f")),
    "list of dicts": (lambda pairs: [{"e": e, "f": f} for e, f in pairs], ("e", "f")),
    "list of dataclasses": (lambda pairs: [Result(e, f) for e, f in pairs], ("energy", "more")),
    "one tensor and one list": (
        lambda pairs: {"e": torch.stack([e for e, _ in pairs]), "f": [f for _, f in pairs]},
        ("e", "f"),
    ),
    "list of dicts of tuples": (lambda pairs: [{"out": (e, f)} for e, f in pairs], ("out.0", "out.1")),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_model_of_a_list_may_return_a_list(name):
    make, (e, f) = LISTS[name]
    data = [{"pos": torch.cat([POINTS] * n)[: n + 2] * n} for n in (1, 2)]
    asked = {"inputs": {"pos": "vector"}, **QUICK}
    report = eq.audit(listed(make), data, outputs={e: "scalar", f: "vector"}, batching=list, **asked)
    one = eq.audit(
        lambda pos: (energy(pos), push(pos)), data, outputs={"0": "scalar", "1": "vector"}, batching="loop", **asked
    )
    assert report.outputs[e].rmse == pytest.approx(one.outputs["0"].rmse, rel=1e-12)
    assert report.outputs[f].rmse == pytest.approx(one.outputs["1"].rmse, rel=1e-12)
    assert report.settings["batching"] == "list"


def test_a_list_of_bare_values_is_that_of_the_only_output(plain):
    model = lambda systems: [energy(s["pos"]) for s in systems]  # noqa: E731
    report = eq.audit(
        model, [{"pos": POINTS}], inputs={"pos": "vector"}, outputs={"e": "scalar"}, batching=list, **QUICK
    )
    assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12)


def test_lists_of_another_length_are_no_lists_of_copies():
    model = lambda systems: {"e": [energy(s["pos"]) for s in systems] + [torch.zeros(())]}  # noqa: E731
    with pytest.raises(ArgumentError, match=r"names that the model returns.*\(e\.0, e\.1"):
        eq.audit(model, [{"pos": POINTS}], inputs={"pos": "vector"}, outputs={"e": "scalar"}, batching=list, **QUICK)


# -- types that have their own batches ---------------------------------------------------------------------------------


def imitation(monkeypatch, library):
    """Classes that are called and behave like PyTorch Geometric's, or like a copy of it in another package."""

    class Data:
        def __init__(self, **parts):
            self.__dict__.update(parts)

        def to_dict(self):
            return {name: part for name, part in self.__dict__.items() if name != "graphs"}

        def __setitem__(self, name, value):
            setattr(self, name, value)

        @property
        def num_nodes(self):
            return len(self.pos)

        def __call__(self):
            """Old versions can be called, to run through their parts."""

    class Batch(Data):
        @classmethod
        def from_data_list(cls, graphs):
            sizes = torch.tensor([graph.num_nodes for graph in graphs])
            before = sizes.cumsum(0) - sizes
            return cls(
                pos=torch.cat([graph.pos for graph in graphs]),
                edge_index=torch.cat([g.edge_index + n for g, n in zip(graphs, before, strict=True)], 1),
                batch=torch.arange(len(graphs)).repeat_interleave(sizes),
                ptr=torch.cat([before, sizes.sum()[None]]),
                graphs=tuple(graphs),
            )

        def to_data_list(self):
            return list(self.graphs)

    Data.__module__, Batch.__module__ = f"{library}.data.data", f"{library}.data.batch"
    module = types.ModuleType(f"{library}.data")
    module.Batch = Batch
    monkeypatch.setitem(sys.modules, f"{library}.data", module)
    return Data, Batch


def graph_energy(pos, edge_index, batch):
    i, j = edge_index
    pairs = (pos[i] - pos[j])[:, 2].abs() + (pos[i] - pos[j]).norm(dim=1)
    return torch.zeros(int(batch.max()) + 1, dtype=pos.dtype).index_add(0, batch[i], pairs)


WAYS = {
    "the batch": lambda batch: graph_energy(batch.pos, batch.edge_index, batch.batch),
    "attributes by name": graph_energy,
}


@pytest.mark.parametrize("library", ["torch_geometric", "someone.tools.torch_geometric"])
@pytest.mark.parametrize("way", WAYS)
def test_graphs_are_collated_by_their_own_library(monkeypatch, library, way):
    Data, Batch = imitation(monkeypatch, library)
    sizes = (4, 3)
    parts = [(POINTS[:n], torch.stack([torch.arange(n), torch.arange(n).roll(1)])) for n in sizes]
    graphs = [Data(pos=pos, edge_index=index) for pos, index in parts]
    asked = {"inputs": {"pos": "vector"}, "outputs": {"e": "scalar"}, **QUICK}
    report = eq.audit(WAYS[way], graphs, **asked)
    alone = eq.audit(
        lambda pos, edge_index: graph_energy(pos, edge_index, torch.zeros(len(pos), dtype=torch.long)),
        [{"pos": pos, "edge_index": index} for pos, index in parts],
        batching="loop",
        **asked,
    )
    assert report.outputs["e"].rmse == pytest.approx(alone.outputs["e"].rmse, rel=1e-12)
    assert report.settings["batching"] == "collated as PyG Data" and not report.warnings
    for data in (Batch.from_data_list(graphs), [Batch.from_data_list(graphs)]):
        apart = eq.audit(WAYS[way], data, **asked)
        assert [row.name for row in apart.systems] == ["0", "1"]
        assert apart.outputs["e"].rmse == pytest.approx(report.outputs["e"].rmse, rel=1e-12)
    one = eq.audit(WAYS[way], graphs[0], **asked)
    assert one.systems[0].outputs["e"]["rmse"] == pytest.approx(report.systems[0].outputs["e"]["rmse"], rel=1e-12)
    joined = eq.audit(graph_energy, graphs, batching=eq.Concat(rows="pos", index="edge_index"), **asked)
    assert joined.outputs["e"].rmse == pytest.approx(report.outputs["e"].rmse, rel=1e-12)


def test_a_batch_of_graphs_is_averaged_graph_by_graph(monkeypatch):
    Data, Batch = imitation(monkeypatch, "torch_geometric")
    index = torch.tensor([[0, 1, 2], [1, 2, 0]])
    graphs = [Data(pos=POINTS[:n], edge_index=index) for n in (4, 3)]
    average = eq.symmetrize(WAYS["the batch"], inputs={"batch.pos": "vector"}, outputs="scalar", degree=4)
    together, *alone = (average.with_spread(Batch.from_data_list(some)) for some in (graphs, graphs[:1], graphs[1:]))
    torch.testing.assert_close(together.outputs, torch.cat([one.outputs for one in alone]))
    torch.testing.assert_close(together.variance["output"], torch.cat([one.variance["output"] for one in alone]))
    assert (together.spread["output"] > 1e-3).all()


def test_what_graphs_hold_beside_their_keys_is_refused_and_what_is_cached_made_anew(monkeypatch):
    Data, _ = imitation(monkeypatch, "torch_geometric")

    class Own(Data):
        def to_dict(self):
            return {name: part for name, part in self.__dict__.items() if name in ("pos", "edge_index")}

        @functools.cached_property
        def length(self):
            return self.pos.norm(dim=-1)

        @functools.cached_property
        def unit(self):
            return self.pos / self.length[:, None]

    graph = Own(pos=POINTS, edge_index=torch.stack([torch.arange(4), torch.arange(4).roll(1)]))
    assert graph.unit.shape == POINTS.shape
    asked = {"inputs": {"pos": "vector"}, "outputs": {"e": "scalar"}, "batching": "loop", **QUICK}
    report = eq.audit(lambda graph: (graph.pos * graph.unit).sum(), [graph], **asked)
    assert report.outputs["e"].verdict is eq.Verdict.EXACT
    graph._before = POINTS
    with pytest.raises(DataError, match=r"data: expected graphs whose tensors are all among their keys.* got _before"):
        eq.audit(lambda graph: (graph.pos * graph._before).sum(), [graph], **asked)


def test_graphs_of_several_kinds_of_nodes_are_refused(monkeypatch):
    Data, _ = imitation(monkeypatch, "torch_geometric")
    hetero = type("HeteroData", (Data,), {"__module__": "torch_geometric.data.hetero_data"})
    with pytest.raises(DataError, match=r"graphs of one kind of node .*to_homogeneous.*HeteroData"):
        eq.audit(graph_energy, [hetero(pos=POINTS)], inputs={"pos": "vector"}, outputs={"e": "scalar"}, **QUICK)


def test_a_batch_size_grows_by_the_copies(monkeypatch, plain):
    class TensorDictBase:
        def __init__(self, parts, batch_size):
            assert all(value.shape[: len(batch_size)] == torch.Size(batch_size) for value in parts.values())
            self.parts, self.batch_size = parts, torch.Size(batch_size)

        def items(self):
            return self.parts.items()

        def __getitem__(self, name):
            return self.parts[name]

    TensorDictBase.__module__ = "tensordict.base"
    sizes = []

    def model(item):
        sizes.append(item.batch_size)
        return energy(item["pos"])

    data = [TensorDictBase({"pos": POINTS, "z": torch.arange(4)}, (4,))]
    report = eq.audit(model, data, inputs={"pos": "vector"}, outputs={"e": "scalar"}, **QUICK)
    assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12)
    assert {len(size) for size in sizes} == {2} and {size[1] for size in sizes} == {4}


def test_a_type_of_ones_own_is_opened_once_it_is_registered(monkeypatch, plain):
    class Sealed:
        def __init__(self, hidden):
            self.open = lambda: hidden

    asked = {"inputs": {"pos": "vector"}, "outputs": {"e": "scalar"}, **QUICK}
    with pytest.raises(DataError, match="Sealed"):
        eq.audit(lambda item: energy(item.open()), [Sealed(POINTS)], **asked)
    monkeypatch.setattr(base, "_containers", list(base._containers))

    @register
    class Opener(Container):
        words = "a sealed thing"
        inputs = {"pos": "vector"}  # noqa: RUF012

        @classmethod
        def serves(cls, item):
            return isinstance(item, Sealed)

        @classmethod
        def parts(cls, item):
            return {"pos": item.open()}

        @classmethod
        def rebuilt(cls, item, parts):
            return Sealed(parts["pos"])

    del asked["inputs"]  # the type says it
    report = eq.audit(lambda item: energy(item.open()), [Sealed(POINTS)], **asked)
    assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12)
    assert report.settings["data_opened"] == "a sealed thing"


def test_what_holds_itself_comes_to_an_end():
    loop = types.SimpleNamespace(pos=POINTS)
    loop.self = loop
    leaves, _ = opened(loop)
    assert leaves[0][0] == "pos" and len(leaves) < 50


def test_a_pattern_declares_what_no_name_does():
    data = [{"pos": POINTS, "labels": {"forces": POINTS, "dipole": POINTS[0]}, "shift": POINTS[0]}]

    def model(pos, labels, shift):
        return energy(pos) + 0 * labels["forces"].sum((-1, -2))

    asked = {"outputs": {"e": "scalar"}, **QUICK}
    with pytest.raises(ArgumentError, match=r"labels\.forces.*labels\.dipole.*shift"):
        eq.audit(model, data, inputs={"pos": "vector"}, **asked)
    with pytest.raises(ArgumentError, match="undeclared shift"):
        eq.audit(model, data, inputs={"pos": "vector", "labels.*": "invariant"}, **asked)
    some = eq.audit(model, data, inputs={"pos": "vector", "shift": "vector", "labels.*": "invariant"}, **asked)
    every = eq.audit(model, data, inputs={"pos": "vector", "**": "invariant"}, **asked)
    assert some.outputs["e"].rmse == every.outputs["e"].rmse > 0


# -- data sets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [[POINTS], torch.utils.data.TensorDataset(POINTS[None]), [{"pos": POINTS}]])
def test_one_declaration_is_that_of_the_only_input(data, plain):
    report = eq.audit(lambda pos: energy(pos), data, inputs="vector", outputs={"e": "scalar"}, **QUICK)
    assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12)


def test_one_declaration_beside_several_inputs_is_refused():
    with pytest.raises(ArgumentError, match="inputs: expected names among pos, name, got 'input'"):
        eq.audit(lambda item: energy(item.pos), [Frozen(POINTS)], inputs="vector", outputs={"e": "scalar"}, **QUICK)


def test_loaders_of_single_systems_generators_and_data_sets_are_alike(plain):
    systems = [{"pos": POINTS}, {"pos": POINTS}]

    class Set(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            if index >= 2:
                raise IndexError(index)
            return systems[index]

    asked = {"inputs": {"pos": "vector"}, "outputs": {"e": "scalar"}, **QUICK}
    for data in (iter(systems), Set(), torch.utils.data.DataLoader(Set(), batch_size=None), tuple(systems)):
        report = eq.audit(energy, data, **asked)
        assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12) and len(report.systems) == 2

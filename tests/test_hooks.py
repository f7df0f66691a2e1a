"""What is heard of hidden modules, and what is said of those that are not."""

import collections
import contextlib
import dataclasses
import types
from typing import NamedTuple

import numpy as np
import pytest
import torch

import equiscope as eq
from equiscope.probe.hooks import Capture
from equiscope.probe.leaves import representation_of
from equiscope.probe.names import matching_places, place_of

DOUBLE = torch.float64


class Returns(torch.nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


class Net(torch.nn.Module):
    """Calls its parts in order, each on the input; gives the sum of squares of the input."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)

    def forward(self, x):
        for part in self.parts:
            part(x)
        return x.square().sum((1, 2))


def heard(model, *patterns, x=None, calls=1, copy=False):
    x = torch.randn(2, 4, 3) if x is None else x
    names = matching_places(model, patterns or ["**"])
    with Capture(model, names, copy=copy, asked=patterns) as capture, torch.no_grad():
        with capture.listening():
            for _ in range(calls):
                model(x)
        return capture.take(calls), capture.notes()


def run(model, *, data=None, outputs=None, **settings):
    data = [torch.randn(4, 3)] if data is None else data
    settings = {"layers": "**", "lmax": 2, "degree": 8, "progress": False, **settings}
    return eq.audit(model, data, inputs="vector", outputs={"y": "scalar"} if outputs is None else outputs, **settings)


@dataclasses.dataclass
class Pair:
    left: torch.Tensor
    rest: dict
    count: int = 3


class Graph:
    """As PyG's Data: it gives its tensors by name."""

    def __init__(self, **tensors):
        self.tensors = tensors

    def to_dict(self):
        return self.tensors


class Opaque:
    pass


def test_what_a_module_hands_on_in_a_container_unchanged_is_not_its_own():
    def moved(graph):
        graph["pos"] = graph["pos"] + 1
        return graph

    steps = Returns(lambda x: {"pos": x, "size": 2 * x}), Returns(moved), Returns(lambda graph: graph)
    net = Net(torch.nn.Sequential(*steps))
    captured, notes = heard(net, "parts.0.*")
    own = ["parts.0.0['pos']", "parts.0.0['size']", "parts.0.1['pos']"]
    # of a module that only hands on, all is heard, as of one that hands on a tensor
    assert list(captured) == [*own, "parts.0.2['pos']", "parts.0.2['size']"] and not notes
    assert list(heard(net, "parts.0.1['size']")[0]) == ["parts.0.1['size']"]


def test_dataclasses_and_what_turns_into_a_dict_are_opened():
    net = Net(Returns(lambda x: Pair(x, {"a": [x + 1]})), Returns(lambda x: (Graph(pos=x, index=x.long()), None)))
    captured, notes = heard(net, "parts.*")
    assert list(captured) == ["parts.0['left']", "parts.0['rest']['a'][0]", "parts.1[0]['pos']"]
    assert not notes
    torch.testing.assert_close(captured["parts.0['rest']['a'][0]"], captured["parts.0['left']"] + 1)


def test_what_cannot_be_read_is_named_with_its_reason():
    class Uncalled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.spare = Net(), torch.nn.Linear(3, 3)
            self.net.parts.extend(
                [
                    Returns(lambda x: torch.complex(x, x)),
                    Returns(lambda x: (x, Opaque())),
                    Returns(lambda x: x.long()),
                    Returns(lambda x: x.to_sparse()),
                    Returns(lambda x: None),
                ]
            )

        def forward(self, x):
            return self.net(x)

    captured, notes = heard(Uncalled(), "net.parts.*", "spare")
    assert list(captured) == ["net.parts.1[0]"]
    assert list(notes) == ["net.parts.0", "net.parts.1[1]", "net.parts.2", "net.parts.3", "net.parts.4", "spare"]
    assert "complex numbers (complex64)" in notes["net.parts.0"]
    assert "Opaque" in notes["net.parts.1[1]"]
    assert "int64" in notes["net.parts.2"]
    assert "not dense" in notes["net.parts.3"]
    assert "no tensors" in notes["net.parts.4"]
    assert "never called" in notes["spare"]
    captured, notes = heard(Uncalled(), "net.*")
    assert notes["net.parts"] == "its module was never called; 'net.parts.*' hears the modules in it"


class Forces(torch.nn.Module):
    """Derives inside forward, by one way or the other."""

    def __init__(self, functional):
        super().__init__()
        self.functional, self.linear = functional, torch.nn.Linear(3, 4).double()

    def energy(self, x):
        return torch.tanh(self.linear(x)).sum()

    def forward(self, x):
        if self.functional:
            return torch.func.grad(self.energy)(x)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.energy(x), x)[0]


def test_layers_of_models_that_derive_by_torch_func_are_those_of_autograd():
    one, other = Forces(True), Forces(False)
    other.load_state_dict(one.state_dict())
    data = [torch.randn(4, 3, dtype=DOUBLE)]
    found, expected = (run(model, data=data, outputs={"y": "vector"}).layers["linear"] for model in (one, other))
    torch.testing.assert_close(found.power, expected.power, rtol=1e-10, atol=1e-14)


def test_layers_inside_vmap_are_left_out_and_said():
    class Mapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.after = torch.nn.Linear(3, 2), torch.nn.Tanh()

        def forward(self, x):
            return self.after(torch.func.vmap(self.linear)(x))

    captured, notes = heard(Mapped(), "*")
    assert list(captured) == ["after"] and "vmap" in notes["linear"]


def test_containers_without_end_or_sense_are_named():
    @dataclasses.dataclass
    class Own:
        me: object = None
        value: object = None

    class Refuses:
        def to_dict(self):
            raise ValueError("not now")

    endless = Own()
    endless.me = endless
    net = Net(Returns(lambda x: (x, endless)), Returns(lambda x: (x, Refuses())))
    captured, notes = heard(net, "parts.*")
    assert list(captured) == ["parts.0[0]", "parts.1[0]"]
    assert any("Own" in note for note in notes.values()) and "Refuses" in notes["parts.1[1]"]


class Fields(NamedTuple):
    rows: torch.Tensor
    rest: object


UNUSUAL = {
    "named tuple": (lambda x: Fields(x, {"k": [x]}), ["['rows']", "['rest']['k'][0]"]),
    "frozen dataclass": (lambda x: Frozen(x), ["['rows']"]),
    "attributes": (lambda x: types.SimpleNamespace(rows=x, count=3, _hidden=x), ["['rows']"]),
    "distribution": (lambda x: torch.distributions.Normal(x, 1.0), ["['loc']", "['scale']"]),
    "deque": (lambda x: collections.deque([x, None, x]), ["[0]", "[2]"]),
    "array": (lambda x: x.numpy(), [""]),
    "keys of any kind": (lambda x: {0: x, (1, 2): x}, ["[0]", "[(1, 2)]"]),
    "half": (lambda x: x.half(), [""]),
    "all rows": (lambda x: x.flatten(0, 1), [""]),
    "rows first": (lambda x: x.transpose(0, 1), [""]),
    "masked": (lambda x: torch.masked.masked_tensor(x, x > 0), "MaskedTensor, a kind of tensor that is not read"),
    "generator": (lambda x: (t for t in (x, x)), "it returned generator, which holds no tensors that are known of"),
    "number": (lambda x: x.sum(), "it is one number for all copies of the batch"),
    "mean over the batch": (lambda x: x.mean(0, keepdim=True), "neither the first nor the second axis of (1, 3, 3)"),
    "random rows": (lambda x: torch.rand_like(x.flatten(0, 1)), "it is random, or neither of its first two axes"),
    "first copy for all": (lambda x: x[:1].expand(x.shape), "its values depend on what else is in the batch"),
    "nothing": (lambda x: x[:, :0], "no system has a row in it"),
    "a float": (lambda x: 3.0, "it returned no tensors"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    rows: torch.Tensor
    count: int = 2


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors")
@pytest.mark.parametrize("kind", UNUSUAL)
def test_whatever_a_module_returns_is_a_layer_or_is_left_out_for_a_true_reason(kind):
    make, expected = UNUSUAL[kind]
    report = run(Net(Returns(make)), data=[torch.randn(3, 3), torch.randn(5, 3)], layers="parts.0", lmax=1, degree=6)
    if isinstance(expected, str):
        assert not report.layers
        assert any("layer parts.0 was left out" in warning and expected in warning for warning in report.warnings)
    else:
        assert list(report.layers) == [f"parts.0{tail}" for tail in expected]
        assert {layer.samples for layer in report.layers.values()} == {8}


def test_notes_reach_the_warnings_of_the_report():
    report = run(Net(Returns(lambda x: torch.complex(x, x)), torch.nn.Linear(3, 2)), layers="parts.*")
    assert list(report.layers) == ["parts.1"]
    assert [w for w in report.warnings if "parts.0" in w and "complex" in w]


def test_a_module_in_two_places_is_heard_once_and_said_so():
    shared = torch.nn.Linear(3, 2)

    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = shared, shared

        def forward(self, x):
            return (self.encoder(x) + self.decoder(x)).sum((1, 2))

    captured, notes = heard(Tied(), "*")
    assert list(captured) == ["encoder", "encoder#2"]
    assert "same module as encoder" in notes["decoder"]
    # its second name alone is a name too
    captured, notes = heard(Tied(), "decoder")
    assert list(captured) == ["decoder", "decoder#2"] and not notes
    report = run(Tied(), layers={"decoder": None})
    assert list(report.layers) == ["decoder", "decoder#2"]


class Tanh(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)

    def forward(self, x):
        return torch.tanh(self.linear(x))


def test_compiled_parts_are_heard_as_they_were_and_scripted_ones_are_said_not_to_be():
    in_place = Tanh()
    in_place.compile(backend="eager")
    scripted, traced = torch.jit.script(Tanh()), torch.jit.trace(Tanh(), torch.randn(2, 4, 3))
    net = Net(torch.compile(Tanh(), backend="eager"), in_place, scripted, traced, Tanh())
    captured, notes = heard(net, "parts.**")
    assert list(captured) == [
        *("parts.0.linear", "parts.0", "parts.1.linear", "parts.1", "parts.3", "parts.4.linear", "parts.4"),
    ]
    assert list(notes) == ["parts.2", "parts.2.linear", "parts.3.linear"]
    assert all("TorchScript" in note for note in notes.values())
    assert not any(part._forward_hooks for part in net.modules() if not isinstance(part, torch.jit.ScriptModule))
    torch._dynamo.reset()


WRAPPERS = {
    "compile": lambda net: torch.compile(net, backend="eager"),
    "data parallel": torch.nn.DataParallel,
    "both": lambda net: torch.nn.DataParallel(torch.compile(net, backend="eager")),
}


@pytest.mark.parametrize("wrapped", WRAPPERS.values(), ids=WRAPPERS)
def test_names_and_numbers_of_a_wrapped_model_are_those_of_what_is_inside(wrapped):
    class Model(Tanh):
        def forward(self, x):
            return super().forward(x).sum((1, 2))

    model, data = Model().double(), [torch.randn(4, 3, dtype=DOUBLE)]
    asked = {"layers": ["linear", "linear:input", ":tanh"], "data": data}
    expected, found = run(model, **asked), run(wrapped(model), **asked)
    assert list(found.layers) == list(expected.layers) == ["linear:input", "linear", ":tanh"]
    for name, layer in found.layers.items():
        torch.testing.assert_close(layer.power, expected.layers[name].power)
    compiled = any(type(part).__name__ == "OptimizedModule" for part in wrapped(model).modules())
    assert any("before torch.compile" in note for note in found.notes) == compiled
    torch._dynamo.reset()


def test_a_compiled_model_is_called_as_it_is_where_no_layers_are_asked():
    calls = []

    def backend(graph, inputs):
        calls.append(graph)
        return graph.forward

    report = run(torch.compile(Shift().eval(), backend=backend), layers=None, outputs={"y": "vector"})
    assert calls and not report.warnings
    torch._dynamo.reset()


def test_programs_of_torch_export_are_audited_and_their_layers_said_not_to_be_called():
    class Model(Tanh):
        def forward(self, x):
            return super().forward(x).sum((1, 2))

    model, data = Model().double(), [torch.randn(4, 3, dtype=DOUBLE)]
    rows = {"x": {0: torch.export.Dim("copies")}}
    program = torch.export.export(model, (data[0].expand(5, 4, 3),), dynamic_shapes=rows).module()
    report, expected = run(program, data=data, layers=["linear", ":tanh"]), run(model, data=data, layers=":tanh")
    assert report.outputs["y"].rmse == pytest.approx(expected.outputs["y"].rmse)
    torch.testing.assert_close(report.layers[":tanh"].power, expected.layers[":tanh"].power)
    assert any("linear was left out" in warning and "torch.export" in warning for warning in report.warnings)


@pytest.mark.parametrize("where", ["forward", "around"])
def test_layers_are_heard_in_inference_mode(where):
    class Inference(Tanh):
        def forward(self, x):
            with torch.inference_mode(where == "forward"):
                return super().forward(x).sum((1, 2))

    torch.manual_seed(0)
    model = Inference()
    data = [torch.randn(4, 3)]
    with torch.inference_mode(where == "around"):
        found = run(model, data=data)
    where = None  # read by the model
    expected = run(model, data=data)
    assert list(found.layers) == ["linear"]
    torch.testing.assert_close(found.layers["linear"].power, expected.layers["linear"].power, rtol=1e-6, atol=1e-12)
    assert found.outputs["y"].rmse == pytest.approx(expected.outputs["y"].rmse, rel=1e-6)
    # what was kept by caches can be differentiated
    grid = eq.quadrature(8)
    values = torch.randn(len(grid), dtype=DOUBLE, requires_grad=True)
    eq.character_power(values, grid, 2).sum().backward()


def test_grids_made_in_inference_mode_can_be_differentiated_later():
    with torch.inference_mode():
        grid = eq.quadrature(17, group="SO3")
        assert grid.rotations.shape == (len(grid), 3, 3)
    values = grid.rotations[:, 0, 0].clone().requires_grad_()
    eq.character_power(values, grid, 1).sum().backward()
    assert float(values.grad.abs().max()) > 0


def test_values_in_a_buffer_used_again_are_copied_when_there_are_several_calls():
    buffer = np.zeros((2, 4, 3))

    def through_numpy(x):
        buffer[...] = 2 * x.numpy()
        return torch.from_numpy(buffer)

    net = Net(Returns(through_numpy))
    with Capture(net, ["parts.0"], copy=True) as capture, torch.no_grad():
        given = [torch.randn(2, 4, 3, dtype=DOUBLE) for _ in range(3)]
        for x in given:
            net(x)
        captured = capture.take(3)
    torch.testing.assert_close(captured["parts.0"], 2 * torch.stack(given), rtol=0, atol=0)


def test_layers_in_a_buffer_used_again_are_right_in_a_loop():
    buffer = np.zeros((4, 3))

    def through_numpy(x):
        buffer[...] = np.tanh(x.numpy())
        return torch.from_numpy(buffer)

    class Loop(Net):
        def forward(self, x):
            self.parts[0](x)
            return x.square().sum()

    data = [torch.randn(4, 3, dtype=DOUBLE)]
    found = run(Loop(Returns(through_numpy)), data=data, batching="loop")
    expected = run(Loop(Returns(torch.tanh)), data=data, batching="loop")
    torch.testing.assert_close(found.layers["parts.0"].power, expected.layers["parts.0"].power)


def test_a_number_of_calls_that_changes_is_left_out_and_said():
    calls = [0]

    def twice_at_first(x):
        calls[0] += 1
        return x

    class Varying(Net):
        def forward(self, x):
            for _ in range(2 if calls[0] == 0 else 1):
                self.parts[0](x)
            return self.parts[1](x)

    net = Varying(Returns(twice_at_first), torch.nn.Linear(3, 2))
    x = torch.randn(2, 4, 3)
    with Capture(net, ["parts.0", "parts.1"]) as capture, torch.no_grad():
        net(x)
        assert list(capture.take()) == ["parts.0", "parts.0#2", "parts.1"]
        net(x)
        assert list(capture.take()) == ["parts.0", "parts.1"]
        assert "same number of times" in capture.notes()["parts.0#2"]


def test_calls_that_differ_from_copy_to_copy_are_left_out_and_said():
    calls = [0]

    class Varying(Net):
        def forward(self, x):
            calls[0] += 1
            for _ in range(1 + calls[0] % 2):
                self.parts[0](x)
            self.parts[1](x[..., : calls[0]])
            return self.parts[2](x)

    net = Varying(torch.nn.Identity(), torch.nn.Identity(), torch.nn.Linear(3, 2))
    captured, notes = heard(net, "parts.*", calls=2)
    assert list(captured) == ["parts.2"]
    assert "3 times in 2 calls" in notes["parts.0"] and "shape differs" in notes["parts.1"]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_rows_of_nested_tensors_are_taken_without_padding():
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 2).eval()
    mask = torch.tensor([[False, False, False, True], [False] * 4])
    x = torch.randn(2, 4, 8)
    with Capture(encoder, ["layers.0", "layers.1"]) as capture, torch.no_grad():
        encoder(x, src_key_padding_mask=mask)
        captured = capture.take()
    assert captured["layers.0"].shape == (7, 8)
    encoder.enable_nested_tensor = False
    encoder.use_nested_tensor = False
    with Capture(encoder, ["layers.0"]) as capture, torch.no_grad():
        encoder(x, src_key_padding_mask=mask)
        dense = capture.take()["layers.0"]
    torch.testing.assert_close(captured["layers.0"], dense[~mask], rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_padded_transformer_is_audited_on_its_real_rows():
    class Padded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Linear(3, 8)
            self.encoder = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)

        def forward(self, p, mask):
            return self.encoder(self.embed(p), src_key_padding_mask=mask).masked_fill(mask[..., None], 0).sum((1, 2))

    data = [{"p": torch.randn(5, 3), "mask": torch.arange(5) >= real} for real in (3, 4)]
    asked = {"outputs": {"y": "scalar"}, "layers": ["encoder.layers", "encoder.layers.*"], "lmax": 1, "degree": 6}
    report = eq.audit(Padded(), data, inputs={"p": "vector"}, progress=False, **asked)
    # in one batch with a longer system, a shorter one would have been padded
    assert {name: layer.samples for name, layer in report.layers.items()} == dict.fromkeys(
        ["encoder.layers.0", "encoder.layers.1"], 7
    )
    assert not any("encoder.layers" in warning for warning in report.warnings)


def test_names_of_leaves_lead_back_to_their_module():
    vector, scalar = eq.Representation.parse("vector"), eq.Representation.parse("scalar")
    declared = {"a": vector, "a.b": scalar}
    for leaf in ("a", "a#2", "a[0]", "a[1]#3", "a['x']", "a['x'][0]"):
        assert representation_of(leaf, declared) is vector
    assert representation_of("a.b['y']#2", declared) is scalar
    for leaf in ("ab", "b", "a.c", "a.bc", "a#", "a[0"):
        assert representation_of(leaf, declared) is None
    assert place_of("a.b[0]#2", ["a", "a.b"]) == "a.b"


SIGNS = ("x[0]", "q#2", "mtt::dos", "x:relu", "it's[1]", "*", "a b")


class Heads(torch.nn.Module):
    """Modules under keys that hold the signs that names of tensors are made of."""

    def __init__(self):
        super().__init__()
        self.heads = torch.nn.ModuleDict({key: torch.nn.ModuleList([torch.nn.Linear(3, 4)]) for key in SIGNS})
        self.last = Returns(lambda x: {"a[b]": x, "c:d": x})

    def forward(self, x):
        return self.last(torch.stack([head[0](x) for head in self.heads.values()]).relu().sum(0))["c:d"]


@pytest.mark.parametrize("key", SIGNS)
def test_modules_are_heard_whatever_signs_are_in_their_names(key):
    net, x = Heads(), torch.randn(2, 4, 3)
    captured, notes = heard(net, "**", x=x)
    name = f"heads.{key!r}.0" if set(key) & set("[]#:") else f"heads.{key}.0"
    assert not notes and len(captured) == len(SIGNS) + 2 and list(captured)[-2:] == ["last['a[b]']", "last['c:d']"]
    assert torch.equal(captured[name][0], net.heads[key][0](x))
    # a name of the report is a pattern, and so is torch's own
    for pattern in (name, f"heads.{key}.0", "heads.*.0", "heads.**"):
        assert torch.equal(heard(net, pattern, x=x)[0][name], captured[name])
    assert torch.equal(heard(net, f"{name}:input", x=x)[0][f"{name}:input"][0], x)
    assert torch.equal(heard(net, f"{name}:linear", x=x)[0][f"{name}:linear"], captured[name])


def test_modules_with_signs_in_their_names_are_audited_and_declared_by_them():
    net = Net(Heads())
    report = run(net, layers={"parts.0.heads.mtt::dos.0": "invariant", "parts.0.heads.*.0:input": "vector"})
    breaks = [name for name, layer in report.layers.items() if layer.rmse > 1e-5]
    assert breaks == ["parts.0.heads.'mtt::dos'.0"] and len(report.layers) == len(SIGNS) + 1


class Block(torch.nn.Module):
    """What people write in a forward: functions, methods and operators of torch, and a module within."""

    def __init__(self):
        super().__init__()
        self.linear, self.act = torch.nn.Linear(3, 3), torch.nn.SiLU()

    def forward(self, x, shift=None, *, scale=1.0):
        x = torch.nn.functional.relu(self.linear(x)) + x.relu()
        if shift is not None:
            x = x + shift
        left, right = torch.split(x.softmax(-1), [1, 2], -1)
        return self.act(torch.cat([left, right], -1)).relu_() * scale


class Blocks(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.block = torch.nn.ModuleList([Block(), Block()])

    def forward(self, x):
        x = self.block[0](x)
        return torch.tanh(self.block[1](x, shift=x, scale=2.0)).sum((1, 2))


def test_inputs_of_modules_have_names_by_position_and_keyword():
    net, x = Blocks(), torch.randn(2, 4, 3)
    captured, notes = heard(net, "block.0", "block.*:input", ":input", x=x)
    assert list(captured) == [":input", "block.0:input", "block.0", "block.1:input[0]", "block.1:input['shift']"]
    assert not notes and torch.equal(captured[":input"][0], x) and torch.equal(captured["block.0:input"][0], x)
    assert torch.equal(captured["block.1:input['shift']"], captured["block.0"])
    dictionary = Net(Returns(lambda x: x), Returns(lambda batch: batch["x"]))
    dictionary.forward = lambda x: dictionary.parts[1]({"x": dictionary.parts[0](x)})
    assert list(heard(dictionary, "parts.*:input")[0]) == ["parts.0:input", "parts.1:input['x']"]


def test_keys_of_a_report_are_patterns_for_single_tensors():
    net = Net(Returns(lambda x: (x, x.norm(dim=-1, keepdim=True))), torch.nn.Identity())
    net.forward = lambda x: net.parts[1](net.parts[1](net.parts[0](x)[0]))
    captured, notes = heard(net, "parts.*[1]", "parts.1#2", "parts.1:norm")
    assert list(captured) == ["parts.0[1]", "parts.1#2"]
    assert list(notes) == ["parts.1:norm", "parts.1[1]"]
    assert "those that did: parts.1, parts.1#2" in notes["parts.1[1]"]
    net.forward = lambda x: net.parts[1](net.parts[0](x)[0]).square().sum((1, 2))
    report = run(net, layers={"parts.0[0]": "vector", "parts.0[1]": "scalar"})
    assert [layer.rmse < 1e-6 for layer in report.layers.values()] == [True, True]


def test_functions_are_heard_in_the_forward_in_which_they_stand():
    net, x = Blocks(), torch.randn(2, 4, 3)
    captured, notes = heard(net, "block.0:*", "block.0.act:silu", ":tanh", x=x)
    assert list(captured) == [
        *("block.0:relu", "block.0:relu#2", "block.0:softmax", "block.0.act:silu", "block.0:relu#3", ":tanh")
    ]
    assert not notes
    torch.testing.assert_close(captured["block.0:relu"][0], net.block[0].linear(x).relu())
    torch.testing.assert_close(captured["block.0:relu#2"][0], x.relu())
    # any function of torch has a name to ask for; only those of torch.nn.functional fit a wildcard
    assert list(heard(net, "block.1:split", "block.1:cat")[0]) == [
        "block.1:split[0]",
        "block.1:split[1]",
        "block.1:cat",
    ]
    assert list(heard(net, "**:softm?x")[0]) == ["block.0:softmax", "block.1:softmax"]


def test_functions_that_are_not_called_are_said_where_they_were_asked_for():
    captured, notes = heard(Blocks(), "**:silu")
    assert list(captured) == ["block.0.act:silu", "block.1.act:silu"] and not notes
    _, notes = heard(Blocks(), "block.0:silu", "block.*:gelu")
    assert list(notes) == ["block.*:gelu", "block.0:silu"]
    assert "relu, split" in notes["block.0:silu"].replace("softmax, ", "").replace("add, ", "")
    for pattern, near in (("block.0:rleu", "relu"), ("block.0:inputs", "input"), ("block.0:x*", "torch.nn.functional")):
        with pytest.raises(eq.errors.ArgumentError, match=f"layers: .*{near}"):
            matching_places(Blocks(), [pattern])
    with pytest.raises(eq.errors.ArgumentError, match=r"fits none of the 7 modules \(nearest: block\.1, block\.0"):
        matching_places(Blocks(), ["block.3:input"])


def test_a_pattern_by_which_nothing_came_is_told_once():
    captured, notes = heard(Blocks(), "**:gelu", "**:relu")
    assert list(notes) == ["**:gelu"] and "block.0:relu" in captured
    reason = notes["**:gelu"]
    assert reason.startswith("nothing came by it from the 8 modules that it fits (functions heard there: ")
    assert all(name in reason for name in ("relu", "softmax", "silu", "tanh"))
    # one that some have is no loss, and one that was asked for by its name is one of its own
    assert list(heard(Blocks(), "**:silu", "block.0.act:gelu")[1]) == ["block.0.act:gelu"]
    assert list(heard(Blocks(), "block.*[3]")[1]) == ["block.*[3]"]
    report = run(Blocks(), layers=["**:gelu", "block.*"], outputs={}, data=[torch.randn(4, 3)])
    (line,) = [line for line in report.warnings if "left out" in line]
    assert line.startswith("layer **:gelu was left out: nothing came by it from the 8 modules")


def test_functions_that_return_no_tensor_are_not_offered():
    def sized(x):
        assert x.dim() == 3 and x.size(-1) == 3 and x.is_floating_point() and torch.is_tensor(x)
        return torch.relu(x) if x.numel() else x

    (reason,) = heard(Net(Returns(sized)), "parts.0:gelu")[1].values()
    assert reason.endswith("(functions heard there: relu)")


@pytest.mark.parametrize("weights", [True, False])
def test_attention_of_torch_is_heard_as_one_call(weights):
    # the table of docs/layers.md
    attention, x = torch.nn.MultiheadAttention(4, 2, batch_first=True), torch.randn(2, 3, 4)
    net = Net(attention)
    net.forward = lambda x: net.parts[0](x, x, x, need_weights=weights)[0]
    captured, notes = heard(net, "parts.0", "parts.0:softmax", "parts.0:scaled_dot_product_attention", x=x)
    assert list(captured) == ["parts.0[0]", "parts.0[1]"][: 1 + weights]
    assert list(notes) == ["parts.0:scaled_dot_product_attention", "parts.0:softmax"]
    if weights:
        torch.testing.assert_close(captured["parts.0[1]"][0].sum(-1), torch.ones(2, 3))
    net.forward = lambda x: torch.nn.functional.scaled_dot_product_attention(x, x, x)
    assert list(heard(net, ":scaled_dot_product_attention", ":softmax", x=x)[0]) == [":scaled_dot_product_attention"]


def test_functions_are_heard_beside_modes_and_after_a_forward_that_failed():
    net, x = Blocks(), torch.randn(2, 4, 3)
    with Capture(net, [":tanh"]) as capture, torch.no_grad():
        for shape in ((2, 4, 5), (2, 4, 3)):
            capture.clear()
            with capture.listening(), torch.device("cpu"), contextlib.suppress(RuntimeError):
                net(torch.randn(shape))
        assert list(capture.take()) == [":tanh"]
    assert not torch.overrides._get_current_function_mode_stack()
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in net.modules())
    net(x)


def test_inputs_and_functions_are_audited_with_what_is_declared_of_them():
    class Vectors(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.part = Returns(lambda x: torch.nn.functional.normalize(x, dim=-1) + 0.1)

        def forward(self, x):
            return torch.nn.functional.relu(self.part(x + 0.2)).sum((1, 2))

    asked = {"part:input": "vector", "part:norm*": "vector", "part": "vector", "**:relu": None}
    report = run(Vectors(), layers=asked, data=[torch.randn(4, 3, dtype=DOUBLE)])
    assert list(report.layers) == ["part:input", "part:normalize", "part", ":relu"]
    # a constant vector c turns into g^-1 c: the variance per component is c^2
    assert report.layers["part:input"].rmse == pytest.approx(0.2, rel=1e-6)
    assert report.layers["part:normalize"].rmse > 1e-2
    assert not hasattr(report.layers[":relu"], "rmse")


def test_helpers_of_e3nn_fit_no_wildcard():
    from e3nn import o3

    net = Net(o3.FullyConnectedTensorProduct("1o", "1o", "2x0e+1e"))
    assert not [name for name in matching_places(net, ["**"]) if "_compiled_" in name]
    assert matching_places(net, ["parts.0._compiled_*"])
    net.forward = lambda x: net.parts[0](x, x)[..., 0].sum(1)
    report = run(net, layers=["parts.*", "parts.*:input"])
    # representations are read off both factors and the product
    assert {name: layer.rmse < 1e-6 for name, layer in report.layers.items()} == dict.fromkeys(
        ["parts.0:input[0]", "parts.0:input[1]", "parts.0"], True
    )


class Shift(torch.nn.Module):
    def forward(self, p):
        return p + 0.1


class WithNorm(torch.nn.Module):
    def forward(self, p):
        return p + 0.1, p.norm(dim=-1)


class Twice(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Shift(), WithNorm()

    def forward(self, p):
        return self.b(self.a(self.a(p)))[0].square().sum((1, 2))


def test_declared_layers_keep_their_declaration_per_call_and_leaf():
    report = run(Twice(), layers={"a": "vector", "b": "vector"}, data=[torch.randn(4, 3, dtype=DOUBLE)])
    errors = {name: getattr(layer, "rmse", None) for name, layer in report.layers.items()}
    # a constant vector c turns into g^-1 c: the variance per component is c^2 = 0.1^2
    assert errors["a"] == pytest.approx(0.1, rel=1e-6)
    assert errors["a#2"] == pytest.approx(0.2, rel=1e-6)
    assert errors["b[0]"] == pytest.approx(0.3, rel=1e-6)
    assert errors.get("b[1]") is None
    assert any("b[1]" in warning and "vector" in warning for warning in report.warnings)


def test_axes_of_three_before_the_components_of_a_layer_are_refused_unless_they_are_meant():
    # one tensor of rank 3 for each copy, or three of rank 2: the word does not say
    net = Net(Returns(lambda x: torch.einsum("bni,bnj,bnk->bijk", x, x, x)))
    data = [torch.randn(4, 3, dtype=DOUBLE)]
    with pytest.raises(
        eq.errors.ShapeError, match=r"layers\['parts.0'\].*\(3, 3, 3\), which may be a tensor of rank 3"
    ):
        run(net, layers={"parts.0": "tensor"}, data=data)
    meant = run(net, layers={"parts.0": eq.Representation.parse("tensor")}, data=data).layers["parts.0"]
    assert meant.samples * meant.channels == 3 and meant.rmse > 0
    # rows of one axis before the components say enough
    net = Net(Returns(lambda x: torch.einsum("bni,bnj->bnij", x, x)))
    assert run(net, layers={"parts.0": "tensor"}, data=data).layers["parts.0"].rmse < 1e-12

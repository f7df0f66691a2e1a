"""How a model is called: by its signature or as `call` says; with gradients where it needs them."""

import dataclasses
import functools
import gc
import weakref

import pytest
import torch

import equiscope as eq
from equiscope.errors import ArgumentError, DTypeError, ModelError

QUICK = {"lmax": 1, "degree": 4, "shift": None, "progress": False}
GENERATOR = torch.Generator().manual_seed(0)
POINTS = [torch.randn(4, 3, dtype=torch.float64, generator=GENERATOR) for _ in range(2)]
ASKED = {"inputs": {"pos": "vector"}, **QUICK}


def energy(pos):
    return (pos.square().sum(-1) + pos[..., 2].abs()).sum(-1)


def joined(pos, batch):
    rows = pos.square().sum(-1) + pos[:, 2].abs()
    return torch.zeros(int(batch.max()) + 1, dtype=pos.dtype).index_add(0, batch, rows)


@pytest.fixture(scope="module")
def plain():
    return eq.audit(energy, POINTS, inputs="vector", outputs={"e": "scalar"}, **QUICK).outputs["e"].rmse


@dataclasses.dataclass
class Item:
    pos: torch.Tensor
    z: torch.Tensor


class Callable:
    def __call__(self, item):
        return energy(item.pos)


# -- signatures ------------------------------------------------------------------------------------------------------

OF_DICTS = {
    "keywords": (lambda pos, z: energy(pos), None),
    "some of them": (lambda pos: energy(pos), "model(pos=)"),
    "the dict": (lambda data: energy(data["pos"]), "model(dict)"),
    "the dict, called like a key": (lambda data, **rest: energy(data["pos"]), "model(dict)"),
    "the dict, and defaults": (lambda data, scale=1.0: scale * energy(data["pos"]), "model(dict)"),
    "any keywords": (lambda **parts: energy(parts["pos"]), None),
    "positions alone": (lambda data, /: energy(data["pos"]), "model(dict)"),
}
JOINED = {
    "keywords": (lambda pos, z, batch: joined(pos, batch), None),
    "the dict, called batch": (lambda batch: joined(batch["pos"], batch["batch"]), "model(dict)"),
    "the dict": (lambda data: joined(data["pos"], data["batch"]), "model(dict)"),
    "some of them": (lambda batch, pos: joined(pos, batch), "model(batch=, pos=)"),
}
OF_OBJECTS = {
    "the object": (lambda item: energy(item.pos), "model(an object with attributes)"),
    "the object, and defaults": (lambda item, scale=1.0: energy(item.pos), "model(an object with attributes)"),
    "the object, anything more": (lambda *a, **k: energy(a[0].pos), "model(an object with attributes)"),
    "an object that is called": (Callable(), "model(an object with attributes)"),
    "attributes": (lambda z, pos: energy(pos), "model(z=, pos=)"),
    "one attribute": (lambda pos: energy(pos), "model(pos=)"),
    "attributes, defaults among them": (lambda pos, z=None, edges=None: energy(pos), "model(pos=, z=)"),
    "attributes, all with defaults": (lambda edges=None, pos=None: energy(pos), "model(pos=)"),
    "any attributes": (lambda **parts: energy(parts["pos"]), "model(pos=, z=)"),
}


@pytest.mark.parametrize("model, said", OF_DICTS.values(), ids=OF_DICTS)
def test_models_of_dicts_are_called_as_their_signature_says(model, said, plain):
    data = [{"pos": pos, "z": torch.arange(4)} for pos in POINTS]
    report = eq.audit(model, data, outputs={"e": "scalar"}, **ASKED)
    assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12) and report.settings.get("call") == said


@pytest.mark.parametrize("model, said", JOINED.values(), ids=JOINED)
def test_the_number_of_the_copy_belongs_to_the_batch(model, said, plain):
    data = [{"pos": pos, "z": torch.arange(4)} for pos in POINTS]
    report = eq.audit(model, data, outputs={"e": "scalar"}, batching="concat", **ASKED)
    assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12) and report.settings.get("call") == said


@pytest.mark.parametrize("model, said", OF_OBJECTS.values(), ids=OF_OBJECTS)
def test_models_of_objects_are_called_as_their_signature_says(model, said, plain):
    data = [Item(pos, torch.arange(4)) for pos in POINTS]
    report = eq.audit(model, data, outputs={"e": "scalar"}, **ASKED)
    assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12) and report.settings["call"] == said


def test_what_a_model_does_not_take_is_said_and_refused_where_it_turns():
    data = [{"pos": pos, "z": torch.arange(4)} for pos in POINTS]
    report = eq.audit(lambda pos: energy(pos), data, outputs={"e": "scalar"}, **ASKED)
    assert report.warnings == ["the model has no parameter for `z`: it was called without"]
    with pytest.raises(ArgumentError, match=r"inputs that the model takes, got 'pos'"):
        eq.audit(lambda z: z.double().sum(-1), data, outputs={"e": "scalar"}, **ASKED)


@pytest.mark.parametrize("way", ["by a pattern", "within a container", "by a pattern within"])
def test_what_turns_by_any_name_and_is_not_taken_is_refused(way):
    within = "within" in way
    extra = {"vel": {"now": POINTS[0], "n": 4} if within else POINTS[0]}
    inputs = {"pos": "vector", {"within a container": "vel.now"}.get(way, "vel.*" if within else "ve*"): "vector"}
    with pytest.raises(ArgumentError, match=r"inputs: expected inputs that the model takes, got 'vel', for which"):
        eq.audit(
            lambda pos: energy(pos), [{"pos": POINTS[0], **extra}], outputs={"e": "scalar"}, inputs=inputs, **QUICK
        )


def test_keys_that_are_no_words_can_only_be_of_the_whole_dict(plain):
    data = [{0: pos, "a b": torch.arange(4)} for pos in POINTS]
    report = eq.audit(lambda x: energy(x[0]), data, inputs={"0": "vector"}, outputs={"e": "scalar"}, **QUICK)
    assert report.outputs["e"].rmse == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize(
    "model, data, message",
    [
        (torch.nn.Linear, POINTS[0], r"model: expected a torch\.nn\.Module or a callable, got the class Linear"),
        (torch.nn.Linear(3, 1), POINTS[0], r"\(dtype=torch\.float32 brings data to that of the model\)"),
        (lambda x: {"e": energy(x)} if len(x[0]) > 4 else {"f": x}, POINTS[0], r"returns for system 0 \(f\), got 'e'"),
    ],
)
def test_what_is_given_by_mistake_is_named(model, data, message):
    with pytest.raises((ArgumentError, DTypeError), match=message):
        eq.audit(model, [data], inputs="vector", outputs={"e": "scalar"}, **QUICK)


# -- call= -----------------------------------------------------------------------------------------------------------


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 4, dtype=torch.float64)

    def encode(self, pos):
        return self.layer(pos).tanh().sum((-1, -2))

    def forward(self, data, scale):
        return {"energy": scale * self.encode(data["pos"]), "rest": [scale]}


def scaled(model, batch, scale):
    return model(batch, scale)


CALLS = {
    "a function": (lambda model, batch: model(batch, scale=2.0)["energy"], "<lambda>"),
    "a partial": (functools.partial(scaled, scale=2.0), "partial"),
    "that picks": (lambda model, batch: 2.0 * model.encode(batch["pos"]), "<lambda>"),
}


@pytest.mark.parametrize("call, said", CALLS.values(), ids=CALLS)
def test_a_function_says_how_and_layers_are_heard_all_the_same(call, said):
    torch.manual_seed(0)
    net, data = Net(), [{"pos": pos} for pos in POINTS]
    name = "energy" if isinstance(call, functools.partial) else "e"
    found = eq.audit(net, data, outputs={name: "scalar"}, layers="*", call=call, **ASKED)
    one = eq.audit(net, data, outputs={"e": "scalar"}, layers="*", call="encode", **ASKED)
    assert found.outputs[name].rmse == pytest.approx(2 * one.outputs["e"].rmse, rel=1e-12)
    assert found.settings["call"] == said and one.settings["call"] == "model.encode()"
    assert list(found.layers) == list(one.layers) == ["layer"]
    torch.testing.assert_close(found.layers["layer"].power, one.layers["layer"].power)


@pytest.mark.parametrize(
    "call, message",
    [
        ("decode", r"call: expected a method of Net \(.*encode.*\), got 'decode'"),
        ("layer.weight", "call: expected a method of Net"),
        (3, "call: expected the name of a method, or a function of the model and a batch, got 3"),
    ],
)
def test_calls_that_cannot_be_are_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        eq.audit(Net(), [{"pos": POINTS[0]}], outputs={"e": "scalar"}, call=call, **ASKED)


def test_constants_that_are_keywords_reach_the_model_each_time():
    seen = []

    def model(pos, mode, sizes, *, weight=0.0):
        seen.append((mode, tuple(sizes), weight))
        sizes.append(1)
        return energy(pos) * weight

    data = [{"pos": POINTS[0], "mode": "fine", "sizes": [2, 3], "weight": 2.0}]
    eq.audit(model, data, outputs={"e": "scalar"}, **ASKED)
    assert set(seen) == {("fine", (2, 3), 2.0)} and data[0]["sizes"] == [2, 3]


# -- gradients -------------------------------------------------------------------------------------------------------


def potential(pos):
    """Of distances, and of height: the force along z is wrong by a sign."""
    return ((pos[..., :, None, :] - pos[..., None, :, :]).square().sum(-1) + 1).log().sum((-1, -2)) + energy(pos)


def by_grad(pos):
    pos.requires_grad_(True)
    e = potential(pos)
    return {"e": e, "f": -torch.autograd.grad(e.sum(), pos)[0]}


def by_backward(pos):
    pos.requires_grad_(True)
    e = potential(pos)
    e.sum().backward()
    return {"e": e, "f": -pos.grad}


def by_a_caller_who_asks(pos):
    """Leaves it to the caller to say by what is differentiated."""
    e = potential(pos)
    return {"e": e, "f": -torch.autograd.grad(e.sum(), pos)[0]}


def by_strain(pos):
    strain = torch.zeros(pos.shape[0], 3, 3, dtype=pos.dtype, requires_grad=True)
    e = potential(pos + pos @ strain)
    return {"e": e, "s": torch.autograd.grad(e.sum(), strain)[0]}


def by_func(pos):
    return {"e": potential(pos), "f": -torch.func.grad(lambda x: potential(x).sum())(pos)}


def with_its_own_grad_mode(pos):
    with torch.enable_grad():
        return by_grad(pos.clone())


DIFFERENTIATE = {
    "autograd.grad": (by_grad, "on: the model differentiates"),
    "backward": (by_backward, "on: the model differentiates"),
    "by inputs": (by_a_caller_who_asks, "on, by the inputs that rotate: the model differentiates"),
    "torch.func": (by_func, None),
    "its own mode": (with_its_own_grad_mode, None),
}


@pytest.fixture(scope="module")
def derived():
    """Energy and force with the derivative written out."""

    def forces(pos):
        away = pos[..., :, None, :] - pos[..., None, :, :]
        pairs = 4 * away / (away.square().sum(-1, keepdim=True) + 1)
        push = 2 * pos + torch.tensor([0.0, 0, 1]).double() * pos.sign()
        return {"e": potential(pos), "f": -pairs.sum(-2) - push}

    return eq.audit(forces, [{"pos": pos} for pos in POINTS], outputs={"e": "scalar", "f": "vector"}, **ASKED)


@pytest.mark.parametrize("batching", ["stack", "loop"])
@pytest.mark.parametrize("model, said", DIFFERENTIATE.values(), ids=DIFFERENTIATE)
def test_models_that_differentiate_are_found_and_right(model, said, batching, derived):
    data, outputs = [{"pos": pos} for pos in POINTS], {"e": "scalar", "f": "vector"}
    report = eq.audit(model, data, outputs=outputs, batching=batching, **ASKED)
    for name in outputs:
        assert report.outputs[name].rmse == pytest.approx(derived.outputs[name].rmse, rel=1e-10)
    assert report.settings.get("grad") == said


def test_models_by_strain_differentiate_too():
    def written_out(pos):
        pushed = 2 * pos + torch.tensor([0.0, 0, 1]).double() * pos.sign()
        away = pos[..., :, None, :] - pos[..., None, :, :]
        pairs = 2 * away / (away.square().sum(-1, keepdim=True) + 1)
        return {"e": potential(pos), "s": pos.mT @ pushed + (away[..., None] * pairs[..., None, :]).sum((-4, -3))}

    asked = {"outputs": {"e": "scalar", "s": "tensor"}, **ASKED}
    data = [{"pos": pos} for pos in POINTS]
    report, known = eq.audit(by_strain, data, **asked), eq.audit(written_out, data, **asked)
    assert report.settings["grad"] == "on: the model differentiates"
    assert report.outputs["s"].rmse == pytest.approx(known.outputs["s"].rmse, rel=1e-10)


def test_gradients_can_be_forbidden_and_asked_for():
    data, outputs = [{"pos": POINTS[0]}], {"e": "scalar", "f": "vector"}
    with pytest.raises(ModelError, match=r"grad=False it runs under torch\.no_grad"):
        eq.audit(by_grad, data, outputs=outputs, grad=False, **ASKED)

    def only_if_recorded(pos):
        return by_grad(pos) if torch.is_grad_enabled() else {"e": potential(pos)}

    with pytest.raises(ArgumentError, match="outputs: expected names that the model returns"):
        eq.audit(only_if_recorded, data, outputs=outputs, **ASKED)
    assert eq.audit(only_if_recorded, data, outputs=outputs, grad=True, **ASKED).outputs["f"].rmse > 0
    with pytest.raises(ArgumentError, match="grad: expected True, False or None"):
        eq.audit(by_grad, data, outputs=outputs, grad="yes", **ASKED)


class Potential(torch.nn.Module):
    """Differentiates in forward, and has layers."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Linear(3, 4, dtype=torch.float64)
        self.act = torch.nn.SiLU()

    def forward(self, pos):
        pos.requires_grad_(True)
        e = self.act(self.embed(pos)).sum((-1, -2))
        return {"e": e, "f": -torch.autograd.grad(e.sum(), pos)[0]}


def test_a_first_call_that_failed_leaves_no_layers_behind():
    torch.manual_seed(0)
    net, data = Potential(), [{"pos": pos} for pos in POINTS]
    asked = {"outputs": {"e": "scalar", "f": "vector"}, "layers": "*", **ASKED}
    found, told = eq.audit(net, data, **asked), eq.audit(net, data, grad=True, **asked)
    assert list(found.layers) == list(told.layers) == ["embed", "act"]
    assert not any("left out" in warning for warning in found.warnings)
    for name, layer in found.layers.items():
        assert torch.equal(layer.power, told.layers[name].power)


@pytest.mark.parametrize("layers", [None, "*"])
def test_no_graph_outlives_its_batch(layers):
    torch.manual_seed(0)
    alive, most = weakref.WeakSet(), []

    class Watched(Potential):
        def forward(self, pos):
            returned = super().forward(pos)
            alive.add(returned["e"])
            most.append(len(alive))
            return returned

    def graphs():
        return [value for value in gc.get_objects() if type(value) is torch.Tensor and value.grad_fn is not None]

    gc.collect()
    others = graphs()  # of tests before this one; held, so that none of these takes the place of another
    asked = {"outputs": {"e": "scalar", "f": "vector"}, "layers": layers, **ASKED}
    report = eq.audit(Watched(), [{"pos": pos} for pos in POINTS], batch_rows=80, **asked)
    gc.collect()
    assert len(most) > 10 and max(most) <= 2 and len(alive) == 0
    assert not report.outputs["e"].power.requires_grad
    assert len(graphs()) == len(others)


def test_the_users_tensors_and_parameters_are_left_without_gradients():
    torch.manual_seed(0)
    net, data = Potential(), [{"pos": pos.clone()} for pos in POINTS]

    def backwards(model, batch):
        returned = model(**batch)
        returned["e"].sum().backward()
        return returned

    eq.audit(net, data, outputs={"e": "scalar"}, grad=True, **ASKED)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(system["pos"].requires_grad for system in data)


@pytest.mark.parametrize("failing", [False, True])
def test_gradients_of_parameters_are_as_before_though_the_model_calls_backward(failing):
    torch.manual_seed(0)
    net = Potential()
    weights = list(net.parameters())
    net.act(net.embed(POINTS[0])).sum().backward()
    weights[-1].grad = None
    before = [(weight.grad, None if weight.grad is None else weight.grad.clone()) for weight in weights]
    assert [grad is None for grad, _ in before] == [False] * (len(weights) - 1) + [True]

    def forces(model, batch):
        pos = batch["pos"].requires_grad_()
        model.act(model.embed(pos)).sum().backward()
        if failing:
            raise RuntimeError("in the middle")
        return {"f": pos.grad}

    asked = {"outputs": {"f": "vector"}, "call": forces, "grad": True, **ASKED}
    if failing:
        with pytest.raises(RuntimeError, match="in the middle"):
            eq.audit(net, [{"pos": POINTS[0]}], **asked)
    else:
        eq.audit(net, [{"pos": POINTS[0]}], **asked)
    for weight, (grad, values) in zip(weights, before, strict=True):
        assert weight.grad is grad and (grad is None or torch.equal(grad, values))

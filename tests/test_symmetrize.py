"""Symmetrised models: averages and spreads with known answers, and gradients against those of sums written out."""

import copy
import dataclasses
import math
import pickle
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

import equiscope as eq
from equiscope.errors import ArgumentError, DTypeError, ModelError, ShapeError
from equiscope.symmetrize import SymmetrizedModule

F64 = torch.float64
POINT = torch.tensor([0.48, -0.6, 0.64], dtype=F64)
"""Of length 1."""


def broken(positions):
    """Energies (..., ) of positions (..., n, 3), dipole and stress, none of which turns as it should."""
    distance = (positions.unsqueeze(-2) - positions.unsqueeze(-3)).square().sum(-1)
    x, y, z = positions.unbind(-1)
    energy = torch.exp(-distance).sum((-1, -2)) + 0.3 * torch.tanh(x * z + 0.5 * y).sum(-1)
    dipole = (positions * (1 + 0.2 * x.unsqueeze(-1))).sum(-2)
    stress = torch.stack([x * x, y * y, 2 * z * z, y * z, x * z, x * y], -1).sum(-2)
    return {"energy": energy, "dipole": dipole, "stress": stress, "atoms": positions.shape[-2]}


class Network(torch.nn.Module):
    """An energy that depends on the orientation through a layer."""

    def __init__(self, width=8, drop=0.0):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Tanh(), torch.nn.Dropout(drop))
        self.out = torch.nn.Linear(width, 1)
        self.to(F64)

    def forward(self, positions):
        return self.out(self.layers(positions)).sum((-1, -2))


def molecule(n=4, batch=()):
    return torch.randn(*batch, n, 3, dtype=F64)


KINDS = {"energy": "scalar", "dipole": "vector", "stress": "voigt"}
DECLARED = {"inputs": {"positions": "vector"}, "outputs": KINDS}


def written_out(model, positions, grid):
    """The averaged energy as one sum over copies, with an ordinary graph."""
    return grid.weights @ model(positions @ grid.rotations.to(positions.dtype).mT)


def fourth_order(f, x, step=1e-3):
    """Derivative of f at 0 of the number x."""
    return (8 * (f(x + step) - f(x - step)) - (f(x + 2 * step) - f(x - 2 * step))) / (12 * step)


# -- averages with known answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_functions_of_one_sector_have_the_average_and_spread_of_the_analytic_case(seed):
    cases = {
        lambda r: r[..., 2]: (0, 1 / 3),
        lambda r: 5 + r[..., 0] * r[..., 1]: (5, 1 / 15),
        lambda r: r[..., 2] + r.prod(-1): (0, 1 / 3 + 1 / 105),
    }
    for function, (mean, variance) in cases.items():
        sym = eq.symmetrize(
            function, inputs="vector", outputs="scalar", degree=6, seed=seed, batching="stack", batch=99
        )
        found = sym.with_spread(POINT)
        torch.testing.assert_close(found.outputs, torch.tensor(mean, dtype=F64), rtol=0, atol=1e-12)
        torch.testing.assert_close(found.variance["output"], torch.tensor(variance, dtype=F64), rtol=1e-12, atol=0)
        assert found.spread["output"] == found.variance["output"].sqrt() and found.error is None


@pytest.mark.parametrize(
    "kind, shape, kept, entries",
    [
        ("scalar", (), lambda c: c, 1),
        ("vector", (3,), torch.zeros_like, 3),
        ("pseudovector", (3,), torch.zeros_like, 3),
        ("tensor", (3, 3), lambda c: c.trace() / 3 * torch.eye(3, dtype=F64), 9),
        ("1x2e", (5,), torch.zeros_like, 5),
        ("2x0e+1x1o", (5,), lambda c: c * torch.tensor([1, 1, 0, 0, 0]), 5),
    ],
)
def test_of_a_constant_the_invariant_part_is_left_and_the_rest_is_spread(kind, shape, kept, entries):
    constant = torch.randn(shape, dtype=F64)
    sym = eq.symmetrize(lambda x: constant + 0 * x.sum(), inputs="vector", outputs=kind, basis="e3nn", degree=2)
    found = sym.with_spread(POINT)
    torch.testing.assert_close(found.outputs, kept(constant), rtol=0, atol=1e-13)
    variance = (constant.square().sum() - kept(constant).square().sum()) / entries
    torch.testing.assert_close(found.variance["output"], variance, rtol=1e-11, atol=1e-14)


def test_voigt_is_the_tensor_that_it_stands_for():
    tensor = torch.randn(3, 3, dtype=F64)
    tensor = tensor + tensor.mT
    voigt = tensor.flatten()[[0, 4, 8, 5, 2, 1]]
    pair = {"tensor": tensor, "voigt": voigt}
    sym = eq.symmetrize(lambda x: {k: v + 0 * x.sum() for k, v in pair.items()}, inputs="vector",
                        outputs={k: k for k in pair}, degree=2)  # fmt: skip
    found = sym.with_spread(POINT)
    torch.testing.assert_close(found.outputs["voigt"], found.outputs["tensor"].flatten()[[0, 4, 8, 5, 2, 1]])
    torch.testing.assert_close(found.variance["voigt"], found.variance["tensor"])


def test_average_and_spread_agree_with_random_rotations_by_hand():
    positions = molecule()
    found = eq.symmetrize(broken, degree=12, batching="stack", **DECLARED).with_spread(positions)
    rotations = torch.from_numpy(Rotation.random(20000, rng=1).as_matrix())
    rotations = rotations * torch.tensor([1.0, -1.0], dtype=F64).repeat(10000)[:, None, None]
    copies = broken(positions @ rotations.mT)
    turned_back = torch.einsum("gij,gi->gj", rotations, copies["dipole"])
    for name, values in (("energy", copies["energy"][:, None]), ("dipole", turned_back)):
        scatter = values.std(0) / 20000**0.5
        assert ((values.mean(0) - found.outputs[name]).abs() < 4 * scatter).all()
        variance = (values - values.mean(0)).square().mean(1)
        assert abs(variance.mean() - found.variance[name]) < 4 * variance.std() / 20000**0.5


def test_the_spread_of_a_large_energy_in_float32_keeps_its_digits():
    sym = eq.symmetrize(lambda r: 1e6 + 1e3 * r[..., 2], inputs="vector", outputs="scalar", degree=4, batching="stack")
    spread = sym.with_spread(POINT.float()).spread["output"]
    assert spread.dtype == torch.float32 and spread == pytest.approx(1e3 / 3**0.5, rel=1e-4)


def test_an_equivariant_model_is_left_as_it_is():
    def exact(positions):
        return {"energy": positions.square().sum((-1, -2)), "dipole": positions.sum(-2), "stress": None}

    positions = molecule()
    sym = eq.symmetrize(exact, inputs={"positions": "vector"}, outputs={"energy": "scalar", "dipole": "vector"},
                        degree=2)  # fmt: skip
    found = sym.with_spread(positions)
    assert all(float(spread) < 1e-14 for spread in found.spread.values()) and found.outputs["stress"] is None
    for name, value in exact(positions).items():
        if value is not None:
            torch.testing.assert_close(found.outputs[name], value)


def test_rotations_alone_keep_what_inversion_reverses():
    frame = torch.linalg.qr(torch.randn(3, 3, dtype=F64))[0]

    def volume(frame):
        return torch.linalg.det(frame)

    def averaged(group, kind="scalar"):
        return eq.symmetrize(volume, inputs="vector", outputs=kind, group=group, degree=1).with_spread(frame)

    kept = averaged("SO3")
    with pytest.warns(UserWarning, match=r"output: of 'scalar' nothing is left.*group='SO3'"):
        gone = averaged("O3")
    torch.testing.assert_close(averaged("O3", "pseudoscalar").outputs, kept.outputs)
    assert abs(kept.outputs) == pytest.approx(1) and float(kept.spread["output"]) < 1e-13
    assert abs(gone.outputs) < 1e-13 and float(gone.spread["output"]) == pytest.approx(1)


def test_any_group_will_do():
    class Mirror(eq.groups.Group):
        name, words = "mirror", "the mirror plane of x"

        def labels(self, lmax):
            return ("even", "odd")

        def character(self, label, elements):
            return torch.ones(len(elements)) if label == "even" else elements[:, 0, 0]

        def grid(self, degree):
            elements = torch.eye(3, dtype=F64).repeat(2, 1, 1)
            elements[1, 0, 0] = -1
            return eq.groups.group.ElementGrid(self, elements, torch.full((2,), 0.5))

        def draw(self, n, generator=None, device=None):
            return self.grid(0).rotations[torch.randint(2, (n,), generator=generator)]

    found = eq.symmetrize(lambda r: r + 1, inputs="vector", outputs="vector", group=Mirror()).with_spread(POINT)
    torch.testing.assert_close(found.outputs, POINT + torch.tensor([0, 1, 1], dtype=F64))
    torch.testing.assert_close(found.spread["output"], torch.tensor(1 / 3**0.5, dtype=F64))


# -- random elements ------------------------------------------------------------------------------------------


def test_the_error_of_random_elements_is_that_of_the_average():
    truth = 0.0
    off = []
    for seed in range(60):
        sym = eq.symmetrize(lambda r: r[..., 2], inputs="vector", outputs="scalar", rotations=50, seed=seed,
                            batching="stack")  # fmt: skip
        found = sym.with_spread(POINT)
        torch.testing.assert_close(found.error["output"], found.spread["output"] / 50**0.5)
        off.append((float(found.outputs) - truth) / float(found.error["output"]))
    assert 0.75 < np.std(off) < 1.3 and abs(np.mean(off)) < 4 / 60**0.5


def test_equal_seeds_give_equal_elements_and_calls_change_nothing():
    positions = molecule()
    first, again, other = (eq.symmetrize(broken, rotations=20, seed=seed, **DECLARED) for seed in (3, 3, 4))
    torch.manual_seed(1)
    value = first(positions)["energy"]
    assert value == first(positions)["energy"] == again(positions)["energy"] != other(positions)["energy"]


# -- how models are called ------------------------------------------------------------------------------------


def test_every_batching_gives_the_same():
    positions = molecule(5)
    expected = eq.symmetrize(broken, degree=2, **DECLARED).with_spread(positions)

    def gather(copies):
        assert all(set(one) == {"positions"} for one in copies)
        return {"positions": torch.stack([one["positions"] for one in copies])}

    for batching, batch in (("stack", None), ("stack", 7), (gather, 5), ("loop", 4)):
        sym = eq.symmetrize(broken, degree=2, batching=batching, batch=batch, **DECLARED)
        found = sym.with_spread(positions=positions)
        for name in KINDS:
            ours, shape = found.outputs[name], expected.outputs[name].shape
            torch.testing.assert_close(ours.reshape(shape), expected.outputs[name])
            torch.testing.assert_close(found.variance[name].reshape(()), expected.variance[name])


@pytest.mark.parametrize("batching", ["loop", "concat"])
def test_a_batch_of_the_user_is_averaged_input_by_input(batching):
    positions = molecule(3, batch=(2,))
    found = eq.symmetrize(broken, degree=2, batching=batching, **DECLARED).with_spread(positions)
    for i, one in enumerate(positions):
        alone = eq.symmetrize(broken, degree=2, **DECLARED).with_spread(one)
        for name in KINDS:
            torch.testing.assert_close(found.outputs[name][i], alone.outputs[name])
            torch.testing.assert_close(found.spread[name][i], alone.spread[name])


class Result(NamedTuple):
    energy: torch.Tensor
    extra: dict


def test_inputs_and_outputs_lie_in_containers_and_keep_their_form():
    def model(graph, scale=1.0, *, shift):
        energy = scale * (graph["nodes"]["pos"][:, 2] * graph["charge"]).sum() + shift
        return Result(energy, {"field": [graph["nodes"]["pos"].sum(0)], "label": "kept?", "hidden": energy * 2})

    graph = {"nodes": {"pos": molecule()}, "charge": torch.randn(4, dtype=F64)}
    sym = eq.symmetrize(
        model, inputs={"graph.nodes.pos": "vector"}, outputs={"energy": "scalar", "extra.field.0": "vector"}, degree=3
    )
    found = sym.with_spread(graph, 2.0, shift=torch.tensor(0.5, dtype=F64))
    assert isinstance(found.outputs, Result) and found.outputs.extra["label"] is found.outputs.extra["hidden"] is None
    torch.testing.assert_close(found.outputs.energy, torch.tensor(0.5, dtype=F64))
    torch.testing.assert_close(found.outputs.extra["field"][0], graph["nodes"]["pos"].sum(0))
    assert set(found.spread) == {"energy", "extra.field.0"}


def test_parts_of_the_only_argument_go_by_the_names_that_an_audit_gives_them():
    def model(data, scale=1.0):
        return scale * (data["pos"][:, 2] + data["pos"].norm(dim=-1)).sum()

    data = {"pos": molecule(), "charge": torch.ones(4, dtype=F64)}
    ask = dict(outputs="scalar", degree=2)
    short, full = (eq.symmetrize(model, inputs={name: "vector"}, **ask) for name in ("pos", "data.pos"))
    assert torch.equal(short(data), full(data))
    torch.testing.assert_close(short(data), data["pos"].norm(dim=-1).sum())
    assert eq.audit(model, [data], inputs={"pos": "vector"}, outputs="scalar", lmax=1, batching="loop", progress=False)
    with pytest.raises(ArgumentError, match=r"names among data\.pos, data\.charge, got 'velocity'"):
        eq.symmetrize(model, inputs={"velocity": "vector"}, **ask)(data)
    with pytest.raises(ArgumentError, match=r"one name for each input, got 'pos', 'data\.pos'"):
        eq.symmetrize(model, inputs={"pos": "vector", "data.pos": "vector"}, **ask)(data)
    with pytest.raises(ArgumentError, match=r"names among data\.pos, data\.charge, scale, got 'pos'"):
        short(data, 2.0)


def test_what_a_model_writes_into_reaches_neither_the_user_nor_the_next_copy():
    def greedy(positions, weights, options):
        result = (positions[:, 2] * weights).sum() + options["shift"]
        positions.zero_(), weights.zero_(), options.update(shift=1e9)
        return result

    positions, weights, options = molecule(), torch.randn(4, dtype=F64), {"shift": 0.5}
    kept = positions.clone(), weights.clone()
    found = eq.symmetrize(greedy, inputs={"positions": "vector"}, outputs="scalar", degree=1)
    torch.testing.assert_close(found(positions, weights, options), torch.tensor(0.5, dtype=F64))
    assert torch.equal(positions, kept[0]) and torch.equal(weights, kept[1]) and options == {"shift": 0.5}


def test_a_model_that_writes_into_its_arguments_has_one_gradient_however_copies_are_handed_over():
    def centred(positions, weights):
        positions -= positions.mean(-2, keepdim=True)
        weights *= 2
        return (positions[..., 0].square() * weights).tanh().sum(-1)

    positions, weights = molecule().requires_grad_(), torch.rand(4, dtype=F64).requires_grad_()
    ways = [(batching, batch) for batching in ("loop", "stack") for batch in (1, 7)]
    ways.append((lambda copies: {name: torch.stack([one[name] for one in copies]) for name in copies[0]}, 7))
    found = []
    for batching, batch in ways:
        sym = eq.symmetrize(centred, inputs={"positions": "vector"}, outputs="scalar", degree=2,
                            batching=batching, batch=batch)  # fmt: skip
        value = sym(positions=positions, weights=weights)
        found.append([value, *torch.autograd.grad(value, [positions, weights])])
    assert found[0][1].abs().min() > 1e-6
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            torch.testing.assert_close(other.reshape(one.shape), one)


def test_an_audit_of_the_average_finds_less_the_higher_the_degree():
    def rough(positions):
        return torch.exp(positions[..., 2]).sum(-1)

    found = {}
    for degree in (None, 2, 6):
        model = rough
        if degree:
            model = eq.symmetrize(rough, inputs={"positions": "vector"}, outputs="scalar", degree=degree,
                                  batching="concat")  # fmt: skip
        report = eq.audit(model, [{"positions": molecule()}], inputs={"positions": "vector"},
                          outputs="scalar", lmax=2, degree=8, progress=False)  # fmt: skip
        found[degree] = report.outputs["output"].rmse
    assert found[6] < 0.05 * found[2] < 0.05 * 0.3 * found[None]


# -- gradients ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batching", ["loop", "stack"])
def test_gradients_are_those_of_the_sum_written_out(batching):
    model, positions = Network(), molecule().requires_grad_()
    wanted = [positions, *model.parameters()]
    grid = eq.quadrature(2)
    expected = torch.autograd.grad(written_out(model, positions, grid), wanted)
    sym = eq.symmetrize(model, inputs="vector", outputs="scalar", degree=2, seed=None, batching=batching, batch=5)
    for ours, theirs in zip(torch.autograd.grad(sym(positions), wanted), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_in_float32_keep_the_digits_that_float32_has():
    positions = molecule().requires_grad_()
    sym = eq.symmetrize(broken, inputs="vector", outputs={"energy": "scalar"}, degree=3)
    (exact,) = torch.autograd.grad(sym(positions)["energy"], positions)
    single = positions.detach().float().requires_grad_()
    (gradient,) = torch.autograd.grad(sym(single)["energy"], single)
    assert gradient.dtype == torch.float32 and (gradient - exact).abs().max() < 3e-7 * exact.abs().max()


@pytest.mark.parametrize("batching", ["loop", "stack"])
def test_second_derivatives_train_forces(batching):
    model, positions = Network(), molecule().requires_grad_()
    target = molecule()

    def loss(energy):
        (force,) = torch.autograd.grad(energy, positions, create_graph=True)
        return (force - target).square().sum()

    wanted = [positions, *model.parameters()]
    expected = torch.autograd.grad(loss(written_out(model, positions, eq.quadrature(2))), wanted, allow_unused=True)
    sym = eq.symmetrize(model, inputs="vector", outputs="scalar", degree=2, seed=None, batching=batching, batch=5)
    for ours, theirs in zip(torch.autograd.grad(loss(sym(positions)), wanted), expected, strict=True):
        torch.testing.assert_close(ours, torch.zeros_like(ours) if theirs is None else theirs)


def test_third_derivatives_are_right():
    positions = molecule(2).requires_grad_()
    sym = eq.symmetrize(broken, inputs="vector", outputs={"energy": "scalar"}, group="SO3", degree=1, batching="stack")
    assert torch.autograd.gradgradcheck(
        lambda x: torch.autograd.grad(sym(x)["energy"], x, create_graph=True)[0].square().sum(), positions
    )


def test_gradients_reach_what_a_function_has_captured():
    model, positions = Network(), molecule()
    shift = torch.zeros((), dtype=F64, requires_grad=True)
    sym = eq.symmetrize(lambda x: model(x) + shift * x[..., 2].sum(), inputs="vector", outputs="scalar", degree=1)
    sym(positions).backward()
    expected = torch.autograd.grad(written_out(model, positions, sym.elements.source), list(model.parameters()))
    for parameter, theirs in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, theirs)
    torch.testing.assert_close(shift.grad, torch.zeros_like(shift), rtol=0, atol=1e-13)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    frozen = sym(positions)
    assert frozen.requires_grad and torch.autograd.grad(frozen, shift)[0].abs() < 1e-13


def test_gradients_are_those_of_the_parameters_that_functional_call_puts_in():
    model, positions = Network(), molecule()
    sym = eq.symmetrize(model, inputs="vector", outputs="scalar", degree=1)
    other = {name: torch.randn_like(p).requires_grad_() for name, p in sym.named_parameters()}
    value = torch.func.functional_call(sym, other, (positions,))
    ours = torch.autograd.grad(value, list(other.values()))
    theirs = {name.removeprefix("model."): p for name, p in other.items()}
    swapped = written_out(lambda x: torch.func.functional_call(model, theirs, (x,)), positions, sym.elements.source)
    for a, b in zip(ours, torch.autograd.grad(swapped, list(other.values())), strict=True):
        torch.testing.assert_close(a, b)


def test_the_variance_has_gradients_that_lower_it():
    model, positions = Network(), molecule()
    sym = eq.symmetrize(model, inputs="vector", outputs="scalar", degree=2, batching="stack")
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    variances = []
    for _ in range(4):
        optimiser.zero_grad()
        variance = sym.with_spread(positions).variance["output"]
        variance.backward()
        optimiser.step()
        variances.append(float(variance.detach()))
    assert variances == sorted(variances, reverse=True)


def test_dropout_is_the_same_in_the_gradient_as_in_the_value():
    class Dropped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(50, dtype=F64))

        def forward(self, x):
            return (torch.nn.functional.dropout(self.weight, 0.5, self.training) * x.norm()).sum()

    model = Dropped().train()
    sym = eq.symmetrize(model, inputs="vector", outputs="scalar", degree=1)
    value = sym(POINT)
    torch.rand(7)
    value.backward()
    # linear in the weight, so the gradient along it is the value, for the same dropout alone
    torch.testing.assert_close((model.weight.grad * model.weight).sum(), value)
    assert float(model.weight.grad.std()) > 0.01


def test_what_has_changed_since_the_value_is_no_gradient_of_it():
    model = Network()
    sym = eq.symmetrize(model, inputs="vector", outputs="scalar", degree=0)
    value = sym(molecule())
    model.eval()
    with pytest.raises(ModelError, match="mode of the value in its gradient"):
        value.backward()
    value = sym(molecule())
    with torch.no_grad():
        model.out.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def test_leaves_that_a_call_makes_are_not_among_those_it_has_captured():
    from equiscope.symmetrize.recompute import captured_leaves

    outside, given = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)

    def function(x):
        inside = torch.ones(3, requires_grad=True)
        return (inside * x + 2 * outside, outside)

    (found,) = set(captured_leaves(function, [given]))
    assert found is outside


def test_autocast_is_the_same_in_the_gradient_as_in_the_value():
    seen = []

    class Watched(torch.nn.Linear):
        def forward(self, x):
            seen.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
            return super().forward(x).sum()

    sym = eq.symmetrize(Watched(3, 4), inputs="vector", outputs="scalar", degree=1)
    with torch.autocast("cpu", torch.bfloat16):
        value = sym(torch.randn(5, 3))
    calls = len(seen)
    value.backward()
    assert len(seen) > calls and set(seen) == {(True, torch.bfloat16)}


def test_models_that_differentiate_inside_are_averaged_with_gradients_or_without():
    class Conservative(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.energy = Network()

        def forward(self, positions):
            with torch.enable_grad():
                positions = positions if positions.requires_grad else positions.detach().requires_grad_()
                energy = self.energy(positions)
                (gradient,) = torch.autograd.grad(energy.sum(), positions, create_graph=True)
            return {"energy": energy, "forces": -gradient}

    model, positions = Conservative(), molecule().requires_grad_()
    sym = eq.symmetrize(model, inputs={"positions": "vector"}, outputs={"energy": "scalar", "forces": "vector"},
                        degree=1)  # fmt: skip
    found = sym(positions)
    # the average of the forces is the force of the average
    (gradient,) = torch.autograd.grad(found["energy"], positions)
    torch.testing.assert_close(found["forces"], -gradient, rtol=0, atol=1e-13)
    with torch.no_grad():
        torch.testing.assert_close(sym(positions)["forces"], -gradient, rtol=0, atol=1e-13)
    energy = eq.symmetrize(model.energy, inputs="vector", outputs="scalar", degree=1)

    def moved(x):
        shifted = positions.detach().clone()
        shifted[1, 2] += x
        with torch.no_grad():
            return float(energy(shifted))

    assert fourth_order(moved, 0.0) == pytest.approx(float(gradient[1, 2]), abs=1e-10)


class Held:
    """A tensor that a graph keeps."""

    live = most = 0

    def __init__(self, tensor):
        self.tensor = tensor.detach()  # the result of a node would hold the node
        Held.live += tensor.nbytes
        Held.most = max(Held.most, Held.live)

    def __del__(self):
        Held.live -= self.tensor.nbytes


def most_kept(function):
    """Bytes that graphs keep at a time while `function` runs."""
    Held.live = Held.most = 0
    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        function()
    return Held.most


def test_memory_of_a_gradient_does_not_grow_with_the_elements():
    class Kept(Network):
        def forward(self, positions):
            # what the pullbacks save counts as well: they run inside
            with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
                return super().forward(positions)

    model, positions = Kept(width=256), molecule(20).requires_grad_()

    def first(sym):
        return lambda: torch.autograd.grad(sym(positions), positions)

    def second(sym):
        def run():
            (force,) = torch.autograd.grad(sym(positions), positions, create_graph=True)
            force.square().sum().backward()

        return run

    def of(degree):
        return eq.symmetrize(model, inputs="vector", outputs="scalar", degree=degree, batching="stack", batch=8)

    one_batch = most_kept(lambda: model(positions.detach().repeat(8, 1, 1)).sum().backward())
    assert most_kept(first(of(1))) < 2 * one_batch and most_kept(first(of(4))) < 2 * one_batch
    # of second derivatives one batch keeps the graph of its gradient too
    low, high = most_kept(second(of(1))), most_kept(second(of(4)))
    assert high < 1.2 * low < 8 * one_batch


# -- as a module ----------------------------------------------------------------------------------------------


def test_it_is_a_module_with_the_weights_of_the_model():
    model = Network()
    sym = eq.symmetrize(model, inputs="vector", outputs="scalar", degree=1)
    assert [name.removeprefix("model.") for name in sym.state_dict()] == list(model.state_dict())
    assert "24 elements of the grid of degree 1 of O(3)" in repr(sym)
    positions = molecule()
    value = sym(positions)
    for other in (copy.deepcopy(sym), pickle.loads(pickle.dumps(sym))):
        torch.testing.assert_close(other(positions), value)
        other(positions).backward()
        assert other.model.out.weight.grad is not None and model.out.weight.grad is None
    assert sym.float()(positions.float()).dtype == torch.float32
    assert not sym.eval().model.training


def test_train_mode_is_told_where_it_matters_and_once():
    with pytest.warns(UserWarning, match=r"train mode, in which layers\.2 treat every rotated copy differently"):
        sym = eq.symmetrize(Network(drop=0.2), inputs="vector", outputs="scalar", degree=1)
        sym(molecule())
    sym(molecule())
    eq.symmetrize(Network(drop=0.0), inputs="vector", outputs="scalar", degree=1)(molecule())


@pytest.mark.parametrize("training", [False, True])
def test_an_average_is_in_the_mode_of_its_model(training):
    model = Network(drop=0.0).train(training)
    sym = eq.symmetrize(model, inputs="vector", outputs="scalar", degree=1)
    assert sym.training is training
    report = eq.audit(sym, [molecule()], inputs="vector", outputs="scalar", lmax=0, batching="loop", progress=False)
    assert any("train mode" in note for note in report.notes) is training
    assert model.training is training


# -- refusals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, kind, message",
    [
        ({"inputs": None}, ArgumentError, "inputs: expected at least one input that rotates.*none declared"),
        ({"inputs": {"positions": "invariant"}}, ArgumentError, "inputs: .*positions: invariant"),
        ({"outputs": None}, ArgumentError, "outputs: expected at least one output"),
        ({"outputs": ["energy"]}, DTypeError, "outputs: expected a dict"),
        ({"outputs": {"energy": "banana"}}, ArgumentError, "banana"),
        ({"outputs": {"energy": "1x1o"}}, ArgumentError, "basis"),
        ({"degree": -1}, ArgumentError, "degree"),
        ({"degree": 6, "rotations": 9}, ArgumentError, "degree: expected None beside rotations"),
        ({"rotations": 1}, ArgumentError, "rotations: expected 2 random elements"),
        ({"rotations": 9, "seed": None}, ArgumentError, "seed"),
        ({"seed": 1.5}, ArgumentError, "seed"),
        ({"group": "U1"}, ArgumentError, "group"),
        ({"group": eq.groups.SO2(axis="normal")}, ArgumentError, r"group: expected one axis .*got SO2\(normal\)"),
        ({"group": eq.groups.O2(axis="normal"), "rotations": 9}, ArgumentError, r"group: .*got O2\(normal\)"),
        ({"batching": "rows"}, ArgumentError, "batching: expected one of loop, stack, concat"),
        ({"batch": 0}, ArgumentError, "batch: expected a positive integer"),
    ],
)
def test_what_cannot_be_averaged_is_refused_before_anything_is_computed(settings, kind, message):
    with pytest.raises(kind, match=message):
        eq.symmetrize(broken, **{**DECLARED, **settings})


def test_no_model_at_all_is_refused():
    with pytest.raises(ArgumentError, match=r"model: expected a torch\.nn\.Module.*got int"):
        eq.symmetrize(3, **DECLARED)


@pytest.mark.parametrize(
    "settings, argument, kind, message",
    [
        ({"inputs": {"pos": "vector"}}, molecule(), ArgumentError, "inputs: expected names among positions, got 'pos'"),
        ({"outputs": {"forces": "vector"}}, molecule(), ArgumentError, r"outputs: .*energy, dipole, stress.*'forces'"),
        ({"outputs": {"energy": "vector"}}, molecule(), ShapeError, r"outputs\['energy'\].*\(\) per copy"),
        ({"inputs": {"positions": "voigt"}}, molecule(), ShapeError, "positions"),
        ({}, molecule().to(torch.int64), DTypeError, "positions: expected a floating-point tensor"),
        ({}, molecule() * math.nan, ArgumentError, "positions: expected finite values"),
    ],
)
def test_calls_that_do_not_fit_the_declaration_are_refused(settings, argument, kind, message):
    with pytest.raises(kind, match=message):
        eq.symmetrize(broken, **{**DECLARED, **settings})(argument)


def test_vectors_that_nobody_declared_are_refused():
    sym = eq.symmetrize(lambda x, v: (x * v).sum(), inputs={"x": "vector"}, outputs="scalar")
    with pytest.raises(ArgumentError, match="v: expected a declaration"):
        sym(molecule(), molecule())
    with pytest.raises(ArgumentError, match="more than one tensor, got 'vector' for x, v"):
        eq.symmetrize(lambda x, v: x.sum(), inputs="vector", outputs="scalar")(molecule(), molecule())


@dataclasses.dataclass
class Graph:
    points: torch.Tensor
    edges: torch.Tensor


@dataclasses.dataclass
class Moved:
    total: torch.Tensor
    edges: int


def test_objects_that_hold_tensors_are_opened_and_made_again():
    def model(graph, scale):
        return Moved(scale * (graph.points[:, 0] + graph.points.square().sum(-1)).sum(), len(graph.edges))

    points, edges = molecule(), torch.tensor([[0, 1], [1, 2]])
    declared = dict(inputs={"graph.points": "vector"}, outputs={"total": "scalar"}, degree=2)
    found = eq.symmetrize(model, **declared)(Graph(points, edges), scale=2.0)
    assert isinstance(found, Moved) and found.edges is None
    torch.testing.assert_close(found.total, 2 * points.square().sum())


def test_what_may_turn_and_is_not_declared_is_refused():
    sym = eq.symmetrize(lambda x, graph, scale=1: x.sum(), inputs={"x": "vector"}, outputs="scalar", degree=1)
    assert sym(molecule(), None, scale=object()) is not None
    with pytest.raises(ArgumentError, match=r"graph\.points: expected a declaration in `inputs`"):
        sym(molecule(), Graph(molecule(), torch.zeros(2)))
    with pytest.raises(DTypeError, match=r"graph: expected a tensor \(torch\.from_numpy"):
        sym(molecule(), np.ones((3, 3)))


def test_values_that_are_not_finite_are_refused_by_output_and_element():
    calls = []

    def fragile(x):
        calls.append(1)
        return x.sum() * (math.nan if len(calls) == 8 else 1.0)

    with torch.no_grad(), pytest.raises(ModelError, match=r"output: .*NaN or infinity at element 7 of the group"):
        eq.symmetrize(fragile, inputs="vector", outputs="scalar", degree=1)(POINT)


@pytest.mark.parametrize("batching", ["stack", "concat"])
def test_copies_that_see_each_other_are_refused(batching):
    def statistics(x):
        return (x - x.mean(0)).square().sum(-1) + 0 * x[..., 0]

    sym = eq.symmetrize(statistics, inputs="vector", outputs="scalar", degree=2, batching=batching)
    with pytest.raises(ModelError, match=r"copies of one batch see each other.*batching='loop'"):
        sym(molecule())


def test_nothing_at_all_has_an_average():
    found = eq.symmetrize(lambda x: x, inputs="vector", outputs="vector", degree=1).with_spread(torch.ones(0, 3))
    assert found.outputs.shape == (0, 3) and found.spread["output"].shape == (0,)


def test_a_model_that_returns_other_than_copies_is_refused():
    with pytest.raises(ModelError, match=r"output: expected a first axis of \d+ copies, got shape \(\)"):
        eq.symmetrize(lambda x: x.sum(), inputs="vector", outputs="scalar", batching="stack")(molecule())


def test_the_public_names_are_there():
    assert isinstance(eq.symmetrize(broken, **DECLARED), SymmetrizedModule)
    assert "symmetrize" in dir(eq)

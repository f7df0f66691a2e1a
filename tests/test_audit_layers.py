"""Hidden layers: captured, located, and left as they were."""

import pytest
import torch

import equiscope as eq
from equiscope.result.data import Output

torch.set_default_dtype(torch.float32)
POINTS = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
INPUTS = {"positions": "vector"}


class Tower(torch.nn.Module):
    """Unconstrained: a layer that returns a tuple, one that returns a dict, one that works in place, one reused."""

    def __init__(self):
        super().__init__()
        self.first = Pair()
        self.second = Named()
        self.third = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(inplace=True))
        self.reused = torch.nn.Linear(8, 8)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, positions):
        left, right = self.first(positions)
        x = self.second(left + right)["value"]
        x = self.third(x)
        x = self.drop(self.reused(self.reused(x)))
        return {"energy": x.sum((-1, -2)), "features": x}


class Pair(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 8)

    def forward(self, x):
        return torch.tanh(self.linear(x)), x.square().sum(-1, keepdim=True).expand(*x.shape[:-1], 8)


class Named(torch.nn.Module):
    def forward(self, x):
        return {"value": torch.tanh(x), "count": 3}


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return Tower()


def run(model, **settings):
    settings = {"inputs": INPUTS, "outputs": {"energy": "scalar"}, "lmax": 3, "degree": 8, **settings}
    return eq.audit(model, [{"positions": POINTS}], **settings)


def test_nested_outputs_and_repeated_calls_are_layers_of_their_own(tower):
    report = run(tower, layers="**")
    assert list(report.layers) == [
        "first.linear",
        "first[0]",
        "first[1]",
        "second['value']",
        "third.0",
        "third.1",
        "third",
        "reused",
        "reused#2",
        "drop",
    ]
    # |r|^2 is invariant, tanh of a linear map is not
    assert float(report.layers["first[1]"].fractions[0, 0]) == pytest.approx(1.0, abs=1e-10)
    assert float(report.layers["first[0]"].fractions[1:].sum()) > 0.1
    # a linear map of coordinates holds l = 0 (its bias) and l = 1 only
    assert float(report.layers["first.linear"].fractions[2:].abs().max()) < 1e-12


def test_values_overwritten_in_place_are_seen_as_they_were(tower):
    report = run(tower, layers="third.*")
    plain = Tower()
    plain.load_state_dict(tower.state_dict())
    plain.third[1].inplace = False
    expected = run(plain, layers="third.*")
    torch.testing.assert_close(report.layers["third.0"].power, expected.layers["third.0"].power)


def test_star_stays_within_a_level_and_two_stars_cross(tower):
    assert list(run(tower, layers="first.*").layers) == ["first.linear"]
    assert list(run(tower, layers=["th*", "third.?"]).layers) == ["third.0", "third.1", "third"]


def test_pattern_that_fits_nothing_is_refused_with_names(tower):
    with pytest.raises(eq.errors.ArgumentError, match=r"layers: expected patterns .* 'encoder\.\*'.*nearest"):
        run(tower, layers="encoder.*")


def test_model_is_left_as_it_was(tower):
    tower.train()
    tower.third.eval()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    report = run(tower, layers="**")
    assert tower.training and tower.drop.training and not tower.third[0].training
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in tower.modules())
    assert any("train mode" in note for note in report.notes)
    assert not report.outputs["energy"].stochastic


def test_hooks_are_removed_when_the_model_raises(tower):
    tower.reused.register_forward_pre_hook(lambda module, args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tower, layers="**")
    assert not any(module._forward_hooks for module in tower.modules())


def test_scripted_module_is_said_to_have_no_hooks(tower):
    scripted = torch.jit.script(torch.nn.Linear(3, 2))
    with pytest.raises(eq.errors.ArgumentError, match="TorchScript"):
        eq.audit(scripted, [POINTS], inputs="vector", outputs={"y": "invariant"}, layers="*")


@pytest.mark.parametrize("rows", [7, 64, 4096])
def test_batch_size_does_not_change_the_numbers(tower, rows):
    tower.double()
    data = [{"positions": torch.randn(n, 3, dtype=torch.float64)} for n in (3, 3, 4, 1)]
    settings = dict(inputs=INPUTS, outputs={"energy": "scalar"}, layers="**", lmax=3, degree=8)
    expected = eq.audit(tower, data, batch_rows=101, **settings)
    found = eq.audit(tower, data, batch_rows=rows, **settings)
    for name in expected.layers:
        torch.testing.assert_close(found.layers[name].power, expected.layers[name].power, rtol=1e-10, atol=1e-13)
    assert found.outputs["energy"].rmse == pytest.approx(expected.outputs["energy"].rmse, rel=1e-10)
    assert [row.name for row in found.systems] == ["0", "1", "2", "3"]


class Summed(torch.nn.Module):
    """Works on rows of many copies and sums them by `batch`."""

    def __init__(self):
        super().__init__()
        self.rows = torch.nn.Linear(3, 4, dtype=torch.float64)

    def forward(self, positions, charge, batch=None):
        if batch is None:
            batch = torch.zeros(len(positions), dtype=torch.long)
        x = torch.tanh(self.rows(positions))
        total = x.new_zeros(int(batch.max()) + 1, 4).index_add(0, batch, x)
        return {"total": total.sum(-1) + charge.reshape(-1), "row": x[:, :1] * positions}


def test_concat_stack_of_one_and_loop_agree():
    torch.manual_seed(0)
    model = Summed()
    data = [
        {"positions": torch.randn(n, 3, dtype=torch.float64), "charge": torch.tensor(float(n), dtype=torch.float64)}
        for n in (4, 2, 1)
    ]
    settings = dict(
        inputs=INPUTS, outputs={"total": "scalar", "row": "vector"}, layers="rows", lmax=3, degree=8, keep="samples"
    )
    joined = eq.audit(model, data, batching="concat", **settings)
    single = eq.audit(model, data, batching="loop", **settings)
    assert joined.outputs["row"].variance.shape == (7, 1)
    for name in ("total", "row"):
        torch.testing.assert_close(joined.outputs[name].mean.squeeze(), single.outputs[name].mean.squeeze())
        torch.testing.assert_close(joined.outputs[name].power.sum((2, 3)), single.outputs[name].power.sum((2, 3)))
    torch.testing.assert_close(joined.layers["rows"].power, single.layers["rows"].power)


def test_constants_are_passed_with_their_own_system():
    def model(positions, power, batch=None):
        total = positions.new_zeros(int(batch.max()) + 1).index_add(0, batch, positions[:, 2] ** power)
        return {"total": total}

    data = [
        {"positions": torch.randn(n, 3, dtype=torch.float64), "power": p} for n, p in ((3, 1), (2, 1), (2, 2), (1, 3))
    ]
    report = eq.audit(
        model, data, inputs=INPUTS, outputs={"total": "scalar"}, batching="concat", lmax=3, degree=6, keep="samples"
    )
    power = report.outputs["total"].power[..., 0].sum(1)
    assert [[l for l in range(4) if float(power[l, s]) > 1e-12] for s in range(4)] == [[1], [1], [0, 2], [1, 3]]


def test_channels_that_vary_between_systems_are_pooled_but_cannot_be_joined():
    class Pairs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.distances = torch.nn.Identity()

        def forward(self, positions):
            return {"u": self.distances(torch.cdist(positions, positions)).sum((-1, -2))}

    data = [{"positions": torch.randn(n, 3)} for n in (2, 3)]
    settings = dict(inputs=INPUTS, outputs={"u": "scalar"}, layers="distances", lmax=1, degree=6)
    assert float(eq.audit(Pairs(), data, **settings).layers["distances"].fractions[0, 0]) == pytest.approx(1.0)
    with pytest.raises(eq.errors.ModelError, match=r"distances: expected 2 channels in every system.*got 3 in '1'"):
        eq.audit(Pairs(), data, keep="samples", **settings)


class Heads(torch.nn.Module):
    """Its modules are called like its outputs, as heads often are."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Linear(3, 4)
        self.energy = torch.nn.Linear(4, 1)
        self.both = Pair()

    def forward(self, positions):
        x = torch.tanh(self.embed(positions))
        left, _ = self.both(positions)
        return {"energy": self.energy(x).sum((-1, -2)), "both": left.sum(-2)}


@pytest.mark.parametrize("pattern", ["*", "**"])
def test_wildcards_give_modules_that_are_called_like_an_output_a_name_of_their_own(pattern):
    torch.manual_seed(0)
    model, asked = Heads(), {"outputs": {"energy": "scalar", "both": "8x0e"}}
    report = run(model, layers=pattern, **asked)
    assert {"embed", "energy:output", "both:output[0]", "both:output[1]"} <= set(report.layers)
    assert not set(report.layers) & set(report.outputs)
    alone = run(model, layers={"energy:output": None}, outputs={"energy": "scalar"})
    torch.testing.assert_close(alone.layers["energy:output"].power, report.layers["energy:output"].power)
    exact = run(model, layers={pattern: "scalar"}, outputs={"energy": "scalar"}).layers["energy:output"]
    assert isinstance(exact, Output) and exact.representation == "scalar"


def test_what_a_module_returns_has_two_names_and_is_heard_by_one(tower):
    report = run(tower, layers=["reused:output", "third.0:output"])
    assert list(report.layers) == ["third.0:output", "reused:output", "reused:output#2"]
    assert list(run(tower, layers=["third.0", "third.0:output"]).layers) == ["third.0"]


@pytest.mark.parametrize("layers", ["energy", ["*", "energy"], {"energy": "scalar"}])
def test_a_name_that_an_output_has_too_is_refused_and_the_other_one_told(tower, layers):
    tower.energy = torch.nn.Identity()
    with pytest.raises(eq.errors.ArgumentError, match=r"layers: expected 'energy:output' of .*, got 'energy'"):
        run(tower, layers=layers)


def test_rows_that_change_with_the_orientation_are_refused():
    def model(positions, batch=None):
        return {"kept": positions[positions[:, 2] > 0]}

    with pytest.raises(eq.errors.ModelError, match="kept"):
        eq.audit(model, [{"positions": POINTS}], inputs=INPUTS, outputs={"kept": "vector"}, batching="concat", lmax=1)


def test_sequence_first_layers_are_understood():
    class SequenceFirst(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 6)

        def forward(self, positions):
            return self.layer(positions.transpose(0, 1)).tanh().sum((0, 2))

    torch.manual_seed(0)
    model = SequenceFirst()
    found = eq.audit(model, [POINTS[:4]], inputs="vector", outputs="scalar", layers="layer", lmax=2, degree=6)
    layer = found.layers["layer"]
    assert (layer.samples, layer.channels) == (4, 6)
    assert float(layer.fractions.sum()) == pytest.approx(1.0, rel=1e-6)


class Tokens(torch.nn.Module):
    """Tokens with padding, whose rows hold what theory says of none: values of one token, of pairs, of the whole."""

    def __init__(self):
        super().__init__()
        self.embed, self.maps, self.pool, self.last = (torch.nn.Identity() for _ in range(4))

    def forward(self, positions, real, heads=3):
        inside = positions.masked_fill(~real[..., None], 7.0)
        x = self.embed(inside)
        scores = (inside[:, None] * inside[:, :, None]).sum(-1)
        self.maps(torch.stack([scores, scores.square()] + [scores.exp()] * (heads - 2), 1))
        self.last(x.mT)
        return self.pool((x * real[..., None]).square().sum((1, 2)))


def padded(points, to):
    positions = torch.cat([points, points.new_full((to - len(points), 3), 0.3)])
    return {"positions": positions, "real": torch.arange(to) < len(points)}


TOKENS = {"inputs": INPUTS, "outputs": {"y": "scalar"}, "lmax": 2, "degree": 6, "progress": False}
DATA = [torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) for n in (4, 5)]


@pytest.mark.parametrize("mask", [":input['real']", None], ids=["of the model", "of the adapter"])
def test_rows_of_padding_do_not_count_in_layers(mask, monkeypatch):
    layers = ["embed", "maps", "pool", ":masked_fill"]
    bare = eq.audit(Tokens(), [padded(x, len(x)) for x in DATA], layers=layers, **TOKENS)
    masks = {"**": mask} if mask else None
    if mask is None:
        real = {str(i): padded(x, 8)["real"] for i, x in enumerate(DATA)}
        monkeypatch.setattr(eq.adapters.PlainAdapter, "mask", lambda self, name, system: real[system.name])
    found = eq.audit(Tokens(), [padded(x, 8) for x in DATA], layers=layers, masks=masks, **TOKENS)
    assert {name: layer.samples for name, layer in found.layers.items()} == {
        **{":masked_fill": 9, "embed": 9, "maps": 3 * 9, "pool": 2}
    }
    for name, layer in bare.layers.items():
        torch.testing.assert_close(found.layers[name].power, layer.power, rtol=1e-6, atol=1e-12)
    assert found.settings["masks_of_layers"] == {
        "7 of 16 rows are padding": [":masked_fill", "embed", "maps"],
        "no axis runs over the rows of the mask, all values taken": ["pool"],
    }
    assert not found.warnings


def test_a_mask_may_say_where_padding_is():
    class Negated(Tokens):
        def forward(self, positions, real):
            return super().forward(positions, ~real)

    data = [{**item, "real": ~item["real"]} for item in (padded(x, 8) for x in DATA)]
    masks = {"*": "~:input['real']", "pool": "pool:input"}
    found = eq.audit(Negated(), data, layers=["embed", ":input"], masks=masks, **TOKENS)
    assert {name: layer.samples for name, layer in found.layers.items()} == {":input['positions']": 9, "embed": 9}


@pytest.mark.parametrize("to", [6, 8])
def test_a_mask_inside_the_model_that_is_the_wrong_way_round_is_refused(to):
    asked = {"layers": ["embed", "maps"], "masks": {"**": "~:input['real']"}, **TOKENS}
    told = (
        r"masks\['\*\*'\]: expected a mask that is true where rows are real .*got \"~:input\['real'\]\", true for pad"
    )
    with pytest.raises(eq.errors.ArgumentError, match=told):
        eq.audit(Tokens(), [padded(x, to) for x in DATA], **asked)


def test_a_mask_may_be_the_result_of_a_function_in_a_later_call():
    class Twice(Tokens):
        def forward(self, positions, real):
            torch.cat([real, real], -1)
            return super().forward(positions, torch.cat([real], -1))

    masks = {"*": ":cat#2"}
    found = eq.audit(Twice(), [padded(x, 8) for x in DATA], layers="embed", masks=masks, **TOKENS)
    assert list(found.layers) == ["embed"] and found.layers["embed"].samples == 9


def test_axes_that_could_both_be_rows_are_left_out_and_said():
    masks = {"maps": ":input['real']"}
    data = [{**padded(DATA[0], 5), "heads": 5}]
    found = eq.audit(Tokens(), data, layers=["maps", "embed"], masks=masks, **TOKENS)
    assert list(found.layers) == ["embed"]
    assert any("maps was left out: a mask of 5 rows fits more than one axis" in warning for warning in found.warnings)


def test_channels_are_not_taken_for_rows_where_there_are_as_many():
    class Scalars(Tokens):
        def forward(self, positions, real):
            return self.pool(self.embed(positions.square().sum(-1)).cumsum(-1)).sum(-1)

    data = [padded(DATA[0], 6)]
    asked = {"layers": ["embed", "pool"], **TOKENS}
    found = eq.audit(Scalars(), data, masks={"**": ":input['real']", "embed": ":input['real']"}, **asked)
    assert {name: (layer.samples, layer.channels) for name, layer in found.layers.items()} == {"embed": (4, 1)}
    assert any("pool was left out" in warning and "may be channels" in warning for warning in found.warnings)


def test_masks_inside_the_model_that_are_not_there_are_said():
    found = eq.audit(Tokens(), [padded(DATA[0], 6)], layers=["embed", "pool"], masks={"embed": ":input[3]"}, **TOKENS)
    assert list(found.layers) == ["pool"]
    assert any("embed was left out: its mask :input[3] was not heard" in warning for warning in found.warnings)
    with pytest.raises(eq.errors.ArgumentError, match="fits none of the 4 modules"):
        eq.audit(Tokens(), [padded(DATA[0], 6)], layers="embed", masks={"*": "encoder:input"}, **TOKENS)
    with pytest.raises(eq.errors.ArgumentError, match=r"masks: expected names of inputs \(.*\).*'pad'"):
        eq.audit(Tokens(), [padded(DATA[0], 6)], layers="embed", masks={"*": "pad"}, **TOKENS)


def equivariant_network(planted=0.0):
    from e3nn import o3
    from e3nn.nn import Gate

    class Layer(torch.nn.Module):
        def __init__(self, irreps_in):
            super().__init__()
            gate = Gate("8x0e", [torch.tanh], "8x0e", [torch.sigmoid], "8x1o")
            self.product = o3.FullyConnectedTensorProduct(irreps_in, "0e+1o", gate.irreps_in)
            self.gate = gate
            self.irreps_out = gate.irreps_out
            self.planted = 0.0

        def forward(self, x, attributes):
            y = self.gate(self.product(x, attributes))
            if self.planted:
                y = y.clone()
                vectors = y[..., 8:]
                size = vectors.square().mean(dim=(-1, -2), keepdim=True).sqrt()
                y[..., 8:] = vectors + self.planted * size * torch.tensor([3**0.5, 0.0, 0.0], dtype=y.dtype).repeat(8)
            return y

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList([Layer("0e+1o"), Layer("8x0e+8x1o"), Layer("8x0e+8x1o")])

        def forward(self, positions):
            centred = positions - positions.mean(-2, keepdim=True)
            attributes = o3.spherical_harmonics("0e+1o", centred, normalize=False)
            x = attributes
            for layer in self.layers:
                x = layer(x, attributes)
            return {"vectors": x[..., 8:], "scalars": x[..., :8]}

    torch.manual_seed(3)
    network = Network().double()
    network.layers[2].planted = planted
    return network


E3NN_SETTINGS = dict(
    inputs=INPUTS,
    outputs={"vectors": "8x1o", "scalars": "invariant"},
    layers="layers.*",
    basis="e3nn",
    lmax=2,
    degree=8,
)


def test_equivariant_network_is_at_round_off():
    data = [{"positions": torch.randn(6, 3, dtype=torch.float64)} for _ in range(3)]
    report = eq.audit(equivariant_network(), data, **E3NN_SETTINGS)
    assert report.outputs["vectors"].relative < 1e-13
    assert report.outputs["scalars"].relative < 1e-13
    assert all(isinstance(layer, Output) and layer.relative < 1e-13 for layer in report.layers.values())


def test_planted_break_is_measured_and_its_layer_named():
    data = [{"positions": torch.randn(6, 3, dtype=torch.float64)} for _ in range(3)]
    report = eq.audit(equivariant_network(planted=1e-3), data, **E3NN_SETTINGS)
    assert report.outputs["vectors"].relative == pytest.approx(1e-3, rel=0.05)
    assert report.outputs["scalars"].relative < 1e-13
    assert [layer.relative > 1e-12 for layer in report.layers.values()] == [False, False, True]
    assert any("layers.2" in finding for finding in report.findings())
    with pytest.raises(AssertionError, match=r"first layer that leaks: layers\.2"):
        eq.testing.assert_equivariant(equivariant_network(planted=1e-3), data, **{**E3NN_SETTINGS, "degree": 6})


def test_progress_bar_is_shown_when_asked_for_and_only_then(tower, capfd):
    run(tower, progress=False)
    assert capfd.readouterr().err == ""
    run(tower, progress=True)
    assert "rotations per system" in capfd.readouterr().err


def test_first_systems_are_evaluated_at_two_degrees_the_others_at_one():
    evaluated = 0

    def model(x):
        nonlocal evaluated
        evaluated += x.shape[0]
        return torch.exp(0.3 * x[..., 2])

    generator = torch.Generator().manual_seed(2)
    data = [{"x": torch.randn(3, dtype=torch.float64, generator=generator)} for _ in range(5)]
    settings = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar"}, "lmax": 2, "progress": False}
    report = eq.audit(model, data, **settings)
    tried = [entry["rotations"] for entry in report.convergence]
    chosen = report.settings["rotations"]
    assert evaluated == report.timings["evaluations"]
    assert len(tried) == 2 and chosen == tried[0]
    assert evaluated - report.timings["checks"] == sum(2 * n for n in tried) + 3 * chosen
    fixed = eq.audit(model, data, **settings, degree=report.settings["degree"])
    assert [row.name for row in report.systems] == [row.name for row in fixed.systems]
    # the first two have the better numbers of the next degree
    assert report.outputs["u"].rmse == pytest.approx(fixed.outputs["u"].rmse, rel=1e-6)
    for row, other in list(zip(report.systems, fixed.systems, strict=True))[2:]:
        assert row.outputs["u"]["rmse"] == pytest.approx(other.outputs["u"]["rmse"], rel=1e-13)

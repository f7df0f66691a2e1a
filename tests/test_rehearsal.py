"""Copies of a batch must not see each other, and nothing that a model does reaches the user's data."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import equiscope as eq
from equiscope.measure.summary import Farthest
from equiscope.probe import drive
from equiscope.probe.apart import SEARCHED, _astray
from equiscope.probe.crosstalk import CrossTalk
from equiscope.probe.layers import Layers

ASK = {"lmax": 2, "degree": 6, "progress": False}


def cloud(n=5, seed=0, dtype=torch.float64):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


DATA = [cloud(5, seed) for seed in range(3)]


def audit(model, data=DATA, outputs=None, **ask):
    return eq.audit(model, data, **{"inputs": "vector", "outputs": outputs or {"e": "scalar"}, **ASK, **ask})


def norms(pos):
    return pos.norm(dim=-1)


LEAKS = {
    "mean over the batch": lambda pos: norms(pos).sum(1) + pos[..., 0].sum(1) - pos[..., 0].sum(1).mean(),
    "norm over the batch": lambda pos: pos[..., 0].abs().sum(1) / pos[..., 0].norm(),
    "softmax over the batch": lambda pos: torch.softmax(pos[:, 0, 0], 0),
    "the copy before": lambda pos: norms(pos).sum(1) + 1e-3 * pos[:, 0, 0].roll(1),
    "all copies before": lambda pos: pos[:, 0, 2].cumsum(0),
    "size of the batch": lambda pos: norms(pos).sum(1) * len(pos),
    "the first copy": lambda pos: norms(pos).sum(1) + pos[0, 0, 0],
    "ranks in the batch": lambda pos: pos[:, 0, 0].argsort().argsort().to(pos),
    "a little": lambda pos: norms(pos).sum(1) + 1e-3 * (pos[-1, 0, 0] - pos[:, 0, 0]),
}


@pytest.mark.parametrize("model", LEAKS.values(), ids=LEAKS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_copies_that_see_each_other_are_refused(model, dtype):
    with pytest.raises(eq.errors.ModelError, match=r"outputs\['e'\].*'0'.*copies of a batch see each other.*'loop'"):
        audit(model, [cloud(dtype=dtype)])


@pytest.mark.parametrize("model", LEAKS.values(), ids=LEAKS)
def test_one_copy_per_call_hides_none_of_them(model):
    found = audit(lambda pos: model(pos[None])[0], batching="loop").outputs["e"]
    assert not found.stochastic


def test_normalising_over_the_batch_is_seen_once_two_systems_share_it():
    # it is invariant where all copies are of one system, to round-off
    def model(pos):
        return norms(pos).sum(1) - norms(pos).sum(1).mean()

    with pytest.raises(eq.errors.ModelError, match="see each other"):
        audit(model)


def test_a_layer_that_normalises_over_the_batch_is_left_out_once_two_systems_share_it():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.apart, self.fine = torch.nn.Identity(), torch.nn.Identity()

        def forward(self, pos):
            size = norms(pos).sum(1, keepdim=True)
            self.apart(size - size.mean() + 1.0)
            return self.fine(size)[:, 0]

    ask = {"inputs": "vector", "outputs": {"e": "scalar"}, "layers": "*", **ASK}
    alone = eq.audit(Model().eval(), DATA[:1], **ask)
    assert set(alone.layers) == {"apart", "fine"} and not alone.warnings
    found = eq.audit(Model().eval(), DATA, **ask)
    assert set(found.layers) == {"fine"} and found.outputs["e"].rmse < 1e-13
    (warning,) = found.warnings
    assert warning == "layer apart was left out: its values depend on which other system is in the batch"


ASTRAY = {
    "by atom": lambda pos: pos.transpose(0, 1).reshape(-1, 3),
    "backwards": lambda pos: pos.flip(0),
    "sorted": lambda pos: pos.reshape(-1, 3)[pos.reshape(-1, 3)[:, 2].argsort()],
}


@pytest.mark.parametrize("model", ASTRAY.values(), ids=ASTRAY)
def test_rows_in_another_order_are_called_that(model):
    with pytest.raises(eq.errors.ModelError, match="rows come back in another order than the copies"):
        audit(model, outputs={"v": "vector"})


FOR_ONE = {
    "sum of everything": lambda pos: pos.norm(),
    "sum over the first axis": lambda pos: pos.sum(0),
    "a constant": lambda pos: torch.ones(3, 3).double(),
}


@pytest.mark.parametrize("model", FOR_ONE.values(), ids=FOR_ONE)
def test_functions_of_one_system_are_refused_under_stack(model):
    with pytest.raises(eq.errors.ModelError, match=r"14 copies of system '0'.*written for one system.*batching='loop'"):
        audit(model, outputs={"e": "vector"})


def edges(pos, edge_index, batch=None):
    """Neighbours by index: what is joined without offsets comes from the wrong copy."""
    batch = torch.zeros(len(pos), dtype=torch.long) if batch is None else batch
    i, j = edge_index[0].long(), edge_index[1].long()
    d = pos[i] - pos[j]
    size = int(batch.max()) + 1
    return torch.zeros(size, dtype=pos.dtype).index_add_(0, batch[i], d[:, 0].abs() ** 3 + d.norm(dim=1))


def graphs(*sizes):
    return [{"pos": cloud(n, n), "edge_index": torch.tensor([[*range(n)], [*range(1, n), 0]])} for n in sizes]


def collated(offset):
    def batching(systems):
        sizes = [len(system["pos"]) for system in systems]
        starts = offset(sizes)
        return {
            "pos": torch.cat([system["pos"] for system in systems]),
            "edge_index": torch.cat([s["edge_index"] + k for s, k in zip(systems, starts, strict=True)], 1),
            "batch": torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)),
        }

    return batching


def graph_audit(batching, sizes=(4, 4)):
    return eq.audit(edges, graphs(*sizes), inputs={"pos": "vector"}, outputs={"e": "scalar"}, batching=batching, **ASK)


def test_index_tensors_joined_without_offsets_are_named():
    with pytest.raises(eq.errors.ModelError, match=r"'edge_index'.*without the offset"):
        graph_audit("concat")


def test_a_batching_function_that_forgets_the_offset_is_refused():
    right = graph_audit(collated(lambda sizes: np.cumsum([0, *sizes[:-1]]).tolist())).outputs["e"].rmse
    assert right == pytest.approx(graph_audit("loop").outputs["e"].rmse, rel=1e-9)
    with pytest.raises(eq.errors.ModelError, match=r"batching function add the offset.*'edge_index'"):
        graph_audit(collated(lambda sizes: [0] * len(sizes)))


def test_an_offset_that_fits_equal_systems_alone_is_seen_in_a_mixed_batch():
    offset = collated(lambda sizes: [i * sizes[0] for i in range(len(sizes))])
    graph_audit(offset, (4, 4))
    with pytest.raises(eq.errors.ModelError, match="batching function add the offset"):
        graph_audit(offset, (3, 5))


def test_concat_refuses_declared_inputs_of_different_lengths():
    data = [{"cell": 5 * torch.eye(3), "pos": cloud(4, dtype=torch.float32)}]
    with pytest.raises(eq.errors.ArgumentError, match=r"one number of rows.*cell 3, pos 4"):
        eq.audit(
            lambda cell, pos, batch: pos.norm(dim=1),
            data,
            inputs={"pos": "vector", "cell": "vector"},
            outputs={"e": "scalar"},
            batching="concat",
            **ASK,
        )


# -- what a model writes into ------------------------------------------------------------------------------------


def shifts_types(pos, z):
    z -= 1
    return pos.sum(1) * (1 + z[:, :1] % 7)


def shifts_positions(pos, z):
    pos -= pos.mean(1, keepdim=True)
    return pos.square().sum(-1, keepdim=True).sum(1) * pos[:, 0]


@pytest.mark.parametrize("model", [shifts_types, shifts_positions])
@pytest.mark.parametrize("how", [{}, {"batch_rows": 4}, {"batching": "loop"}, {"batching": "concat"}], ids=str)
def test_models_that_write_into_their_inputs(model, how):
    data = [{"pos": cloud(4), "z": torch.full((4,), 8)} for _ in range(2)]
    before = [{name: value.clone() for name, value in item.items()} for item in data]

    def called(pos, z, batch=None):
        if how.get("batching") == "concat":
            return model(pos.reshape(-1, 4, 3), z.reshape(-1, 4))
        return model(pos, z) if pos.ndim == 3 else model(pos[None], z[None])[0]

    found = eq.audit(called, data, inputs={"pos": "vector"}, outputs={"mu": "vector"}, **how, **ASK).outputs["mu"]
    assert found.relative < 1e-14 and not found.stochastic
    for item, old in zip(data, before, strict=True):
        assert all(torch.equal(item[name], value) for name, value in old.items())


def test_constants_are_not_written_into():
    settings = {"calls": [0]}

    def model(pos, options):
        options["calls"].append(1)
        return norms(pos).sum(1) * len(options["calls"])

    data = [{"pos": cloud(), "options": settings}]
    found = eq.audit(model, data, inputs={"pos": "vector"}, outputs={"e": "scalar"}, **ASK).outputs["e"]
    assert settings == {"calls": [0]} and found.relative < 1e-14


class Static(torch.nn.Module):
    """Returns the same memory from every call, as captured graphs and calculators do."""

    def __init__(self, numpy):
        super().__init__()
        self.held = np.zeros(64) if numpy else torch.zeros(64, dtype=torch.float64)
        self.inner = torch.nn.Identity()

    def forward(self, pos):
        n = pos.shape[0] if pos.ndim == 3 else 1
        values = pos.reshape(n, -1, 3)[..., 0].square().sum(1)
        out = torch.from_numpy(self.held)[:n] if isinstance(self.held, np.ndarray) else self.held[:n]
        out[:] = 0
        out += values
        return self.inner(out if pos.ndim == 3 else out[0])


@pytest.mark.parametrize("numpy", [False, True])
@pytest.mark.parametrize("how", [{"batch_rows": 300}, {"batching": "loop"}], ids=str)
def test_results_in_a_buffer_that_is_used_again(numpy, how):
    right = audit(lambda pos: pos[..., 0].square().sum(-1), **how).outputs["e"].rmse
    for rows in (64, 250):
        assert audit(Static(numpy), **{**how, "batch_rows": rows}).outputs["e"].rmse == pytest.approx(right, rel=1e-9)


# -- layers ------------------------------------------------------------------------------------------------------


class Padded(torch.nn.Module):
    """Two padded rows per copy, filled from the first copy of the batch; `width` adds some for the longest."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Linear(3, 4, bias=False).double()

    def forward(self, pos):
        n = pos.shape[1]
        padded = torch.cat([pos, pos[:1, :1].expand(len(pos), 2, 3)], 1)
        return self.embed(padded)[:, :n].square().sum((1, 2))


def test_padded_rows_that_come_from_another_copy_are_left_out():
    report = audit(Padded(), layers="embed")
    layer = report.layers["embed"]
    # a linear function of one vector holds l = 1 and nothing else; it has no inversion partner either
    assert layer.samples == 15
    assert float(layer.fractions[1, 0]) == pytest.approx(1.0, abs=1e-12)
    (note,) = [text for text in report.warnings if "embed" in text]
    assert "6 of 21 rows were left out" in note


class Longest(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Linear(3, 4).double()

    def forward(self, pos, mask):
        return {"v": pos * mask[..., None], "e": (self.embed(pos).square().sum(-1) * mask).sum(1)}


def test_layers_and_outputs_padded_to_the_longest_of_a_batch():
    def batching(systems):
        ones = [torch.ones(len(system), dtype=torch.float64) for system in systems]
        pad = torch.nn.utils.rnn.pad_sequence
        return {"pos": pad(systems, batch_first=True), "mask": pad(ones, batch_first=True)}

    torch.manual_seed(0)
    model, data = Longest(), [cloud(n, n) for n in (5, 3, 6)]
    ask = {"outputs": {"e": "scalar", "v": "vector"}, "layers": "embed"}
    found = audit(model, data, batching=batching, **ask)
    alone = [audit(model, [item], batching=batching, **ask) for item in data]
    assert found.layers["embed"].samples == 14
    assert found.outputs["v"].rmse < 1e-15
    pooled = sum(report.layers["embed"].power * report.layers["embed"].samples for report in alone) / 14
    torch.testing.assert_close(found.layers["embed"].power, pooled, rtol=1e-6, atol=1e-6)


class Moody(torch.nn.Module):
    """Rows by orientation, calls by system, and tables that hold no copies."""

    def __init__(self):
        super().__init__()
        for name in ("some", "often", "fine", "table"):
            setattr(self, name, torch.nn.Linear(3, 2).double())

    def forward(self, pos):
        self.some(pos[pos[..., 2] > 0])
        for _ in range(len(pos[0]) - 3):
            self.often(pos)
        self.table(torch.ones(2, 3, dtype=torch.float64))
        return self.fine(pos).square().sum((1, 2))


def test_layers_that_cannot_be_followed_are_left_out_by_name():
    report = audit(Moody(), [cloud(n, n) for n in (4, 5)], layers="*")
    assert list(report.layers) == ["often", "fine"] and report.layers["often"].samples == 9
    text = "\n".join(report.warnings)
    assert all(name in text for name in ("some", "table", "often#2"))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.parametrize("both_ways", [False, True])
def test_states_of_recurrent_layers_have_their_copies_on_the_second_axis(kind, layers, both_ways):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.r = kind(3, 6, layers, batch_first=True, bidirectional=both_ways).double()

        def forward(self, x):
            return self.r(x)[0].mean((1, 2))

    states = {torch.nn.LSTM: ["r[1][0]", "r[1][1]"], torch.nn.GRU: ["r[1]"]}[kind]
    found = audit(Net(), layers="*").layers
    assert list(found) == ["r[0]", *states]
    assert all(found[name].samples == 3 * layers * (1 + both_ways) and found[name].channels == 6 for name in states)


class Edges(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(3, 2).double()

    def forward(self, pos, pairs):
        d = pos[:, pairs[0, :, 0]] - pos[:, pairs[0, :, 1]]
        return {"e": norms(pos).sum(1), "edge": self.lin(d)}


def test_systems_without_a_row_in_a_layer_or_output():
    data = [
        {"pos": cloud(4, m), "pairs": torch.tensor([[0, 1]] * m, dtype=torch.long).reshape(m, 2)} for m in (2, 0, 3)
    ]
    report = eq.audit(
        Edges(), data, inputs={"pos": "vector"}, outputs={"e": "scalar", "edge": "scalar"}, layers="*", **ASK
    )
    assert report.outputs["e"].samples == 3 and report.outputs["edge"].samples == 5 == report.layers["lin"].samples
    assert not report.failures and str(report) and report.to_html()


def test_systems_without_rows_are_recorded_and_the_rest_is_done():
    report = audit(norms, [cloud(0), cloud(3), cloud(0, 1), cloud(2)], outputs={"v": "scalar"})
    assert [(f.system, f.reason) for f in report.failures] == [("0", "it has no rows"), ("2", "it has no rows")]
    assert report.outputs["v"].samples == 5
    with pytest.raises(eq.errors.ModelError, match="no rows"):
        audit(norms, [cloud(0)])


def test_every_system_takes_few_evaluations_more_than_its_grid():
    report = audit(lambda pos: norms(pos).sum(1), [cloud(4, seed) for seed in range(6)])
    extra = report.timings["evaluations"] - 6 * report.settings["rotations"]
    assert 6 * 4 < extra == report.timings["checks"] <= 6 * 24


def calls_of(model, rows, batch_rows, **ask):
    calls = 0

    def counting(pos):
        nonlocal calls
        calls += 1
        return model(pos)

    report = audit(counting, [cloud(rows, seed) for seed in range(8)], batch_rows=batch_rows, **ask)
    return calls, report


def test_systems_that_share_a_batch_are_rehearsed_by_one_call_each_and_one_together():
    few, together = calls_of(lambda pos: norms(pos)[:, 0] + pos[:, 1, 2] ** 4, 3, 8 * 3 * 400)
    many, alone = calls_of(lambda pos: norms(pos)[:, 0] + pos[:, 1, 2] ** 4, 3, 3 * 100)
    # and once: for what it computes in, for what it depends on, for the size of the batch
    assert few <= 8 + 1 + 1 + 4 and many > 4 * 8
    assert together.timings["checks"] <= alone.timings["checks"]
    one, other = together.outputs["e"], alone.outputs["e"]
    assert one.rmse == pytest.approx(other.rmse, rel=1e-12) and one.noise_floor == pytest.approx(other.noise_floor)


@pytest.mark.parametrize("batch_rows", [3 * 400, 3 * 300])
def test_values_that_come_along_with_a_rehearsal_are_those_of_the_grid(batch_rows, monkeypatch):
    buffer = torch.empty(1000, 3, dtype=torch.float64)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(3, 4).double()

        def forward(self, pos):
            # rows of padding that come from another copy
            hidden = torch.cat([pos, pos[:1, :1].expand(len(pos), 1, 3)], dim=1)
            values = self.inner(hidden)[:, :-1].square().sum(-1)
            return torch.add(values, norms(pos), out=buffer[: len(pos)])

    torch.manual_seed(0)
    model = Model()
    ask = {"batch_rows": batch_rows, "layers": "*", "keep": "samples", "outputs": {"e": "scalar"}}
    data = [cloud(3, seed) for seed in range(4)]
    calls = []
    model.register_forward_pre_hook(lambda *given: calls.append(len(given[1][0])))
    found = audit(model, data, **ask)
    along, calls[:] = len(calls), []
    monkeypatch.setattr(drive, "FEW", 0)
    without = audit(model, data, **ask)
    # the first system shows what the model computes in
    assert along == len(calls) - (len(data) - 1)
    assert found.timings["evaluations"] == without.timings["evaluations"]
    assert found.timings["checks"] == without.timings["checks"]
    pairs = [
        (found.outputs["e"], without.outputs["e"]),
        *zip(found.layers.values(), without.layers.values(), strict=True),
    ]
    assert len(pairs) > 1 and any("rows were left out" in text for text in found.warnings)
    for one, other in pairs:
        assert one.samples == other.samples
        torch.testing.assert_close(one.power, other.power, rtol=1e-12, atol=1e-14)


def test_an_adapter_that_adds_no_dither_has_a_floor_all_the_same():
    class Clouds(eq.adapters.Adapter):
        def __init__(self):
            self.outputs = {"e": eq.Representation.parse("scalar")}
            self.inputs = {"x": eq.Representation.parse("vector")}
            self.description = {"model": "m", "data": "d"}

        def systems(self):
            yield eq.adapters.System("one", cloud(dtype=torch.float32), rows=5, nbytes=60)

        def compatible(self, first, other):
            return True

        def forward(self, pieces):
            turned = [(piece.system.payload.double() @ piece.rotations.mT).float() for piece in pieces]
            energies = [torch.exp(-torch.cdist(x, x)).sum((1, 2)) for x in turned]
            return {"e": [energy.reshape(-1, 1, 1, 1) for energy in energies]}

        def native_mean(self, name, mean):
            return mean.reshape(())

    found = eq.audit(Clouds(), None, **ASK).outputs["e"]
    assert found.verdict == "exact" and 1e-8 < found.noise_floor < 1e-5


def test_a_batch_is_never_larger_than_asked():
    most = 0

    def model(pos):
        nonlocal most
        most = max(most, len(pos))
        return norms(pos).sum(1)

    audit(model, batch_rows=20)
    assert most == 4


def test_a_model_that_alternates_from_call_to_call_is_random_not_leaking():
    calls = 0

    def model(pos):
        nonlocal calls
        calls += 1
        return norms(pos).sum(1) + 1e-3 * (calls % 2)

    found = audit(model).outputs["e"]
    assert found.stochastic and found.verdict == "stochastic" and 1e-4 < found.noise < 1e-2


def test_rows_that_are_left_out_are_counted_over_systems_and_forgotten_with_them():
    layers, a, b = Layers({}), SimpleNamespace(name="a"), SimpleNamespace(name="b")
    values = torch.arange(6.0).reshape(2, 3, 1, 1)
    layers.keep("x", a, torch.tensor([True, False, True]))
    layers.keep("x", b, torch.tensor([False, True]))
    layers.keep("fine", a, torch.tensor([True, True]))
    layers.keep("z", b, torch.tensor([False, False]))
    layers.skip("z", "of another reason, which comes too late")
    layers.skip("y", "its values depend on what else is in the batch")
    assert layers.kept("x", a, values).flatten().tolist() == [0.0, 2.0, 3.0, 5.0]
    assert layers.kept("fine", a, values) is values and layers.left_out == {"x": [2, 5]}
    notes = layers.left().notes({"w": "its module was never called"})
    assert [note.partition(":")[0] for note in notes] == [
        "layer x",
        "layer w was left out",
        "layers z, y were left out",
    ]
    assert notes[0].startswith("layer x: 2 of 5 rows were left out") and notes[2].endswith("what else is in the batch")
    masks = layers.masks(a)
    layers.forget(a)
    assert layers.kept("x", a, values) is values and not layers.masks(a) and layers.masks(b)
    layers.restore(a, masks)
    assert layers.kept("x", a, values).shape == (2, 2, 1, 1)


def test_rows_went_astray_where_each_is_found_elsewhere():
    every = torch.arange(12.0).reshape(2, 6, 1, 1)
    swapped = every[:1].flip(1)
    assert _astray(swapped, every, 5.0) and _astray(swapped + 1e-3, every, 5.0)
    # near to another row is not that row
    assert not _astray(swapped + 0.1, every, 5.0) and not _astray(swapped + 20.0, every, 5.0)
    # of a single row that is nowhere too
    swapped[0, 0] += 0.1
    assert not _astray(swapped, every, 5.0)
    assert not _astray(swapped, every.expand(2, 6, 1, 1).repeat(SEARCHED, 1, 1, 1), 5.0)


# -- what shows itself late --------------------------------------------------------------------------------------


def test_a_leak_between_systems_of_two_sizes_is_seen_when_these_meet():
    # copies of one size pad nothing; the first systems of a set that is sorted by size do not meet another
    def batching(systems):
        return torch.nn.utils.rnn.pad_sequence(systems, batch_first=True)

    def model(pos):
        return torch.exp(-norms(pos)).mean(1)

    audit(model, [cloud(4, seed) for seed in range(4)], batching=batching)
    data = [cloud(n, seed) for seed, n in enumerate((4, 4, 4, 4, 4, 7))]
    with pytest.raises(eq.errors.ModelError, match=r"see each other.*It shared a batch with"):
        audit(model, data, batching=batching)


def test_a_leak_of_large_batches_alone_is_seen_in_the_first_of_them():
    def model(pos):
        crowd = pos[:, 0, 0].sum() if len(pos) > 30 else 0.0
        return norms(pos).sum(1) + crowd

    assert audit(model, batch_rows=60).outputs["e"].rmse < 1e-14
    with pytest.raises(eq.errors.ModelError, match="It was in a batch of"):
        audit(model)


def dense(pos):
    return int((torch.cdist(pos, pos) < 1.0).sum()) - pos.shape[0] * pos.shape[1]


LATE = {
    "mean over the batch": (lambda pos, h: h - h.mean() if pos.shape[1] > 3 else h, [(3, 1), (5, 1), (5, 1)]),
    "the last copy": (
        lambda pos, h: torch.cat([h[:-1], 2 * h[-1:]]) if pos.norm() > 100 else h,
        [(3, 1), (3, 1), (3, 100)],
    ),
    "large batches": (lambda pos, h: h * (1.01 if dense(pos) > 400 else 1), [(3, 9), (3, 9), (3, 0.2)]),
}


@pytest.mark.parametrize("batch_rows", [600, 1000])
@pytest.mark.parametrize(("leak", "sizes"), LATE.values(), ids=LATE)
def test_a_leak_that_begins_at_a_later_system_is_seen_there(leak, sizes, batch_rows):
    # in batches that hold half of a grid, or all of it, beside the copies of the rehearsal
    def model(pos):
        return leak(pos, torch.tanh(pos @ torch.tensor([1.0, 0.5, 2.0], dtype=pos.dtype)).sum(1))

    data = [scale * cloud(rows, i) for i, (rows, scale) in enumerate(sizes)]
    with pytest.raises(eq.errors.CrossTalkError, match=r"outputs\['e'\]"):
        audit(model, data, batch_rows=batch_rows)


@pytest.mark.parametrize("batch_rows", [300, 600, 1000])
def test_rows_of_layers_filled_by_the_batch_are_left_out_of_every_system(batch_rows):
    class Padded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Identity()

        def forward(self, pos):
            h = torch.tanh(pos)
            h = self.layer(torch.cat([h[:, :-1], torch.full_like(h[:, -1:], float(len(h)))], 1))
            return {"e": h[:, :-1].sum((1, 2))}

    report = audit(Padded(), [cloud(3, i) for i in range(3)], layers="layer", batch_rows=batch_rows)
    assert "3 of 9 rows were left out" in report.warnings[0]


def test_a_capacity_that_a_batch_shares_is_refused():
    def model(pos):
        size = norms(pos[:, 0] * torch.tensor([1.0, 2.0, 3.0], dtype=pos.dtype))
        return torch.where(size > size.median(), 2.0, 1.0) * size

    with pytest.raises(eq.errors.ModelError, match="see each other"):
        audit(model)


def test_a_system_that_is_never_finite_fails_alone():
    def model(pos):
        return 1.0 / (norms(pos).sum(1) - norms(pos).sum(1) * (pos[:, 0].abs().sum(1) == 0))

    bad = torch.zeros(3, 3, dtype=torch.float64)
    report = audit(model, [cloud(4), bad, cloud(3, 1)])
    assert [failure.system for failure in report.failures] == ["1"] and report.outputs["e"].samples == 2


def test_numbers_whose_squares_vanish_are_recorded_as_such():
    with pytest.raises(eq.errors.ModelError, match="numbers below 1e-149, whose squares vanish"):
        audit(lambda pos: 1e-200 * pos[..., 0].sum(1))


def test_a_calculator_that_drifts_is_random():
    calls = 0

    def model(pos):
        nonlocal calls
        calls += 1
        return norms(pos).sum() + 1e-6 * calls

    found = audit(model, batching="loop").outputs["e"]
    assert found.verdict == "stochastic" and found.noise > 1e-4


CUBE = torch.tensor([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=torch.float64)


def distances(pos):
    return (pos[:, :, None] - pos[:, None]).norm(dim=-1) + 9 * torch.eye(pos.shape[1], dtype=pos.dtype)


def nearest(pos):
    """Which of equally near neighbours comes first, as a number."""
    return distances(pos)[:, 0].argmin(-1).to(pos)


def two_nearest(pos):
    d, i = distances(pos).topk(2, largest=False)
    return (torch.arange(1.0, 9.0, dtype=pos.dtype)[i] * torch.exp(-d)).sum((1, 2))


def in_reach(pos):
    return (distances(pos) < 1.0).to(pos).sum((1, 2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("model", [nearest, two_nearest, in_reach])
def test_a_choice_among_equals_jumps_and_is_neither_random_nor_without_input(model, dtype):
    report = audit(model, [CUBE.to(dtype)])
    found = report.outputs["e"]
    assert found.verdict == "jumps" and found.depends and not found.stochastic and found.noise == 0
    (said,) = [line for line in report.findings() if "`e` jumps" in line]
    assert said.severity == "warning" and "the same input gives the same" in said and "equally near neighbours" in said
    assert not any("stochastic" in line for line in report.findings())
    moved = CUBE + 0.1 * torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert audit(model, [moved.to(dtype)]).outputs["e"].verdict == "exact"


def test_a_jump_hides_no_larger_error():
    report = audit(lambda pos: nearest(pos) + 100 * pos[:, 1, 0], [CUBE])
    assert report.outputs["e"].verdict == "not as declared" and any("`e` jumps" in line for line in report.findings())


@pytest.mark.parametrize("last", [False, True], ids=["the first", "the last"])
def test_rare_jumps_by_rounding_are_no_broken_symmetry_whichever_of_equally_far_elements_is_kept(last, monkeypatch):
    def from_mean(self, mean):
        far = (self._values - mean).flatten(1).square().mean(1).sqrt()
        equal = (far >= far.max() * (1 - 1e-6)).nonzero()[:, 0].tolist()
        kept = max(equal, key=lambda i: int(self._places[i]) * (1 if last else -1))
        return int(self._places[kept]), float(far[kept]), self._values[kept]

    monkeypatch.setattr(Farthest, "from_mean", from_mean)
    # the sum of distances comes in steps of float32, which the exponential makes large
    found = [
        audit(
            lambda pos: torch.exp((pos[:, :, None] - pos[:, None]).norm(dim=-1).sum((1, 2))),
            [torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))],
        ).outputs["e"]
        for seed in range(20)
    ]
    assert [output.verdict for output in found] == ["exact"] * 20


def test_a_layer_without_a_row_in_any_system_is_named():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.none = torch.nn.Linear(3, 2).double()

        def forward(self, pos):
            self.none(pos[:, :0])
            return norms(pos).sum(1)

    (note,) = [text for text in audit(Net(), layers="*").warnings if "none" in text]
    assert "no system has a row in it" in note


def test_a_model_that_fails_on_joined_indices_is_told_why():
    def unpacks(pos, edge_index, batch):
        i, j = edge_index
        return (pos[i] - pos[j]).norm(dim=1)

    with pytest.raises(eq.errors.ModelError, match=r"too many values.*joins 'edge_index' as they are"):
        eq.audit(unpacks, graphs(4), inputs={"pos": "vector"}, outputs={"e": "scalar"}, batching="concat", **ASK)


def test_what_is_known_of_systems_does_not_grow_with_their_number(monkeypatch):
    know, counts = CrossTalk.know, []

    def counted(talk, *args):
        know(talk, *args)
        counts.append(len(talk._known))

    monkeypatch.setattr(CrossTalk, "know", counted)
    data = [torch.randn(4, 3, generator=torch.Generator().manual_seed(i)) for i in range(12)]
    asked = {"lmax": 1, "degree": 4, "batch_rows": 600, "progress": False}
    eq.audit(lambda x: x[..., 0].abs().sum(-1), data, inputs="vector", outputs="scalar", **asked)
    assert len(counts) == 12 and max(counts) <= 3

"""Audits that must make do with the memory there is."""

import gc
import re
from types import SimpleNamespace

import pytest
import torch

import equiscope as eq
from equiscope.errors import MemoryLimitError
from equiscope.measure import orbit
from equiscope.probe.memory import Memory

SETTINGS = {"inputs": {"x": "vector"}, "outputs": {"u": "vector"}, "layers": "layer", "lmax": 3, "degree": 6}


class Model(torch.nn.Module):
    """Counts the copies of every call; raises what a device out of memory raises beyond `most` of them."""

    def __init__(self, most=10**9, error=None):
        super().__init__()
        self.layer = torch.nn.Linear(3, 20).double()
        self.most = most
        self.error = error
        self.batches = []

    def forward(self, x):
        self.batches.append(x.shape[0])
        hidden = torch.tanh(self.layer(x))
        if x.shape[0] > self.most:
            raise self.error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return {"u": hidden[..., :3] + x * hidden[..., 3:4]}


def systems(n=3, atoms=5):
    generator = torch.Generator().manual_seed(2)
    return [{"x": torch.randn(atoms, 3, generator=generator, dtype=torch.float64)} for _ in range(n)]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model().train()


def audit(model, data=None, **settings):
    return eq.audit(model, systems() if data is None else data, **{**SETTINGS, **settings})


def same(a, b):
    for one, other in zip((a.outputs["u"], a.layers["layer"]), (b.outputs["u"], b.layers["layer"]), strict=True):
        torch.testing.assert_close(one.power, other.power, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(one.total, other.total, rtol=1e-12, atol=1e-14)
    assert a.outputs["u"].rmse == pytest.approx(b.outputs["u"].rmse, rel=1e-12)
    assert a.outputs["u"].worst.rotation_index == b.outputs["u"].worst.rotation_index


def untouched(model):
    return model.training and not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize(
    ("error", "batch_rows"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "auto"),
        (
            RuntimeError("The operation failed in the TorchScript interpreter.\nRuntimeError: CUDA out of memory."),
            500,
        ),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 10."), 500),
        (MemoryError(), "auto"),
    ],
    ids=["cuda", "torchscript", "cpu", "python"],
)
def test_a_batch_that_does_not_fit_is_halved(model, error, batch_rows):
    everything = audit(model)
    model.most, model.error = 13, error
    model.batches.clear()
    found = audit(model, batch_rows=batch_rows)
    same(found, everything)
    assert untouched(model)
    assert found.settings["batch_rows"] <= 13 * 5
    # what failed is tried no more than once for each halving
    assert sum(batch > 13 for batch in model.batches) <= 5


def test_no_room_for_one_copy_is_an_error_that_names_what_to_change(model):
    model.most = 0
    with pytest.raises(MemoryLimitError, match=r"max_memory: expected room for .*copy of '0'.*out-of-memory"):
        audit(model)
    assert untouched(model)


def test_one_copy_that_does_not_fit_later_on_ends_the_audit_too(model):
    calls = iter(range(40))

    def full_after_a_while(x):
        if next(calls) > 8:
            raise MemoryError
        return {"u": x}

    asked = {"inputs": {"x": "vector"}, "outputs": {"u": "vector"}, "progress": False}
    with pytest.raises(MemoryLimitError, match="one copy of '0'"):
        eq.audit(full_after_a_while, systems(1), lmax=1, degree=6, batch_rows=40, **asked)


def test_what_is_too_much_beside_a_rehearsal_is_tried_once(model):
    whole = audit(model, batch_rows=5 * 364)
    model.most, model.batches = 370, []
    # the grid fits into a batch, and not beside the copies of a rehearsal
    same(audit(model, batch_rows=5 * 400), whole)
    assert len([n for n in model.batches if n > 370]) == 1 and model.batches.count(364) == 3


def test_out_of_memory_in_the_statistics_is_the_same_error(model, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(orbit.OrbitMoments, "update", full)
    with pytest.raises(MemoryLimitError, match=r"max_memory: .* a batch of \d+ rows .*batch_rows=\d+ takes half"):
        audit(model)
    assert untouched(model)


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("settings", [{}, {"degree": "auto"}, {"degree": None, "estimator": "monte-carlo"}])
def test_out_of_memory_while_data_are_read_is_put_down_to_the_data(model, before, settings):
    def stream():
        yield from systems(n=before)
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(MemoryLimitError, match=r"max_memory: expected room to .* read the next system beside"):
        audit(model, stream(), **settings)
    assert untouched(model)


def test_out_of_memory_while_the_model_is_opened_is_the_same_error(model, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(eq.adapters.PlainAdapter, "__init__", full)
    with pytest.raises(MemoryLimitError, match="max_memory: expected room to open the model"):
        audit(model)


def test_other_errors_of_the_model_pass_as_they_are(model):
    model.most, model.error = 3, RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        audit(model)
    assert untouched(model)


def test_batches_are_filled_no_further_than_max_memory(model):
    everything = audit(model, batch_rows=2000)
    widest = max(model.batches)
    model.batches.clear()
    # statistics of one system: 5 x 23 values with 2 E(3) = 168 coefficients, and as many values not yet projected
    found = audit(model, batch_rows=2000, max_memory=1_000_000)
    same(found, everything)
    # the first batch is not yet measured
    assert 1 < max(model.batches[3:]) * 5 * 23 * 8 <= 1_000_000 < widest * 5 * 23 * 8 + 2 * 10**6


def test_too_little_is_refused_with_an_lmax_that_fits(model):
    data = systems(n=1, atoms=300)
    with pytest.raises(MemoryLimitError, match=r"max_memory: expected at least .*'0'.*got 40 MB; ") as caught:
        audit(model, data, max_memory=40_000_000, lmax=6, degree=12)
    assert untouched(model)
    fits = int(re.search("; lmax=(\\d) would fit", str(caught.value))[1])
    assert 0 < fits < 6
    assert len(audit(model, data, max_memory=40_000_000, lmax=fits, degree=12).systems) == 1
    with pytest.raises(MemoryLimitError):
        audit(model, data, max_memory=40_000_000, lmax=fits + 1, degree=12)


def test_with_no_lmax_that_fits_fewer_layers_are_the_advice(model):
    with pytest.raises(MemoryLimitError, match=r"max_memory: .*got 1 kB; auditing fewer layers takes less"):
        audit(model, max_memory=1000)


def test_systems_share_batches_only_as_far_as_their_statistics_fit(model):
    data = systems(n=8, atoms=1)
    everything = audit(model, data)
    alone = audit(model, data, max_memory=150_000)
    same(alone, everything)


@pytest.mark.parametrize("degree", [12, 40])
def test_statistics_take_what_they_are_said_to_take(degree):
    grid = eq.quadrature(degree)
    first = torch.randn(40, 6, 1)
    gc.collect()
    moments = orbit.OrbitMoments(grid, 6, first, None)
    # the whole orbit at once, or coefficients beside a block of values
    assert (moments._projection is None) == (degree == 12)
    tensors = [value for value in vars(moments).values() if isinstance(value, torch.Tensor)]
    if moments._projection is not None:
        tensors.append(moments._projection.coefficients)
    held = sum(tensor.untyped_storage().nbytes() for tensor in tensors)
    assert held == pytest.approx(orbit.orbit_bytes(grid, 6, first), rel=0.05)


def test_where_looking_waits_a_value_that_is_not_finite_is_found_at_the_end(monkeypatch):
    grid = eq.quadrature(6)
    rotation = grid.rotations[77]

    def model(x):
        bad = (x[:, 0] - rotation @ torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)).abs().amax(-1) < 1e-12
        return {"u": torch.where(bad, torch.nan, x[:, 0, 0])}

    data = [{"x": torch.tensor([[float(scale), 2.0, 3.0]], dtype=torch.float64)} for scale in (1, 2)]
    settings = {"inputs": {"x": "vector"}, "outputs": {"u": "scalar"}, "lmax": 2, "degree": 6, "shift": None}
    found = eq.audit(model, data, **settings)
    monkeypatch.setattr(orbit, "READ_AT_ONCE", ())
    late = eq.audit(model, data, **settings)
    for report in (found, late):
        assert [(f.system, f.rotation_index) for f in report.failures] == [("0", 77)]
        assert [row.name for row in report.systems] == ["1"]
    assert late.outputs["u"].rmse == found.outputs["u"].rmse


def test_an_account_says_in_numbers_what_fits_and_what_does_not():
    cpu, a, b = torch.device("cpu"), SimpleNamespace(name="a", rows=5), SimpleNamespace(name="b", rows=1)
    memory = Memory(1000, 2)
    memory.statistics = lambda values, lmax: 100 * (lmax + 1)
    values = {"u": torch.zeros(1)}
    assert not memory.crowded(values) and memory.rows(77) == 77
    memory.rehearse(a)
    memory.begin(a, values)
    memory.start(cpu, 10)
    memory.stop(cpu, 500)
    assert memory.held == 300 and memory.rows(77) == 700 // 50 and memory.rows(3) == 3
    # what a row took at most counts
    memory.start(cpu, 10)
    memory.stop(cpu, 50)
    assert memory.rows(77) == 14 and not memory.crowded(values)
    memory.begin(b, values)
    assert memory.held == 600 and not memory.crowded(values) and memory.rows(77) == 8
    memory.limit = 899
    assert memory.crowded(values)
    memory.limit = 1000
    told = str(memory._hint(150)), str(memory._hint(99))
    assert told == ("lmax=0 would fit", "auditing fewer layers takes less")
    list(memory.reading(iter(())))
    assert "room for a batch of 10 rows beside 600 bytes" in str(memory.exhausted())
    assert str(memory.exhausted()).endswith("batch_rows=5 takes half")
    memory.shrink()
    assert memory.rows(77) == 5
    memory.start(cpu, 5)
    assert "one copy of 'a'" in str(memory.exhausted()) and str(memory.exhausted()).endswith("lmax=1 would fit")
    with pytest.raises(
        MemoryLimitError, match=r"at least 1.6 kB \(statistics 600 bytes, one copy of 'a' 1 kB\), got 1 kB"
    ):
        memory.stop(cpu, 1000)
    free = Memory(None, 2)
    free.begin(a, values)
    assert not free.crowded(values) and free.rows(10**9) == 10**9

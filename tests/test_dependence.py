"""An output that depends on nothing that is turned is exact whatever the model is, and an audit says so."""

import pytest
import torch

import equiscope as eq
from equiscope.adapters import Adapter, System
from equiscope.probe import dependence

ASK = {"lmax": 2, "degree": 6, "progress": False}
SAID = "not depend on any input that is turned"


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def system(seed=0, rows=5):
    return {"pos": draw(rows, 3, seed=seed), "vel": draw(rows, 3, seed=seed + 100)}


def audit(model, data=None, outputs=None, **ask):
    inputs = {"pos": "vector", "vel": "invariant"}
    asked = {"inputs": inputs, "outputs": outputs or {"u": "scalar"}, **ASK, **ask}
    return eq.audit(model, data or [system()], **asked)


def told(report):
    return [line for line in report.findings() if SAID in line]


UNTOUCHED = {
    "of an input declared invariant": lambda pos, vel: vel.square().sum((-1, -2)),
    "that breaks it": lambda pos, vel: vel[..., 0].abs().sum(-1),
    "of the shape alone": lambda pos, vel: pos.new_full(pos.shape[:-2], 3.0),
    "by its name alone": lambda pos, vel: (0.0 * pos).sum((-1, -2)) + vel.sum((-1, -2)),
    "by less than can be seen": lambda pos, vel: 1e9 + 1e-9 * pos.norm(dim=-1).sum(-1),
}


@pytest.mark.parametrize("model", UNTOUCHED.values(), ids=UNTOUCHED)
def test_an_output_that_depends_on_nothing_that_is_turned_is_called_untested(model):
    report = audit(model)
    found = report.outputs["u"]
    assert found.verdict == "exact" and not found.depends
    (line,) = told(report)
    assert line.severity == "warning" and "`u` does" in line
    assert not any("as far as" in line for line in report.findings())


def test_noise_hides_no_dependence_that_is_larger_and_is_none_itself():
    generator = torch.Generator().manual_seed(0)

    def model(pos, vel):
        noise = 0.01 * torch.randn(len(pos), generator=generator, dtype=torch.float64)
        return {"e": pos.norm(dim=-1).sum(-1) + noise, "k": vel.square().sum((-1, -2)) + noise}

    report = audit(model, outputs={"e": "scalar", "k": "scalar"})
    assert {name: output.verdict.value for name, output in report.outputs.items()} == dict.fromkeys("ek", "stochastic")
    assert report.outputs["e"].depends and not report.outputs["k"].depends
    (line,) = [line for line in report.findings() if line.startswith("`k` is stochastic")]
    assert "Above that noise, `k` is not seen to depend on any input" in line
    beyond = [line for line in report.findings() if "Beyond that noise" in line]
    assert len(beyond) == 1 and "`e` shows" in beyond[0]


TOUCHED = {
    "distances": lambda pos, vel: torch.cdist(pos, pos).square().sum((-1, -2)) + vel.sum((-1, -2)),
    "a small part of it": lambda pos, vel: 1e5 + 1e-3 * torch.cdist(pos, pos).sum((-1, -2)),
    "saturated": lambda pos, vel: torch.tanh(3.0 + 0.1 * pos.norm(dim=-1)).sum(-1),
    "a vote": lambda pos, vel: (pos.norm(dim=-1) > 1.5).double().mean(-1),
}


@pytest.mark.parametrize("model", TOUCHED.values(), ids=TOUCHED)
def test_an_output_that_depends_on_it_is_exact_as_ever(model):
    report = audit(model)
    assert report.outputs["u"].verdict == "exact" and report.outputs["u"].depends and not told(report)


def test_each_output_is_judged_by_itself():
    def model(pos, vel):
        return {"e": pos.norm(dim=-1).sum(-1), "v": pos, "k": vel.square().sum((-1, -2)), "w": 0 * pos}

    kinds = {"e": "scalar", "v": "vector", "k": "scalar", "w": "vector"}
    report = audit(model, outputs=kinds)
    assert {name: output.depends for name, output in report.outputs.items()} == {
        "e": True, "v": True, "k": False, "w": False,
    }  # fmt: skip
    (line,) = told(report)
    assert line.startswith("`k` does") and report.outputs["w"].verdict == "zero"


def test_what_does_not_turn_as_declared_for_want_of_an_input_says_so():
    report = audit(lambda pos, vel: vel, outputs={"u": "vector"})
    assert report.outputs["u"].verdict == "not as declared"
    (line,) = told(report)
    assert "one that ought to turn was declared invariant" in line


def test_a_point_alone_leaves_the_question_to_the_next_system():
    def model(pos, vel):
        return 1.0 + torch.cdist(pos, pos).square().sum((-1, -2))

    assert told(audit(model, [system(rows=1)]))
    assert not told(audit(model, [system(rows=1), system(seed=1)]))


def test_a_large_offset_hides_no_dependence_that_can_be_seen():
    def model(pos, vel):
        return 1e6 + pos.square().sum((-1, -2)).sqrt()

    for dtype, depends in ((torch.float64, True), (torch.float32, True), (torch.bfloat16, False)):
        assert audit(model, [{key: value.to(dtype) for key, value in system().items()}]).outputs["u"].depends is depends


@pytest.mark.parametrize("systems", [1, 4])
def test_the_question_costs_two_evaluations_of_the_first_system_or_four_of_three_in_vain(systems, monkeypatch):
    def checks(model):
        return audit(model, [system(seed=seed) for seed in range(systems)]).timings["checks"]

    models = TOUCHED["distances"], UNTOUCHED["of the shape alone"]
    asked = [checks(model) for model in models]
    monkeypatch.setattr(dependence, "TRIED", 0)
    assert [n - checks(model) for n, model in zip(asked, models, strict=True)] == [2, 4 * min(systems, 3)]


def test_what_was_seen_to_move_is_not_asked(monkeypatch):
    def elsewhere(*ask):
        raise AssertionError("asked")

    monkeypatch.setattr(dependence.Dependence, "_elsewhere", elsewhere)
    assert audit(lambda pos, vel: pos[..., 0].abs().sum(-1)).outputs["u"].depends


def test_a_model_that_refuses_the_other_input_depends_on_it():
    distances = torch.pdist(system()["pos"])

    def model(pos, vel):
        if any((torch.pdist(one) - distances).abs().max() > 1e-3 for one in pos):
            raise ValueError("another molecule")
        return vel.square().sum((-1, -2))

    report = audit(model)
    assert report.outputs["u"].depends and not report.failures


def test_an_adapter_that_adds_no_dither_is_asked_by_other_elements():
    class Clouds(Adapter):
        def __init__(self, model):
            self.model = model
            self.outputs = {"u": eq.Representation.parse("scalar")}
            self.inputs = {"x": eq.Representation.parse("vector")}
            self.description = {"model": "m", "data": "d"}

        def systems(self):
            yield System("one", draw(5, 3), rows=5, nbytes=120)

        def compatible(self, first, other):
            return True

        def forward(self, pieces):
            turned = [piece.system.payload @ piece.rotations.mT for piece in pieces]
            return {"u": [self.model(x).reshape(-1, 1, 1, 1) for x in turned]}

        def native_mean(self, name, mean):
            return mean.reshape(())

    assert eq.audit(Clouds(lambda x: x.norm(dim=-1).sum(-1)), None, **ASK).outputs["u"].depends
    assert not eq.audit(Clouds(lambda x: x.new_ones(len(x))), None, **ASK).outputs["u"].depends


def test_it_is_told_in_table_summary_and_files(tmp_path):
    report = audit(UNTOUCHED["of an input declared invariant"])
    assert SAID in " ".join(str(report).split()) and 'class="left zero"' in report.to_html()
    kept = eq.Audit.load(report.save(tmp_path))
    assert not kept.outputs["u"].depends and told(kept) == told(report)


def test_invariant_inputs_that_may_hold_vectors_are_named_in_a_note():
    def model(pos, vel, spin):
        return pos.norm(dim=-1).sum(-1) + spin.sum(-1)

    data = [{**system(), "spin": torch.ones(5, dtype=torch.float64)}]
    inputs = {"pos": "vector", "vel": "invariant", "spin": "invariant"}
    (note,) = eq.audit(model, data, inputs=inputs, outputs={"u": "scalar"}, **ASK).notes
    assert note.startswith("`vel` was declared invariant and not turned")
    inputs = {"pos": "vector", "vel": "vector", "*": "invariant"}
    assert not eq.audit(model, data, inputs=inputs, outputs={"u": "scalar"}, **ASK).notes

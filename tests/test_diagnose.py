"""A diagnosis says of each sector of a target what became of it, and where."""

import dataclasses
import functools
import math

import pytest
import torch
from constructed import CASES, Net, data_of, mixed, quadrupole, second, summed, traceless

import equiscope as eq
from equiscope import errors
from equiscope.diagnose import Fate, LayerReading, SectorDiagnosis, ridge
from equiscope.diagnose.fate import Scores, fate
from equiscope.diagnose.remedy import remedy

SETTINGS = dict(inputs="vector", lmax=2, degree=6, progress=False)


def diagnosed(case, seed):
    data, labels = data_of(case, seed)
    model = Net(case.steps, lambda h: {"y": case.readout(h)})
    return eq.diagnose(
        model, data, outputs={"y": case.kind}, targets={"y": labels}, layers="*", seed=seed, **SETTINGS, **case.more
    )


def check(name, seed):
    case = CASES[name]
    diagnosis = diagnosed(case, seed)
    found, text = diagnosis["y", case.label], str(diagnosis)
    told = (found.fate.value, found.formed_at, found.lost_at)
    assert told == (case.fate, case.formed, case.lost), f"{text}\n{found.layers}"
    assert all(words in text for words in case.says), text


QUICK = list(CASES)[::2]


@pytest.mark.parametrize("name", QUICK)
def test_networks_of_which_the_fault_is_known_are_diagnosed_rightly(name):
    check(name, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", CASES)
def test_networks_of_which_the_fault_is_known_are_diagnosed_rightly_with_five_seeds(name, seed):
    check(name, seed)


def orbits(n=16, k=3, l=1, seed=0):
    """Features that turn like vectors with others that do not, on a grid, and their moments."""
    generator = torch.Generator().manual_seed(seed)
    grid = eq.quadrature(4)
    rho = grid.select(0, len(grid))
    held = torch.randn(n, 3, k, dtype=torch.float64, generator=generator)
    stray = torch.randn(n, len(grid), k, dtype=torch.float64, generator=generator)
    x = torch.einsum("gmn,ink->igmk", rho, held).flatten(2)
    x = torch.cat([x, stray], -1)
    moments = torch.einsum("g,igk,gmn->ikmn", grid.weights, x, rho)
    y = held @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    return grid, rho, x, moments, y


def test_readability_at_random_orientations_is_that_of_a_regression_on_all_turned_copies():
    grid, rho, x, moments, y = orbits()
    y = y + torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(9))
    fold = torch.arange(len(y)) % ridge.FOLDS
    squares = torch.stack([
        torch.einsum("g,igk,igj->kj", grid.weights, x[fold == f], x[fold == f]) for f in range(ridge.FOLDS)
    ])  # fmt: skip
    found = ridge.at_random_orientations(ridge.Samples(moments, y[:, None], fold, False), squares)
    loss = 0.0
    root = grid.weights.sqrt()[:, None]
    for f in range(ridge.FOLDS):
        train, test = ((fold != f), (fold == f))
        copies, turned = (
            (root * x[train]).flatten(0, 1),
            (root * torch.einsum("gmn,in->igm", rho, y[train])).flatten(0, 1),
        )
        w = torch.linalg.lstsq(copies, turned).solution
        loss += float(((x[test] @ w - torch.einsum("gmn,in->igm", rho, y[test])).square().sum(-1) @ grid.weights).sum())
    assert abs(float(found) - (1 - loss / float(y.square().sum()))) < 2e-2
    assert float(found) >= 1 - loss / float(y.square().sum()) - 1e-9  # the best penalty is none that is worse


def test_symmetrised_readability_is_that_of_the_best_averaged_readout_and_never_less():
    _, _, _, moments, y = orbits()
    fold = torch.arange(len(y)) % ridge.FOLDS
    assert float(ridge.symmetrised(ridge.Samples(moments[:, :9], y[:, None], fold, False))) > 1 - 1e-6


def test_nothing_is_read_from_nothing():
    _, _, _, moments, y = orbits(n=60)
    fold = torch.arange(len(y)) % ridge.FOLDS
    others = torch.randn(60, 20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    assert float(ridge.symmetrised(ridge.Samples(moments[:, :9], others, fold, False)).max()) < 0.1


def test_what_belongs_together_is_not_split_between_parts():
    generator = torch.Generator().manual_seed(0)
    base = [torch.randn(4, 3, dtype=torch.float64, generator=generator) for _ in range(10)]
    labels = [torch.randn(3, dtype=torch.float64, generator=generator) for _ in base]
    data = [x + 1e-3 * torch.randn(x.shape, dtype=x.dtype, generator=generator) for x in base for _ in range(3)]
    targets = [y for y in labels for _ in range(3)]
    model = Net({"embed": second, "pool": summed}, lambda h: {"y": h[..., :3]})
    settings = dict(outputs={"y": "vector"}, targets={"y": targets}, **SETTINGS)
    split = eq.diagnose(model, data, **settings)["y", (1, 1)]
    whole = eq.diagnose(model, data, groups=[i // 3 for i in range(30)], **settings)["y", (1, 1)]
    assert max(layer.symmetrised for layer in whole.layers) < 0.3
    assert max(layer.symmetrised for layer in split.layers) > max(layer.symmetrised for layer in whole.layers)


def test_a_target_with_a_value_for_each_row_is_read_from_rows():
    data, _ = data_of(CASES["all is right"], 0)
    model = Net({"embed": second, "mix": mixed}, lambda h: {"f": 0.0 * h[..., :3]})
    found = eq.diagnose(model, data[:12], outputs={"f": "vector"}, targets={"f": data[:12]}, **SETTINGS)["f", (1, 1)]
    assert found.fate == "present but not read out" and not found.pooled and found.samples == 48
    assert min(layer.linear for layer in found.layers) > 0.999


def cut():
    data, labels = data_of(CASES["layer that projects l = 2 out"], 0)
    steps = {"embed": second, "cut": lambda h: h[..., :4], "pool": summed}
    model = Net(steps, lambda h: {"q": traceless(0 * h.repeat_interleave(3, -1)[..., :9])})
    return eq.diagnose(model, data[:12], outputs={"q": "tensor"}, targets={"q": labels[:12]}, **SETTINGS)


@functools.cache
def cut_once():
    return cut()


def test_diagnoses_are_saved_and_loaded(tmp_path):
    found = dataclasses.replace(cut_once())
    found.audit = None
    again = eq.Diagnosis.load(found.save(tmp_path))
    assert again.to_json() == found.to_json()
    assert again["q", (2, 1)].verdict == "lost at cut" and "lost at cut" in str(again)
    assert {"diagnosis.json", "diagnosis.png", "diagnosis.md", "index.html"} <= {
        each.name for each in tmp_path.iterdir()
    }
    page = (tmp_path / "index.html").read_text()
    assert "<code>q</code>, l=2 (2e): lost at <code>cut</code>." in page and page.count("<svg") == 1
    assert "To repair it: hand the features of <code>embed</code> on past <code>cut</code>" in page
    (tmp_path / "diagnosis.json").write_text("{}")
    with pytest.raises(errors.DataError, match=r"expected what Diagnosis\.save wrote"):
        eq.Diagnosis.load(tmp_path)


@pytest.mark.slow
def test_the_audit_is_saved_beside_the_diagnosis(tmp_path):
    found = cut()
    again = eq.Diagnosis.load(found.save(tmp_path))
    assert again.audit.outputs["q"].target.sectors == found.audit.outputs["q"].target.sectors


def reading(symmetrised, planted=1.0, name="a"):
    return LayerReading(name, 1.0, 1.0, not math.isnan(planted), symmetrised, symmetrised, 0.05, planted)


@pytest.mark.parametrize(
    "explained, symmetrised, layers, expected",
    [
        (0.95, 0.99, [reading(0.1, name="a"), reading(1.0, name="b")], ("learned", "b", None)),
        (0.2, 0.95, [reading(1.0)], ("learned on average", "a", None)),
        (0.0, 0.0, [reading(0.9), reading(0.1, name="b")], ("lost", "a", "b")),
        (0.0, 0.0, [reading(0.9), reading(0.1, planted=0.2, name="b")], ("cannot be told", "a", None)),
        (0.0, 0.0, [reading(0.1)], ("never formed", None, None)),
        (0.0, 0.0, [reading(0.1, planted=0.2)], ("cannot be told", None, None)),
        (0.0, 0.0, [reading(0.0, planted=math.nan)], ("never formed", None, None)),
        (0.6, 0.65, [reading(0.7)], ("learned in part", "a", None)),
        (0.1, 0.1, [reading(0.7)], ("present but not read out", "a", None)),
    ],
)
def test_fates_follow_from_numbers(explained, symmetrised, layers, expected):
    found = fate(True, Scores(explained, symmetrised), layers)
    assert (found[0].value, *found[1:]) == expected
    assert fate(False, Scores(explained, symmetrised), layers)[0] == "below noise"


def test_every_fate_that_is_no_success_has_its_remedy():
    assert "skip connection" in remedy(cut_once()["q", (2, 1)])
    made = {**vars(cut_once()["q", (2, 1)]), "layers": [reading(0.9)], "error_in": {}, "lost_at": "b"}
    for told in Fate:
        found = remedy(SectorDiagnosis(**{**made, "fate": told}))
        assert bool(found) == (told not in (Fate.NOISE, Fate.LEARNED)) and found.count("To repair it") == bool(found)
    biased = SectorDiagnosis(**{**made, "fate": Fate.BROKEN, "error_in": {"scalar (0e)": 1.0, "l=2 (2e)": 2.0}})
    assert "leave the bias out of the readout of `q`" in remedy(biased)
    never = SectorDiagnosis(**{**made, "fate": Fate.NEVER, "label": (1, -1)})
    assert "cross or triple products" in remedy(never)


@pytest.mark.parametrize(
    "asked, words",
    [
        ({"targets": {}}, "targets: expected labels of at least one output"),
        ({"degree": 3}, "degree: expected at least 2 lmax"),
        ({"lmax": 1, "degree": 4}, "lmax: expected at least 2, the degree of 'q'"),
        ({"estimator": "monte-carlo"}, "estimator: expected no such keyword"),
        ({"groups": "name"}, "groups: expected one per system"),
        ({"groups": [0]}, "groups: expected the group of '1'"),
        ({}, "data: expected at least 10 groups of systems"),
    ],
)
def test_what_no_diagnosis_can_be_made_of_is_refused(asked, words):
    data = [torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    model = Net({"embed": second, "pool": summed}, lambda h: {"q": traceless(h[..., 5:])})
    settings = {"outputs": {"q": "tensor"}, "targets": {"q": list(map(quadrupole, data))}, **SETTINGS}
    with pytest.raises(errors.EquiscopeError, match=words):
        eq.diagnose(model, data, **{**settings, **asked})


class Heads(torch.nn.Module):
    """A quadrupole that nothing was fitted to, and an energy that is computed after it."""

    def __init__(self, named):
        super().__init__()
        self.pool = torch.nn.Identity()
        self.named = named
        self.add_module("Q" if named else "first", torch.nn.Identity())
        self.add_module("E" if named else "second", torch.nn.Identity())

    def forward(self, x):
        h = self.pool(summed(second(x)))
        _, q, e = self.children()
        return {"Q": q(0.0 * h[..., :9]).unflatten(-1, (3, 3)), "E": e(h[..., 6:7] - 2 * h[..., 9:10]).squeeze(-1)}


@pytest.mark.parametrize("named", [True, False])
def test_the_heads_of_outputs_are_not_the_last_layer(named):
    data, _ = data_of(CASES["all is right"], 0)
    labels = [quadrupole(x) for x in data]
    kinds = {"Q": "tensor", "E": "scalar"}
    found = eq.diagnose(Heads(named), data, outputs=kinds, targets={"Q": labels}, **SETTINGS)["Q", (2, 1)]
    assert [layer.layer for layer in found.layers] == ["pool"]
    assert found.fate is Fate.UNREAD and "from `pool` anew" in remedy(found)

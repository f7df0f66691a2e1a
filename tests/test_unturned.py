"""An input that is not turned and on which an output depends is named: were it a direction, "exact" would be wrong."""

import pytest
import torch

import equiscope as eq
from equiscope.result.limits import check, parse_limit

ASK = {"lmax": 2, "degree": 6, "progress": False}
POS = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
ENDS = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
EDGES = POS[ENDS[0]] - POS[ENDS[1]]
LENGTHS = EDGES.norm(dim=-1, keepdim=True)
ONES = torch.ones_like(LENGTHS)
FOUR = torch.cat([ONES, EDGES], -1)
PLAIN = {"pos": "vector"}
REST = {"pos": "vector", "*": "invariant"}


def graph_network(pos, edge_index, edge_attr, **others):
    """Messages along edges, weighted by distances and by all numbers of an edge."""
    i, j = (ends[..., None].expand(*ends.shape, 3) for ends in edge_index.unbind(-2))
    distance = (pos.gather(-2, i) - pos.gather(-2, j)).norm(dim=-1)
    weights = torch.linspace(1.0, 2.0, edge_attr.shape[-1], dtype=pos.dtype)
    return {"e": (distance * (edge_attr * weights).sum(-1).tanh()).sum(-1)}


def audited(edge_attr, inputs, model=graph_network, outputs=None, **others):
    item = {"pos": POS, "edge_index": ENDS, "edge_attr": edge_attr, **others}
    return eq.audit(model, [item], inputs=inputs, outputs=outputs or {"e": "scalar"}, **ASK)


def said(warnings):
    return [warning for warning in warnings if "is not turned, and" in warning]


DIRECTIONS = {
    "a vector beside a scalar, undeclared": (FOUR, PLAIN),
    "a vector beside a scalar, under a pattern": (FOUR, REST),
    "a vector, under a pattern": (EDGES, REST),
    "harmonics": (torch.cat(eq.spherical_harmonics(EDGES, 3).split(16, -1), -1), PLAIN),
}


@pytest.mark.parametrize("case", DIRECTIONS)
def test_what_may_hold_directions_and_matters_is_warned_of(case):
    report = audited(*DIRECTIONS[case])
    (warning,) = said(report.warnings)
    assert warning.startswith("`edge_attr` is not turned, and `e` depends on it") and "'scalar+vector'" in warning
    assert report.outputs["e"].verdict == "exact", "and nothing else would tell"
    assert "is not turned" in " ".join(str(report).split())


def test_a_check_fails_on_what_may_hold_directions_and_matters():
    item = [{"pos": POS, "edge_index": ENDS, "edge_attr": FOUR}]
    asked = dict(outputs={"e": "scalar"}, **{key: ASK[key] for key in ("lmax", "degree")})
    with pytest.raises(AssertionError, match="e depends on `edge_attr`, which is not turned"):
        eq.testing.assert_equivariant(graph_network, item, inputs=PLAIN, **asked)
    eq.testing.assert_equivariant(graph_network, item, inputs={**PLAIN, "edge_attr": "invariant"}, **asked)
    (held,) = check(audited(FOUR, PLAIN), [parse_limit("1%")])
    assert not held.passed and "not turned" in held.reason


def test_what_is_declared_as_it_turns_is_found_to_break_it():
    found = audited(FOUR, {"pos": "vector", "edge_attr": "scalar+vector"})
    assert found.outputs["e"].verdict != "exact" and not said(found.warnings) and not found.notes


HARMLESS = {
    "declared by its name": (FOUR, {"pos": "vector", "edge_attr": "invariant"}),
    "a vector declared by its name": (EDGES, {"pos": "vector", "edge_attr": "invariant"}),
    "types of bonds": (torch.eye(4, dtype=torch.float64)[[0, 1, 2, 3, 0]], PLAIN),
    "shifts of cells": (torch.tensor([[0, 0, 1], [0, -1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1]]).double(), REST),
    "functions of distances": (torch.exp(-((LENGTHS - torch.linspace(0, 4, 8)) ** 2)).double(), PLAIN),
    "lengths": (LENGTHS, PLAIN),
    "an embedding": (torch.randn(5, 64, generator=torch.Generator().manual_seed(1)).double(), PLAIN),
    "whole numbers": (torch.arange(-10, 10).reshape(5, 4), PLAIN),
    "flags": (FOUR > 0.5, PLAIN),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_holds_no_directions_is_not_warned_of(case):
    value, inputs = HARMLESS[case]
    assert not said(audited(value, inputs).warnings)


def test_what_does_not_matter_is_not_warned_of():
    def distances(pos, **others):
        return {"e": torch.cdist(pos, pos).sum((-1, -2))}

    for value, inputs in DIRECTIONS.values():
        assert not said(audited(value, inputs, distances).warnings)


def test_each_output_that_depends_is_named():
    def model(pos, edge_index, edge_attr):
        e = graph_network(pos, edge_index, edge_attr)["e"]
        return {"e": e, "f": 2 * e, "size": pos.norm(dim=-1).sum(-1)}

    report = audited(FOUR, PLAIN, model, {"e": "scalar", "size": "scalar", "f": "scalar"})
    assert said(report.warnings)[0].startswith("`edge_attr` is not turned, and `e`, `f` depend on it")


def test_undeclared_real_numbers_are_named_once_with_their_shape():
    charge, mask = torch.tensor([1.5], dtype=torch.float64), torch.ones(6, dtype=torch.float64)
    item = {"pos": POS, "edge_index": ENDS, "edge_attr": FOUR, "charge": charge, "mask": mask}
    asked = {"inputs": PLAIN, "outputs": {"e": "scalar"}, "masks": "mask"}
    (note,) = eq.audit(graph_network, [item, item | {"pos": 2 * POS}], **asked, **ASK).notes
    assert note.endswith("`edge_attr` (5, 4), `charge` (1,)")
    assert audited(FOUR, REST).notes == []


def test_inputs_that_the_model_does_not_take_are_no_inputs():
    def strict(pos):
        return {"e": pos.norm(dim=-1).sum(-1)}

    report = audited(FOUR, PLAIN, strict)
    assert report.notes == [] and not said(report.warnings)


def test_the_question_costs_one_evaluation_for_each_such_input_of_the_first_system():
    def checks(inputs, systems):
        item = {"pos": POS, "edge_index": ENDS, "edge_attr": FOUR}
        asked = {"inputs": inputs, "outputs": {"e": "scalar"}}
        return eq.audit(graph_network, [item] * systems, **asked, **ASK).timings["checks"]

    named = {"pos": "vector", "edge_attr": "invariant"}
    for systems in (1, 3):
        assert checks(PLAIN, systems) - checks(named, systems) == 1


def test_systems_with_an_axis_of_their_own_are_asked_too():
    item = {"pos": POS, "edge_index": ENDS, "edge_attr": FOUR, "field": POS[0]}
    asked = {"inputs": {"pos": "vector", "field": "vector"}, "outputs": {"e": "scalar"}}
    report = eq.audit(graph_network, [item], group=eq.groups.SO2(axis="field"), **asked, **ASK)
    assert len(said(report.warnings)) == 1


@pytest.mark.parametrize("kind, warned", [("tensor", True), ("vector", False)])
def test_a_cell_declared_as_a_tensor_is_warned_of(kind, warned):
    def volume(pos, cell):
        return {"e": torch.cdist(pos, pos).sum((-1, -2)) + (cell @ cell.mT).diagonal(dim1=-2, dim2=-1).sum(-1)}

    item = {"pos": POS, "cell": torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))}
    found = eq.audit(volume, [item], inputs={"pos": "vector", "cell": kind}, outputs={"e": "scalar"}, **ASK)
    assert any('`cell` is declared "tensor"' in warning for warning in found.warnings) == warned

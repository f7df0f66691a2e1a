"""Copies joined to one argument: offsets of indices, values of the system, and what batches cannot be made of.

What is joined is held against one call per copy, which no batching can spoil, and that against a loop by hand.
"""

import math

import pytest
import torch

import equiscope as eq
from equiscope.errors import ArgumentError, CrossTalkError, ModelError, ShapeError

QUICK = {"lmax": 1, "degree": 6, "progress": False}
GENERATOR = torch.Generator().manual_seed(0)


def points(n):
    return torch.randn(n, 3, dtype=torch.float64, generator=GENERATOR)


def ring(n):
    """Edges (2, n) from every point to the next."""
    return torch.stack([torch.arange(n), torch.arange(n).roll(-1)])


def pairs(pos, i, j, batch):
    """Of edges, with a part that breaks the symmetry."""
    away = pos[i] - pos[j]
    values = away[:, 0].abs() ** 3 + away.norm(dim=1)
    copies = 1 if batch is None else int(batch.max()) + 1
    index = torch.zeros(len(i), dtype=torch.long) if batch is None else batch[i]
    summed = torch.zeros(copies, dtype=pos.dtype).index_add(0, index, values)
    return summed[0] if batch is None else summed


def rows_of_edges(pos, edges, batch=None):
    return pairs(pos, edges[:, 0], edges[:, 1], batch)


def columns_of_edges(pos, edge_index, batch=None):
    return pairs(pos, *edge_index, batch)


def sources_and_targets(pos, source, target, batch=None):
    return pairs(pos, source, target, batch)


def triplets(pos, triplet, batch=None):
    i, j, k = triplet.unbind(1)
    return pairs(pos, i, j, batch) + 2 * pairs(pos, j, k, batch)


def weighted(pos, edge_index, weight, batch=None):
    """Edges have numbers of their own, in rows of their own."""
    i, j = edge_index
    return pairs(pos * 1.5, i, j, batch) if len(weight) == len(i) else None


def each(n):
    """One system of n points, indices in every layout."""
    edges = ring(n)
    return {
        "columns_of_edges": {"edge_index": edges},
        "rows_of_edges": {"edges": edges.T.contiguous()},
        "sources_and_targets": {"source": edges[0], "target": edges[1]},
        "triplets": {"triplet": torch.stack([edges[0], edges[1], edges[1].roll(-1)], 1)},
        "weighted": {"weight": torch.rand(n, dtype=torch.float64, generator=GENERATOR), "edge_index": edges},
    }


PADDED = {"pos": "vector", "neighbours": "invariant"}
LAYOUTS = {
    "columns_of_edges": (columns_of_edges, "edge_index"),
    "rows_of_edges": (rows_of_edges, "edges"),
    "sources_and_targets": (sources_and_targets, ["source", "target"]),
    "triplets": (triplets, "triplet"),
    "weighted": (weighted, "edge_index"),
    "by axis": (columns_of_edges, {"edge_index": 1}),
}


def systems(layout, sizes):
    name = "columns_of_edges" if layout == "by axis" else layout
    return [{"pos": points(n), **each(n)[name]} for n in sizes]


def audited(model, data, batching, **settings):
    inputs = {"pos": "vector", "weigh*": "invariant"} | ({"trip*": "invariant"} if batching == "loop" else {})
    asked = {"inputs": inputs, "outputs": {"e": "scalar"}, **QUICK, **settings}
    return eq.audit(model, data, batching=batching, **asked)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_indices_get_the_offset_of_their_copy(layout):
    model, index = LAYOUTS[layout]
    data = systems(layout, (5, 3, 4))
    joined = audited(model, data, eq.Concat(rows="pos", index=index), batch_rows=70)
    alone = audited(lambda **system: model(**system), data, "loop")
    assert joined.outputs["e"].rmse == pytest.approx(alone.outputs["e"].rmse, rel=1e-12)
    for one, other in zip(joined.systems, alone.systems, strict=True):
        assert one.outputs["e"]["rmse"] == pytest.approx(other.outputs["e"]["rmse"], rel=1e-12)


def padded_neighbours(pos, neighbours, batch=None):
    """Rows of neighbours, -1 after the last."""
    i, k = (neighbours >= 0).nonzero(as_tuple=True)
    return pairs(pos, i, neighbours[i, k], batch)


def test_negative_indices_point_to_no_row_and_stay_as_they_are():
    table = torch.tensor([[1, 2, -1], [0, -1, -1], [0, 3, 1], [-1, -1, -1], [2, -1, -1]])
    data = [{"pos": points(n), "neighbours": table[:n].where(table[:n] < n, -1)} for n in (5, 4)]
    joined = audited(padded_neighbours, data, eq.Concat(index={"neighbours": 0}), inputs=PADDED, batch_rows=70)
    alone = audited(padded_neighbours, data, "loop", inputs=PADDED)
    assert joined.outputs["e"].rmse == pytest.approx(alone.outputs["e"].rmse, rel=1e-12)
    with pytest.raises((CrossTalkError, ModelError), match=r"eq\.Concat\(index='neighbours'\) adds it"):
        audited(padded_neighbours, data, "concat", inputs=PADDED)


def test_edges_by_hand():
    (system,) = systems("columns_of_edges", (5,))
    q, r = torch.linalg.qr(torch.randn(3000, 3, 3, dtype=torch.float64, generator=GENERATOR))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
    values = torch.stack([columns_of_edges(system["pos"] @ g.T, system["edge_index"]) for g in q])
    away = (values - values.mean()).square()
    found = audited(columns_of_edges, [system], eq.Concat(index="edge_index"), degree=12).outputs["e"]
    assert abs(found.variance.mean() - away.mean()) < 4 * float(away.std()) / math.sqrt(len(q))


@pytest.mark.parametrize("layout", ["columns_of_edges", "rows_of_edges", "sources_and_targets"])
def test_indices_without_offsets_are_refused_with_the_line_to_write(layout):
    model, index = LAYOUTS[layout]
    names = [index] if isinstance(index, str) else index
    with pytest.raises((CrossTalkError, ModelError), match=r"batching=eq\.Concat\(index=") as raised:
        audited(model, systems(layout, (5,)), "concat")
    assert all(repr(name) in str(raised.value) for name in names)


def test_two_edges_of_two_columns_may_be_either_and_are_asked_about():
    data = [{"pos": points(3), "edge_index": torch.tensor([[0, 1], [1, 2]])}]
    with pytest.raises(ShapeError, match=r"axis along which it is joined.*\{'edge_index': 1\}.*two edges either way"):
        audited(columns_of_edges, data, eq.Concat(index="edge_index"))
    said = audited(columns_of_edges, data, eq.Concat(index={"edge_index": 1}))
    alone = audited(columns_of_edges, data, "loop")
    assert said.outputs["e"].rmse == pytest.approx(alone.outputs["e"].rmse, rel=1e-12)


def periodic(cell, pos, batch):
    """In the order that `batch` must not be counted by."""
    assert cell.shape[1:] == (3, 3) and len(batch) == len(pos)
    height = torch.linalg.solve(cell.mT[batch], pos).abs()[:, 2]
    return torch.zeros(len(cell), dtype=pos.dtype).index_add(0, batch, height)


BESIDE = {
    "a cell": ({"cell": torch.eye(3).double() * 5 + 0.1}, {"cell": "vector"}, periodic),
    "a field": (
        {"field": torch.tensor([0.0, 0.3, 1.0]).double()},
        {"field": "vector"},
        lambda field, pos, batch: torch.zeros(len(field), dtype=pos.dtype).index_add(
            0, batch, (pos * field[batch]).sum(1) + pos[:, 0].abs()
        ),
    ),
    "a charge": (
        {"charge": torch.tensor(2.0).double()},
        {},
        lambda charge, pos, batch: (
            charge * torch.zeros(len(charge), dtype=pos.dtype).index_add(0, batch, pos[:, 0].abs())
        ),
    ),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_belongs_to_the_system_has_one_entry_per_copy(name):
    extra, kinds, model = BESIDE[name]
    data = [{**extra, "pos": points(n)} for n in (4, 6)]
    own = next(iter(extra))
    joined = audited(model, data, eq.Concat(rows="pos", system=own), inputs={**kinds, "pos": "vector"}, batch_rows=70)

    def of_one(pos, **one):
        return model(pos=pos, batch=torch.zeros(len(pos), dtype=torch.long), **{k: v[None] for k, v in one.items()})[0]

    alone = audited(of_one, data, "loop", inputs={**kinds, "pos": "vector"})
    assert joined.outputs["e"].rmse == pytest.approx(alone.outputs["e"].rmse, rel=1e-12)


def test_rows_that_could_be_of_either_input_are_asked_for():
    data = [{"cell": torch.eye(3).double(), "pos": points(4)}]
    kinds = {"cell": "vector", "pos": "vector"}
    with pytest.raises(ArgumentError, match=r"cell 3, pos 4") as raised:
        audited(periodic, data, "concat", inputs=kinds)
    assert 'eq.Concat(rows="positions", system="cell")' in str(raised.value)


@pytest.mark.parametrize(
    "batching, kind, message",
    [
        (lambda: eq.Concat(rows="p"), ArgumentError, r"names of tensors among pos, edge_index, got 'p'"),
        (lambda: eq.Concat(index="edges"), ArgumentError, r"names of tensors among pos, edge_index, got 'edges'"),
        (lambda: eq.Concat(system="cell"), ArgumentError, r"names of tensors among pos, edge_index, got 'cell'"),
        (lambda: eq.Concat(index="pos"), ArgumentError, r"pos: expected integers, because it is an index into rows"),
        (lambda: eq.Concat, ArgumentError, r"batching: expected one of stack, concat, loop, eq\.Concat\(\.\.\.\)"),
        (lambda: "rows", ArgumentError, r"batching: expected one of stack, concat, loop.*got 'rows'"),
    ],
)
def test_batchings_that_cannot_be_are_refused(batching, kind, message):
    with pytest.raises(kind, match=message):
        audited(columns_of_edges, systems("columns_of_edges", (5,)), batching())


def test_a_function_of_the_list_of_systems_makes_what_it_likes():
    data = systems("columns_of_edges", (5, 3))

    def collate(parts):
        before, index, batch = 0, [], []
        for number, part in enumerate(parts):
            index.append(part["edge_index"] + before)
            batch += [number] * len(part["pos"])
            before += len(part["pos"])
        pos = torch.cat([part["pos"] for part in parts])
        return {"pos": pos, "edge_index": torch.cat(index, 1), "batch": torch.tensor(batch)}

    def forgetful(parts):
        return {**collate(parts), "edge_index": torch.cat([part["edge_index"] for part in parts], 1)}

    found = audited(columns_of_edges, data, collate)
    alone = audited(lambda **system: columns_of_edges(**system), data, "loop")
    assert found.outputs["e"].rmse == pytest.approx(alone.outputs["e"].rmse, rel=1e-12)
    assert found.settings["batching"] == "collate"
    with pytest.raises(CrossTalkError, match=r"add the offset of each system to its indices \('edge_index'\)"):
        audited(columns_of_edges, data, forgetful)


def test_what_was_decided_stands_in_the_settings():
    data = systems("weighted", (4,))
    concat = eq.Concat(rows="pos", index="edge_index")
    assert audited(weighted, data, concat).settings["batching"] == "concat: rows of pos, index edge_index"
    stacked = audited(lambda pos: pos[..., 0].abs().sum(-1), [points(4)], None, inputs="vector")
    assert stacked.settings["batching"] == "stack"

"""A group is what its contract says, whether it ships with the package or stands in a test file."""

import pytest
import torch
from octahedral import Octahedral, elements

import equiscope as eq
from equiscope.groups import O2, O3, SO2, SO3, ElementGrid
from equiscope.groups.generators import matrices
from equiscope.groups.group import Group
from equiscope.groups.registry import resolve
from equiscope.groups.representation import KINDS, Representation
from equiscope.measure import StoredMoments
from equiscope.measure.orbit import OrbitMoments
from equiscope.metrics import CharacterSpectrum, EquivarianceError

DOUBLE = torch.float64
GROUPS = [O3(), SO3(), Octahedral(), SO2(), O2(), SO2(axis=(1, 2, -2)), O2(axis=(1, 2, -2))]
EVERY_GROUP = pytest.mark.parametrize("group", GROUPS, ids=str)


@EVERY_GROUP
def test_characters_are_orthogonal_and_count_themselves(group):
    grid = group.grid(8)
    every = grid.select(0, len(grid))
    chi = torch.stack([group.character(label, every) for label in group.labels(3)])
    norms = torch.diag(torch.tensor([float(group.multiplicity(label)) for label in group.labels(3)], dtype=DOUBLE))
    torch.testing.assert_close((chi * grid.weights) @ chi.T, norms, rtol=0, atol=1e-12)


@EVERY_GROUP
def test_a_chart_has_one_place_for_every_label(group):
    chart = group.chart(3)
    assert len(set(chart.labels)) == len(chart.labels) == torch.Size(chart.shape).numel()
    assert [chart.place(label) for label in chart.labels] == [
        tuple(place) for place in torch.ones(chart.shape).nonzero().tolist()
    ]
    assert len(chart.headings) == max(chart.columns) + 1 and set(chart.families) == set(range(len(chart.family_names)))
    power = torch.rand(*chart.shape, 2)
    torch.testing.assert_close(chart.by_column(power).sum(0), power.reshape(-1, 2).sum(0))


@EVERY_GROUP
def test_random_elements_belong_to_the_group_and_average_characters_to_zero(group):
    drawn = group.draw(4000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn @ drawn.mT, torch.eye(3, dtype=DOUBLE).expand_as(drawn), rtol=0, atol=1e-12)
    if isinstance(group, Octahedral):
        assert all(any(torch.equal(one, other) for other in elements()) for one in drawn[:50])
    for label in group.labels(2)[1:]:
        # five standard deviations of a mean of 4000, whose terms have variance 1
        assert abs(float(group.character(label, drawn).mean())) < 5 / 4000**0.5


@EVERY_GROUP
@pytest.mark.parametrize("name", [*KINDS, "2x0e+1x0o+3x1o+1x2e", "1x3o+2x3e"])
def test_a_representation_is_sorted_into_irreps_of_their_characters(group, name):
    kind = Representation.parse(name)
    found = group.decompose(kind)
    g = group.draw(20, torch.Generator().manual_seed(2))
    x = torch.randn(20, kind.components, dtype=DOUBLE)
    turned = kind.flatten(eq.rotate(kind.unflatten(x), g, kind))
    matrix = torch.eye(kind.components, dtype=DOUBLE) if found.matrix is None else found.matrix
    sorted_x, sorted_turned = x @ matrix.T, turned @ matrix.T
    assert sorted(row for part in found.parts for row in part.rows) == list(range(kind.components))
    for part in found.parts:
        rows = list(part.rows)
        # what is in a part stays in it, with its norm
        torch.testing.assert_close(sorted_turned[:, rows].norm(dim=1), sorted_x[:, rows].norm(dim=1), rtol=1e-9, atol=0)
        assert len(rows) % group.dimension(part.label) == 0


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("group", GROUPS[:2], ids=str)
def test_projectors_find_the_parts_that_a_group_states_itself(group, name):
    kind = Representation.parse(name)
    stated, found = group.decompose(kind), Group.decompose(group, kind)
    assert [(part.label, part.components) for part in found.parts] == [
        (part.label, part.components)
        for part in sorted(stated.parts, key=lambda part: group.labels(2).index(part.label))
    ]


@pytest.mark.parametrize("basis", ["standard", "e3nn"])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_exponentials_of_generators_are_the_matrices_that_rotate(basis, layout):
    kind = Representation.parse("2x0o+3x2e+1x1o+1x4o", basis=basis, layout=layout)
    g, x = eq.random_rotations(7, group="O3"), torch.randn(7, kind.components, dtype=DOUBLE)
    torch.testing.assert_close((matrices(kind, g) @ x[:, :, None])[:, :, 0], eq.rotate(x, g, kind), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("group", "lmax"), [(O3(), 2), (SO3(), 3)], ids=str)
def test_power_by_characters_is_power_by_coefficients(group, lmax):
    grid = group.grid(2 * lmax)
    u = torch.randn(len(grid), 3, dtype=DOUBLE)
    fast = eq.character_power(u, grid, lmax)
    torch.testing.assert_close(group.power(u, grid, lmax), fast.reshape(*group.shape(lmax), 3), rtol=0, atol=1e-12)


def test_power_over_a_finite_group_sums_to_the_mean_square():
    group = Octahedral()
    grid = group.grid(0)
    u = torch.randn(48, 5, dtype=DOUBLE)
    torch.testing.assert_close(group.power(u, grid, 0).sum(0), u.square().mean(0), rtol=1e-12, atol=0)
    # of a fixed vector r the functions x, y, z of g r are in T1u, and x^2 - y^2 of it in Eg
    r = grid.rotations @ torch.tensor([0.3, -0.5, 0.8], dtype=DOUBLE)
    functions = torch.stack([r[:, 0], r[:, 0].square() - r[:, 1].square(), r[:, 0] * r[:, 1], r.prod(1)], 1)
    power = group.power(functions, grid, 0)
    for column, label in enumerate(("T1u", "Eg", "T2g", "A2u")):
        others = [i for i, other in enumerate(group.labels(0)) if other != label]
        assert float(power[group.chart(0).place(label)][column]) == pytest.approx(
            float(functions[:, column].square().mean()), rel=1e-12
        )
        assert float(power[others, column].abs().max()) < 1e-15


@pytest.mark.parametrize("name", ["scalar", "vector", "tensor", "voigt", None])
@pytest.mark.parametrize("group", GROUPS[:2], ids=str)
def test_moments_that_stream_are_those_that_hold_everything(group, name):
    grid, lmax = group.grid(4), 2
    kind = None if name is None else Representation.parse(name)
    shape = (2, 3, 1 if kind is None else kind.components)
    values = torch.randn(len(grid), *shape, dtype=DOUBLE)
    streamed, held = OrbitMoments(grid, lmax, values[0], kind), StoredMoments(grid, lmax, values[0], kind)
    for moments in (streamed, held):
        for part in values.split(100):
            moments.update(part)
    one, other = streamed.finish(), held.finish()
    assert one.power.keys() == other.power.keys() and one.variance.keys() == other.variance.keys()
    for field in ("power", "variance"):
        for label, value in getattr(one, field).items():
            torch.testing.assert_close(getattr(other, field)[label], value, rtol=1e-10, atol=1e-12)
    for field in ("total", "unresolved", "mean"):
        if getattr(one, field) is not None:
            torch.testing.assert_close(getattr(other, field), getattr(one, field), rtol=1e-10, atol=1e-12)
    assert other.worst_index == one.worst_index and other.worst_deviation == pytest.approx(one.worst_deviation)
    for field, error in one.errors.items():
        torch.testing.assert_close(other.errors[field], error, rtol=1e-6, atol=1e-12)
    if name is not None and group.cosets == 2:
        torch.testing.assert_close(vars(other.cosets), vars(one.cosets), rtol=1e-10, atol=1e-12)


@EVERY_GROUP
def test_metrics_take_the_grid_of_any_group(group):
    grid = group.grid(6)
    every, r = grid.select(0, len(grid)), torch.tensor([0.2, 0.5, -0.7], dtype=DOUBLE)
    vectors = (every @ r).reshape(len(grid), 1, 3)
    error = EquivarianceError("vector", grid)
    error.update(vectors * (1.0 + 0.1 * (vectors[..., :1] ** 2)))
    exact = EquivarianceError("vector", grid)
    exact.update(vectors)
    assert float(exact.compute()["rmse"]) < 1e-7 < 1e-3 < float(error.compute()["rmse"])
    spectrum = CharacterSpectrum(2, grid, representation="vector")
    spectrum.update(vectors)
    found = spectrum.compute()["power"]
    assert found.shape == group.shape(2)
    parts = group.decompose(Representation.parse("vector")).parts
    held = sum(float(found[group.chart(2).place(part.label)]) for part in parts)
    assert held == pytest.approx(float(r.square().sum()), rel=1e-12)


def test_groups_are_named_or_handed_over():
    assert resolve("SO3") == SO3() == "SO3" and resolve(Octahedral()) == "Oh"
    with pytest.raises(eq.errors.ArgumentError, match='group: expected "O3" or "SO3" or "O2" or "SO2", or an'):
        resolve("SU2")
    assert eq.quadrature(6) == eq.quadrature(6, group=O3()) != eq.quadrature(6, group="SO3")
    assert eq.quadrature(6).group == "O3"


def test_grids_that_are_none_and_names_that_are_taken_are_refused():
    group, third = Octahedral(), torch.full((3,), 1 / 3, dtype=DOUBLE)
    with pytest.raises(eq.errors.ArgumentError, match="weights: expected a sum of 1, got 3"):
        ElementGrid(group, elements()[:3], torch.ones(3))
    with pytest.raises(eq.errors.ArgumentError, match="rotations: expected orthogonal matrices"):
        ElementGrid(group, 1.01 * elements()[:3], third)
    with pytest.raises(eq.errors.ShapeError, match="rotations, weights: expected"):
        ElementGrid(group, elements()[:2], third)

    class Impostor(Octahedral):
        name = "O3"

    with pytest.raises(eq.errors.ArgumentError, match="group: expected a Group with a name, other than O3"):
        resolve(Impostor())

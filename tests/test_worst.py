"""The worst system is the worst, what is said to be found and expected there is, and its picture shows that."""

import io
import itertools
import json
import math
import warnings

import ase
import ase.data
import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from octahedral import Octahedral
from report_builder import output
from test_report_findings import audit_of
from toy_atomistic import toy

import equiscope as eq
from equiscope.adapters.points import points_among
from equiscope.errors import ArgumentError
from equiscope.groups import O2, SO2
from equiscope.measure.directions import DEGREE, DirectionMoments, kernel
from equiscope.report.elements import RADII, SYMBOLS
from equiscope.report.globe import error_at, half_width
from equiscope.report.molecule import Figurine
from equiscope.report.xyz import worst_xyz
from equiscope.result.files import checksum

DOUBLE = torch.float64
E, V = torch.tensor([0.0, 0.6, 0.8], dtype=DOUBLE), torch.tensor([1.0, -2.0, 0.5], dtype=DOUBLE)
NUMBERS = torch.tensor([8, 1, 1])


def cloud(seed, n=3):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def pushed(positions, numbers=None):
    """Each point is moved by 0.1 (x . E)^2 V: odd in g, so that the symmetrised output is the positions."""
    return {"forces": positions + 0.1 * (positions @ E).square()[..., None] * V, "size": positions @ E + 2.0}


DATA = [(f"s{i}", {"positions": (1 + i % 2) * cloud(i), "numbers": NUMBERS}) for i in range(3)]
ASKED = {"inputs": {"positions": "vector"}, "outputs": {"forces": "vector", "size": "scalar"}, "progress": False}


@pytest.fixture(scope="module")
def report():
    return eq.audit(pushed, DATA, lmax=2, degree=6, units={"forces": "eV/A"}, **ASKED)


@pytest.fixture(scope="module")
def saved(report, tmp_path_factory):
    return report.save(tmp_path_factory.mktemp("worst"))


def test_the_error_vectors_in_worst_xyz_are_those_by_hand(report, saved):
    given, worst, *_ = ase.io.read(saved / "worst.xyz", ":")
    scene = report.outputs["forces"].scene
    rotation = worst.info["rotation"].reshape(3, 3)
    assert given.info["frame"] == "given" and worst.info["frame"] == "worst" and given.info["unit"] == "eV/A"
    assert given.info["system"] == worst.info["system"] == scene.system == "s1"
    assert worst.get_chemical_symbols() == ["O", "H", "H"]
    np.testing.assert_allclose(given.positions, DATA[1][1]["positions"], rtol=1e-10)
    np.testing.assert_allclose(worst.positions, given.positions @ rotation.T, atol=1e-9)
    for atoms in (given, worst):
        found = pushed(torch.from_numpy(atoms.positions))["forces"].numpy()
        np.testing.assert_allclose(atoms.arrays["found"], found, atol=1e-9)
        np.testing.assert_allclose(atoms.arrays["expected"], atoms.positions, atol=1e-9)
        np.testing.assert_allclose(atoms.arrays["error"], found - atoms.positions, atol=1e-9)


def test_the_worst_system_and_element_are_the_worst(report):
    for name, found in report.outputs.items():
        rows = {row.name: row.outputs[name] for row in report.systems}
        scene = found.scene
        assert scene.system == max(rows, key=lambda row: rows[row]["rmse"])
        assert scene.rmse == rows[scene.system]["rmse"]
        off = float((scene.found - scene.expected).square().mean().sqrt())
        assert off == pytest.approx(rows[scene.system]["worst_deviation"], rel=1e-9)
        kind = eq.Representation.parse(found.representation)
        turned = eq.rotate(scene.mean.reshape(1, -1, kind.components), scene.rotation[None], kind)
        torch.testing.assert_close(turned.reshape(scene.expected.shape), scene.expected)


def voigt(positions):
    """A tensor in Voigt's notation that knows an axis of the room."""
    r = positions + 0.1 * (positions @ E)[..., None] * V
    x, y, z = r.unbind(-1)
    return {"stress": torch.stack([x * x, y * y, z * z, y * z, x * z, x * y], -1).sum(-2)}


def test_tensors_of_which_fewer_entries_are_stored_than_there_are_have_a_map():
    def stiffness(x):
        products = torch.einsum("...ni,...nj,...nk,...nl->...ijkl", x, x, x, x)
        return {"c": products + x[..., 0, 0].reshape(*x.shape[:-2], 1, 1, 1, 1) * torch.ones(3, 3, 3, 3)}

    asked = {"outputs": {"c": "tensor(ijkl=jikl=ijlk=klij)"}, "lmax": 1, "degree": 6, "progress": False}
    own = eq.audit(stiffness, [DATA[0][1]["positions"]], inputs="vector", **asked).outputs["c"]
    assert float(own.scene.areas @ own.scene.squares) == pytest.approx(own.rmse**2, rel=1e-9)


CUBE = "octahedral"


@pytest.mark.parametrize("model, kinds", [(pushed, ASKED["outputs"]), (voigt, {"stress": "voigt"})])
@pytest.mark.parametrize(
    "asked",
    [
        {"degree": 6},
        {"degree": 6, "group": "SO3", "shift": None},
        {"degree": 6, "group": SO2()},
        {"degree": 6, "group": O2((0.0, 1.0, 1.0))},
        {"group": CUBE},
        {"estimator": "monte-carlo", "rotations": 40},
        {"estimator": "monte-carlo", "rotations": 256, "precision": 0.05},
        {"lmax": None},
    ],
    ids=str,
)
def test_the_mean_of_the_map_over_the_sphere_is_the_mean_square_error(model, kinds, asked):
    asked = {**asked, "group": Octahedral()} if asked.get("group") == CUBE else asked
    found = eq.audit(
        lambda positions: model(positions), [x["positions"] for _, x in DATA[:2]], inputs="vector",
        outputs=kinds, progress=False, **{"lmax": 1, **asked},
    )  # fmt: skip
    for name, own in found.outputs.items():
        scene = own.scene
        assert scene.rmse == max(row.outputs[name]["rmse"] for row in found.systems)
        assert float(scene.areas @ scene.squares) == pytest.approx(scene.rmse**2, rel=1e-9)
        assert float(scene.areas @ scene.weights) == pytest.approx(1.0, rel=1e-12)


def test_the_map_is_the_smoothed_error_by_the_direction_of_the_z_axis():
    """f = z.E for the one point z: e(n) = (n . E)^2 = 1/3 + 2/3 P_2, of which the kernel keeps a known part."""
    model = lambda positions: {"u": positions.sum(-2) @ E}  # noqa: E731
    scene = eq.audit(
        model, [torch.tensor([[0.0, 0.0, 1.0]], dtype=DOUBLE)], inputs="vector", outputs={"u": "scalar"}, lmax=1,
        degree=14, progress=False,
    ).outputs["u"].scene  # fmt: skip
    kept = DEGREE * (DEGREE - 1) / ((DEGREE + 2) * (DEGREE + 3))
    torch.testing.assert_close(scene.weights, torch.ones(194, dtype=DOUBLE), rtol=0, atol=1e-12)

    def expected(directions):
        return (1 + kept * (3 * (directions @ E.numpy()) ** 2 - 1)) / 3

    np.testing.assert_allclose(scene.squares, expected(scene.directions.numpy()), atol=1e-12)
    elsewhere = cloud(5, 50)
    elsewhere = (elsewhere / elsewhere.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(error_at(scene, elsewhere) ** 2, expected(elsewhere), atol=1e-12)


def test_the_kernel_is_positive_of_mean_one_and_half_as_high_where_it_is_said():
    nodes, weights = np.polynomial.legendre.leggauss(20)
    values = kernel(torch.from_numpy(nodes)).numpy()
    assert (values > 0).all() and values @ weights / 2 == pytest.approx(1.0, rel=1e-13)
    top, half = kernel(torch.tensor([1.0, math.cos(math.radians(half_width(DEGREE)))], dtype=DOUBLE)).tolist()
    assert half == pytest.approx(top / 2)


def test_sampling_that_goes_on_looks_as_if_it_had_never_stopped():
    asked = {**ASKED, "lmax": 1, "estimator": "monte-carlo"}
    grown = eq.audit(pushed, DATA[:2], rotations=512, precision=0.08, **asked)
    once = eq.audit(pushed, DATA[:2], rotations=grown.settings["rotations"], **asked)
    assert grown.settings["rotations"] > 32
    for name, own in grown.outputs.items():
        assert own.scene.rotation_index == once.outputs[name].scene.rotation_index
        torch.testing.assert_close(own.scene.squares, once.outputs[name].scene.squares)


def test_what_is_held_does_not_grow_with_the_elements():
    first = torch.zeros(7, 1, 3, dtype=DOUBLE)
    kind = eq.Representation.parse("vector")
    for degree in (4, 16):
        grid = eq.quadrature(degree)
        moments = DirectionMoments(grid, grid.group, {"f": first}, {"f": kind})
        most = 0
        for values in torch.zeros(len(grid), *first.shape, dtype=DOUBLE).split(300):
            moments.update({"f": values})
            most = max(most, sum(own["f"].untyped_storage().nbytes() for own in moments._waiting))
        assert len(moments.weights) == len(moments._square["f"])  # all of them are taken now
        sums = moments._shift["f"].nbytes + moments._square["f"].nbytes
        assert 0 < most and sums + most <= DirectionMoments.nbytes(first)


def test_loading_gives_the_scene_back_and_older_files_have_none(report, saved, tmp_path):
    again, scene = eq.Audit.load(saved), report.outputs["forces"].scene
    for key, value in vars(scene).items():
        other = getattr(again.outputs["forces"].scene, key)
        assert torch.equal(other, value) if isinstance(value, torch.Tensor) else other == value
    assert worst_xyz(again) == worst_xyz(report)
    body = json.loads((saved / "audit.json").read_text())
    for own in body["outputs"].values():
        del own["scene"]
    del body["notes"]
    arrays = body["arrays"]["file"]
    (tmp_path / arrays).write_bytes((saved / arrays).read_bytes())
    (tmp_path / "audit.json").write_text(json.dumps({**body, "sha256": checksum(body)}))
    older = eq.Audit.load(tmp_path)
    assert older.outputs["forces"].scene is None and older.notes == []
    assert older.outputs["forces"].rmse == report.outputs["forces"].rmse


def test_without_an_error_or_without_points_there_is_no_picture_and_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("equiscope.report.view.available", lambda audit: [])
    asked = {"outputs": {"u": "scalar"}, "lmax": 1, "degree": 4, "progress": False}
    exact = eq.audit(lambda x: {"u": x.square().sum((-1, -2))}, [cloud(0)], inputs="vector", **asked)
    tensors = eq.audit(lambda x: {"u": x[..., 0, 1]}, [cloud(0)], inputs="tensor", **asked)
    for found, reason in (
        (exact, "an output with an error above noise"),
        (tensors, "as it is where an input holds one vector for each row, got .*tensor"),
    ):
        assert found.outputs["u"].scene is None and worst_xyz(found) == ""
        with pytest.raises(ArgumentError, match=reason):
            found.plot("worst")
    (tmp_path / "worst.xyz").write_text("of an earlier audit")
    exact.save(tmp_path)
    assert not (tmp_path / "worst.xyz").exists()


@pytest.mark.parametrize("fault", [math.nan, "raises", "random"])
def test_a_model_that_fails_or_is_random_does_not_break_it(fault):
    def model(positions, numbers=None):
        found = pushed(positions)
        if fault == "random":
            return {**found, "size": found["size"] + torch.rand(())}
        if positions.shape[-2] == 4 and bool((positions[..., 0, 0] > 0.5).any()):
            if fault == "raises":
                raise ValueError("no")
            found["forces"] = torch.where(positions > 0.5, math.nan, found["forces"])
        return found

    data = [("fine", {"positions": cloud(0)}), ("bad", {"positions": 5 * cloud(1, 4)})]
    found = eq.audit(model, data, lmax=1, degree=4, **ASKED)
    assert found.outputs["forces"].scene.system == ("bad" if fault == "random" else "fine")
    assert bool(found.failures) == (fault != "random")


def test_points_are_the_vectors_that_are_called_positions_without_padding():
    vector, mixed = eq.Representation.parse("vector"), eq.Representation.parse("scalar+vector")
    x, edges, cell = cloud(0), cloud(1, 5), torch.eye(3)
    tensors = {"cell": cell, "edge": edges, "batch.pos": x, "z": NUMBERS, "other": torch.arange(5)}
    kinds = {"cell": vector, "edge": vector, "batch.pos": vector}
    found = points_among(tensors, kinds)
    assert found.name == "batch.pos" and torch.equal(found.positions, x) and found.atomic
    assert torch.equal(found.types, NUMBERS) and torch.equal(found.cell, cell.double())
    assert points_among({"edge": edges}, {"edge": vector}).name == "edge"
    assert points_among({"cell": cell}, {"cell": vector}) is None
    assert points_among({"field": cloud(0).reshape(1, 3, 3)}, {"field": vector}) is None
    jets = points_among({"p": torch.cat([x[:, :1], x], 1)}, {"p": mixed})
    assert torch.equal(jets.positions, x) and jets.types is None
    assert not points_among({**tensors, "z": NUMBERS - 1}, kinds).atomic
    padded = {"x": torch.cat([x, torch.zeros(2, 3)]), "mask": torch.tensor([True] * 3 + [False] * 2)}
    found = eq.audit(
        lambda x, mask: {"u": (x @ E * mask).sum(-1)}, [padded], inputs={"x": "vector"}, outputs={"u": "scalar"},
        lmax=1, degree=4, progress=False,
    )  # fmt: skip
    assert torch.equal(found.outputs["u"].scene.positions, x)


class Biased(Calculator):
    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=(), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        found = pushed(torch.from_numpy(self.atoms.positions))
        self.results = {"energy": float(found["size"].sum()), "forces": found["forces"].numpy()}


def test_a_calculator_and_a_metatomic_model_have_their_structures(tmp_path):
    crystal = bulk("NaCl", "rocksalt", a=5.64)
    found = eq.audit(Biased(), crystal, lmax=1, degree=4, progress=False)
    (tmp_path / "w.xyz").write_text(worst_xyz(found))
    given, worst = ase.io.read(tmp_path / "w.xyz", ":")[:2]
    rotation = worst.info["rotation"].reshape(3, 3)
    assert given.get_chemical_formula() == "ClNa" and given.pbc.all()
    np.testing.assert_allclose(given.cell, crystal.cell, atol=1e-9)
    np.testing.assert_allclose(worst.cell, crystal.cell @ rotation.T, atol=1e-9)
    energy = pushed(torch.from_numpy(worst.positions))["size"].sum()
    assert worst.info["found"] == pytest.approx(float(energy), rel=1e-9)
    assert len(found.plot("worst").axes) == 2 * 4
    molecule = ase.Atoms("OHH", positions=cloud(2).numpy())
    found = eq.audit(toy(), molecule, outputs=["energy", "non_conservative_force"], lmax=1, degree=4, progress=False)
    scene = found.outputs["energy"].scene
    np.testing.assert_allclose(scene.positions, molecule.positions)
    assert scene.types.tolist() == [8, 1, 1] and scene.atomic
    assert found.outputs["non_conservative_force"].scene.found.shape == (3, 1, 3)


def test_where_systems_have_axes_of_their_own_the_scene_lies_in_their_frames():
    data = [{"pos": cloud(i), "normal": cloud(10 + i)[0]} for i in range(2)]
    found = eq.audit(
        lambda pos, normal: {"u": pos.sum(-2) @ E}, data, inputs={"pos": "vector", "normal": "vector"},
        outputs={"u": "scalar"}, group=SO2(axis="normal"), lmax=1, degree=6, progress=False,
    )  # fmt: skip
    scene = found.outputs["u"].scene
    original = data[int(scene.system)]["pos"]
    torch.testing.assert_close(scene.positions @ scene.positions.T, original @ original.T)
    axis = data[int(scene.system)]["normal"]
    torch.testing.assert_close(scene.positions[:, 2], original @ axis / axis.norm())
    assert float(scene.axis[0]) == 1.0  # z would stay where it is


def test_hostile_names_are_read_back_by_ase(report, tmp_path):
    scene = report.outputs["size"].scene
    found = audit_of([output("size", "scalar", (0, 1), relative=0.1)])
    found.outputs["size"].name = 'a "b" \\ = c'
    found.outputs["size"].scene = scene
    kept, scene.system = scene.system, 'x\ny = "1"'
    try:
        (tmp_path / "w.xyz").write_text(worst_xyz(found))
    finally:
        scene.system = kept
    given, worst = ase.io.read(tmp_path / "w.xyz", ":")
    assert worst.info["system"] == 'x y = "1"' and worst.info["output"] == 'a "b" \\ = c'
    assert len(given.arrays["error"]) == 3


def test_elements_are_those_of_the_tables_of_ase():
    assert list(SYMBOLS) == ase.data.chemical_symbols
    np.testing.assert_allclose(RADII[1:97], ase.data.covalent_radii[1:97])


def test_water_has_two_bonds_and_points_have_none(report):
    water = ase.Atoms("OHH", positions=[[0, 0, 0.119], [0, 0.763, -0.477], [0, -0.763, -0.477]])
    scene = report.outputs["forces"].scene
    kept = scene.positions, scene.atomic
    try:
        scene.positions = torch.from_numpy(water.positions)
        assert Figurine(scene).bonds == [(0, 1), (0, 2)]
        scene.positions = 0.1 * scene.positions  # nanometres: no lengths that are known
        assert Figurine(scene).bonds == []
        scene.atomic = False
        assert Figurine(scene).bonds == []
    finally:
        scene.positions, scene.atomic = kept


def test_each_output_has_a_row_with_two_poses_a_map_and_its_scales(report):
    figure = report.plot("worst")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="svg")
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert len(figure.axes) == 4 + 5  # what each point has, colours show, on a scale of their own
    assert sum("as given" in text for text in texts) == 2 and any("longest arrow" in text for text in texts)
    assert any("eV/A" in axes.get_title(loc="left") for axes in figure.axes)
    assert len(report.plot("worst", ["forces"]).axes) == 4
    assert "The system with the largest error of each output" in report.to_html()
    exact = eq.audit(lambda x: {"u": x[..., 0].sum(-1), "v": x}, [cloud(0)], inputs="vector",
                     outputs={"u": "scalar", "v": "vector"}, lmax=1, degree=4, progress=False)  # fmt: skip
    with pytest.raises(ArgumentError, match=r"names: expected outputs with an error above noise \(u\), got"):
        exact.plot("worst", ["v"])


def test_the_axes_of_a_pose_and_long_names_keep_clear_of_what_is_written():
    long = "name_of_something_" * 20
    asked = {"outputs": {long: "vector", "u": "scalar"}, "units": {long: "kcal/mol/A"}, "lmax": 1, "degree": 4}
    found = eq.audit(
        lambda x: {long: x * x[..., :1], "u": x[..., 0].sum(-1)},
        [(long, {"x": cloud(0)})],
        inputs={"x": "vector"},
        progress=False,
        **asked,
    )
    figure = found.plot("worst")
    figure.canvas.draw()
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts if text.get_text()]
    heads = [axes._left_title.get_window_extent() for axes in figure.axes if axes.get_title(loc="left")]
    page = figure.bbox
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and box.y1 <= page.y1 for box in (*boxes, *heads))
    assert not [
        (a, b)
        for a, b in itertools.combinations(boxes, 2)
        if min(a.x1, b.x1) > max(a.x0, b.x0) + 2 and min(a.y1, b.y1) > max(a.y0, b.y0) + 0.3 * min(a.height, b.height)
    ]


def test_one_point_alone_is_drawn():
    found = eq.audit(pushed, [cloud(0, 1)], lmax=1, degree=4, **{**ASKED, "inputs": "vector"})
    assert len(found.plot("worst").axes) >= 8 and worst_xyz(found).splitlines()[0] == "1"

"""The study: its store, its table of runs, its account, and the labels, embeddings and batches of its atoms."""

import importlib.util
import math
import re

import pytest
import torch
from studies import account, shares, spread
from studies.atoms import batches, density, dynamics, gfn2, harmonics, losses, padding, triples
from studies.atoms.dataset import PARTS, Molecule, Task, split
from studies.atoms.pet import pairs
from studies.runs import Place, Run, chosen, do, order, table
from studies.store import Store

import equiscope as eq


@pytest.fixture(autouse=True)
def as_in_a_run():
    with shares.measured():
        yield


class Springs(torch.nn.Module):
    """Springs to the centre of each molecule, in eV and angstrom, and a constant torque where they are `bent`."""

    def __init__(self, bent=0.0):
        super().__init__()
        self.stiffness = torch.tensor([1.0, 1.0, 1.0 + bent], dtype=torch.float64)

    def forward(self, positions, numbers, batch):
        n = int(batch[-1]) + 1
        sums = positions.new_zeros(n, 3).index_add(0, batch, positions)
        away = positions - (sums / torch.bincount(batch)[:, None])[batch]
        energy = positions.new_zeros(n).index_add(0, batch, 2 * (away.square() * self.stiffness).sum(-1))
        return {"energy": energy[:, None], "forces": (-4 * away * self.stiffness)[:, [1, 2, 0]]}


@pytest.fixture
def task():
    """Forty molecules of three to six atoms with random labels."""
    generator = torch.Generator().manual_seed(0)
    molecules = []
    for i in range(40):
        n = 3 + i % 4
        labels = {"axial": torch.randn(n, 3, generator=generator), "l2": torch.randn(n, 10, generator=generator)}
        labels["charge"] = torch.randn(1, 1, generator=generator)
        positions = torch.randn(n, 3, generator=generator)
        molecules.append(Molecule(f"m{i // 4}", torch.full((n,), 6), positions, labels))
    targets = {"system": {"charge": "1x0e"}, "atoms": {"axial": "1x1e", "l2": "2x2e"}}
    return Task(targets, ("charge",), {}, {"train": molecules, "test": molecules}, {})


def elements(n=20):
    return eq.random_rotations(n, group="O3", generator=torch.Generator().manual_seed(1))


def test_results_come_back_short_and_what_is_no_number_is_null(tmp_path):
    store = Store(tmp_path / "results", tmp_path / "scratch")
    assert not store.has("a", 0) and store.all("a") == []
    store.save("a", 3, {"x": 1 / 3, "nan": math.nan, "list": torch.tensor([1.0, 2.0]), "by": {4: 1}})
    store.save("a", 0, {"x": 1})
    assert store.seeds("a") == [0, 3] and store.has("a", 3)
    assert store.load("a", 3) == {"x": 0.3333, "nan": None, "list": [1.0, 2.0], "by": {"4": 1}}
    w = torch.tensor([1 / 3, 1.0])
    store.save_tensors("a", 3, {"w": w, "n": torch.arange(2)})
    assert torch.equal(store.load_tensors("a", 3)["w"], w.half().float()) and store.load_tensors("a", 3)["n"][1] == 1


def test_a_run_that_is_done_is_not_done_again(tmp_path):
    calls = []

    def function(configuration, place):
        calls.append((configuration["steps"], place.seed))
        return {"found": place.seed}

    run = Run("r", "", "", (0, 1), 1.0, function, {"steps": 7}, {"steps": 2})
    store = Store(tmp_path / "results", tmp_path / "scratch")
    for _ in range(2):
        do(run, 1, store, None)
    assert (
        calls == [(7, 1)] and store.load("r", 1)["found"] == 1 and store.load("r", 1)["configuration"] == {"steps": 7}
    )
    do(run.reduced(), 0, store, None)
    assert calls[-1] == (2, 0)


def test_runs_have_names_of_their_own_and_come_in_the_order_of_their_weight():
    names = [run.name for run in table()]
    assert len(set(names)) == len(names) and "density-o3-linear" in names
    assert {run.name for run in chosen(["gfn2-*"])} == {name for name in names if name.startswith("gfn2-")}
    with pytest.raises(ValueError, match="expected runs of the table"):
        chosen(["no-such-run"])
    done = [(run.name, seed) for run, seed in order(chosen(["density-o3-linear", "density-o3-harmonic4"]))]
    assert done == [(name, seed) for name in ("density-o3-linear", "density-o3-harmonic4") for seed in range(5)]
    done = [(run.name, seed) for run, seed in order(chosen(["density-o3-linear*"]), [4])]
    assert done == [("density-o3-linear", 4), ("density-o3-linear-fast", 4)]


def test_the_plan_takes_fifteen_hours_at_most_and_no_run_more_than_twenty_minutes():
    assert max(run.minutes for run in table()) <= 20
    assert sum(run.minutes * len(run.seeds) for run in table()) <= 15 * 60


def test_the_tables_of_the_account_are_those_of_the_stored_results():
    found = account.tables(Store())
    for file in account.files():
        text = file.read_text(encoding="utf-8")
        assert text == account.renewed(text, found), f"{file}: python -m studies numbers --write makes them anew"


@pytest.mark.parametrize("file", account.files(), ids=lambda file: file.parent.name)
def test_numbers_in_the_prose_of_the_account_stand_in_its_tables(file):
    text = file.read_text(encoding="utf-8")
    tables = "\n".join(re.findall(r"<!-- numbers: .*?<!-- end -->", text, re.DOTALL))
    prose = re.sub(r"<!-- numbers: .*?<!-- end -->", "", text, flags=re.DOTALL)
    quoted = re.findall(r"-?[\d.e-]+ ± [\d.e-]*\d", prose)
    assert [each for each in quoted if each not in tables] == []


def test_a_table_without_results_says_so():
    text = "<!-- numbers: none -->\nold\n<!-- end -->\n"
    assert "Open: no run" in account.renewed(text, {}) and "old" not in account.renewed(text, {})
    assert account.renewed(text, {"none": "new"}) == "<!-- numbers: none -->\nnew\n<!-- end -->\n"


def test_a_difference_holds_only_without_any_one_seed():
    near, far = spread.Spread((1.0, 1.1, 0.9)), spread.Spread((2.0, 2.1, 1.9))
    assert near.mean == pytest.approx(1) and near.deviation == pytest.approx(0.1)
    assert spread.Difference(far, near).holds
    assert not spread.Difference(spread.Spread((1.0, 1.0, 3.0)), near).holds
    # 3.5 standard errors, which with three seeds each chance makes in one of forty cases
    assert not spread.Difference(spread.Spread((1.28, 1.38, 1.18)), near).holds
    assert not spread.Difference(spread.Spread((5.0,)), near).holds
    assert spread.number(1.2e-5) == "1.2e-5" and spread.number(0.0312) == "0.031" and spread.number(1.004) == "1.00"


def test_a_large_channel_does_not_hide_the_others_where_each_has_its_own_shares():
    net = torch.nn.Sequential(torch.nn.Linear(3, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[0.0, 0, 0], [1e-3, 0, 0]]))
        net[0].bias.copy_(torch.tensor([100.0, 0]))
    data = [torch.randn(5, 3, generator=torch.Generator().manual_seed(0))]
    found = eq.audit(net, data, inputs="vector", layers="*", lmax=1, degree=4, progress=False).layers["0"]
    assert float(found.fractions[0, 0]) > 0.9999
    own = found.quantities[shares.EachChannel.name]["shares"]
    assert float(own[0, 0]) == pytest.approx(0.5, abs=1e-6) and float(own[1, 0]) == pytest.approx(0.5, abs=1e-6)


def test_no_molecule_is_in_two_parts_of_the_split():
    names = [f"m{i:02}" for i in range(sum(PARTS.values())) for _ in range(3)]
    parts = split(names)
    held = {part: {names[i] for i in places} for part, places in parts.items()}
    assert {part: len(own) for part, own in held.items()} == PARTS
    assert sum(map(len, parts.values())) == len(names) and not held["train"] & (held["test"] | held["validation"])


def test_l2_components_and_their_matrices_turn_together():
    d, R = torch.randn(20, 5, dtype=torch.float64), elements()
    turned = density.matrices(eq.rotate(d, R, "1x2e"))
    assert torch.allclose(turned, R @ density.matrices(d) @ R.mT, atol=1e-12)
    assert torch.allclose(density.matrices(d).square().sum((1, 2)), d.square().sum(1))


def test_quadrupoles_have_the_l2_components_of_their_matrices():
    q = torch.randn(20, 3, 3, dtype=torch.float64)
    q = q + q.mT
    q = q - torch.eye(3) * q.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] / 3
    flat = torch.stack([q[:, 0, 0], q[:, 0, 1], q[:, 1, 1], q[:, 0, 2], q[:, 1, 2], q[:, 2, 2]], -1)
    assert torch.allclose(density.matrices(torch.from_numpy(gfn2.spherical(flat.numpy()))), q, atol=1e-12)


def test_labels_with_sigma_minus_one_turn_as_a_pseudovector_and_a_pseudoscalar():
    generator = torch.Generator().manual_seed(2)
    p, d = (torch.randn(20, n, m, dtype=torch.float64, generator=generator) for n, m in ((4, 3), (3, 5)))
    numbers = torch.full((20,), 8)
    plain = density.chiral({"l1": p, "l2": d}, numbers)
    R = elements(1)[0] * -1
    for g in (R, -R):
        turned = {"l1": eq.rotate(p.flatten(1), g, "4x1o").reshape(p.shape)}
        turned["l2"] = eq.rotate(d.flatten(1), g, "3x2e").reshape(d.shape)
        found = density.chiral(turned, numbers)
        axial = eq.rotate(plain["axial"].flatten(1), g, "1x1e")
        assert torch.allclose(found["axial"].flatten(1), axial, atol=1e-12)
        sign = torch.linalg.det(g)
        assert torch.allclose(found["pseudoscalar"], sign * plain["pseudoscalar"], atol=1e-12)
    assert float(plain["pseudoscalar"].abs().min()) > 0


def test_pairs_are_all_of_each_molecule_and_none_between_two():
    centers, neighbors = pairs(torch.tensor([3, 1, 2]))
    assert set(zip(centers.tolist(), neighbors.tolist(), strict=True)) == {
        (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (4, 5), (5, 4)
    }  # fmt: skip
    assert len(centers) == 8


def test_harmonic_embeddings_have_length_r_for_every_l_or_grow_as_r_to_the_l():
    for solid in (False, True):
        made = harmonics.HarmonicEmbedding(25, 4, solid)
        with torch.no_grad():
            made.linear.weight.copy_(torch.eye(25))
            made.linear.bias.zero_()
        vector = torch.tensor([[0.3, -1.2, 0.7]])
        r = vector.norm(dim=-1, keepdim=True)
        parts = made(torch.cat([vector, r], -1)).detach().split([1, 3, 5, 7, 9], -1)
        for l, part in enumerate(parts):
            assert float(part.norm()) == pytest.approx(float(r**l) if solid else float(r), rel=1e-5)


def test_triple_products_are_pseudoscalars_between_minus_one_and_one_and_vanish_in_a_plane():
    generator = torch.Generator().manual_seed(5)
    x = 1.2 * torch.randn(7, 3, dtype=torch.float64, generator=generator)
    numbers = torch.tensor([1, 6, 7, 8, 9, 16, 1])
    edges = pairs(torch.tensor([7]))
    found = triples.triple_products(x, numbers, *edges)
    assert found.shape == (7, len(triples.VECTORS)) and 0 < float(found.abs().min()) and float(found.abs().max()) < 1
    for g in elements(6):
        turned = triples.triple_products(x @ g.T, numbers, *edges)
        assert torch.allclose(turned, torch.linalg.det(g) * found, atol=1e-12)
    flat = triples.triple_products(x * torch.tensor([1.0, 1, 0]), numbers, *edges)
    assert float(flat.abs().max()) < 1e-12


@pytest.mark.parametrize("lmax", [2, 4, 8])
def test_the_wide_embedding_has_the_parameters_of_the_harmonic_one(lmax):
    def count(kind):
        return sum(each.numel() for each in harmonics.embedding(f"{kind}{lmax}", 64).parameters())

    assert count("wide") == pytest.approx(count("harmonic"), rel=0.05)


@pytest.mark.parametrize("kind", ["harmonic", "solid", "cubic4", "linear4", ""])
def test_an_embedding_that_does_not_exist_is_refused(kind):
    with pytest.raises(ValueError, match="embedding: expected"):
        harmonics.embedding(kind, 8)


def test_the_batch_of_a_step_depends_on_the_seed_and_the_step_alone(task):
    from itertools import islice

    whole = list(islice(batches.training_batches(task, 4, "O3", 1), 20))
    for start in (0, 7, 8, 15):
        later = next(batches.training_batches(task, 4, "O3", 1, start))
        assert torch.equal(later.positions, whole[start].positions)
        assert torch.equal(later.labels["l2"], whole[start].labels["l2"])
    other = next(batches.training_batches(task, 4, "O3", 2))
    assert other.positions.shape != whole[0].positions.shape or not torch.equal(other.positions, whole[0].positions)


def test_labels_turn_with_their_molecules(task):
    plain = batches.Batch(task.parts["train"][:5])
    R = elements(5).float()
    turned = plain.turned(R, task)
    for i, own in enumerate(R):
        rows = plain.batch == i
        assert torch.allclose(turned.positions[rows], plain.positions[rows] @ own.T, atol=1e-5)
        sign = torch.linalg.det(own)
        axial = plain.labels["axial"][rows][:, [2, 0, 1]] @ (own * sign).T
        assert torch.allclose(turned.labels["axial"][rows][:, [2, 0, 1]], axial, atol=1e-5)
    assert torch.equal(turned.labels["charge"], plain.labels["charge"])


@pytest.mark.parametrize("augmentation, signs", [("O3", {-1, 1}), ("SO3", {1})])
def test_augmentations_draw_from_their_groups(augmentation, signs):
    found = batches.elements(64, augmentation, torch.Generator().manual_seed(0))
    assert {round(float(torch.linalg.det(each))) for each in found} == signs
    assert batches.elements(64, "none", torch.Generator()) is None
    with pytest.raises(ValueError, match="augmentation: expected one of"):
        batches.elements(1, "SU2", torch.Generator())


def test_what_two_random_elements_tell_of_broken_symmetry_is_the_variance_over_the_group_on_average(task):
    class Model(torch.nn.Module):
        def forward(self, positions, numbers, batch):
            # (y, z, x): the vector itself, and a constant in each of two outputs, broken where it is no invariant
            vector, one = positions[:, [1, 2, 0]], torch.ones(len(positions), 1)
            axial = vector[:, [1, 2, 0]] * vector + 0.1
            charge = torch.zeros(int(batch[-1]) + 1, 1).index_add(0, batch, one)
            return {"axial": axial, "l2": torch.zeros(len(positions), 10), "charge": charge}

    model, batch = Model(), batches.Batch(task.parts["train"][:6])
    generator = torch.Generator().manual_seed(0)
    found = [losses.broken_squares(model, batch, task, generator) for _ in range(300)]
    assert all(float(each["charge"]) == float(each["l2"]) == 0 for each in found)
    g = elements(4000).float()
    heard = torch.stack([model(batch.positions @ own.T, batch.numbers, batch.batch)["axial"] for own in g])
    cartesian = heard[..., [2, 0, 1]] @ (g * torch.linalg.det(g)[:, None, None])
    estimates = torch.stack([each["axial"] for each in found])
    error = float(estimates.std()) / len(estimates) ** 0.5
    assert float(estimates.mean()) == pytest.approx(float(cartesian.var(0).mean()), abs=4 * error)
    assert error < 0.05 * float(estimates.mean())


def test_alignment_undoes_a_rotation():
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(3))
    (R,) = eq.random_rotations(1, generator=torch.Generator().manual_seed(4)).float()
    assert torch.allclose(batches.best_rotation(x @ R.T, x), R.T, atol=1e-5)


def moving(task, kind, bent=0.0, step=0.5):
    scaled = Task(task.targets, (), {}, task.parts, {"energy": 1.0, "forces": 1.0})
    molecules = [dynamics.Molecule("m", each.numbers, 2 * each.positions, {}) for each in task.parts["train"][:6]]
    return dynamics.Motion(Springs(bent), scaled, molecules, kind, step, 300.0, 0)


@pytest.mark.parametrize("kind", ["direct", "gradient"])
def test_dynamics_conserve_what_the_forces_do(task, kind):
    motion, bent = moving(task, kind), moving(task, kind, bent=0.5)
    begun = [(each.total_energy(), each.angular_momentum()) for each in (motion, bent)]
    for _ in range(100):
        motion.advance()
        bent.advance()
    for each, (energy, _) in zip((motion, bent), begun, strict=True):
        assert torch.allclose(each.total_energy(), energy, rtol=1e-3)
    assert torch.allclose(motion.angular_momentum(), begun[0][1], atol=1e-12)
    assert float((bent.angular_momentum() - begun[1][1]).norm(dim=-1).min()) > 0.1
    assert bool(motion.whole().all())
    with pytest.raises(ValueError, match="kind: expected direct or gradient"):
        moving(task, "both")


def test_dynamics_that_were_killed_go_on_as_if_they_had_not_been(task, tmp_path, monkeypatch):
    monkeypatch.setattr(dynamics, "EVERY_STEPS", 4)
    scaled = Task(task.targets, (), {}, task.parts, {"energy": 1.0, "forces": 1.0})
    asked = {"steps": 12, "step": 0.5, "kelvin": 300.0, "every": 3}
    rest = (Springs(0.5), scaled, task.parts["train"][:3], "gradient")
    store = Store(tmp_path / "results", tmp_path / "scratch")
    whole = dynamics.moved(asked, Place(store, None, "whole", 0), *rest)
    dynamics.moved({**asked, "steps": 6}, Place(store, None, "killed", 0), *rest)
    assert dynamics.moved(asked, Place(store, None, "killed", 0), *rest) == whole
    assert len(whole["fs"]) == 5 and whole["fs"][-1] == 6.0 and whole["energy"][0] == [0.0] * 3


def test_a_spring_swings_in_the_period_of_its_units(task):
    # both ends of 12.011 u at 4 eV / angstrom^2 each: 2 pi sqrt(m / k), in fs
    period = 2 * math.pi * math.sqrt(12.011 * 1.66053907e-27 / (4 * 16.0217663)) * 1e15
    motion = moving(task, "direct", step=period / 400)
    start, speed = motion.positions, motion.velocities
    for _ in range(400):
        motion.advance()
    assert torch.allclose(motion.positions, start, atol=1e-3) and torch.allclose(motion.velocities, speed, atol=1e-4)


needs_metatrain = pytest.mark.skipif(importlib.util.find_spec("metatrain") is None, reason="metatrain")


@needs_metatrain
@pytest.mark.filterwarnings("ignore")
def test_the_numbers_are_those_of_metatrain():
    from metatomic.torch import ModelOutput, systems_to_torch
    from metatrain.utils.neighbor_lists import get_system_with_neighbor_lists
    from studies.atoms.pet import PetOnTensors, pet

    build = pytest.importorskip("ase.build")
    torch.manual_seed(0)
    hypers = dict(d_pet=8, d_node=8, d_head=8, d_feedforward=8, num_heads=2, num_attention_layers=1)
    targets = {"density": {"l0": "3x0e", "l2": "2x2e"}}
    ours = PetOnTensors(targets, hypers).double().eval()
    theirs = pet(ours.targets, hypers).double().eval()
    theirs.backend.load_state_dict(ours.backend.state_dict())
    molecules = [build.molecule(name) for name in ("CH3OH", "H2O")]
    systems = [
        get_system_with_neighbor_lists(system, theirs.requested_neighbor_lists())
        for system in systems_to_torch(molecules, dtype=torch.float64)
    ]
    expected = theirs(systems, {"mtt::density": ModelOutput(sample_kind="atom")})["mtt::density"]
    positions = torch.cat([torch.from_numpy(atoms.positions) for atoms in molecules])
    numbers = torch.cat([torch.from_numpy(atoms.numbers) for atoms in molecules])
    found = ours(positions, numbers, torch.repeat_interleave(torch.tensor([6, 3])))
    for name, block in zip(("l0", "l2"), expected.blocks(), strict=True):
        assert torch.allclose(found[name], block.values.mT.flatten(1), atol=1e-12)


@needs_metatrain
def test_training_that_was_killed_goes_on_as_if_it_had_not_been(task, tmp_path, monkeypatch):
    from studies.atoms import train

    class Silent:
        def step(self, *_):
            pass

        finish = step

    class Killed(Silent):
        def step(self, _, n):
            if n == 5:
                raise KeyboardInterrupt

    monkeypatch.setattr(train, "EVERY_STEPS", 2)
    hypers = dict(d_pet=8, d_node=8, d_head=8, d_feedforward=8, num_heads=2, num_attention_layers=1)
    asked = dict(steps=8, batch=2, rate=1e-3, augmentation="O3", edges="harmonic2", hypers=hypers, symmetry=1.0)
    whole = train.Trainer(task, asked, 0, tmp_path)
    whole.run(Silent(), Silent())
    (tmp_path / "killed").mkdir()
    with pytest.raises(KeyboardInterrupt):
        train.Trainer(task, asked, 0, tmp_path / "killed").run(Killed(), Silent())
    resumed = train.Trainer(task, asked, 0, tmp_path / "killed")
    assert resumed.step == 4
    resumed.run(Silent(), Silent())
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_metatrain
@pytest.mark.filterwarnings("ignore")
def test_everything_runs_in_reduced_form(tmp_path):
    from studies.__main__ import app
    from typer.testing import CliRunner

    found = CliRunner().invoke(app, ["quick", "--out", str(tmp_path)])
    assert found.exit_code == 0, found.output
    assert len(list((tmp_path / "figures").glob("*.png"))) >= 5 and "atoms-error" in found.output


class Leaking(torch.nn.Module):
    """An atom sees the first atom of its batch, by a weight that is the floor of its attention."""

    def __init__(self, epsilon):
        super().__init__()
        self.epsilon, self.temperature = epsilon, 1.0

    def forward(self, positions, numbers, batch=None):
        return {"u": positions.norm(dim=-1, keepdim=True) + self.epsilon * positions[:1, 2:] * (numbers[0] == 8)}


def test_what_a_molecule_sees_of_another_is_measured_and_gone_with_a_lower_floor():
    oxygen, carbon = (Molecule("", torch.full((2,), z), torch.ones(2, 3), {}) for z in (8, 6))
    found = padding.both(Leaking(0.1), oxygen, carbon)
    # a component of a vector of length sqrt(3) that points anywhere, over a value of sqrt(3)
    assert math.isclose(found["rms"], 0.1 / 3**0.5, rel_tol=0.15) and 0.09 < found["most"] <= 0.1
    assert found["rms, floor 1e-30"] < 1e-7

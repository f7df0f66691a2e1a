"""The segmenter of the study: what is invariant in it, what is not, and that training and loading do what they say."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest
import torch
from studies import shares
from studies.particles import clouds, events, examine, jets, model, pilarnet
from studies.particles.grouping import Grouping, grouped
from studies.particles.plan import RUNS
from studies.particles.train import Trainer, trained
from studies.runs import Place
from studies.store import Store

import equiscope as eq


@pytest.fixture(autouse=True)
def as_in_a_run():
    with shares.measured():
        yield


DETECTOR = events.Detector()
VOXEL = model.SMALL.voxel


@pytest.fixture(scope="module")
def data() -> clouds.Clouds:
    return clouds.clouds(events.generate(4, 1, DETECTOR, chunk=16), DETECTOR)


@pytest.fixture(scope="module")
def rotations() -> torch.Tensor:
    return clouds.turns("o3", 12, torch.Generator().manual_seed(0))


def segmenter(**changes) -> model.Segmenter:
    torch.manual_seed(0)
    return model.Segmenter(model.shape("small", **changes)).eval()


def apart(one, other) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


def test_exact_groups_do_not_turn_with_the_event(data, rotations):
    net = segmenter()
    lying = net.groups(data.points, data.mask)
    assert not any(apart(lying, net.groups(data.points @ R.mT, data.mask)) for R in rotations)


def test_groups_left_to_round_off_do(data, rotations):
    net = segmenter(exact=False)
    lying = net.groups(data.points, data.mask)
    assert any(apart(lying, net.groups(data.points @ R.mT, data.mask)) for R in rotations)


def test_groups_hold_the_points_within_their_radius_and_no_others(data):
    how = Grouping(groups=64, members=320, nearest=320, exact=True)
    found = grouped(data.points, data.mask, VOXEL, how, 5)
    for event in range(len(data)):
        mask = data.mask[event]
        place = (data.points[event, mask] / VOXEL).double()
        for group in range(int(found.real[event].sum())):
            square = (place - place[found.centre[event, group]]).square().sum(-1).round()
            member = found.member[event, group][found.filled[event, group]]
            assert sorted(member.tolist()) == torch.nonzero(square <= how.radius**2)[:, 0].tolist()


def test_centres_are_apart_and_every_point_is_near_one(data):
    how = model.SMALL.grouping
    found = grouped(data.points, data.mask, VOXEL, how, 5)
    least = 2 * how.radius * how.overlap
    for event in range(len(data)):
        centre = data.points[event, found.centre[event][found.real[event]]] / VOXEL
        between = torch.cdist(centre, centre) + 1e3 * torch.eye(len(centre))
        assert between.min() > least - 1e-3
        assert torch.cdist(data.points[event, data.mask[event]] / VOXEL, centre).amin(-1).max() < least


def test_crowded_groups_are_thinned_to_points_far_from_each_other():
    line = torch.zeros(1, 40, 3)
    line[0, :, 0] = torch.arange(40) * VOXEL
    how = Grouping(radius=50.0, groups=1, members=3, nearest=40, exact=True)
    found = grouped(line, torch.ones(1, 40, dtype=torch.bool), VOXEL, how, 1)
    centre, first, second = found.member[0, 0].tolist()
    assert centre == int(found.centre[0, 0]) and {first, second} & {0, 39}


def test_padding_changes_nothing(data):
    net = segmenter()
    whole = net(data.points, data.energy, data.mask)["logits"]
    for event, system in enumerate(data.systems()):
        alone = net(system["points"][None], system["energy"][None], system["mask"][None])["logits"][0]
        torch.testing.assert_close(alone, whole[event, data.mask[event]], rtol=1e-4, atol=1e-5)
    assert not whole[~data.mask].any()


def test_known_groups_give_what_the_model_finds(data):
    net = segmenter()
    known = clouds.all_groups(net, data, size=3).batch(torch.arange(len(data)), data.points.shape[1])
    found = net(data.points, data.energy, data.mask)["logits"]
    torch.testing.assert_close(net(data.points, data.energy, data.mask, known)["logits"], found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lmax", [2, 4])
def test_directions_of_each_degree_have_the_norm_of_the_vector_and_turn_by_wigner(lmax):
    directions, x = model.Directions(lmax), torch.randn(20, 3)
    R = eq.random_rotations(1)[0].float()
    lying, turned = directions(x), directions(x @ R.mT)
    for l, D in enumerate(eq.wigner_D(R, lmax)):
        block = slice(l * l, (l + 1) ** 2)
        torch.testing.assert_close(lying[:, block].norm(dim=-1), x.norm(dim=-1))
        torch.testing.assert_close(turned[:, block], lying[:, block] @ D.mT, rtol=1e-4, atol=1e-5)
    assert not directions(torch.zeros(1, 3)).any()


def test_a_model_that_sees_no_direction_is_invariant_by_audit(data):
    class Blind(model.Segmenter):
        def forward(self, points, energy, mask):
            groups = self.groups(points, mask)
            return super().forward(points * 0, energy, mask, groups)

    torch.manual_seed(0)
    # coordinates enter the tokens and the interpolation alone, and there they are 0
    net = Blind(model.SMALL).eval()
    asked = {**examine.asked(1), "degree": 2, "progress": False}
    audit = eq.audit(net, data.systems()[:1], **asked)
    assert audit.outputs["logits"].verdict is eq.Verdict.EXACT
    assert eq.audit(segmenter(), data.systems()[:1], **asked).outputs["logits"].verdict is not eq.Verdict.EXACT


def test_audit_hears_tokens_that_are_there_and_no_others(data):
    audit = eq.audit(segmenter(), data.systems()[:1], **{**examine.asked(1), "degree": 2, "progress": False})
    groups = segmenter().groups(data.points[:1], data.mask[:1])
    assert {name: audit.layers[name].samples for name in ("embed", "blocks.0")} == dict.fromkeys(
        ("embed", "blocks.0"), int(groups.real.sum())
    )
    assert list(audit.layers) == ["embed", "position", *(f"blocks.{i}" for i in range(6)), "spread"]


def test_the_control_has_at_least_the_parameters_of_the_harmonics():
    count = {
        name: sum(p.numel() for p in segmenter(**changes).parameters())
        for name, changes in (("harmonics", {"harmonics": 4}), ("wide", model.WIDE))
    }
    assert count["harmonics"] <= count["wide"] < 1.1 * count["harmonics"]


def test_the_published_model_has_the_size_of_a_small_vision_transformer():
    with torch.device("meta"):
        net = model.Segmenter(model.PUBLISHED)
    blocks = sum(p.numel() for p in net.blocks.parameters())
    # 12 blocks of width 384: 12 (4 w^2 + 8 w^2) and biases, 21.3 million as in every ViT-S
    assert blocks == pytest.approx(21.3e6, rel=5e-3)


def test_turns_are_what_they_are_called():
    generator = torch.Generator().manual_seed(0)
    drawn = {kind: clouds.turns(kind, 20_000, generator).double() for kind in clouds.KINDS}
    for kind, R in drawn.items():
        torch.testing.assert_close(R @ R.mT, torch.eye(3).double().expand_as(R), rtol=1e-4, atol=1e-5)
        assert (torch.linalg.det(R) < 0).double().mean() == pytest.approx(0.5 if kind == "o3" else 0.0, abs=0.02)
    for kind in ("so3", "o3"):
        assert drawn[kind].mean(0).abs().max() < 0.02
        assert drawn[kind][:, 2, 0].square().mean() == pytest.approx(1 / 3, abs=0.01)
    # of three uniform angles the sine of the middle one has mean square 1/2, not 1/3
    assert drawn["euler"][:, 2, 0].square().mean() == pytest.approx(0.5, abs=0.01)


def test_euler_turns_about_x_then_y_then_z():
    a, b, c = torch.tensor([0.3]), torch.tensor([-0.7]), torch.tensor([1.9])
    from scipy.spatial.transform import Rotation

    expected = Rotation.from_euler("xyz", [0.3, -0.7, 1.9]).as_matrix()
    turned = clouds.euler(a, b, c)[0]
    torch.testing.assert_close(turned, torch.tensor(expected).float())
    assert clouds.middle_cosine(turned) == pytest.approx(np.cos(0.7), abs=1e-6)


def test_a_batch_holds_every_event_once_in_an_epoch():
    order = clouds.batches(torch.arange(24), 4, seed=0)
    epochs = [[next(order) for _ in range(6)] for _ in range(2)]
    assert [sorted(torch.cat(epoch).tolist()) for epoch in epochs] == [list(range(24))] * 2
    assert torch.equal(next(clouds.batches(torch.arange(24), 4, seed=0, begin=8)), epochs[1][2])


def test_scores_of_the_truth_are_one(data):
    logits = 20 * torch.nn.functional.one_hot(data.label.clamp_min(0), 4).float()
    found = examine.scored(logits, data)
    assert found["accuracy"] == 1 and found["cross_entropy"] < 1e-6


def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    [run] = [run for run in RUNS if run.name == "particles-o3"]
    asked = {**run.reduced().configuration, "train": 8, "held": 2, "batch": 4, "steps": 4, "points": (1,)}
    small = events.generate(8, 2, DETECTOR, chunk=16)
    step = Trainer._train

    def killed(self, rows, groups):
        if self.step == 2:
            raise KeyboardInterrupt
        step(self, rows, groups)

    results = {}
    for name in ("whole", "killed"):
        place = Place(Store(tmp_path / name, tmp_path / name), None, "particles-o3", 0)
        for which, count in (("train", 8), ("held", 2)):
            path = place.store.scratch("particles-events", 0) / f"{which}-{count}.npz"
            events.first([small], count).save(path)
        if name == "killed":
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(Trainer, "_train", killed)
                trained(asked, place)
        results[name] = trained(asked, place)
    scores = [[record["turned"] for record in result["training"].values()] for result in results.values()]
    assert scores[0] == scores[1]


def test_jets_come_to_rest_and_keep_their_mass():
    random = torch.Generator().manual_seed(0)
    p = torch.randn(5, 20, 3, generator=random, dtype=torch.float64) + torch.tensor([30.0, -20.0, 10.0])
    lab = torch.cat([p, p.norm(dim=-1, keepdim=True)], -1)
    whole = lab.sum(1)
    rest = jets.boosted(lab, whole)
    mass = (whole[:, 3].square() - whole[:, :3].square().sum(-1)).sqrt()
    torch.testing.assert_close(rest.sum(1)[:, 1:], torch.zeros(5, 3, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(rest.sum(1)[:, 0], mass)
    # each constituent keeps its own mass, 0, and its energy is that of the scalar product with the whole
    torch.testing.assert_close(rest[..., 0], rest[..., 1:].norm(dim=-1))
    product = (lab[..., 3] * whole[:, None, 3] - (lab[..., :3] * whole[:, None, :3]).sum(-1)) / mass[:, None]
    torch.testing.assert_close(rest[..., 0], product)


def test_the_area_counts_pairs_in_order():
    score, label = torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([False, False, True, True])
    assert jets.area(score, label) == 0.75


needs_h5py = pytest.mark.skipif(importlib.util.find_spec("h5py") is None, reason="h5py is optional")


@needs_h5py
def test_a_file_of_pilarnet_is_read_as_events(tmp_path):
    import h5py

    random = np.random.default_rng(0)
    path = tmp_path / "events.h5"
    sizes, classes = [(3, 4, 2), (5, 1)], [(4, 1, 0), (2, 3)]
    points = [np.c_[random.integers(0, 768, (sum(size), 3)), random.random((sum(size), 5)) + 0.2] for size in sizes]
    points[1][0, 3] = 0.05
    clusters = [
        np.array([[n, 0, 0, 0, c] for n, c in zip(*pair, strict=True)]) for pair in zip(sizes, classes, strict=True)
    ]
    with h5py.File(path, "w") as file:
        for name, rows in (("point", points), ("cluster", clusters)):
            array = file.create_dataset(name, (2,), dtype=h5py.vlen_dtype(np.float32))
            for event, row in enumerate(rows):
                array[event] = row.astype(np.float32).ravel()
    found = pilarnet.read(path, detector=dataclasses.replace(pilarnet.DETECTOR, points=(1, 100)))
    # the three low-energy scatters and the voxel below the threshold are gone
    assert np.diff(found.offsets).tolist() == [6, 5]
    assert found.label.tolist() == [1, 1, 1, 1, 0, 0, 2, 2, 2, 2, 3]
    assert np.array_equal(found.voxels[:6], points[0][3:, :3])
    assert np.allclose(found.energy[:6], points[0][3:, 3])
    assert len(pilarnet.read(path)) == 0, "fewer than 1024 points"


@needs_h5py
def test_a_file_of_another_layout_is_refused(tmp_path):
    import h5py

    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["point"] = np.zeros(8)
    with pytest.raises(ValueError, match="cluster"):
        pilarnet.read(path)


def test_points_that_no_cluster_has_are_refused():
    with pytest.raises(ValueError, match="as many points as its clusters have, 2, got 1"):
        pilarnet._event(0, np.zeros(8), np.array([2.0, 0, 0, 0, 1]), pilarnet.DETECTOR)

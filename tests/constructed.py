"""Networks of which it is known what they hold where: what a diagnosis is tested with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

SYSTEMS, POINTS = 20, 4
UNIT = torch.eye(3, dtype=torch.float64)


class Step(nn.Module):
    """A layer that is a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Net(nn.Module):
    """Layers one after the other, and a readout that is none."""

    def __init__(self, steps: dict[str, Callable[[Tensor], Tensor]], readout: Callable[[Tensor], dict[str, Tensor]]):
        super().__init__()
        for name, function in steps.items():
            self.add_module(name, Step(function))
        self.readout = readout

    def forward(self, x):
        for step in self.children():
            x = step(x)
        return self.readout(x)


# what points hold, (..., n, channels), and what systems do


def vectors(x):
    """l = 0 and 1: a constant, x, y, z, and the distance from the origin."""
    return torch.cat([torch.ones_like(x[..., :1]), x, x.norm(dim=-1, keepdim=True)], -1)


def squares(x):
    """l = 0 and 2: all products of two coordinates."""
    return (x[..., :, None] * x[..., None, :]).flatten(-2)


def second(x):
    """l = 0, 1 and 2."""
    return torch.cat([vectors(x), squares(x)], -1)


def summed(h):
    return h.sum(-2)


def traceless(square):
    """The matrix of nine numbers without its trace."""
    matrix = square.unflatten(-1, (3, 3))
    trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    return matrix - UNIT * trace / 3


def quadrupole(x):
    return traceless(squares(x).sum(-2))


def dipole(x):
    return (x * torch.cos(3 * x.norm(dim=-1, keepdim=True))).sum(-2)


def weighed(h):
    """What the dipole is the sum of, from `vectors`."""
    return h[..., 1:4] * torch.cos(3 * h[..., 4:5])


def energy(x):
    return x.norm(dim=-1).sum(-1)


def volume(x):
    """A pseudoscalar of three points."""
    return torch.linalg.det(x[..., :3, :])


def mixed(h, seed=3):
    """Other channels, all linear combinations."""
    weights = torch.randn(h.shape[-1], h.shape[-1], dtype=h.dtype, generator=torch.Generator().manual_seed(seed))
    return h @ weights


def inverse(h, seed=3):
    weights = torch.randn(h.shape[-1], h.shape[-1], dtype=h.dtype, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.solve(weights.T, h.unsqueeze(-1)).squeeze(-1)


@dataclass
class Case:
    """A network, its target, and the diagnosis that is right."""

    steps: dict[str, Callable[[Tensor], Tensor]]
    readout: Callable[[Tensor], Tensor]
    target: Callable[[Tensor], Tensor]
    kind: str
    label: tuple[int, int]
    fate: str
    formed: str | None = None
    lost: str | None = None
    says: tuple[str, ...] = ()
    unexplained: float = 0.0
    """Of the labels: of the size of the target, from nothing in the input."""
    systems: int = SYSTEMS
    more: dict = field(default_factory=dict)


def cubes(h):
    """Beside nine products, the same channels hold content of l = 1 and 3 that is as good as noise to them."""
    x = h[..., 1:4]
    third = (x[..., :, None, None] * x[..., None, :, None] * x[..., None, None, :]).flatten(-3)
    weights = torch.randn(27, 9, dtype=h.dtype, generator=torch.Generator().manual_seed(5))
    return h[..., 5:] + 3.0 * third @ weights


AXIS = torch.tensor([[0.0, -2.0, 0.4], [2.0, 0.0, -0.3], [-0.4, 0.3, 0.0]], dtype=torch.float64)
TURN = torch.linalg.matrix_exp(AXIS)

CASES = {
    "all is right": Case(
        {"embed": second, "mix": mixed, "pool": summed},
        lambda h: traceless(inverse(h)[..., 5:]),
        quadrupole, "tensor", (2, 1), "learned", "embed",
    ),
    "embedding that stops at l = 1": Case(
        {"embed": vectors, "mix": mixed, "pool": summed},
        lambda h: traceless(torch.cat([h, h[..., :4]], -1)) * 0.01,
        quadrupole, "tensor", (2, 1), "never formed", says=("none has power in this sector",),
    ),
    "layer that projects l = 2 out": Case(
        {"embed": second, "keep": mixed, "project": lambda h: inverse(h)[..., :5], "pool": summed},
        lambda h: traceless(torch.cat([h, h[..., :4]], -1)) * 0.01,
        quadrupole, "tensor", (2, 1), "lost", "embed", "project", says=("this sector has no power",),
    ),
    "readout with a bias": Case(
        {"embed": vectors, "pool": lambda h: weighed(h).sum(-2)},
        lambda h: h + torch.tensor([3.0, -2.0, 1.0], dtype=h.dtype),
        dipole, "vector", (1, 1), "learned on average", "pool", says=("scalar (0e)", "a bias of the readout"),
    ),
    "readout that leaves the target": Case(
        {"embed": second, "mix": mixed, "pool": summed},
        lambda h: traceless(0.0 * h[..., 5:]),
        quadrupole, "tensor", (2, 1), "present but not read out", "embed",
        says=("the readout is at fault", "none of the target's power"),
    ),
    "readout at the wrong size": Case(
        {"embed": second, "pool": summed},
        lambda h: 0.3 * traceless(h[..., 5:]),
        quadrupole, "tensor", (2, 1), "present but not read out", "embed", says=("wrong size, 0.300",),
    ),
    "readout of another component": Case(
        {"embed": second, "pool": summed},
        lambda h: traceless(squares(h[..., 1:4]) - h[..., 5:]),
        quadrupole, "tensor", (2, 1), "present but not read out", "embed", says=("not the target's component",),
    ),
    "readout in the wrong axes": Case(
        {"embed": vectors, "weigh": weighed, "pool": summed},
        lambda h: h @ TURN.T,
        dipole, "vector", (1, 1), "present but not read out", "weigh", says=("the readout is at fault",),
    ),
    "energy off by a constant": Case(
        {"embed": vectors, "pool": lambda h: h[..., 4:].sum(-2)},
        lambda h: h[..., 0] + 50.0,
        energy, "scalar", (0, 1), "present but not read out", "embed", says=("off by a constant, 50",),
    ),
    "pseudoscalar from one vector": Case(
        {"embed": second, "pool": summed, "hidden": lambda h: torch.tanh(h[..., 1:4] @ TURN)},
        lambda h: h[..., 0] * 0.1,
        volume, "pseudoscalar", (0, -1), "never formed",
    ),
    "pseudoscalar that is formed": Case(
        {"embed": vectors, "triple": lambda h: torch.cat([h[..., 0, :], volume(h[..., 1:4])[..., None]], -1)},
        lambda h: h[..., -1],
        volume, "pseudoscalar", (0, -1), "learned", "triple",
    ),
    "l = 2 from products of l = 1": Case(
        {"embed": vectors, "square": lambda h: squares(h[..., 1:4]), "pool": summed},
        traceless,
        quadrupole, "tensor", (2, 1), "learned", "square",
    ),
    "lengths alone": Case(
        {"embed": vectors, "weigh": weighed, "length": lambda h: h.norm(dim=-1, keepdim=True), "pool": summed},
        lambda h: h.expand(*h.shape[:-1], 3) * 0.1,
        dipole, "vector", (1, 1), "lost", "weigh", "length",
    ),
    "held among content that does not cancel": Case(
        {"embed": second, "blur": cubes, "pool": summed},
        lambda h: traceless(h) * 0.05,
        quadrupole, "tensor", (2, 1), "present but not read out", "embed",
        says=("among other content",),
    ),
    "labels that the input explains in part": Case(
        {"embed": second, "pool": summed},
        lambda h: traceless(h[..., 5:]),
        quadrupole, "tensor", (2, 1), "learned in part", "embed", unexplained=0.6,
    ),
    "labels of nothing": Case(
        {"embed": second, "pool": summed},
        lambda h: traceless(h[..., 5:]),
        lambda x: 0.0 * quadrupole(x), "tensor", (2, 1), "never formed", unexplained=1.0, says=("something else",),
    ),
    "nothing to learn": Case(
        {"embed": second, "pool": summed},
        lambda h: traceless(h[..., 5:]),
        quadrupole, "tensor", (0, 1), "below noise",
    ),
    "too few systems for so many channels": Case(
        {"embed": lambda x: torch.cat([torch.sin(k * 0.7 * (x @ TURN)) for k in range(1, 60)], -1), "pool": summed},
        lambda h: h[..., :3] * 0.0,
        lambda x: 0.0 * dipole(x), "vector", (1, 1), "cannot be told", unexplained=1.0, systems=10,
    ),
}  # fmt: skip


def data_of(case: Case, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Systems and labels."""
    generator = torch.Generator().manual_seed(seed)
    data = [torch.randn(POINTS, 3, dtype=torch.float64, generator=generator) for _ in range(case.systems)]
    labels = [case.target(x) for x in data]
    if case.unexplained:
        of = {"tensor": quadrupole, "vector": dipole}[case.kind]
        size = math.sqrt(sum(float(of(x).square().sum()) for x in data) / len(data))
        for i in range(len(labels)):
            noise = torch.randn(3, 3, dtype=torch.float64, generator=generator)
            noise = traceless((noise + noise.T).flatten()) if case.kind == "tensor" else noise[0]
            labels[i] = labels[i] + case.unexplained * size * noise / noise.norm()
    return data, labels

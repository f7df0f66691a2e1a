"""Kinds of models whose answer is known from theory: what an audit must say of each.

``python tests/kinds.py`` writes the table in docs/kinds.md; tests/test_kinds.py asserts every row of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import equiscope as eq
from equiscope.result.floor import content
from equiscope.result.judge import Verdict

ASK: dict[str, Any] = {"lmax": 2, "degree": 8, "progress": False}
F64, F32, F16, BF16 = torch.float64, torch.float32, torch.float16, torch.bfloat16
SHORT = {F64: "float64", F32: "float32", F16: "float16", BF16: "bfloat16"}


@dataclass(frozen=True)
class Answer:
    """What was found, as the table shows it."""

    found: str
    error: str
    right: bool


@dataclass(frozen=True)
class Kind:
    """One row of the table."""

    section: str
    what: str
    known: str
    ask: Callable[[], Answer]


KINDS: list[Kind] = []


def cloud(n: int = 5, seed: int = 0, dtype: torch.dtype = F64) -> torch.Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


CH4 = torch.tensor([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=F64) * 0.63
N2 = torch.tensor([[0, 0, 0.55], [0, 0, -0.55]], dtype=F64)
ATOM = torch.zeros(1, 3, dtype=F64)
AXIS = torch.tensor([[0.0, 0.0, 1.0]], dtype=F64)
CHARGES = {5: [-0.4, 0.1, 0.1, 0.1, 0.1], 2: [0.5, 0.5], 1: [1.0], 3: [0.2, -0.5, 0.3]}


def audit(model: Any, kind: str, data: Any, **ask: Any) -> eq.Audit:
    return eq.audit(model, data, **{"inputs": "vector", "outputs": {"out": kind}, **ASK, **ask})


def says(
    section: str, what: str, verdict: Verdict, model: Any, kind: str, data: Any, known: str | None = None, **ask: Any
) -> None:
    """The verdict is known."""

    def answer() -> Answer:
        out = audit(model, kind, data, **ask).outputs["out"]
        return Answer(
            f"{out.verdict.value}, RMSE {out.rmse:.2g}", f"floor {out.noise_floor:.2g}", out.verdict is verdict
        )

    KINDS.append(Kind(section, what, known or verdict.value, answer))


def breaks(section: str, what: str, rmse: float, model: Any, kind: str, data: Any, **ask: Any) -> None:
    """The RMSE is known: it must be met within the error bar given, or to 1 %, and not be called exact."""

    def answer() -> Answer:
        out = audit(model, kind, data, **ask).outputs["out"]
        off = abs(out.rmse - rmse)
        near = off <= max(out.rmse_error, 0.01 * rmse)
        broken = out.verdict in (Verdict.BROKEN, Verdict.WRONG)
        return Answer(f"{out.verdict.value}, RMSE {out.rmse:.4g}", f"{out.rmse_error:.1g}", near and broken)

    KINDS.append(Kind(section, what, f"RMSE {rmse:.4g}", answer))


def refused(section: str, what: str, words: str, model: Any, kind: Any, data: Any, **ask: Any) -> None:
    """There is no answer but to say why."""

    def answer() -> Answer:
        try:
            audit(model, kind, data, **ask)
        except eq.errors.EquiscopeError as error:
            text = str(error)
            return Answer(type(error).__name__, "", words in text)
        return Answer("a number", "", False)

    KINDS.append(Kind(section, what, f"refused: {words}", answer))


def layer(
    section: str, what: str, known: str, model: torch.nn.Module, check: Callable[[Any], bool], data: Any, **ask: Any
) -> None:
    """What a hidden layer holds is known."""

    def answer() -> Answer:
        found = audit(model, "scalar", data, layers="hidden", **ask).layers["hidden"]
        return Answer(f"{', '.join(_content(found))} in {found.samples} rows", "", check(found))

    KINDS.append(Kind(section, what, known, answer))


def _content(spectrum: Any) -> list[str]:
    return [spectrum.chart.symbol(label) for label in spectrum.chart.labels if label in content(spectrum)]


# -- models ------------------------------------------------------------------------------------------------------


def pairs(pos: torch.Tensor) -> torch.Tensor:
    """An invariant energy of distances."""
    return torch.exp(-(pos[..., :, None, :] - pos[..., None, :, :]).norm(dim=-1)).sum((-1, -2))


def charges(pos: torch.Tensor) -> torch.Tensor:
    return torch.tensor(CHARGES[pos.shape[-2]], dtype=pos.dtype)


def dipole(pos: torch.Tensor) -> torch.Tensor:
    return (charges(pos)[:, None] * pos).sum(-2)


def quadrupole(pos: torch.Tensor) -> torch.Tensor:
    square = pos[..., :, None] * pos[..., None, :]
    trace = pos.square().sum(-1)[..., None, None] / 3 * torch.eye(3, dtype=pos.dtype)
    return (charges(pos)[:, None, None] * (square - trace)).sum(-3)


def outer(pos: torch.Tensor) -> torch.Tensor:
    return torch.einsum("...ni,...nj->...ij", pos, pos)


def voigt(tensor: torch.Tensor) -> torch.Tensor:
    return torch.stack([tensor[..., i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], -1)


def triple(pos: torch.Tensor) -> torch.Tensor:
    return torch.linalg.det(pos[..., :3, :])


def cosine(pos: torch.Tensor) -> torch.Tensor:
    return pos[..., 0, 2] / pos[..., 0, :].norm(dim=-1)


def offset(base: float, scale: float = 0.0) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda pos: base + pairs(pos) + scale * cosine(pos)


def legendre(l: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def model(pos: torch.Tensor) -> torch.Tensor:
        x = cosine(pos)
        before, now = torch.ones_like(x), x
        for k in range(1, l):
            before, now = now, ((2 * k + 1) * x * now - k * before) / (k + 1)
        return now

    return model


# -- exact -------------------------------------------------------------------------------------------------------

for _dtype in (F64, F32, F16, BF16):
    says("exact", f"energy of distances, {SHORT[_dtype]}", Verdict.EXACT, pairs, "scalar", [cloud(dtype=_dtype)])
    says("exact", f"dipole, {SHORT[_dtype]}", Verdict.EXACT, dipole, "vector", [cloud(dtype=_dtype)])
for _base in (1e2, 1e4, 1e6):
    for _dtype in (F64, F32):
        _what = f"energy of {_base:g} plus one of distances, {SHORT[_dtype]}"
        says("exact", _what, Verdict.EXACT, offset(_base), "scalar", [cloud(dtype=_dtype)])
says(
    "exact", "energy of 1e4 plus one of distances, bfloat16", Verdict.EXACT, offset(1e4), "scalar", [cloud(dtype=BF16)]
)
says("exact", "tensor of outer products", Verdict.EXACT, outer, "tensor", [cloud()])
says("exact", "the same in Voigt's order", Verdict.EXACT, lambda pos: voigt(outer(pos)), "voigt", [cloud()])
says(
    "exact",
    "cross product, a pseudovector",
    Verdict.EXACT,
    lambda pos: torch.linalg.cross(pos[:, 0], pos[:, 1]),
    "pseudovector",
    [cloud()],
)
says("exact", "triple product, a pseudoscalar", Verdict.EXACT, triple, "pseudoscalar", [cloud()])
says("exact", "triple product as a scalar of SO(3)", Verdict.EXACT, triple, "scalar", [cloud()], group="SO3")
says("exact", "the input itself, per atom", Verdict.EXACT, lambda pos: pos * 1.0, "vector", [cloud()])
for _away, _dtype in ((1e3, F32), (1e5, F32), (1e7, F64)):
    _what = f"energy of distances, {_away:g} away from the origin, {SHORT[_dtype]}"
    says("exact", _what, Verdict.EXACT, pairs, "scalar", [(cloud() + _away).to(_dtype)])
_voxels = torch.randint(1000, 1100, (6, 3), generator=torch.Generator().manual_seed(0)).to(F32)
says("exact", "energy of distances of voxel indices, float32", Verdict.EXACT, pairs, "scalar", [_voxels])


def inside(pos: torch.Tensor) -> torch.Tensor:
    """A calculator in float32 behind float64, in units of its own."""
    own = pos.numpy().astype(np.float32)
    distances = np.linalg.norm(own[:, :, None] - own[:, None], axis=-1)
    return torch.from_numpy(np.exp(-distances).sum((1, 2)).astype(np.float64) * 27.211386)


says("exact", "a float32 calculator in other units behind float64", Verdict.EXACT, inside, "scalar", [cloud()])


def autocast(pos: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", dtype=BF16):
        return (pos @ torch.eye(3)).float().norm(dim=-1).sum(1)


says("exact", "a product in bfloat16 by autocast inside float32", Verdict.EXACT, autocast, "scalar", [cloud(dtype=F32)])


def of_lengths(pos: torch.Tensor) -> torch.Tensor:
    """Lengths in float32, and what follows of them in bfloat16."""
    distances = (pos[:, :, None] - pos[:, None]).square().sum(-1).sqrt()
    with torch.autocast("cpu", dtype=BF16):
        return (distances @ torch.eye(pos.shape[1])).float().tanh().sum((1, 2))


says("exact", "a product of lengths in bfloat16 by autocast", Verdict.EXACT, of_lengths, "scalar", [cloud(dtype=F32)])


class Warm:
    """A calculator that starts from where it was: its answer depends a little on the last input."""

    def __init__(self) -> None:
        self.last = 0.0

    def __call__(self, pos: torch.Tensor) -> torch.Tensor:
        before, self.last = self.last, float(pos[0, 0])
        return pairs(pos) + 1e-6 * before


def shifted(pos: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    z -= 1
    return (z % 5)[..., None].to(pos) * pos


says(
    "exact",
    "a model that writes into its inputs",
    Verdict.EXACT,
    lambda pos, z: shifted(pos, z),
    "vector",
    [{"pos": cloud(4), "z": torch.full((4,), 8)}],
    inputs={"pos": "vector"},
)

# -- zero by symmetry --------------------------------------------------------------------------------------------

for _dtype in (F64, F32, BF16):
    says("zero by symmetry", f"dipole of CH4, {SHORT[_dtype]}", Verdict.VANISHES, dipole, "vector", [CH4.to(_dtype)])
    says(
        "zero by symmetry",
        f"quadrupole of CH4, {SHORT[_dtype]}",
        Verdict.VANISHES,
        quadrupole,
        "tensor",
        [CH4.to(_dtype)],
    )
says("zero by symmetry", "dipole of N2, float32", Verdict.VANISHES, dipole, "vector", [N2.to(F32)])
says("zero by symmetry", "dipole of one atom at the origin", Verdict.VANISHES, dipole, "vector", [ATOM])
says(
    "zero by symmetry",
    "triple product of a planar molecule, float64",
    Verdict.VANISHES,
    triple,
    "pseudoscalar",
    [torch.cat([cloud(3)[:, :2], torch.zeros(3, 1, dtype=F64)], 1) @ torch.linalg.qr(cloud(3, 1))[0]],
)
says(
    "zero by symmetry",
    "an output that is dead",
    Verdict.ZERO,
    lambda pos: 0.0 * pos.sum((1, 2)).clamp(0, 0),
    "scalar",
    [cloud()],
)

# -- broken by a known amount ------------------------------------------------------------------------------------

_unit = [cloud(1) / cloud(1).norm()]
breaks("broken", "z of a unit vector", 1 / math.sqrt(3), lambda pos: pos[:, 0, 2], "scalar", _unit)
breaks("broken", "|z| of a unit vector", 1 / math.sqrt(12), lambda pos: pos[:, 0, 2].abs(), "scalar", _unit, degree=14)
_fifth = lambda pos: 1 + pos.prod(-1)[:, 0] * (pos[:, 0, 0] ** 2 - pos[:, 0, 1] ** 2)  # noqa: E731
for _lmax, _degree in ((0, 6), (2, 8), (4, 8), (4, 11)):
    breaks(
        "broken",
        f"1 + xyz(x^2 - y^2) of (0, 0, 1), lmax {_lmax}, degree {_degree}",
        math.sqrt(12 / 10395),
        _fifth,
        "scalar",
        [AXIS],
        lmax=_lmax,
        degree=_degree,
    )
for _l, _degree in ((3, 8), (5, 8), (6, 6), (9, 14), (15, 17)):
    breaks(
        "broken",
        f"P_{_l} of a general vector, degree {_degree}",
        1 / math.sqrt(2 * _l + 1),
        legendre(_l),
        "scalar",
        [cloud(1)],
        lmax=0,
        degree=_degree,
    )
breaks("broken", "P_5 along the axis of the grid, degree 6", 1 / math.sqrt(11), legendre(5), "scalar", [AXIS], lmax=3)
for _size in (1e-1, 1e-3, 1e-6, 1e-9, 1e-12):
    breaks(
        "broken",
        f"{_size:g} of cos added to an energy, float64",
        _size / math.sqrt(3),
        offset(0.0, _size),
        "scalar",
        [cloud()],
    )
for _base, _size, _dtype in ((1e4, 0.1, F32), (1e5, 1.0, F32), (1e6, 1e-6, F64), (0.0, 1e-4, F32)):
    _what = f"{_size:g} of cos on an energy of {_base:g}, {SHORT[_dtype]}"
    breaks("broken", _what, _size / math.sqrt(3), offset(_base, _size), "scalar", [cloud(dtype=_dtype)])
_up = torch.tensor([0.0, 0.0, 1.0], dtype=F64)
breaks(
    "broken",
    "0.01 along z added to a dipole",
    0.01 / math.sqrt(3),
    lambda pos: dipole(pos) + 0.01 * _up,
    "vector",
    [cloud()],
)
_zz = torch.diag(_up)
breaks(
    "broken",
    "0.01 at zz added to a tensor",
    0.01 * math.sqrt(2 / 27),
    lambda pos: outer(pos) + 0.01 * _zz,
    "tensor",
    [cloud()],
)
breaks(
    "broken",
    "the same in Voigt's order",
    0.01 * math.sqrt(2 / 27),
    lambda pos: voigt(outer(pos) + 0.01 * _zz),
    "voigt",
    [cloud()],
)
breaks(
    "broken",
    "exp z of a unit vector",
    math.sqrt(math.sinh(2) / 2 - math.sinh(1) ** 2),
    lambda pos: pos[:, 0, 2].exp(),
    "scalar",
    _unit,
    degree=14,
)
breaks(
    "broken",
    "z of a unit vector, bfloat16",
    1 / math.sqrt(3),
    lambda pos: pos[:, 0, 2] / pos[:, 0].norm(dim=-1),
    "scalar",
    [cloud(1, dtype=BF16)],
)
breaks(
    "broken",
    "1e-4 of cos on a product of lengths in bfloat16 by autocast",
    1e-4 / math.sqrt(3),
    lambda pos: of_lengths(pos) + 1e-4 * cosine(pos),
    "scalar",
    [cloud(dtype=F32)],
)
breaks(
    "broken",
    "z of a unit vector, random rotations",
    1 / math.sqrt(3),
    lambda pos: pos[:, 0, 2],
    "scalar",
    _unit,
    degree=None,
    estimator="monte-carlo",
    rotations=512,
)

# -- another law than the declared one ---------------------------------------------------------------------------


def parity(what: str, known: str, model: Any, kind: str, words: str) -> None:
    def answer() -> Answer:
        report = audit(model, kind, [cloud()])
        said = " ".join(report.findings())
        return Answer(report.outputs["out"].verdict.value, "", words in said)

    KINDS.append(Kind("another law", what, known, answer))


parity(
    "triple product, declared a scalar",
    "inversion changes the sign",
    triple,
    "scalar",
    "exact under rotations; inversion changes its sign",
)
parity(
    "energy plus a tenth of the triple product",
    "mixes parities",
    lambda pos: 3 + pairs(pos) + 0.1 * triple(pos),
    "scalar",
    "exact under rotations; mixes parities",
)
parity(
    "stress with a signed volume",
    "inversion changes the sign",
    lambda pos: outer(pos) / triple(pos)[:, None, None],
    "tensor",
    "exact under rotations; inversion changes its sign",
)
parity(
    "cross product, declared a vector",
    "inversion changes the sign",
    lambda pos: torch.linalg.cross(pos[:, 0], pos[:, 1]),
    "vector",
    "exact under rotations; inversion changes its sign",
)
says(
    "another law",
    "components in the order y, z, x",
    Verdict.WRONG,
    lambda pos: dipole(pos).roll(-1, -1),
    "vector",
    [cloud()],
)
says(
    "another law",
    "the transpose of the rotation",
    Verdict.WRONG,
    lambda pos: torch.linalg.qr(pos[:, :3].mT)[0].mT @ torch.ones(3, dtype=F64),
    "vector",
    [cloud()],
)
says(
    "another law",
    "dropout",
    Verdict.STOCHASTIC,
    lambda pos: (pos.norm(dim=-1) * (torch.rand_like(pos[..., 0]) > 0.2)).sum(1),
    "scalar",
    [cloud()],
)
says(
    "another law",
    "a calculator that remembers its last input",
    Verdict.STOCHASTIC,
    Warm(),
    "scalar",
    [cloud(), cloud(4, 1)],
    batching="loop",
)

# -- refused -----------------------------------------------------------------------------------------------------

refused(
    "refused",
    "mean over the batch",
    "see each other",
    lambda pos: pos[..., 0].sum(1) - pos[..., 0].sum(1).mean(),
    "scalar",
    [cloud()],
)
refused(
    "refused",
    "softmax over the batch",
    "see each other",
    lambda pos: torch.softmax(pos[:, 0, 0], 0),
    "scalar",
    [cloud()],
)
refused(
    "refused",
    "rows grouped by atom",
    "another order than the copies",
    lambda pos: pos.transpose(0, 1).reshape(-1, 3),
    "vector",
    [cloud()],
)
refused(
    "refused",
    'a function of one system under "stack"',
    "written for one system",
    lambda pos: pos.norm(),
    "scalar",
    [cloud()],
)
refused(
    "refused",
    "nothing rotates",
    "nothing would turn",
    lambda p: p.sum((1, 2)),
    "scalar",
    [{"p": torch.randn(4, 4)}],
    inputs=None,
)
refused("refused", "irreps without a basis", "basis", lambda pos: pos.sum(1), "1x1o", [cloud()])
refused(
    "refused",
    'a tensor of rank 4 declared "tensor"',
    "rank 4",
    lambda pos: torch.einsum("bni,bnj,bnk,bnl->bijkl", pos, pos, pos, pos),
    "tensor",
    [cloud()],
)
refused(
    "refused",
    "complex values",
    "complex",
    lambda pos: torch.complex(pos.sum((1, 2)), pos.sum((1, 2))),
    "scalar",
    [cloud()],
)


def _edges(pos: torch.Tensor, edge_index: torch.Tensor, batch: torch.Tensor | None = None) -> torch.Tensor:
    batch = torch.zeros(len(pos), dtype=torch.long) if batch is None else batch
    d = pos[edge_index[0]] - pos[edge_index[1]]
    return torch.zeros(int(batch.max()) + 1, dtype=pos.dtype).index_add_(0, batch[edge_index[0]], d.norm(dim=1))


_graph = [{"pos": cloud(4), "edge_index": torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])}]
refused(
    "refused",
    "indices joined without offsets",
    "without the offset",
    _edges,
    "scalar",
    _graph,
    inputs={"pos": "vector"},
    batching="concat",
)

# -- hidden layers -----------------------------------------------------------------------------------------------


class Linear(torch.nn.Module):
    def __init__(self, padded: bool = False, deep: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        parts = (
            [torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 8)]
            if deep
            else [torch.nn.Linear(3, 8, bias=False)]
        )
        self.hidden = torch.nn.Sequential(*parts).double()
        self.padded = padded

    def forward(self, pos: torch.Tensor) -> torch.Tensor:
        rows = torch.cat([pos, pos[:1, :1].expand(len(pos), 2, 3)], 1) if self.padded else pos
        return self.hidden(rows)[:, : pos.shape[1]].square().sum((1, 2))


layer(
    "hidden layers",
    "a linear map of a vector",
    "l = 1 alone",
    Linear(),
    lambda found: _content(found) == ["1o"],
    [cloud()],
)
layer(
    "hidden layers",
    "the same, padded from another copy",
    "l = 1 alone, 5 rows",
    Linear(padded=True),
    lambda found: _content(found) == ["1o"] and found.samples == 5,
    [cloud()],
)
layer(
    "hidden layers",
    "the same, random rotations",
    "l = 1 alone",
    Linear(),
    lambda found: _content(found) == ["1o"] and found.pooled_unresolved <= found.unresolved_error,
    [cloud()],
    degree=None,
    estimator="monte-carlo",
    rotations=64,
)
layer(
    "hidden layers",
    "an MLP of one vector",
    "nothing with sigma = -1",
    Linear(deep=True),
    lambda found: all(symbol in ("0e", "1o", "2e") for symbol in _content(found)),
    [cloud()],
    degree=8,
)


# -- the table ---------------------------------------------------------------------------------------------------

HEAD = """# Kinds of models whose answer is known

Each row is a model, or a use of one, whose answer follows from theory. `python tests/kinds.py` writes this page;
`tests/test_kinds.py` asserts every row. An error bar is the half width that holds the truth in 95 of 100 cases; where
the answer is a verdict it is the measured noise floor.

| | kind | known | found | error bar |
|---|---|---|---|---|
"""


def table() -> str:
    rows = []
    for number, kind in enumerate(KINDS, 1):
        answer = kind.ask()
        mark = "" if answer.right else " **wrong**"
        cells = (str(number), f"{kind.section}: {kind.what}", kind.known, answer.found + mark, answer.error)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent.parent / "docs" / "kinds.md").write_text(table())

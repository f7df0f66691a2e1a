"""What the drop-ins gain where a Wigner matrix is made for every edge: D alone, and a block that is trained through it.

    python benches/dropin.py [--quick] [--json FILE]

The block takes features to the frame of each edge, multiplies every order |m| of every degree by a weight, and takes
them back, which is what a convolution of eSCN's kind does, and its gradient goes to features and edges. Peers are
e3nn's `wigner_D` for each degree, and the product of turns about y with constant matrices between them, which eSCN,
EquiformerV2 and fairchem use; `equiscope.rotate` does the same without matrices. Loss and gradients are equal before
anything is timed.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from cases import Case
from e3nn import o3
from table import environment, measure

import equiscope as eq
from equiscope.dropin import fairchem
from equiscope.dropin._edges import block_diagonal, edge_rotations

HERE = Path(__file__).parent
Matrices = Callable[[torch.Tensor, int], torch.Tensor]


@contextmanager
def default(dtype: torch.dtype) -> Iterator[None]:
    """The default dtype, in which e3nn makes its generators, for a while."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def ours(edges: torch.Tensor, lmax: int) -> torch.Tensor:
    """The drop-in."""
    rotations = edge_rotations(edges, torch.zeros_like(edges[:, 0]))
    return fairchem.rotation_to_wigner(rotations, 0, lmax, rot_clip=True)


def by_exponentials(edges: torch.Tensor, lmax: int) -> torch.Tensor:
    """e3nn, degree by degree."""
    alpha, beta = o3.xyz_to_angles(edges)
    none = torch.zeros_like(alpha)
    return block_diagonal(tuple(o3.wigner_D(l, alpha, beta, none).mT for l in range(lmax + 1)))


def by_turns(edges: torch.Tensor, lmax: int) -> torch.Tensor:
    """Turns about y alone, and the matrix that takes y to x between them."""
    alpha, beta = o3.xyz_to_angles(edges)
    blocks = []
    for l in range(lmax + 1):
        between = _y_to_x(l).to(edges)
        blocks.append(between @ _about_y(l, beta).mT @ between.mT @ _about_y(l, alpha).mT)
    return block_diagonal(tuple(blocks))


@functools.cache
def _y_to_x(l: int) -> torch.Tensor:
    with default(torch.float64):
        turn = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        return o3.wigner_D(l, *o3.matrix_to_angles(turn))


def _about_y(l: int, angle: torch.Tensor) -> torch.Tensor:
    out = angle.new_zeros(*angle.shape, 2 * l + 1, 2 * l + 1)
    out[:, l, l] = 1.0
    m = torch.arange(1, l + 1)
    cosine, sine = torch.cos(angle[:, None] * m), torch.sin(angle[:, None] * m)
    out[:, l + m, l + m], out[:, l - m, l - m] = cosine, cosine
    out[:, l + m, l - m], out[:, l - m, l + m] = -sine, sine
    return out


PEERS: dict[str, Matrices] = {"ours": ours, "turns about y": by_turns, "e3nn": by_exponentials}


def block(matrices: Matrices, edges: torch.Tensor, features: torch.Tensor, lmax: int) -> tuple[torch.Tensor, ...]:
    """Loss, and its gradients by edges and features."""
    D = matrices(edges, lmax)
    loss = (D.mT @ (weights(lmax, features) * (D @ features))).square().mean()
    return loss, *torch.autograd.grad(loss, (edges, features))


def block_without_matrices(edges: torch.Tensor, features: torch.Tensor, lmax: int) -> tuple[torch.Tensor, ...]:
    """The same by `equiscope.rotate`, on features as they lie: components outermost, channels innermost."""
    rotations = edge_rotations(edges, torch.zeros_like(edges[:, 0]))
    irreps = "+".join(f"{features.shape[-1]}x{l}e" for l in range(lmax + 1))
    turn = functools.partial(eq.rotate, rotations=rotations, rep=irreps, basis="e3nn", layout="ir_mul")
    turned = turn(features.flatten(1)).view_as(features)
    loss = turn((weights(lmax, features) * turned).flatten(1), inverse=True).square().mean()
    return loss, *torch.autograd.grad(loss, (edges, features))


def weights(lmax: int, like: torch.Tensor) -> torch.Tensor:
    """One for each |m| of each degree, ``((lmax+1)^2, 1)``: that commutes with turns about the edge."""
    return torch.cat([1.0 / (1 + l + torch.arange(-l, l + 1).abs()) for l in range(lmax + 1)])[:, None].to(like)


def cases(edges: int, lmax: int, channels: int) -> Iterator[Case]:
    """D alone and the block, in single precision, after the answers of all were compared with e3nn's in double."""
    generator = torch.Generator().manual_seed(lmax)
    where = torch.randn(edges, 3, generator=generator).requires_grad_()
    features = torch.randn(edges, (lmax + 1) ** 2, channels, generator=generator).requires_grad_()
    with default(torch.float64):
        expected = block(by_exponentials, where.double(), features.double(), lmax)
    calls = {name: functools.partial(block, own, where, features, lmax) for name, own in PEERS.items()}
    calls["rotate"] = functools.partial(block_without_matrices, where, features, lmax)
    for name, call in calls.items():
        for got, exact in zip(call(), expected, strict=True):
            error = float((got - exact).detach().norm() / exact.detach().norm())
            assert error <= 1e-4, f"{name} at lmax {lmax}: {error:.1e}"
    alone = {name: functools.partial(own, where.detach(), lmax) for name, own in PEERS.items()}
    items = dict.fromkeys(calls, float(edges))
    yield Case(f"D, lmax {lmax}", "edge", items, alone)
    yield Case(f"block and gradient, lmax {lmax}, {channels} channels", "edge", items, calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few edges, and a file that leaves the stored one alone")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder = Path(tempfile.gettempdir()) if arguments.quick else HERE / "results"
    path = arguments.json or folder / "dropin.json"
    about, rows = environment(), []
    torch.set_num_threads(1)
    for lmax in (2, 3) if arguments.quick else (2, 4, 6):
        for case in cases(*((50, lmax, 4) if arguments.quick else (2000, lmax, 32))):
            rows.append(measure(case, arguments.quick))
            ratios = "  ".join(f"{name} {ratio:.1f} times" for name, ratio in rows[-1]["ratios"].items())
            print(f"{case.name}: {1e6 * rows[-1]['seconds']['ours']:.3g} us an edge; {ratios}", flush=True)
    path.write_text(json.dumps({"environment": about, "rows": rows}, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()

"""Stored audits against random elements of O(3), with nothing of the library: no grid, no Wigner matrix, no projection.

Elements are those of scipy, powers come from characters of pairs of elements,

    B_(l, sigma) = (2l + 1) < chi_(l, sigma)(g^-1 h) u(g) . u(h) >  over pairs g != h,

and errors from a jackknife over `BLOCKS` blocks of elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from ..runs import Place
from .audits import chosen
from .dataset import Molecule, Task
from .learning import another, watched
from .pet import PetOnTensors

BLOCKS = 20
LMAX = 4
TWO_SIGMA = 1.96
"""Half widths of 95 % that an audit states, over standard errors."""

CALL = 200
"""Copies in a call of the model."""

LAYERS = (
    "backend.gnn_layers.0.trans.layers.0[0]",
    "backend.gnn_layers.0.trans.layers.1[0]",
    "backend.gnn_layers_post_mp_node.1",
    "backend.node_heads.'mtt::density'.0",
)
"""Tokens of atoms, by their names in an audit."""


def check(configuration: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Of an audit of another run of the same seed, its last one, or its first where "trained" is False.

    "of" is that run, "elements" is how many are drawn.
    """
    result, task, model = another(configuration, place)
    audit = result["audits"][max(result["audits"], key=int) if configuration["trained"] else "0"]
    molecules = chosen(task, watched(result["configuration"]))
    # each its own, so that errors of molecules are independent
    seeds = range(len(molecules) * place.seed, len(molecules) * (place.seed + 1))
    drawn = [elements(int(configuration["elements"]), seed) for seed in seeds]
    return {"comparisons": compared(audit, model, task, molecules, drawn)}


def compared(
    audit: Mapping[str, Any],
    model: PetOnTensors,
    task: Task,
    molecules: Sequence[Molecule],
    drawn: Sequence[np.ndarray],
) -> list[dict[str, Any]]:
    """A of every output and shares of every one of `LAYERS`: stored and by hand, each with its error (one sigma)."""
    rows = []
    heard = [responses(model, molecule, g) for molecule, g in zip(molecules, drawn, strict=True)]
    atoms = [float(len(molecule.numbers)) for molecule in molecules]
    for output, irreps in task.outputs.items():
        stored = audit["outputs"][output]
        found = _pooled([variance(values[output], irreps, g) for values, g in zip(heard, drawn, strict=True)], atoms)
        rows.append(_row(f"{output}: A", stored["A"], stored["A_error"] / TWO_SIGMA, *found))
    for layer in LAYERS:
        if layer in audit["layers"]:
            stored = audit["layers"][layer]
            parts = [powers(values[layer], g) for values, g in zip(heard, drawn, strict=True)]
            # shares of the pooled power, not mean shares
            weights = [float(np.square(values[layer]).sum((1, 2)).mean()) for values in heard]
            for l, s in np.ndindex(LMAX + 1, 2):
                found = _pooled([(share[l, s], spread[l, s]) for share, spread in parts], weights)
                error = stored["share_errors"][l][s] / TWO_SIGMA
                rows.append(_row(f"{layer}: ({l}, {'+-'[s]})", stored["shares"][l][s], error, *found))
    return rows


def elements(n: int, seed: int) -> np.ndarray:
    """``(n, 3, 3)``, rotations and improper ones by turns."""
    signs = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    return Rotation.random(n, random_state=1000 + seed).as_matrix() * signs[:, None, None]


@torch.no_grad()
def responses(model: PetOnTensors, molecule: Molecule, g: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs and `LAYERS` of the molecule at every element, ``(n, atoms, channels)`` float64."""
    modules = dict(model.named_modules())
    found: dict[str, list[np.ndarray]] = {}
    heard: dict[str, torch.Tensor] = {}

    def listen(name: str) -> Any:
        own = name.removesuffix("[0]").replace("'", "")

        def hear(_: Any, __: Any, value: Any) -> None:
            heard[name] = value[0] if name.endswith("[0]") else value

        return modules[own].register_forward_hook(hear)

    hooks = [listen(name) for name in LAYERS if name.removesuffix("[0]").replace("'", "") in modules]
    n = len(molecule.numbers)
    for start in range(0, len(g), CALL):
        own = torch.from_numpy(g[start : start + CALL])
        copies = len(own)
        positions = (molecule.positions.double() @ own.mT).float().reshape(-1, 3)
        batch = torch.arange(copies).repeat_interleave(n)
        for name, value in {**model(positions, molecule.numbers.repeat(copies), batch), **heard}.items():
            found.setdefault(name, []).append(value.double().reshape(copies, -1, value.shape[-1]).numpy())
    for hook in hooks:
        hook.remove()
    return {name: np.concatenate(parts) for name, parts in found.items()}


def powers(u: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of power ``(LMAX + 1, 2)`` of values ``(n, ...)``, and their errors."""
    flat = u.reshape(len(u), -1)
    total = np.square(flat).sum(1).mean()
    # what is constant would drown the rest in noise; it is invariant, and known
    mean = flat.mean(0)
    centred = flat - mean
    sums = np.zeros((LMAX + 1, 2, BLOCKS, BLOCKS))
    blocks = np.array_split(np.arange(len(g)), BLOCKS)
    for i, rows in enumerate(blocks):
        for j, columns in enumerate(blocks):
            gram = centred[rows] @ centred[columns].T
            if i == j:
                np.fill_diagonal(gram, 0.0)
            for (l, s), character in characters(g[rows], g[columns]):
                sums[l, s, i, j] = (2 * l + 1) * (character * gram).sum()
    sizes = np.array([len(rows) for rows in blocks])
    estimate = _over_pairs(sums, sizes)
    left_out = [_over_pairs(_without(sums, i), np.delete(sizes, i)) for i in range(BLOCKS)]
    error = np.sqrt((BLOCKS - 1) / BLOCKS * np.square(np.array(left_out) - np.mean(left_out, 0)).sum(0))
    # the mean holds all that is invariant, so that the rest has none but its own scatter
    estimate[0, 0] = np.square(mean).sum() - np.square(centred).sum() / len(g) / (len(g) - 1)
    error[0, 0] = 2 * np.linalg.norm(centred @ mean) / len(g)
    return estimate / total, error / total


def characters(g: np.ndarray, h: np.ndarray) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Place (l, 0 for sigma = +1 or 1 for -1) and characters of g^-1 h for all pairs."""
    sign = np.sign(np.linalg.det(g))[:, None] * np.sign(np.linalg.det(h))
    cosine = np.clip((np.einsum("iab,jab->ij", g, h) * sign - 1) / 2, -1, 1)
    angle = np.arccos(cosine)
    for l in range(LMAX + 1):
        rotation = 1 + sum(2 * np.cos(k * angle) for k in range(1, l + 1))
        for s, sigma in enumerate((1, -1)):
            yield (l, s), rotation * np.where(sign > 0, 1, sigma * (-1) ** l)


def variance(u: np.ndarray, irreps: str, g: np.ndarray) -> tuple[float, float]:
    """A of an output per component, and its error."""
    l, parity = int(irreps.split("x")[1][:-1]), irreps[-1]
    sign = np.sign(np.linalg.det(g))
    D = rotation_matrices(l, g * sign[:, None, None])
    if parity == "o":
        D = D * sign[:, None, None]
    z = np.einsum("gnm,ganc->gamc", D, u.reshape(len(u), u.shape[1], -1, 2 * l + 1).swapaxes(2, 3))
    blocks = np.array_split(z.reshape(len(u), -1), BLOCKS)
    left_out = np.array([_scatter(np.concatenate(blocks[:i] + blocks[i + 1 :])) for i in range(BLOCKS)])
    error = math.sqrt((BLOCKS - 1) / BLOCKS * np.square(left_out - np.mean(left_out)).sum())
    return _scatter(z.reshape(len(u), -1)), error


def rotation_matrices(l: int, rotations: np.ndarray) -> np.ndarray:
    """``(n, 2l + 1, 2l + 1)`` with Y_l(R r) = D Y_l(r), fitted to harmonics of scipy at some points."""
    points = np.random.default_rng(0).normal(size=(4 * l + 4, 3))
    at_points = harmonics(l, points)
    turned = harmonics(l, np.einsum("gij,kj->gki", rotations, points))
    return np.einsum("mk,gkn->gnm", np.linalg.pinv(at_points), turned)


def harmonics(l: int, points: np.ndarray) -> np.ndarray:
    """Real ones in the order m = -l..l, without Condon-Shortley phase."""
    theta = np.arccos(points[..., 2] / np.linalg.norm(points, axis=-1))
    phi = np.arctan2(points[..., 1], points[..., 0])
    columns = []
    for m in range(-l, l + 1):
        Y = sph_harm_y(l, abs(m), theta, phi) * (-1) ** m
        columns.append(Y.real if m == 0 else math.sqrt(2) * (Y.real if m > 0 else Y.imag))
    return np.stack(columns, -1)


def _scatter(z: np.ndarray) -> float:
    """Unbiased, per component."""
    return float(z.var(0, ddof=1).mean())


def _over_pairs(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mean over pairs of different elements, of sums over pairs of blocks."""
    n = sizes.sum()
    mean: np.ndarray = sums.sum((-2, -1)) / (n * (n - 1))
    return mean


def _without(sums: np.ndarray, i: int) -> np.ndarray:
    return np.delete(np.delete(sums, i, -1), i, -2)


def _pooled(parts: Sequence[tuple[float, float]], weights: Sequence[float]) -> tuple[float, float]:
    """Mean and error of independent numbers."""
    total = sum(weights)
    mean = sum(weight * value for weight, (value, _) in zip(weights, parts, strict=True)) / total
    return mean, math.sqrt(
        sum((weight * error) ** 2 for weight, (_, error) in zip(weights, parts, strict=True))
    ) / total


def _row(name: str, stored: float, stored_error: float, found: float, error: float) -> dict[str, Any]:
    return {"name": name, "stored": stored, "stored_error": stored_error, "found": found, "error": error}

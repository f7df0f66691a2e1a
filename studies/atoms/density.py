"""The electron density as a target: coefficients on every atom, l = 0 to 4, and what is made of them with sigma = -1.

Of an atom with l = 1 coefficients p and l = 2 coefficients d, as a traceless symmetric matrix, the axial vector
p x (d p) and the pseudoscalar p . ((d p) x (d d p)) are labels too: no single edge can make them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from .dataset import ELEMENTS, Molecule, Task, arrays, split

FILE = "g2_density.npz"

SHELLS = (8, 4, 3, 1, 1)
"""Most shells of any element, by l."""

DENSITY = {"l0": "8x0e", "l1": "4x1o", "l2": "3x2e", "l3": "1x3o", "l4": "1x4e"}
CHIRAL = {"axial": "1x1e", "pseudoscalar": "1x0o"}

CHIRAL_SHELLS = (0, -1)
"""The tightest p shell and the widest d shell; hydrogen has one of each, and no labels of this kind."""


def density(data: Path | None = None) -> Task:
    """All of the file. Each shell of each element is scaled to a root mean square of 1 over the training molecules,
    after the mean of its l = 0 coefficients was taken away."""
    stored = arrays(data, FILE)
    names = [str(name) for name in stored["name"]]
    places = split(names)
    structure = np.repeat(np.arange(len(names)), np.diff(stored["offsets"]))
    training = np.isin(structure, places["train"])
    numbers = torch.from_numpy(stored["atomic_numbers"].astype(np.int64))
    raw, present = coefficients(stored)
    raw |= chiral(raw, numbers)
    present |= {name: present["l2"][:, :1] * (torch.arange(17) > 1)[:, None] for name in CHIRAL}
    scales = {name: _rms(values[training], present[name][numbers[training]]) for name, values in raw.items()}
    scaled = {name: _scaled(name, values, numbers, torch.from_numpy(training)) for name, values in raw.items()}

    def molecule(i: int) -> Molecule:
        own = slice(int(stored["offsets"][i]), int(stored["offsets"][i + 1]))
        labels = {name: values[own].flatten(1).float() for name, values in scaled.items()}
        return Molecule(names[i], numbers[own], torch.from_numpy(stored["positions"][own]).float(), labels)

    parts = {part: [molecule(i) for i in own] for part, own in places.items()}
    return Task({"density": DENSITY, "chiral": CHIRAL}, (), present, parts, scales)


def coefficients(stored: dict[str, np.ndarray]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """By output ``(atoms, shells, 2l + 1)`` with 0 where an element has no such shell, and ``(17, shells)``."""
    numbers, offsets, flat = stored["atomic_numbers"], stored["coefficient_offsets"], stored["coefficients"]
    values = {f"l{l}": torch.zeros(len(numbers), n, 2 * l + 1, dtype=torch.float64) for l, n in enumerate(SHELLS)}
    present = {f"l{l}": torch.zeros(17, n) for l, n in enumerate(SHELLS)}
    for element in ELEMENTS:
        atoms = np.flatnonzero(numbers == element)
        start = offsets[atoms]
        for l, shell, column in _columns(stored[f"shells_{element}"]):
            own = flat[start[:, None] + np.arange(column, column + 2 * l + 1)]
            values[f"l{l}"][torch.from_numpy(atoms), shell] = torch.from_numpy(own)
            present[f"l{l}"][element, shell] = 1
    return values, present


def chiral(values: dict[str, torch.Tensor], numbers: torch.Tensor) -> dict[str, torch.Tensor]:
    """The axial vectors ``(atoms, 1, 3)`` and pseudoscalars ``(atoms, 1, 1)``, of p and d in units of their root mean
    squares for the element, where long ones are shortened, v / sqrt(1 + v^2), which keeps what they are."""
    axial, pseudoscalar = torch.zeros(len(numbers), 1, 3).double(), torch.zeros(len(numbers), 1, 1).double()
    for element in ELEMENTS[1:]:
        own = numbers == element
        p = _short(values["l1"][own, CHIRAL_SHELLS[0]])[:, [2, 0, 1]]
        d = matrices(_short(values["l2"][own, CHIRAL_SHELLS[1]]))
        dp = (d @ p[..., None])[..., 0]
        ddp = (d @ dp[..., None])[..., 0]
        axial[own] = torch.linalg.cross(p, dp)[:, None, [1, 2, 0]]
        pseudoscalar[own] = (p * torch.linalg.cross(dp, ddp)).sum(-1)[:, None, None]
    return {"axial": axial, "pseudoscalar": pseudoscalar}


def matrices(d: torch.Tensor) -> torch.Tensor:
    """Of l = 2 components ``(n, 5)``, in the order xy, yz, zz, xz, xx - yy, symmetric ones of the same length."""
    xy, yz, zz, xz, difference = d.unbind(-1)
    s = 3**-0.5
    rows = [
        [difference - s * zz, xy, xz],
        [xy, -difference - s * zz, yz],
        [xz, yz, 2 * s * zz],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2) * 0.5**0.5


def _columns(shells: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """l, number among the shells of this l, and first column of each shell."""
    column, seen = 0, [0] * len(SHELLS)
    for l in map(int, shells):
        yield l, seen[l], column
        column, seen[l] = column + 2 * l + 1, seen[l] + 1


def _short(v: torch.Tensor) -> torch.Tensor:
    v = v / v.square().sum(-1).mean().sqrt()
    return v / (1 + v.square().sum(-1, keepdim=True)).sqrt()


def _scaled(name: str, values: torch.Tensor, numbers: torch.Tensor, training: torch.Tensor) -> torch.Tensor:
    """In units of the root mean square of each shell of each element over the training molecules."""
    scaled = values.clone()
    for element in ELEMENTS:
        own = numbers == element
        fitted = own & training
        if name == "l0":
            scaled[own] -= values[fitted].mean(0)
        scale = scaled[fitted].square().mean((0, 2)).sqrt()[:, None]
        scaled[own] /= torch.where(scale > 0, scale, 1.0)
    # an odd function of a pseudoscalar is one: few large values would be all that there is to learn
    return scaled.asinh() if name == "pseudoscalar" else scaled


def _rms(values: torch.Tensor, present: torch.Tensor) -> float:
    """Per component of the shells that are there; of l = 0 it is mostly a constant."""
    return float((values.square().sum() / (present.sum() * values.shape[-1])).sqrt())

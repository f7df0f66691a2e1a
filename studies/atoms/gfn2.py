"""Energies, forces, dipoles and quadrupoles of GFN2-xTB as targets: what potentials are trained on, l = 0 to 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .dataset import ELEMENTS, Molecule, Task, arrays, split

FILE = "g2_gfn2.npz"

MOMENTS = {"energy": "1x0e", "dipole": "1x1o", "quadrupole": "1x2e"}
FORCES = {"forces": "1x1o"}


def gfn2(data: Path | None = None) -> Task:
    """All of the file, each output scaled to a root mean square of 1 over the training molecules.

    Forces are an output of their own, no derivative; energies are without what a sum over elements explains.
    """
    stored = arrays(data, FILE)
    names = [str(name) for name in stored["name"]]
    places = split(names)
    offsets, numbers = stored["offsets"], torch.from_numpy(stored["atomic_numbers"].astype(np.int64))
    structure = np.repeat(np.arange(len(names)), np.diff(offsets))
    training = np.isin(np.arange(len(names)), places["train"])
    raw = {
        "energy": without_elements(stored, structure, training)[:, None],
        "dipole": stored["dipole"][:, [1, 2, 0]],
        "quadrupole": spherical(stored["quadrupole"]),
        "forces": stored["forces"][:, [1, 2, 0]],
    }
    scales = {
        name: float(np.sqrt(np.square(values[training[structure] if name in FORCES else training]).mean()))
        for name, values in raw.items()
    }
    scaled = {name: torch.from_numpy(values / scales[name]).float() for name, values in raw.items()}

    def molecule(i: int) -> Molecule:
        own = slice(int(offsets[i]), int(offsets[i + 1]))
        labels = {name: values[own] if name in FORCES else values[i : i + 1] for name, values in scaled.items()}
        return Molecule(names[i], numbers[own], torch.from_numpy(stored["positions"][own]).float(), labels)

    parts = {part: [molecule(i) for i in own] for part, own in places.items()}
    return Task({"moments": MOMENTS, "forces": FORCES}, tuple(MOMENTS), {}, parts, scales)


def without_elements(stored: dict[str, np.ndarray], structure: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Energies ``(structures,)`` less a number for each atom of an element, fitted to the training molecules."""
    counts = np.zeros((len(training), len(ELEMENTS)))
    for column, element in enumerate(ELEMENTS):
        np.add.at(counts[:, column], structure, stored["atomic_numbers"] == element)
    fitted, *_ = np.linalg.lstsq(counts[training], stored["energy"][training], rcond=None)
    remainder: np.ndarray = stored["energy"] - counts @ fitted
    return remainder


def spherical(quadrupole: np.ndarray) -> np.ndarray:
    """Of traceless ``(n, 6)`` in the order xx, xy, yy, xz, yz, zz, l = 2 components ``(n, 5)`` of the same norm."""
    xx, xy, yy, xz, yz, zz = quadrupole.T
    s = np.sqrt(2)
    return np.stack([s * xy, s * yz, np.sqrt(1.5) * zz, s * xz, (xx - yy) / s], -1)

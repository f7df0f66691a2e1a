"""Replace the quadrupole moments of a GFN2-xTB data file by rotationally consistent ones.

    pip install tblite
    python scripts/repair_quadrupole.py g2_gfn2.npz g2_gfn2_repaired.npz

tblite 0.8 scales the off-diagonal elements of the charge and dipole terms of the molecular quadrupole by 3
instead of 3/2, so its tensor does not turn with the molecule: that of benzene is not axial. The diagonal is
right. Each off-diagonal element therefore comes from the diagonal of the molecule turned by 45 degrees,
Q'_xx = (Q_xx + Q_yy) / 2 + Q_xy with x' = (x + y) / sqrt(2), and the result is checked against the diagonal
in one more orientation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.spatial.transform import Rotation
from tblite.interface import Calculator

BOHR = 0.529177210903
DIAGONAL = (0, 2, 5)  # xx, yy, zz among xx, xy, yy, xz, yz, zz
OFF_DIAGONAL = {1: (0, 1), 3: (0, 2), 4: (1, 2)}


def diagonal(numbers: np.ndarray, positions: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Diagonal of the quadrupole in e bohr^2 in the frame whose basis vectors are the rows of `axes`."""
    calculator = Calculator("GFN2-xTB", numbers, positions @ axes.T / BOHR)
    calculator.set("verbosity", 0)
    return calculator.singlepoint().get("quadrupole")[list(DIAGONAL)]


def quadrupole(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """``(6,)`` traceless quadrupole xx, xy, yy, xz, yz, zz about the origin of `positions` (angstrom)."""
    moment = np.empty(6)
    moment[list(DIAGONAL)] = straight = diagonal(numbers, positions, np.eye(3))
    for slot, (i, j) in OFF_DIAGONAL.items():
        axes = np.eye(3)
        axes[i, i] = axes[j, j] = axes[i, j] = np.sqrt(0.5)
        axes[j, i] = -np.sqrt(0.5)
        moment[slot] = diagonal(numbers, positions, axes)[i] - (straight[i] + straight[j]) / 2
    return moment


def main(
    source: Annotated[Path, typer.Argument(help="npz file with positions in angstrom and tblite moments")],
    target: Annotated[Path, typer.Argument(help="npz file to write")],
) -> None:
    data = dict(np.load(source, allow_pickle=False))
    bounds = data["offsets"]
    worst = 0.0
    for i in range(len(bounds) - 1):
        rows = slice(bounds[i], bounds[i + 1])
        numbers, positions = data["atomic_numbers"][rows].astype(int), data["positions"][rows]
        data["quadrupole"][i] = moment = quadrupole(numbers, positions)
        axes = Rotation.random(rng=i).as_matrix()
        turned = axes @ moment[[0, 1, 3, 1, 2, 4, 3, 4, 5]].reshape(3, 3) @ axes.T
        worst = max(worst, np.abs(turned.diagonal() - diagonal(numbers, positions, axes)).max())
    if worst > 1e-3:
        raise ValueError(f"quadrupole: expected a tensor that turns with the molecule, got {worst:.2g} off")
    np.savez_compressed(target, **data)
    print(f"{len(bounds) - 1} structures, largest deviation in another orientation {worst:.1e} e bohr^2")


if __name__ == "__main__":
    typer.run(main)

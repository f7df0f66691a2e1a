"""Train the demo transformer on GFN2-xTB energies, dipoles and quadrupoles of displaced G2 molecules.

    python scripts/train_demo.py g2_gfn2_repaired.npz

The file (see `repair_quadrupole.py`) holds flat arrays with `offsets`: `atomic_numbers`, `positions`
(angstrom), `forces` (eV/angstrom), and per structure `energy` (eV), `dipole` (e bohr), `quadrupole` (e
bohr^2, xx xy yy xz yz zz) and `name`. Held out for validation are, of every molecule, its first (tabulated)
geometry and two displaced ones. Every step turns every molecule by its own random element of O(3) and
shifts its atoms by `JITTER`, the energy following to first order.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from equiscope.demo.model import ELEMENTS, PointCloudTransformer

DEMO = Path(__file__).parents[1] / "python" / "equiscope" / "demo"
FIRST = ("H2O", "NH3", "H2CO", "HCOOH", "CH3OH", "CH3CN", "CH3CH2OH", "C4H4NH")
TARGETS = ("energy", "dipole", "quadrupole")
HELD_OUT_DISPLACED = 2
WARM_UP = 0.03
"""Share of the steps in which the learning rate rises to its peak; from there it falls by a cosine."""
JITTER = 0.02
"""Standard deviation in angstrom. The neglected curvature, 50 eV/angstrom^2, costs some 0.02 eV per bond."""


@dataclass
class Molecules:
    """Geometries with one number of atoms."""

    positions: Tensor  # (N, n, 3)
    species: Tensor  # (N, n)
    forces: Tensor  # (N, n, 3)
    energy: Tensor  # (N,) float64
    dipole: Tensor  # (N, 3)
    quadrupole: Tensor  # (N, 3, 3)

    def __len__(self) -> int:
        return len(self.energy)

    def augmented(self, index: Tensor, generator: torch.Generator) -> Molecules:
        """The geometries `index`, each jittered and turned by its own random element of O(3)."""
        R = random_orthogonal(len(index), generator)
        shift = JITTER * torch.randn(self.positions[index].shape, generator=generator)
        return Molecules(
            positions=(self.positions[index] + shift) @ R.mT,
            species=self.species[index],
            forces=self.forces[index] @ R.mT,
            energy=self.energy[index] - (self.forces[index] * shift).sum((1, 2)),
            dipole=(R @ self.dipole[index, :, None])[..., 0],
            quadrupole=R @ self.quadrupole[index] @ R.mT,
        )


def random_orthogonal(count: int, generator: torch.Generator) -> Tensor:
    """``(count, 3, 3)``, Haar-distributed: QR of Gaussian matrices, freed of the signs of the diagonal."""
    Q, upper = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator))
    return Q * upper.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]


def cartesian(moment: np.ndarray) -> np.ndarray:
    """``(N, 3, 3)`` from the six components xx, xy, yy, xz, yz, zz."""
    return moment[:, [0, 1, 3, 1, 2, 4, 3, 4, 5]].reshape(-1, 3, 3)


def gather(data: dict[str, np.ndarray], chosen: np.ndarray) -> dict[int, Molecules]:
    """The structures `chosen`, grouped by their number of atoms."""
    start, size = data["offsets"][:-1], np.diff(data["offsets"])
    groups = {}
    for n in np.unique(size[chosen]):
        own = chosen[size[chosen] == n]
        rows = start[own, None] + np.arange(n)
        groups[int(n)] = Molecules(
            positions=torch.tensor(data["positions"][rows], dtype=torch.float32),
            species=torch.tensor(data["atomic_numbers"][rows], dtype=torch.int64),
            forces=torch.tensor(data["forces"][rows], dtype=torch.float32),
            energy=torch.tensor(data["energy"][own]),
            dipole=torch.tensor(data["dipole"][own], dtype=torch.float32),
            quadrupole=torch.tensor(cartesian(data["quadrupole"][own]), dtype=torch.float32),
        )
    return groups


def split(names: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and validation: of every molecule the first geometry and two more are held out."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(names), bool)
    for name in np.unique(names):
        own = np.flatnonzero(names == name)
        held[own[0]] = True
        held[rng.choice(own[1:], HELD_OUT_DISPLACED, replace=False)] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def composition(groups: dict[int, Molecules]) -> Tensor:
    """``(N, elements)`` number of atoms of each element."""
    elements = torch.tensor(ELEMENTS)
    return torch.cat([(g.species[..., None] == elements).sum(1).double() for g in groups.values()])


def normalise(model: PointCloudTransformer, groups: dict[int, Molecules]) -> None:
    """Store in the model the energy per element (least squares) and the scale of what is left to learn."""
    counts, energy = composition(groups), torch.cat([g.energy for g in groups.values()])
    model.atom_energy.copy_(torch.linalg.lstsq(counts, energy[:, None], driver="gelsd").solution[:, 0])
    left = energy - counts @ model.atom_energy
    dipole, quadrupole = (torch.cat([getattr(g, k) for g in groups.values()]) for k in TARGETS[1:])
    model.scale[0] = left.std()
    model.scale[1:] = torch.stack([dipole.square().mean(), quadrupole.square().mean()]).sqrt()


def residuals(model: PointCloudTransformer, batch: Molecules) -> dict[str, Tensor]:
    """Prediction minus reference in units of `model.scale`; energies without their large per-element part."""
    predicted = model(batch.positions, batch.species, atom_energy=False)
    energy = batch.energy - model.atom_energy[model.slot[batch.species]].sum(-1)
    reference = {"energy": energy.float(), "dipole": batch.dipole, "quadrupole": batch.quadrupole}
    return {k: (predicted[k] - reference[k]) / model.scale[i] for i, k in enumerate(TARGETS)}


@torch.no_grad()
def errors(
    model: PointCloudTransformer, groups: dict[int, Molecules], turns: int, seed: int
) -> dict[str, dict[str, float]]:
    """Root mean squares per component over `turns` random orientations.

    ``rmse`` is the error; ``rotation`` its part from symmetry breaking, the spread of the prediction,
    turned back, about its mean over the orientations; ``scale`` the spread of the target.
    """
    generator = torch.Generator().manual_seed(seed)
    total, spread, count = ({k: 0.0 for k in TARGETS} for _ in range(3))
    for group in groups.values():
        n = len(group)
        R = random_orthogonal(turns * n, generator).view(turns, n, 3, 3)
        for i in range(n):
            turned = Molecules(
                positions=group.positions[i] @ R[:, i].mT,
                species=group.species[i].expand(turns, -1),
                forces=group.forces[i] @ R[:, i].mT,
                energy=group.energy[i].expand(turns),
                dipole=R[:, i] @ group.dipole[i],
                quadrupole=R[:, i] @ group.quadrupole[i] @ R[:, i].mT,
            )
            left = residuals(model, turned)
            back = {
                "energy": left["energy"],
                "dipole": (R[:, i].mT @ left["dipole"][..., None])[..., 0],
                "quadrupole": R[:, i].mT @ left["quadrupole"] @ R[:, i],
            }
            for k in TARGETS:
                total[k] += back[k].square().mean(0).sum().item()
                spread[k] += back[k].var(0).sum().item()
                count[k] += back[k][0].numel()
    scale = dict(zip(TARGETS, model.scale.tolist(), strict=True))
    return {
        k: {
            "rmse": scale[k] * math.sqrt(total[k] / count[k]),
            "rotation": scale[k] * math.sqrt(spread[k] / count[k]),
            "scale": scale[k],
        }
        for k in TARGETS
    }


def report(label: str, measured: dict[str, dict[str, float]]) -> None:
    for k, unit in zip(TARGETS, ("eV", "e bohr", "e bohr^2"), strict=True):
        m = measured[k]
        share = [100 * m[part] / m["scale"] for part in ("rmse", "rotation")]
        print(
            f"{label:10} {k:10} rmse {m['rmse']:.4f}  rotation {m['rotation']:.4f} {unit}"
            f"  ({share[0]:.1f} % and {share[1]:.1f} % of {m['scale']:.3f})",
            flush=True,
        )


def write_molecules(data: dict[str, np.ndarray], path: Path) -> None:
    """The tabulated geometries with their reference values, those of `FIRST` first, as flat arrays with offsets."""
    names = data["name"]
    chosen = [int(np.flatnonzero(names == name)[0]) for name in dict.fromkeys([*FIRST, *names.tolist()])]
    rows = [slice(data["offsets"][i], data["offsets"][i + 1]) for i in chosen]
    np.savez_compressed(
        path,
        name=names[chosen],
        offsets=np.cumsum([0] + [r.stop - r.start for r in rows]),
        positions=np.concatenate([data["positions"][r] for r in rows]).astype(np.float32),
        species=np.concatenate([data["atomic_numbers"][r] for r in rows]).astype(np.int64),
        energy=data["energy"][chosen],
        dipole=data["dipole"][chosen],
        quadrupole=cartesian(data["quadrupole"][chosen]),
    )


def main(
    data_file: Annotated[Path, typer.Argument(help="npz file with the reference data")],
    out: Annotated[Path, typer.Option(help="folder for weights.safetensors and molecules.npz")] = DEMO,
    steps: int = 26_000,
    batch: Annotated[int, typer.Option(help="molecules of one size in each part of a batch")] = 32,
    parts: Annotated[int, typer.Option(help="parts of a batch, each of a random size of molecule")] = 4,
    rate: Annotated[float, typer.Option(help="peak learning rate")] = 5e-3,
    decay: Annotated[float, typer.Option(help="weight decay")] = 0.01,
    seed: int = 0,
) -> None:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    data = dict(np.load(data_file, allow_pickle=False))
    train, held = split(data["name"], seed)
    groups, validation = gather(data, train), gather(data, held)
    sizes = list(groups)
    share = torch.tensor([float(len(groups[n])) for n in sizes])

    model = PointCloudTransformer()
    normalise(model, groups)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters, {len(train)} + {len(held)} geometries", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=WARM_UP, cycle_momentum=False)
    began = time.perf_counter()
    for step in range(1, steps + 1):
        for k in torch.multinomial(share, parts, replacement=True, generator=generator).tolist():
            group = groups[sizes[k]]
            index = torch.randint(len(group), (batch,), generator=generator)
            left = residuals(model, group.augmented(index, generator))
            loss = sum(smooth_l1_loss(v, torch.zeros_like(v), beta=0.1) for v in left.values())
            (loss / parts).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 4000 == 0 or step == steps:
            print(f"step {step}, {time.perf_counter() - began:.0f} s", flush=True)
            report("validation", errors(model.eval(), validation, 8, seed))
            model.train()
    report("training", errors(model.eval(), groups, 8, seed))
    report("final", errors(model, validation, 64, seed + 1))
    out.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), out / "weights.safetensors")
    (out / "weights.safetensors").chmod(0o644)  # safetensors writes files that only their owner can read
    write_molecules(data, out / "molecules.npz")


if __name__ == "__main__":
    typer.run(main)

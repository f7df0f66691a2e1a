"""Short dynamics of held-out molecules: what is conserved under forces of a potential, and under forces of their own.

Velocity Verlet at constant energy, in angstrom, femtoseconds, eV and atomic mass units, in float64. Forces are those
that the model gives as an output ("direct"), or minus the gradient of its energy ("gradient"). The second conserve
energy whatever the model is, so that what their energy drifts is the integrator's; both conserve angular momentum
only as far as the model is symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ..runs import Place
from .batches import Batch
from .dataset import Molecule, Task
from .learning import another
from .pet import PetOnTensors

MASSES = {1: 1.008, 6: 12.011, 7: 14.007, 8: 15.999, 9: 18.998, 16: 32.06}
"""Atomic mass units."""

ACCELERATION = 9.64853322e-3
"""Angstrom / fs^2 of 1 eV / angstrom on 1 atomic mass unit."""

BOLTZMANN = 8.617333e-5
"""eV / K."""

NEAREST, FARTHEST = 0.5, 8.0
"""Angstrom between an atom and the one next to it: outside of these a molecule is no molecule any more."""

EVERY_STEPS = 100
"""Steps between checkpoints."""


class Motion:
    """Molecules on their way, at temperature by Maxwell and Boltzmann, without momentum of the whole.

    Args:
        model: in float64, with outputs "energy" and "forces".
        task: for the scales of these.
        kind: "direct" or "gradient".
        step: fs.
    """

    def __init__(
        self,
        model: PetOnTensors,
        task: Task,
        molecules: list[Molecule],
        kind: str,
        step: float,
        kelvin: float,
        seed: int,
    ) -> None:
        if kind not in ("direct", "gradient"):
            raise ValueError(f"kind: expected direct or gradient, got {kind!r}")
        self.model, self.task, self.kind, self.step = model, task, kind, step
        together = Batch(molecules)
        self.numbers, self.batch, self.molecules = together.numbers, together.batch, together.molecules
        self.mass = torch.tensor([MASSES[int(z)] for z in self.numbers], dtype=torch.float64)[:, None]
        self.positions = together.positions.double()
        self.positions = self.positions - self._centre(self.positions)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(self.positions.shape, generator=generator, dtype=torch.float64)
        self.velocities = noise * (BOLTZMANN * kelvin * ACCELERATION / self.mass).sqrt()
        self.velocities = self.velocities - self._centre(self.velocities)
        # root mean square over the canonical ensemble, in the body that the molecule is at the start
        inertia = 2 * self._sum(self.mass[:, 0] * self.positions.square().sum(-1))
        self.thermal = (BOLTZMANN * kelvin * ACCELERATION * inertia).sqrt()
        self.energy, self.forces = self._evaluated()

    def advance(self) -> None:
        """By one step."""
        self.velocities = self.velocities + 0.5 * self.step * ACCELERATION * self.forces / self.mass
        self.positions = self.positions + self.step * self.velocities
        self.energy, self.forces = self._evaluated()
        self.velocities = self.velocities + 0.5 * self.step * ACCELERATION * self.forces / self.mass

    def state(self) -> dict[str, torch.Tensor]:
        """What a run that goes on needs."""
        return {"positions": self.positions, "velocities": self.velocities}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from `state`."""
        self.positions, self.velocities = state["positions"], state["velocities"]
        self.energy, self.forces = self._evaluated()

    def total_energy(self) -> torch.Tensor:
        """``(molecules,)`` eV, kinetic and potential; the potential is the model's energy for both kinds."""
        kinetic = 0.5 * self._sum(self.mass[:, 0] * self.velocities.square().sum(-1)) / ACCELERATION
        return kinetic + self.energy

    def angular_momentum(self) -> torch.Tensor:
        """``(molecules, 3)`` about the centre of mass, over its thermal root mean square."""
        away = self.positions - self._centre(self.positions)
        own = self.mass * torch.linalg.cross(away, self.velocities - self._centre(self.velocities))
        return self._sum(own) / self.thermal[:, None]

    def whole(self) -> torch.Tensor:
        """``(molecules,)`` bool: no two atoms are nearer than `NEAREST`, none is farther than `FARTHEST` from all."""
        distance = torch.cdist(self.positions, self.positions)
        same = self.batch[:, None] == self.batch
        same.fill_diagonal_(False)
        least = torch.where(same, distance, math.inf).amin(-1)
        wrong = (least < NEAREST) | (least > FARTHEST)
        return self._sum(wrong.double()) == 0

    def _evaluated(self) -> tuple[torch.Tensor, torch.Tensor]:
        positions = self.positions.detach().requires_grad_(self.kind == "gradient")
        found = self.model(positions, self.numbers, self.batch)
        energy = found["energy"][:, 0] * self.task.scales["energy"]
        if self.kind == "gradient":
            (gradient,) = torch.autograd.grad(energy.sum(), positions)
            return energy.detach(), -gradient
        # the standard basis is y, z, x
        return energy.detach(), found["forces"].detach()[:, [2, 0, 1]] * self.task.scales["forces"]

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(self.molecules, *values.shape[1:]).index_add(0, self.batch, values)

    def _centre(self, values: torch.Tensor) -> torch.Tensor:
        return (self._sum(self.mass * values) / self._sum(self.mass))[self.batch]


def move(configuration: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Of the model of another run of the same seed, "of": "steps" of "step" fs from "kelvin" for held-out molecules at
    their tabulated geometry, all or those of "molecules", recorded every "every" steps, with each kind of forces."""
    _, task, model = another(configuration, place)
    model = model.double()
    names = configuration.get("molecules", sorted({each.name for each in task.parts["test"]}))
    molecules = [next(each for each in task.parts["test"] if each.name == name) for name in names]
    kinds = {kind: moved(configuration, place, model, task, molecules, kind) for kind in ("direct", "gradient")}
    return {"molecules": list(names), "atoms": [len(each.numbers) for each in molecules], "kinds": kinds}


def moved(
    configuration: Mapping[str, Any],
    place: Place,
    model: PetOnTensors,
    task: Task,
    molecules: list[Molecule],
    kind: str,
) -> dict[str, Any]:
    """By quantity, for every record and molecule: change of the total energy in eV per atom, change of the angular
    momentum, and whether the molecule is whole."""
    motion = Motion(model, task, molecules, kind, configuration["step"], configuration["kelvin"], place.seed)
    atoms = torch.bincount(motion.batch)
    begun = {"energy": motion.total_energy(), "angular": motion.angular_momentum()}
    path = place.scratch / f"{kind}.pt"
    step, records = 0, [_record(motion, begun, atoms)]
    if path.is_file():
        stored = torch.load(path, weights_only=True)
        step, records = stored["step"], stored["records"]
        motion.load(stored["state"])
    while step < configuration["steps"]:
        motion.advance()
        step += 1
        if step % configuration["every"] == 0:
            records.append(_record(motion, begun, atoms))
        if step % EVERY_STEPS == 0:
            torch.save({"step": step, "records": records, "state": motion.state()}, path)
    times = [configuration["step"] * configuration["every"] * i for i in range(len(records))]
    return {"fs": times, **{key: [record[key] for record in records] for key in records[0]}}


def _record(motion: Motion, begun: Mapping[str, torch.Tensor], atoms: torch.Tensor) -> dict[str, list[float]]:
    return {
        "energy": ((motion.total_energy() - begun["energy"]) / atoms).tolist(),
        "angular": (motion.angular_momentum() - begun["angular"]).norm(dim=-1).tolist(),
        "whole": motion.whole().tolist(),
    }

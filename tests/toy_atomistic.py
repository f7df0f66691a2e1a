"""A small metatomic model with one output of every kind, and faults on demand.

No postponed annotations here: metatomic compares the annotations of `forward` with types, not with strings.
"""

from typing import Dict, List, Optional  # noqa: UP035 (metatomic asks for exactly these types)

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelMetadata,
    ModelOutput,
    NeighborListOptions,
    System,
)

KINDS = {
    "energy": "atom",
    "non_conservative_force": "atom",
    "toy::multipoles": "system",
    "toy::packed": "system",
    "toy::octupole": "system",
    "toy::by_type": "atom",
    "feature": "atom",
}


def _labels(names, values) -> Labels:
    return Labels(names, torch.as_tensor(values, dtype=torch.int32).reshape(-1, len(names)))


def _single(block: TensorBlock) -> TensorMap:
    return TensorMap(_labels(["_"], [[0]]), [block])


class Toy(torch.nn.Module):
    def __init__(self, fault: str = "", cutoff: float = 2.5):
        super().__init__()
        self.fault = fault
        self.cutoff = cutoff
        self.calls = 0
        self.mix = torch.nn.Linear(2, 4, bias=False)
        torch.nn.init.constant_(self.mix.weight, 0.5)

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:  # noqa: UP006
        return [NeighborListOptions(cutoff=self.cutoff, full_list=True, strict=True)]

    def forward(
        self,
        systems: List[System],  # noqa: UP006
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels] = None,  # noqa: UP045
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        self.calls += 1
        return {name: getattr(self, "_" + name.split("::")[-1])(systems, outputs[name]) for name in outputs}

    def _per_system(self, rows, components, width, name="property") -> TensorBlock:
        samples = _labels(["system"], list(range(len(rows))))
        return TensorBlock(torch.stack(rows), samples, components, _labels([name], list(range(width))))

    def _per_atom(self, rows, components, width, name="property") -> TensorBlock:
        labels = [[s, a] for s, row in enumerate(rows) for a in range(len(row))]
        values = torch.cat(rows)
        if self.fault == "shuffled":  # by atom, then by system
            order = sorted(range(len(labels)), key=lambda k: labels[k][::-1])
            labels, values = [labels[k] for k in order], values[order]
        if self.fault == "reordered":  # the atoms of one copy in an order that depends on the orientation
            order = sorted(range(len(labels)), key=lambda k: (labels[k][0], float(values[k].flatten()[0])))
            labels, values = [labels[k] for k in order], values[order]
        if self.fault == "missing" and float(values.flatten()[0]) < 0:
            labels, values = labels[1:], values[1:]
        samples = _labels(["system", "atom"], labels)
        return TensorBlock(values, samples, components, _labels([name], list(range(width))))

    def _energy(self, systems, request) -> TensorMap:
        rows = []
        for system in systems:
            pairs = system.get_neighbor_list(system.known_neighbor_lists()[0]).values
            rows.append((system.positions**2).sum() + system.positions[:, 0].sum() + pairs.norm(dim=1).sum())
        if self.fault == "nan":
            rows = [row * torch.nan for row in rows]
        if self.fault == "random":
            rows = [row + torch.rand(()) for row in rows]
        return _single(self._per_system([row.reshape(1) for row in rows], [], 1, "energy"))

    def _non_conservative_force(self, systems, request) -> TensorMap:
        rows = [(s.positions * (1 + 0.1 * s.positions[:, :1])).unsqueeze(-1) for s in systems]
        if self.fault == "global":  # an average over the system, which merged copies of one structure would share
            rows = [row * s.positions.norm(dim=1).mean() for row, s in zip(rows, systems, strict=True)]
        return _single(self._per_atom(rows, [_labels(["xyz"], [0, 1, 2])], 1, "non_conservative_force"))

    def _multipoles(self, systems, request) -> TensorMap:
        blocks = []
        for l in range(3):
            rows = []
            for system in systems:
                x, y, z = system.positions.unbind(1)
                parts = (
                    [x * x + y * y + z * z],
                    [y, z, x],
                    [x * y, y * z, (2 * z * z - x * x - y * y) / 12**0.5, x * z, (x * x - y * y) / 2],
                )
                total = torch.stack([part.sum() for part in parts[l]])
                rows.append(torch.stack([total, 2 * total], dim=-1))
            blocks.append(self._per_system(rows, [_labels(["o3_mu"], list(range(-l, l + 1)))], 2))
        return TensorMap(_labels(["o3_lambda", "o3_sigma"], [[0, 1], [1, 1], [2, 1]]), blocks)

    def _packed(self, systems, request) -> TensorMap:
        return _single(self._per_system([s.positions.sum(0) for s in systems], [], 3))

    def _octupole(self, systems, request) -> TensorMap:
        axes = [_labels([f"xyz_{k}"], [0, 1, 2]) for k in (1, 2, 3)]
        rows = [torch.einsum("ia,ib,ic->abc", *[s.positions] * 3).unsqueeze(-1) for s in systems]
        return _single(self._per_system(rows, axes, 1))

    def _by_type(self, systems, request) -> TensorMap:
        types = sorted({int(t) for s in systems for t in s.types})
        blocks = []
        for t in types:
            labels = [[i, a] for i, s in enumerate(systems) for a in range(len(s)) if int(s.types[a]) == t]
            values = torch.stack([systems[i].positions[a, :1] for i, a in labels])
            blocks.append(TensorBlock(values, _labels(["system", "atom"], labels), [], _labels(["property"], [0])))
        return TensorMap(_labels(["center_type"], types), blocks)

    def _feature(self, systems, request) -> TensorMap:
        rows = [self.mix(s.positions[:, :2]) for s in systems]
        return _single(self._per_atom(rows, [], 4))


def toy(
    fault: str = "",
    *,
    dtype: str = "float64",
    length_unit: str = "angstrom",
    outputs=tuple(KINDS),
    devices=("cpu",),
    cutoff: float = 2.5,
) -> AtomisticModel:
    """The model, wrapped; `outputs` are those it declares, `fault` what it does wrong."""
    capabilities = ModelCapabilities(
        outputs={name: ModelOutput(unit="eV" if name == "energy" else "", sample_kind=KINDS[name]) for name in outputs},
        atomic_types=[1, 6, 8],
        interaction_range=cutoff,
        length_unit=length_unit,
        supported_devices=list(devices),
        dtype=dtype,
    )
    module = Toy(fault, cutoff).to(getattr(torch, dtype)).eval()
    return AtomisticModel(module, ModelMetadata(name="toy"), capabilities)

"""The PET of metatrain, called on tensors: rows of all molecules of a batch joined, `batch` saying whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from equiscope.groups.irreps import Irrep, Irreps

from .dataset import ELEMENTS
from .harmonics import embedding
from .triples import EmbeddedAtoms, triple_products

if TYPE_CHECKING:
    from metatrain.pet import PET

SMALL: dict[str, Any] = {
    "d_pet": 64,
    "d_node": 64,
    "d_head": 64,
    "d_feedforward": 128,
    "num_heads": 4,
}
"""About 0.44 million parameters; everything else is metatrain's default."""


class PetOnTensors(torch.nn.Module):
    """The networks of a PET, with outputs of given irreps for every atom, or for every molecule by summing over them.

    Args:
        targets: by target, its outputs by name with Irreps strings of one l such as "3x2e", in the standard basis. As
            in metatrain, outputs of one target share their heads.
        hypers: of metatrain's PET, in place of its defaults.
        edges: the embedding of edge vectors, see `studies.atoms.harmonics`.
        per_system: names of outputs that are sums over atoms.
        present: by output, ``(atomic numbers, multiplicity)``: 0 where an element has no such shell, so that the output
            is 0 there.
        covariant_bias: whether last layers of outputs other than invariants have a bias.
        bias: whether anything has one.
        triples: whether atoms begin with `studies.atoms.triples` beside their element.

    Only metatrain's objects for labelled arrays are left out: structures come in as tensors, and outputs leave as
    tensors ``(n, multiplicity * (2l + 1))``. The numbers are those of metatrain's own forward
    (`test_the_numbers_are_those_of_metatrain`).
    """

    def __init__(
        self,
        targets: Mapping[str, Mapping[str, str]],
        hypers: Mapping[str, Any] = SMALL,
        edges: str = "linear",
        per_system: Sequence[str] = (),
        present: Mapping[str, torch.Tensor] | None = None,
        covariant_bias: bool = True,
        bias: bool = True,
        triples: bool = False,
    ) -> None:
        super().__init__()
        self.targets = {f"mtt::{name}": _terms(outputs) for name, outputs in targets.items()}
        self.per_system = per_system
        for name, mask in (present or {}).items():
            self.register_buffer(f"present_{name}", mask.float(), persistent=False)
        self.backend = pet(self.targets, hypers).backend
        if edges != "linear":
            for layer in self.backend.gnn_layers:
                layer.edge_embedder = embedding(edges, self.backend.d_pet)
        self.triples = triples
        if triples:
            first = self.backend.node_embedders[0]
            self.backend.node_embedders[0] = EmbeddedAtoms(first)
        if not covariant_bias:
            self._drop_biases()
        if not bias:
            for module in self.modules():
                if getattr(module, "bias", None) is not None:
                    module.register_parameter("bias", None)

    def forward(
        self, positions: torch.Tensor, numbers: torch.Tensor, batch: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        if batch is None:
            batch = torch.zeros_like(numbers)
        counts = torch.bincount(batch)
        centers, neighbors = pairs(counts)
        cells = positions.new_zeros(len(counts), 3, 3)
        shifts = centers.new_zeros(len(centers), 3)
        prepared = self.backend.preprocess(
            positions, centers, neighbors, numbers, cells, shifts, batch, cutoff_width_adaptive=1.0
        )
        if self.triples:
            handed = triple_products(positions, numbers, centers, neighbors)
            index = prepared["element_indices_nodes"][:, None].to(handed.dtype)
            prepared["element_indices_nodes"] = torch.cat([index, handed], -1)
        nodes, edges = self.backend.calculate_features(prepared)
        blocks, _, _ = self.backend.predict(nodes, edges, prepared, cells, batch, list(self.targets))
        found = {}
        for target, terms in self.targets.items():
            for (name, term), block in zip(terms.items(), blocks[target], strict=True):
                found[name] = self._output(name, term, block, numbers, batch)
        return found

    def _output(
        self, name: str, term: Irrep, block: torch.Tensor, numbers: torch.Tensor, batch: torch.Tensor
    ) -> torch.Tensor:
        """From metatrain's (m, n) to ``for n: for m``, and to sums over atoms where these are asked for."""
        values = block.reshape(-1, 2 * term.l + 1, term.mul).mT
        present = getattr(self, f"present_{name}", None)
        if present is not None:
            values = values * present[numbers][..., None]
        values = values.flatten(1)
        if name not in self.per_system:
            return values
        return values.new_zeros(int(batch.max()) + 1, values.shape[1]).index_add(0, batch, values)

    def _drop_biases(self) -> None:
        for target, terms in self.targets.items():
            for layers in (self.backend.node_last_layers[target], self.backend.edge_last_layers[target]):
                for term, last in zip(terms.values(), layers[0].values(), strict=True):
                    if (term.l, term.sigma) != (0, 1):
                        last.register_parameter("bias", None)


def pairs(counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All ordered pairs of different atoms of one molecule, for molecules of so many atoms one after the other."""
    first = counts.cumsum(0) - counts
    of = torch.repeat_interleave(counts)
    centers = torch.repeat_interleave(counts[of])
    run = counts[of].cumsum(0) - counts[of]
    neighbors = torch.arange(len(centers), device=counts.device) - run[centers] + first[of][centers]
    apart = centers != neighbors
    return centers[apart], neighbors[apart]


def pet(targets: Mapping[str, Mapping[str, Irrep]], hypers: Mapping[str, Any]) -> PET:
    """metatrain's own model, with a spherical target for every atom for each of these, a block for each term."""
    # figures and tables are made of stored results, without metatrain
    from metatrain.pet import PET
    from metatrain.utils.architectures import get_default_hypers
    from metatrain.utils.data import DatasetInfo
    from metatrain.utils.data.target_info import get_generic_target_info

    def described(terms: Mapping[str, Irrep]) -> Any:
        irreps = [{"o3_lambda": term.l, "o3_sigma": term.sigma, "num": term.mul} for term in terms.values()]
        told = {"quantity": "", "unit": "", "sample_kind": "atom", "num_subtargets": 1}
        return {**told, "type": {"spherical": {"irreps": irreps}}}

    infos = {name: get_generic_target_info(name, described(terms)) for name, terms in targets.items()}
    info = DatasetInfo(length_unit="angstrom", atomic_types=list(ELEMENTS), targets=infos)
    return PET({**get_default_hypers("pet", 32)["model"], **hypers}, info)


def _terms(outputs: Mapping[str, str]) -> dict[str, Irrep]:
    """By output its one term."""
    return {name: Irreps.parse(irreps).terms[0] for name, irreps in outputs.items()}

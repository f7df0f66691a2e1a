"""Between the blocks of a metatensor `TensorMap` and canonical values ``(rows, channels, components)``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap

from ...errors import ModelError, ShapeError, fail
from ...groups.irreps import symbol_of
from ...groups.representation import Representation


@dataclass(frozen=True)
class Layout:
    """How an output of the model is cut into channels and components."""

    shape: tuple[int, ...]
    """One sample in the model's own layout, ``(*components, properties)``, blocks joined along components."""
    components: int
    properties: int
    packed: bool = False
    """The components that are rotated lie along the properties."""
    flat: bool = False
    """Components count as channels: the output has no representation."""

    @classmethod
    def of(cls, name: str, tensor: TensorMap) -> Layout:
        values = _joined(name, tensor)
        blocks = tensor.blocks()
        shape = tuple(blocks[0].values.shape[1:]) if len(blocks) == 1 else tuple(values.shape[1:])
        return cls(shape, values.shape[1], values.shape[2])

    def declared(self, name: str, kind: Representation) -> Layout:
        """The same output read as `kind`; a component-less output may hold the components as properties."""
        if kind.components == self.components:
            return self
        if self.components == 1 and kind.components == self.properties:
            return replace(self, packed=True)
        fail(
            ShapeError,
            f"outputs[{name!r}]",
            f"{kind.components} components, because it is declared {kind.name!r}",
            f"(*components, properties) = {self.shape} from the model",
        )

    def without_representation(self) -> Layout:
        """The same output read as a feature."""
        return replace(self, flat=True)

    def values(self, name: str, tensor: TensorMap) -> torch.Tensor:
        """``(rows, channels, components)``"""
        values = _joined(name, tensor)
        if values.shape[1:] != (self.components, self.properties):
            raise ModelError(
                f"{name}: expected {self.components} components and {self.properties} properties as for the "
                f"first structure, got {values.shape[1]} and {values.shape[2]}"
            )
        values = values if self.packed else values.transpose(1, 2)
        return values.flatten(1).unsqueeze(-1) if self.flat else values

    def native(self, values: torch.Tensor) -> torch.Tensor:
        """``(rows, channels, components)`` in the model's own layout ``(rows, *components, properties)``."""
        if self.flat:
            values = values.reshape(values.shape[0], self.properties, self.components)
        values = values if self.packed else values.transpose(1, 2)
        return values.reshape(values.shape[0], *self.shape)


def representation_of(tensor: TensorMap) -> str:
    """The representation that the labels of `tensor` state.

    No component axis: "scalar". One axis ``xyz``: "vector". Axes ``xyz_1, xyz_2``: "tensor". Keys
    ``o3_lambda`` and ``o3_sigma`` with an axis ``o3_mu`` per block: irreps, in the order of the blocks.

    Raises `ValueError` with the reason where the labels state none of these.
    """
    names = list(tensor.keys.names)
    blocks = tensor.blocks()
    if "o3_lambda" in names and "o3_sigma" in names:
        lambdas, sigmas = (tensor.keys.column(key).tolist() for key in ("o3_lambda", "o3_sigma"))
        return "+".join(_irrep(*item) for item in zip(lambdas, sigmas, blocks, strict=True))
    if len(blocks) != 1:
        raise ValueError(f"{len(blocks)} blocks with keys ({', '.join(names)}), which are no irreps")
    axes = [_axis(component) for component in blocks[0].components]
    kind = {(): "scalar", ("xyz",): "vector", ("xyz_1", "xyz_2"): "tensor"}.get(tuple(axes))
    if kind is None:
        raise ValueError(f"component axes ({', '.join(axes)})")
    if axes and any(component.values.flatten().tolist() != [0, 1, 2] for component in blocks[0].components):
        raise ValueError(f"component axes ({', '.join(axes)}) that are not labelled 0, 1, 2")
    return kind


def _irrep(l: int, sigma: int, block: TensorBlock) -> str:
    axes = [_axis(component) for component in block.components]
    if axes != ["o3_mu"] or block.components[0].values.flatten().tolist() != list(range(-l, l + 1)):
        raise ValueError(f"a block of o3_lambda {l} with component axes ({', '.join(axes)})")
    if l < 0 or sigma not in (-1, 1):
        raise ValueError(f"o3_lambda {l} and o3_sigma {sigma}")
    return f"1x{symbol_of(l, sigma)}"


def _axis(component: Labels) -> str:
    return ",".join(component.names)


def _joined(name: str, tensor: TensorMap) -> torch.Tensor:
    """All blocks along one axis of components: ``(rows, components, properties)``."""
    blocks = tensor.blocks()
    if not blocks:
        raise ModelError(f"{name}: expected at least one block, got none")
    first = blocks[0]
    for other in blocks[1:]:
        for part in ("samples", "properties"):
            if getattr(other, part) != getattr(first, part):
                raise ModelError(
                    f"{name}: expected the same {part} in all of its {len(blocks)} blocks, got {part} that "
                    "differ; such outputs are not supported, the model must offer the blocks one by one"
                )
    values = [block.values.detach() for block in blocks]
    if not values[0].is_floating_point():
        raise ModelError(f"{name}: expected floating-point values, got {values[0].dtype}")
    values = [v.flatten(1, -2) if v.ndim > 2 else v.unsqueeze(1) for v in values]
    return values[0] if len(values) == 1 else torch.cat(values, dim=1)

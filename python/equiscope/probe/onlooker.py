"""Looks at the outputs of one system on their way, for the picture of the system with the largest error."""

from __future__ import annotations

import torch

from ..adapters.points import Points
from ..groups.representation import Representation
from ..measure.directions import DEGREE, DirectionMoments, directions
from ..measure.measure import Measure
from ..measure.summary import OrbitSummary
from ..ops.rotation import rotate_copies
from ..result.scene import Scene
from .rehearsal import Begin

Kinds = dict[str, Representation]


class Onlooker:
    """What a `Scene` is made of, of one system in progress: its points, and moments of its outputs by direction."""

    def __init__(self, begin: Begin, points: Points, measure: Measure, kinds: Kinds) -> None:
        self._points = points
        self._kinds = kinds
        self._given = {name: begin.values[name] for name in kinds}
        self._system = begin.system.name
        self._moments = DirectionMoments(measure.elements(self._system), measure.group, self._given, kinds)

    def extend(self, measure: Measure) -> None:
        """The orbit goes on with further elements."""
        self._moments.extend(measure.elements(self._system))

    def update(self, values: dict[str, torch.Tensor]) -> None:
        """The values on the next elements."""
        self._moments.update({name: values[name] for name in self._kinds})

    def scene(self, name: str, orbit: OrbitSummary, rmse: float, rotation: torch.Tensor) -> Scene | None:
        """Of the output `name`, with the element `rotation` at which it is farthest off."""
        if orbit.mean is None or orbit.worst_value is None or orbit.worst_index is None:
            return None
        mesh, areas = directions(torch.device("cpu"))
        points = self._points
        return Scene(
            system=self._system,
            rmse=rmse,
            input=points.name,
            positions=points.positions,
            types=points.types,
            atomic=points.atomic,
            cell=points.cell,
            pbc=points.pbc,
            rotation_index=orbit.worst_index,
            rotation=rotation.cpu(),
            given=_host(self._given[name]),
            mean=_host(orbit.mean),
            found=self._turned(name, orbit.worst_value, rotation),
            expected=self._turned(name, orbit.mean, rotation),
            axis=self._moments.axis,
            directions=mesh,
            areas=areas,
            squares=_host(self._moments.squares(name, orbit.mean)),
            weights=_host(self._moments.weights),
            degree=DEGREE,
        )

    def _turned(self, name: str, values: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
        kind = self._kinds[name]
        rows = values.double().reshape(1, -1, kind.components)
        return _host(rotate_copies(kind, rows, rotation.to(values.device)[None]).reshape(values.shape))


def _host(value: torch.Tensor) -> torch.Tensor:
    # a view would hold the memory of the batch it came in
    return value.detach().to("cpu", torch.float64, copy=True)

"""Calls of a metatomic model on copies of several structures, as canonical values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from metatensor.torch import Labels
from metatomic.torch import ModelOutput

from ...errors import ModelError
from .blocks import Layout
from .calls import Calls, Outputs
from .copies import Template, Turns
from .merged import Merged
from .samples import Samples

Values = dict[str, list[torch.Tensor]]
"""Per output one tensor per structure, ``(copies, samples, channels, components)``."""


class Batches:
    """Evaluates copies of several structures at once, with a `System` for each (`single`) or one for all (`merged`).

    Both give the same where the model sees nothing of a system but the neighbours of each atom.
    """

    def __init__(
        self, calls: Calls, request: Mapping[str, ModelOutput], layouts: Mapping[str, Layout], dtype: torch.dtype
    ) -> None:
        self._calls = calls
        self._request = request
        self._atomic = {name: ModelOutput(unit=o.unit, sample_kind="atom") for name, o in request.items()}
        self._layouts = layouts
        self._dtype = dtype
        self._samples, self._atom_samples = Samples(), Samples()
        self._last: tuple[list[Template], Merged] | None = None

    def single(self, structures: Sequence[str], templates: Sequence[Template], turns: Sequence[Turns]) -> Values:
        """All copies of each structure, one by one."""
        systems = [
            copy
            for t, turn in zip(templates, turns, strict=True)
            for copy in t.copies(turn.rotations, self._dtype, turn.dither)
        ]
        returned = self._calls(systems, self._request)
        copies = [len(turn.rotations) for turn in turns]
        found = {}
        for name in self._layouts:
            values, samples = self._canonical(name, returned)
            found[name] = self._samples.split(name, samples.names, samples.values, values, structures, copies)
        return found

    def merged(self, structures: Sequence[str], templates: Sequence[Template], turns: Sequence[Turns]) -> Values:
        """All copies as parts of one system; what belongs to a whole structure is summed over its atoms."""
        copies = [len(turn.rotations) for turn in turns]
        merged = self._plan(templates, copies)
        returned = self._calls([merged.system(templates, turns, self._dtype)], self._atomic)
        found = {}
        for name in self._layouts:
            values, samples = self._canonical(name, returned)
            parts = self._atom_samples.split(name, *merged.labels(name, samples), values, structures, copies)
            if self._request[name].sample_kind == "system":
                parts = [part.sum(1, keepdim=True, dtype=torch.float64).to(part.dtype) for part in parts]
            found[name] = parts
        return found

    def _plan(self, templates: Sequence[Template], copies: Sequence[int]) -> Merged:
        """The layout of the last batch again where this one has the same structures and numbers of copies."""
        if self._last is not None:
            known, merged = self._last
            same = len(known) == len(templates) and all(a is b for a, b in zip(known, templates, strict=True))
            if same and merged.counts == tuple(copies):
                return merged
        merged = Merged.of(templates, copies)
        self._last = (list(templates), merged)
        return merged

    def _canonical(self, name: str, returned: Outputs) -> tuple[torch.Tensor, Labels]:
        """Values ``(rows, channels, components)`` of an output, and whose rows they are."""
        if name not in returned:
            raise ModelError(f"{name}: expected this output from every call of the model, got none")
        return self._layouts[name].values(name, returned[name]), returned[name].block(0).samples

    def forget(self, *structures: str) -> None:
        """Drop what is known of the rows of finished structures."""
        for samples in (self._samples, self._atom_samples):
            samples.forget(*structures)

"""An error that names an argument names one of the function that was called."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import equiscope as eq
import equiscope.numpy as en
from equiscope import groups
from equiscope.dropin import e3nn, fairchem
from equiscope.errors import EquiscopeError
from equiscope.metrics import CharacterSpectrum, EquivarianceError
from equiscope.training import SymmetryTracker

R, GRID = eq.random_rotations(4, generator=torch.Generator().manual_seed(0)), eq.quadrature(2)
X, VALUES = torch.ones(4, 3, dtype=R.dtype), torch.ones(len(GRID), 2)
GRID_OF_ARRAYS = en.quadrature(2)


def model(pos: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"u": pos.norm(dim=-1).sum(-1)}


DATA = [{"pos": torch.randn(3, 3, generator=torch.Generator().manual_seed(1))}]
AUDIT: dict[str, Any] = {
    "model": model, "data": DATA, "inputs": {"pos": "vector"}, "outputs": {"u": "scalar"}, "lmax": 0, "degree": 2,
}  # fmt: skip
REPORT = eq.audit(**AUDIT, progress=False)


class Reached(BaseException):
    """All arguments were taken: the model is called."""


def reached(pos: torch.Tensor) -> None:
    raise Reached


AUDIT["model"] = reached

NOISE: tuple[Any, ...] = (
    *(None, True, -1, 0, 7, 2**40, -0.5, float("nan"), "", "x", "1x-1o", "tensor(9)", "2x999e", "vector[1:3]"),
    *(b"x", [], (), {}, {"x": 1}, ["1x1o"], {"vector": 3}, object(), np.zeros(2), torch.zeros(3), torch.zeros(4, 3, 3)),
    *(torch.float16, torch.full((4, 3), torch.nan), 2 * torch.eye(3), torch.eye(3, dtype=torch.complex64)),
)
"""What no argument means, or hardly any."""

ANGLES = dict.fromkeys(("alpha", "beta", "gamma"), torch.zeros(2))
E3NN: dict[str, dict[str, Any]] = {
    "spherical_harmonics": {"l": 1, "x": X, "normalize": True},
    "wigner_D": {"l": 1, **ANGLES},
}
FAIRCHEM: dict[str, dict[str, Any]] = {
    "axis_angle_wigner_hybrid": {"edge_distance_vec": X, "lmax": 1},
    "rotation_to_wigner": {"edge_rot_mat": R, "start_lmax": 0, "end_lmax": 1},
}

CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "wigner_D": (eq.wigner_D, {"rotations": R, "lmax": 1}),
    "spherical_harmonics": (eq.spherical_harmonics, {"xyz": X, "lmax": 1}),
    "rotate": (eq.rotate, {"x": X, "rotations": R, "rep": "vector"}),
    "quadrature": (eq.quadrature, {"degree": 2}),
    "random_rotations": (eq.random_rotations, {"n": 2}),
    "character_power": (eq.character_power, {"values": VALUES, "quadrature": GRID, "lmax": 1}),
    "Representation.parse": (eq.Representation.parse, {"rep": "vector"}),
    "Irreps.parse": (eq.Irreps.parse, {"text": "1x1o"}),
    "Concat": (eq.Concat, {}),
    "SO2": (groups.SO2, {}),
    "O2": (groups.O2, {}),
    "EquivarianceError": (EquivarianceError, {"representation": "vector", "quadrature": GRID}),
    "EquivarianceError.update": (EquivarianceError("scalar", GRID).update, {"values": VALUES}),
    "CharacterSpectrum": (CharacterSpectrum, {"lmax": 1, "quadrature": GRID}),
    "CharacterSpectrum.update": (CharacterSpectrum(1, GRID).update, {"values": VALUES}),
    "numpy.wigner_D": (en.wigner_D, {"rotations": R.numpy(), "lmax": 1}),
    "numpy.spherical_harmonics": (en.spherical_harmonics, {"xyz": X.numpy(), "lmax": 1}),
    "numpy.rotate": (en.rotate, {"x": X.numpy(), "rotations": R.numpy(), "rep": "vector"}),
    "numpy.quadrature": (en.quadrature, {"degree": 2}),
    "numpy.random_rotations": (en.random_rotations, {"n": 2}),
    "numpy.character_power": (en.character_power, {"values": VALUES.numpy(), "quadrature": GRID_OF_ARRAYS, "lmax": 1}),
    **{f"e3nn.{name}": (getattr(e3nn, name), E3NN[name]) for name in e3nn.__all__},
    **{f"fairchem.{name}": (getattr(fairchem, name), FAIRCHEM[name]) for name in fairchem.__all__},
    "audit": (eq.audit, {**AUDIT, "progress": False}),
    "assert_equivariant": (eq.testing.assert_equivariant, AUDIT),
    "symmetrize": (eq.symmetrize, {"model": reached, "inputs": {"pos": "vector"}, "outputs": "scalar", "degree": 2}),
    "compare": (eq.compare, {"audits": {"one": REPORT, "two": REPORT}}),
    "diagnose": (eq.diagnose, {**AUDIT, "targets": {"u": [torch.zeros(())]}}),
    "SymmetryTracker": (SymmetryTracker, {"data": DATA, "inputs": {"pos": "vector"}, "outputs": {"u": "scalar"}}),
    "Audit.save": (REPORT.save, {"directory": "/dev/null/nowhere"}),
    "Audit.load": (eq.Audit.load, {"directory": "/dev/null/nowhere"}),
    "Audit.plot": (REPORT.plot, {"kind": "none"}),
    "Audit.to_pandas": (REPORT.to_pandas, {}),
    "Audit.to_csv": (REPORT.to_csv, {}),
}


def wrong(function: Callable[..., Any], right: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Calls with one argument that means nothing, or with one too few."""
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            yield from ({**right, name: value} for value in NOISE)


def named(error: BaseException) -> list[str]:
    """What a message in the one format of the library names; files are no arguments, and keep their suffix."""
    found = re.match(r"((?:[^:'\"\[]|'[^']*'|\"[^\"]*\"|\[[^\]]*\])*): expected", str(error))
    parts = found[1].split(", ") if found else []
    return [part if part.endswith(".json") else re.split(r"[\[.( ]", part)[0] for part in parts]


def test_every_public_function_is_called_here():
    rooms = {"": eq, "numpy.": en, "e3nn.": e3nn, "fairchem.": fairchem}
    public = {f"{room}{name}" for room, module in rooms.items() for name in module.__all__ if name != "info"}
    asked = {
        name for name in public if inspect.isroutine(getattr(rooms[name[: name.find(".") + 1]], name.split(".")[-1]))
    }
    assert asked <= set(CALLS) and len(asked) > 15


@pytest.mark.usefixtures("blank_pictures")
@pytest.mark.parametrize("case", CALLS)
def test_errors_name_arguments_of_the_signature(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, right = CALLS[case]
    known = {*inspect.signature(function).parameters, "pos", "u", "audit.json"}
    if "settings" in known or "asked" in known:  # what an audit takes
        known |= {*inspect.signature(eq.audit).parameters}
    strange, refused = set(), 0
    for arguments in wrong(function, right):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function(**arguments)
        except EquiscopeError as error:
            refused += 1
            if not set(named(error)) <= known:
                strange.add(str(error)[:160])
        except Reached:
            pass
    assert refused > 5 and not strange


@pytest.mark.parametrize(
    "call, argument",
    [
        (lambda: eq.rotate(X, R, "vectors"), "rep"),
        (lambda: en.rotate(X.numpy(), R.numpy(), "vectors"), "rep"),
        (lambda: eq.Representation.parse("tensor(ij=-ij)"), "rep"),
        (lambda: eq.Irreps.parse("1x0"), "text"),
        (lambda: EquivarianceError("vectors", GRID), "representation"),
        (lambda: CharacterSpectrum(1, GRID, representation="vectors"), "representation"),
        (lambda: eq.audit(**{**AUDIT, "outputs": {"u": "vectors"}}), "outputs"),
        (lambda: e3nn.spherical_harmonics("1x0", X, True), "l"),
        (lambda: e3nn.spherical_harmonics(1, X[0, :2], True), "x"),
        (lambda: fairchem.rotation_to_wigner(2 * R, 0, 1), "edge_rot_mat"),
        (lambda: eq.audit(**AUDIT, out="/dev/null/nowhere"), "out"),
    ],
)
def test_the_argument_is_the_one_that_is_wrong(call, argument):
    with pytest.raises(EquiscopeError) as caught:
        call()
    assert named(caught.value) == [argument]

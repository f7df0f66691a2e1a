"""Numbers of `metatomic.torch.o3.SymmetrizedModel` 0.1.19 for a trained PET model, laid out as an audit.

Made with lmax 4 on the grid of degree 8. Unlabelled outputs, which the file keys "all" or "_=0", are
invariants here: target (0, +1).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch

DATA = Path(__file__).parent / "data"
MODEL = DATA / "pet_model_f64.pt"
STRUCTURES = DATA / "pet_structures.npz"
FRAMES = DATA / "pet_structures.xyz"
LMAX = 4
DEGREE = 8
NAMES = ("water", "ethanol", "cell")
FEATURES = ("feature", "mtt::aux::energy_last_layer_features")
TARGETS = {
    "energy": ((0, 1),),
    "non_conservative_force": ((1, 1),),
    "non_conservative_stress": ((0, 1), (1, -1), (2, 1)),
    "feature": ((0, 1),),
    "mtt::aux::energy_last_layer_features": ((0, 1),),
}
"""Irreps (lambda, sigma) of each output."""
ATOMS = {"water": 3, "ethanol": 9, "cell": 6}


@functools.cache
def _file() -> dict[str, np.ndarray]:
    with np.load(DATA / "pet_reference_f64_L4.npz") as archive:
        return {key: archive[key] for key in archive.files}


def outputs(name: str) -> list[str]:
    """The outputs that the reference has for a structure; stress for the periodic one only."""
    return [output for output in TARGETS if f"{name}/average/{output}/_=0" in _file()]


def grid() -> tuple[torch.Tensor, torch.Tensor]:
    """``(684, 3, 3)`` elements of O(3), the coset +1 first, and their weights, which sum to 1."""
    proper = torch.from_numpy(_file()["grid/rotations"])
    weights = torch.from_numpy(_file()["grid/weights_so3"])
    return torch.cat([proper, -proper]), torch.cat([weights, weights]) / 2


def reference(name: str, kind: str, output: str) -> Any:
    """The reference for one structure and output.

    kind "mean": the symmetrised output ``(samples, *components, properties)``.
    kind "variance": dict from target irrep to A ``(samples, channels)``, divided by the number of components.
    kind "power": dict from target irrep to B ``(lmax + 1, 2, samples, channels)``, sigma = +1, -1, summed
    over the components of the target.
    """
    if kind == "mean":
        return torch.from_numpy(_file()[f"{name}/average/{output}/_=0"])
    return {target: _of_target(name, kind, output, target) for target in TARGETS[output]}


def _of_target(name: str, kind: str, output: str, target: tuple[int, int]) -> torch.Tensor:
    folder = f"{name}/{ {'variance': 'variance', 'power': 'character'}[kind] }/{output}"
    labelled = f"{folder}/o3_lambda={target[0]}__o3_sigma={target[1]}"
    unlabelled = f"{folder}/{'_=0' if kind == 'variance' else 'all'}"
    array = torch.from_numpy(_file()[labelled if labelled in _file() else unlabelled])
    # (l, sigma, samples, [components,] properties): unlabelled outputs have no axis of components
    return array.sum(dim=3) if kind == "power" and array.ndim == 5 else array


def total_variance(name: str, output: str) -> torch.Tensor:
    """A of all components together: ``sum_targets (2 lambda + 1) A / sum_targets (2 lambda + 1)``."""
    parts = reference(name, "variance", output)
    return sum((2 * lam + 1) * a for (lam, _), a in parts.items()) / sum(2 * lam + 1 for lam, _ in parts)


def total_power(name: str, output: str) -> torch.Tensor:
    """B of all components together."""
    return sum(reference(name, "power", output).values())


def rows(name: str, output: str, names: tuple[str, ...] = NAMES) -> slice:
    """Where the samples of `name` lie among those of `names`, joined in that order (``keep="samples"``)."""
    counts = {n: ATOMS[n] if output not in ("energy", "non_conservative_stress") else 1 for n in names}
    start = sum(counts[n] for n in names[: names.index(name)])
    return slice(start, start + counts[name])


def relative_difference(actual: torch.Tensor, expected: torch.Tensor, scale: float = 0.0) -> float:
    """Largest absolute difference over `scale`, or over the largest absolute value of the reference."""
    assert tuple(actual.shape) == tuple(expected.shape), f"{tuple(actual.shape)} is not {tuple(expected.shape)}"
    return float((actual.to(torch.float64) - expected).abs().max()) / (scale or float(expected.abs().max()))


def scale(name: str, kind: str, output: str) -> float:
    """The largest value in any target: the antisymmetric stress of this model is round-off and no scale."""
    return max(float(part.abs().max()) for part in reference(name, kind, output).values())


def differences(result: Any, name: str, output: str, names: tuple[str, ...] = NAMES) -> dict[str, float]:
    """Relative differences between one entry of an audit with ``keep="samples"`` and the reference.

    `result` is an `Output` (keys mean, variance, power and per target "variance (l, s)", "power (l, s)") or
    the `Spectrum` of a layer (key power). `names` are the structures of the audit in order.
    """
    own = rows(name, output, names)
    found = {"power": relative_difference(result.power[:, :, own], total_power(name, output))}
    if not hasattr(result, "parts"):
        return found
    found["mean"] = relative_difference(result.mean[own], reference(name, "mean", output))
    found["variance"] = relative_difference(result.variance[own], total_variance(name, output))
    for target, variance in reference(name, "variance", output).items():
        found[f"variance {target}"] = relative_difference(
            result.parts[target].variance[own], variance, scale(name, "variance", output)
        )
    for target, power in reference(name, "power", output).items():
        found[f"power {target}"] = relative_difference(
            result.parts[target].power[:, :, own], power, scale(name, "power", output)
        )
    return found

"""Synthetic audits whose every number is known: what the report is tested with, free of any model."""

from __future__ import annotations

import math
from typing import Any

import torch

from equiscope.groups import SO3, Chart
from equiscope.report import Audit, Failure, Output, Part, Spectrum, SystemRow, Worst

EPS = {"float16": 9.8e-4, "float32": 1.2e-7, "float64": 2.2e-16}


def shares(lmax: int, decay: float, pseudo: float, start: int = 0) -> torch.Tensor:
    """``(lmax + 1, 2)`` geometric spectrum from l = `start`, the pseudo column `pseudo` times the proper
    one."""
    power = torch.zeros(lmax + 1, 2, dtype=torch.float64)
    for lam in range(start, lmax + 1):
        power[lam, 0] = decay ** (lam - start)
        power[lam, 1] = pseudo * decay ** (lam - start) if lam else pseudo * decay**2
    return power / power.sum()


def closed(lmax: int, *filled: tuple[int, int, float]) -> torch.Tensor:
    """``(lmax + 1, 2)`` with only the sectors ``(l, sigma, share)`` that are named."""
    power = torch.zeros(lmax + 1, 2, dtype=torch.float64)
    for lam, sigma, share in filled:
        power[lam, (1 - sigma) // 2] = share
    return power / power.sum()


def spectrum(
    name: str,
    power: torch.Tensor,
    *,
    size: float = 1.0,
    unresolved: float = 0.0,
    dtype: str = "float32",
    error: float = 0.0,
    degree: int = 20,
    samples: int = 240,
    channels: int = 64,
) -> Spectrum:
    """A layer with root mean square `size`; `unresolved` and `error` (at l = lmax) are shares of its power."""
    total = size**2
    return Spectrum(
        name=name,
        power=power * total * (1 - unresolved),
        total=torch.tensor(total, dtype=torch.float64),
        unresolved=torch.tensor(total * unresolved, dtype=torch.float64),
        degree=degree,
        power_error=error
        * total
        * torch.linspace(0.1, 1, power.shape[0], dtype=torch.float64)[:, None].expand(-1, 2) ** 2,
        samples=samples,
        channels=channels,
        noise=0.0,
        dtype=dtype,
        noise_floor=4 * EPS[dtype] * size,
    )


def output(
    name: str,
    representation: str,
    target: tuple[int, int],
    *,
    relative: float,
    size: float = 1.0,
    lmax: int = 8,
    dtype: str = "float32",
    decay: float = 0.3,
    samples: int = 40,
    stochastic: bool = False,
    unresolved: float = 0.0,
    worst: str | None = "system_7",
    degree: int = 20,
) -> Output:
    """An output of one irrep whose relative error is `relative`, all of it in wrong irreps."""
    components = 2 * target[0] + 1 if target[0] else 1
    total = size**2 * components
    error = relative**2 * total
    power = shares(lmax, decay, 0.05, start=1)
    power[target[0], (1 - target[1]) // 2] = 0
    power *= error * (1 - unresolved) / power.sum()
    power[target[0], (1 - target[1]) // 2] = total - error
    variance = torch.tensor(error / components, dtype=torch.float64)
    rmse = math.sqrt(float(variance))
    rotation = torch.diag(torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64))
    return Output(
        name=name,
        power=power,
        total=torch.tensor(total, dtype=torch.float64),
        unresolved=torch.tensor(error * unresolved, dtype=torch.float64),
        degree=degree,
        samples=samples,
        channels=1,
        noise=0.05 * size if stochastic else 0.0,
        dtype=dtype,
        representation=representation,
        components=components,
        variance=variance,
        rmse=rmse,
        relative=relative,
        noise_floor=0.05 * size if stochastic else 4 * EPS[dtype] * size,
        stochastic=stochastic,
        worst=Worst(worst, 17, rotation, 3 * rmse) if worst else None,
        parts={target: Part(variance=variance.clone(), rmse=rmse, power=power.clone())},
    )


def rows(count: int, outputs: dict[str, Output], layers: dict[str, Spectrum], seed: int = 0) -> list[SystemRow]:
    """Per-system scalars scattered about the pooled ones."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    spread = {name: torch.exp(0.6 * torch.randn(count, generator=generator, dtype=torch.float64)) for name in outputs}
    for i in range(count):
        scatter = {name: float(s[i] / s.square().mean().sqrt()) for name, s in spread.items()}
        found.append(
            SystemRow(
                name=f"system_{i}",
                rows=3 + i % 18,
                outputs={
                    name: {
                        "rmse": o.rmse * scatter[name],
                        "relative": o.relative * scatter[name],
                        "noise": o.noise,
                        "total": o.pooled_total,
                        "unresolved": o.pooled_unresolved,
                        "worst_deviation": 3 * o.rmse,
                    }
                    for name, o in outputs.items()
                },
                layers={
                    name: {
                        "total": s.pooled_total,
                        "unresolved": s.pooled_unresolved,
                        **{f"share_l{lam}": float(v) for lam, v in enumerate(s.fractions.sum(dim=1))},
                        **({"rmse": s.rmse, "relative": s.relative} if isinstance(s, Output) else {}),
                    }
                    for name, s in layers.items()
                },
            )
        )
    return found


def convergence(outputs: dict[str, Output], layers: dict[str, Spectrum]) -> list[dict[str, Any]]:
    """Three degrees whose change falls tenfold each."""
    return [
        {
            "degree": degree,
            "rotations": 2 * 20 * (degree + 1),
            "change": change,
            "variance": {n: float(o.variance.mean()) * (1 + off) for n, o in outputs.items()},
            "power": {n: (s.pooled_power * (1 + off)).tolist() for n, s in {**layers, **outputs}.items()},
        }
        for degree, change, off in ((8, None, 0.3), (14, 0.21, 0.02), (20, 0.018, 0.0))
    ]


def realistic(systems: int = 40, depth: int = 8) -> Audit:
    """An unconstrained model: spectra that grow from the embedding on, three outputs, one outlier."""
    names = [
        "embedding",
        *(f"encoder.layers.{i // 2}.{('attention', 'feed_forward')[i % 2]}" for i in range(depth - 2)),
        "heads.energy.hidden",
    ][:depth]
    layers = {}
    for i, name in enumerate(names):
        grown = i / max(depth - 1, 1)
        layers[name] = spectrum(
            name,
            shares(8, 0.03 + 0.3 * math.sin(math.pi * grown), 1e-7 * 10 ** (6 * grown)),
            size=1 + i,
            unresolved=10 ** (-7 + 5.2 * grown),
            error=1e-10 * 10 ** (5 * grown),
        )
    outputs = {
        "energy": output("energy", "scalar", (0, 1), relative=3e-4, size=41.0),
        "dipole": output("dipole", "vector", (1, 1), relative=0.021, size=1.6),
        "charge": output("charge", "scalar", (0, 1), relative=1.2e-7, size=0.4),
    }
    table = rows(systems, outputs, layers)
    if systems > 7:
        table[7].outputs["dipole"]["rmse"] *= 8
        table[7].outputs["dipole"]["relative"] *= 8
    return Audit(
        outputs=outputs,
        layers=layers,
        systems=table,
        warnings=["TF32 is allowed in matrix products."],
        convergence=convergence(outputs, layers),
        settings={
            "model": "MessagePassingTransformer (116 954 parameters)",
            "data": "molecules.xyz",
            "lmax": 8,
            "degree": 20,
            "rotations": 3360,
            "group": "O3",
            "dtype": "float32",
            "device": "cpu",
            "keep": "scalars",
            "tolerance": 0.02,
            "batch": 512,
            "inputs": {"positions": "vector", "species": "invariant"},
            "outputs": {name: o.representation for name, o in outputs.items()},
        },
        environment={
            "versions": {"equiscope": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"},
            "isa": "avx512",
            "threads": 2,
            "date": "2026-11-23T10:12:00+00:00",
        },
        timings={"total": 83.2, "model": 61.5, "projection": 9.1, "evaluations": 134400},
    )


def with_samples() -> Audit:
    """A small audit with ``keep="samples"``: every tensor of the data classes is filled."""
    generator = torch.Generator().manual_seed(3)
    lmax, samples, channels, comps = 3, 5, 2, 3

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    def fields(name: str) -> dict[str, Any]:
        power, unresolved = random(lmax + 1, 2, samples, channels), 0.01 * random(samples, channels)
        return {
            "name": name,
            "power": power,
            "total": power.sum(dim=(0, 1)) + unresolved,
            "unresolved": unresolved,
            "degree": 8,
            "power_error": 1e-3 * random(lmax + 1, 2),
            "samples": samples,
            "channels": channels,
            "noise": 1e-17,
            "sample_system": torch.tensor([0, 0, 1, 1, 1]),
        }

    variance = 1e-3 * random(samples, channels)
    dipole = Output(
        **fields("dipole"),
        representation="vector",
        components=comps,
        mean=random(samples, comps, channels),
        variance=variance,
        rmse=math.sqrt(float(variance.mean())),
        relative=0.02,
        noise_floor=1e-15,
        worst=Worst("water", 3, torch.eye(3, dtype=torch.float64), 0.07),
        parts={
            (1, 1): Part(variance.clone(), 0.03, random(lmax + 1, 2, samples, channels)),
            (2, -1): Part(variance.clone().float(), 0.04, random(lmax + 1, 2, samples, channels)),
        },
    )
    layers: dict[str, Spectrum] = {name: Spectrum(**fields(name)) for name in ("first", "second/with slash")}
    layers["first/power"] = Output(
        **fields("first/power"),
        representation="1x1o",
        components=3,
        rmse=0.01,
        relative=0.02,
        parts={(1, 1): Part(variance.clone(), 0.01, random(lmax + 1, 2, samples, channels))},
    )
    outputs = {"dipole": dipole}
    return Audit(
        outputs=outputs,
        layers=layers,
        systems=rows(2, outputs, layers),
        failures=[
            Failure("bad", "dipole", "non-finite value", 5, -torch.eye(3, dtype=torch.float64)),
            Failure("worse", "model", "raised"),
        ],
        settings={"lmax": lmax, "keep": "samples"},
    )


def hostile() -> Audit:
    """Names that would break markup, paths and templates, and numbers that are not finite."""
    evil = "<script>alert('x')</script> & \"q\" [bold]/../`{{ 7*7 }}"
    layers = {evil: spectrum(evil, shares(4, 0.1, 0.01))}
    outputs = {evil: output(evil, "scalar", (0, 1), relative=0.01, lmax=4, worst=evil)}
    outputs[evil].noise_floor = math.nan
    table = rows(3, outputs, layers)
    table[0].name = evil
    table[1].outputs[evil]["rmse"] = math.nan
    table[2].outputs[evil]["relative"] = math.inf
    return Audit(
        outputs=outputs,
        layers=layers,
        systems=table,
        failures=[Failure(evil, evil, evil)],
        warnings=[evil],
        settings={"model": evil, "data": evil, "nothing": None, "bad": -math.inf},
        environment={"host": evil},
    )


OCTAHEDRAL = Chart(
    group="Oh",
    lmax=3,
    labels=("A1g", "Eg", "T1u", "T2g", "A2u", "T2u"),
    shape=(6,),
    axes=("irrep",),
    names=("A1g", "Eg", "T1u", "T2g", "A2u", "T2u"),
    symbols=("A1g", "Eg", "T1u", "T2g", "A2u", "T2u"),
    columns=(0, 1, 2, 3, 4, 5),
    headings=("A1g", "Eg", "T1u", "T2g", "A2u", "T2u"),
    axis="irrep",
    families=(0,) * 6,
    family_names=("",),
)
"""Of a group that nobody knows by name: its irreps are strings, in no order and in no families."""


def of_chart(chart: Chart, carried: Any, wrong: Any, *, samples: int = 0) -> Audit:
    """An audit on another group: two layers, the second with the irrep `wrong` that the first lacks, an exact output
    and one that is declared to be `carried` and breaks it into `wrong`; arrays per sample where there are any."""

    def power(**parts: float) -> torch.Tensor:
        found = torch.zeros(chart.shape, dtype=torch.float64)
        for kind, share in parts.items():
            found[chart.place({"trivial": chart.labels[0], "carried": carried, "wrong": wrong}[kind])] += share
        return found.unsqueeze(-1).unsqueeze(-1).expand(*chart.shape, samples, 2).clone() if samples else found

    def fields(name: str, held: torch.Tensor) -> dict[str, Any]:
        total = held.sum(dim=tuple(range(len(chart.shape))))
        return {
            "name": name,
            "power": held,
            "total": total,
            "unresolved": torch.zeros_like(total),
            "degree": 12 if chart.counts else None,
            "power_error": 1e-12 * torch.ones(chart.shape, dtype=torch.float64),
            "samples": max(samples, 4),
            "channels": 2,
            "noise": 0.0,
            "dtype": "float32",
            "chart": chart,
        }

    layers: dict[str, Spectrum] = {
        "first": Spectrum(**fields("first", power(trivial=0.8, carried=0.2))),
        "second": Spectrum(**fields("second", power(trivial=0.7, carried=0.295, wrong=0.005))),
    }
    outputs: dict[str, Output] = {}
    beyond = chart.lmax + 1 if isinstance(carried, int) else "beyond"
    for name, error in (("exact", 0.0), ("broken", 1e-4)):
        held = power(carried=3.0 - 3 * error, wrong=3 * error)
        variance = torch.tensor(error, dtype=torch.float64)
        outputs[name] = Output(
            **fields(name, held),
            representation="vector",
            components=3,
            variance=variance,
            rmse=math.sqrt(error),
            relative=math.sqrt(error),
            noise_floor=1e-7,
            worst=Worst("system_0", 1, torch.eye(3, dtype=torch.float64), 2 * math.sqrt(error)),
            parts={carried: Part(variance, math.sqrt(error), held), beyond: Part(variance, 0.0, 0 * held)},
        )
    return Audit(
        outputs=outputs,
        layers=layers,
        systems=rows(3, outputs, {}),
        settings={
            "model": "Model",
            "group": chart.group,
            "lmax": chart.lmax,
            "rotations": 48,
            "inputs": {"x": "vector"},
            **({"degree": 12} if chart.counts else {}),
        },
    )


def rotations_only() -> Audit:
    """On SO(3): labels are numbers, and nothing has a sigma."""
    return of_chart(SO3().chart(8), 1, 2)


def octahedral() -> Audit:
    """On a finite group that only its chart describes."""
    return of_chart(OCTAHEDRAL, "T1u", "T2u")


def octahedral_samples() -> Audit:
    return of_chart(OCTAHEDRAL, "T1u", "T2u", samples=5)

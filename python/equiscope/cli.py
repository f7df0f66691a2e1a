"""Command line: ``equiscope audit``, ``equiscope demo``, ``equiscope info``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from equiscope.report import Audit

app = typer.Typer(
    name="equiscope",
    help="Symmetry audit of 3-D machine-learning models: equivariance errors and irrep spectra.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)

OutOption = Annotated[Path | None, typer.Option("--out", help="Directory for numbers, pictures and index.html.")]
DEGREES = "an integer from 0 to 131"
DegreeOption = Annotated[str, typer.Option(help='Degree of the grid, 0..131, or "auto".')]
LmaxOption = Annotated[int, typer.Option(help="Highest l resolved.")]


@app.command()
def audit(
    model: Annotated[str, typer.Argument(help="A metatomic .pt file, or package.module:factory (a callable).")],
    data: Annotated[Path, typer.Argument(help="Structures: any file that ASE reads, or .npz.")],
    outputs: Annotated[
        list[str] | None,
        typer.Option(help="Output to audit, as NAME or NAME=REPRESENTATION; may be given several times."),
    ] = None,
    layers: Annotated[
        list[str] | None, typer.Option(help="Module name pattern or feature output; may be given several times.")
    ] = None,
    basis: Annotated[str | None, typer.Option(help="Of irreps with l >= 1 in --outputs: standard or e3nn.")] = None,
    units: Annotated[list[str] | None, typer.Option(help="NAME=UNIT of an output; may be given several times.")] = None,
    group: Annotated[str, typer.Option(help="O3, SO3 for rotations without inversion, SO2 or O2 about z.")] = "O3",
    lmax: LmaxOption = 8,
    degree: DegreeOption = "auto",
    estimator: Annotated[str, typer.Option(help="quadrature or monte-carlo.")] = "quadrature",
    rotations: Annotated[int | None, typer.Option(help="Random rotations per system, of monte-carlo.")] = None,
    precision: Annotated[
        float | None, typer.Option(help="Relative standard error of the RMSE at which monte-carlo stops.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random rotations.")] = 0,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64; default: as the model.")] = None,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda:0.")] = None,
    batch_rows: Annotated[str, typer.Option(help='Rows (atoms) per batch, or "auto".')] = "auto",
    max_memory: Annotated[
        float | None, typer.Option(help="Gigabytes (1e9 bytes) that statistics and one batch may take.")
    ] = None,
    batching: Annotated[str | None, typer.Option(help="stack, concat or loop, for a model from a factory.")] = None,
    out: OutOption = None,
) -> None:
    """Audit MODEL on the structures in DATA."""
    settings: dict[str, Any] = {
        "outputs": _declared(outputs),
        "layers": layers,
        "basis": basis,
        "units": dict(_pair("--units", text) for text in units) if units else None,
        "group": group,
        "lmax": lmax,
        "degree": _number("--degree", degree, DEGREES),
        "estimator": estimator,
        "rotations": rotations,
        "precision": precision,
        "seed": seed,
        "dtype": _dtype(dtype),
        "device": device,
        "batch_rows": _number("--batch-rows", batch_rows, "a positive integer"),
        "max_memory": None if max_memory is None else int(max_memory * 1e9),
        "out": out,
    }
    _show(_audit(model, data, outputs, batching, settings), out)


@app.command()
def demo(
    out: OutOption = Path("equiscope-demo"),
    lmax: LmaxOption = 6,
    degree: DegreeOption = "auto",
) -> None:
    """Audit a small transformer on eight molecules; both ship with the package."""
    import equiscope as eq
    from equiscope import demo as shipped

    report = eq.audit(
        shipped.load_model(),
        list(zip(shipped.names(), shipped.load_molecules(), strict=True)),
        inputs=shipped.INPUTS,
        outputs=shipped.REPRESENTATIONS,
        layers=shipped.LAYERS,
        units=shipped.UNITS,
        reference_rmse=shipped.VALIDATION_RMSE,
        lmax=lmax,
        degree=_number("--degree", degree, DEGREES),
        out=out,
    )
    _show(report, out)


@app.command()
def info() -> None:
    """Version, devices, instruction set, CUDA, threads."""
    import equiscope as eq

    found = eq.info()
    versions = found.pop("versions")
    for name, value in {**versions, **found}.items():
        typer.echo(f"{name:16} {', '.join(map(str, value)) if isinstance(value, list) else value}")


def _audit(model: str, data: Path, outputs: list[str] | None, batching: str | None, settings: dict[str, Any]) -> Any:
    import torch

    import equiscope as eq
    from equiscope.errors import ArgumentError, fail
    from equiscope.keywords import keyword_systems

    target: Any = Path(model)
    if ":" in model and not target.exists():
        target = _factory(model)
    if eq.adapters.kind_of(target, data).reads_files:
        return eq.audit(target, data, **settings)
    if outputs and not isinstance(settings["outputs"], dict):
        fail(ArgumentError, "--outputs", "NAME=REPRESENTATION for a model without metadata", ", ".join(outputs))
    if isinstance(target, torch.nn.Module) and settings["dtype"] is not None:
        target.to(settings["dtype"])
    systems, inputs = keyword_systems(data, target, dtype=settings["dtype"])
    return eq.audit(target, systems, inputs=inputs, batching=batching, **settings)


def _dtype(text: str | None) -> Any:
    """The dtype of torch that is called so."""
    import torch

    from equiscope.errors import DTypeError, fail

    dtypes = {"float32": torch.float32, "float64": torch.float64}
    if text is not None and text not in dtypes:
        fail(DTypeError, "--dtype", "float32 or float64", repr(text))
    return None if text is None else dtypes[text]


def _show(report: Audit, out: Path | None) -> None:
    """Print the table, and say where the report lies."""
    from rich.console import Console

    from equiscope.report.table import to_rich

    console = Console()
    console.print(to_rich(report, console.width))
    if out is not None:
        typer.echo(f"report: {out / 'index.html'}")


def _number(option: str, text: str, expected: str) -> int | str:
    from equiscope.errors import ArgumentError, fail

    if text != "auto" and not text.isdigit():
        fail(ArgumentError, option, f'{expected} or "auto"', repr(text))
    return text if text == "auto" else int(text)


def _declared(outputs: list[str] | None) -> Any:
    """Names alone as a list, NAME=REPRESENTATION as a dict."""
    if not outputs:
        return None
    pairs = [text.partition("=") for text in outputs]
    if any(sign for _, sign, _ in pairs):
        return {name: kind or "scalar" for name, _, kind in pairs}
    return [name for name, _, _ in pairs]


def _pair(option: str, text: str) -> tuple[str, str]:
    from equiscope.errors import ArgumentError, fail

    name, _, value = text.partition("=")
    if not (name and value):
        fail(ArgumentError, option, "NAME=VALUE", repr(text))
    return name, value


def _factory(text: str) -> Any:
    """What ``package.module:factory`` returns."""
    from equiscope.errors import ArgumentError, fail

    module_name, _, attribute = text.partition(":")
    sys.path.insert(0, "")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        fail(ArgumentError, "MODEL", "a file, or package.module:factory that can be imported", f"{text!r} ({error})")
    if not callable(factory):
        fail(ArgumentError, "MODEL", "a callable factory", f"{text!r}, a {type(factory).__name__}")
    return factory()


def main() -> None:
    """Entry point: errors of the library end with their message and exit code 2, without a traceback."""
    from equiscope.errors import EquiscopeError

    try:
        app()
    except EquiscopeError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()

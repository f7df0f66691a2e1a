"""Command line: ``equiscope audit``, ``equiscope demo``, ``equiscope info``."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import math
import sys
from collections.abc import Callable
from importlib.util import find_spec
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
ModelArgument = Annotated[
    str,
    typer.Argument(
        help="A metatomic .pt file, or package.module:name of a model, of an ASE calculator, or of a class or function "
        "that makes one."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE of a keyword of what makes the model; may be given several times."),
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="A new calculator for every copy, for those that remember the last one.")
]
InputsOption = Annotated[
    list[str] | None,
    typer.Option(help="NAME=REPRESENTATION of what the structures carry; may be given several times."),
]
OutputsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Output to audit, as NAME=REPRESENTATION, or as NAME where the model knows; may be given several times."
    ),
]


@app.command()
def audit(
    model: ModelArgument,
    data: Annotated[Path, typer.Argument(help="Structures: any file that ASE reads, or .npz.")],
    options: SetOption = None,
    fresh: FreshOption = False,
    inputs: InputsOption = None,
    outputs: OutputsOption = None,
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
        "inputs": dict(_pair("--inputs", text) for text in inputs) if inputs else None,
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
        "max_memory": _bytes(max_memory),
        "batching": batching,
        "out": out,
    }
    import torch

    import equiscope as eq

    target = _model(model, dict(_option(text) for text in options or ()), fresh=fresh)
    if isinstance(target, torch.nn.Module) and settings["dtype"] is not None:
        target.to(settings["dtype"])
    _show(eq.audit(target, data, **settings), out)


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

    if text != "auto" and not text.isdecimal():
        fail(ArgumentError, option, f'{expected} or "auto"', repr(text))
    return text if text == "auto" else int(text)


def _bytes(gigabytes: float | None) -> int | None:
    from equiscope.errors import ArgumentError, fail

    if gigabytes is not None and not math.isfinite(gigabytes):
        fail(ArgumentError, "--max-memory", "a finite number of gigabytes", gigabytes)
    return None if gigabytes is None else int(gigabytes * 1e9)


def _declared(outputs: list[str] | None) -> Any:
    """Names alone as a list, NAME=REPRESENTATION as a dict; a name beside these is what the model says of it."""
    if not outputs:
        return None
    if any("=" in text for text in outputs):
        return dict(_pair("--outputs", text) if "=" in text else (text, None) for text in outputs)
    return outputs


def _pair(option: str, text: str) -> tuple[str, str]:
    from equiscope.errors import ArgumentError, fail

    name, _, value = text.partition("=")
    if not (name and value):
        fail(ArgumentError, option, "NAME=VALUE", repr(text))
    return name, value


def _option(text: str) -> tuple[str, Any]:
    """A keyword and its value: what JSON can read as that, anything else as text."""
    name, value = _pair("--set", text)
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _model(text: str, options: dict[str, Any], *, fresh: bool) -> Any:
    """What is to be audited: a path, a model, or what makes calculators."""
    from equiscope.errors import ArgumentError, fail

    if Path(text).exists() or ":" not in text:
        if options or fresh:
            fail(ArgumentError, "--set" if options else "--fresh", "package.module:name as MODEL", repr(text))
        return Path(text)
    found = _imported(text)
    if not _makes_a_model(found):
        if options or fresh:
            fail(ArgumentError, "--set" if options else "--fresh", "what makes a model as MODEL", f"{text!r}, a model")
        return found
    try:
        inspect.signature(found).bind(**options)
    except TypeError as error:
        fail(ArgumentError, "--set", f"the keywords of {text}{inspect.signature(found)}", error)
    except ValueError:  # it is compiled, and says nothing of its keywords
        pass
    make = functools.partial(_made, text, functools.partial(found, **options))
    return (lambda: make()) if fresh else make()


def _made(text: str, make: Callable[[], Any]) -> Any:
    """What `make`, which is called `text`, makes; what it raises in the words of the command line."""
    from equiscope.errors import EquiscopeError, ModelError, fail, ran_out

    try:
        return make()
    except Exception as error:  # whatever the code of others raises
        if isinstance(error, EquiscopeError) or ran_out(error):
            raise
        fail(ModelError, "MODEL", f"a model from {text}", _in_a_line(error))


def _in_a_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _imported(text: str) -> Any:
    from equiscope.errors import ArgumentError, MissingExtraError, fail

    module_name, _, attribute = text.partition(":")
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # a module of others runs when it is imported
        if module_name.partition(".")[0] == "ase" and find_spec("ase") is None:
            told = f"MODEL: expected an installed ase for {text}, got none; pip install equiscope[ase]"
            raise MissingExtraError(told) from None
        fail(
            ArgumentError,
            "MODEL",
            "a file, or package.module:name that can be imported",
            f"{text!r} ({_in_a_line(error)})",
        )


def _makes_a_model(found: Any) -> bool:
    """Whether a name stands for what is called for a model; a function that needs arguments is one itself."""
    import torch

    if isinstance(found, type):
        return True
    if not callable(found) or isinstance(found, torch.nn.Module):
        return False
    try:
        parameters = inspect.signature(found).parameters.values()
    except ValueError:  # it is compiled, and a model itself
        return False
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not p.empty for p in parameters if p.kind not in variable)


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

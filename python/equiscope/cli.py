"""Command line: ``equiscope audit``, ``compare``, ``demo``, ``info``, ``cite``. Torch is imported where it must be."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import math
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equiscope.interrupts import INTERRUPTED, TERMINATED, Terminated
from equiscope.terminal import forgiving_output

if TYPE_CHECKING:
    from rich.console import Group

    from equiscope.report import Audit
    from equiscope.result.limits import Limit

app = typer.Typer(
    name="equiscope",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Directory for numbers, tables, pictures and index.html.")
]
JsonOption = Annotated[
    str | None,
    typer.Option(
        "--json", help='File for a summary that programs read; "-" is standard output, and the table is left out.'
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict alone, and no progress.")]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with the run that was stopped in --out; begin it where there is none.")
]
ProgressOption = Annotated[
    bool | None, typer.Option("--progress/--no-progress", help="A progress bar; by default on a terminal.")
]
FailOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-above",
        help="Exit with 1 where an error is above, beyond its own error: 1% of its size for every output, NAME=1%, or "
        "NAME=1e-3 in the unit of that output; may be given several times.",
    ),
]
ConstantOption = Annotated[
    list[str] | None,
    typer.Option(
        "--constant",
        help="Output that is meant to depend on nothing that is turned, which --fail-above takes for a mistake; may be "
        "given several times.",
    ),
]
FiguresOption = Annotated[str, typer.Option("--figures", help="Formats of the pictures: png, pdf, svg, with commas.")]
ToleranceOption = Annotated[float, typer.Option(help="Relative error of the numbers at which auto is content.")]
HIGHEST = 131
DEGREES = f"an integer from 0 to {HIGHEST}"
SPARE = 4
"""Degrees above those that lmax needs, by which the demo tells how far its numbers can be trusted."""

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
LayersOption = Annotated[
    list[str] | None, typer.Option(help="Module name pattern or feature output; may be given several times.")
]
PrecisionOption = Annotated[
    float | None, typer.Option(help="Relative standard error of the RMSE at which monte-carlo stops.")
]
MemoryOption = Annotated[
    float | None, typer.Option(help="Gigabytes (1e9 bytes) that statistics and one batch may take.")
]


def _version(asked: bool) -> None:
    if asked:
        from equiscope.version import VERSION

        typer.echo(f"equiscope {VERSION}")
        raise typer.Exit


@app.callback()
def equiscope(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Symmetry audit of 3-D machine-learning models: equivariance errors and irrep spectra.

    \b
    Examples:
      equiscope demo
      equiscope audit model.pt structures.xyz -o report
      equiscope audit model.pt structures.xyz --outputs energy --fail-above 1%
      equiscope COMMAND --help

    Exit codes: 0, or 1 where a limit of --fail-above is exceeded, 2 for what cannot be done as asked, 130 and 143 when
    interrupted or terminated.
    """


@app.command()
def audit(
    model: ModelArgument,
    data: Annotated[Path, typer.Argument(help="Structures: any file that ASE reads, or .npz.")],
    options: SetOption = None,
    fresh: FreshOption = False,
    inputs: InputsOption = None,
    outputs: OutputsOption = None,
    layers: LayersOption = None,
    basis: Annotated[str | None, typer.Option(help="Of irreps with l >= 1 in --outputs: standard or e3nn.")] = None,
    units: Annotated[list[str] | None, typer.Option(help="NAME=UNIT of an output; may be given several times.")] = None,
    group: Annotated[str, typer.Option(help="O3, SO3 for rotations without inversion, SO2 or O2 about z.")] = "O3",
    lmax: LmaxOption = 8,
    degree: DegreeOption = "auto",
    estimator: Annotated[str, typer.Option(help="quadrature or monte-carlo.")] = "quadrature",
    rotations: Annotated[int | None, typer.Option(help="Random rotations per system, of monte-carlo.")] = None,
    precision: PrecisionOption = None,
    seed: Annotated[int, typer.Option(help="Of the random rotations.")] = 0,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64; default: as the model.")] = None,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda:0.")] = None,
    batch_rows: Annotated[str, typer.Option(help='Rows (atoms) per batch, or "auto".')] = "auto",
    max_memory: MemoryOption = None,
    batching: Annotated[str | None, typer.Option(help="stack, concat or loop, for a model from a factory.")] = None,
    tolerance: ToleranceOption = 1e-2,
    fail_above: FailOption = None,
    constant: ConstantOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    figures: FiguresOption = "png",
    json_to: JsonOption = None,
    quiet: QuietOption = False,
    progress: ProgressOption = None,
) -> None:
    """Audit MODEL on the structures in DATA.

    \b
    Examples:
      equiscope audit model.pt structures.xyz -o report
      equiscope audit ase.calculators.emt:EMT copper.xyz --outputs energy --outputs forces
      equiscope audit my_package:make_model data.xyz --outputs energy=scalar --layers "encoder.*"
      equiscope audit model.pt data.xyz --fail-above 1% --fail-above energy=1e-3 --json summary.json
      torchrun --nproc-per-node 8 -m equiscope audit model.pt many.xyz -o report --resume
    """
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
        "tolerance": tolerance,
        "progress": False if quiet else progress,
        "out": out,
        "resume": resume,
        "formats": _formats(figures),
    }
    ending = _Ending.of(out, json_to, quiet, fail_above, settings["outputs"], constant)
    _audit(lambda: _model(model, dict(map(_option, options or ())), fresh=fresh), data, settings, ending)


def _audit(make: Callable[[], Any], data: Path, settings: dict[str, Any], ending: _Ending) -> None:
    """The audit of what `make` gives; of several processes the first speaks for all."""
    import equiscope as eq
    from equiscope.ranks import join

    first = join(settings["device"])
    if not first:
        settings["progress"] = False
    target = _computing_in(settings["dtype"], make())
    ending.close(ending.undisturbed(lambda: eq.audit(target, data, **settings)), speaks=first)


@app.command()
def demo(
    out: OutOption = Path("equiscope-demo"),
    figures: FiguresOption = "png",
    lmax: LmaxOption = 6,
    degree: Annotated[
        str | None, typer.Option(help=f'Degree of the grid, 0..131, or "auto"; default: 2 lmax + {SPARE}.')
    ] = None,
    tolerance: ToleranceOption = 1e-2,
    fail_above: FailOption = None,
    json_to: JsonOption = None,
    quiet: QuietOption = False,
    progress: ProgressOption = None,
) -> None:
    """Audit a small transformer on eight molecules; both ship with the package."""
    import equiscope as eq
    from equiscope import demo as shipped

    ending = _Ending.of(out, json_to, quiet, fail_above, shipped.REPRESENTATIONS)
    settings: dict[str, Any] = {
        "lmax": lmax,
        "degree": min(2 * lmax + SPARE, HIGHEST) if degree is None else _number("--degree", degree, DEGREES),
        "tolerance": tolerance,
        "progress": False if quiet else progress,
        "out": out,
        "formats": _formats(figures),
    }
    run = functools.partial(
        eq.audit,
        shipped.load_model(),
        list(zip(shipped.names(), shipped.load_molecules(), strict=True)),
        inputs=shipped.INPUTS,
        outputs=shipped.REPRESENTATIONS,
        layers=shipped.LAYERS,
        units=shipped.UNITS,
        reference_rmse=shipped.VALIDATION_RMSE,
        **settings,
    )
    ending.close(ending.undisturbed(run))


@app.command()
def compare(
    audits: Annotated[
        list[str],
        typer.Argument(help="Directories of saved audits, each as DIR or NAME=DIR; the first is the baseline."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Directory for page, table, numbers, pictures.")
    ] = None,
    figures: FiguresOption = "png",
    json_to: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Compare saved audits: which error is larger, and is the difference real.

    \b
    Examples:
      equiscope compare before after -o comparison
      equiscope compare 1000=runs/a 2000=runs/b 4000=runs/c --json comparison.json
    """
    import equiscope as eq
    from equiscope.report.comparison.table import to_rich, verdict_line
    from equiscope.result.place import check_writable

    formats = _formats(figures)
    places = _named(audits)
    if out is not None:
        check_writable(out, "--out")
    found = eq.compare({name: eq.Audit.load(place) for name, place in places.items()})
    if out is not None:
        found.save(out, formats)
    _write(found.summary(), json_to)
    if not quiet and json_to != "-":
        _print(lambda width: to_rich(found, width), out)
    typer.echo(verdict_line(found), err=json_to == "-")


def _named(audits: list[str]) -> dict[str, Path]:
    """Directories by what they are called: as given, else by the shortest end of the path that tells them apart."""
    from equiscope.errors import ArgumentError, fail

    pairs = [text.partition("=") if not Path(text).exists() else ("", "", text) for text in audits]
    paths = [Path(path if sign or not name else name) for name, sign, path in pairs]
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths) and depth < max(len(path.parts) for path in paths):
        depth += 1
    names = [
        name if sign else "/".join(path.parts[-depth:]) for (name, sign, _), path in zip(pairs, paths, strict=True)
    ]
    if len(set(names)) < len(names):
        fail(ArgumentError, "AUDITS", "different names, as NAME=DIR", ", ".join(names))
    return dict(zip(names, paths, strict=True))


@app.command()
def info() -> None:
    """Version, devices, instruction set, CUDA, threads."""
    import equiscope as eq

    found = eq.info()
    versions = found.pop("versions")
    for name, value in {**versions, **found}.items():
        typer.echo(f"{name:16} {', '.join(map(str, value)) if isinstance(value, list) else value}")


@app.command()
def cite() -> None:
    """What to cite, as BibTeX: the software, the paper that defines its quantities, its grids."""
    from equiscope.citation import bibtex

    typer.echo(bibtex(), nl=False)


def _as_options(told: str) -> str:
    """An error of the library, with its keywords as options."""
    return told.replace("dtype=torch.", "--dtype ")


def _dtype(text: str | None) -> Any:
    """The dtype of torch that is called so."""
    import torch

    from equiscope.errors import DTypeError, fail

    dtypes = {"float32": torch.float32, "float64": torch.float64}
    if text is not None and text not in dtypes:
        fail(DTypeError, "--dtype", "float32 or float64", repr(text))
    return None if text is None else dtypes[text]


@dataclass(frozen=True)
class _Ending:
    """What is done with an audit: the table, the place of the report, a summary, and the verdict as the last line."""

    out: Path | None
    json_to: str | None
    quiet: bool
    limits: tuple[Limit, ...]
    constant: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        out: Path | None,
        json_to: str | None,
        quiet: bool,
        fail_above: list[str] | None,
        outputs: Any,
        constant: list[str] | None = None,
    ) -> _Ending:
        """Refuses limits that mean nothing, and a summary that could not be written, before anything is computed."""
        from equiscope.errors import ArgumentError, fail
        from equiscope.result.limits import check_names, named, parse_limit
        from equiscope.result.place import check_writable

        limits = tuple(map(parse_limit, fail_above or ()))
        if constant and not limits:
            fail(ArgumentError, "--constant", "a limit of --fail-above from which to except outputs", "none")
        if outputs:
            check_names("--fail-above", named(limits), list(outputs))
            check_names("--constant", constant or (), list(outputs))
        if json_to not in (None, "-"):
            check_writable(Path(str(json_to)).parent, "--json")
        return cls(out, json_to, quiet, limits, tuple(constant or ()))

    def undisturbed(self, run: Callable[[], Audit]) -> Audit:
        """What `run` returns; interrupted, the command ends with a line on what is left of the audit, and where the
        model raised at every system with its error."""
        from equiscope.errors import RAISED_EVERYWHERE, ModelError, fail, in_a_line, notes

        try:
            return run()
        except Exception as error:
            if RAISED_EVERYWHERE not in notes(error):
                raise
            *given, _ = notes(error)
            last = traceback.extract_tb(error.__traceback__)[-1]
            told = "; ".join([f"{in_a_line(error)} ({last.filename}, line {last.lineno})", *given])
            fail(ModelError, "MODEL", "a model that runs on some system", told)
        except (KeyboardInterrupt, Terminated) as stop:
            typer.echo(str(stop) or "stopped", err=True)
            raise typer.Exit(INTERRUPTED if isinstance(stop, KeyboardInterrupt) else TERMINATED) from None

    def close(self, report: Audit, *, speaks: bool = True) -> None:
        """Print and write what was asked for, of several processes where this one `speaks`; exit code 1 where a limit
        is exceeded."""
        from equiscope.report.summary import passes, summary, verdict_line
        from equiscope.result.limits import check

        checks = check(report, self.limits, self.constant)
        if speaks:
            _write(summary(report, checks), self.json_to)
            if not self.quiet and self.json_to != "-":
                _show(report, self.out)
            # standard output is the summary's alone where it goes there
            typer.echo(verdict_line(report, checks), err=self.json_to == "-")
        if not passes(report, checks):
            raise typer.Exit(1)


def _show(report: Audit, out: Path | None) -> None:
    """Print the table, and say where the report lies."""
    from equiscope.report.table import to_rich

    _print(lambda width: to_rich(report, width), out)


def _write(summary: dict[str, Any], to: str | None) -> None:
    """A summary as JSON, to a file or, for "-", to standard output."""
    if to is None:
        return
    said = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False)
    if to == "-":
        typer.echo(said)
    else:
        Path(to).write_text(said + "\n", encoding="utf-8")


def _print(view: Callable[[int], Group], out: Path | None) -> None:
    """Print what is laid out for the terminal, and say where the page lies."""
    from rich.console import Console

    from equiscope.report.table import show

    console = Console()
    show(view(console.width), console)
    if out is not None:
        typer.echo(f"report: {out / 'index.html'}")


def _number(option: str, text: str, expected: str) -> int | str:
    from equiscope.errors import ArgumentError, fail

    if text != "auto" and not text.isdecimal():
        fail(ArgumentError, option, f'{expected} or "auto"', repr(text))
    return text if text == "auto" else int(text)


def _formats(text: str) -> tuple[str, ...]:
    """``pdf,svg`` as names of formats."""
    from equiscope.errors import ArgumentError, fail
    from equiscope.report.render import FORMATS

    found = tuple(each.strip() for each in text.split(","))
    if not set(found) <= set(FORMATS):
        fail(ArgumentError, "--figures", f"some of {', '.join(FORMATS)}, with commas between them", repr(text))
    return found


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


def _computing_in(dtype: Any, model: Any) -> Any:
    """`model`, with its parameters in `dtype` where there is one."""
    import torch

    if isinstance(model, torch.nn.Module) and dtype is not None:
        model.to(dtype)
    return model


def _made(text: str, make: Callable[[], Any]) -> Any:
    """What `make`, which is called `text`, makes; what it raises in the words of the command line."""
    from equiscope.errors import EquiscopeError, ModelError, fail, in_a_line, ran_out

    try:
        return make()
    except Exception as error:  # whatever the code of others raises
        if isinstance(error, EquiscopeError) or ran_out(error):
            raise
        fail(ModelError, "MODEL", f"a model from {text}", in_a_line(error))


def _imported(text: str) -> Any:
    from equiscope.errors import ArgumentError, MissingExtraError, fail, in_a_line

    module_name, _, attribute = text.partition(":")
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # a module of others runs when it is imported
        if module_name.partition(".")[0] == "ase" and find_spec("ase") is None:
            told = f"MODEL: expected an installed ase for {text}, got none; pip install ase"
            raise MissingExtraError(told) from None
        fail(
            ArgumentError,
            "MODEL",
            "a file, or package.module:name that can be imported",
            f"{text!r} ({in_a_line(error)})",
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

    with forgiving_output():
        try:
            app(prog_name="equiscope")
        except EquiscopeError as error:
            typer.echo(f"error: {_as_options(str(error))}", err=True)
            raise SystemExit(2) from None


if __name__ == "__main__":
    main()

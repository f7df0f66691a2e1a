"""``python -m studies``: runs, figures and numbers of the study."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from . import account
from .runs import chosen, do, order, parts, table, told
from .store import HERE, Store

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

Data = Annotated[Path | None, typer.Option(help="Directory of the data set.", envvar="EQUISCOPE_STUDIES_DATA")]


@app.command("run")
def run_(
    names: Annotated[list[str] | None, typer.Argument(help="Runs, or patterns such as density-*; else all.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Which seeds, as 0,1,2; all for none.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Begin no run after so many minutes.")] = None,
    data: Data = None,
) -> None:
    """Do what is not done yet. A run that was killed goes on from its checkpoint."""
    store, begun = Store(), time.perf_counter()
    only = None if seeds is None else [int(seed) for seed in seeds.split(",")]
    for run, seed in order(chosen(names or []), only):
        if store.has(run.name, seed):
            continue
        if minutes is not None and time.perf_counter() - begun > 60 * minutes:
            typer.echo(f"{minutes:g} minutes are over before {run.name}, seed {seed}")
            return
        typer.echo(f"{run.name}, seed {seed}")
        do(run, seed, store, data)


@app.command()
def quick(
    data: Data = None,
    out: Annotated[
        Path | None, typer.Option(help="Where results and figures go; a temporary directory for none.")
    ] = None,
) -> None:
    """Every run in its reduced form, then figures and tables of these: whether the machinery works, not a result."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory if out is None else out)
        store = Store(place / "results", place / "scratch")
        for run in table():
            if run.quick is not None:
                begun = time.perf_counter()
                do(run.reduced(), run.seeds[0], store, data)
                typer.echo(f"{run.name}: {time.perf_counter() - begun:.1f} s")
        drawn = _draw(store, place / "figures")
        for name, text in account.tables(store).items():
            typer.echo(f"\n{name}\n{text}")
        typer.echo(f"\nfigures: {', '.join(drawn)}")


@app.command("runs")
def runs_() -> None:
    """The table of runs, with what is done and what is open."""
    typer.echo(told(Store()))


@app.command()
def figures() -> None:
    """Draw every figure anew from stored results."""
    for name in _draw(Store(), HERE / "figures"):
        typer.echo(f"figures/{name}.png")


@app.command()
def numbers(write: Annotated[bool, typer.Option(help="Into the README files, between markers.")] = False) -> None:
    """The tables of the account, from stored results."""
    if write:
        account.write(Store())
        return
    for name, text in account.tables(Store()).items():
        typer.echo(f"{name}\n{text}\n")


def _draw(store: Store, directory: Path) -> list[str]:
    directory.mkdir(parents=True, exist_ok=True)
    drawn = {name: figure for part in parts() for name, figure in part.figures(store).items()}
    for name, figure in drawn.items():
        figure.savefig(directory / f"{name}.png", dpi=200)
    return list(drawn)


if __name__ == "__main__":
    app()

"""``python -m gallery``: the audits of the gallery, and their pages."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from . import entry, pages, stored

DPI = 100

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

TEMPLATE = '''"""{title}: what calculates is {calculator}."""

from {module} import {name}

from gallery.standard import audited

TITLE, PACKAGES, PUBLISHED = "{title}", ("{package}",), True
outputs = {{"molecules": ("energy", "forces"), "crystals": ("energy", "forces", "stress")}}
audits, by_hand = audited({name}(), outputs)
'''


@app.command("list")
def list_() -> None:
    """The entries."""
    for name in entry.names():
        typer.echo(f"{name}: {stored.load(name)['title']}" if name in stored.names() else f"{name}: not built")


@app.command()
def build(names: Annotated[list[str], typer.Argument(help="Entries.")]) -> None:
    """Audit, hold every verdict against random elements by hand, store the numbers, draw, and renew the pages."""
    for name in names:
        begun = time.perf_counter()
        done = entry.run(name)
        stored.save(name, stored.found(done))
        for stem, figure in done.pictures.items():
            figure.savefig(pages.PICTURES / f"{name}-{stem}.png", dpi=DPI)
        pages.write([name])
        typer.echo(f"{name}: {time.perf_counter() - begun:.0f} s")


@app.command()
def check(names: Annotated[list[str], typer.Argument(help="Entries.")]) -> None:
    """Audit again, and hold what comes against the stored results; nothing is written."""
    failed = False
    for name in names:
        differ = list(stored.unequal(stored.load(name), stored.found(entry.run(name))))
        typer.echo("\n".join([f"{name}: {'differs' if differ else 'the same within its errors'}", *differ]))
        failed = failed or bool(differ)
    raise typer.Exit(failed)


@app.command("pages")
def pages_() -> None:
    """What was found made anew on all pages, from stored results."""
    pages.write(stored.names())


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Of the entry.")],
    calculator: Annotated[
        str, typer.Argument(help="package.module:name of a calculator's class, or of what makes one.")
    ],
    title: Annotated[str, typer.Option(help="Of the model, with its version.")],
) -> None:
    """A published potential for the first table: write its entry and its page, and build them."""
    module, _, made = calculator.partition(":")
    file, page = entry.ENTRIES / f"{name}.py", pages.DOCS / f"{name}.md"
    for path in (file, page):
        _refuse(path)
    package = module.partition(".")[0]
    said = TEMPLATE.format(title=title, calculator=calculator, module=module, name=made, package=package)
    file.write_text(said, encoding="utf-8")
    page.write_text(pages.NEW.format(title=title, name=name), encoding="utf-8")
    build([name])


def _refuse(path: Path) -> None:
    if path.exists():
        raise typer.BadParameter(f"name: expected one that is free, {path} is there")


if __name__ == "__main__":
    app()

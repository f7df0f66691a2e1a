"""The frame that pages share: one style, one small script, a list of contents, tables and pictures.

A page is whole and readable without the script, which is the only one that the page's policy lets run.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from .render import inline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .names import Shown

UNBROKEN = 20
"""Characters up to which a name in a table stays on one line."""

_KEPT = re.compile(r"(?<=[±×]) | (?=×)|(?<=\d) (?=\d{3}\b)")
"""Spaces at which no line may end."""

_EXPONENT = re.compile(r"\d[\d.]*e[+-]\d+\*?")

_SECTION = re.compile(r'<section aria-label="([^"]+)">\s*<h2>(.*?)</h2>', re.DOTALL)


@dataclass(frozen=True)
class Heading:
    """What stands over a column, or over `span` of them."""

    text: str
    left: bool = False
    span: int = 1


@dataclass(frozen=True)
class Cell:
    """One cell: its text, all digits of its number for who asks, and its classes."""

    text: str
    title: str = ""
    css: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: the first cell of each row is what the row is called."""

    caption: str
    headings: Sequence[Heading]
    blocks: Sequence[tuple[str, Sequence[Sequence[Cell]]]]
    """Rows, under a heading for each block of them that has one."""
    above: Sequence[Heading] = ()
    """A row of headings over `headings`."""
    rest: int = 0
    """Rows that are printed, where the others are on the screen alone; 0: all."""
    stacks: bool = False
    """Whether a narrow screen shows each row as a list, one line for each of its cells; else it scrolls sideways."""


def render_page(package: str, template: str, **values: Any) -> str:
    """The page that the file `template` of `package` makes of `values`; all text is escaped."""
    style, script = (_source(__package__, name) for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    own = {"style": Markup(style), "script": Markup(script), "hash": Markup(f"sha256-{digest}")}
    return _environment(package).get_template(template).render(**own, **values).lstrip()


@functools.cache
def _environment(package: str) -> Environment:
    """Templates, each compiled once."""
    found = Environment(
        loader=ChoiceLoader([_loader(package), _loader(__package__)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(code=code, path=path, whole=whole, contents=_contents, anchored=_anchored)
    return found


def _loader(package: str) -> FunctionLoader:
    return FunctionLoader(lambda name: _source(package, name) or None)


def _source(package: str, name: str) -> str:
    found = files(package).joinpath(name)
    return found.read_text(encoding="utf-8") if found.is_file() else ""


def pictures(drawn: Mapping[str, Figure], captions: Mapping[str, str]) -> list[dict[str, Any]]:
    """Figures by name as parts of a page."""
    return [
        {"name": name, "svg": inline(figure, name, captions[name]), "caption": captions[name]}
        for name, figure in drawn.items()
    ]


def code(text: str) -> Markup:
    """Escaped text, with `...` as code, and numbers with an exponent that do not break in two."""
    return _unbroken(Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))).replace(" +- ", " ± ")))


def _unbroken(text: Markup) -> Markup:
    """Text in which no line ends before an exponent."""
    return Markup(_EXPONENT.sub(r'<span class="n">\g<0></span>', str(text)))


def whole(text: str | Markup) -> Markup:
    """The text of a cell, in which no line ends within a number or after its sign: ``0.12 ± 3e-7``, ``8 × 16 384``."""
    return _unbroken(Markup(_KEPT.sub("\N{NO-BREAK SPACE}", str(escape(text)))))


def path(name: str) -> Markup:
    """An escaped name; a long one may break after its dots, slashes and underscores."""
    if len(name) <= UNBROKEN:
        return Markup('<span class="n">{}</span>').format(name)
    return Markup("<wbr>").join(re.findall(r"[^._/]*[._/]?", name))


def name_cell(shown: Shown, css: str = "") -> Cell:
    """The name of a layer below the heading of its block, which stands before it again where rows are sorted."""
    before = shown.text[: len(shown.text) - len(shown.inner)]
    text = Markup('<span class="at">{}</span>').format(before) + path(shown.inner) if before else path(shown.inner)
    return Cell(text, shown.name if shown.inner != shown.name else "", css)


def exact(value: float | None) -> str:
    """All digits of a number that say something."""
    return "" if value is None else f"{float(value):.10g}"


def one_block(rows: Iterable[Sequence[Cell]]) -> list[tuple[str, Sequence[Sequence[Cell]]]]:
    """Rows without headings."""
    return [("", list(rows))]


def _contents(sections: str) -> list[tuple[str, Markup]]:
    return [(_anchor(label), Markup(heading)) for label, heading in _SECTION.findall(sections)]


def _anchored(sections: str) -> Markup:
    """The sections, each with an id that the list of contents leads to."""
    return Markup(
        _SECTION.sub(lambda found: found[0].replace("<section", f'<section id="{_anchor(found[1])}"', 1), sections)
    )


def _anchor(label: str) -> str:
    return label.lower().replace(" ", "-")

"""Figures as files, and as parts of the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ..errors import ArgumentError, DTypeError, fail
from .palette import DPI, FAINT, INK, PAPER, RULE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FORMATS = ("png", "pdf", "svg")
"""Of files with pictures."""

UNDATED: dict[str, dict[str, Any]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def render(figure: Figure, kind: str) -> bytes:
    """The figure in one of `FORMATS`, the same bytes each time but for ids. PDF and SVG have no background.

    Text stays text: the letters of a PDF file go with it, as TrueType, which journals ask for; an SVG file names its
    font.
    """
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with warnings.catch_warnings(), rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"}):
        # A name in a script that the font lacks shows boxes; the table and the page still hold it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format=kind, dpi=DPI, transparent=kind != "png", metadata=UNDATED[kind])
    return buffer.getvalue()


def check_formats(formats: Any) -> None:
    """Refuse what is no sequence of `FORMATS`, in words of a user."""
    expected = "some of " + ", ".join(map(repr, FORMATS)) + " in a tuple"
    if isinstance(formats, str) or not isinstance(formats, Sequence):
        fail(DTypeError, "formats", expected, repr(formats))
    for each in formats:
        if each not in FORMATS:
            fail(ArgumentError, "formats", expected, repr(each))


def picture_files(drawn: Mapping[str, Figure], formats: Sequence[str]) -> dict[str, bytes]:
    """Name and content of a file for each figure and format."""
    return {f"{name}.{each}": render(figure, each) for name, figure in drawn.items() for each in formats}


def picture_names(names: Iterable[str]) -> set[str]:
    """What such files may be called."""
    return {f"{name}.{each}" for name in names for each in FORMATS}


def inline(figure: Figure, name: str) -> Markup:
    """The figure as inline SVG: ids that start with `name`, colours of the page, no style and no metadata that
    would leak."""
    width = figure.get_size_inches()[0]
    text = render(figure, "svg").decode("utf-8")
    text = re.sub(r"<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    for tag in ("metadata", "style"):
        text = re.sub(rf"\s*<{tag}.*?</{tag}>", "", text, flags=re.DOTALL)
    for colour, variable in ((INK, "ink"), (FAINT, "faint"), (RULE, "rule"), (PAPER, "paper")):
        text = text.replace(colour, f"var(--{variable})")
    names: dict[str, str] = {}
    for found in re.findall(r'\bid="([^"]+)"', text):
        names.setdefault(found, f"{name}-{len(names)}")
    text = re.sub(r'\bid="([^"]+)"', lambda m: f'id="{names[m[1]]}"', text)
    text = re.sub(r'href="#([^"]+)"', lambda m: f'href="#{names[m[1]]}"', text)
    text = re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{names[m[1]]})", text)
    size = f'style="width: {width:.2f}in; min-width: {0.72 * width:.2f}in; max-width: 100%"'
    text = re.sub(r'^<svg ([^>]*?)width="[^"]*"', rf'<svg {size} role="img" aria-label="{name}" \1', text, count=1)
    text = re.sub(r'^(<svg [^>]*?) height="[^"]*"', r"\1", text, count=1)
    return Markup(text)

"""A figure as a file, or as a part of the page."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from .palette import DPI, FAINT, INK, PAPER, RULE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def render(figure: Figure, kind: str) -> bytes:
    """The figure as ``"png"`` or ``"svg"``, the same bytes each time but for ids. SVG has no background.

    The layout is found for the first format, which takes as long as drawing, and kept for the others.
    """
    buffer = io.BytesIO()
    options: dict[str, Any] = {"transparent": True, "metadata": {"Date": None}} if kind == "svg" else {"dpi": DPI}
    with warnings.catch_warnings():
        # A name in a script that the font lacks shows boxes; the table and the page still hold it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format=kind, **options)
    figure.set_layout_engine("none")
    return buffer.getvalue()


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

"""Figures as files, and as parts of the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from markupsafe import Markup, escape

from ..errors import ArgumentError, DTypeError, fail
from .palette import DPI, FAINT, INK, PAPER, RULE

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

LEAST = 0.9
"""Least width of a picture on a narrow page, as a part of its own: below, it scrolls."""

PACKED = 2
"""Effort of the packing of PNG files, of 9: 6, the usual one, takes three times as long for files that are smaller by
a tenth to a third."""

FORMATS = ("png", "pdf", "svg")
"""Of files with pictures."""

_SAID: WeakKeyDictionary[Artist, tuple[str, ...]] = WeakKeyDictionary()
"""What the marks of an artist say on the page."""


def render(figure: Figure, kind: str) -> bytes:
    """The figure in one of `FORMATS`, the same bytes each time but for ids. PDF and SVG have no background.

    Text stays text: the letters of a PDF file go with it, as TrueType, which journals ask for; an SVG file names its
    font.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer, drawn_before = io.BytesIO(), figure.canvas
    with warnings.catch_warnings(), rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"}):
        # A name in a script that the font lacks shows boxes; the table and the page still hold it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # savefig would draw everything twice, the first time for its layout
        figure.patch.set_visible(kind == "png")
        if kind == "svg":
            FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]
        elif kind == "pdf":
            FigureCanvasPdf(figure).print_pdf(buffer, metadata={"CreationDate": None})  # type: ignore[no-untyped-call]
        else:
            figure.dpi = DPI
            FigureCanvasAgg(figure).print_png(buffer, pil_kwargs={"compress_level": PACKED})  # type: ignore[no-untyped-call]
        figure.patch.set_visible(True)
    figure.dpi, figure.canvas = DPI, drawn_before
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


def settle(figures: Iterable[Figure]) -> None:
    """Lay figures out once, for every format that they are written in: to measure each label takes longer than to
    draw it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    for figure in figures:
        engine = figure.get_layout_engine()
        if isinstance(engine, ConstrainedLayoutEngine):
            both = [(axis, axes) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
            for axis, _ in both:
                if not axis.label.get_text():
                    axis.set_label_coords(0.0, 0.0)
            engine.execute(figure)
            figure.set_layout_engine("none")
            renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
            for axis, axes in both:
                axis.get_tightbbox(renderer)  # puts the label where it belongs, now that the axes have their places
                _keep(axis, axes)


def _keep(axis: Axis, axes: Axes) -> None:
    """Have the label of an axis stay where it is, whatever its ticks say: to find that it may takes as long as to draw
    them, in every format again."""
    # a scale of colours finds its place anew whenever it is drawn
    if not axis.get_visible() or axis.offsetText.get_text() or axes.get_axes_locator() is not None:
        return
    axis.set_label_coords(*(axis.label.get_transform() - axes.transAxes).transform(axis.label.get_position()))
    for tick in axis.get_major_ticks():
        for label in (tick.label1, tick.label2):
            label.set_in_layout(False)


def hover(artist: Artist, texts: Sequence[str]) -> None:
    """Have each mark of `artist`, or a text, say one of `texts` on the page where the pointer rests on it."""
    _SAID[artist] = tuple(texts)


def inline(figure: Figure, name: str, description: str = "") -> Markup:
    """The figure as inline SVG for the page: text as text, ids that start with `name`, colours of the page, no style
    and no metadata that would leak; `name` and `description` are read out by a screen reader."""
    mine = [artist for artist in _SAID if artist.get_figure(root=True) is figure]
    said = {f"said-{i}": artist for i, artist in enumerate(mine)}
    for gid, artist in said.items():
        artist.set_gid(gid)
    text = render(figure, "svg").decode("utf-8")
    text = re.sub(r"<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    for tag in ("metadata", "style"):
        text = re.sub(rf"\s*<{tag}.*?</{tag}>", "", text, flags=re.DOTALL)
    for gid, artist in said.items():
        text = _with_titles(text, gid, _SAID[artist])
    text = re.sub(r"font: (bold |700 )?([\d.]+px) [^;\"]*", _font, text)
    for colour, variable in ((INK, "ink"), (FAINT, "faint"), (RULE, "rule"), (PAPER, "paper")):
        text = text.replace(colour, f"var(--{variable})")
    return _named(text, name, description, figure.get_size_inches()[0])


def _font(found: re.Match[str]) -> str:
    """Of a text its size and weight alone: the letters are those of the page, which are no wider."""
    return ("font-weight: bold; " if found[1] else "") + f"font-size: {found[2]}"


def _with_titles(text: str, gid: str, titles: Sequence[str]) -> str:
    """Every mark in the group `gid` with its title; there is no group where nothing was drawn, and no marks where they
    were drawn as pixels."""
    head, found, rest = text.partition(f'<g id="{gid}">')
    if not found:
        return text
    depth = 1
    for tag in re.finditer(r"<(/?)g\b", rest):
        depth += -1 if tag[1] else 1
        if depth == 0:
            break
    body, tail = rest[: tag.start()], rest[tag.start() :]
    drawn = re.sub(r"<defs>.*?</defs>", lambda found: " " * len(found[0]), body, flags=re.DOTALL)
    marks = list(re.finditer(r"<(path|use|text)\b([^>]*?)(/?)>", drawn))
    if len(marks) != len(titles):
        return text
    pieces, end = [head, f'<g id="{gid}">'], 0
    for mark, title in zip(marks, titles, strict=True):
        pieces += [body[end : mark.start()], f"<{mark[1]}{mark[2]}><title>{escape(title)}</title>"]
        pieces += [f"</{mark[1]}>"] if mark[3] else []
        end = mark.end()
    return "".join([*pieces, body[end:], tail])


def _named(text: str, name: str, description: str, width: float) -> Markup:
    """The picture with ids of its own, and with what it is called."""
    used = dict.fromkeys(re.findall(r'(?:href="|url\()#([^")]+)', text))
    names = {found: f"{name}-{i}" for i, found in enumerate(used)}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", text)
    text = re.sub(r'href="#([^"]+)"', lambda m: f'href="#{names[m[1]]}"', text)
    text = re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{names[m[1]]})", text)
    size = f'style="width: {width:.2f}in; min-width: {LEAST * width:.2f}in; max-width: 100%"'
    label = f'role="img" aria-label="{name}" aria-describedby="{name}-told"'
    text = re.sub(r'^<svg ([^>]*?)width="[^"]*"', rf"<svg {size} {label} \1", text, count=1)
    text = re.sub(r'^(<svg [^>]*?) height="[^"]*"', r"\1", text, count=1)
    told = f'<desc id="{name}-told">{escape(description)}</desc>'
    return Markup(re.sub(r"^(<svg [^>]*>)", lambda m: m[1] + told, text, count=1))

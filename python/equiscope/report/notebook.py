"""A result as the value of a notebook's cell: sentences, a table and a picture, in a style that is theirs alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from ..result.data import AuditData
from .columns import columns_of
from .headline import headline
from .page import code
from .render import inline
from .statements import findings
from .view import plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAID = 8
"""Sentences shown before the rest is only counted."""

DARK = "--ink: #e6e8ea; --faint: #9aa1a9; --rule: #3a3f45; --paper: #16181b"

STYLE = f"""<style>
.equiscope {{ --ink: #1f2329; --faint: #6b7280; --rule: #d7dade; --paper: #fefefe; color: var(--ink); font-size: .92em; }}
@media (prefers-color-scheme: dark) {{ .equiscope {{ {DARK} }} }}
[data-jp-theme-light="true"] .equiscope, .vscode-light .equiscope {{ --ink: #1f2329; --faint: #6b7280; --rule: #d7dade; --paper: #fefefe }}
[data-jp-theme-light="false"] .equiscope, .vscode-dark .equiscope {{ {DARK} }}
.equiscope p.facts {{ color: var(--faint); margin: .2em 0; }}
.equiscope ul {{ margin: .4em 0; padding-left: 1.2em; }}
.equiscope table {{ border-collapse: collapse; margin: .6em 0; }}
.equiscope th, .equiscope td {{ border: 0; padding: .15em .8em .15em 0; text-align: right; white-space: nowrap; background: none; color: inherit; }}
.equiscope th {{ border-bottom: 1px solid var(--ink); }}
.equiscope td {{ border-bottom: 1px solid var(--rule); }}
.equiscope .left {{ text-align: left; }}
.equiscope .wide {{ overflow-x: auto; }}
.equiscope svg {{ display: block; height: auto; background: none; }}
</style>"""  # noqa: E501 (a rule of the sheet stands on a line)


@dataclass(frozen=True)
class Shown:
    """A table: its headings, which of its columns are text, and its cells."""

    heads: Sequence[str]
    left: Sequence[bool]
    rows: Sequence[Sequence[str]]


def cell(title: str, facts: Sequence[str], said: Sequence[str], table: Shown | None, picture: Figure | None) -> str:
    """HTML that needs nothing else and changes nothing else. All text is escaped."""
    parts = [Markup(STYLE), Markup("<b>{}</b>").format(title)]
    parts += [Markup('<p class="facts">{}</p>').format(line) for line in facts]
    if said:
        more = [f"{len(said) - SAID} more"] if len(said) > SAID else []
        lines = [Markup("<li>{}</li>").format(code(str(line))) for line in [*said[:SAID], *more]]
        parts.append(Markup("<ul>{}</ul>").format(Markup("").join(lines)))
    if table is not None and table.rows:
        parts.append(_table(table))
    if picture is not None:
        # several cells of a notebook are one page, on which every id stands once
        own = hashlib.sha256("".join(parts).encode("utf-8", "replace")).hexdigest()[:8]
        parts.append(Markup('<div class="wide">{}</div>').format(inline(picture, f"picture-{own}")))
    return str(Markup('<div class="equiscope">{}</div>').format(Markup("\n").join(parts)))


def _table(table: Shown) -> Markup:
    def row(tag: str, cells: Sequence[str]) -> Markup:
        kinds = [Markup(' class="left"') if left else Markup("") for left in table.left]
        pieces = [Markup("<{0}{1}>{2}</{0}>").format(tag, kind, text) for kind, text in zip(kinds, cells, strict=True)]
        return Markup("<tr>{}</tr>").format(Markup("").join(pieces))

    body = Markup("").join(row("td", cells) for cells in table.rows)
    whole = Markup('<div class="wide"><table><thead>{}</thead><tbody>{}</tbody></table></div>')
    return whole.format(row("th", table.heads), body)


def audit_cell(audit: AuditData) -> str:
    """Findings, outputs, and the picture of layers."""
    title, *facts = headline(audit)
    columns = columns_of(audit, audit.listed)
    table = Shown(
        [column.heading or "output" for column in columns],
        [column.left for column in columns],
        [[column.page_cell(audit, output) for column in columns] for output in audit.listed.values()],
    )
    picture = plot(audit, "layers") if audit.outputs or audit.layers else None
    return cell(title, facts, findings(audit), table, picture)

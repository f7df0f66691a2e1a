"""The pages: prose by hand, and between markers what was found, made of stored results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from equiscope.report.format import number, percent, short_share, with_error
from equiscope.result.judge import AT_NOISE, Verdict

from . import stored
from .entry import HERE

DOCS = HERE.parent / "docs" / "gallery"
PICTURES = DOCS / "pictures"

PLACE = re.compile(r"(<!-- found: (?P<what>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

SMALLEST = 1e-3
"""Layers hold at least this share in the irreps that stand in their table."""

NEW = """# {title}

What it is, and of whom ([entry](../../gallery/entries/{name}.py)).

```sh
python -m gallery build {name}
```

## Reading

What is exact, what breaks, where, and what to do.

## Numbers

<!-- found: {name} -->
<!-- end -->
"""


def write(names: Iterable[str]) -> None:
    """Make what was found anew on the pages of these entries, and on the index."""
    for name in [*names, "index"]:
        page = DOCS / f"{name}.md"
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")


def renewed(text: str) -> str:
    """A page with what was found made anew."""
    return PLACE.sub(lambda place: f"{place[1]}{_told(place['what'])}\n{place[3]}", text)


def _told(what: str) -> str:
    """ "published", "others", or the name of an entry."""
    if what in ("published", "others"):
        results = {name: stored.load(name) for name in stored.names()}
        return _overview({n: r for n, r in results.items() if r["published"] == (what == "published")})
    result = stored.load(what)
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return "\n\n".join([f"With {versions}.", *(_audit(name, audit) for name, audit in result["audits"].items())])


def _audit(name: str, audit: Mapping[str, Any]) -> str:
    heads = ["output", "as", "verdict", "RMSE", "by hand", "relative", "noise"]
    heads += ["rotations alone", "by hand"] if audit["group"] == "O3" else []
    rows = [_output(key, output)[: len(heads)] for key, output in audit["outputs"].items()]
    grid = f"degree {audit['degree']}, " if audit["degree"] is not None else ""
    said = f"Systems: {', '.join(audit['systems'])}. "
    said += f"Group {audit['group']}, {grid}{audit['rotations']} elements, {audit['dtype']}."
    parts = [f"**{name}**", said, _table(heads, rows)]
    if audit["layers"]:
        parts.append(_layers(audit["layers"]))
    warned = [f"- *Warning:* {line}" for line in audit["warns"]]
    parts.append("The report says:\n\n" + "\n".join([*(f"- {line}" for line in audit["says"]), *warned]))
    return "\n\n".join(parts)


def _output(name: str, output: Mapping[str, Any]) -> list[str]:
    return [
        f"`{name}`",
        output["representation"],
        output["verdict"],
        _rmse(output),
        with_error(output["by_hand"], output["by_hand_error"] if _broken(output) else 0.0, "±"),
        _relative(output),
        number(output["noise"], 2),
        number(output["rotations"]),
        number(output["by_hand_rotations"]),
    ]


def _broken(output: Mapping[str, Any]) -> bool:
    return Verdict(output["verdict"]).is_broken


def _rmse(output: Mapping[str, Any]) -> str:
    """Without an error where it is noise."""
    unit = f" {output['unit']}" if output["unit"] else ""
    return with_error(output["rmse"], output["rmse_error"] if _broken(output) else 0.0, "±") + unit


def _relative(output: Mapping[str, Any]) -> str:
    """Nothing where the error is noise."""
    return percent(output["relative"]) if _broken(output) else "-"


def _alone(output: Mapping[str, Any]) -> str:
    """What rotations alone do."""
    alone = output["rotations"]
    if alone is None or not _broken(output):
        return ""
    unit = f" {output['unit']}" if output["unit"] else ""
    return "exact" if alone <= AT_NOISE * output["noise"] else number(alone) + unit


def _layers(layers: Mapping[str, Any]) -> str:
    """Shares by irrep; one that no layer has is left out."""
    lmax = max(len(layer["shares"]) for layer in layers.values())
    held = {
        (l, s): max((layer["shares"][l][s] for layer in layers.values() if l < len(layer["shares"])), default=0.0)
        for l in range(lmax)
        for s in (0, 1)
    }
    shown = [label for label, most in held.items() if most >= SMALLEST]
    heads = ["share of power", *(f"{l}{'+-'[s]}" for l, s in shown), "above"]
    rows = [
        [f"`{name}`", *(short_share(layer["shares"][l][s]) for l, s in shown), short_share(layer["above"])]
        for name, layer in layers.items()
    ]
    return _table(heads, rows)


def _overview(results: Mapping[str, Any]) -> str:
    heads = ["model", "version", "systems", "group", "degree", "output", "verdict", "RMSE", "relative"]
    heads.append("rotations alone")
    return _table(heads, [row for name, result in results.items() for row in _rows(name, result)])


def _rows(name: str, result: Mapping[str, Any]) -> Iterable[list[str]]:
    for kind, audit in result["audits"].items():
        for key, output in audit["outputs"].items():
            yield [
                f"[{result['title']}]({name}.md)",
                next(f"{package} {version}" for package, version in result["versions"].items()),
                f"{kind} ({len(audit['systems'])})",
                audit["group"],
                str(audit["degree"] or ""),
                f"`{key}`",
                output["verdict"],
                _rmse(output),
                _relative(output),
                _alone(output),
            ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

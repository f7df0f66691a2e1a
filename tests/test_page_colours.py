"""What is written on a page stands out from its ground, in light and in dark, as WCAG 2.1 asks (4.5 to 1)."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from equiscope.report import palette

STYLE = files("equiscope.report").joinpath("page.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
)
TEXT, MARK = 4.5, 3.0


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.1 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_definition():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["ink", "faint", "link", "good", "poor"])
def test_text_is_read(colours, name):
    assert contrast(colours[name], colours["paper"]) >= TEXT
    assert contrast(colours["ink"], colours["tint"]) >= TEXT


@pytest.mark.parametrize("colour", [*palette.SERIES, palette.PROPER, palette.PSEUDO, palette.MARK])
def test_lines_of_pictures_are_seen_in_the_dark(colour):
    assert contrast(colour, DARK["paper"]) >= MARK

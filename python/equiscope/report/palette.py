"""Colours and sizes of the pictures. No matplotlib here: the page needs the colours too."""

from __future__ import annotations

from typing import Any

Options = dict[str, Any]
"""Keyword arguments of matplotlib's artists."""

INK = "#1f2329"
"""Text and axes. The page replaces this and the three below by its own colours, for its dark scheme."""
FAINT = "#6b7280"
RULE = "#d7dade"
PAPER = "#fefefe"

PROPER, PSEUDO, MARK = "#0072b2", "#d55e00", "#cc79a7"
"""First family of irreps, second (for O(3) sigma = +1 and -1), and what is pointed out: Okabe and Ito's colours, told
apart by colour-blind readers."""

SERIES = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
"""Colours of lines that have no meaning of their own."""

MARKERS = "osD^vP"

MAP = "viridis"
"""Perceptually uniform, and monotonic in grey."""

SIZE, SMALL = 8.0, 7.5
"""Font sizes in points: labels, and ticks or notes."""

DPI = 200

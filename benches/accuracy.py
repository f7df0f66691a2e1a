"""How accurate D and Y are, by degree and dtype, against 50 digits: the table of docs/kernels.md.

    python benches/accuracy.py [--page]

The digits are those of tests/make_tables.py; the bounds are what `tests/test_wigner.py` and `tests/test_harmonics.py`
hold. --page writes the table where the page shows it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from page import rewrite

import equiscope as eq
from equiscope.tolerance import tolerance

DIGITS = Path(__file__).parent.parent / "tests" / "data" / "tables.npz"
MARKERS = ("<!-- accuracy -->\n", "<!-- /accuracy -->\n")
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def errors(dtype: torch.dtype) -> dict[str, dict[int, float]]:
    """Largest error of D and of Y by degree."""
    with np.load(DIGITS) as stored:
        rotations, D, Y = (torch.from_numpy(stored[name]) for name in ("rotations", "D", "Y"))
    found: dict[str, dict[int, float]] = {"wigner_D": {}, "spherical_harmonics": {}}

    def take(kernel: str, degrees: torch.Tensor, error: torch.Tensor) -> None:
        for l in degrees.unique().long().tolist():
            worst = float(error[degrees == l].max())
            found[kernel][l] = max(worst, found[kernel].get(l, 0.0))

    for first in range(0, len(rotations), 4):  # all rotations up to l = 131 are a gigabyte
        here = D[(D[:, 0] >= first) & (D[:, 0] < first + 4)]
        blocks = eq.wigner_D(rotations[first : first + 4].to(dtype), int(D[:, 1].max()))
        values = torch.stack([blocks[l][i - first, mp + l, m + l] for i, l, mp, m in here[:, :4].long().tolist()])
        take("wigner_D", here[:, 1], (values.double() - here[:, 4]).abs())
    l, m = Y[:, 3].long(), Y[:, 4].long()
    values = eq.spherical_harmonics(Y[:, :3].to(dtype), int(l.max())).gather(1, (l * l + l + m)[:, None])[:, 0]
    take("spherical_harmonics", Y[:, 3], (values.double() - Y[:, 5]).abs())
    return found


def table() -> str:
    """Markdown: measured error and bound, a row for each degree."""
    measured = {name: errors(dtype) for name, dtype in DTYPES.items()}
    heads = [(kernel, name) for kernel in ("wigner_D", "spherical_harmonics") for name in DTYPES]
    text = [f"| l | {' | '.join(f'{kernel}, {name}' for kernel, name in heads)} |", "|---" * (len(heads) + 1) + "|"]
    for l in sorted(measured["float64"]["wigner_D"]):
        cells = [
            f"{measured[name][kernel][l]:.1e} (bound {tolerance(kernel, l, DTYPES[name]).atol:.1e})"
            for kernel, name in heads
            if l in measured[name][kernel]
        ]
        if len(cells) == len(heads):
            text.append(f"| {l} | {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true")
    if parser.parse_args().page:
        rewrite(MARKERS, table())
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()

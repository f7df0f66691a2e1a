"""No window is so narrow that a number loses a digit or its exponent."""

from __future__ import annotations

import re

import pytest
from report_builder import realistic

from equiscope.report.columns import columns_of
from equiscope.report.format import number
from equiscope.report.table import to_text


@pytest.fixture(scope="module")
def audit():
    report = realistic(systems=3, depth=4)
    for output in report.outputs.values():
        output.rmse_error, output.unit = output.rmse / 30, "e bohr^2"
        output.noise_floor = 1.23e-07
    return report


@pytest.mark.parametrize("width", [*range(40, 100, 5), *range(100, 201, 20)])
def test_every_number_of_the_table_stands_whole_or_not_at_all(audit, width):
    columns = columns_of(audit, audit.outputs)
    for name, output in audit.outputs.items():
        whole = {word for column in columns for word in (column.terminal_cell or column.cell)(audit, output).split()}
        (row,) = [line for line in to_text(audit, width).splitlines() if line.startswith(f"{name} ")][:1]
        assert number(output.rmse) in row
        digits = [word for word in row.split() if re.search(r"\d", word)]
        assert not [word for word in digits if word not in whole], row


def heads(audit, width):
    return [line for line in to_text(audit, width).splitlines() if line.startswith("output ")]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_columns_that_do_not_fit_stand_below_the_others(audit, width):
    shown = " ".join(heads(audit, width)).split()
    for column in columns_of(audit, audit.outputs):
        if column.terminal and column.terminal[0]:
            assert shown.count(column.terminal[width < 100].split()[0]) == 1
    assert len(heads(audit, width)) == {40: 3, 60: 2, 80: 2, 120: 1}[width]

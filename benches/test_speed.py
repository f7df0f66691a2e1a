"""The cases of `table.py` under pytest-benchmark: pytest benches --benchmark-enable.

A bound that is missed fails unless its case says why it is. EQUISCOPE_BENCH_QUICK=1 runs small sizes without bounds.
"""

import os

import pytest
import torch
from table import GROUPS, lines, measure

QUICK = os.environ.get("EQUISCOPE_BENCH_QUICK") == "1"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.timeout(600)
def test_speed(benchmark, group):
    rows = [measure(case, QUICK) for case in GROUPS[group](QUICK)]
    print()
    for row in rows:
        print(*lines(row), sep="\n")
    unexplained = [b["bound"] for row in rows for b in row["bounds"] if not (b["met"] or b["why_not"])]
    assert not unexplained
    benchmark.extra_info["rows"] = rows
    if case := next(GROUPS[group](QUICK), None):
        benchmark.pedantic(case.calls["ours"], rounds=3)

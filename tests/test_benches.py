"""The benchmarks run, their answers are asserted, and their judgement is right on numbers given by hand."""

import json
import math
import re
import sys
from pathlib import Path

import pytest
import torch

BENCHES = Path(__file__).parent.parent / "benches"


@pytest.fixture(autouse=True)
def benches(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHES))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    for name in ("cases", "end_to_end", "table", "growth", "instructions", "dropin"):
        sys.modules.pop(name, None)


def test_kernels_agree_with_their_peers_in_quick_mode(monkeypatch, capsys, tmp_path):
    import table

    path = tmp_path / "found.json"
    only = "wigner_D,spherical_harmonics,rotate,character_power"
    monkeypatch.setattr(sys, "argv", ["table.py", "--quick", "--only", only, "--json", str(path)])
    table.main()
    printed = capsys.readouterr().out
    stored = json.loads(path.read_text())
    assert len(stored["rows"]) >= 10
    for row in stored["rows"]:
        assert row["case"] in printed
        assert all(seconds > 0 for seconds in row["seconds"].values())
        assert row["ratios"]


def test_drop_ins_have_the_loss_and_the_gradients_of_their_peers_in_quick_mode(monkeypatch, capsys, tmp_path):
    import dropin

    path = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["dropin.py", "--quick", "--json", str(path)])
    dropin.main()
    rows = json.loads(path.read_text())["rows"]
    assert len(rows) == 4 and all(row["case"] in capsys.readouterr().out or row["ratios"] for row in rows)
    # a frame that is not the edge's changes what the block gives
    monkeypatch.setitem(dropin.PEERS, "ours", lambda edges, lmax: dropin.by_turns(edges.roll(1, -1), lmax))
    with pytest.raises(AssertionError, match="ours at lmax 2"):
        list(dropin.cases(20, 2, 2))


def test_audits_of_cheap_models_agree_with_these_in_quick_mode():
    import end_to_end
    import table

    for case in end_to_end.audit_cheap(True):
        assert table.measure(case, quick=True)["ratios"]["bare"] > 0


@pytest.mark.slow
def test_audits_agree_with_the_bare_model_in_quick_mode():
    import end_to_end
    import table

    for case in (*end_to_end.audit_demo(True), *end_to_end.audit_many(True)):
        assert table.measure(case, quick=True)["seconds"]["ours"] > 0


def test_a_wrong_answer_is_noticed(monkeypatch):
    import cases

    import equiscope as eq

    right = eq.rotate
    monkeypatch.setattr(eq, "rotate", lambda x, *args, **kwargs: right(x, *args, **kwargs) * 1.01)
    with pytest.raises(AssertionError):
        list(cases.rotate(True))


def test_a_peer_that_is_missing_is_named(monkeypatch, tmp_path):
    import cases
    import table

    (tmp_path / "only_a_namespace" / "sibling").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    case = cases.case("one", "call", 1, lambda: None)
    case.peer("nobody", "no_such_module", lambda module: lambda: None)
    case.peer("sibling alone", "only_a_namespace", lambda module: module.call)
    row = table.measure(case, quick=True)
    assert row["missing"] == ["nobody", "sibling alone"]
    assert any("not installed: nobody, sibling alone" in line for line in table.lines(row))


def test_bounds_are_met_or_missed():
    from cases import Bound

    assert Bound("peer", at_least=10).met(10.5) and not Bound("peer", at_least=10).met(9.5)
    assert Bound("limit", at_most=1.2).met(1 / 1.19) and not Bound("limit", at_most=1.2).met(1 / 1.21)


def test_exponents():
    from growth import exponent

    sizes = [1, 2, 4, 8, 16, 32]
    assert exponent(sizes, [5.0 * n**2.5 for n in sizes]) == pytest.approx(2.5)
    # a fixed cost that only the small sizes feel
    assert exponent(sizes, [max(n**3, 50.0) for n in sizes]) == pytest.approx(3.0)
    assert math.isnan(exponent([2], [1.0]))


def test_a_tenth_more_instructions_is_too_many():
    from instructions import BASELINE, KERNELS, grown

    baseline = {"wigner_D": 1000, "rotate_mul_ir": 1000}
    assert grown({"wigner_D": 1090, "rotate_mul_ir": 1000}, baseline) == []
    (said,) = grown({"wigner_D": 1000, "rotate_mul_ir": 1110}, baseline)
    assert said.startswith("rotate_mul_ir") and "+11.0%" in said
    assert set(json.loads(BASELINE.read_text())["instructions"]) == set(KERNELS)


def test_the_tables_of_the_page_are_those_of_the_stored_results():
    import table
    from page import shown

    assert shown(table.MARKERS) == table.page_tables()


def test_the_accuracy_on_the_page_is_that_of_the_kernels():
    import accuracy
    from page import shown

    told, found = (text.splitlines() for text in (shown(accuracy.MARKERS), accuracy.table()))
    assert told[:2] == found[:2] and len(told) == len(found) > 6
    number = re.compile(r"([\d.]+e[+-]\d+) \(bound ([\d.]+e[+-]\d+)\)")
    for one, other in zip(told[2:], found[2:], strict=True):
        for (a, bound), (b, same) in zip(number.findall(one), number.findall(other), strict=True):
            # round-off differs between machines
            assert bound == same and float(a) <= float(bound) and float(b) <= 4 * float(a) + 1e-16, one

"""How many rows a batch holds."""

import pytest
import torch

import equiscope as eq
from equiscope import demo
from equiscope.probe.batch import FIRST_ROWS, LEAST_ROWS, MOST_ROWS, BatchRows

CPU = torch.device("cpu")


def settled(cost, device=CPU):
    """The size that is found where a row costs ``cost(rows per batch)``."""
    size = BatchRows("auto")
    for _ in range(100):
        size.record(size.rows, cost(size.rows) * size.rows, device)
    assert not size.searching
    return size.rows


@pytest.mark.parametrize("best", [256, 512, 1024, 2048, 4096])
def test_the_cheapest_size_is_found(best):
    assert settled(lambda rows: max(rows / best, best / rows)) == best


def test_sizes_stay_within_bounds():
    assert settled(lambda rows: 1 / rows) == MOST_ROWS["cpu"]
    assert settled(lambda rows: rows) == LEAST_ROWS
    assert settled(lambda rows: 1.0) == FIRST_ROWS
    assert settled(lambda rows: 1 / rows, torch.device("cuda")) == MOST_ROWS["cuda"]


def test_a_fixed_size_stays_and_batches_half_filled_do_not_count():
    fixed = BatchRows(77)
    fixed.record(77, 1.0, CPU)
    assert fixed.rows == 77
    auto = BatchRows("auto")
    for _ in range(9):
        auto.record(FIRST_ROWS // 2, 1e-9, CPU)
    assert auto.rows == FIRST_ROWS and auto.searching


def test_the_choice_is_reported_and_changes_nothing_but_round_off():
    model, molecules = demo.load_model().double(), demo.load_molecules()[:3]
    molecules = [{**m, "positions": m["positions"].double()} for m in molecules]
    settings = dict(inputs=demo.INPUTS, outputs=demo.REPRESENTATIONS, layers="pool", lmax=3, degree=12)
    auto = eq.audit(model, molecules, **settings)
    fixed = eq.audit(model, molecules, batch_rows=100, **settings)
    assert auto.settings["batch_rows_asked"] == "auto"
    assert auto.settings["batch_rows"] in (256, 512, 1024, 2048, 4096)
    assert fixed.settings["batch_rows"] == fixed.settings["batch_rows_asked"] == 100
    for name, output in fixed.outputs.items():
        assert auto.outputs[name].rmse == pytest.approx(output.rmse, rel=1e-9)
        torch.testing.assert_close(auto.outputs[name].power, output.power, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(auto.layers["pool"].power, fixed.layers["pool"].power, rtol=1e-9, atol=1e-12)

"""What lies on a device for later calls: bounded, and there for as long as a captured graph reads it."""

import threading

import pytest
import torch

import equiscope as eq
from equiscope.errors import DeviceError
from equiscope.kernels import kept, packed_size, products
from equiscope.kernels.cpu import CpuBackend

CPU = torch.device("cpu")


class Counted:
    def __init__(self):
        self.made = []

    def get(self, store, name):
        def make():
            self.made.append(name)
            return (torch.tensor([name]),)

        (found,) = store.get(name, CPU, f"number {name}", make)
        return int(found)


@pytest.fixture
def capture(monkeypatch):
    """Says whether a graph is being captured."""
    state = {"capturing": False}
    monkeypatch.setattr(kept, "_capturing", lambda device: state["capturing"])
    return lambda capturing: state.update(capturing=capturing)


def test_each_is_made_once_and_the_latest_are_kept():
    store, counted = kept.Kept(2), Counted()
    assert [counted.get(store, name) for name in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    # 3 drove out 2, which was used before 1
    assert counted.made == [1, 2, 3, 2] and len(store) == 2


def test_what_a_graph_has_used_stays_however_much_comes_after(capture):
    store, counted = kept.Kept(2), Counted()
    counted.get(store, 0)
    capture(True)
    for _ in range(5):
        counted.get(store, 0)
    capture(False)
    for name in range(1, 20):
        counted.get(store, name)
    assert counted.get(store, 0) == 0 and counted.made.count(0) == 1
    # captured over and over again it is one entry all the same
    assert len(store) == 3


def test_nothing_is_made_during_a_capture(capture):
    store, counted = kept.Kept(2), Counted()
    capture(True)
    with pytest.raises(DeviceError, match="stream: expected one call with number 4 before a graph is captured"):
        counted.get(store, 4)
    assert not counted.made and not len(store)


def test_threads_get_one_and_the_same():
    store, counted = kept.Kept(4), Counted()
    threads = [threading.Thread(target=lambda: [counted.get(store, n % 4) for n in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counted.made) == [0, 1, 2, 3]


def test_a_gradient_of_power_makes_its_tables_once(monkeypatch):
    store = kept.Kept(2)
    monkeypatch.setattr(products, "_orders", store)
    R, weights = eq.random_rotations(5), torch.ones(5, dtype=torch.float64)
    c = torch.randn(packed_size(3), 2, dtype=torch.float64)
    first = products.synthesize(c, R, weights, 8, 3, CpuBackend().wigner_D)
    monkeypatch.setattr(torch, "arange", lambda *_: pytest.fail("tables were made again"))
    assert torch.equal(products.synthesize(c, R, weights, 8, 3, CpuBackend().wigner_D), first)
    assert len(store) == 1

"""What tests of every part share."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

# before numpy and torch are imported, and for the processes that tests start: tensors are small here, and threads that
# wait for each other take longer than the work. Tests of threads say how many.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

BLANK = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b'<svg width="1" height="1"></svg>'}
TABLES = pathlib.Path(__file__).parent / "data" / "tables.npz"


@pytest.fixture(autouse=True)
def repeatable():
    """Seeded draws, and no state of torch left behind."""
    torch.manual_seed(20260324)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    yield
    # set only where a test changed it: after that, MKL's batched inverse of matrices beyond some 180 rows fails
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


@pytest.fixture(scope="session")
def tables():
    """Elements of D and Y to 50 digits, written by make_tables.py."""
    with np.load(TABLES) as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


@contextlib.contextmanager
def blank() -> Iterator[None]:
    """Within the block pictures are drawn, but neither laid out nor rendered, which takes a second for each."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("equiscope.report.render.render", lambda figure, kind: BLANK[kind])
        patch.setattr("equiscope.report.render.settle", lambda figures: None)
        yield


@pytest.fixture
def blank_pictures() -> Iterator[None]:
    """For tests of everything else that is saved."""
    with blank():
        yield

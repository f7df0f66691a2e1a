"""The examples in the docstrings of the kernels run and print what they say."""

import doctest

import pytest
import torch

from equiscope.groups import group, registry
from equiscope.ops import harmonics, projection, rotation, wigner
from equiscope.symmetrize import entry

NAMES = {"torch": torch, "quadrature": registry.quadrature}


@pytest.mark.parametrize(
    "module", [harmonics, projection, rotation, wigner, group, registry, entry], ids=lambda m: m.__name__
)
def test_examples_run(module):
    found = doctest.testmod(module, extraglobs=NAMES)
    assert found.attempted > 0 and found.failed == 0

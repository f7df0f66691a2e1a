"""Six numbers stand for a symmetric tensor of nine: every number of "voigt" is that of the tensor."""

import pytest
import torch

import equiscope as eq

WEIGHTS = torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double()
DATA = [torch.randn(5, 3, generator=torch.Generator().manual_seed(i)).double() for i in (2, 3)]


def tensor(input):
    p = torch.tanh(input @ WEIGHTS).sum(1)
    odd = (input @ WEIGHTS).pow(3).sum((1, 2))[:, None, None]
    return torch.einsum("bni,bnj->bij", input, input) + 0.3 * p[:, :, None] * p[:, None, :] + 0.1 * odd


def voigt(input):
    full = tensor(input)
    return torch.stack([full[:, i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], -1)


@pytest.mark.parametrize(
    "ask",
    [
        {"degree": 14},
        {"degree": 6, "lmax": 0},
        {"degree": 14, "group": "SO3"},
        {"estimator": "monte-carlo", "rotations": 64},
    ],
    ids=str,
)
def test_errors_and_everything_derived_from_the_error_agree(ask):
    settings = {"inputs": "vector", "lmax": 2, "progress": False, **ask}
    a, b = (eq.audit(f, DATA, outputs={"s": kind}, **settings) for f, kind in ((tensor, "tensor"), (voigt, "voigt")))
    one, other = a.outputs["s"], b.outputs["s"]
    assert one.rmse_error > 0 and one.symmetrised > 0
    for key in ("rmse", "rmse_error", "relative", "size", "symmetrised", "rmse_rotations", "inversion"):
        if (expected := getattr(one, key)) is not None:
            assert getattr(other, key) == pytest.approx(expected, rel=1e-6), key
    assert other.verdict is one.verdict
    for row, same in zip(a.systems, b.systems, strict=True):
        for key in ("rmse", "rmse_error", "relative", "total"):
            assert same.outputs["s"][key] == pytest.approx(row.outputs["s"][key], rel=1e-6), key

"""The assertion passes what is kept as far as can be seen, and fails on all else, with the reason."""

import pytest
import torch

import equiscope as eq
from equiscope.testing import assert_equivariant

POS = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()


def check(model, kind="scalar", data=None, **settings):
    assert_equivariant(model, [POS] if data is None else data, inputs="vector", outputs={"u": kind}, **settings)


def test_an_exact_model_passes():
    check(lambda input: input.square().sum((-1, -2)))


def test_what_vanishes_by_symmetry_passes_whatever_its_relative_error(monkeypatch):
    """The dipole of a tetrahedron, in float32: round-off alone, 0.7 of its own size."""
    tetrahedron = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.6291
    dipole = lambda input: input.sum(1)  # noqa: E731
    report = eq.audit(dipole, [tetrahedron], inputs="vector", outputs={"u": "vector"}, lmax=1, degree=6, progress=False)
    found = report.outputs["u"]
    found.noise_floor = 7e-8  # as nudged inputs scatter
    assert found.verdict is eq.Verdict.VANISHES and found.relative > 0.1
    monkeypatch.setattr("equiscope.testing.audit", lambda *_, **__: report)
    check(dipole, "vector")


UNREACHED = {
    "zero for every input": lambda input: 0 * input[..., 0].sum(-1),
    "depends on nothing that is turned": lambda input: input.new_full(input.shape[:1], 3.0),
}


@pytest.mark.parametrize("why", UNREACHED)
def test_an_output_that_no_input_reaches_fails_unless_it_is_meant_to_be_constant(why):
    with pytest.raises(AssertionError, match=rf"u .*{why}, which shows nothing: .*; constant='u' says"):
        check(UNREACHED[why])
    check(UNREACHED[why], constant="u")
    check(UNREACHED[why], constant=["u"])


def test_an_output_that_breaks_fails_whatever_it_is_meant_to_be():
    with pytest.raises(AssertionError, match="u is scalar only to"):
        check(lambda input: input[..., 0].sum(-1), constant="u")


def test_noise_alone_is_no_evidence_of_symmetry():
    generator = torch.Generator().manual_seed(1)
    with pytest.raises(AssertionError, match="turned, by more than repeats scatter, which shows nothing"):
        check(lambda input: 1.0 + torch.randn(len(input), generator=generator).double())


def test_names_that_are_meant_to_be_constant_are_those_of_outputs():
    for outputs in ({"u": "scalar"}, "scalar"):
        with pytest.raises(eq.errors.ArgumentError, match=r"constant: expected names of outputs \(\w+\), got v"):
            assert_equivariant(
                lambda input: input.norm(dim=-1).sum(-1), [POS], inputs="vector", outputs=outputs, constant="v"
            )
    for wrong in (True, {"u"}, [0]):
        with pytest.raises(eq.errors.DTypeError, match="constant: expected a name of an output, or several"):
            check(UNREACHED["zero for every input"], constant=wrong)


def test_a_broken_output_fails_with_its_amount_and_where():
    with pytest.raises(
        AssertionError, match=r"not equivariant to 0\.0001:\n  u is scalar only to .*RMSE .*noise floor"
    ):
        check(lambda input: input.square().sum((-1, -2)) + 0.1 * input[..., 0].sum(-1))
    check(lambda input: input.square().sum((-1, -2)) + 1e-6 * input[..., 0].sum(-1))


def test_rotations_and_inversion_are_told_apart(monkeypatch):
    def triple(input):
        return torch.linalg.det(input[:, :3])

    report = eq.audit(triple, [POS], inputs="vector", outputs={"u": "scalar"}, lmax=1, degree=6, progress=False)
    monkeypatch.setattr("equiscope.testing.audit", lambda *_, **__: report)
    for alone, inversion, words in (
        (1e-16, -1.0, "exact under rotations; inversion changes its sign"),
        (1e-16, 0.2, "exact under rotations; mixes parities"),
        (0.5 * report.outputs["u"].size, -1.0, "breaks under rotations by 0.5 already"),
    ):
        report.outputs["u"].rmse_rotations, report.outputs["u"].inversion = alone, inversion
        with pytest.raises(AssertionError, match=words):
            check(triple)


def test_noise_fails_only_where_the_error_is_beyond_it():
    generator = torch.Generator().manual_seed(1)

    def noisy(input):
        return input.square().sum((-1, -2)) + 0.1 * torch.randn(len(input), generator=generator).double()

    hides = r"not tested to 0.0001: u stochastic, which hides errors up to 0\.\d+ of its size"
    with pytest.warns(RuntimeWarning, match=hides):
        check(noisy)
    check(noisy, tol=0.5)
    with pytest.raises(AssertionError, match="u is scalar only to"):
        check(lambda input: noisy(input) + 10 * input[..., 0].sum(-1))


def test_values_that_are_not_finite_fail():
    def fragile(input):
        norm = input.square().sum((-1, -2))
        return torch.where(input[:, 0, 0] > 0.5 * input[:, 0].norm(dim=-1), torch.nan, norm)

    good = torch.tensor([[0.0, 0.0, 0.0]]).double()
    with pytest.raises((AssertionError, eq.errors.ModelError), match="NaN or infinity"):
        check(fragile, data=[good, POS])


def test_outputs_may_be_left_out_where_the_model_says_them():
    from ase import Atoms
    from ase.calculators.emt import EMT

    assert_equivariant(EMT(), [Atoms("CuCu", positions=[[0, 0, 0], [0.3, 1.2, 2.0]])])
    net = torch.nn.Sequential(torch.nn.Linear(3, 2, dtype=torch.float64))
    with pytest.raises(eq.errors.ArgumentError, match="outputs: expected what the model returns, by name"):
        assert_equivariant(net, [{"input": POS}], inputs={"input": "vector"}, layers="*")


class Invariant(torch.nn.Module):
    """Meant to be so: of distances, but for the coordinates that enter at the second layer by `amount`."""

    def __init__(self, amount):
        super().__init__()
        self.distances, self.filters = torch.nn.Identity(), torch.nn.Linear(3, 2, dtype=torch.float64)
        self.after, self.amount = torch.nn.Tanh(), amount

    def forward(self, input):
        norms = self.distances(input.square().sum(-1, keepdim=True))
        return (norms + self.after(self.amount * self.filters(input))).sum((-1, -2))


@pytest.mark.parametrize("amount", [0.03, 1.0])
def test_the_first_layer_that_carries_the_irrep_of_the_error_is_named(amount):
    torch.manual_seed(0)
    with pytest.raises(
        AssertionError, match=r"first layer that carries l=1, in which (100|9[\d.]+)% of .* u lies: filters$"
    ):
        check(Invariant(amount), layers="*")
    with pytest.raises(
        AssertionError, match=r"first layer that leaks: filters, relative error [\d.]+ \(scalar [\d.]+\)"
    ):
        check(Invariant(amount), layers={"*": "scalar"})
    check(Invariant(0.0), layers="*")

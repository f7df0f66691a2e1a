"""Plain models that return metatensor's TensorMaps."""

import pytest
import torch

import equiscope as eq

metatensor = pytest.importorskip("metatensor.torch")
Labels, TensorBlock, TensorMap = metatensor.Labels, metatensor.TensorBlock, metatensor.TensorMap
VECTOR = eq.Representation.parse("1o", basis="standard", axis=-2)


def counted(name, values):
    return Labels([name], torch.as_tensor(values)[:, None])


def block(values, l):
    components = [counted("o3_mu", range(-l, l + 1))]
    return TensorBlock(values, counted("atom", range(len(values))), components, counted("p", range(values.shape[-1])))


class Spherical(torch.nn.Module):
    """Lengths and vectors of all points; the vectors in the standard order y, z, x, or in another."""

    def __init__(self, order):
        super().__init__()
        self.order, self.inner = order, torch.nn.Identity()

    def forward(self, positions):
        rows = positions.flatten(0, 1)
        blocks = [block(rows.norm(dim=-1).reshape(-1, 1, 1), 0), block(rows[:, self.order, None].expand(-1, -1, 4), 1)]
        return {"q": self.inner(TensorMap(Labels(["o3_lambda", "o3_sigma"], torch.tensor([[0, 1], [1, 1]])), blocks))}


@pytest.mark.parametrize("order, exact", [([1, 2, 0], True), ([1, 0, 2], False)])
def test_spherical_blocks_are_outputs_and_layers_by_their_keys(order, exact):
    outputs = {"q.o3_lambda=0,o3_sigma=1": "scalar", "q.o3_lambda=1,o3_sigma=1": VECTOR}
    report = eq.audit(
        Spherical(order).eval(), [torch.randn(n, 3).double() for n in (3, 5)],
        inputs="vector", outputs=outputs, layers="inner", lmax=1, degree=4, progress=False,
    )  # fmt: skip
    scalar, vector = report.outputs.values()
    assert scalar.verdict is eq.Verdict.EXACT and (vector.verdict is eq.Verdict.EXACT) is exact
    assert vector.channels == 4 and vector.samples == 8
    assert list(report.layers) == ["inner['o3_lambda=0,o3_sigma=1']", "inner['o3_lambda=1,o3_sigma=1']"]


def test_a_tensor_map_is_no_input():
    system = {"x": torch.randn(3, 3).double(), "map": Spherical([1, 2, 0])(torch.randn(1, 3, 3).double())["q"]}
    settings = dict(inputs={"x": "vector", "*": "invariant"}, outputs="vector", batching="loop", progress=False)
    with pytest.raises(eq.errors.DataError, match="data: expected tensors in place of a TensorMap"):
        eq.audit(lambda x, map: x, [system], lmax=1, degree=4, **settings)

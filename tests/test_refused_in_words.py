"""What no audit can judge is refused before the model runs, or in words that say what to do instead."""

import re

import pytest
import torch

import equiscope as eq
from equiscope import errors

POS = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def audit(model, system=None, *, inputs=None, outputs=None, **settings):
    return eq.audit(
        model,
        [{"pos": POS} if system is None else system],
        inputs={"pos": "vector"} if inputs is None else inputs,
        outputs={"u": "scalar"} if outputs is None else outputs,
        **{"lmax": 1, "degree": 6, "progress": False, **settings},
    )


def untouched(**_):
    pytest.fail("the model was called")


class Untouched(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Identity()

    def forward(self, **_):
        pytest.fail("the model was called")


def energy(pos, **_):
    return pos.square().sum((-1, -2))


@pytest.mark.parametrize(
    "system, inputs, message",
    [
        ({"p4": torch.ones(7, 4)}, {}, r"rotates.*got none declared.*may hold vectors or tensors: p4 \(7, 4\)"),
        ({"s": torch.ones(6)}, {}, r"s \(6,\)"),
        ({"t": torch.ones(9)}, {}, r"t \(9,\)"),
        ({"x": torch.ones(3, 8)}, {}, r"x \(3, 8\)"),
        ({"x": torch.ones(5)}, {}, r"rotates.*would be called exact$"),
        ({"x": torch.ones(5, 3)}, {"x": "invariant"}, r"only invariant ones \(x: invariant\)"),
        ({"x": torch.ones(5, 3)}, {"x": "scalar"}, r"only invariant ones \(x: scalar\)"),
        ({"x": torch.ones(5, 4)}, {"x": "4x0e"}, r"only invariant ones \(x: 4x0e\)"),
    ],
)
def test_an_audit_in_which_nothing_rotates_is_refused(system, inputs, message):
    with pytest.raises(errors.ArgumentError, match=f"inputs: .*{message}"):
        audit(untouched, system, inputs=inputs)


def test_what_inversion_alone_turns_is_enough():
    report = audit(lambda q: q[..., 0], {"q": torch.ones(2, 1)}, inputs={"q": "pseudoscalar"})
    assert report.outputs["u"].verdict is eq.Verdict.WRONG


def test_what_only_inversion_turns_is_refused_under_rotations():
    with pytest.raises(errors.ArgumentError, match=r"inputs: expected at least one input that SO3 turns, got only inv"):
        audit(untouched, {"q": torch.ones(2, 1)}, inputs={"q": "pseudoscalar"}, group="SO3")


@pytest.mark.parametrize(
    "declared", [{"outputs": {"u": "1x0e+1x1o"}}, {"inputs": {"pos": "1o"}}, {"layers": {"*": "2e"}}]
)
def test_irreps_without_a_basis_are_refused(declared):
    argument = next(iter(declared))
    model = Untouched()
    message = rf"basis: expected the order.*{argument}\['.*y, z, x.*e3nn.*x, y, z.*Representation\.parse\(.*got none"
    with pytest.raises(errors.ArgumentError, match=message):
        audit(model, **declared)
    with pytest.raises(errors.ArgumentError, match="basis: expected the order"):
        eq.testing.assert_equivariant(
            model, [{"pos": POS}], **{"inputs": {"pos": "vector"}, "outputs": {"u": "scalar"}, **declared}
        )


def test_a_metric_of_irreps_needs_a_basis_too():
    grid = eq.quadrature(4)
    with pytest.raises(errors.ArgumentError, match="basis: expected the order"):
        eq.metrics.EquivarianceError("1x1o", grid)
    assert eq.metrics.EquivarianceError("1x1o", grid, basis="e3nn").representation.basis == "e3nn"
    assert eq.metrics.EquivarianceError("3x0e+1x0o", grid).representation.components == 4


SHAPES = {"p4": (6, 4), "axis": (1, 3)}


def test_a_basis_is_said_for_all_or_for_one():
    """(E, px, py, pz): exact in the order that e3nn has, and in no other."""
    generator = torch.Generator().manual_seed(3)
    system = {
        "p4": torch.randn(6, 4, generator=generator).double(),
        "axis": torch.randn(1, 3, generator=generator).double(),
    }

    def projected(p4, axis):
        return (p4[..., 1:] * axis).sum(-1).square().sum(-1)

    declared = eq.Representation.parse("1x0e+1x1o", basis="e3nn")
    for inputs, basis in ({"p4": declared, "axis": "vector"}, None), ({"p4": "0e+1o", "axis": "vector"}, "e3nn"):
        assert audit(projected, system, inputs=inputs, basis=basis).outputs["u"].verdict is eq.Verdict.EXACT
    wrong = audit(projected, system, inputs={"p4": "0e+1o", "axis": "vector"}, basis="standard")
    assert wrong.outputs["u"].relative > 0.3


def test_scalars_need_no_basis():
    report = audit(lambda pos: pos.square().sum(-1), outputs={"u": "2x0e+3x0e"})
    assert report.outputs["u"].verdict is eq.Verdict.EXACT


def rank(n):
    letters = "ijkl"[:n]
    return lambda pos: torch.einsum(f"{','.join('bn' + x for x in letters)}->b{letters}", *[pos] * n)


@pytest.mark.parametrize("n", [3, 4])
def test_a_tensor_of_higher_rank_is_not_read_as_channels_of_rank_two(n):
    with pytest.raises(errors.ShapeError, match=rf"outputs\['u'\].*rank {n}") as caught:
        audit(rank(n), outputs={"u": "tensor"})
    assert "Representation.parse" in str(caught.value)
    meant = audit(rank(n), outputs={"u": eq.Representation.parse("tensor")})
    assert meant.outputs["u"].channels * meant.outputs["u"].samples == 3 ** (n - 2)


def test_tensors_with_other_axes_before_them_are_taken():
    assert audit(rank(2), outputs={"u": "tensor"}).outputs["u"].verdict is eq.Verdict.EXACT
    many = audit(lambda pos: pos[..., :, None] * pos[..., None, :], outputs={"u": "tensor"})
    assert many.outputs["u"].samples == 5 and many.outputs["u"].verdict is eq.Verdict.EXACT


def test_an_input_of_higher_rank_is_refused_too():
    with pytest.raises(errors.ShapeError, match=r"data\[0\]\.c: .*rank 3"):
        audit(untouched, {"c": torch.ones(3, 3, 3)}, inputs={"c": "tensor"})


@pytest.mark.parametrize(
    "channels, message", [(4, r"Representation\.parse\('vector', axis=-2\)"), (3, "may both be that of the components")]
)
def test_vectors_whose_components_are_not_last_are_refused(channels, message):
    with pytest.raises(errors.ShapeError, match=message):
        audit(lambda pos: pos[..., None] * torch.ones(channels), outputs={"u": "vector"})
    last = audit(
        lambda pos: pos[..., None, :] * torch.ones(channels, 1), outputs={"u": eq.Representation.parse("vector")}
    )
    assert last.outputs["u"].verdict is eq.Verdict.EXACT


@pytest.mark.parametrize(
    "extra, inputs, message",
    [
        (torch.ones(5, 3, dtype=torch.complex64), {}, "real numbers .*undeclared, torch.complex64"),
        (torch.ones(2, dtype=torch.complex128), {}, "real numbers .*undeclared, torch.complex128"),
        (torch.ones(5, 3, dtype=torch.complex64), {"extra": "vector"}, "real numbers .*declared, torch.complex64"),
        (torch.ones(5, dtype=torch.complex64), {"extra": "scalar"}, "real numbers .*declared"),
        (torch.ones(5, 3, dtype=torch.long), {}, r"'vector'.*'invariant'.*int64\) of shape \(5, 3\)"),
        (torch.ones(5, 3, dtype=torch.int32), {"extra": "vector"}, "floating-point tensor, because it is rotated"),
    ],
)
def test_complex_and_whole_numbers_that_look_like_vectors_are_refused(extra, inputs, message):
    with pytest.raises(errors.DTypeError, match=rf"data\[0\]\.extra: .*{message}"):
        audit(untouched, {"pos": POS, "extra": extra}, inputs={"pos": "vector", **inputs})


@pytest.mark.parametrize(
    "extra, inputs",
    [
        (torch.ones(3, dtype=torch.long), {}),
        (torch.ones(2, 3, dtype=torch.long), {}),
        (torch.ones(5, 3, dtype=torch.bool), {}),
        (torch.ones(5, 3, dtype=torch.long), {"extra": "invariant"}),
        (torch.ones(5, 3, dtype=torch.complex64), {"extra": "invariant"}),
        (torch.full((5, 5), -torch.inf), {}),
        (torch.full((5, 3), -torch.inf), {"extra": "invariant"}),
    ],
)
def test_species_edges_masks_and_what_is_declared_invariant_are_taken(extra, inputs):
    report = audit(energy, {"pos": POS, "extra": extra}, inputs={"pos": "vector", **inputs})
    assert report.outputs["u"].verdict is eq.Verdict.EXACT


@pytest.mark.parametrize("extra", [torch.tensor([torch.nan]), torch.full((1, 3), torch.inf)])
def test_what_is_not_finite_is_refused_where_it_rotates_and_nan_everywhere(extra):
    inputs = {"pos": "vector", **({"extra": "vector"} if extra.ndim > 1 else {})}
    with pytest.raises(errors.DataError, match=r"data\[0\]\.extra: expected finite values, got NaN"):
        audit(untouched, {"pos": POS, "extra": extra}, inputs=inputs)


def test_complex_outputs_are_refused_in_words():
    with pytest.raises(errors.ModelError, match=r"u: .*complex64; return its \.real and \.imag"):
        audit(lambda pos: torch.complex(pos, pos).sum(1), outputs={"u": "vector"})


@pytest.mark.parametrize("batching", ["stack", "loop"])
@pytest.mark.parametrize(
    "returned, message",
    [
        (lambda pos: {"v": pos, "w": "text"}, r"\(v\), got 'u'$"),
        (lambda pos: {"v": pos, "u": "text"}, r"\(v\), got 'u' \('u' is a str: return tensors"),
        (lambda pos: object(), r"\(no tensor\), got 'u' \(a object: return tensors"),
    ],
)
def test_results_that_hold_no_numbers_are_named(returned, message, batching):
    with pytest.raises(errors.ArgumentError, match=f"outputs: expected names that the model returns.*{message}"):
        audit(returned, batching=batching)


@pytest.mark.parametrize("returned", [lambda pos: float(pos.sum()), lambda pos: pos.numpy().sum()])
def test_one_number_for_a_batch_of_copies_is_refused(returned):
    with pytest.raises(errors.ModelError, match=r"u: expected a first axis of copies.*shape \(\)"):
        audit(returned)


def test_leaves_beside_the_outputs_may_be_anything():
    report = audit(lambda pos: {"u": pos.square().sum(), "atoms": 5, "name": "x"}, batching="loop")
    assert report.outputs["u"].verdict is eq.Verdict.EXACT


class Empty:
    pass


@pytest.mark.parametrize(
    "system, message",
    [
        (Empty(), r"data\[0\]: expected a tensor or array, or a dict, tuple or object that holds some, got Empty"),
        ({"pos": "H2O"}, r"data\[0\]: .*got dict of str"),
    ],
)
def test_systems_that_hold_no_numbers_are_refused(system, message):
    with pytest.raises(errors.DataError, match=message):
        audit(untouched, system)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"inputs": {"pos": "vektor"}}, r"^inputs\['pos'\]: expected one of scalar, .*got 'vektor'"),
        ({"inputs": "vektor"}, r"^inputs: expected one of scalar, .*got 'vektor'"),
        ({"inputs": {"pos": {"vector": 3}}}, r"^inputs\['pos'\]: expected a dict from kinds to slices"),
        ({"outputs": {"u": 3}}, r"^outputs\['u'\]: expected one of scalar, .*got int"),
        ({"outputs": {"u": "voigt(xx,yy)"}}, r"^outputs\['u'\]: expected the six of"),
        ({"layers": {"embed": "tensor(ij=jk)"}}, r"^layers\['embed'\]: expected "),
    ],
)
def test_a_representation_that_is_none_is_named_by_its_key(declared, message):
    with pytest.raises((errors.ArgumentError, errors.DTypeError), match=message):
        audit(untouched, **declared)


def test_batches_of_a_loader_are_no_systems():
    loader = torch.utils.data.DataLoader([{"pos": POS}] * 4, batch_size=2)
    with pytest.raises(errors.DataError, match=r"data: .*loader\.dataset.*DataLoader of batches of 2"):
        eq.audit(untouched, loader, inputs={"pos": "vector"}, outputs={"u": "scalar"})
    single = torch.utils.data.DataLoader([{"pos": POS}] * 2, batch_size=None)
    assert (
        len(eq.audit(energy, single, inputs={"pos": "vector"}, outputs={"u": "scalar"}, lmax=0, degree=6).systems) == 2
    )


def test_a_model_that_differentiates_and_must_not_is_told_so():
    def forces(pos):
        pos.requires_grad_(True)
        return -torch.autograd.grad(pos.square().sum(), pos)[0]

    with pytest.raises(errors.ModelError, match=r"grad=False.*torch\.enable_grad\(\)") as caught:
        audit(forces, outputs={"u": "vector"}, grad=False)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_error_of_the_model_says_what_the_model_was_given():
    def wide(pos):
        return pos @ torch.ones(4, 1)

    with pytest.raises(RuntimeError, match="mat1 and mat2") as caught:
        audit(wide)
    assert "5, 3), copies along the first axis" in errors.notes(caught.value)[0]


def test_a_model_that_takes_single_systems_is_told_how():
    def model(pos):
        return pos.reshape(15).square().sum()

    with pytest.raises(
        errors.ModelError, match=r"invalid for input .* It runs on one system .*: batching='loop'"
    ) as caught:
        audit(model)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert audit(model, batching="loop").outputs["u"].verdict == "exact"


def test_a_model_that_raises_at_some_elements_is_not_told_of_batches():
    def model(pos):
        if bool((torch.linalg.det(pos[..., :3, :]) < 0).any()):
            raise ValueError("left-handed")
        return pos.square().sum((-1, -2))

    with pytest.raises(ValueError, match="left-handed"):
        audit(model)


def test_a_model_that_asks_for_batch_is_told_how():
    def model(pos, batch):
        return torch.zeros(int(batch.max()) + 1).index_add(0, batch, pos.norm(dim=-1))

    with pytest.raises(errors.ModelError, match=r"batch'\. It runs on the rows .*: batching='concat'") as caught:
        audit(model)
    assert isinstance(caught.value.__cause__, TypeError)
    assert audit(model, batching="concat").outputs["u"].verdict == "exact"


RING = {"pos": POS, "edge_index": torch.stack([torch.arange(len(POS)), torch.arange(len(POS)).roll(1)])}


def test_a_graph_function_that_differentiates_is_told_how():
    def forces(pos, edge_index):
        i, j = edge_index
        energy = (pos[i] - pos[j]).norm(dim=-1).sum()
        return -torch.autograd.grad(energy, pos)[0]

    ask = dict(inputs={"pos": "vector"}, outputs={"f": "vector"}, lmax=0, degree=6, progress=False)
    with pytest.raises(errors.ModelError, match=r"too many values to unpack.* It runs on one .*: batching='loop'"):
        eq.audit(forces, [RING], **ask)
    assert eq.audit(forces, [RING], **ask, batching="loop").outputs["f"].verdict == "exact"


def lengths(pos, edge_index, batch):
    i, j = edge_index
    return torch.zeros(int(batch.max()) + 1).index_add(0, batch[i], (pos[i] - pos[j]).norm(dim=-1))


def lengths_per_volume(pos, edge_index, species, cell, batch):
    return lengths(pos * species[:, None], edge_index, batch) / torch.linalg.det(cell).abs()


CRYSTAL = {**RING, "species": torch.ones(len(POS), dtype=torch.long), "cell": 5 * torch.eye(3)}


@pytest.mark.parametrize("asked", [{}, {"batching": "loop"}], ids=["stack", "loop"])
@pytest.mark.parametrize(
    "model, system, arguments",
    [
        (lengths, RING, {"index": "edge_index"}),
        (lengths_per_volume, CRYSTAL, {"rows": "pos", "index": "edge_index", "system": "cell"}),
    ],
)
def test_a_graph_function_that_asks_for_batch_is_told_the_line_to_write(model, system, arguments, asked):
    line = f"eq.Concat({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
    inputs = {name: "vector" for name in ("pos", "cell") if name in system}
    ask = dict(inputs=inputs, outputs={"u": "scalar"}, lmax=0, degree=6, progress=False)
    with pytest.raises(errors.ModelError, match=rf"'batch'\. It runs on .*: batching={re.escape(line)}$"):
        eq.audit(model, [system], **ask, **asked)
    assert eq.audit(model, [system], **ask, batching=eq.Concat(**arguments)).outputs["u"].verdict == "exact"


def test_a_model_of_one_vector_that_raises_keeps_its_own_error():
    def broken(axis):
        raise ValueError("out of order")

    with pytest.raises(ValueError, match="out of order"):
        audit(broken, {"axis": torch.ones(3)}, inputs={"axis": "vector"})


def test_an_error_of_a_model_in_a_loop_does_not_advise_a_loop():
    def wide(pos):
        return pos @ torch.ones(4, 1)

    with pytest.raises(RuntimeError, match="mat1 and mat2") as caught:
        audit(wide, batching="loop")
    assert "pos (5, 3), one copy: " in errors.notes(caught.value)[0]
    assert "loop" not in errors.notes(caught.value)[0]


@pytest.mark.parametrize("one", [{"pos": POS}, POS], ids=["dict", "tensor"])
def test_one_system_that_is_no_data_set_is_told_to_be_put_in_a_list(one):
    with pytest.raises(errors.DataError, match=r"\(\[data\] where it is one\), got one "):
        eq.audit(untouched, one, inputs="vector", outputs={"u": "scalar"})


@pytest.mark.parametrize(
    "settings, kind, message",
    [
        ({"units": {"v": "eV"}}, errors.ArgumentError, r"units: expected names of declared outputs \(u\), got 'v'"),
        ({"units": {"u": 3}}, errors.ArgumentError, r"units\['u'\]: expected a unit, as text, got 3"),
        ({"units": "eV"}, errors.DTypeError, "units: expected a dict from output name to a unit, as text, got str"),
        ({"reference_rmse": {"v": 1.0}}, errors.ArgumentError, "reference_rmse: expected names of declared outputs"),
        (
            {"reference_rmse": {"u": 0.0}},
            errors.ArgumentError,
            r"reference_rmse\['u'\]: expected a positive number, got 0",
        ),
        ({"reference_rmse": {"u": float("nan")}}, errors.ArgumentError, r"reference_rmse\['u'\]"),
        ({"reference_rmse": 0.1}, errors.DTypeError, "reference_rmse: expected a dict"),
    ],
)
def test_units_and_reference_errors_are_checked_before_the_model_runs(settings, kind, message):
    with pytest.raises(kind, match=message):
        audit(untouched, **settings)

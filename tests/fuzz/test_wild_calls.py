"""Seeded wild calls of every public function: answered as the reference answers, or refused in this package's words.

20,000 in ``-m slow``, 500 otherwise. ``WILD=first:last`` runs others: the number of a call is its seed.
"""

import collections
import math
import os
import random
import warnings

import numpy as np
import pytest
import torch

import equiscope as eq
from equiscope.errors import EquiscopeError
from equiscope.groups.rotations import deviation
from equiscope.kernels import reference
from equiscope.metrics import CharacterSpectrum, EquivarianceError

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.complex64)
REPS = (
    *("scalar", "pseudoscalar", "vector", "pseudovector", "tensor", "voigt", "invariant", "1x1o", "2x1e+1x3o"),
    *("1x1o", "2x0e+1x2o", "3x1e+1x0o", "0x1o", "5x4e+1x0e", "x", "1x-1o", "2x999e"),
)
# what no argument means, or hardly any
NOISE = (
    *(None, True, False, -1, 0, 2, 7, 2**40, 10**30, -0.5, 1.5, math.nan, math.inf, "", "x", "e3nn", "ir_mul", b"x"),
    *([], (), {}, object(), np.zeros(2), np.int64(2), np.float32(0.5), np.array("e3nn"), torch.zeros(3), torch.float16),
    *(torch.device("meta"), slice(2), range(3), lambda *a: None),
)


def numbers(draw, *shape):
    """A tensor of about that shape, of any dtype and layout, perhaps with what is not finite."""
    shape = list(shape)
    if draw.random() < 0.06 and shape:
        shape[draw.randrange(len(shape))] = draw.choice((0, 1, 2, 4))
    if draw.random() < 0.03:
        shape = shape[1:] if draw.random() < 0.5 else [2, *shape]
    x = torch.randn(shape, dtype=torch.float64) * draw.choice((1.0, 1.0, 1.0, 1e-160, 1e30, 1e160, 0.0))
    if draw.random() < 0.05 and x.numel():
        x.view(-1)[draw.randrange(x.numel())] = draw.choice((math.nan, math.inf, -math.inf, -0.0))
    return viewed(draw, x.to(draw.choice(DTYPES) if draw.random() < 0.08 else torch.float64))


def turned(draw, *batch, group="O3"):
    """Rotations, nearly, hardly or not at all."""
    R = eq.random_rotations(math.prod(batch), group=group).reshape(*batch, 3, 3)
    kind = draw.random()
    if kind < 0.08:
        R = R + draw.choice((1e-12, 1e-9, 1e-3, 1.0, math.nan)) * torch.randn_like(R)
    elif kind < 0.12:
        return numbers(draw, *batch, 3, 3)
    return viewed(draw, R.to(draw.choice(DTYPES)) if draw.random() < 0.08 else R)


def viewed(draw, x):
    """The same numbers, held in another way."""
    how = draw.randrange(24)
    if how == 0 and x.ndim > 1:
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    if how == 1 and x.is_floating_point():
        return torch._neg_view(-x)
    if how == 2 and x.ndim:
        return torch.stack([x, x], -1)[..., 0]
    if how == 3 and x.is_floating_point():
        return x.clone().requires_grad_()
    if how == 4:
        return torch.nn.Parameter(x, requires_grad=False)
    if how == 5:
        return draw.choice((x.numpy(force=True) if x.dtype != torch.bfloat16 else x, x.tolist()))
    if how == 6 and x.ndim:
        return draw.choice((x.to_sparse, lambda: x.to("meta")))()
    if how == 7:
        with torch.inference_mode():
            return x.clone()
    return x


def few(draw):
    return draw.choice((0, 1, 2, 3, 4, 5, 8, 13))


def lmax(draw):
    return draw.choice((0, 1, 2, 3, 4, 5, 7, 9, 13, 66, 132, np.int64(2)))


def close(got, expected, l, size=1.0, bent=0.0):
    """Within what the dtype of `got` allows, and `bent`, by which matrices are no rotations."""
    assert got.shape == expected.shape
    if not got.numel():
        return
    double = got.dtype == torch.float64
    eps = 1e-12 if double else {torch.float32: 2e-6, torch.float16: 3e-3, torch.bfloat16: 2e-2}[got.dtype]
    error = (got.detach().double() - expected).abs().max()
    assert float(error) <= (eps * (l + 1) ** 1.5 + 100 * bent) * size, f"off by {float(error):.3g}"


def plain(x):
    return x.detach().resolve_neg().clone().to(torch.float64)


def check_D(found, R, l, basis="standard", out=None):
    if int(l) > 13:
        return
    for own, expected in zip(found, reference.wigner_D(plain(R), int(l), basis=basis), strict=True):
        # a matrix a little off is replaced by its polar factor
        close(own, expected, int(l), 10.0)


def check_Y(found, xyz, l, basis="standard", out=None):
    if int(l) <= 13:
        # the reference takes no care of sizes
        wide = plain(xyz)
        scale = wide.abs().amax(-1, keepdim=True)
        expected = reference.spherical_harmonics(wide / torch.where(scale > 0, scale, 1.0), int(l), basis=basis)
        close(found, expected, int(l), 10.0)


def bent(R):
    return float(deviation(plain(R)).max()) if R.numel() else 0.0


def check_rotate(found, x, R, rep, inverse=False, basis="standard", layout="mul_ir", out=None):
    kind = eq.Representation.parse(rep, basis=basis, layout=layout)
    batch = torch.broadcast_shapes(x.shape[: x.ndim - kind.component_axes], R.shape[:-2])
    wide = plain(x).expand((*batch, *kind.component_shape))
    size = float(wide.abs().max()) if wide.numel() else 1.0
    if size < 1e290:
        turns = plain(R).expand((*batch, 3, 3))
        close(found, reference.rotate(wide, turns, kind, inverse=bool(inverse)), 8, 20.0 * max(size, 1e-300), bent(R))


def check_power(found, values, grid, l):
    wide = plain(values)
    size = float(wide.abs().max()) if wide.numel() else 0.0
    # squares of others leave the range of float32
    if isinstance(grid, eq.Quadrature) and 1e-15 < size < 1e15:
        power = reference.character_power(wide / size, grid, int(l)).double()
        close(found / size**2, power, int(l), 50.0)


def grid_of(draw):
    grid = eq.quadrature(draw.choice((2, 4, 5)), group=draw.choice(("O3", "SO3")))
    return draw.choice((grid, grid, grid, grid, grid, grid, (grid.rotations, grid.weights), grid.rotations))


def power_arguments(draw):
    grid = grid_of(draw)
    size = len(grid) if isinstance(grid, eq.Quadrature) else len(grid[0])
    return [numbers(draw, size, few(draw)), grid, draw.choice((0, 1, 2, 2, 9))], {}


def measured(kind, representation, grid, values, l):
    made = EquivarianceError(representation, grid) if kind is True else CharacterSpectrum(l, grid)
    made.update(values)
    return made.compute()


def metric_arguments(draw):
    grid = grid_of(draw)
    size = len(grid) if isinstance(grid, eq.Quadrature) else len(grid[0])
    values = numbers(draw, size, few(draw), 3)
    return [draw.random() < 0.5, draw.choice(REPS[:4]), grid, values, draw.choice((0, 1, 1, 2))], {}


def check_metric(found, *arguments):
    assert all(bool(torch.isfinite(x).all()) for x in found.values() if isinstance(x, torch.Tensor))


def model(p):
    return {"y": p.square().sum((-1, -2)), "v": p * p[..., :1]}


def audit_arguments(draw):
    data = [numbers(draw, 2, 3) for _ in range(draw.choice((1, 1, 2)))]
    known = {
        "inputs": "vector", "outputs": draw.choice(({"y": "scalar"}, {"v": "vector"}, {"y": "scalar", "v": "vector"})),
        "lmax": draw.choice((0, 1)), "degree": draw.choice((2, 3)), "progress": False,
    }  # fmt: skip
    extra = draw.sample(
        ["group", "tolerance", "estimator", "rotations", "precision", "seed", "keep", "batching", "batch_rows",
         "batch_bytes", "max_memory", "basis", "layout", "dtype", "device", "layers"],
        draw.choice((0, 0, 1, 2)),
    )  # fmt: skip
    return [model, data], {**known, **{name: draw.choice(NOISE[:-2]) for name in extra}}


def check_audit(found, *arguments, **asked):
    for output in found.outputs.values():
        assert math.isfinite(output.rmse) and output.rmse >= 0


BASES = ("standard", "e3nn")


def D_arguments(draw):
    return [turned(draw, few(draw), group=draw.choice(("SO3",) * 9 + ("O3",))), lmax(draw)], {
        "basis": draw.choice(BASES)
    }


def Y_arguments(draw):
    return [numbers(draw, few(draw), 3), lmax(draw)], {"basis": draw.choice(BASES)}


def rotate_arguments(draw):
    rep = draw.choice(REPS)
    try:
        shape = eq.Representation.parse(rep).component_shape
    except EquiscopeError:
        shape = (3,)
    n = few(draw)
    options = {
        "inverse": draw.random() < 0.5,
        "basis": draw.choice(("standard", "e3nn")),
        "layout": draw.choice(("mul_ir", "ir_mul")),
    }
    leading = draw.choice(((n,), (n,), (), (1,), (2, 1), (n, 1)))
    return [numbers(draw, *leading, *shape), turned(draw, *draw.choice(((n,), (n,), (), (), (2,)))), rep], options


def grid_arguments(draw):
    group = draw.choice(("O3", "SO3", "SO2"))
    return [draw.choice((0, 3, 5, 13, 131, 132, -1))], {"group": group, "allow_negative": draw.random() < 0.5}


def random_arguments(draw):
    where = {"group": draw.choice(("O3", "SO3", "")), "device": draw.choice((None, "cpu", "x", "meta"))}
    return [few(draw)], {**where, "dtype": draw.choice((*DTYPES[:2], draw.choice(DTYPES)))}


def parse_arguments(draw):
    return [draw.choice(REPS)], {"basis": draw.choice(BASES)}


def irreps_arguments(draw):
    return ["".join(draw.choice("0123456789xeo+ -") for _ in range(few(draw)))], {}


def path_arguments(draw):
    return [draw.choice(("", "/nowhere", "\0", "." * 300, b"x"))], {}


# name: (how often, function, what the answer must be, arguments)
CALLS = {
    "wigner_D": (20, eq.wigner_D, check_D, D_arguments),
    "spherical_harmonics": (20, eq.spherical_harmonics, check_Y, Y_arguments),
    "rotate": (24, eq.rotate, check_rotate, rotate_arguments),
    "character_power": (12, eq.character_power, check_power, power_arguments),
    "quadrature": (4, eq.quadrature, None, grid_arguments),
    "random_rotations": (5, eq.random_rotations, None, random_arguments),
    "Representation.parse": (5, eq.Representation.parse, None, parse_arguments),
    "Irreps.parse": (3, eq.Irreps.parse, None, irreps_arguments),
    "metrics": (5, measured, check_metric, metric_arguments),
    "load": (1, eq.Audit.load, None, path_arguments),
    "audit": (2, eq.audit, check_audit, audit_arguments),
}


def wild_call(number):
    """What the call with that number does, as (name, arguments, keywords)."""
    draw = random.Random(number)
    torch.manual_seed(number)
    names = list(CALLS)
    name = draw.choices(names, [CALLS[n][0] for n in names])[0]
    arguments, keywords = CALLS[name][3](draw)
    spoiled = draw.random()
    if spoiled < 0.08:
        arguments[draw.randrange(len(arguments))] = draw.choice(NOISE)
    elif spoiled < 0.16 and keywords:
        keywords[draw.choice(list(keywords))] = draw.choice(NOISE)
    elif spoiled < 0.18:
        arguments = arguments[:-1]
    return name, arguments, keywords


def outcome(number):
    """ "answered" or "refused"; anything else is a fault."""
    name, arguments, keywords = wild_call(number)
    _, function, check, _ = CALLS[name]
    try:
        found = function(*arguments, **keywords)
    except EquiscopeError as error:
        assert (str(error) and "expected" in str(error)) or type(error).__name__ in ("ModelError", "MissingExtraError")
        return "refused"
    except TypeError as error:
        # a call with too few arguments is Python's to refuse
        if "missing" in str(error) and "required" in str(error):
            return "refused"
        raise
    tensors = [x for x in (*arguments, *keywords.values()) if isinstance(x, torch.Tensor)]
    if check is not None and not any(x.device.type == "meta" for x in tensors):
        check(found, *arguments, **keywords)
    return "answered"


def run(first, last):
    counts = collections.Counter()
    faults = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(first, last):
            try:
                counts[outcome(number)] += 1
            except Exception as error:
                name, arguments, keywords = wild_call(number)
                given = ", ".join([*map(short, arguments), *(f"{k}={short(v)}" for k, v in keywords.items())])
                faults.append(f"{number}: {name}({given}): {type(error).__name__}: {error}"[:600])
    assert not faults, f"{len(faults)} of {last - first}:\n" + "\n".join(faults[:20])
    return counts


def short(value):
    if isinstance(value, torch.Tensor):
        return f"<{value.dtype} {tuple(value.shape)} {value.layout} on {value.device.type}>"
    return repr(value)[:80]


def test_wild_calls_are_answered_rightly_or_refused_in_words():
    first, last = map(int, os.environ.get("WILD", "0:500").split(":"))
    counts = run(first, last)
    # most calls are meant to get somewhere
    assert counts["answered"] > 0.3 * (last - first) and counts["refused"] > 0.2 * (last - first)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_wild_calls():
    run(500, 20_500)

"""Rows of padding are no rows: numbers depend neither on how many there are nor on what they hold."""

import pytest
import torch

import equiscope as eq
from equiscope.errors import ArgumentError, DataError, DTypeError

QUICK = {"lmax": 2, "degree": 8, "shift": None, "progress": False}
GENERATOR = torch.Generator().manual_seed(0)
REAL = torch.randn(5, 3, dtype=torch.float64, generator=GENERATOR)
OTHER = torch.randn(3, 3, dtype=torch.float64, generator=GENERATOR)


def padded(to, real=REAL, fill=0.0, **masks):
    """With `mask`, True for rows that are real, or what `masks` makes of it under other names."""
    rows = torch.full((to - len(real), 3), fill, dtype=torch.float64)
    mask = torch.arange(to) < len(real)
    named = {name: made(mask) for name, made in masks.items()} if masks else {"mask": mask}
    return {"pos": torch.cat([real, rows]), **named}


def pushed(pos, **masks):
    """One vector per row, with a broken symmetry, and what it likes in the padding."""
    return pos * pos[..., :1].abs()


def audited(data, masks, model=pushed, **settings):
    asked = {"inputs": {"pos": "vector"}, "outputs": {"v": "vector"}, **QUICK, **settings}
    return eq.audit(model, data, masks=masks, **asked)


@pytest.fixture(scope="module")
def bare():
    """Without padding."""
    return audited([{"pos": REAL}], None).outputs["v"]


WAYS = {
    "by name": ({"mask": lambda mask: mask}, "mask"),
    "of numbers": ({"mask": lambda mask: mask.double()}, "mask"),
    "of integers": ({"mask": lambda mask: mask.long()}, "mask"),
    "of padding": ({"padding": lambda mask: ~mask}, "~padding"),
    "for one output": ({"mask": lambda mask: mask}, {"v": "mask"}),
    "for a pattern": ({"ok": lambda mask: mask}, {"*": "ok"}),
    "found": ({"mask": lambda mask: mask}, None),
    "found, of padding": ({"key_padding_mask": lambda mask: ~mask}, None),
    "found, of numbers": ({"valid": lambda mask: mask.double()}, None),
}


@pytest.mark.parametrize("to", [5, 6, 10, 50])
@pytest.mark.parametrize("way", WAYS)
def test_an_error_does_not_depend_on_the_padding(way, to, bare):
    made, masks = WAYS[way]
    report = audited([padded(to, **made)], masks)
    assert report.outputs["v"].rmse == pytest.approx(bare.rmse, rel=1e-12)
    assert report.outputs["v"].samples == 5
    torch.testing.assert_close(report.outputs["v"].power, bare.power)
    if way.startswith("found") and to > 5:
        assert "by itself" in report.settings["masks"]


def test_a_mask_that_is_named_keeps_what_stands_in_the_padding_out(bare):
    for fill in (7.0, 1e6, float("nan")):
        report = audited([padded(8, fill=fill)], "mask")
        assert report.outputs["v"].rmse == pytest.approx(bare.rmse, rel=1e-12)
        assert not report.failures
    with pytest.raises(DataError, match="pos: expected finite values"):
        audited([padded(8, fill=float("nan"))], {"other": "mask"})


def test_systems_of_different_sizes_are_pooled_by_their_real_rows(bare):
    other = audited([{"pos": OTHER}], None).outputs["v"]
    pooled = ((5 * bare.rmse**2 + 3 * other.rmse**2) / 8) ** 0.5
    assert audited([padded(6), padded(6, OTHER)], "mask").outputs["v"].rmse == pytest.approx(pooled, rel=1e-12)
    assert audited([padded(6), padded(9, OTHER)], "mask").outputs["v"].rmse == pytest.approx(pooled, rel=1e-12)


def test_without_a_mask_padding_counts():
    item = {"pos": padded(10)["pos"], "rows": torch.arange(10) < 5}
    diluted = audited([item], {}, model=lambda pos, rows: pushed(pos)).outputs["v"]
    full = audited([{"pos": REAL}], {}).outputs["v"]
    assert diluted.rmse == pytest.approx(full.rmse / 2**0.5, rel=1e-9)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Linear(3, 6, dtype=torch.float64)
        self.pool = torch.nn.Linear(6, 4, dtype=torch.float64)

    def forward(self, pos, mask):
        h = self.embed(pos).tanh()
        pooled = self.pool((h * mask[..., None]).sum(-2))
        return {"v": pushed(pos), "e": pooled.sum(-1)}


def test_layers_by_row_lose_the_padding_and_others_stay():
    torch.manual_seed(0)
    net, outputs = Net(), {"v": "vector", "e": "scalar"}
    shares = []
    for to in (5, 12):
        report = audited([padded(to, fill=2.0)], "mask", model=net, outputs=outputs, layers="*")
        assert {name: layer.samples for name, layer in report.layers.items()} == {"embed": 5, "pool": 1}
        shares.append({name: layer.fractions for name, layer in report.layers.items()})
    for name in shares[0]:
        torch.testing.assert_close(shares[0][name], shares[1][name])


def test_an_output_of_the_whole_with_as_many_numbers_as_rows_is_not_masked():
    def model(pos, mask):
        h = pos * mask[..., None]
        return {"v": pushed(pos), "numbers": torch.stack([(h[..., 0].abs() ** k).sum(-1) for k in range(1, 7)], -1)}

    outputs = {"v": "vector", "numbers": "scalar"}
    found = audited([padded(6)], "mask", model=model, outputs=outputs, keep="samples").outputs["numbers"]
    longer = audited([padded(9)], "mask", model=model, outputs=outputs, keep="samples").outputs["numbers"]
    assert found.rmse == pytest.approx(longer.rmse, rel=1e-12)


@pytest.mark.parametrize(
    "masks, kind, message",
    [
        ("masks", ArgumentError, r"masks: expected names of inputs \(pos, mask\), got 'masks'"),
        ({"v": "~masks"}, ArgumentError, r"masks: expected names of inputs \(pos, mask\), got '~masks'"),
        ("pos", ArgumentError, r"pos: expected a mask: true or false, or 1 and 0, along the rows, got torch\.float64"),
        (["mask"], DTypeError, "masks: expected the name of an input, or a dict to such names, got list"),
        ({"v": 3}, DTypeError, "masks: expected a dict from name or pattern to the name of an input"),
    ],
)
def test_masks_that_cannot_be_are_refused(masks, kind, message):
    with pytest.raises(kind, match=message):
        audited([padded(7)], masks)


def test_a_mask_declared_for_an_output_that_has_no_such_rows_is_refused():
    with pytest.raises(ArgumentError, match=r"masks\['e'\]: expected a mask of the leading axes of"):
        audited(
            [padded(7)],
            {"e": "mask"},
            model=lambda pos, mask: pos[..., :4, :].square().sum(-1),
            outputs={"e": "scalar"},
        )


# -- masks that are inputs of the model, and rotate nothing ----------------------------------------------------------

LAYER = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0, dtype=torch.float64).eval()
EMBED = torch.nn.Linear(3, 8, dtype=torch.float64)
ATTENTION = {
    "minus infinity above the diagonal": torch.full((5, 5), float("-inf"), dtype=torch.float64).triu(1),
    "minus infinity far away": torch.where(
        (torch.arange(5)[:, None] - torch.arange(5)).abs() > 1, float("-inf"), 0.0
    ).double(),
    "true where nothing is seen": torch.ones(5, 5, dtype=torch.bool).triu(1),
    "infinite cutoffs": torch.full((5, 5), float("inf"), dtype=torch.float64),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_infinite_masks_are_taken_as_they_are(name):
    mask = ATTENTION[name]

    def model(pos, near):
        if name == "infinite cutoffs":
            return (EMBED(pos) * (1 / (1 + near[0].sum()))).mean(1) + EMBED(pos).mean(1)
        return LAYER(EMBED(pos), src_mask=near[0]).mean(1)

    asked = {"masks": None, "outputs": {"h": "scalar"}}
    found = audited([{"pos": REAL, "near": mask}], model=model, **asked).outputs["h"]
    within = audited([{"pos": REAL}], model=lambda pos: model(pos, mask[None]), **asked).outputs["h"]
    assert found.rmse == pytest.approx(within.rmse, rel=1e-12) and found.rmse > 0


def test_not_a_number_is_no_mask():
    with pytest.raises(DataError, match="bias: expected finite values, got NaN"):
        audited([{"pos": REAL, "bias": torch.full((5, 5), float("nan")).double()}], None, model=lambda pos, bias: pos)


@pytest.mark.parametrize("order", [1, -1])
def test_a_mask_is_found_whichever_system_has_padding(order, bare):
    full, half = padded(5), padded(5, OTHER)
    report = audited([full, half][::order], None)
    other = audited([{"pos": OTHER}], None).outputs["v"]
    pooled = ((5 * bare.rmse**2 + 3 * other.rmse**2) / 8) ** 0.5
    assert report.outputs["v"].rmse == pytest.approx(pooled, rel=1e-12) and not report.warnings


def test_a_point_at_the_origin_is_no_padding():
    centred = REAL - REAL[2]
    expected = audited([{"pos": centred}], None).outputs["v"]
    found = audited([padded(8, centred)], None)
    assert found.outputs["v"].rmse == pytest.approx(expected.rmse, rel=1e-12) and found.settings["masks"].startswith(
        "mask"
    )


HEADS = torch.randn(6, 3, 3, dtype=torch.float64, generator=GENERATOR)
HEADS[:4] = 0.0


def dipoles(pos, mask):
    """Six vectors of the whole, of which the last two are broken; and a channel-first copy of what is pushed."""
    total = (pos * mask[..., None]).sum(-2)
    broken = torch.einsum("kij,...j->...ki", HEADS, total) + total[..., None, :]
    return {"heads": broken, "first": pushed(pos)[..., None, :, :].expand(*pos.shape[:-2], 6, *pos.shape[-2:])}


@pytest.mark.parametrize("masks", [None, "mask", {"**": "mask"}])
@pytest.mark.parametrize("to", [5, 6, 7])
def test_what_counts_as_many_things_as_there_are_rows_is_no_row(to, masks):
    declared = {"heads": "vector", "first": eq.Representation.parse("vector")}
    found = audited([padded(to)], masks, model=dipoles, outputs=declared).outputs
    assert found["heads"].samples == 6
    assert found["first"].samples * found["first"].channels == 30
    alone = audited([padded(5)], None, model=dipoles, outputs=declared).outputs
    for name in declared:
        assert found[name].rmse == pytest.approx(alone[name].rmse, rel=1e-12)


class Maps(torch.nn.Module):
    """Six channels of each of six rows, six heads of maps between them, six numbers of the whole."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Linear(3, 6, dtype=torch.float64)
        self.maps, self.pooled = torch.nn.Identity(), torch.nn.Identity()

    def forward(self, pos, mask):
        rows = self.embed(pos).tanh()
        maps = self.maps(rows.mT[..., :, None] * rows.mT[..., None, :])
        pooled = self.pooled((rows * mask[..., None]).sum(-2)[..., None].expand(*pos.shape[:-2], 6, 6))
        return maps.sum((-1, -2, -3)) + pooled.sum((-1, -2))


@pytest.mark.parametrize("to", [6, 8])
def test_axes_of_layers_are_those_that_grow_with_a_row(to):
    torch.manual_seed(0)
    net = Maps()
    asked = dict(inputs={"pos": "vector"}, layers="*", **QUICK)
    bare = eq.audit(net, [padded(5)], masks=None, **asked).layers
    found = eq.audit(net, [padded(to)], masks="mask", **asked).layers
    assert {name: layer.samples * layer.channels for name, layer in found.items()} == {
        "embed": 30, "maps": 150, "pooled": 36,
    }  # fmt: skip
    for name in bare:
        torch.testing.assert_close(found[name].power.sum(), bare[name].power.sum())


@pytest.mark.parametrize("masks", [{"w": "mask"}, {"vv*": "mask"}, {"v": "mask", "w": "mask"}])
def test_a_mask_for_a_name_that_is_none_is_refused(masks):
    with pytest.raises(ArgumentError, match="masks: expected names or patterns of inputs, outputs and layers, got '"):
        audited([padded(6)], masks)


def test_what_may_be_a_mask_and_is_not_taken_for_one_is_named():
    item = padded(6, fill=1.0)
    report = audited([item], None)
    assert any("masks='mask' does" in warning for warning in report.warnings)


# -- masks that are the wrong way round ------------------------------------------------------------------------------

WRONG = {
    "by name": ({"mask": lambda mask: mask}, "~mask"),
    "of padding": ({"padding": lambda mask: ~mask}, "padding"),
    "for one output": ({"padding": lambda mask: ~mask}, {"v": "padding"}),
    "for a pattern": ({"mask": lambda mask: mask.double()}, {"*": "~mask"}),
}


@pytest.mark.parametrize("way", WRONG)
@pytest.mark.parametrize("to, fill", [(6, 0.0), (9, 0.0), (20, 0.0), (9, 7.0), (9, 1e6), (9, float("nan"))])
def test_a_mask_by_which_what_is_filled_up_is_real_is_refused(way, to, fill):
    made, masks = WRONG[way]
    mask = next(iter(masks.values())) if isinstance(masks, dict) else masks
    opposite = mask[1:] if mask.startswith("~") else f"~{mask}"
    with pytest.raises(ArgumentError, match=rf"masks: expected rows that are real where '{mask}' .*'{opposite}'"):
        audited([padded(to, fill=fill, **made)], masks)


def test_one_mask_of_pairs_the_wrong_way_round_is_refused():
    pairs = REAL[:, None] - REAL
    near = (pairs.norm(dim=-1) < 2.0) & (pairs.norm(dim=-1) > 0)
    item = {"pairs": pairs * near[..., None], "near": near}
    asked = dict(inputs={"pairs": "vector"}, outputs={"v": "vector"}, **QUICK)
    assert eq.audit(lambda pairs, near: pairs, [item], masks="near", **asked).outputs["v"].samples == int(near.sum())
    with pytest.raises(ArgumentError, match="'near' says the opposite"):
        eq.audit(lambda pairs, near: pairs, [item], masks="~near", **asked)


@pytest.mark.parametrize("fill", [0.0, 7.0, 1e6])
def test_a_single_point_at_the_origin_is_no_padding(fill):
    single = padded(4, torch.zeros(1, 3, dtype=torch.float64), fill)
    found = audited([single, padded(6, fill=fill)], "mask")
    assert found.outputs["v"].samples == 6 and not found.warnings


JUNK = torch.randn(4, 3, dtype=torch.float64, generator=GENERATOR)


def strewn(**masks):
    """Padding that holds numbers of its own."""
    item = padded(9, **masks)
    return {**item, "pos": torch.cat([REAL, JUNK])}


def pooled(pos, mask):
    """Of real rows alone, and of the whole."""
    return {"e": (pos * mask[..., None])[..., 0].abs().sum(-1)}


def attending(pos, mask):
    """Rows of which each attends to all that are real."""
    weights = torch.softmax(torch.where(mask[..., None, :], -torch.cdist(pos, pos), -torch.inf), -1)
    return {"v": pushed(pos) + weights @ pos}


def test_what_stands_in_padding_does_not_matter_where_the_mask_is_right():
    for model, outputs in ((pooled, {"e": "scalar"}), (attending, {"v": "vector"})):
        found = audited([strewn()], "mask", model=model, outputs=outputs)
        expected = audited([padded(9)], "mask", model=model, outputs=outputs)
        for name in outputs:
            assert found.outputs[name].rmse == pytest.approx(expected.outputs[name].rmse, rel=1e-9)
        assert not found.warnings


def test_a_mask_by_which_padding_alone_matters_is_refused():
    with pytest.raises(ArgumentError, match=r"masks: .*'~name' turns one round.*'e' depends on the rows of padding"):
        audited([strewn()], "~mask", model=pooled, outputs={"e": "scalar"})


@pytest.mark.parametrize("fill", [0.0, 2.0])
@pytest.mark.parametrize("wrong", [False, True])
def test_what_depends_on_padding_alone_depends_on_nothing_that_is_turned(fill, wrong):
    def inside(pos, mask):
        read = mask != wrong
        return {"e": (read * (1.0 + pos.square().sum(-1))).sum(-1)}

    report = audited([padded(9, fill=fill)], "mask", model=inside, outputs={"e": "scalar"})
    assert report.outputs["e"].verdict == "exact" and report.outputs["e"].depends is not wrong
    assert any("reads padding alone" in line for line in report.findings()) is wrong


def test_what_is_zero_in_padding_alone_is_zero_and_no_more():
    found = audited([padded(9)], "mask", model=lambda pos, mask: pos * ~mask[..., None], outputs={"v": "vector"})
    assert found.outputs["v"].verdict == "zero"


def test_a_mask_that_was_found_is_told_in_a_note():
    (note,) = audited([padded(7)], None).notes
    assert note.startswith("`mask` was taken for the mask, true where rows are real")
    (note,) = audited([padded(7, padding=lambda mask: ~mask)], None).notes
    assert note.startswith("`padding` was taken for the mask, true where rows are padding")
    assert not audited([padded(7)], "mask").notes


def test_padding_that_reaches_what_is_real_is_warned_of():
    (warning,) = audited([strewn()], "~mask", model=attending).warnings
    assert "padding changes `v`" in warning and "'~name' turns one round" in warning
    leaky = audited([strewn()], "mask", model=lambda pos, mask: pos - pos.mean(-2, keepdim=True))
    assert any("padding changes `v`: the model lets it in" in warning for warning in leaky.warnings)


def test_a_model_that_refuses_other_padding_is_left_alone():
    def fixed(pos, mask):
        if bool((torch.cdist(pos[..., 5:, :], pos[..., 5:, :]) - torch.cdist(JUNK, JUNK)).abs().max() > 1e-3):
            raise ValueError("another padding")
        return pushed(pos)

    found = audited([strewn()], "mask", model=fixed)
    assert found.outputs["v"].samples == 5 and not found.warnings


def test_a_mask_is_tried_once_and_by_two_evaluations_where_the_data_leave_a_doubt():
    def checks(*data):
        # batches of one size: those that grow are looked at again
        return audited(list(data), "mask", model=attending, batch_rows=1024).timings["checks"]

    assert checks(strewn()) - checks(padded(9)) == 2
    assert checks(strewn(), strewn()) - checks(padded(9), padded(9)) == 2


def test_the_settings_say_which_masks_were_used():
    def used(masks, item):
        return audited([item], masks).settings["masks"]

    assert used("mask", padded(7)) == "mask"
    assert used("~padding", padded(7, padding=lambda mask: ~mask)) == "~padding"
    assert used({"v": "mask", "pos": "mask"}, padded(7)) == "v: mask, pos: mask"
    assert used(None, padded(7)).startswith("mask, by itself")
    assert used(None, {"pos": REAL}) == "none"


def test_an_empty_dict_of_masks_switches_the_guess_off():
    report = audited([padded(10)], {})
    assert report.outputs["v"].samples == 10 and report.settings["masks"] == "none, as asked" and not report.warnings
    assert not audited([padded(6, fill=1.0)], {}).warnings


def test_a_mask_by_another_name_is_found_by_what_it_says(bare):
    report = audited([padded(8, keep=lambda mask: mask)], None)
    assert report.outputs["v"].rmse == pytest.approx(bare.rmse, rel=1e-9)
    assert any("`keep` was taken for the mask" in note for note in report.notes)


def test_one_atom_at_the_origin_is_not_taken_for_padding_by_another_name():
    report = audited([padded(6, keep=lambda mask: mask)], None)
    assert report.outputs["v"].samples == 6 and any("masks='keep' does" in warning for warning in report.warnings)

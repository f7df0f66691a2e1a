"""Names of layers as they are shown: short, and never two alike."""

from __future__ import annotations

import itertools
import random

import pytest

from equiscope.report.names import Names
from equiscope.report.style import fitted, text_width

BELOW = "root.atomistic_model.graph_network.stack.blocks_of_interaction"
NESTED = [
    f"{BELOW}.embed",
    *(
        f"{BELOW}.blocks.{i}.{part}"
        for i in range(18)
        for part in ("norm", "attention", "feed_forward.0", "feed_forward")
    ),
    f"{BELOW}.heads.energy",
    f"{BELOW}['energy']",
    "root.atomistic_model['energy']",
    "readout",
]


def whole(text: str, prefix: str) -> str:
    """The name that a reader makes of what is shown: dots as in Python's relative imports."""
    rest = text.lstrip(".")
    up = len(text) - len(rest)
    if not prefix or not up:
        return text
    parts = prefix.split(".")
    above = ".".join(parts[: len(parts) - (up - 1)])
    return above + ("" if not rest or rest.startswith("[") else ".") + rest


def test_a_name_in_a_picture_has_few_lines_its_beginning_and_its_end():
    long = "name_of_an_output_" * 20 + "the_end"
    shown = fitted(long, 1.2)
    assert shown.count("\n") < 4 and shown.startswith("name_of") and "…" in shown and shown.endswith("the_end")
    assert all(text_width(line, 8) <= 1.25 for line in shown.splitlines())
    assert fitted("non_conservative_force", 1.2).replace("\n", "") == "non_conservative_force"


def test_deep_names_begin_at_the_module_in_which_most_of_them_lie():
    names = Names(NESTED)
    assert names.prefix == f"{BELOW}.blocks" and f"`{BELOW}.blocks`" in names.statement
    assert names[f"{BELOW}.blocks.0.norm"].text == ".0.norm"
    assert (
        names[f"{BELOW}.embed"].text == "..embed"
        and names["root.atomistic_model['energy']"].text == "....." + "['energy']"
    )
    assert names["readout"].text == "readout" and names["no layer"].text == "no layer"


@pytest.mark.parametrize("seed", range(50))
def test_what_is_shown_says_which_layer_it_is(seed):
    draw = random.Random(seed)
    parts = ["a", "b", "long_name_of_a_module", "0", "1", "blocks", "x['y']", "[0]", "", "d.", ".e"]
    found = {".".join(draw.choices(parts, k=draw.randint(1, 7))) for _ in range(40)}
    names = Names(sorted(found))
    shown = {name: names[name].text for name in found}
    assert len(set(shown.values())) == len(found)
    if not any(".." in name or name.startswith(".") for name in found):
        assert all(whole(text, names.prefix) == name for name, text in shown.items())


def test_what_lies_in_one_block_stands_together_in_order():
    groups = Names(NESTED).groups()
    assert [row.name for _, rows in groups for row in rows] == NESTED
    assert [block for block, _ in groups] == ["", *(f".{i}" for i in range(18)), ""]
    assert [row.inner for row in groups[1][1]] == ["norm", "attention", "feed_forward.0", "feed_forward"]
    within = [[row.inner for row in rows] for _, rows in groups]
    assert all(len(set(rows)) == len(rows) for rows in within)


def test_short_names_stand_whole():
    names = Names(["embedding", "encoder.0", "encoder.1", "pool"])
    assert not names.prefix and not names.statement
    assert [row.text for row in itertools.chain.from_iterable(rows for _, rows in names.groups())] == [
        "embedding", "encoder.0", "encoder.1", "pool",
    ]  # fmt: skip
    assert Names([]).groups() == [] and Names(["one"])["one"].text == "one"

"""docs/representations.md: its table lists what is read."""

import re
from pathlib import Path

import pytest

import equiscope as eq

PAGE = (Path(__file__).parent.parent / "docs" / "representations.md").read_text()

TABLE = "\n".join(re.findall(r"^\|.*", PAGE.split("## Groups")[0], re.MULTILINE))


@pytest.mark.parametrize("text", sorted(set(re.findall(r'"([a-z0-9][^"]*?)"', TABLE))))
def test_every_kind_of_the_table_is_read(text):
    assert eq.Representation.parse(text).name


def test_links_lead_somewhere():
    titles = {
        re.sub(r"[^a-z ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^## (.*)", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([a-z-]+)\)", PAGE)) <= titles

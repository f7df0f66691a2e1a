"""docs/extending.md: its examples run, and the files that it names are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*)\n((?:(?!^## ).*\n?)*)", PAGE, re.MULTILINE))


@pytest.mark.parametrize("section", SECTIONS)
def test_examples_run(section, tmp_path):
    examples = re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL)
    assert examples, f"{section} has no example"
    # in a process of its own: what they register is for the whole process
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join(examples)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_lists_its_files(section):
    assert re.search(r"^1\. ", SECTIONS[section], re.MULTILINE)
    for path in re.findall(r"`((?:python|csrc|tests|benches|docs)/[^`]*)`", SECTIONS[section]):
        # what is in angle brackets is for the reader to name; its folder is there
        known = path if "<" not in path else path[: path.index("<")].rpartition("/")[0]
        assert (ROOT / known).exists(), path


def test_the_table_links_every_section():
    anchors = set(re.findall(r"\]\(#([a-z-]+)\)", PAGE))
    assert anchors == {re.sub(r"[^a-z ]", "", title.lower()).replace(" ", "-") for title in SECTIONS}

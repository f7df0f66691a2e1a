"""docs/extending.md: its examples run, and the files that it names are there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*)\n((?:(?!^## ).*\n?)*)", PAGE, re.MULTILINE))


EACH_IN_A_CHILD = """
import json, os, sys, traceback
import torch, equiscope, equiscope.report

for section, code in json.load(sys.stdin).items():
    if os.fork() == 0:
        said = ""
        try:
            exec(compile(code, section, "exec"), {"__name__": "__main__"})
        except BaseException:
            said = traceback.format_exc()
        with open(f"{section}.txt", "w") as file:
            file.write(said)
        os._exit(0)
    os.wait()
"""


def code_of(section):
    return "\n".join(re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL))


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What was raised by the examples of each section: each in a process of its own, since what they register is for
    the whole process, and torch imported once for all."""
    place = tmp_path_factory.mktemp("sections")
    codes = json.dumps({section: code_of(section) for section in SECTIONS})
    subprocess.run([sys.executable, "-c", EACH_IN_A_CHILD], cwd=place, input=codes, text=True, check=True)
    return {path.stem: path.read_text() for path in place.glob("*.txt")}


@pytest.mark.parametrize("section", SECTIONS)
def test_examples_run(section, said):
    assert code_of(section), f"{section} has no example"
    assert said[section] == ""


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

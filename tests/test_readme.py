"""The README says what is true."""

import re
from pathlib import Path

import pytest

import equiscope as eq

README = (Path(__file__).parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"(?<!-->)\n```python\n(.*?)```", README, re.DOTALL)
"""Those that need nothing beside this package; models of others are in examples/."""


def test_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES) >= 2
    names: dict = {}
    for example in EXAMPLES:
        exec(compile(example, "README.md", "exec"), names)
    assert (tmp_path / "audit" / "index.html").exists()
    assert names["B"].shape == (9, 2, 64)
    assert "energy" in capsys.readouterr().out


def test_it_is_read_in_three_minutes():
    assert README.count("\n") <= 150


def test_every_name_after_eq_exists():
    for path in re.findall(r"\beq\.([a-zA-Z0-9_.]+)", README):
        found = eq
        for part in path.rstrip(".").split("."):
            found = getattr(found, part)


@pytest.mark.parametrize("name", ["demo", "tests"])
def test_commands_are_marked_for_the_scripts_that_run_them(name):
    block = re.search(rf"<!-- {name} -->\n```bash\n(.*?)```", README, re.DOTALL)
    assert block and "-c constraints.txt" in block.group(1)


def test_pictures_are_there():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (Path(__file__).parent.parent / path).stat().st_size > 1000

"""The pages of docs/ whose examples are one program: they run as they stand."""

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

import equiscope as eq
from equiscope import plugin
from equiscope.cli import app
from equiscope.training import view

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [
    "calculators", "choose", "ci", "compare", "conventions", "cost", "data", "diagnose", "dropins", "exports", "files",
    "kernels", "layers", "numpy", "questions", "reading", "recipes", "representations", "scale", "start", "symmetrize",
    "theory", "training",
]  # fmt: skip


@pytest.mark.usefixtures("blank_pictures")
@pytest.mark.parametrize("page", PAGES)
def test_examples_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch, pytestconfig):
    plugin.pytest_configure(pytestconfig)  # its marker is on one of the pages
    monkeypatch.chdir(tmp_path)
    view.pictures()
    # what a page registers is for that page alone
    monkeypatch.setattr(view, "PICTURES", dict(view.PICTURES))
    examples = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    names = {"__name__": page}
    for example in examples:
        exec(compile(example, f"docs/{page}.md", "exec"), names)


def test_what_is_shown_of_an_example_stands_in_it():
    """Examples of libraries that the test extra does not bring are run by tests/test_examples.py."""
    shown = [
        (page.name, path, block)
        for page in DOCS.glob("*.md")
        for path, block in re.findall(r"<!-- of (examples/\S+) -->\n```\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    assert len(shown) >= 3
    for page, path, block in shown:
        assert block in (DOCS.parent / path).read_text(), (page, path)


def test_commands_that_are_shown_have_the_options_that_there_are():
    pages = [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]
    blocks = [
        block for page in pages for block in re.findall(r"```(?:bash|sh|text)\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    shown = [line.split("#")[0].split("&&")[-1].split() for block in blocks for line in block.splitlines()]
    shown = [words[1:] for words in shown if words[:1] == ["equiscope"] and len(words) > 1]
    assert len(shown) > 6
    commands = get_command(app).commands
    for name, *words in shown:
        known = {
            option for parameter in commands[name].params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        assert {word.split("=")[0] for word in words if word.startswith("-")} <= known, (name, words)


def numbers(text):
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:e[+-]\d+)?", text)]


def test_the_demo_gives_the_numbers_of_the_first_page():
    demo, page = eq.demo, (DOCS / "start.md").read_text().split("<!-- demo -->")[1].split("<!-- /demo -->")[0]
    report = eq.audit(
        demo.load_model(), demo.load_molecules(), inputs=demo.INPUTS, outputs=demo.REPRESENTATIONS, lmax=None,
        degree=8, reference_rmse=demo.VALIDATION_RMSE, progress=False,
    )  # fmt: skip
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.strip().splitlines()[2:]]
    assert [name for name, *_ in rows] == list(report.outputs)
    for name, rmse, relative, share in rows:
        output = report.outputs[name]
        assert float(rmse.split()[0]) == pytest.approx(output.rmse, rel=1e-2)
        assert float(relative) == pytest.approx(output.relative, rel=1e-2)
        assert float(share.strip("%")) / 100 == pytest.approx(output.rmse / demo.VALIDATION_RMSE[name], rel=1e-2)


def test_the_message_of_the_assertion_is_shown_as_it_prints(capsys):
    page = (DOCS / "ci.md").read_text(encoding="utf-8")
    (example, shown) = re.search(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", page, re.DOTALL).groups()
    exec(compile(example, "docs/ci.md", "exec"), {"__name__": "ci"})
    printed = capsys.readouterr().out
    words = re.compile(r"\d[\d.]*(?:e[+-]\d+)?")
    assert words.sub("#", printed).split() == words.sub("#", shown).split()
    # round-off differs between machines, and the noise floor is nothing else
    assert numbers(printed) == pytest.approx(numbers(shown), rel=0.5)


def test_the_workflow_is_one_and_asks_for_options_that_there_are():
    page = (DOCS / "ci.md").read_text(encoding="utf-8")
    jobs = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])["jobs"]
    (line,) = [step["run"] for step in jobs["audit"]["steps"] if step.get("run", "").startswith("equiscope")]
    known = {option for parameter in get_command(app).commands["audit"].params
             for option in (*parameter.opts, *parameter.secondary_opts)}  # fmt: skip
    assert {word for word in line.split() if word.startswith("-")} <= known

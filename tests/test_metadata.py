"""What the project says of itself: one version, types that ship, names with docstrings, files that parse."""

import importlib
import inspect
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import equiscope as eq

ROOT = Path(__file__).parent.parent
PYPROJECT = (ROOT / "pyproject.toml").read_text()
VERSION = re.search(r'^version = "(.*)"$', PYPROJECT, re.MULTILINE).group(1)
ROOMS = ("adapters", "dropin", "groups", "metrics", "numpy", "report", "training")
PACKAGES = ("equiscope", *(f"equiscope.{room}" for room in ROOMS))
YAML = sorted([*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff"])


def test_the_version_is_the_same_everywhere():
    assert eq.__version__ == metadata.version("equiscope") == eq.info()["versions"]["equiscope"] == VERSION
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == VERSION
    assert f"## {VERSION}" in (ROOT / "CHANGELOG.md").read_text()


def test_code_does_not_write_the_version_again():
    sources = [ROOT / "CMakeLists.txt", *ROOT.glob("csrc/**/*.[ch]*"), *ROOT.glob("python/**/*.py*")]
    assert len(sources) > 100
    texts = {path: path.read_text() for path in sources if path.is_file() and path.suffix != ".pyc"}
    assert not [path.name for path, text in texts.items() if VERSION in text]


def test_a_source_tree_that_is_not_installed_says_so():
    code = (
        "import importlib.metadata as metadata, sys\n"
        "def version(name, known=metadata.version):\n"
        "    if name == 'equiscope': raise metadata.PackageNotFoundError(name)\n"
        "    return known(name)\n"
        "metadata.version = version\n"
        "import equiscope; print(equiscope.__version__, 'equiscope' in equiscope.info()['versions'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["0+source", "False"]


def test_types_ship_with_the_package():
    package = Path(eq.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / "_C.pyi").is_file()


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_exists_and_says_what_it_is(name):
    package = importlib.import_module(name)
    assert package.__doc__
    named = {public: getattr(package, public) for public in package.__all__}
    # data, such as a dict or an alias of a type, cannot carry one
    ours = {
        public: found
        for public, found in named.items()
        if inspect.ismodule(found) or getattr(found, "__module__", "").startswith("equiscope")
    }
    assert ours
    bare = [public for public, found in ours.items() if not inspect.getdoc(found)]
    assert not bare


@pytest.mark.parametrize(
    ("extra", "expected"),
    [("style", ["clang-format", "codespell", "mypy", "ruff"]), ("docs", ["furo", "myst-parser", "sphinx"])],
)
def test_style_and_site_are_made_by_exact_versions(extra, expected):
    block = re.search(rf"^{extra} = \[(.*?)\]$", PYPROJECT, re.MULTILINE | re.DOTALL).group(1)
    others = block.count("equiscope[")
    tools = dict(re.findall(r'"([a-z-]+)==([0-9.]+)[";]', block))
    assert sorted(tools) == expected
    assert block.count('"') == 2 * (len(tools) + others)


def test_what_ci_installs_for_style_makes_the_site_too():
    assert "equiscope[docs]" in re.search(r"^style = \[(.*)\]$", PYPROJECT, re.MULTILINE).group(1)
    assert "equiscope[style]" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_files_in_yaml_parse(path):
    assert yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/workflows/*.yml")), ids=lambda path: path.name)
def test_workflows_name_scripts_and_presets_that_exist(path):
    jobs = yaml.safe_load(path.read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all(re.search(r"@(v\d+|release/v\d+)$", step["uses"]) for step in steps if "uses" in step)
    commands = " ".join(step.get("run", "") for step in steps)
    for script in re.findall(r"(?:scripts|\.ci)/[a-z_.]+", commands):
        assert (ROOT / script).is_file()
    presets = (ROOT / "CMakePresets.json").read_text() if "--preset" in commands else ""
    for job in jobs.values():
        for preset in job.get("strategy", {}).get("matrix", {}).get("preset", []):
            assert f'"{preset}"' in presets


def test_ci_and_hooks_check_style_by_the_same_script():
    for file in (".ci/run", ".pre-commit-config.yaml", ".github/workflows/style.yml", "CONTRIBUTING.md"):
        assert "scripts/style.sh" in (ROOT / file).read_text()


def test_links_between_the_papers_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_what_a_message_says_to_install_is_there_for_those_who_have_a_clone_alone():
    said = {
        name
        for path in (ROOT / "python").rglob("*.py")
        for names in re.findall(r"pip install ([a-z0-9\[\] -]+?)[\"').;]", path.read_text())
        for name in names.split()
    }
    extras = PYPROJECT.split("[project.optional-dependencies]")[1].split("[project.scripts]")[0]
    assert {"ase", "metatomic-torch", "vesin"} <= said
    assert said - {"lightning"} <= set(re.findall(r'"([a-z0-9-]+)', extras)) - {"equiscope"}

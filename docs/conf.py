"""The documentation as a site: `sphinx-build -W docs build/site`. Pages are Markdown, to be read without it too."""

import re
from pathlib import Path

import tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = f"{PROJECT['urls']['Source']}/blob/main"

project = PROJECT["name"]
author = PROJECT["authors"][0]["name"]
version = release = PROJECT["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

html_theme = "furo"
html_title = f"equiscope {version}"
html_theme_options = {
    "source_repository": PROJECT["urls"]["Source"],
    "source_branch": "main",
    "source_directory": "docs/",
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

# links to headings go by the names that code hosts give them
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath", "amsmath"]

# `name` in a docstring is a link where the site has that name, else code
default_role = "py:obj"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
add_module_names = False
python_use_unqualified_type_names = True


def to_the_repository(app, document, source):
    """Links to files outside of docs/ lead to the repository: the site does not hold them."""
    outside = re.escape("../" * (document.count("/") + 1))
    source[0] = re.sub(rf"\]\({outside}([^)]+)\)", rf"]({REPOSITORY}/\1)", source[0])


def of_the_changelog(app, relative, parent, content):
    """The changelog lies one folder higher, and its links begin there."""
    content[0] = re.sub(r"\]\(((?!docs/)[a-z]+/[^)]+)\)", rf"]({REPOSITORY}/\1)", content[0])
    content[0] = re.sub(r"\]\(docs/([^)]+)\)", r"](\1)", content[0])


def setup(app):
    app.connect("source-read", to_the_repository)
    app.connect("include-read", of_the_changelog)

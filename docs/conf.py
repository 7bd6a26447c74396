"""How Sphinx makes the site out of the Markdown files of this checkout: ``./run docs``.

The files are written to be read as they are as well. So they hold no directives: what the site
needs besides, its table of contents, is made here from the lists of docs/index.md.
"""

import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

_CHECKOUT = Path(__file__).resolve().parents[1]
_PROJECT = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_CONTENTS = _CHECKOUT / "docs/index.md"
_SECTION = re.compile(r"^## (?P<title>.+)\n(?P<body>(?:(?!## ).*\n)*)", re.MULTILINE)
_ENTRY = re.compile(r"^\* \[[^\]]+\]\((?P<target>[^)]+)\.md\)", re.MULTILINE)

# Names and types of all of these are Sphinx's.
project = "mqvpn"
author = "the mqvpn authors"
project_copyright = f"{author}, Apache License 2.0"
release = version = str(_PROJECT["version"])
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md"]
exclude_patterns = [".*", "build", "dist", "native", "mqvpn_*", "tests", "benchmarks", "typings"]
source_suffix = {".md": "markdown"}
nitpicky = True

myst_heading_anchors = 3
myst_enable_extensions = ["html_image"]

html_theme = "furo"
html_title = f"mqvpn {release}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_favicon = "../resources/icons/hicolor/scalable/apps/org.mqvpn.Client.svg"
html_copy_source = False
html_show_sphinx = False
# Nothing is fetched from anywhere: the site works from a folder, without a network.
html_theme_options = {"navigation_with_keys": True}


def table_of_contents(contents: str) -> str:
    """Return the directives for what docs/index.md lists, a tree for each of its sections."""
    trees = []
    for section in _SECTION.finditer(contents):
        targets = [entry["target"] for entry in _ENTRY.finditer(section["body"])]
        if not trees:
            targets.insert(0, "index")
        places = [(_CONTENTS.parent / target).resolve() for target in targets]
        lines = "".join(f"/{place.relative_to(_CHECKOUT)}\n" for place in places)
        caption = section["title"]
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}```\n")
    return "\n".join(trees)


def _add_table_of_contents(_application: Sphinx, name: str, source: list[str]) -> None:
    if name == root_doc:
        source[0] += "\n" + table_of_contents(_CONTENTS.read_text(encoding="utf-8"))


def setup(application: Sphinx) -> None:
    """Be called by Sphinx."""
    application.connect("source-read", _add_table_of_contents)

"""
How Sphinx builds the documentation::

    python -m sphinx -W --keep-going -b html docs docs/_build/html

The pages are Markdown (MyST); the API is pydoctor's, made from the docstrings in the
same run and put into C{api/}.  Nothing is fetched: the inventories of names that are
somebody else's, Python's and Twisted's, are made from the names that are used here
(C{docs/making/inventories.py}), so a reference that leads nowhere is a warning, and a
warning an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from docs.making import inventories  # noqa: E402
from twisted_mux import _version  # noqa: E402

project = "twisted_mux"
author = "The twisted_mux developers"
version = release = _version.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.intersphinx",
    "pydoctor.sphinx_ext.build_apidocs",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "newsfragments", "examples"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
# Headings can be linked to, as in page.md#heading.
myst_heading_anchors = 4

# Somebody else's names, and the API's, which pydoctor adds.
foreign = inventories.write(ROOT, HERE / "_build" / "inventories")
intersphinx_mapping = {each.name: (each.url, (str(each.path),)) for each in foreign}
intersphinx_disabled_reftypes: list[str] = []

pydoctor_args = [
    f"--config={ROOT / 'setup.cfg'}",
    f"--add-package={ROOT / 'twisted_mux'}",
    f"--project-base-dir={ROOT}",
    f"--project-version={release}",
    "--project-url=../index.html",
    f"--template-dir={HERE / '_pydoctor'}",
    "--html-output={outdir}/api",
    *(f"--intersphinx-file={each.path}::{each.url.rstrip('/')}" for each in foreign),
]
pydoctor_url_path = "api/"

html_theme = "furo"
html_title = f"twisted_mux {release}"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["custom.css"]
pygments_style = "friendly"

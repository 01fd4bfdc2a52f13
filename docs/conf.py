"""Sphinx. `python docs/site.py` puts this file among the pages that it gathers and makes, and builds them."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import docstrings

project = "crossmodal_fast"
author = "The crossmodal_fast developers"
copyright = f"2026, {author}"
release = metadata.version("crossmodal-fast")
version = ".".join(release.split(".")[:2])

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_parser"]
myst_heading_anchors = 3
default_role = "code"  # `name` in a docstring is a name, not a cross-reference
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures of a line; the docstrings say what comes in
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
python_maximum_signature_line_length = 90

html_theme = "furo"
html_title = f"crossmodal_fast {release}"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
exclude_patterns = ["html", "doctrees"]


def setup(app):
    app.connect("autodoc-process-docstring", docstrings.process, priority=100)  # before numpydoc
    app.connect("autodoc-skip-member", docstrings.skip)

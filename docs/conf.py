"""How Sphinx builds the site; tools/docs puts the reference beside these pages first."""

from __future__ import annotations

import sys
from pathlib import Path

from pygments.lexers.shell import BashLexer
from sphinx.application import Sphinx

from meshkit.version import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "meshkit"
release = __version__
html_title = f"meshkit {__version__}"
extensions = ["myst_parser", "code_links"]
exclude_patterns = ["_ext"]
myst_heading_anchors = 3
smartquotes = False
highlight_language = "text"
add_module_names = False
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_sidebars = {"index": [], "changes": []}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "show_version_warning_banner": False,
    "footer_start": [],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}


def setup(app: Sphinx) -> None:
    """Colour commands without a prompt as a shell's, not as output."""
    app.add_lexer("console", BashLexer)

"""How Sphinx builds the documentation: ``sphinx-build -W -n -b html docs docs/_build/html``."""

import inspect
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from threadpoolctl import threadpool_limits

import skann

# Small products take longer in several threads, all the more where other processes run.
threadpool_limits(1, user_api="blas")

project = "skann"
author = "The skann developers"
copyright = f"2026, {author}"  # noqa: A001  (the name that Sphinx reads)
version = release = skann.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"  # as docstrings are written: `X` is code
suppress_warnings = ["config.cache"]  # functions in this file; no build reads another one's cache

# There is no intersphinx, which would fetch inventories: what lives elsewhere stays plain text.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(sklearn|numpy|scipy|matplotlib|optuna|joblib)\..*")]

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # types stand in the docstrings
numpydoc_show_class_members = False  # the template lists them
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "skann"
html_static_path = ["_static"]
html_css_files = ["skann.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {page: [] for page in ("index", "get_started", "draw_a_digit", "changelog")}
html_theme_options = {
    "logo": {"text": "skann"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}


# API pages --------------------------------------------------------------------------------------


def public_members(fullname: str) -> dict[str, list[str]]:
    """Sort the public methods and properties of a class by where they come from."""
    module, _, name = fullname.rpartition(".")
    cls = getattr(__import__(module, fromlist=[name]), name)
    members: dict[str, list[str]] = {"properties": [], "methods": [], "inherited": []}
    for member in dict.fromkeys(member for base in cls.__mro__ for member in vars(base)):
        value = getattr(cls, member)
        if member.startswith("_") or not (callable(value) or isinstance(value, property)):
            continue
        if isinstance(value, property):
            members["properties"].append(member)
        else:
            is_own = value.__module__.startswith("skann")
            members["methods" if is_own else "inherited"].append(member)
    return members


autosummary_context = {"public_members": public_members}


def shorten_inherited(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Keep the summary of what scikit-learn documents: the rest refers to its own pages."""
    module = inspect.getmodule(obj)
    if what == "method" and module is not None and module.__name__.startswith("sklearn."):
        summary = " ".join(lines[: lines.index("")] if "" in lines else lines)
        summary = re.sub(r":\w+:`([^<`]+?)(?: <[^>]+>)?`", r"\1", summary)  # links to its pages
        lines[:] = [summary, "", "Inherited: see scikit-learn's documentation.", ""]


# Gallery ----------------------------------------------------------------------------------------

_INDEX = Path(__file__).parents[1].joinpath("examples", "index.rst").read_text()


def place_in_index(path: str) -> int:
    """Return where ``examples/index.rst`` lists an example: all galleries have its order."""
    return _INDEX.index(Path(path).name)


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "copyfile_regex": r"index\.rst",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_\w+\.py",  # mnist_grid.py downloads: its page has stored pictures
    # Pages of the documentation show what these write.
    "ignore_pattern": r"(mnist_record|draw_digits|read_digits)\.py",
    "minigallery_sort_order": place_in_index,
    "remove_config_comments": True,
    "ignore_repr_types": r"Display|matplotlib",  # the picture is there already
    "doc_module": ("skann",),
    "backreferences_dir": "generated/backreferences",  # "Examples using" of the API pages
    "download_all_examples": False,
    "write_computation_times": False,
}


# Mathematics ------------------------------------------------------------------------------------


def render_math(translator: Any, node: Any) -> None:
    """Write a formula as MathML, which browsers draw without a script from elsewhere."""
    is_block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=is_block)
    translator.body.append(f"<div>{formula}</div>" if is_block else formula)
    raise nodes.SkipNode


html_math_renderer = "mathml"


def setup(app: Any) -> None:
    """Register what shortens docstrings, to run before numpydoc does, and what draws formulas."""
    app.connect("autodoc-process-docstring", shorten_inherited, priority=100)
    app.add_html_math_renderer("mathml", (render_math, None), (render_math, None))

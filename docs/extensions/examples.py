"""Turn links to the scripts in examples/ into links to their pages.

In the repository they lead to the scripts, on the site to the gallery.
"""

import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"\]\(((?:\.\./)+)examples/(?:(plot_\w+|mnist_grid)\.py)?(#[\w-]+)?\)")


def link_pages(app: Any, docname: str, source: list[str]) -> None:
    """Rewrite the links of a Markdown page."""
    if Path(app.env.doc2path(docname)).suffix != ".md":
        return
    to_docs = "../" * docname.count("/")

    def page(match: re.Match[str]) -> str:
        return f"]({to_docs}auto_examples/{match[2] or 'index'}.rst{match[3] or ''})"

    source[0] = _LINK.sub(page, source[0])


def setup(app: Any) -> dict[str, bool]:
    """Register the step that runs before a page is parsed."""
    app.connect("source-read", link_pages)
    return {"parallel_read_safe": True}

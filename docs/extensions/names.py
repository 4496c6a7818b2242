"""Link the names of scikit-learn and skann in the text to their pages."""

import importlib
from functools import cache
from typing import Any

from docutils import nodes
from sklearn.utils.discovery import all_displays, all_estimators, all_functions
from sphinx.transforms.post_transforms import SphinxPostTransform

_SITE = "https://scikit-learn.org/stable/modules/generated"


def public_module(module: str) -> str:
    """Return the public part of a module's name: `sklearn.svm` of `sklearn.svm._classes`."""
    parts = module.split(".")
    private = [number for number, part in enumerate(parts) if part.startswith("_")]
    return ".".join(parts[: private[0]] if private else parts)


@cache
def scikit_learn() -> dict[str, str]:
    """Return the pages of scikit-learn's names, by short and by full name.

    No inventory has to be fetched: each name has a page of its own, named after it. Functions
    of one word are left out, as the text uses such words for other things.
    """
    pages = {}
    for name, member in [*all_estimators(), *all_displays(), *all_functions()]:
        full = f"{public_module(member.__module__)}.{name}"
        is_public = hasattr(importlib.import_module(public_module(member.__module__)), name)
        if is_public:
            pages[full] = f"{_SITE}/{full}.html"
            if isinstance(member, type) or "_" in name:
                pages[name] = pages[full]
    return pages


class LinkNames(SphinxPostTransform):
    """Make the first mention of each name on a page a link."""

    default_priority = 5  # before references are resolved

    def run(self, **_: Any) -> None:
        """Replace the literals of a page that are names."""
        own = own_names(self.env)
        seen = set()
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext().removesuffix("()")
            page = scikit_learn().get(name)
            uri = own.get(name)
            if name in seen or not (page or uri) or not _is_plain_text(literal):
                continue
            if uri == self.env.current_document.docname:
                continue
            seen.add(name)
            link = nodes.reference("", "", internal=False, refuri=page)
            if uri:
                builder = self.app.builder
                target = builder.get_relative_uri(self.env.current_document.docname, uri)
                link = nodes.reference("", "", internal=True, refuri=target)
            literal.replace_self(link)
            link += literal


def own_names(env: Any) -> dict[str, str]:
    """Return the pages of skann's classes and functions, by short and by full name."""
    pages = {}
    for full, entry in env.domains["py"].objects.items():
        if entry.objtype in {"class", "function"}:
            pages[full] = pages[full.rpartition(".")[2]] = entry.docname
    return pages


def _is_plain_text(literal: nodes.literal) -> bool:
    """Tell whether it is in a paragraph or a table, in no link, heading or signature."""
    node = literal.parent
    while node is not None:
        if isinstance(node, nodes.reference | nodes.title | nodes.literal_block):
            return False
        if node.tagname in {"pending_xref", "desc_signature", "term", "field_name"}:
            return False
        node = node.parent
    return True


def setup(app: Any) -> dict[str, bool]:
    """Register the transform."""
    app.add_post_transform(LinkNames)
    return {"parallel_read_safe": True}

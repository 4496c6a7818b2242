"""Check every link of the built documentation that stays inside it.

python -m tests.site_links docs/_build/html
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes that refer to another file. Scripts and style sheets count as well as pages.
_REFERENCES = {"a": "href", "link": "href", "iframe": "src", "img": "src", "script": "src"}


class _Page(HTMLParser):
    """The references of a page, and what it can be referred to by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: set[str] = set()
        self.anchors: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        for name in ("id", "name"):
            self.anchors.add(values.get(name) or "")
        self.references.add(values.get(_REFERENCES.get(tag, "")) or "")


def broken_links(site: Path) -> list[str]:
    """Find the internal links of a site that lead nowhere.

    Parameters
    ----------
    site : Path
        Folder with the HTML files.

    Returns
    -------
    list of str
        For each of them the page and the link.
    """
    site = site.resolve()
    paths = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    pages = {path: _Page(path.read_text()) for path in paths}
    broken = []
    for path, page in pages.items():
        for reference in sorted(page.references):
            url = urlsplit(reference)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if target.is_dir():
                target /= "index.html"
            anchors = pages[target].anchors if target in pages else None
            is_there = target.exists() and (anchors is None or unquote(url.fragment) in anchors)
            if not is_there:
                broken.append(f"{path.relative_to(site)}: {reference}")
    return broken


def main(arguments: list[str]) -> int:
    """Print the broken links; return 1 if there are any."""
    site = Path(arguments[0])
    if not (site / "index.html").exists():
        print(f"There is no site in {site}.", file=sys.stderr)
        return 1
    broken = broken_links(site)
    print("\n".join(broken) or f"Every link inside {site} leads somewhere.")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Run the Python blocks of Markdown pages and show below each what it prints and draws."""

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from sphinx.errors import ExtensionError

matplotlib.use("Agg")

_BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```\n", re.MULTILINE | re.DOTALL)
FIGURES = "generated/figures"


def show_output(app: Any, docname: str, source: list[str]) -> None:
    """Insert the output of each block of a page, but for builds without the gallery."""
    is_quick = str(app.config.plot_gallery) in {"0", "False"}
    if is_quick or Path(app.env.doc2path(docname)).suffix != ".md":
        return
    namespace = {"__name__": "__main__"}

    def run(match: re.Match[str]) -> str:
        line = source[0].count("\n", 0, match.start()) + 1
        indent, code = match.groups()
        code = "\n" * line + re.sub(f"^{indent}", "", code, flags=re.MULTILINE)
        try:
            printed = _run(code, app.env.doc2path(docname), namespace)
        except Exception as error:  # A block of a page can raise any error: say which block.
            raise ExtensionError(f"{docname}, block at line {line}: {error!r}") from error
        shown = []
        if printed.strip():
            shown = ["", "```{code-block} none", ":class: output", "", *printed.splitlines(), "```"]
        for number, name in enumerate(_save_figures(app, f"{docname}-{line}")):
            shown += ["", f"![Figure {number + 1} of the code above]({name})"]
        return match[0] + "".join(f"{indent if part else ''}{part}\n" for part in shown)

    # Files that a page writes do not stay.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        source[0] = _BLOCK.sub(run, source[0])


def _run(code: str, path: str, namespace: dict[str, Any]) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, path, "exec"), namespace)
    return output.getvalue()


def _save_figures(app: Any, stem: str) -> list[str]:
    """Save the figures that are open and return their names, for a page to include."""
    folder = Path(app.srcdir) / FIGURES
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number in plt.get_fignums():
        name = f"{stem.replace('/', '-')}-{number}.png"
        plt.figure(number).savefig(folder / name, dpi=120, bbox_inches="tight")
        names.append(f"/{FIGURES}/{name}")
    plt.close("all")
    return names


def setup(app: Any) -> dict[str, bool]:
    """Register the step that runs before a page is parsed."""
    # Executables that blocks start write to the terminal of the build, not to the page.
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    app.connect("source-read", show_output)
    return {"parallel_read_safe": False}

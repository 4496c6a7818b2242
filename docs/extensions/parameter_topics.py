"""Lay out the page of `ANNClassifier`: short signature, example first, parameters by topic."""

from typing import Any

_NAME = "skann.ANNClassifier"
# Each topic with the first of its parameters, in the order of the signature.
_TOPICS = {
    "Network": "hidden_layer_sizes",
    "Inputs": "input_scaling",
    "Class weights": "class_weight",
    "Regularisation": "alpha",
    "Optimisation": "solver",
    "Learning rate": "learning_rate",
    "Stopping": "max_iter",
    "Computation": "dtype",
}


def shorten_signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Name the first parameter only: the page describes all of them."""
    return ("(hidden_layer_sizes=(128, 64), *, ...)", returns) if name == _NAME else None


def move_example(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Put the section "Examples" of the docstring behind its first paragraph."""
    if what != "class" or name != _NAME:
        return
    start = lines.index("Examples")
    example = lines[start + 2 :]
    del lines[start:]
    lines[2:2] = [*example, ""]


def divide_parameters(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Divide the list of parameters, as numpydoc writes it, into one list for each topic."""
    if what != "class" or name != _NAME:
        return
    for topic, first in _TOPICS.items():
        at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"**{first}** :"))
        lines[at:at] = [f":{topic}:", ""]
    lines.remove(":Parameters:")


def setup(app: Any) -> dict[str, bool]:
    """Register what runs before and after numpydoc."""
    app.connect("autodoc-process-signature", shorten_signature, priority=900)
    app.connect("autodoc-process-docstring", move_example, priority=100)
    app.connect("autodoc-process-docstring", divide_parameters, priority=900)
    return {"parallel_read_safe": True}

"""Docstrings follow numpydoc, so that help, the API pages and editors can read them."""

import importlib
import inspect
import pkgutil

import pytest
from numpydoc.validate import validate

import skann
from skann import ANNClassifier, find_learning_rate
from skann.export import register_onnx

# What numpydoc may complain of: examples, "see also" and long summaries where they would say
# nothing, and a description of a return value that its type and the summary already give.
LEFT_OPEN = {"GL08", "EX01", "SA01", "SA04", "ES01", "RT02", "RT03"}
# Inside, a parameter that the summary explains needs no section.
LEFT_OPEN_INSIDE = LEFT_OPEN | {"PR01", "RT01", "YD01", "SS05"}


def public_objects():
    names = [
        *(f"skann.{name}" for name in skann.__all__ if name != "__version__"),
        "skann.callbacks.Checkpoint",
        "skann.callbacks.OptunaPruning",
        "skann.export.register_onnx",
        "skann.images.ElasticTransform",
        "skann.images.ImageReader",
        "skann.images.RandomAffine",
        "skann.images.split_digits",
    ]
    classes = [name for name in skann.__all__ if inspect.isclass(getattr(skann, name))]
    methods = (
        f"skann.{name}.{method}"
        for name in classes
        for method, member in inspect.getmembers(getattr(skann, name), inspect.isroutine)
        if not method.startswith("_") and member.__module__.startswith("skann.")
    )
    return names + sorted(methods)


def inner_objects():
    for module_info in pkgutil.walk_packages(skann.__path__, "skann."):
        module = importlib.import_module(module_info.name)
        for name, member in vars(module).items():
            if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(member) or inspect.isclass(member):
                yield f"{module.__name__}.{name}"


def complaints(name, left_open):
    return [f"{code} {text}" for code, text in validate(name)["errors"] if code not in left_open]


@pytest.mark.parametrize("name", public_objects())
def test_public_docstrings_are_complete(name):
    assert complaints(name, LEFT_OPEN) == []


@pytest.mark.parametrize("name", sorted(inner_objects()))
def test_inner_docstrings_are_well_formed(name):
    assert complaints(name, LEFT_OPEN_INSIDE) == []


@pytest.mark.parametrize("thing", [ANNClassifier, find_learning_rate, register_onnx])
def test_public_things_have_a_docstring_of_their_own(thing):
    assert thing.__doc__
